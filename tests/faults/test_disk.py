"""A full disk, a folder that cannot be written to, and checkpoints that are damaged on it."""

import contextlib
import random
import shutil
import signal
import subprocess

import pytest

from tests.faults.test_signals import hashes

FAMILY = "table/tabdiff"
STOP = {"point": "step", "count": 11, "number": signal.SIGTERM}


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_one_message_and_the_checkpoint_is_intact(workplace, small_disk):
    run = small_disk / "run"
    assert workplace.run(workplace.command(FAMILY, run), fault=STOP).code == 143
    with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"\0" * 4096)
    before = hashes(run)
    ended = workplace.run(workplace.command(FAMILY, run))
    assert ended.code == 2
    assert len(ended.err.strip().splitlines()) == 1, ended.err
    assert "no space left" in ended.err.lower()
    assert hashes(run)["last.ckpt"] == before["last.ckpt"]
    (small_disk / "filler").unlink()
    workplace.finish(FAMILY, run)


def test_a_disk_that_fills_while_a_checkpoint_is_written(workplace, small_disk):
    run = small_disk / "run"
    assert workplace.run(workplace.command(FAMILY, run), fault=STOP).code == 143
    before = hashes(run)
    # Enough for a config and some rows of metrics, and not for a checkpoint.
    free = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(b"\0" * (free - 64 * 1024))
    ended = workplace.run(workplace.command(FAMILY, run))
    assert ended.code == 2
    assert len(ended.err.strip().splitlines()) == 1, ended.err
    assert "no space left" in ended.err
    assert "the checkpoint before it is intact" in ended.err
    assert hashes(run)["last.ckpt"] == before["last.ckpt"]
    (small_disk / "filler").unlink()
    workplace.finish(FAMILY, run)


def test_a_folder_that_cannot_be_written_to_is_one_message(workplace, small_disk):
    run = small_disk / "run"
    assert workplace.run(workplace.command(FAMILY, run), fault=STOP).code == 143
    before = hashes(run)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for folder in (run, small_disk / "new"):
        ended = workplace.run(workplace.command(FAMILY, folder))
        assert ended.code == 2
        assert "Read-only file system" in ended.err
        assert len(ended.err.strip().splitlines()) == 1, ended.err
    assert hashes(run) == before
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    workplace.finish(FAMILY, run)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "both gone"])
def test_a_damaged_checkpoint_is_passed_over(workplace, tmp_path, damage):
    run = tmp_path / "run"
    assert workplace.run(workplace.command(FAMILY, run), fault=STOP).code == 143
    last, draws = run / "last.ckpt", random.Random(0)
    content = bytearray(last.read_bytes())
    content[draws.randrange(len(content))] ^= 1 << draws.randrange(8)
    last.write_bytes({"truncated": bytes(content[:-1000]), "flipped": bytes(content), "empty": b""}.get(damage, b"x"))
    if damage == "both gone":
        (run / "last-1.ckpt").write_bytes(b"")
        ended = workplace.run(workplace.command(FAMILY, run))
        assert ended.code == 2
        assert "start anew with resume=false" in ended.err
        return
    ended = workplace.run(workplace.command(FAMILY, run))
    assert ended.code == 0
    assert "last.ckpt" in ended.err
    assert "the run goes on from last-1.ckpt" in ended.err
    workplace.finish(FAMILY, run)


def test_batches_that_hold_no_numbers_do_not_reach_the_weights(workplace, tmp_path):
    for policy, code in (("skip", 0), ("stop", 2), ("rollback", 0)):
        run = tmp_path / policy / "run"
        fault = {"point": "step", "count": 7, "poison": True}
        more = [f"callbacks.stability.policy={policy}", "callbacks.stability.every=3"]
        ended = workplace.run(workplace.command("table/tabdiff", run, *more), fault=fault)
        assert ended.code == code, ended.err
        assert "loss is nan at 1,792 examples" in ended.err
        assert '"loss": "nan"' in (run / "bad_steps.jsonl").read_text()
        assert len(ended.err.strip().splitlines()) == 1, ended.err


def test_another_number_of_threads_is_said(workplace, tmp_path):
    run = tmp_path / "run"
    assert workplace.run(workplace.command(FAMILY, run), fault=STOP).code == 143
    ended = workplace.run(workplace.command(FAMILY, run), threads=2)
    assert ended.code == 0
    assert "began with threads 1 and goes on with 2: its bytes may differ" in ended.err


def test_another_batch_size_is_refused_with_the_reason(workplace, tmp_path):
    run = tmp_path / "run"
    assert workplace.run(workplace.command(FAMILY, run), fault=STOP).code == 143
    ended = workplace.run(["train", f"run={run}", "data.batch_size=32"])
    assert ended.code == 2
    assert "goes on with its own config, but with data.batch_size=32 its data would be another" in ended.err
