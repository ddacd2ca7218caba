"""Watches for steps that are not finite and for losses that run away, without waiting for the device at every step."""

import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from synthgen.errors import SynthgenError, nearest

__all__ = ["RolledBack", "Stability"]

_POLICIES = ("stop", "skip", "rollback")
# Means that a spike is held against, and the fewest of them that say what is usual.
_HISTORY, _ENOUGH = 100, 10
# Median absolute deviation to standard deviation, of a normal distribution.
_MAD = 1.4826
# Least spread of a loss, relative to its size or to 1.
_STILL = 1e-3


class RolledBack(Exception):
    """Training is to go on from its last checkpoint, with a lower learning rate."""


class Stability(Callback):
    """Reads the losses and gradient norms of every step, many steps at a time, and acts on what is wrong with them.

    A step whose loss or gradients are not finite reaches neither weights nor optimizer moments, whatever the policy
    (see `Optimization.step`); running statistics that took it in, such as BatchNorm's, are put back. What was wrong,
    the rows of the batch and the seeds are written to `bad_steps.jsonl` in the run folder. Then

    - "stop" ends the run with an error that says so;
    - "skip" warns and goes on, and ends the run when `every` steps one after another were not finite;
    - "rollback" goes on from the last checkpoint, with `factor` times the learning rate.

    A spike is a mean loss over a reading that lies further above the median of those before than `spike` times their
    spread: divergence, and not the one large loss in a thousand that diffusion models have. Its steps have been taken;
    "skip" can only warn of it.

    Several processes read the means of their losses, so that all of them find the same.

    Args:
        policy: "stop", "skip" or "rollback".
        every: Steps between two readings.
        spike: In standard deviations (1.4826 median absolute deviations); None looks for no spikes.
        factor: Of the learning rate, at each rollback.
        rollbacks: How many of them; the next one stops the run.

    Raises:
        SynthgenError: A setting that cannot be.
    """

    def __init__(
        self,
        policy: str = "skip",
        every: int = 50,
        spike: float | None = 100.0,
        factor: float = 0.5,
        rollbacks: int = 3,
    ) -> None:
        if policy not in _POLICIES:
            raise SynthgenError(f"stability.policy: found {policy!r}: {nearest(policy, _POLICIES)}")
        if every < 1 or not 0 < factor < 1 or (spike is not None and spike <= 0):
            raise SynthgenError(
                f"stability: found every={every}, factor={factor}, spike={spike}; "
                "expected at least 1, a factor between 0 and 1, and a spike above 0"
            )
        self.policy = policy
        self.every = every
        self.spike = spike
        self.factor = factor
        self.most_rollbacks = rollbacks
        self.rollbacks = 0
        self.sound_until: int | None = None  # examples at the latest reading without fault; None says nothing
        self._steps: list[tuple[int, dict[str, Tensor], list[Tensor]]] = []  # not read yet
        self._bad_in_a_row = 0
        self._read: list[dict[str, float]] = []  # of a reading that a checkpoint has cut short
        self._means: dict[str, list[float]] = {}
        self._sound: list[Tensor] = []
        self._place: tuple[Trainer, Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Lowers the rate after a rollback."""
        self._place = (trainer, pl_module)
        self._steps = []
        self._sound = [buffer.clone() for buffer in self._buffers()]
        pl_module.rate_factor = self.factor**self.rollbacks

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        """Notes a step, and reads them all when there are enough."""
        norms = {f"gradient norm {i}": norm for i, norm in enumerate(pl_module.norms)}
        self._steps.append((pl_module.samples_seen, {**pl_module.latest, **norms}, pl_module.rows))
        if len(self._steps) + len(self._read) >= self.every:
            self._look()
            self._look_for_spike(pl_module.samples_seen, list(pl_module.stages).index(pl_module.stage))
            self.sound_until = pl_module.samples_seen

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Looks, so that no statistics of a bad step are validated."""
        self._look()

    def on_evaluation_start(self, trainer: Trainer, pl_module: Any) -> None:
        """The same before samples are looked at."""
        self._look()

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Acts on a validation loss that is not finite."""
        value = trainer.callback_metrics.get("val/loss")
        if value is not None and not math.isfinite(float(value)):
            self._act(f"val/loss is {float(value)} at {pl_module.samples_seen:,} examples", written=False)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Looks while the model is still on its device: Lightning takes it off before the last save."""
        self._look()

    def roll_back(self) -> None:
        """Counts a rollback.

        Raises:
            SynthgenError: There have been enough.
        """
        self.rollbacks += 1
        self._read = []
        if self.rollbacks > self.most_rollbacks:
            raise SynthgenError(
                f"training does not become stable: it was rolled back {self.most_rollbacks} times, to a learning rate "
                f"of {self.factor**self.most_rollbacks:g} times the first; see bad_steps.jsonl in the run folder"
            )

    def state_dict(self) -> dict[str, Any]:
        """What has been read. Looks first: a state that is saved holds no statistics of a bad step."""
        self._look()
        return {"rollbacks": self.rollbacks, "read": self._read, "means": self._means}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on; rollbacks of this process are not forgotten by going back to before them."""
        self.rollbacks = max(self.rollbacks, state_dict["rollbacks"])
        self._read, self._means = state_dict["read"], state_dict["means"]

    def _look(self) -> None:
        """Reads the steps that have been noted, writes the bad ones out and acts on them."""
        if not self._steps or self._place is None:
            return
        steps, self._steps = self._steps, []
        noted = torch.stack([value.float().mean() for _, named, _ in steps for value in named.values()])
        values = iter(self._place[0].strategy.reduce(noted, reduce_op="mean").tolist())
        read = [(seen, {name: next(values) for name in named}, rows) for seen, named, rows in steps]
        bad = []
        for seen, named, rows in read:
            if all(map(math.isfinite, named.values())):
                self._bad_in_a_row = 0
            else:
                self._bad_in_a_row += 1
                bad.append((seen, named, rows))
        self._read += [named for _, named, _ in read]
        self._keep_statistics_sound()
        if not bad:
            return
        for step in bad:
            self._write(*step)
        seen, named, _ = bad[0]
        name, value = next((name, value) for name, value in named.items() if not math.isfinite(value))
        self._act(
            f"{name} is {value} at {seen:,} examples, and {len(bad)} of {len(read)} steps are not finite",
            stop=self._bad_in_a_row >= self.every,
        )

    def _look_for_spike(self, seen: int, stage: int) -> None:
        read, self._read = self._read, []
        found = None
        # Of losses alone: gradient norms of a sound run vary by orders of magnitude.
        for name in (name for name in read[-1] if not name.startswith("gradient norm")):
            finite = [named[name] for named in read if math.isfinite(named.get(name, math.nan))]
            if not finite:
                continue
            # The next stage's loss is another one, whatever its name.
            mean, before = fmean(finite), self._means.get(f"{stage} {name}", [])
            if self.spike is not None and len(before) >= _ENOUGH:
                usual = median(before)
                # A loss that has stood still, such as a hinge discriminator's 0, has no spread: any rise would be one.
                spread = _MAD * median(abs(value - usual) for value in before) + _STILL * max(abs(usual), 1)
                if mean > usual + self.spike * spread:
                    found = found or f"{name} rose from {usual:.4g} to {mean:.4g} by {seen:,} examples"
            self._means[f"{stage} {name}"] = [*before, mean][-_HISTORY:]
        if found:
            self._write(seen, read[-1], [])
            # Its steps have been taken: a checkpoint since the last reading may hold them.
            self._act(found, taken=True)

    def _act(self, what: str, stop: bool = False, written: bool = True, taken: bool = False) -> None:
        written_to = "see bad_steps.jsonl in the run folder"
        if self.policy == "rollback":
            self.sound_until = self.sound_until if taken or not written else None
            warnings.warn(f"{what}: going back to the last checkpoint, at a lower learning rate", stacklevel=2)
            raise RolledBack(what)
        if self.policy == "stop" or stop:
            raise SynthgenError(
                f"{what}: {f'{written_to}; ' if written else ''}lower model.optimization.lr, "
                "or choose callbacks.stability.policy=rollback"
            )
        warnings.warn(f"{what}: going on{f'; {written_to}' if written else ''}", stacklevel=2)

    def _write(self, seen: int, named: dict[str, float], rows: list[Tensor]) -> None:
        """One line: what was found, and all that is needed to meet the batch again.

        Args:
            seen: Examples after the step.
            named: Its losses and gradient norms.
            rows: Training rows that the stage drew by itself; where there are none it took the loader's.
        """
        assert self._place is not None
        trainer, model = self._place
        if not trainer.is_global_zero:
            return
        loader: Any = trainer.train_dataloader
        position = seen - loader.batch_size * trainer.world_size
        line = {
            "samples_seen": position,
            "found": {name: value if math.isfinite(value) else str(value) for name, value in named.items()},
            "rows": torch.cat(rows).tolist() if rows else loader.rows(position).tolist(),
            "seed": model.seed,
            "data_seed": loader.seed,
            "policy": self.policy,
        }
        with (Path(trainer.default_root_dir) / "bad_steps.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _keep_statistics_sound(self) -> None:
        """Notes the running statistics, or puts those back that a bad step has reached."""
        for sound, buffer in zip(self._sound, self._buffers(), strict=True):
            finite = buffer.isfinite().all()
            sound.copy_(torch.where(finite, buffer, sound))
            buffer.copy_(torch.where(finite, buffer, sound))

    def _buffers(self) -> Iterator[Tensor]:
        assert self._place is not None
        return (buffer for buffer in self._place[1].buffers() if buffer.is_floating_point())
