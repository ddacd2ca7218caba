"""A total by its parts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.constraints.given import Given
from synthgen.data.tables.constraints.scale import Scale, common_scales
from synthgen.data.tables.constraints.transform import Derived, Near, Transform
from synthgen.data.tables.streamed import Table
from synthgen.layout import Column

__all__ = ["Totals"]


class Totals(Transform):
    """total = a + b + c without the total, which is computed from the parts.

    Where cells are missing, one more column is learned: what the total has beyond the parts that are there. It is 0
    where all are there, and missing where the total is.

    A condition on the total is exact where all parts but one are given, since that one then is. Else a row is close
    where the part that varies most of those that are free has to move only a little for the total to be met.

    Args:
        total: The column that is computed.
        parts: Those that it is computed of.
        falling: Places of the parts, by how much they vary.
        rest: Whether the further column is there.
        where: Named in errors.
    """

    def __init__(self, total: Column, parts: Sequence[Column], falling: Sequence[int], rest: bool, where: str) -> None:
        self.columns = (total.name, *(part.name for part in parts))
        self.replaced = (total.name,)
        self.rest = f"{total.name} - parts"
        self.made = {self.rest: total.name} if rest else {}
        self._parts = self.columns[1:]
        self._falling = tuple(falling)
        self._scale, *self._scales = common_scales([total, *parts], where)
        self._where = where

    @classmethod
    def fit(cls, total: Column, parts: Sequence[Column], frame: Table, where: str) -> "Totals":
        """Learns which parts vary most, and whether cells are missing."""
        _, *scales = common_scales([total, *parts], where)
        spread = [float(np.std(scale.read(frame[scale.column.name])[0].astype(float))) for scale in scales]
        names = [total.name, *(part.name for part in parts)]
        rest = bool(frame[names].isna().to_numpy().any())
        return cls(total, parts, np.argsort(-np.array(spread), kind="stable").tolist(), rest, where)

    def forward(self, frame: Table) -> dict[str, pd.Series]:
        """See `Transform.forward`."""
        if not self.made:
            return {}
        total, gone = self._scale.read(frame[self.columns[0]])
        added, holes = _added([scale.read(frame[name]) for name, scale in zip(self._parts, self._scales)])
        return {self.rest: self._rest_column(np.where(holes, total - added, 0), gone)}

    def inverse(self, learned: pd.DataFrame, given: Given, near: Near) -> tuple[dict[str, pd.Series], np.ndarray]:
        """See `Transform.inverse`."""
        parts = [scale.read(learned[name]) for name, scale in zip(self._parts, self._scales)]
        told = [given.is_told(name) for name in self._parts]
        for i, name in enumerate(self._parts):
            if told[i].any():
                parts[i] = _overridden(self._scales[i], *parts[i], told[i], given.cells[name])
        rest = np.zeros(len(learned), dtype=self._number)
        gone = np.zeros(len(learned), dtype=bool)
        if self.made:
            gone = learned[self.rest].isna().to_numpy(dtype=bool)
            rest = learned[self.rest].fillna(0).to_numpy(dtype=float).astype(self._number)
        keep = np.ones(len(learned), dtype=bool)
        total_told = given.is_told(self.columns[0])
        if total_told.any():
            total, missing = self._scale.read(given.cells[self.columns[0]])
            keep &= ~total_told | (gone == missing)
            there, exact = total_told & ~missing, np.sum(told, axis=0) >= len(parts) - 1
            parts, kept = self._moved_parts(parts, told, total, there, exact, near)
            added, holes = _added(parts)
            keep &= kept
            if self.made:
                keep &= ~(there & holes & (np.sum(told, axis=0) < len(parts))) | near(self.rest, total - added, rest)
            rest = np.where(there, total - added, rest)
        added, holes = _added(parts)
        numbers = self._scale.down(added + np.where(holes, rest, 0))
        if total_told.any():
            numbers = np.where(there, total, numbers)
        keep &= gone | total_told | self._scale.inside(numbers)
        found = {name: scale.write(*part) for name, scale, part in zip(self._parts, self._scales, parts)}
        return {self.columns[0]: self._scale.write(numbers, gone), **found}, keep

    def derived(self, given: Given, uniform: np.ndarray | None) -> dict[str, Derived]:
        """See `Transform.derived`."""
        self._refuse_beyond(given)
        total_told = given.is_told(self.columns[0])
        if not total_told.any():
            return {}
        total, missing = self._scale.read(given.cells[self.columns[0]])
        told = np.array([given.is_told(name) for name in self._parts])
        cells = []
        for name, scale, is_told in zip(self._parts, self._scales, told):
            numbers, gone = scale.read(given.cells[name]) if is_told.any() else (np.zeros_like(total), ~is_told)
            cells.append((numbers, gone | ~is_told))
        added, _ = _added(cells)
        holes = np.any([is_told & gone for is_told, (_, gone) in zip(told, cells)], axis=0)
        found = {}
        alone = total_told & ~missing & ~holes & (told.sum(axis=0) == len(self._parts) - 1)
        for i, (name, scale) in enumerate(zip(self._parts, self._scales)):
            here = alone & ~told[i]
            if here.any():
                left = np.where(here, total - added, scale.lowest)
                reason = (
                    f"by the constraint `{self._where}` leaves {left[here][0]:g} for {name!r}, which training never saw"
                )
                given.refuse(here & ~scale.inside(left), self.columns, reason)
                found[name] = Derived(scale.write(scale.down(left), ~here), here)
        if self.made:
            whole = total_told & (missing | (told.all(axis=0) & holes))
            found[self.rest] = Derived(self._rest_column(np.where(holes, total - added, 0), missing), whole)
        return found

    def _refuse_beyond(self, given: Given) -> None:
        """Ends where no parts sum to a total within the columns' ranges, which may be wider than what was seen.

        Raises:
            SynthgenError: The condition, and what the parts and the total come to.
        """
        if self.made or not given.count(self.columns).any():
            return  # where cells are missing the parts say nothing of the total
        ends = []
        for name, scale in zip(self.columns, (self._scale, *self._scales)):
            told = given.is_told(name)
            cell = scale.read(given.cells[name])[0] if told.any() else np.zeros(given.rows, dtype=self._number)
            ends.append([np.where(told, cell, end) for end in (scale.lowest, scale.highest)])
        total, *parts = ends
        low, high = (self._scale.down(np.sum([part[end] for part in parts], axis=0)) for end in (0, 1))
        slack = 0 if self._scale.whole else 1e-9 * np.maximum(np.abs(low), np.abs(high))
        for fault, reach, limit, most in (
            (low > total[1] + slack, low, total[1], "at least {}, and {!r} to at most {}"),
            (high < total[0] - slack, high, total[0], "at most {}, and {!r} to at least {}"),
        ):
            if fault.any():
                both = self._scale.write(np.array([reach[fault][0], limit[fault][0]]), np.zeros(2, dtype=bool))
                said = most.format(both[0], self.columns[0], both[1])
                given.refuse(fault, self.columns, f"by the constraint `{self._where}` its parts come to {said}")

    def state(self) -> dict[str, Any]:
        """See `Transform.state`."""
        return {"falling": list(self._falling), "rest": bool(self.made)}

    @classmethod
    def restored(cls, total: Column, parts: Sequence[Column], state: Mapping[str, Any], where: str) -> "Totals":
        """Reads what `state` wrote."""
        if sorted(state["falling"]) != list(range(len(parts))) or not isinstance(state["rest"], bool):
            raise ValueError(f"{where}: parts in the order {state['falling']}")
        return cls(total, parts, state["falling"], state["rest"], where)

    @property
    def _number(self) -> Any:
        return np.int64 if self._scale.whole else np.float64

    def _rest_column(self, rest: np.ndarray, missing: np.ndarray) -> pd.Series:
        decimals = [scale.column.decimals for scale in (self._scale, *self._scales)]
        known = [digits for digits in decimals if digits is not None]
        if not self._scale.whole and len(known) == len(decimals):
            rest = np.round(rest, max(known))
        return pd.Series(np.where(missing, np.nan, rest), dtype=float)

    def _moved_parts(
        self,
        parts: list[tuple[np.ndarray, np.ndarray]],
        told: list[np.ndarray],
        total: np.ndarray,
        there: np.ndarray,
        exact: np.ndarray,
        near: Near,
    ) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
        """The parts, of which in complete rows one is what the others leave of a given total; and which are close."""
        keep = np.ones(len(total), dtype=bool)
        added, holes = _added(parts)
        waiting = there & ~holes
        for i in self._falling:
            numbers, gone = parts[i]
            mover = waiting & ~told[i]
            if mover.any():
                moved = np.where(mover, self._scales[i].down(total - (added - numbers)), numbers)
                keep &= ~mover | (
                    self._scales[i].inside(moved)
                    & (exact | near(self._parts[i], self._scales[i].own(moved), self._scales[i].own(numbers)))
                )
                parts[i] = (moved, gone)
                waiting &= ~mover
        return parts, keep


def _added(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) the sum of the numbers that are there, and whether some are not."""
    added = np.sum([np.where(gone, 0, numbers) for numbers, gone in parts], axis=0)
    return added, np.any([gone for _, gone in parts], axis=0)


def _overridden(
    scale: Scale, numbers: np.ndarray, gone: np.ndarray, told: np.ndarray, cells: pd.Series
) -> tuple[np.ndarray, np.ndarray]:
    wanted, missing = scale.read(cells)
    return np.where(told, wanted, numbers), np.where(told, missing, gone)
