"""One method on one data set with one seed, in a process of its own by the interpreter of the method's environment."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.benching.methods import Method
from synthgen.files import replacing

__all__ = ["ROOT", "Trial", "cpu_name", "end_with_the_trial"]

ROOT = Path(__file__).resolve().parents[2]


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
        code = self._run_child(self.folder / "task.json")
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
            "cpu": cpu_name(),
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


def end_with_the_trial() -> None:
    """SIGTERM and a closed terminal end the trial in flight too, and not only the bench that waits for it."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _: sys.exit(128 + number))


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


def cpu_name() -> str:
    """Its model and the number of cores, as rows note them."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{name}, {os.cpu_count()} cores"


def _commit() -> str:
    """Of this repository; "+" where what is trained has been changed since."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "synthgen", "configs", "scripts/benching/fitting")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
