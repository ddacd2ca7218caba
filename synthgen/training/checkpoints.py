"""When a run's state is saved, which checkpoints are kept, and which one a run goes on from."""

import math
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import EarlyStopping

from synthgen.errors import SynthgenError, nearest
from synthgen.files import sync
from synthgen.training.checkpoint_io import AtomicCheckpointIO
from synthgen.training.seal import fault_of
from synthgen.training.signals import Signals

__all__ = ["Checkpoints", "Saving", "Stopped", "newest_checkpoint"]

# Newest first. "next" is whole and newer than "last" where a crash came between the two renames that end a save.
_NEWEST_FIRST = ("next.ckpt", "last.ckpt", "last-1.ckpt")
# Batches between two decisions that several processes take together.
_AGREE_EVERY = 16


@dataclass(frozen=True)
class Saving:
    """When to save, and how much to keep.

    Attributes:
        seconds: Time between two checkpoints.
        samples: Training examples between two checkpoints, besides; None saves by time alone.
        keep_best: Checkpoints with the best figures that are kept.
        best_by: Figure that says which weights are best: "val/loss", or one that a callback measures.
        best_mode: Whether the lowest figure is the best, "min", or the highest, "max". Of a figure that is best at a
            number, the one nearest to it is the best under "min".

    Raises:
        SynthgenError: A number that is too low, or another mode.
    """

    seconds: float = 60.0
    samples: int | None = None
    keep_best: int = 1
    best_by: str = "val/loss"
    best_mode: str = "min"

    def __post_init__(self) -> None:
        if not isinstance(self.seconds, int | float) or not self.seconds >= 0:
            raise SynthgenError(f"save_every: found {self.seconds!r}, expected seconds")
        for key, value in {"save_every_samples": self.samples, "keep_best": self.keep_best}.items():
            if value is not None and (not isinstance(value, int) or value < 1):
                raise SynthgenError(f"{key}: found {value!r}, expected at least 1")
        if self.best_mode not in ("min", "max"):
            raise SynthgenError(f"best_mode: found {self.best_mode!r}: {nearest(self.best_mode, ('min', 'max'))}")


