"""One method on one data set with one seed, in a process of its own by the interpreter of the method's environment."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.benching.methods import Method
from synthgen.files import replacing

__all__ = ["ROOT", "SPOILED", "Trial", "Watch", "end_with_the_trial"]

ROOT = Path(__file__).resolve().parents[2]
SPOILED = 0.2  # cores that other processes used meanwhile, on average


@dataclass(frozen=True)
class Trial:
    """What one row is about.

    Attributes:
        method: What is trained.
        data: Name of the data set.
        seed: Of everything that the method draws.
        threads: That it may use.
        folder: Its own; what it makes is kept there, so that it can be judged again.
    """

    method: Method
    data: str
    seed: int
    threads: int
    folder: Path

    @property
    def synthetic(self) -> Path:
        """What it has made."""
        return self.folder / f"synthetic.{'parquet' if self.method.kind == 'tables' else 'npz'}"

    @property
    def row_file(self) -> Path:
        """The row as far as it is known without a judge."""
        return self.folder / "row.json"

    def run(self, handed: dict[str, Any]) -> dict[str, Any]:
        """Trains and samples, and returns the row without figures; a failure is a row, too.

        Args:
            handed: What `hand_over` of the data set returned.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        task = {
            **handed,
            "samples": self.method.samples or handed["samples"],
            "fitting": self.method.fitting,
            "settings": dict(self.method.settings),
            "packages": list(self.method.packages),
            "seed": self.seed,
            "threads": self.threads,
        }
        (self.folder / "task.json").write_text(json.dumps(task))
        row = self._identity()
        with Watch() as watch:
            code = self._run_child(self.folder / "task.json")
        row |= watch.seen
        result = self.folder / "result.json"
        if code == 0 and result.is_file():
            row |= {"status": "done", **json.loads(result.read_text())}
        else:
            row |= {"status": "failed", "error": self._error(code)}
        with replacing(self.row_file) as partial:
            partial.write_text(json.dumps(row))
        return row

    def _identity(self) -> dict[str, Any]:
        return {
            "method": self.method.name,
            "data": self.data,
            "seed": self.seed,
            "settings": dict(self.method.settings),
            "threads": self.threads,
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
            "cpu": _cpu(),
            "commit": _commit(),
        }

    def _run_child(self, task: Path) -> int | None:
        """Its exit code; None when it took too long."""
        command = [str(self.method.python(ROOT)), "-m", "scripts.benching.child", str(task)]
        with (self.folder / "log.txt").open("w") as log:
            child = subprocess.Popen(
                command, cwd=ROOT, env=_environment(self.threads), stdout=log, stderr=log, start_new_session=True
            )
            try:
                return child.wait(self.method.timeout)
            except subprocess.TimeoutExpired:
                return None
            finally:
                # Whatever it has started ends with it, and so does it when the bench is interrupted.
                _kill(child)

    def _error(self, code: int | None) -> str:
        if code is None:
            return f"gave no result within {self.method.timeout:,.0f} s"
        lines = (self.folder / "log.txt").read_text(errors="replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip()), "no message")
        return f"exit code {code}: {last.strip()[:300]}"


class Watch:
    """How much others disturb: the cores that all other processes and the hypervisor use, and the load average.

    Attributes:
        seen: "load", the highest one-minute average; "others", cores that others used on average; "spoiled".
    """

    seen: dict[str, Any]

    def __init__(self, every: float = 2.0, busy: Callable[[], float] | None = None) -> None:
        self.every = every
        self._busy = busy or _busy_seconds

    def __enter__(self) -> "Watch":
        self._over = threading.Event()
        self._highest = os.getloadavg()[0]
        self._begun = time.monotonic(), self._busy(), _own_seconds()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        begun, busy, own = self._begun
        elapsed = max(time.monotonic() - begun, 1e-3)
        others = max(0.0, self._busy() - busy - (_own_seconds() - own)) / elapsed
        self.seen = {"load": round(self._highest, 2), "others": round(others, 2), "spoiled": others > SPOILED}

    def _look(self) -> None:
        while not self._over.wait(self.every):
            self._highest = max(self._highest, os.getloadavg()[0])


def end_with_the_trial() -> None:
    """SIGTERM, as `timeout` sends it, ends the trial in flight too, and not only the bench that waits for it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _busy_seconds() -> float:
    """Core-seconds that this machine was not idle since it started, those that its host took away included."""
    _, *ticks = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, ticks)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Core-seconds of this process and of all children that have ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def _kill(child: subprocess.Popen) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _environment(threads: int) -> dict[str, str]:
    limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT", "NUMEXPR_MAX_THREADS")
    # All are compared on the CPU; a peer that finds a GPU would take it.
    return {
        **os.environ,
        **dict.fromkeys(limits, str(threads)),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "CUDA_VISIBLE_DEVICES": "",
        "TQDM_DISABLE": "1",
        "HF_HUB_OFFLINE": "1",
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{name}, {os.cpu_count()} cores"


def _commit() -> str:
    """Of this repository; "+" where what is trained has been changed since."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "synthgen", "configs", "scripts/benching/fitting")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
