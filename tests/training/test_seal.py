import random
import zipfile

import pytest
import torch

from synthgen.training.seal import fault_of, seal


@pytest.fixture
def sealed(tmp_path):
    file = tmp_path / "x.ckpt"
    torch.save({"a": torch.arange(1000.0), "b": [1, "x", None]}, file)
    seal(file)
    return file


def test_a_sealed_file_is_sound_and_read_as_any_other(sealed):
    assert fault_of(sealed) is None
    loaded = torch.load(sealed, weights_only=True)
    assert torch.equal(loaded["a"], torch.arange(1000.0))
    assert zipfile.ZipFile(sealed).testzip() is None


def test_every_flipped_bit_is_seen(sealed):
    content = sealed.read_bytes()
    draws = random.Random(0)
    for place in [0, len(content) - 1, *(draws.randrange(len(content)) for _ in range(200))]:
        changed = bytearray(content)
        changed[place] ^= 1 << draws.randrange(8)
        sealed.write_bytes(changed)
        assert fault_of(sealed) is not None, place


def test_every_truncation_is_seen(sealed):
    content = sealed.read_bytes()
    for length in (0, 1, 50, len(content) // 2, len(content) - 71, len(content) - 1):
        sealed.write_bytes(content[:length])
        assert "truncated" in fault_of(sealed)
    sealed.write_bytes(content + b"more")
    assert "truncated" in fault_of(sealed)


def test_a_file_that_is_not_there_or_not_sealed(tmp_path):
    assert fault_of(tmp_path / "none") == "No such file or directory"
    torch.save({}, tmp_path / "old.ckpt")
    assert "older synthgen" in fault_of(tmp_path / "old.ckpt")


def test_only_an_archive_without_a_comment_is_sealed(sealed, tmp_path):
    (tmp_path / "text").write_text("no archive")
    for file in (tmp_path / "text", sealed):
        with pytest.raises(ValueError, match="not a zip archive without a comment"):
            seal(file)
