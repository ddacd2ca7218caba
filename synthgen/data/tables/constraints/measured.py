"""Constraints on numbers, moments and durations: their order, their ends and their sums."""

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.constraints.constraint import Constraint, different_names
from synthgen.data.tables.constraints.scale import Scale, common_scales, is_single
from synthgen.data.tables.streamed import Table
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import Column, Kind, TableSchema

__all__ = ["Inequality", "Range", "Sum"]


class Inequality(Constraint):
    """Columns in rising order: those cells of a row that are there.

    `inequality: [start, end]`, or with `strict` where neighbours may not be equal,
    `inequality: {columns: [start, end], strict: true}`.
    """

    kind = "inequality"

    def __init__(self, said: Any, where: str) -> None:
        super().__init__(said, where)
        self.strict = False
        names = said
        if isinstance(said, dict):
            for key in said:
                if key not in ("columns", "strict"):
                    raise SynthgenError(f"{where}: key {key!r}: {nearest(key, ('columns', 'strict'))}")
            names, self.strict = said.get("columns"), said.get("strict", False)
            if not isinstance(self.strict, bool):
                raise SynthgenError(f"{where}: strict: found {self.strict!r}, expected true or false")
        self.columns = different_names(names, where, 2)

    def bind(self, schema: TableSchema) -> None:
        """See `Constraint.bind`."""
        super().bind(schema)
        self.scales = common_scales([schema[name] for name in self.columns], self.where)

    def check(self, frame: Table) -> np.ndarray:
        """See `Constraint.check`."""
        return _in_order([scale.read(frame[scale.column.name]) for scale in self.scales], self.strict)


class Range(Constraint):
    """A column between two ends, each a number, a date, another column, or null where it is open.

    `range: {age: [18, 99]}`, `range: {visit: [admission, discharge]}`.
    """

    kind = "range"

    def __init__(self, said: Any, where: str) -> None:
        super().__init__(said, where)
        if not isinstance(said, dict) or len(said) != 1:
            raise SynthgenError(f"{where}: found {said!r}, expected one column and its ends, as {{age: [18, 99]}}")
        (self.column, ends), *_ = ((str(name), ends) for name, ends in said.items())
        if not isinstance(ends, list) or len(ends) != 2 or ends == [None, None]:
            raise SynthgenError(f"{where}: {self.column}: found {ends!r}, expected [smallest, largest]")
        # Dates of YAML, as text.
        self.ends = [str(end) if isinstance(end, datetime.date) else end for end in ends]
        self.said = {self.column: self.ends}
        for end in self.ends:
            if isinstance(end, bool) or not isinstance(end, str | int | float | None):
                raise SynthgenError(f"{where}: {self.column}: found {end!r}, expected a number, a date or a column")
        self.columns = (self.column,)

    def bind(self, schema: TableSchema) -> None:
        """See `Constraint.bind`."""
        between = [end for end in self.ends if isinstance(end, str) and end in schema.names]
        self.columns = (self.column, *between)
        super().bind(schema)
        self.scales = dict(
            zip(self.columns, common_scales([schema[name] for name in self.columns], self.where), strict=True)
        )
        self.fixed = [
            None if end is None or end in between else _end(end, self.scales[self.column], upper, schema, self.where)
            for end, upper in zip(self.ends, (False, True))
        ]
        low, high = self.fixed
        if low is not None and high is not None and low > high:
            raise SynthgenError(
                f"{self.where}: {self.column}: found [{self.ends[0]}, {self.ends[1]}], expected [smallest, largest]"
            )
        # A range that a person says of the column may be wider.
        seen = schema[self.column].minimum, schema[self.column].maximum
        inside = [
            end is None or limit is None or (limit <= end if upper else end <= limit)
            for end, limit, upper in zip(self.fixed, seen, (False, True))
        ]
        self.certain = not between and all(inside)

    @property
    def chain(self) -> tuple[str, ...]:
        """The columns that rise; fewer than two where the ends are fixed."""
        low, high = (end if isinstance(end, str) and end in self.columns else None for end in self.ends)
        return tuple(name for name in (low, self.column, high) if name is not None)

    def check(self, frame: Table) -> np.ndarray:
        """See `Constraint.check`."""
        numbers, missing = self.scales[self.column].read(frame[self.column])
        low, high = self.fixed
        holds = missing | (
            (numbers >= (-np.inf if low is None else low)) & (numbers <= (np.inf if high is None else high))
        )
        for lower, upper in zip(self.chain, self.chain[1:]):
            holds &= _in_order([self.scales[name].read(frame[name]) for name in (lower, upper)], strict=False)
        return holds


