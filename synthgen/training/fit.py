"""Fits a model to a data module within a run folder."""

import logging
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger

from synthgen.data.module import DataModule
from synthgen.errors import SynthgenError, out_of_memory
from synthgen.models.base import Model
from synthgen.training.budget import Budget
from synthgen.training.checkpoint_io import AtomicCheckpointIO
from synthgen.training.checkpoints import Checkpoints, Saving, Stopped, newest_checkpoint
from synthgen.training.csv_logger import CSVLogger
from synthgen.training.random_state import RandomState
from synthgen.training.run_folder import RunFolder
from synthgen.training.signals import Signals
from synthgen.training.stability import RolledBack, Stability

__all__ = ["Fitted", "fit_model"]

# Examples between two validations, and steps at least.
_VALIDATE_EVERY = 100_000
_LEAST_STEPS = 10
# Where a plateau is watched for and no row is left to see it by: epochs after which it is taken to have come, and steps
# at least. ARGN begins to learn tables of 12 to 20,000 rows by heart after about as many.
_UNWATCHED_EPOCHS = 8
_UNWATCHED_STEPS = 20

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
        signal: Number of the signal that stopped it; the run is then unfinished. None when it ended by itself.
        samples_seen: Training examples seen.
        budget: Training examples that the whole run has.
        seconds: Time spent training, over all restarts.
        best: Best figure that weights were kept by, such as the lowest validation loss; None where there was none.
        late_signal: Number of a signal that came when there was nothing left to stop, such as in the last save.
    """

    signal: int | None
    samples_seen: int
    budget: int | None
    seconds: float
    best: float | None
    late_signal: int | None = None

    @property
    def interrupted(self) -> bool:
        """Whether the run is unfinished."""
        return self.signal is not None


def fit_model(
    model: Model,
    data: DataModule,
    make_trainer: Callable[..., Trainer],
    folder: RunFolder,
    budget: Budget,
    *,
    callbacks: Iterable[Callback] = (),
    loggers: Iterable[Logger] = (),
    validate_every: int | None = None,
    saving: Saving | None = None,
    resume: bool = True,
) -> Fitted:
    """Trains until the budget is spent, early stopping ends it, or a signal comes; leaves the best weights in `model`.

    Ctrl-C, SIGTERM and SIGUSR1 end it after the batch in flight, with a checkpoint; a second one ends it at once. Of
    several processes the first one's folder is used, and all of them end with the same weights.

    Args:
        model: What is trained, in place.
        data: Loaded data.
        make_trainer: A partial `Trainer` that takes what this function adds.
        folder: Where checkpoints go, and where an unfinished run is found.
        budget: When to end.
        callbacks: Besides those that save and end.
        loggers: Where metrics go.
        validate_every: Examples between two validations; by default 100,000, or an epoch's where that is fewer and a
            plateau is watched for.
        saving: When to save, and how much to keep.
        resume: Whether to go on from the folder's newest checkpoint that is whole.

    Raises:
        SynthgenError: `validate_every` is below 1, a checkpoint is damaged or of another model, the disk is full,
            memory does not suffice, or training is not stable.
        KeyboardInterrupt: Ctrl-C came twice.
    """
    watched = any(stage.plateau for stage in model.stages)
    if watched and (data.validation is None or not model.validates):
        _end_unwatched(budget, data)
    if validate_every is None:
        epoch = max(data.training_rows, _LEAST_STEPS * data.batch_size)
        validate_every = min(_VALIDATE_EVERY, epoch) if watched else _VALIDATE_EVERY
    if validate_every < 1:
        raise SynthgenError(f"validate_every: found {validate_every}, expected at least 1")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # their notes on hardware and tips
    callbacks, loggers = list(callbacks), list(loggers)
    stability = next((callback for callback in callbacks if isinstance(callback, Stability)), None)
    if stability is None:
        stability = Stability()
        callbacks.append(stability)
    checkpoint = newest_checkpoint(folder.path) if resume else None
    modes = [(module, module.training) for module in model.modules()]
    with Signals() as signals:
        while True:
            # A rollback may come out of a validation, which had put the model into evaluation mode.
            for module, training in modes:
                module.training = training
            at_start = checkpoint is None and stability.policy == "rollback"
            checkpoints = Checkpoints(folder.path, saving or Saving(), signals, at_start)
            trainer = make_trainer(
                default_root_dir=folder.path,
                # Those that save come last: what the others note of a batch is then saved with it.
                callbacks=[budget, *callbacks, _Rewind(), checkpoints, RandomState()],
                logger=loggers or False,
                plugins=[AtomicCheckpointIO()],
                max_epochs=-1,
                check_val_every_n_epoch=None,
                num_sanity_val_steps=0,
                val_check_interval=1,
                enable_checkpointing=False,
                enable_model_summary=False,
                enable_progress_bar=False,
                use_distributed_sampler=False,
            )
            batch = data.batch_size * trainer.world_size
            trainer.val_check_interval = max(1, validate_every // batch)
            if data.validation is None or not model.validates:
                trainer.limit_val_batches = 0
            try:
                number = _fit_until_signal(trainer, model, data, checkpoint)
                if number is None:
                    checkpoints.end(trainer)
                break
            except RolledBack:
                stability.roll_back()
                checkpoint = newest_checkpoint(checkpoints.folder, until=stability.sound_until)
        trainer.strategy.barrier("what is kept is on disk")
        kept = checkpoints.best_checkpoint()
        if kept is None and trainer.world_size > 1:  # running statistics differ among processes
            kept = newest_checkpoint(checkpoints.folder)
        if kept is not None:
            model.load_state_dict(AtomicCheckpointIO().load_checkpoint(kept)["state_dict"])
        trainer.strategy.barrier("what is kept has been read")
    return Fitted(
        signal=number,
        samples_seen=model.samples_seen,
        budget=model.budget,
        seconds=budget.seconds,
        best=checkpoints.best_figure,
        late_signal=signals.received if number is None else None,
    )


def _end_unwatched(budget: Budget, data: DataModule) -> None:
    """Ends a run that would go on to the last example of its budget, having learned its few rows by heart."""
    budget.unwatched = max(_UNWATCHED_EPOCHS * data.training_rows, _UNWATCHED_STEPS * data.batch_size)
    if budget.max_time is not None or budget.max_samples > budget.unwatched:
        warnings.warn(
            "no rows are there to validate with (none of fewer than 50 are), so that nothing shows when learning turns "
            f"into learning by heart: it slows down after {budget.unwatched:,} examples and ends; "
            "model.optimization.patience=null learns for as long as max_samples or max_time say",
            stacklevel=3,
        )


class _Rewind(Callback):
    """Takes back what was logged after the checkpoint that a run goes on from: it is going to be logged again."""

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger):
                logger.rewind(pl_module.samples_seen)


def _fit_until_signal(trainer: Trainer, model: Model, data: DataModule, checkpoint: Path | None) -> int | None:
    """Runs the trainer; the number of the signal that ended it, or None."""
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        try:
            trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        except Stopped as stopped:
            return stopped.number
        except SystemExit as error:
            # Lightning's answer to Ctrl-C would end the whole process, notebook and all.
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
        except (RuntimeError, MemoryError, ValueError, ConnectionError, EOFError) as error:
            explained = _explained(error, checkpoint)
            if explained is None:
                raise
            raise explained from error
    return None


def _explained(error: Exception, checkpoint: Path | None) -> SynthgenError | None:
    """One line on what a person can do something about; None for a bug."""
    text = str(error)
    if "Error(s) in loading state_dict" in text:
        reason = text.splitlines()[-1].strip()
        return SynthgenError(f"{checkpoint}: does not fit the run's config.yaml: {reason}")
    if "loaded state dict" in text and "parameter group" in text:
        return SynthgenError(f"{checkpoint}: its optimizers do not fit the run's config.yaml: {text}")
    if found := out_of_memory(error):
        return SynthgenError(f"{found}; lower data.batch_size, then the network's width")
    # A worker that is killed while it hands over a batch is met at the other end of its pipe first.
    if "DataLoader worker" in text or isinstance(error, ConnectionError | EOFError):
        said = (text or type(error).__name__).splitlines()[0]
        return SynthgenError(f"a process that reads data has ended: {said}; the run can go on")
    return None
