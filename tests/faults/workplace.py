"""Where faults are tried: real runs in real processes, and what they are held against."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from synthgen.training.checkpoint_io import AtomicCheckpointIO

# One line a family: what `synthgen train` trains for some 24 steps, with every kind of randomness left on.
FAMILIES = {
    "table/argn": [
        "data=randhie",
        "data.limit=3000",
        "data.batch_size=256",
        "network.width=16",
        "network.dropout=0.1",
        "model.optimization.patience=null",  # a run ends where its budget says
    ],
    "table/tabdiff": ["data=randhie", "data.limit=3000", "data.batch_size=256", "network.width=16", "network.depth=1"],
    "table/tabsyn": [
        *("data=randhie", "data.limit=3000", "data.batch_size=256", "network.autoencoder.width=16"),
        *("network.denoiser.width=16", "network.denoiser.depth=1", "network.denoiser.dropout=0.1", "model.steps=4"),
        "model.share=0.25",
    ],
    "table/ctgan": [
        "data=randhie",
        "data.limit=3000",
        "data.batch_size=250",
        "network.widths=[16]",
        "model.dropout=0.5",
    ],
    "table/tvae": ["data=randhie", "data.limit=3000", "data.batch_size=256", "network.widths=[16]", "model.latent=4"],
    "image/edm": ["data=digits", "data.batch_size=64", "network.width=8", "network.blocks=1"],
    "image/flow": ["data=digits", "data.batch_size=64", "network.width=8", "network.blocks=1"],
    "image/ddpm": ["data=digits", "data.batch_size=64", "network.width=8", "network.blocks=1", "model.steps=10"],
    "image/dcgan": ["data=digits", "data.batch_size=64", "network.generator.width=8", "network.discriminator.width=8"],
    "image/vae": ["data=digits", "data.batch_size=64", "network.encoder.width=8", "network.decoder.width=8"],
    "table/copula": ["data=randhie", "data.limit=3000", "data.batch_size=256"],
}
STEPS = 24
NOT_COMPUTED = ["samples_per_second", "seconds_left", "peak_memory_gb", "eval/seconds", "eval/share"]


def moments(family: str) -> dict[str, int]:
    """How often a whole run passes each point at which a fault can strike; see `zygote.POINTS`."""
    if family == "table/copula":  # a closed form takes no step, and saves at its end alone
        return {"begin": 1, "write": 1, "rename": 1, "export": 1, "record": 2}
    often = {"begin": 1, "step": STEPS, "write": 5, "rename": 5, "validation": STEPS // 6, "export": 1, "record": 2}
    if family in {"table/ctgan", "image/dcgan"}:  # a GAN's losses say nothing of its samples: nothing is validated
        del often["validation"]
    return often


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it said."""

    code: int
    out: str
    err: str


class Workplace:
    """A folder, a process that starts others, and one uninterrupted run a family to compare with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            # These networks are too small for a second thread, and cores are few where other tests run.
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self._ask(None) == "ready"
        self._commands = 0

    def close(self) -> None:
        assert self._zygote.stdin is not None
        self._zygote.stdin.close()
        self._zygote.wait(timeout=30)

    def command(self, family: str, run: Path, *more: str) -> list[str]:
        """The train command of a family: checkpoints every 4 steps, validation every 6, metrics every 3."""
        batch = next(int(o.partition("=")[2]) for o in FAMILIES[family] if o.startswith("data.batch_size"))
        return [
            *("train", *FAMILIES[family], f"model={family}", "trainer=cpu", "logger=csv", "callbacks.progress=null"),
            *("callbacks.metrics.every=3", f"max_samples={STEPS * batch}", f"validate_every={6 * batch}"),
            *(f"save_every_samples={4 * batch}", f"run={run}", f"checkpoint_dir={run.parent}/checkpoints"),
            *("callbacks.evaluation.share=null", f"callbacks.evaluation.every={9 * batch}"),
            *("callbacks.evaluation.samples=64", "callbacks.evaluation.looks.fidelity.detector_rows=64"),
            *more,
        ]

    def start(self, arguments: list[str], fault: dict[str, Any] | None = None, threads: int = 0) -> int:
        """Starts a command; its process id."""
        self._commands += 1
        request = {
            "arguments": arguments,
            "folder": str(self.folder),
            "log": str(self.folder / f"log-{self._commands}"),
            "fault": fault,
            "threads": threads,
        }
        return int(self._ask(request))

    def wait(self, pid: int, seconds: float = 120) -> Ended:
        """Waits for a command; one that hangs is a fault that was not survived."""
        deadline = time.monotonic() + seconds
        while (code := json.loads(self._ask({"poll": pid}))) is None:
            if time.monotonic() > deadline:
                os.kill(pid, 9)
                raise AssertionError(f"the command was still there after {seconds} s")
            time.sleep(0.02)
        log = self.folder / f"log-{self._commands}"
        return Ended(
            code, log.with_name(log.name + ".stdout").read_text(), log.with_name(log.name + ".stderr").read_text()
        )

    def run(self, arguments: list[str], fault: dict[str, Any] | None = None, threads: int = 0) -> Ended:
        """A command from its start to its end."""
        return self.wait(self.start(arguments, fault, threads))

    def whole(self, family: str) -> dict[str, Any]:
        """What the uninterrupted run of a family ends with."""
        folder = self.folder / "whole" / family.replace("/", "-")
        if not (folder / "run" / "run.json").is_file() or "finished" not in (folder / "run" / "run.json").read_text():
            ended = self.run(self.command(family, folder / "run"))
            assert ended.code == 0, ended.err
        return result(folder / "run")

    def finish(self, family: str, run: Path) -> None:
        """Goes on with a run by the same command, and holds its end against that of the uninterrupted run."""
        ended = self.run(self.command(family, run))
        assert ended.code == 0, ended.err
        assert "Traceback" not in ended.err
        assert_same(result(run), self.whole(family))

    def _ask(self, request: dict[str, Any] | None) -> str:
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        if request is not None:
            self._zygote.stdin.write(json.dumps(request) + "\n")
            self._zygote.stdin.flush()
        return self._zygote.stdout.readline().strip()


def result(run: Path) -> dict[str, Any]:
    """What a finished run leaves: exported bytes, the whole training state, and the history of metrics."""
    exported = run.parent / "checkpoints" / run.name
    state = AtomicCheckpointIO().load_checkpoint(run / "last.ckpt")
    return {
        "exported": [(exported / name).read_bytes() for name in ("model.safetensors", "codec.json")],
        "weights": state["state_dict"],
        "optimizers": state["optimizer_states"],
        "random": state["callbacks"]["RandomState"],
        "watched": state["callbacks"]["Stability"],
        "looked": {name: state["callbacks"]["Evaluation"][name] for name in ("count", "at", "drawn", "looks")},
        "metrics": history(run / "metrics.csv"),
    }


def history(file: Path) -> pd.DataFrame:
    """The metrics of a run, without what hangs on the clock and the machine."""
    return pd.read_csv(file).drop(columns=NOT_COMPUTED, errors="ignore") if file.is_file() else pd.DataFrame()


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Equality to the last bit, of whatever checkpoints hold."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}/{i}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    else:
        assert one == other, where
