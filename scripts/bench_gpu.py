"""Training and sampling speed of every family on a GPU, as its experiment sets it; see scripts/bench_gpu."""

import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from pytorch_lightning import Callback, Trainer
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from synthgen.configuration import compose
from synthgen.data.module import DataModule
from synthgen.models.base import Model
from synthgen.run import load_data
from synthgen.synthesizer import Synthesizer
from synthgen.training.budget import Budget
from synthgen.training.fit import fit_model
from synthgen.training.run_folder import RunFolder

FAMILIES = {
    "table/argn": ["experiment=adult_tabdiff", "model=table/argn"],
    "table/argn-transformer": ["experiment=adult_tabdiff", "model=table/argn", "network=any_order_transformer"],
    "table/tabdiff": ["experiment=adult_tabdiff"],
    "table/tabsyn": ["experiment=adult_tabdiff", "model=table/tabsyn"],
    "table/ctgan": ["experiment=adult_tabdiff", "model=table/ctgan"],
    "table/tvae": ["experiment=adult_tabdiff", "model=table/tvae"],
    "image/edm": ["experiment=fashion_edm"],
    "image/flow": ["experiment=fashion_edm", "model=image/flow"],
    "image/ddpm": ["experiment=fashion_edm", "model=image/ddpm"],
    "image/dcgan": ["experiment=fashion_dcgan"],
    "image/vae": ["experiment=fashion_vae"],
}
SECONDS, WARM_UP, PROFILED = 2.0, 20, 30
ROWS, IMAGES = 20_000, 2_048


@dataclass(frozen=True)
class Measured:
    """One training, timed once the device is warm."""

    rate: float  # examples a second
    step: float  # seconds
    memory: float  # GiB, highest
    busy: float | None  # share of the time in which kernels ran


class Meter(Callback):
    """Times training between two points at which the device has caught up, then profiles some steps."""

    def __init__(self, profiled: bool) -> None:
        self.steps = 0
        self.found: Measured | None = None
        self.profiler = profile(activities=[ProfilerActivity.CUDA]) if profiled else None
        self.until: int | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        """Reads the clock where it is due; ends training when all is known."""
        self.steps += 1
        if self.steps == WARM_UP:
            self.begun, self.seen = self._now(), pl_module.samples_seen
        elif self.steps > WARM_UP and self.found is None and time.monotonic() - self.begun > SECONDS:
            spent = self._now() - self.begun
            rate, step = (pl_module.samples_seen - self.seen) / spent, spent / (self.steps - WARM_UP)
            self.found = Measured(rate, step, torch.cuda.max_memory_allocated() / 2**30, None)
            if self.profiler is None:
                trainer.should_stop = True
                return
            self.profiler.start()
            self.until = self.steps + PROFILED
        elif self.profiler is not None and self.found is not None and self.steps == self.until:
            torch.cuda.synchronize()
            self.profiler.stop()
            kernels = sum(event.self_device_time_total for event in self.profiler.key_averages()) / 1e6
            # Of a step without the profiler, which delays the host.
            self.found = replace(self.found, busy=kernels / PROFILED / self.found.step)
            trainer.should_stop = True

    @staticmethod
    def _now() -> float:
        torch.cuda.synchronize()
        return time.monotonic()


def measured(config: dict[str, Any], data: DataModule, precision: str, profiled: bool) -> tuple[Measured, Model]:
    """Trains for some seconds."""
    torch.cuda.reset_peak_memory_stats()
    model = Synthesizer.build(config["model"], data).model
    trainer = partial(Trainer, accelerator="gpu", devices=1, precision=precision)
    meter = Meter(profiled)
    with tempfile.TemporaryDirectory() as folder:
        endless = Budget(10**12)
        fit_model(model, data, trainer, RunFolder(Path(folder)), endless, callbacks=[meter], validate_every=10**15)
    if meter.found is None:
        sys.exit("scripts/bench_gpu: stopped")
    return meter.found, model


class Half:
    """Keeps every second row, as the most that constraints cost: the host judges, and the device draws again."""

    alike, ordered = True, False

    def judge(self, rows: dict[str, torch.Tensor], places: np.ndarray | None) -> np.ndarray:
        """Which rows are kept: a function of the row."""
        numbers = torch.cat([rows["numerical"].double(), rows["categorical"].double()], dim=1).sum(dim=1)
        return (numbers.numpy() * 1e4).astype(np.int64) % 2 == 0

    def take(self, index: np.ndarray) -> None:
        """Nothing: a row does not depend on others."""

    def blame(self) -> str:
        """What rows do not keep to."""
        return "every second row"


def sampling(model: Model, n: int, keeping: Half | None = None) -> float:
    """Samples a second."""
    model.to("cuda").sample(min(n, model.block_size))
    begun = time.monotonic()
    model.sample(n, keeping=keeping)
    return n / (time.monotonic() - begun)


def main() -> None:
    """Measures and prints; see scripts/bench_gpu for the arguments."""
    warnings.filterwarnings("ignore")
    torch.set_float32_matmul_precision("high")
    given = OmegaConf.from_cli()
    rounds = int(given.get("rounds", 3))
    console = Console(width=150)
    if not torch.cuda.is_available():
        sys.exit("scripts/bench_gpu: this machine has no GPU")
    title = f"{torch.cuda.get_device_name()}, torch {torch.__version__}: median of {rounds} alternating rounds"
    table = Table(title=title, title_justify="left")
    columns = (
        "examples/s fp32",
        "bf16-mixed",
        "ratio",
        "spread",
        "ms a step",
        "device busy",
        "GiB",
        "samples/s",
        "of half",
    )
    for heading in ("family", *columns):
        table.add_column(heading, justify="left" if heading == "family" else "right")
    for family in str(given.get("only", ",".join(FAMILIES))).split(","):
        cells = row(family, rounds)
        console.print("  ".join((family, *cells)))  # at once: a run may be cut
        table.add_row(family, *cells)
    console.print(table)


def row(family: str, rounds: int) -> list[str]:
    """All figures of a family."""
    config = compose("train", FAMILIES[family])
    data = load_data(config)
    found: dict[str, list[Measured]] = {"32-true": [], "bf16-mixed": []}
    for number in range(rounds):
        for precision, ones in found.items():
            last = number == rounds - 1 and precision == "bf16-mixed"
            one, model = measured(config, data, precision, last)
            ones.append(one)
    full, half = found.values()
    is_table = family.startswith("table")
    ratios = [b.rate / a.rate for a, b in zip(full, half, strict=True)]
    return [
        *(f"{median(one.rate for one in ones):,.0f}" for ones in found.values()),
        f"{median(ratios):.2f}",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        f"{1e3 * median(one.step for one in half):.2f}",
        f"{half[-1].busy:.0%}",
        f"{max(one.memory for one in half):.2f}",
        f"{sampling(model, ROWS if is_table else IMAGES):,.0f}",
        f"{sampling(model, ROWS, Half()):,.0f}" if is_table else "–",
    ]


if __name__ == "__main__":
    main()
