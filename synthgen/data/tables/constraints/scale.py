"""Columns as numbers: values, dates, times and durations on scales on which they compare and subtract."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from synthgen.data.tables.moments import UNITS, moment_parts, parts_moment, ticks_of, values_of, zone_of
from synthgen.data.tables.number_formats import dressed, numbers_of, write_numbers
from synthgen.data.tables.variables import dtype_named, within
from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind

__all__ = ["Scale", "common_scales", "is_number_like", "is_single"]

_DATES = (Kind.DATE, Kind.DATETIME)
# Of a unit in the last decimal: what sums and differences of floats add.
_SLACK = 1e-6


class Scale:
    """One column as numbers.

    On the *fine* scale all columns of a constraint are numbers that compare: floats, whole numbers, or moments in the
    finest of their units. On a column's *own* scale, its *grid*, moments are whole units of the column and floats have
    its decimals.

    Args:
        column: What it reads and writes.
        unit: The fine unit of moments; by default the column's own.
        whole: Whether numbers of the fine scale are int64 instead of float64.
    """

    def __init__(self, column: Column, unit: str | None = None, whole: bool | None = None) -> None:
        self.column = column
        self.moment = column.kind.moment or column.kind is Kind.DURATION
        self.unit = unit or column.unit
        self.whole = self.moment or (is_whole(column) if whole is None else whole)

    def read(self, values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
        """(rows,) numbers on the fine scale, 0 where a cell is missing; and what is missing."""
        if self.moment:
            return ticks_of(values, replace(self.column, unit=self.unit))
        missing = values.isna().to_numpy(dtype=bool)
        values = numbers_of(values, self.column)
        if not self.whole:
            return np.nan_to_num(values.to_numpy(dtype=float, na_value=np.nan)), missing
        numbers = np.zeros(len(values), dtype=np.int64)
        numbers[~missing] = values[~missing].to_numpy(dtype=np.int64)
        return numbers, missing

    def write(self, numbers: np.ndarray, missing: np.ndarray) -> pd.Series:
        """The column of numbers of the fine scale, in its dtype and format."""
        dtype = dtype_named(self.column.dtype)
        if self.moment:
            names = moment_parts(self.column.kind, str(self.column.unit))
            parts = parts_moment(self.own(numbers), str(self.column.unit), names)
            return values_of([np.where(missing, np.nan, part) for part in parts], self.column)
        if is_whole(self.column) and (self.column.maximum or 0) < 2**63:
            # Rows that will not be kept may hold what the dtype cannot.
            numbers = within(np.round(numbers), self.column.dtype)
        if self.whole:
            return pd.Series(numbers).astype("Int64").mask(missing).astype(dtype)
        if self.column.decimals is not None:
            numbers = np.round(numbers, self.column.decimals)
        if dressed(self.column):
            return write_numbers(np.where(missing, np.nan, numbers), self.column)
        return pd.Series(np.where(missing, np.nan, numbers)).astype(dtype)

    def up(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers of the fine scale, each moved up to the next that the column can hold."""
        if self.moment:
            down = self.down(numbers)
            later = self._to_fine(self.own(numbers) + 1)
            return np.where(down < numbers, later, down)
        if self.whole or self.column.decimals is None:
            return numbers
        unit = 10.0**-self.column.decimals
        return np.round(np.ceil(numbers / unit - _SLACK) * unit, self.column.decimals)

    def down(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers of the fine scale, each moved down to one that the column can hold; floats to the nearest."""
        if self.moment:
            return self._to_fine(self.own(numbers))
        if self.whole or self.column.decimals is None:
            return numbers
        return np.round(numbers, self.column.decimals)

    def steps(self, gaps: np.ndarray, begin: np.ndarray) -> np.ndarray:
        """Numbers that lie so many own units after `begin`, which is on the grid."""
        if self.moment:
            return self._to_fine(self.own(begin) + gaps.astype(np.int64))
        return self.down(begin + gaps)

    def distance(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Own units from `begin` to `end`, both on the grid."""
        if self.moment:
            return self.own(end) - self.own(begin)
        distance = end - begin
        decimals = self.column.decimals
        return distance if self.whole or decimals is None else np.round(distance, decimals)

    def inside(self, numbers: np.ndarray) -> np.ndarray:
        """Whether numbers are within what training saw of the column."""
        low, high = self.column.minimum, self.column.maximum
        if self.column.kind is Kind.CONSTANT:
            low = high = self.column.categories[0] if self.column.categories else 0
        assert low is not None
        assert high is not None
        if self.moment:
            numbers = self.own(numbers)
        slack = 0.0 if self.whole else _SLACK * max(10.0 ** -(self.column.decimals or 12), 1e-9 * abs(high - low))
        return (numbers >= low - slack) & (numbers <= high + slack)

    def own(self, ticks: np.ndarray) -> np.ndarray:
        """Numbers of the fine scale in the column's own units, moved down to whole ones; other numbers as they are."""
        if self.unit == self.column.unit:
            return ticks
        if self.column.kind not in _DATES:
            return ticks // self._units
        moments = ticks.astype(np.int64).astype(f"M8[{self.unit}]")
        return moments.astype(f"M8[{self.column.unit}]").astype(np.int64)

    @property
    def lowest(self) -> np.generic:
        """The smallest number of the column, on the fine scale."""
        return self._end(self.column.minimum)

    @property
    def highest(self) -> np.generic:
        """The largest number of the column, on the fine scale."""
        return self._end(self.column.maximum)

    def _end(self, end: float | None) -> np.generic:
        if self.column.kind is Kind.CONSTANT:
            end = (*self.column.categories, 0)[0]
        assert end is not None
        if self.moment:
            return self._to_fine(np.array([int(end)]))[0]
        return np.int64(end) if self.whole else np.float64(end)

    def _to_fine(self, ticks: np.ndarray) -> np.ndarray:
        if self.unit == self.column.unit:
            return ticks
        if self.column.kind not in _DATES:
            return ticks * self._units
        moments = ticks.astype(np.int64).astype(f"M8[{self.column.unit}]")  # a month is not a number of days
        return moments.astype(f"M8[{self.unit}]").astype(np.int64)

    @property
    def _units(self) -> int:
        """Fine units in one own unit."""
        return UNITS[str(self.unit)] // UNITS[str(self.column.unit)]


def is_number_like(column: Column) -> bool:
    """Whether a column is numbers, dates, times or durations."""
    if column.kind is Kind.CONSTANT:
        value = column.categories[0] if column.categories else None
        return isinstance(value, int | float) and not isinstance(value, bool)
    return column.numerical or column.kind.moment or column.kind is Kind.DURATION


def is_whole(column: Column) -> bool:
    """Whether a column of numbers has a dtype of whole numbers."""
    return bool(pd.api.types.is_integer_dtype(dtype_named(column.dtype)))


def is_single(column: Column) -> bool:
    """Whether a column is floats of 32 bits, numpy's, pandas' or Arrow's."""
    return column.dtype.lower() == "float32" or column.dtype == "float[pyarrow]"


def common_scales(columns: Sequence[Column], where: str) -> list[Scale]:
    """One scale a column, on whose fine side all of them compare.

    Raises:
        SynthgenError: Columns of two kinds, of two time zones, or of no order.
    """
    for column in columns:
        if not is_number_like(column):
            raise SynthgenError(
                f"{where}: column {column.name!r} is {column.kind}, expected numbers, dates, times or durations"
            )
        if column.maximum is not None and column.maximum >= 2**63:
            raise SynthgenError(f"{where}: column {column.name!r}: numbers beyond 2^63 do not compare")
    first = columns[0]
    for column in columns[1:]:
        if _family(column) != _family(first):
            raise SynthgenError(
                f"{where}: {first.name!r} is {first.kind} and {column.name!r} {column.kind}, expected one kind"
            )
        if zone_of(column) != zone_of(first):
            raise SynthgenError(f"{where}: {first.name!r} and {column.name!r} are in two time zones")
    units = [column.unit for column in columns if column.unit is not None]
    finest = max(units, key=lambda unit: UNITS[unit]) if units else None
    whole = all(is_whole(column) for column in columns) if not units else None
    return [Scale(column, finest, whole) for column in columns]


def _family(column: Column) -> str:
    if column.kind in _DATES:
        return "date"
    return "number" if column.kind in (Kind.NUMERICAL, Kind.CONSTANT) else str(column.kind)