class Stopped(Exception):
    """A signal asked training to stop, and its state has been saved.

    Attributes:
        number: The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Checkpoints(Callback):
    """Saves `last.ckpt`, `last-1.ckpt` before it, and `best-SAMPLES.ckpt`; stops training when a signal has come.

    State is saved between two batches, after the validation that may belong to the first: a run that goes on from there
    does what the run that was not interrupted did. A signal during validation does not wait for its end: what is saved
    then says that the validation is still to be done.

    A best is weights alone, of the last stage: the stages before it measure something else and leave it untrained. A
    model that ends in a closed form has none, as the closed form belongs to the weights that it was fitted to. Besides
    the validation loss, it may be chosen by what any callback measures: one that lists the `names` of its figures, and
    by name the `aims` at which they are best, puts them into `trainer.callback_metrics`, and calls `on_evaluation_end`.

    Args:
        folder: Where they go.
        saving: When.
        signals: Where the request to stop is noted.
        at_start: Whether to save before the first batch, for those who may have to come back to it.
    """

    def __init__(self, folder: Path, saving: Saving, signals: Signals, at_start: bool = False) -> None:
        self.folder = folder
        self.saving = saving
        self.signals = signals
        self.at_start = at_start
        self.best: list[tuple[float, str]] = []  # (figure, file name), best first
        self.ended = False
        self._aim = -math.inf  # at which the figure is best
        self._kept_by_last: set[str] = set()
        self._validation_due = False
        self._saved = (0.0, 0)
        self._batches = 0
        self._has_saved = False

    @property
    def best_figure(self) -> float | None:
        """The best figure; None without any."""
        return self.best[0][0] if self.best else None

    def best_checkpoint(self) -> Path | None:
        """The best checkpoint that is whole; None when there is none."""
        for _, name in self.best:
            fault = fault_of(self.folder / name)
            if fault is None:
                return self.folder / name
            warnings.warn(f"{self.folder / name}: {fault}; weights that are not the best are used", stacklevel=2)
        return None

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Makes the first process's folder that of all."""
        self.folder = Path(trainer.strategy.broadcast(str(self.folder)))

    def save(self, trainer: Trainer) -> None:
        """Saves the whole state; the checkpoint that was the last one stays beside it as the one before."""
        new, last, before = (self.folder / name for name in _NEWEST_FIRST)
        trainer.save_checkpoint(new)
        seen: Any = trainer.lightning_module.samples_seen
        self._saved = (time.monotonic(), seen)
        if not trainer.is_global_zero:
            return
        # A damaged one, found by the run that went on from the one before, must not take that one's place.
        if last.is_file() and (self._has_saved or fault_of(last) is None):
            last.replace(before)
        self._has_saved = True
        new.replace(last)
        sync(self.folder)
        # A surpassed best goes when neither checkpoint refers to it any more; at the end only the last one counts.
        named = {name for _, name in self.best}
        for file in self.folder.glob("best-*.ckpt"):
            if file.name not in named | (set() if self.ended else self._kept_by_last):
                file.unlink(missing_ok=True)
        self._kept_by_last = named

    def end(self, trainer: Trainer) -> None:
        """Saves the state of a run that has ended by itself."""
        self.ended = True
        self.save(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Starts the clocks; a run that had ended stays so.

        Raises:
            SynthgenError: The best, or early stopping, hangs on a figure that nothing measures.
        """
        self._check_names(trainer)
        # Lightning has its own handler for SIGTERM, which ends the process without a checkpoint.
        self.signals.install()
        trainer._signal_connector.received_sigterm = False
        self._saved = (-math.inf if self.at_start else time.monotonic(), pl_module.samples_seen)
        trainer.should_stop = trainer.should_stop or self.ended

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        """Saves if it is time or a signal has come, and then stops.

        Raises:
            Stopped: After a signal.
        """
        due, number = self._due(pl_module.samples_seen), self.signals.received
        if trainer.world_size > 1:
            due, number = self._agree(trainer, due, number)
        if due or number:
            self.save(trainer)
        if number:
            raise Stopped(number)

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Leaves a validation when a signal has come.

        Raises:
            Stopped: After a signal. The last validation of all is not left: nothing would come after it.
        """
        if self.signals.received and trainer.world_size == 1 and not trainer.should_stop:
            self._validation_due = True
            self.save(trainer)
            raise Stopped(self.signals.received)

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Keeps the weights if they are among the best by the validation loss."""
        if self.saving.best_by == "val/loss":
            self._keep(trainer, pl_module)

    def on_evaluation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Keeps them if they are among the best by what a callback has just measured."""
        if self.saving.best_by != "val/loss":
            self._keep(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Sets Lightning's counters to where training is: the batch that has been fetched has not begun.

        Lightning compares them to tell whether a validation was interrupted; only then does it run it on going on.
        """
        loops = checkpoint["loops"]["fit_loop"]
        batches = loops["epoch_loop.batch_progress"]
        for counts in (batches["total"], batches["current"]):
            counts.update(dict.fromkeys(("ready", "started", "processed"), counts["completed"]))
        validation = loops["epoch_loop.val_loop.batch_progress"]
        for counts in (validation["total"], validation["current"]):
            counts.update(dict.fromkeys(counts, 0))
        if self._validation_due:
            validation["total"].update(ready=1, started=1)

    def state_dict(self) -> dict[str, Any]:
        """Which bests there are, and whether the run has ended."""
        by = [self.saving.best_by, self.saving.best_mode]
        return {"best": [list(entry) for entry in self.best], "by": by, "ended": self.ended}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with them; those by another figure do not compare, and go."""
        if state_dict.get("by", ["val/loss", "min"]) == [self.saving.best_by, self.saving.best_mode]:
            self.best = [(figure, name) for figure, name in state_dict["best"]]
        self._kept_by_last = {name for _, name in self.best}
        self.ended = state_dict["ended"]

    def _keep(self, trainer: Trainer, pl_module: Any) -> None:
        value = trainer.callback_metrics.get(self.saving.best_by)
        if value is None or pl_module.stage is not pl_module.stages[-1]:
            return
        figure = float(value)
        surpassed = len(self.best) == self.saving.keep_best and self._loss(figure) >= self._loss(self.best[-1][0])
        if not math.isfinite(figure) or surpassed:
            return
        name = f"best-{pl_module.samples_seen}.ckpt"
        trainer.save_checkpoint(self.folder / name, weights_only=True)
        entries = [*self.best, (figure, name)]
        self.best = sorted(entries, key=lambda entry: self._loss(entry[0]))[: self.saving.keep_best]

    def _loss(self, figure: float) -> float:
        if math.isfinite(self._aim):
            return abs(figure - self._aim)
        return figure if self.saving.best_mode == "min" else -figure

    def _check_names(self, trainer: Trainer) -> None:
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        known = ["val/loss", *(name for callback in callbacks for name in getattr(callback, "names", ()))]
        aims = {"val/loss": -math.inf}
        for callback in callbacks:
            aims |= getattr(callback, "aims", {})
        wanted = [("best_by", self.saving.best_by, "best_mode", self.saving.best_mode)]
        for callback in callbacks:
            # Other prefixes may be what somebody's own callback logs.
            if isinstance(callback, EarlyStopping) and callback.monitor.startswith(("val/", "eval/")):
                key = "callbacks.early_stopping"
                wanted.append((f"{key}.monitor", callback.monitor, f"{key}.mode", callback.mode))
        for key, name, way, mode in wanted:
            if name not in known:
                raise SynthgenError(f"{key}: nothing measures {name!r}: {nearest(name, known)}")
            aim = aims.get(name)
            right = mode if aim is None else "max" if aim == math.inf else "min"
            if mode != right:
                at = {math.inf: "the higher the better", -math.inf: "the lower the better"}
                said = at.get(aim, f"the nearer to {aim} the better") if aim is not None else ""
                raise SynthgenError(f"{way}: found {mode!r}, expected {right!r}: of {name} is {said}")
        self._aim = aims.get(self.saving.best_by, self._aim)

    def _due(self, seen: int) -> bool:
        at, then = self._saved
        by_samples = self.saving.samples is not None and seen - then >= self.saving.samples
        return by_samples or time.monotonic() - at >= self.saving.seconds

    def _agree(self, trainer: Trainer, due: bool, number: int | None) -> tuple[bool, int]:
        """One decision for all processes, now and then: each agreement makes all of them wait."""
        self._batches += 1
        if self._batches % _AGREE_EVERY:
            return False, 0
        wanted = torch.tensor([float(due), float(number or 0)], device=trainer.strategy.root_device)
        agreed = trainer.strategy.reduce(wanted, reduce_op="max")
        return bool(agreed[0]), int(agreed[1])


def newest_checkpoint(folder: Path, until: int | None = None) -> Path | None:
    """The newest checkpoint of a run that is whole; None when there is none at all. Warns of those that are not.

    Args:
        folder: The run's.
        until: Takes one that was saved at so many examples or before, or else the oldest that is whole.

    Raises:
        SynthgenError: There are checkpoints, and each of them is damaged.
    """
    faults: dict[Path, str] = {}
    later = None
    for name in _NEWEST_FIRST:
        file = folder / name
        if not file.is_file():
            continue
        fault = fault_of(file)
        if fault is None and until is not None and _samples_seen(file) > until:
            later = file
        elif fault is None:
            for damaged, reason in faults.items():
                warnings.warn(f"{damaged}: {reason}; the run goes on from {name}", stacklevel=2)
            return file
        else:
            faults[file] = fault
    if later is not None:
        return later
    if faults:
        file, fault = next(iter(faults.items()))
        raise SynthgenError(f"{file}: {fault}, and no older checkpoint is whole; start anew with resume=false")
    return None


def _samples_seen(file: Path) -> int:
    return int(AtomicCheckpointIO().load_checkpoint(file)["synthgen"]["samples_seen"])
