"""What a method is handed. Peers' environments import this: it needs numpy and pandas and nothing else."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["Pictures", "Task"]


@dataclass(frozen=True)
class Pictures:
    """Images: uint8 of shape (N, C, H, W), and their labels, shape (N,); None where a method makes images without."""

    pixels: np.ndarray
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class Task:
    """What is to be learned, and how.

    Attributes:
        data: The training rows or images.
        settings: The method's own.
        seed: Of everything drawn.
        words: Of a table, the columns that hold categories.
        target: Of a table, the column that a downstream model would predict.
    """

    data: Any
    settings: dict[str, Any]
    seed: int
    words: tuple[str, ...] = ()
    target: str | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """The training rows."""
        return self.data
