"""Checkpoints are checked and described without being loaded."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from synthgen.commands import main
from synthgen.errors import SynthgenError
from synthgen.training.contents import archive_records, read_tensor_entries
from tests.tiny import Numbers, fit, one_stage


@pytest.fixture
def verify(capsys):
    def run(path):
        with pytest.raises(SystemExit) as ended:
            main(["verify", f"checkpoint={path}"])
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return run


@pytest.fixture
def copied(table_checkpoint, tmp_path):
    return shutil.copytree(table_checkpoint, tmp_path / "people")


def test_a_sound_folder_is_described(verify, copied):
    code, printed, _ = verify(copied)
    assert code == 0
    for word in ("model.safetensors", "as written", "argn.ARGN", "format 1", "tensors", "F32", "stage0."):
        assert word in printed
    assert "every file with a hash is as it was written" in printed


@pytest.mark.parametrize("file", ["model.safetensors", "codec.json", "config.yaml", "card.md"])
def test_a_changed_file_is_named(verify, copied, file):
    content = bytearray((copied / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / file).write_bytes(content)
    code, _, error = verify(copied)
    assert code == 2
    assert f"{file}: damaged" in error


def test_a_file_that_is_gone_is_named(verify, copied):
    (copied / "card.md").unlink()
    code, _, error = verify(copied)
    assert code == 2
    assert "card.md: not there" in error


def test_a_folder_without_hashes_is_said_to_have_none(verify, copied):
    (copied / "manifest.json").unlink()
    code, printed, _ = verify(copied)
    assert code == 0
    assert "no manifest.json" in printed


@pytest.mark.parametrize("content", ["{", "[]", '{"sha256": 3}', "[" * 100_000, '{"sha256": {"../secret": "0"}}'])
def test_a_damaged_manifest_is_one_line(verify, copied, content):
    (copied / "manifest.json").write_text(content)
    code, _, error = verify(copied)
    assert code == 2
    assert len(error.strip().splitlines()) == 1


def test_training_checkpoints_are_listed(verify, tmp_path):
    fit(one_stage(), tmp_path / "run", data=Numbers(validation=60), validate_every=64)
    (tmp_path / "run" / "run.json").write_text('{"status": "running"}')
    code, printed, _ = verify(tmp_path / "run")
    assert code == 0
    assert "last.ckpt" in printed
    assert "best-320.ckpt" in printed
    last = tmp_path / "run" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-3])
    for path in (tmp_path / "run", last):
        code, _, error = verify(path)
        assert code == 2
        assert "last.ckpt: truncated" in error


def test_neither_torch_nor_pickle_reads_anything(table_checkpoint, tmp_path):
    fit(one_stage(), tmp_path)
    program = (
        "import sys, pickle\n"
        "pickle.Unpickler = pickle.load = pickle.loads = None\n"
        "from synthgen.commands import run_command\n"
        "for path in list(sys.argv[1:]):\n"
        "    assert run_command(['verify', 'checkpoint=' + path]) == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    paths = [str(table_checkpoint), str(tmp_path / "last.ckpt")]
    ended = subprocess.run([sys.executable, "-c", program, *paths], env=os.environ, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


# The two formats


def test_tensor_entries_are_those_of_the_file(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2, 3), "b": torch.zeros((), dtype=torch.int64)}, tmp_path / "x.safetensors")
    entries = {entry.name: entry for entry in read_tensor_entries(tmp_path / "x.safetensors")}
    assert (entries["a"].dtype, entries["a"].shape, entries["a"].elements) == ("F32", (2, 3), 6)
    assert (entries["b"].dtype, entries["b"].shape, entries["b"].elements) == ("I64", (), 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        b"\xff" * 8,
        (1 << 40).to_bytes(8, "little"),
        (2).to_bytes(8, "little") + b"[]",
        (8).to_bytes(8, "little") + b'{"a": 3}',
        (100).to_bytes(8, "little") + b"{}",
        (70).to_bytes(8, "little")
        + json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode(),
    ],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(SynthgenError, match=r"x\.safetensors: (not a safetensors file|truncated)"):
        read_tensor_entries(tmp_path / "x.safetensors")


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "x.ckpt").write_bytes(b"no archive")
    with pytest.raises(SynthgenError, match=r"x\.ckpt: not a training checkpoint"):
        archive_records(tmp_path / "x.ckpt")
