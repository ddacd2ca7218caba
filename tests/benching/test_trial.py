"""A trial's process ends with the bench."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from scripts.benching.trial import ROOT


def test_a_bench_that_is_ended_ends_the_trial_in_flight(tmp_path):
    (tmp_path / "sleeper.py").write_text(
        "import os, pathlib, time\n"
        "def fit(task):\n"
        "    pathlib.Path(task.settings['pid']).write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "bench.py").write_text(
        "import pathlib, sys\n"
        "from scripts.benching.methods import Method\n"
        "from scripts.benching.trial import Trial, end_with_the_trial\n"
        "Method.python = lambda self, root: sys.executable\n"
        "end_with_the_trial()\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "method = Method('sleeper', 'tables', 'sleeper', 'Sleeper', {'pid': str(folder / 'pid')}, packages=())\n"
        "pathlib.Path(folder / 'x.parquet').write_bytes(pathlib.Path(sys.argv[2]).read_bytes())\n"
        "handed = {'data': str(folder / 'x.parquet'), 'words': [], 'target': None, 'samples': 1}\n"
        "Trial(method, 'x', 0, 1, folder / 'trial').run(handed)\n"
    )
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "one.parquet")
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    command = [sys.executable, tmp_path / "bench.py", tmp_path, tmp_path / "one.parquet"]
    bench = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths})
    pid = tmp_path / "pid"
    wait_until(lambda: pid.is_file() and pid.read_text())
    bench.terminate()
    assert bench.wait(60) == 128 + signal.SIGTERM
    wait_until(lambda: not Path(f"/proc/{pid.read_text()}").exists())


def wait_until(happened, seconds=120):
    ends = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends
        time.sleep(0.05)
