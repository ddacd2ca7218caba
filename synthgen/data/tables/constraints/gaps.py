"""Columns in rising order, by the gaps between them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from synthgen.data.tables.constraints.given import Given
from synthgen.data.tables.constraints.scale import Scale, common_scales
from synthgen.data.tables.constraints.transform import Derived, Near, Transform
from synthgen.data.tables.streamed import Table
from synthgen.layout import Column

__all__ = ["Gaps"]


class Gaps(Transform):
    """low ≤ mid ≤ high as low, mid − low and high − mid, of which none but the first can be wrong.

    A gap counts the later column's own units (days, seconds, its last decimal) from the last cell before it that is
    there, moved up to such a unit; where none is there, from the smallest value of the column. It is missing where its
    own cell is.

    A condition is exact where the cells before a given one are given too, since the gap then is. Else a row is close
    where, to have the given cell, the first column (its gaps stay) or the gap before the given cell moves a little.
    """

    def __init__(self, columns: Sequence[Column], where: str) -> None:
        self.columns = tuple(column.name for column in columns)
        self.replaced = self.columns[1:]
        self.gaps = tuple(f"{later} - {earlier}" for earlier, later in zip(self.columns, self.columns[1:]))
        self.made = dict(zip(self.gaps, self.replaced, strict=True))
        self._scales = common_scales(columns, where)

    def forward(self, frame: Table) -> dict[str, pd.Series]:
        """See `Transform.forward`."""
        last, nothing = self._scales[0].read(frame[self.columns[0]])
        made = {}
        for gap, name, scale in zip(self.gaps, self.replaced, self._scales[1:]):
            numbers, missing = scale.read(frame[name])
            made[gap] = _gap_column(self._distance(scale, last, nothing, numbers), missing)
            last, nothing = np.where(missing, last, numbers), nothing & missing
        return made

    def inverse(self, learned: pd.DataFrame, given: Given, near: Near) -> tuple[dict[str, pd.Series], np.ndarray]:
        """See `Transform.inverse`."""
        gaps = [_read_gap(learned[gap], scale) for gap, scale in zip(self.gaps, self._scales[1:])]
        told = [self._told(given, i) for i in range(len(self.columns))]
        first, nothing = self._scales[0].read(learned[self.columns[0]])
        first, nothing = _overridden(first, nothing, told[0])
        keep = np.ones(len(learned), dtype=bool)
        if any(there.any() for _, there, _ in told[1:]):
            moved = self._first_moved(first, nothing, gaps, told)
            changed = moved != first
            own = self._scales[0].own
            close = self._scales[0].inside(moved) & near(self.columns[0], own(moved), own(first))
            keep &= ~changed | close
            first = moved
        last, last_nothing = first, nothing
        found = {self.columns[0]: (first, nothing)}
        exact = self._gap_is_told(told)
        for i, (scale, (gap, gone)) in enumerate(zip(self._scales[1:], gaps), start=1):
            numbers, missing = self._added(scale, last, last_nothing, gap), gone
            wanted, there, _ = told[i]
            if there.any():
                nearer = self._distance(scale, last, last_nothing, np.where(there, wanted, numbers), clip=False)
                free = there & ~exact[i]
                keep &= ~free | (~gone & (nearer >= 0) & near(self.gaps[i - 1], nearer, gap))
            numbers, missing = _overridden(numbers, missing, told[i])
            keep &= missing | there | scale.inside(numbers)
            found[self.columns[i]] = (numbers, missing)
            last, last_nothing = np.where(missing, last, numbers), last_nothing & missing
        scales = dict(zip(self.columns, self._scales, strict=True))
        return {name: scales[name].write(*cells) for name, cells in found.items()}, keep

    def derived(self, given: Given, uniform: np.ndarray | None) -> dict[str, Derived]:
        """See `Transform.derived`."""
        told = [self._told(given, i) for i in range(len(self.columns))]
        exact = self._gap_is_told(told)
        last, nothing = np.where(told[0][1], told[0][0], 0), ~told[0][1]
        found = {}
        for i, scale in enumerate(self._scales[1:], start=1):
            numbers, there, _ = told[i]
            gap = self._distance(scale, last, nothing, np.where(there, numbers, scale.lowest))
            found[self.gaps[i - 1]] = Derived(_gap_column(gap, ~there), exact[i])
            last, nothing = np.where(there, numbers, last), nothing & ~there
        return found

    def _distance(
        self, scale: Scale, last: np.ndarray, nothing: np.ndarray, numbers: np.ndarray, clip: bool = True
    ) -> np.ndarray:
        begin = np.where(nothing, scale.lowest, scale.up(last))
        gap = scale.distance(begin, numbers)
        return gap.clip(min=0) if clip else gap

    def _added(self, scale: Scale, last: np.ndarray, nothing: np.ndarray, gap: np.ndarray) -> np.ndarray:
        return scale.steps(gap, np.where(nothing, scale.lowest, scale.up(last)))

    def _told(self, given: Given, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(rows,) the given number of a column, whether it is given and there, and whether it is given at all."""
        told = given.is_told(self.columns[i])
        if not told.any():
            return np.zeros(given.rows, dtype=np.int64), told, told
        numbers, missing = self._scales[i].read(given.cells[self.columns[i]])
        return numbers, told & ~missing, told

    def _gap_is_told(self, told: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        """For each column, (rows,) whether what is learned of it follows from what is given."""
        exact, before = [told[0][2]], told[0][2]
        for _, there, is_told in told[1:]:
            exact.append(is_told & (before | ~there))
            before = is_told & (before | there)
        return exact

    def _first_moved(
        self,
        first: np.ndarray,
        nothing: np.ndarray,
        gaps: list[tuple[np.ndarray, np.ndarray]],
        told: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    ) -> np.ndarray:
        """The first column moved so that, with the gaps that were drawn, the first given cell after it is met."""
        moved, free = first.copy(), ~nothing & ~told[0][2]
        last = first
        for scale, (gap, gone), (wanted, there, is_told) in zip(self._scales[1:], gaps, told[1:]):
            numbers = self._added(scale, last, nothing, gap)
            here = free & there & ~gone
            moved = np.where(here, self._scales[0].down(first + (wanted - numbers)), moved)
            free &= ~there
            last = np.where(gone | (is_told & ~there), last, numbers)
        return moved


def _overridden(
    numbers: np.ndarray, missing: np.ndarray, told: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    wanted, there, is_told = told
    return np.where(there, wanted, numbers), np.where(is_told, ~there, missing)


def _gap_column(gap: np.ndarray, missing: np.ndarray) -> pd.Series:
    if gap.dtype.kind != "f":
        whole = pd.Series(np.where(missing, 0, gap))
        return whole.astype("Int64").mask(missing) if missing.any() else whole
    return pd.Series(np.where(missing, np.nan, gap))


def _read_gap(values: pd.Series, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    missing = values.isna().to_numpy(dtype=bool)
    if scale.whole:
        return values.fillna(0).to_numpy(dtype=np.int64), missing
    return np.nan_to_num(values.to_numpy(dtype=float, na_value=np.nan)), missing
