"""Fits a model to a data module within a run folder."""

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger

from synthgen.data.module import DataModule
from synthgen.models.base import Model
from synthgen.training.budget import Budget
from synthgen.training.checkpoint_io import AtomicCheckpointIO
from synthgen.training.run_folder import RunFolder

__all__ = ["Fitted", "fit_model"]

# Lightning's remarks about choices that are made on purpose here.
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",
    ".*is not a `DataLoader`.*",
    ".*`training_step` returned `None`.*",
    ".*exists and is not empty.*",
    ".*GPU available but not used.*",
    ".*Found .* module.s. in eval mode at the start of training.*",
    ".*You're resuming from a checkpoint that ended before the epoch ended.*",
    ".*LeafSpec.*",
    ".*lr_scheduler.*",
    ".*val_check_interval=1.*",
)


@dataclass(frozen=True)
class Fitted:
    """How training ended.

    Attributes:
        interrupted: Whether a person stopped it; the run is then unfinished.
        samples_seen: Training examples seen.
        budget: Training examples that the whole run has.
        seconds: Time spent training, over all restarts.
        validation_loss: Lowest one, or None without validation data.
    """

    interrupted: bool
    samples_seen: int
    budget: int | None
    seconds: float
    validation_loss: float | None


def fit_model(
    model: Model,
    data: DataModule,
    make_trainer: Callable[..., Trainer],
    folder: RunFolder,
    budget: Budget,
    *,
    callbacks: Iterable[Callback] = (),
    loggers: Iterable[Logger] = (),
    validate_every: int = 100_000,
    resume: bool = True,
) -> Fitted:
    """Trains until the budget is spent, early stopping ends it, or Ctrl-C; leaves the best weights in `model`.

    Args:
        model: What is trained, in place.
        data: Loaded data.
        make_trainer: A partial `Trainer` that takes what this function adds.
        folder: Where checkpoints go, and where an unfinished run is found.
        budget: When to end.
        callbacks: Besides those that save and end.
        loggers: Where metrics go.
        validate_every: Examples between two validations.
        resume: Whether to go on from the folder's last checkpoint.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its notes on hardware and tips
    best = _Best(folder.path, filename="best", monitor="val/loss", save_top_k=1, enable_version_counter=False)
    last = ModelCheckpoint(
        folder.path,
        filename="last",
        train_time_interval=timedelta(seconds=60),
        save_on_exception=True,
        enable_version_counter=False,
    )
    trainer = make_trainer(
        default_root_dir=folder.path,
        callbacks=[budget, *callbacks, best, last],
        logger=list(loggers) or False,
        plugins=[AtomicCheckpointIO()],
        max_epochs=-1,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        val_check_interval=1,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
    batch = data.batch_size * trainer.world_size
    trainer.val_check_interval = max(1, validate_every // batch)
    if data.validation is None or not model.validates:
        trainer.limit_val_batches = 0
    checkpoint = folder.last_checkpoint if resume and folder.last_checkpoint.is_file() else None
    interrupted = _fit_until_interrupt(trainer, model, data, checkpoint)
    # A time-based save_last is not written at the end of training, and a resumed run may start from there.
    if not interrupted:
        trainer.save_checkpoint(folder.last_checkpoint)
    spent = Fitted(
        interrupted=interrupted,
        samples_seen=model.samples_seen,
        budget=model.budget,
        seconds=budget.seconds,
        validation_loss=None if best.best_model_score is None else float(best.best_model_score),
    )
    if folder.best_checkpoint.is_file():
        state = torch.load(folder.best_checkpoint, map_location="cpu", weights_only=True)
        model.load_state_dict(state["state_dict"])
    return spent


class _Best(ModelCheckpoint):
    """Keeps the lowest validation loss of the last stage: those before measure something else, and leave it untrained.

    A model that ends in a closed form has no best: the closed form belongs to the weights that it was fitted to.
    """

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        if pl_module.stage is pl_module.stages[-1]:
            super().on_validation_end(trainer, pl_module)


def _fit_until_interrupt(trainer: Trainer, model: Model, data: DataModule, checkpoint: Path | None) -> bool:
    """Runs the trainer; True if Ctrl-C ended it. Lightning would end the whole process then, notebook and all."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        try:
            trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as error:
            if not isinstance(error.__context__, KeyboardInterrupt):
                raise
            return True
        finally:
            if in_main_thread:
                signal.signal(signal.SIGINT, handler)
    return trainer.interrupted
