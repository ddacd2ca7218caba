"""A progress bar and metrics that count examples, and that never make the device wait for each step."""

import resource
import sys
import time
from datetime import timedelta
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from rich.progress import BarColumn, Progress, TaskID, TextColumn

__all__ = ["MetricsLog", "ProgressBar", "peak_memory"]


class ProgressBar(Callback):
    """Examples seen, speed, loss, memory and time left, redrawn by time.

    Args:
        every: Seconds between two redraws; each reads one loss from the device.
    """

    def __init__(self, every: float = 0.5) -> None:
        self.every = every
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._drawn = 0.0
        self._begun = (0.0, 0)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Draws the bar."""
        if not trainer.is_global_zero:
            return
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.fields[seen]} examples, {task.fields[rate]}/s, {task.fields[losses]}"),
            TextColumn("{task.fields[memory]}, {task.fields[left]} left"),
            refresh_per_second=4,
        )
        self._task = self._bar.add_task(
            "training", total=None, seen="0", rate="–", losses="loss –", memory="–", left="–"
        )
        self._begun = (time.monotonic(), pl_module.samples_seen)
        self._bar.start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        """Redraws, if it is time."""
        now = time.monotonic()
        if self._bar is None or now - self._drawn < self.every:
            return
        self._drawn = now
        begun, seen = self._begun
        rate = (pl_module.samples_seen - seen) / max(now - begun, 1e-9)
        left = seconds_left(trainer, pl_module, rate)
        self._bar.update(
            self._task,
            completed=pl_module.samples_seen,
            total=pl_module.budget,
            seen=f"{pl_module.samples_seen:,}",
            rate=f"{rate:,.0f}",
            losses=", ".join(f"{name} {float(value):.3f}" for name, value in pl_module.latest.items()),
            memory=f"{peak_memory(pl_module.device):.1f} GB",
            left="–" if left is None else timedelta(seconds=round(left)),
        )

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Leaves the full bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=pl_module.samples_seen, seen=f"{pl_module.samples_seen:,}")
            self._bar.stop()
            self._bar = None

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Gives the terminal back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class MetricsLog(Callback):
    """Hands losses, speed, memory and time left to the loggers, counted in examples seen.

    "peak_memory_gb" is the most that tensors on a CUDA device have taken, or else the most that the process has, in
    10⁹ bytes; "seconds_left" is what the rest of the budget takes at the speed since the last row, or what is left of
    the time of a run whose budget is not fixed yet.

    Args:
        every: Steps between two rows.
    """

    def __init__(self, every: int = 50) -> None:
        self.every = every
        self._sum: dict[str, torch.Tensor] = {}
        self._steps = 0
        self._since = (0.0, 0)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Starts the clock."""
        self._since = (time.monotonic(), pl_module.samples_seen)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        """Adds up on the device; reads and logs the mean every so many steps."""
        for name, value in pl_module.latest.items():
            self._sum[name] = self._sum.get(name, torch.zeros_like(value)) + value
        self._steps += 1
        if self._steps < self.every:
            return
        now, (then, seen) = time.monotonic(), self._since
        metrics = {f"train/{name}": float(total) / self._steps for name, total in self._sum.items()}
        rate = (pl_module.samples_seen - seen) / max(now - then, 1e-9)
        metrics |= {"samples_per_second": rate, "peak_memory_gb": peak_memory(pl_module.device)}
        if (left := seconds_left(trainer, pl_module, rate)) is not None:
            metrics["seconds_left"] = left
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=pl_module.samples_seen)
        self._sum, self._steps, self._since = {}, 0, (now, pl_module.samples_seen)

    def state_dict(self) -> dict[str, Any]:
        """What has been added up, so that a run that goes on logs the same rows."""
        return {"sum": {name: total.cpu() for name, total in self._sum.items()}, "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on adding up."""
        self._sum, self._steps = state_dict["sum"], state_dict["steps"]

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Logs the validation loss."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=pl_module.samples_seen)


def seconds_left(trainer: Trainer, model: Any, rate: float) -> float | None:
    """Of training: what the rest of the budget takes at `rate` examples a second, or what is left of a run's time.

    None where neither is known.
    """
    if model.budget is not None:
        return max(model.budget - model.samples_seen, 0) / max(rate, 1e-9)
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    clock = next((callback for callback in callbacks if getattr(callback, "max_time", None) is not None), None)
    return None if clock is None else max(clock.max_time - clock.seconds, 0.0)


def peak_memory(device: torch.device) -> float:
    """The most memory that was taken so far, in 10⁹ bytes: by tensors on a CUDA device, or else by the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9
