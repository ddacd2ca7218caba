"""What each of two processes does in test_several.py; apart, as a new process imports it."""

import json
import os
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.strategies import DDPStrategy

from synthgen.synthesizer import Synthesizer
from synthgen.training import budget
from synthgen.training.fit import fit_model
from synthgen.training.run_folder import RunFolder
from tests.callbacks.runs import config_of, data_for
from tests.tiny import Numbers, Tiny, averaged, gradient_stage, slow_squared_error

__all__ = ["one_of_two"]


def one_of_two(rank: int, folder: Path, port: int, families: list[str]) -> None:
    """Trains one model after another together with the other process, and notes what became of them.

    Args:
        rank: 0 or 1.
        folder: Of both.
        port: At which they meet.
        families: Real models.
    """
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    for stages in (1, 2):
        train_in_time(rank, folder / f"stages{stages}", stages)
    for name in families:
        train_family(rank, folder / name.replace("/", "-"), name)


def train_in_time(rank: int, folder: Path, stages: int) -> None:
    """A run of one second, on clocks of which the second process's goes thrice as fast."""
    together = Together()
    seed_everything(1, verbose=False)
    model = Tiny([gradient_stage(loss=slow_squared_error, ema=averaged()) for _ in range(stages)])
    data = Numbers(validation=15, batch_size=4)
    with_clock = budget.time
    try:
        if rank:
            budget.time = SimpleNamespace(monotonic=lambda: 3 * time.monotonic())
        # The first process's folder is that of both.
        own = RunFolder(folder / f"run{rank}")
        fitted = fit_model(model, data, trainer(), own, budget.Budget(1, max_time=1.0), callbacks=[together])
    finally:
        budget.time = with_clock
    tell(rank, folder, model, fitted, together)


def train_family(rank: int, folder: Path, name: str) -> None:
    """Twelve batches of a real model, validated in between."""
    data = data_for(name)
    seed_everything(1, verbose=False)
    model = Synthesizer.build(config_of(name)["model"], data).model
    examples = budget.Budget(2 * 12 * data.batch_size)
    together, options = Together(), {"validate_every": 8 * data.batch_size}
    fitted = fit_model(model, data, trainer(), RunFolder(folder), examples, callbacks=[together], **options)
    tell(rank, folder, model, fitted, together)


def trainer() -> partial:
    """Of two processes, which this one is one of."""
    strategy = DDPStrategy(find_unused_parameters=True, timeout=timedelta(seconds=120))
    return partial(Trainer, accelerator="cpu", devices=2, strategy=strategy)


def tell(rank, folder, model, fitted, together) -> None:
    """What became of a run: its last weights, and those that were kept, which both processes read from disk."""
    torch.save({"last": together.last, "kept": model.state_dict()}, folder / f"weights{rank}.pt")
    finite = all(value.float().isfinite().all() for value in model.trained_state().values())
    found = {"seen": fitted.samples_seen, "budget": fitted.budget, "finite": finite, "broadcasts": together.broadcasts}
    (folder / f"found{rank}.json").write_text(json.dumps(found))


class Together(Callback):
    """Notes how often the processes wait for what the first one says, and the weights that they end with."""

    def __init__(self):
        self.broadcasts = 0
        self.last = {}

    def on_train_start(self, trainer, pl_module):
        original = trainer.strategy.broadcast

        def counted(*arguments, **options):
            self.broadcasts += 1
            return original(*arguments, **options)

        trainer.strategy.broadcast = counted

    def on_train_end(self, trainer, pl_module):
        # Parameters and not running statistics, of which each process has its own within a batch.
        self.last = {name: value.detach().clone() for name, value in pl_module.named_parameters()}
