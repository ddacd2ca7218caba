"""How much a run may learn: a number of examples, or a time that is turned into one."""

import math
import time
from datetime import timedelta
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from synthgen.errors import SynthgenError
from synthgen.training.rehearsal import rehearse

__all__ = ["Budget", "parse_time"]

# Share of the time of the first stage after which a run in time fixes its number of examples: late enough to have
# measured well, early enough to lie before every cool-down.
_MEASURED = 0.3
# Share of the first stage's examples that have been seen by then, at most.
_LATEST = 0.4
# First seconds that are not representative: kernels warm up, memory is claimed.
_WARM_UP_STEPS = 5


class Budget(Callback):
    """Ends training after a number of examples.

    With `max_time`, the run measures its speed over the first 30 % of the time (of a model with several stages, of what
    the first one takes), then fixes the number of examples that the rest will hold. The speed of stages yet to come is
    rehearsed. Schedules follow that number, it is saved with every checkpoint, and a run replayed with it as
    `max_samples` gives the same weights. Of several processes the first one's clock decides for all: they ask it as
    soon as half of what it then says is left has passed, a few dozen times in a run.

    Where the last stage that takes examples has a `plateau`, it is watched for: once its validation loss has not fallen
    for so long, what the run still learns is the stage's cool-down, and the budget is cut to that. Where there is no
    validation that could show it, the plateau is taken to begin after `unwatched` examples of that stage.

    Args:
        max_samples: Examples, over all processes.
        max_time: Seconds of training; wins over `max_samples`.

    Attributes:
        unwatched: Examples after which a plateau that nobody can see is taken to begin; None where it is seen.
    """

    def __init__(self, max_samples: int, max_time: float | None = None) -> None:
        self.max_samples = max_samples
        self.max_time = max_time
        self.seconds = 0.0
        self._clock = 0.0
        self._steps = 0
        self._warm: tuple[float, int] = (0.0, 0)
        self._ask_at = 0  # the step at which several processes next ask the first one
        self._later: float | None = None  # seconds that later stages add to an example of the whole budget, by shares
        self._best = math.inf
        self._stale = 0  # validations since
        self._cut: int | None = None
        self.unwatched: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Fixes the budget where it is known."""
        self._clock = time.monotonic() - self.seconds
        if not any(stage.share for stage in pl_module.stages):
            pl_module.budget = 0  # closed forms alone: they see all data at once, and no example
        elif self.max_time is None:
            pl_module.budget = min(self.max_samples, self._cut or self.max_samples)
        trainer.should_stop = trainer.should_stop or self._spent(pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        """Fixes the budget of a run in time once its speed is known; stops when it is spent."""
        self.seconds = time.monotonic() - self._clock
        self._steps += 1
        if pl_module.budget is None and self.max_time is not None:
            self._measure(trainer, pl_module, self.max_time)
        if self.unwatched is not None and self._watches(pl_module):
            begin, _ = pl_module.stage_span(len(pl_module.stages) - 1)
            if pl_module.samples_seen - begin >= self.unwatched:
                self._cut_at_plateau(pl_module)
        if self._spent(pl_module):
            trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Cuts the budget where the validation loss has ceased to fall."""
        if not self._watches(pl_module):
            return
        loss = float(trainer.callback_metrics.get("val/loss", math.nan))
        self._stale = 0 if loss < self._best else self._stale + 1
        self._best = min(self._best, loss)
        if self._stale >= pl_module.stage.plateau[0]:
            self._cut_at_plateau(pl_module)

    def _watches(self, pl_module: Any) -> bool:
        """Whether a plateau is still to come: one that ends a stage before the last would end it too early."""
        stage = pl_module.stage
        return self._cut is None and stage is pl_module.stages[-1] and stage.plateau is not None

    def _cut_at_plateau(self, pl_module: Any) -> None:
        """Has the cool-down begin now, where it does not begin earlier anyway."""
        begin, _ = pl_module.stage_span(len(pl_module.stages) - 1)
        cut = begin + round((pl_module.samples_seen - begin) / (1 - pl_module.stage.plateau[1]))
        if pl_module.budget is None or cut < pl_module.budget:
            self._cut = pl_module.budget = cut

    def state_dict(self) -> dict[str, Any]:
        """Seconds of training so far, and what is known of a plateau."""
        return {"seconds": self.seconds, "best": self._best, "stale": self._stale, "cut": self._cut}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on counting."""
        self.seconds = state_dict["seconds"]
        self._best, self._stale, self._cut = state_dict["best"], state_dict["stale"], state_dict["cut"]

    def _measure(self, trainer: Trainer, pl_module: Any, max_time: float) -> None:
        """Fixes the budget once the speed is known well enough."""
        if self._steps == _WARM_UP_STEPS:
            self._later = self._rehearsed(trainer, pl_module)
            self._warm = (time.monotonic() - self._clock, pl_module.samples_seen)
        several = trainer.world_size > 1
        if several and self._steps < self._ask_at:
            return
        share = next(stage.share for stage in pl_module.stages if stage.share)
        first = share * self.seconds / max(pl_module.samples_seen, 1)
        left = _MEASURED * max_time * first / max(first + (self._later or 0.0), 1e-12) - self.seconds
        wait = 0 if left <= 0 else max(1, int(left / 2 * self._steps / self.seconds))
        if several:
            wait = int(trainer.strategy.broadcast(wait))
        self._ask_at = self._steps + wait
        if not wait:
            self._fix(trainer, pl_module, max_time)

    def _fix(self, trainer: Trainer, pl_module: Any, max_time: float) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)  # once: the host runs ahead of the device
            self.seconds = time.monotonic() - self._clock
        if self._later is None:
            self._later = self._rehearsed(trainer, pl_module)
        begin, seen = self._warm if self._steps > _WARM_UP_STEPS else (0.0, 0)
        cost = max(self.seconds - begin, 1e-6) / max(pl_module.samples_seen - seen, 1)
        shares = [stage.share for stage in pl_module.stages if stage.share]
        left = max_time - (time.monotonic() - self._clock)
        budget = (cost * pl_module.samples_seen + max(0.0, left)) * sum(shares) / (cost * shares[0] + self._later)
        if len(shares) > 1:  # whatever has slowed down since: what was learned so far was learned before any cool-down
            budget = max(budget, pl_module.samples_seen * sum(shares) / (shares[0] * _LATEST))
        # Every process must stop at the same batch.
        pl_module.budget = int(trainer.strategy.broadcast(int(budget)))

    def _rehearsed(self, trainer: Trainer, pl_module: Any) -> float:
        """Seconds an example of the later stages, each by its share; nothing where there is one stage."""
        _, *later = (index for index, stage in enumerate(pl_module.stages) if stage.share)
        return sum(pl_module.stages[index].share * rehearse(trainer, pl_module, index) for index in later)

    @staticmethod
    def _spent(pl_module: Any) -> bool:
        return pl_module.budget is not None and pl_module.samples_seen >= pl_module.budget


def parse_time(text: str | float | None) -> float | None:
    """Seconds from "HH:MM:SS", "MM:SS", or a number of seconds.

    Raises:
        SynthgenError: Anything else, or nothing above zero.
    """
    if text is None:
        return None
    try:
        parts = [float(part) for part in str(text).split(":")]
        if len(parts) > 3 or not all(0 <= part < math.inf for part in parts):
            raise ValueError
        seconds = sum(part * 60**i for i, part in enumerate(reversed(parts)))
    except ValueError:
        raise SynthgenError(f'max_time: found {text!r}; expected "HH:MM:SS" or a number of seconds') from None
    if seconds <= 0:
        raise SynthgenError(f"max_time: found {text!r}; expected more than {timedelta(0)}")
    return seconds
