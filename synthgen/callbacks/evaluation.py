"""Looks at a model's samples while it trains, within a stated share of the time, and leaves training as it was."""

import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from rich.progress import Progress

from synthgen.callbacks.look import Drawn, Found, Look, Real, draw, untouched
from synthgen.callbacks.progress import ProgressBar
from synthgen.errors import SynthgenError
from synthgen.files import replacing
from synthgen.models.base import Model
from synthgen.models.stages import Batch

__all__ = ["Evaluation"]

# Of the noise that samples are made from: the same at every look, so that figures and pictures compare.
_SEED = 1_000_003
# First steps that say nothing of a run's speed: kernels warm up, memory is claimed.
_WARM_UP_STEPS = 5
# Seconds that a look is taken to cost before one has been timed.
_ASSUMED = 5.0
# Batches between two decisions by the clock that several processes take together.
_AGREE_EVERY = 16


class Evaluation(Callback):
    """Draws samples every so many training examples, shows them to its looks, and tells loggers what these found.

    Samples are those that the model would be exported with: of its average, always from the same noise. All looks see
    the same samples, which all processes draw together and the first one looks at. Training stays the same to the bit:
    random states, modes and running statistics are put back.

    `share` bounds the time that is spent so, that of drawing included: a look has to wait until all looks so far,
    itself and one more at the end of training fit into the share. That last one always happens, and in a run so short
    that it alone exceeds the share it does. The first look is taken to cost 5 seconds, so that it comes after 100 under
    a share of a tenth. It times a draw of the smallest number of samples, and draws as many as fit into half the share
    of the time so far; all later looks draw that many. The time of the slowest look so far says how many examples a
    look costs at the run's speed. How many samples, when looks came and what they cost hangs on the clock, is saved
    with the run, and holds for a run that goes on. `share=None` looks by examples alone. A run in time fixes its budget
    by its speed so far, and exceeds its time by the looks that this speed does not hold, which is at most the share.

    What is computed once for all looks, such as a classifier of the images, is done before training and its clock, and
    kept on disk for further runs on the same data. A model of several stages is looked at in the last of them; one
    that ends in a closed form, at its end.

    Figures reach `EarlyStopping` and the choice of the best checkpoint by their names, "eval/shape_error", once each.

    Args:
        every: Training examples between two looks, at least.
        samples: Rows or images that are drawn each time, at most.
        share: Largest share of training time, over 0 and below 1; None for no bound.
        looks: What looks at them, by name.

    Raises:
        SynthgenError: A setting that cannot be.
    """

    def __init__(
        self,
        every: int = 20_000,
        samples: int = 1024,
        share: float | None = 0.1,
        looks: dict[str, Look | None] | None = None,
    ) -> None:
        if every < 1 or samples < 16:
            raise SynthgenError(
                f"evaluation: found every={every} and samples={samples}, expected at least 1 and at least 16"
            )
        if share is not None and not 0 < share < 1:
            raise SynthgenError(f"evaluation.share: found {share}, expected more than 0 and less than 1, or null")
        self.every = every
        self.samples = samples
        self.share = share
        self.looks = {name: look for name, look in (looks or {}).items() if look is not None}
        self.names: tuple[str, ...] = ()
        self.aims: dict[str, float] = {}
        self.count = 0
        self.cost = 0.0 if share is None else None  # examples that training sees in the time of a look
        self.drawn = samples if share is None else None  # samples a look
        self.spent = 0.0  # seconds of looking
        self.seconds = 0.0  # of training, until the run was saved
        self._at = 0  # examples at the latest look
        self._clock = 0.0
        self._steps = 0
        self._warm = (0.0, 0)
        self._real: Real | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Prepares the looks, and learns the names of their figures."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it
        if trainer.is_global_zero and self._real is None:  # a run that is rolled back comes here again
            with _told(trainer) as tell:
                self._real = Real(data, self.samples, tell)
                with untouched(pl_module):
                    for look in self.looks.values():
                        look.prepare(self._real, pl_module)
        found = tuple(f"eval/{name}" for look in self.looks.values() for name in look.names)
        aims = {
            f"eval/{name}": look.aims[name] for look in self.looks.values() for name in look.names if name in look.aims
        }
        self.names, self.aims = trainer.strategy.broadcast((found, aims))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping) and callback.monitor in self.names:
                callback.strict = False  # at a validation between two looks there is no new figure

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Starts the clock."""
        self._clock = time.monotonic() - self.seconds
        self._steps, self._warm = 0, (time.monotonic(), pl_module.samples_seen)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        """Looks, if it is time."""
        self._steps += 1
        if self._steps == _WARM_UP_STEPS:
            self._warm = (time.monotonic(), pl_module.samples_seen)
        if self._due(trainer, pl_module):
            self._look(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Looks a last time, at what training has come to."""
        if self._at < pl_module.samples_seen or not self.count:
            self._look(trainer, pl_module, last=True)

    def state_dict(self) -> dict[str, Any]:
        """When it has looked, what that costs, and what the looks must know."""
        return {
            "count": self.count,
            "at": self._at,
            "cost": self.cost,
            "drawn": self.drawn,
            "spent": self.spent,
            "seconds": time.monotonic() - self._clock,
            "looks": {name: look.state_dict() for name, look in self.looks.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on; a look that is new to the run begins."""
        self.count, self._at = state_dict["count"], state_dict["at"]
        self.spent, self.seconds = state_dict["spent"], state_dict["seconds"]
        if self.share is not None and state_dict["cost"] != 0:  # 0 is that of a run without a share
            self.cost, self.drawn = state_dict["cost"], state_dict["drawn"]
        for name, state in state_dict["looks"].items():
            if name in self.looks:
                self.looks[name].load_state_dict(state)

    def _due(self, trainer: Trainer, model: Model) -> bool:
        seen = model.samples_seen
        if seen // self.every == self._at // self.every or model.stage is not model.stages[-1]:
            return False
        if self.cost is not None:
            return self.share is None or (self.count + 2) * self.cost <= self.share * seen
        assert self.share is not None
        late = self.share * (time.monotonic() - self._clock) >= 2 * _ASSUMED
        if trainer.world_size == 1:
            return late
        return self._steps % _AGREE_EVERY == 0 and trainer.strategy.broadcast(late)

    def _look(self, trainer: Trainer, model: Model, last: bool = False) -> None:
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)  # the host runs ahead of the device
        begun, (then, before) = time.monotonic(), self._warm
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if hasattr(callback, "on_evaluation_start"):
                callback.on_evaluation_start(trainer, model)
        with untouched(model):
            found = self._found(trainer, model, last)
        figures = {f"eval/{name}": value for part in found for name, value in part.figures.items()}
        alarms = [(look.policy, part.alarm) for look, part in zip(self.looks.values(), found) if part.alarm]
        if trainer.world_size > 1:
            figures, alarms = trainer.strategy.broadcast((figures, alarms))
        seconds = time.monotonic() - begun
        self.count, self._at, self.spent = self.count + 1, model.samples_seen, self.spent + seconds
        if self.share is not None and self._steps:
            rate = (model.samples_seen - before) / max(begun - then, 1e-9)
            self.cost = max(self.cost or 0.0, float(trainer.strategy.broadcast(seconds * rate)))
        self._log(trainer, model, found, figures, seconds)
        self._tell(trainer, model, figures)
        for policy, alarm in alarms:
            stops = policy == "stop"
            trainer.should_stop = trainer.should_stop or stops
            if trainer.is_global_zero:
                end = "training stops" if stops else "going on"
                warnings.warn(f"{alarm} at {model.samples_seen:,} examples: {end}", stacklevel=2)
        for part in found:
            if part.note:
                warnings.warn(f"{part.note}, at {model.samples_seen:,} examples", stacklevel=2)

    def _found(self, trainer: Trainer, model: Model, last: bool) -> list[Found]:
        """What each look finds; on other processes than the first, nothing."""
        encoded = self._draw(trainer, model)
        if encoded is None or self._real is None:
            return []
        if not all(value.isfinite().all() for value in encoded.values() if value.is_floating_point()):
            warnings.warn(f"samples are not finite at {model.samples_seen:,} examples: not looked at", stacklevel=2)
            return []
        synthetic = self._real.measured(self._real.data.codec.decode(encoded))
        drawn = Drawn(self._real, model, encoded, synthetic, model.samples_seen, last)
        return [_looked(name, look, drawn) for name, look in self.looks.items()]

    def _draw(self, trainer: Trainer, model: Model) -> Batch | None:
        """Samples; at the first look under a share, as many as fit into it, but a whole block for each process."""
        if self.drawn is not None or self.share is None:
            return draw(trainer, model, self.drawn or self.samples, _SEED)
        begun, least = time.monotonic(), min(self.samples, model.block_size * trainer.world_size)
        first = draw(trainer, model, least, _SEED)
        seconds = time.monotonic() - begun
        # One more look, at the end of training, is to fit into what this one leaves.
        fits = int(self.share * (begun - self._clock) / 2 / max(seconds, 1e-9))
        self.drawn = int(trainer.strategy.broadcast(min(self.samples, least * max(1, fits))))
        return first if self.drawn == least else draw(trainer, model, self.drawn, _SEED)

    def _log(
        self, trainer: Trainer, model: Model, found: list[Found], figures: dict[str, float], seconds: float
    ) -> None:
        share = self.spent / max(time.monotonic() - self._clock, 1e-9)
        for logger in trainer.loggers:
            logger.log_metrics({**figures, "eval/seconds": seconds, "eval/share": share}, step=model.samples_seen)
        for name, part in zip(self.looks, found):
            if part.picture is not None and trainer.is_global_zero:
                # In the order of their names, pictures are in the order of training.
                file = Path(trainer.default_root_dir) / "samples" / f"{model.samples_seen:010d}.png"
                with replacing(file) as partial:
                    part.picture.save(partial, format="png")
                _show(trainer, name, part.picture, model.samples_seen)

    def _tell(self, trainer: Trainer, model: Model, figures: dict[str, float]) -> None:
        """Lets early stopping and the choice of the best see the figures, this once."""
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in figures.items()})
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if hasattr(callback, "on_evaluation_end"):
                callback.on_evaluation_end(trainer, model)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping) and callback.monitor in figures:
                aim = self.aims.get(callback.monitor, math.inf)
                if math.isfinite(aim):  # it knows only of lower and higher
                    distance = torch.tensor(abs(figures[callback.monitor] - aim))
                    trainer.callback_metrics[callback.monitor] = distance
                callback.on_validation_end(trainer, model)
        for name in figures:
            del trainer.callback_metrics[name]


def _looked(name: str, look: Look, drawn: Drawn) -> Found:
    """What a look finds; nothing, and a warning, where it fails: that is no reason to lose a run."""
    try:
        return look.look(drawn)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        warnings.warn(f"evaluation.looks.{name} failed at {drawn.seen:,} examples: {said}: going on", stacklevel=2)
        return Found()


def _show(trainer: Trainer, name: str, picture: Image.Image, seen: int) -> None:
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(f"eval/{name}", np.asarray(picture), seen, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(f"eval/{name}", [picture], step=seen)


@contextmanager
def _told(trainer: Trainer) -> Iterator[Any]:
    """Shows how far a preparation is, where the run has a progress bar."""
    if not any(isinstance(callback, ProgressBar) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        yield None
        return
    with Progress(transient=True) as bar:
        tasks: dict[str, Any] = {}

        def tell(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=1.0)
            bar.update(tasks[what], completed=share)

        yield tell