class Sum(Constraint):
    """A column that is the sum of others, up to its decimals. `sum: {total: [a, b, c]}`."""

    kind = "sum"

    def __init__(self, said: Any, where: str) -> None:
        super().__init__(said, where)
        if not isinstance(said, dict) or len(said) != 1:
            raise SynthgenError(f"{where}: found {said!r}, expected a total and its parts, as {{total: [a, b]}}")
        (total, parts), *_ = said.items()
        self.total, self.parts = str(total), different_names(parts, f"{where}: {total}", 2)
        self.columns = (self.total, *self.parts)
        different_names(list(self.columns), where, 3)

    def bind(self, schema: TableSchema) -> None:
        """See `Constraint.bind`."""
        super().bind(schema)
        for name in self.columns:
            if schema[name].kind not in (Kind.NUMERICAL, Kind.CONSTANT, Kind.DURATION):
                raise SynthgenError(f"{self.where}: column {name!r} is {schema[name].kind}, expected numbers")
        self.scales = common_scales([schema[name] for name in self.columns], self.where)

    def check(self, frame: Table) -> np.ndarray:
        """See `Constraint.check`."""
        (total, missing), *parts = (scale.read(frame[scale.column.name]) for scale in self.scales)
        added, largest = np.zeros_like(total), np.abs(total)
        for numbers, gone in parts:
            added, missing = added + numbers, missing | gone
            largest = np.maximum(largest, np.abs(numbers))
        return missing | (np.abs(total - added) <= _tolerance([scale.column for scale in self.scales], largest))


def _end(end: float | str, scale: Scale, upper: bool, schema: TableSchema, where: str) -> float:
    """One end of a range on a column's fine scale: of moments, the last unit not after it, or the first not before."""
    column = scale.column
    if not scale.moment:
        if isinstance(end, str):
            hint = nearest(end, schema.names, what="columns are")
            raise SynthgenError(f"{where}: {column.name}: {end!r} is neither a number nor a column; {hint}")
        return end
    try:
        if column.kind in (Kind.TIME, Kind.DURATION) and not isinstance(end, str):
            raise ValueError("in YAML 10:30 is a number")
        if not any(map(str.isdigit, str(end))):
            raise ValueError("to pandas, 'today' and '' are moments")
        if column.kind in (Kind.DATE, Kind.DATETIME):
            moment: Any = pd.Timestamp(str(end)).to_datetime64()
            zero = "M8"
        else:
            text = f"{end}:00" if column.kind is Kind.TIME and str(end).count(":") == 1 else str(end)
            moment, zero = pd.Timedelta(text).to_timedelta64(), "m8"
    except ValueError:
        hint = nearest(end, schema.names, what="columns are")
        raise SynthgenError(
            f"{where}: {column.name}: {end!r} is neither a {column.kind}, such as 2020-01-31, 08:30:00 or 3 days, nor "
            f"a column; {hint}"
        ) from None
    whole = moment.astype(f"{zero}[{scale.unit}]")
    return int(whole.astype(np.int64)) + int(not upper and whole < moment)


def _in_order(read: Sequence[tuple[np.ndarray, np.ndarray]], strict: bool) -> np.ndarray:
    """(rows,) whether the numbers that are there rise, or do not fall."""
    holds = np.ones(len(read[0][0]), dtype=bool)
    last, nothing = read[0][0], read[0][1]
    for numbers, missing in read[1:]:
        holds &= nothing | missing | ((last < numbers) if strict else (last <= numbers))
        last, nothing = np.where(missing, last, numbers), nothing & missing
    return holds


def _tolerance(columns: Sequence[Column], largest: np.ndarray) -> np.ndarray:
    """How far a sum may lie from the total, the first: half a unit in its last place, and what floats round."""
    total = columns[0]
    rounding = largest * (1e-6 if any(is_single(column) for column in columns) else 1e-12)
    if total.kind is Kind.DURATION:
        return rounding
    return rounding + (0.0 if total.decimals is None else 0.5 * 10.0**-total.decimals)
