import errno
import fcntl
import os
import subprocess
import sys

import pytest

from synthgen.errors import SynthgenError
from synthgen.training.lock import locked

HOLD = """
import sys
from pathlib import Path
from synthgen.training.lock import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder):
    with locked(folder):
        pass


def test_a_second_process_is_refused_and_told_who_is_there(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(SynthgenError, match=rf"process {holder.pid} on .* is training in this run folder"):
            hold(tmp_path)
        holder.kill()
        holder.wait()
        hold(tmp_path)
    assert f"process {os.getpid()} " in (tmp_path / ".lock").read_text()


def test_a_lock_is_let_go_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "new"):
        raise ZeroDivisionError
    hold(tmp_path / "new")


def test_one_process_may_hold_two_folders_and_not_one_twice(tmp_path):
    with locked(tmp_path / "a"), locked(tmp_path / "b"), pytest.raises(SynthgenError, match=f"process {os.getpid()} "):
        hold(tmp_path / "a")


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="this file system has no locks"):
        hold(tmp_path)
