"""Training by two processes on the CPU, which exchange gradients by gloo as those of several GPUs do by NCCL."""

import json
import socket
import sys

import pytest
import torch
from torch import multiprocessing

from tests.faults.workplace import FAMILIES
from tests.tiny import same
from tests.training.one_of_two import one_of_two

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch lacks distributed")

# A closed form is fitted by one process.
SHARED = [name for name in FAMILIES if name != "table/copula"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where two processes have trained everything, once for all tests: most of the time goes into starting them."""
    folder = tmp_path_factory.mktemp("both")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
        multiprocessing.spawn(one_of_two, (folder, port, SHARED), nprocs=2)
    return folder


def ended(folder):
    """What each of the two found, and the weights that it ended with and kept."""
    found = [json.loads((folder / f"found{rank}.json").read_text()) for rank in range(2)]
    return *found, [torch.load(folder / f"weights{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("stages", [1, 2])
def test_the_first_process_decides_how_much_fits_into_the_time(folder, stages):
    first, second, weights = ended(folder / f"stages{stages}")
    assert first["budget"] == second["budget"]
    assert first["seen"] == second["seen"] >= first["budget"]
    assert same(*(of_one["last"] for of_one in weights))
    assert same(*(of_one["kept"] for of_one in weights))
    # Of the first second's hundred steps and more, some dozens at most make both wait.
    assert first["broadcasts"] == second["broadcasts"] < 40
    assert (folder / f"stages{stages}" / "run0" / "last.ckpt").is_file()
    assert not (folder / f"stages{stages}" / "run1" / "last.ckpt").exists()


@pytest.mark.parametrize("name", SHARED)
def test_both_processes_end_with_the_same_weights(folder, name):
    first, second, weights = ended(folder / name.replace("/", "-"))
    assert first["seen"] == second["seen"] == first["budget"]
    assert same(*(of_one["last"] for of_one in weights))
    assert same(*(of_one["kept"] for of_one in weights))
    assert first["finite"]
