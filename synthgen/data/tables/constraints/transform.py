"""The contract of what keeps a constraint by construction: columns that a model learns in place of the table's own."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.constraints.given import Given
from synthgen.data.tables.streamed import Table

__all__ = ["Derived", "Near", "Transform"]

#: Whether numbers of a learned column are close to those that a model drew: (name, moved, drawn) → (rows,).
Near = Callable[[str, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Derived:
    """Cells of a learned column that follow from a condition.

    Attributes:
        values: (rows,) in the column's dtype; something else where they are not told.
        told: (rows,) which of them follow.
    """

    values: pd.Series
    told: np.ndarray


class Transform(ABC):
    """Columns of a table made into others, of which every combination obeys a constraint, and back.

    Attributes:
        columns: Of the table, which it reads.
        replaced: Those of them that are not learned.
        made: Names of the columns that are learned instead, each by the one whose place it takes.
    """

    columns: tuple[str, ...]
    replaced: tuple[str, ...]
    made: Mapping[str, str]

    @abstractmethod
    def forward(self, frame: Table) -> dict[str, pd.Series]:
        """The columns that it makes, by name."""

    @abstractmethod
    def inverse(self, learned: pd.DataFrame, given: Given, near: Near) -> tuple[dict[str, pd.Series], np.ndarray]:
        """The table's columns again, with the cells that a condition gives.

        A given cell that could not be told to the model is put in its place where what was drawn comes close to it: one
        other cell then moves a little, so that the constraint holds.

        Args:
            learned: What a model drew, decoded.
            given: Cells that a condition gives.
            near: What "close" means.

        Returns:
            Columns by name, and (rows,) which rows can be kept: those that are close, and within what training saw.
        """

    @abstractmethod
    def derived(self, given: Given, uniform: np.ndarray | None) -> dict[str, Derived]:
        """What a condition on the table's columns says of the learned ones that this makes, or leaves.

        Args:
            given: Cells that a condition gives.
            uniform: (rows,) one number a row within 0 and 1, by which a cell that a condition narrows down may be drawn
                in the proportions of the training rows; None where the model is better left to draw it.

        Raises:
            SynthgenError: A condition that cannot be met.
        """

    def state(self) -> dict[str, Any]:
        """JSON-ready form of what was fitted."""
        return {}
