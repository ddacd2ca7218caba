"""The state of all random generators that a model may draw from, in the checkpoint."""

import random
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, Trainer

__all__ = ["RandomState"]


class RandomState(Callback):
    """Saves and restores the global generators of Python, NumPy and PyTorch; dropout draws from the last.

    What is restored takes effect when training starts: what is done before it may draw, too. What validation draws is
    put back after it, so that training does not depend on when it was validated. A checkpoint holds the state of the
    first process; the others of several begin, and go on, with generators seeded from it, each with another.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None
        self._before_validation: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The generators' states in training, as tensors and plain values."""
        if self._before_validation is not None:
            return self._before_validation
        legacy = np.random.get_state(legacy=False)  # noqa: NPY002  # the legacy one is the global one
        state: dict[str, Any] = {
            "torch": torch.get_rng_state(),
            "numpy": {**legacy, "state": {**legacy["state"], "key": legacy["state"]["key"].tolist()}},
            "python": random.getstate(),
        }
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            state["cuda"] = torch.cuda.get_rng_state()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps the states until training starts."""
        self._restored = state_dict

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Restores the states."""
        if self._restored is not None:
            self._restore(self._restored, pl_module.device)
            self._restored = None
        if trainer.global_rank:
            torch.manual_seed(int(torch.randint(2**62, ())) + trainer.global_rank)

    def on_validation_start(self, *_: Any) -> None:
        """Notes the states."""
        self._before_validation = self.state_dict()

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Puts them back."""
        if self._before_validation is not None:
            self._restore(self._before_validation, pl_module.device)
            self._before_validation = None

    @staticmethod
    def _restore(state: dict[str, Any], device: torch.device) -> None:
        torch.set_rng_state(state["torch"])
        saved = state["numpy"]
        key = np.array(saved["state"]["key"], dtype=np.uint32)
        np.random.set_state({**saved, "state": {**saved["state"], "key": key}})  # noqa: NPY002
        version, words, gauss = state["python"]
        random.setstate((version, tuple(words), gauss))
        if "cuda" in state and device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], device)
