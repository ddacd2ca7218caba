"""Each signal in each phase: the state is saved, the exit code says that the run is unfinished, and it goes on."""

import hashlib
import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.workplace import FAMILIES

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
PHASES = [
    {"point": "step", "count": 7},
    {"point": "validation", "count": 2},
    {"point": "write", "count": 2},
]
FAMILY = next(iter(FAMILIES))


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase["point"])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_saves_and_stops_and_the_run_ends_equal(workplace, tmp_path, number, phase):
    run = tmp_path / "run"
    ended = workplace.run(workplace.command(FAMILY, run), fault={**phase, "number": number})
    assert ended.code == 128 + number, ended.err
    assert "Traceback" not in ended.err
    assert '"status": "interrupted"' in (run / "run.json").read_text()
    assert (tmp_path / "checkpoints" / "run" / "model.safetensors").is_file(), "a usable model of the best so far"
    assert f"synthgen train run={run}" in ended.out
    workplace.finish(FAMILY, run)


def test_a_second_ctrl_c_ends_at_once_and_leaves_the_checkpoint_before(workplace, tmp_path):
    run = tmp_path / "run"
    fault = {"point": "step", "count": 7, "number": signal.SIGINT, "times": 2}
    ended = workplace.run(workplace.command(FAMILY, run), fault=fault)
    assert (ended.code, ended.err) == (130, "")
    assert '"status": "running"' in (run / "run.json").read_text()
    workplace.finish(FAMILY, run)


def test_a_signal_while_exporting_leaves_no_half_of_a_checkpoint_folder(workplace, tmp_path):
    run = tmp_path / "run"
    fault = {"point": "export", "count": 1, "number": signal.SIGTERM}
    assert workplace.run(workplace.command(FAMILY, run), fault=fault).code == -signal.SIGTERM
    assert not (tmp_path / "checkpoints" / "run").exists()
    workplace.finish(FAMILY, run)


def test_the_second_process_in_a_run_folder_refuses(workplace, tmp_path):
    run = tmp_path / "run"
    first = workplace.start(
        workplace.command(FAMILY, run), fault={"point": "step", "count": 7, "number": signal.SIGSTOP}
    )
    wait_until_stopped(first)
    before = hashes(run)
    second = workplace.run(workplace.command(FAMILY, run))
    assert second.code == 2
    assert f"process {first} on" in second.err
    assert len(second.err.strip().splitlines()) == 1
    assert hashes(run) == before
    os.kill(first, signal.SIGCONT)
    assert workplace.wait(first).code == 0
    workplace.finish(FAMILY, run)


def wait_until_stopped(pid):
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def hashes(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir() if file.is_file()}
