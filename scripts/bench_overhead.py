"""What the engine costs over a bare PyTorch loop: the same model, data, batches, precision and steps, in turn.

The engine is all that `synthgen train` runs between the first batch and the last: Lightning's loop, stages, progress
bar, metrics, loggers, the watch over stability, signals and the checkpoint's clock. What a checkpoint costs when it is
due is measured beside it.
"""

import sys
import time
import warnings
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pytorch_lightning import Callback
from rich.console import Console
from rich.table import Table
from torch import nn

from synthgen.configuration import build, compose
from synthgen.data.module import DataModule
from synthgen.models.base import bf16_pays
from synthgen.run import load_data
from synthgen.synthesizer import Synthesizer
from synthgen.training.budget import Budget
from synthgen.training.checkpoints import Checkpoints, Saving
from synthgen.training.fit import fit_model
from synthgen.training.run_folder import RunFolder
from synthgen.training.signals import exit_code

ROUNDS = 7
SECONDS = 4.0
WARM_UP = 10


class Clock(Callback):
    """Measures from the end of the warm-up to the end of the last batch, and one checkpoint after that."""

    def __init__(self) -> None:
        self.steps = 0
        self.begun = self.ended = self.saving = 0.0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Reads the clock."""
        self.steps += 1
        self.ended = time.perf_counter()
        if self.steps == WARM_UP:
            self.begun = self.ended

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Saves once."""
        checkpoints = next(callback for callback in trainer.callbacks if isinstance(callback, Checkpoints))
        begun = time.perf_counter()
        checkpoints.save(trainer)
        self.saving = time.perf_counter() - begun


def main() -> None:
    """Measures and prints; arguments are overrides of `synthgen train`."""
    warnings.filterwarnings("ignore")
    console = Console()
    table = Table(title=f"one training step, median of {ROUNDS} alternating rounds", title_justify="left")
    for heading in ("experiment", "bare loop", "engine", "overhead", "of single rounds", "a checkpoint", "of 60 s"):
        table.add_column(heading, justify="left" if heading == "experiment" else "right")
    for experiment in ("demo_images", "adult_tabdiff"):
        # Looks at samples have a share of the time of their own.
        given = [f"experiment={experiment}", "trainer=cpu", "callbacks.evaluation=null", *sys.argv[1:]]
        config = compose("train", given)
        data = load_data(config)
        steps = WARM_UP + max(20, int(SECONDS / bare(config, data, WARM_UP + 20)))
        times: list[tuple[float, float]] = []
        saving = 0.0
        for number in range(ROUNDS):
            of_bare = bare(config, data, steps)
            of_engine, saving = engine(config, data, steps)
            times.append((of_bare, of_engine))
            steps_done = f"{experiment}: round {number + 1} of {ROUNDS}, {steps} steps each"
            console.print(f"{steps_done}: {1e3 * of_bare:.2f} and {1e3 * of_engine:.2f} ms a step", highlight=False)
        plain, whole = (median(column) for column in zip(*times, strict=True))
        ratios = [of_engine / of_bare - 1 for of_bare, of_engine in times]
        cells = [f"{1e3 * plain:.2f} ms", f"{1e3 * whole:.2f} ms", f"{100 * (whole / plain - 1):+.1f} %"]
        cells += [f"{100 * min(ratios):+.1f} to {100 * max(ratios):+.1f} %"]
        table.add_row(experiment, *cells, f"{1e3 * saving:.0f} ms", f"{100 * saving / 60:.2f} %")
    console.print(table)


def engine(config: dict[str, Any], data: DataModule, steps: int) -> tuple[float, float]:
    """Seconds a step under `fit_model`, and seconds of a checkpoint."""
    clock, batch = Clock(), data.batch_size
    with TemporaryDirectory() as folder:
        fitted = fit_model(
            fresh(config, data).model,
            data,
            build({**config["trainer"], "precision": precision()}, _partial_=True),
            RunFolder(Path(folder)),
            Budget(steps * batch),
            callbacks=[*(build(callback) for callback in config["callbacks"].values() if callback), clock],
            loggers=[build(logger, save_dir=folder) for logger in config["logger"].values()],
            validate_every=config["validate_every"],
            saving=Saving(config["save_every"]),
        )
    if fitted.signal is not None:
        sys.exit(exit_code(fitted.signal))
    return (clock.ended - clock.begun) / (clock.steps - WARM_UP), clock.saving


def bare(config: dict[str, Any], data: DataModule, steps: int) -> float:
    """Seconds a step of the loop that one would write by hand for this one model."""
    model = fresh(config, data).model
    stage: Any = model.stages[0]
    module, average, loss_of = stage.module, stage.average, stage.loss
    parameters = list(module.parameters())
    how = stage.optimization
    optimizer = torch.optim.AdamW(parameters, lr=how.lr, betas=how.betas, weight_decay=how.weight_decay, fused=True)
    tensors = data.training_tensors()
    rows = len(next(iter(tensors.values())))
    generator = torch.Generator().manual_seed(0)
    autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=precision() == "bf16-mixed")
    order = torch.randperm(rows)
    model.train()
    begun = time.perf_counter()
    for step in range(steps):
        if step == WARM_UP:
            begun = time.perf_counter()
        place = step * data.batch_size % rows
        if place + data.batch_size > rows:
            order, place = torch.randperm(rows), 0
        index = order[place : place + data.batch_size]
        batch = {name: tensor[index] for name, tensor in tensors.items()}
        with autocast():
            loss = loss_of(module, batch, generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, how.clip)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), parameters, 0.01)
    return (time.perf_counter() - begun) / (steps - WARM_UP)


def fresh(config: dict[str, Any], data: DataModule) -> Synthesizer:
    """An untrained synthesizer, always of the same weights."""
    torch.manual_seed(0)
    return Synthesizer.build(config["model"], data)


def precision() -> str:
    """What `trainer.precision=auto` means here."""
    return "bf16-mixed" if bf16_pays(torch.device("cpu")) else "32-true"


if __name__ == "__main__":
    main()
