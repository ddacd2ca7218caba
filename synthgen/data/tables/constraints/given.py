"""Cells that a condition gives, in the types of their columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from synthgen.errors import SynthgenError, rows_named

__all__ = ["Given"]


@dataclass(frozen=True)
class Given:
    """Cells that samples shall have.

    Attributes:
        cells: By column, (rows,) in its dtype; missing where a cell is free, or is to be missing.
        told: By column, (rows,) which cells are given.
        rows: How many.
        first: Number, from 0, of the first of them among those that a person sees.
    """

    cells: Mapping[str, pd.Series]
    told: Mapping[str, np.ndarray]
    rows: int
    first: int = 0

    @classmethod
    def nothing(cls, rows: int) -> "Given":
        """No cell of so many rows."""
        return cls({}, {}, rows)

    def at(self, index: np.ndarray) -> "Given":
        """The rows of an index, in its order."""
        cells = {name: values.iloc[index].reset_index(drop=True) for name, values in self.cells.items()}
        return Given(cells, {name: told[index] for name, told in self.told.items()}, len(index))

    def is_told(self, name: str) -> np.ndarray:
        """(rows,) whether a column's cell is given."""
        return self.told.get(name, np.zeros(self.rows, dtype=bool))

    def count(self, names: Sequence[str]) -> np.ndarray:
        """(rows,) how many cells of some columns are given."""
        return np.sum([self.is_told(name) for name in names], axis=0)

    def text(self, names: Sequence[str], row: int) -> str:
        """What is given of some columns in a row, as a person would have written it."""
        return ", ".join(
            f"{name}={'missing' if pd.isna(self.cells[name].iloc[row]) else self.cells[name].iloc[row]}"
            for name in names
            if name in self.told and self.told[name][row]
        )

    def refuse(self, fault: np.ndarray, names: Sequence[str], reason: str) -> None:
        """Ends with an error of the rows that are at fault.

        Raises:
            SynthgenError: Of the first one's cells, the rows, and the reason.
        """
        if fault.any():
            rows = np.flatnonzero(fault)
            row = int(rows[0])
            place = "" if fault.all() else f" ({rows_named((rows + self.first).tolist())})"
            raise SynthgenError(f"condition {self.text(names, row)}{place}: {reason}")
