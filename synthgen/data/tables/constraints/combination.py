"""Columns of which only some combinations occur, as one column of combinations."""

import numpy as np
import pandas as pd

from synthgen.data.tables.constraints.combined import Combinations
from synthgen.data.tables.constraints.given import Given
from synthgen.data.tables.constraints.transform import Derived, Near, Transform
from synthgen.data.tables.streamed import Table

__all__ = ["Combination"]


class Combination(Transform):
    """Some columns as the place of their combination among those that occur.

    A condition is exact where it leaves one combination, as an education leaves one number of years. Where it leaves
    several and is about nothing else, one of them is drawn in the proportions of the training rows, which is exact as
    well. Else rows of other combinations are rejected.
    """

    def __init__(self, table: Combinations, where: str) -> None:
        self.table = table
        self.columns = tuple(column.name for column in table.columns)
        self.replaced = self.columns
        self.place = " & ".join(self.columns)
        self.made = {self.place: self.columns[0]}
        self._where = where

    def forward(self, frame: Table) -> dict[str, pd.Series]:
        """See `Transform.forward`."""
        return {self.place: pd.Series(self.table.place_or_near(frame))}

    def inverse(self, learned: pd.DataFrame, given: Given, near: Near) -> tuple[dict[str, pd.Series], np.ndarray]:
        """See `Transform.inverse`."""
        place = learned[self.place].to_numpy(dtype=int)
        keep = np.ones(len(place), dtype=bool)
        for i, name in enumerate(self.columns):
            if (told := given.is_told(name)).any():
                keep &= ~told | (self.table.codes[place, i] == self.table.place_of(i, given.cells[name]))
        return self.table.of(place), keep

    def derived(self, given: Given, uniform: np.ndarray | None) -> dict[str, Derived]:
        """See `Transform.derived`."""
        told = np.stack([given.is_told(name) for name in self.columns], axis=1)
        if not told.any():
            return {}
        wanted = np.full(told.shape, -1)
        for i, name in enumerate(self.columns):
            if told[:, i].any():
                wanted[:, i] = np.where(told[:, i], self.table.place_of(i, given.cells[name]), -1)
        alone = told.sum(axis=1) == sum(given.is_told(name) for name in given.told)
        known, which = np.zeros(len(told), dtype=bool), np.zeros(len(told), dtype=np.int64)
        for names in np.unique(told, axis=0):  # at most one pattern for each subset of the columns
            rows = np.flatnonzero((told == names).all(axis=1))
            if not names.any():
                continue
            fits, first, count = self.table.that_fit(names, wanted[rows][:, names])
            none = np.zeros(len(told), dtype=bool)
            none[rows] = count == 0
            given.refuse(none, self.columns, f"contradicts the constraint `{self._where}`")
            drawn = np.zeros(len(rows), dtype=np.int64)
            if uniform is not None:
                below = np.concatenate([[0], np.cumsum(self.table.counts[fits])])
                begin, end = below[first], below[first + count]
                at = np.searchsorted(below, begin + uniform[rows] * (end - begin), side="right") - 1
                drawn = at.clip(first, first + count - 1) - first
            which[rows] = fits[first + drawn]
            known[rows] = (count == 1) | (alone[rows] & (uniform is not None))
        return {self.place: Derived(pd.Series(which), known)}
