import pickle

import pytest
import torch

from synthgen.errors import SynthgenError
from synthgen.training.checkpoint_io import AtomicCheckpointIO


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (self.path.touch, ())


def test_what_was_saved_is_loaded(tmp_path):
    checkpoint = {"state_dict": {"a": torch.arange(3.0)}, "epoch": 2, "nested": {"list": [1, "x", None]}}
    AtomicCheckpointIO().save_checkpoint(checkpoint, tmp_path / "deep" / "last.ckpt")
    loaded = AtomicCheckpointIO().load_checkpoint(tmp_path / "deep" / "last.ckpt")
    assert torch.equal(loaded["state_dict"].pop("a"), checkpoint["state_dict"].pop("a"))
    assert loaded == checkpoint
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["last.ckpt"]


def test_a_failing_save_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)
    with pytest.raises((AttributeError, pickle.PicklingError, TypeError)):
        AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(1000), "no": lambda: None}, path)
    assert AtomicCheckpointIO().load_checkpoint(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("weights_only", [None, True, False])
def test_nothing_executable_is_loaded_whatever_is_asked_for(tmp_path, weights_only):
    torch.save({"epoch": 1, "x": Harmful(tmp_path / "was run")}, tmp_path / "last.ckpt")
    with pytest.raises(SynthgenError, match=r"last\.ckpt: not a checkpoint .* nothing was run"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt", weights_only=weights_only)
    assert not (tmp_path / "was run").exists()
