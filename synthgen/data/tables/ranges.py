"""Ranges that a person says of a column: of numbers, or as ISO 8601 text of dates, times and durations."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.moments import UNITS
from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind

__all__ = ["limits_of", "with_range"]

_MIDNIGHT = "1970-01-01T"


def with_range(column: Column, limits: list[Any], where: str) -> Column:
    """The column with a range that is at least as wide as what was seen.

    Args:
        column: As inferred, with the range that was seen.
        limits: The smallest and the largest value.
        where: File and column, for messages.

    Raises:
        SynthgenError: The column has no range, the limits are not of its kind, or a value lies outside of them.
    """
    if column.kind is Kind.NUMERICAL:
        ends = _numbers(column, limits, where)
    elif column.kind.moment or column.kind is Kind.DURATION:
        ends = (_ticks(column, limits[0], where, up=True), _ticks(column, limits[1], where, up=False))
        if ends[0] > ends[1]:
            raise SynthgenError(f"{where}: range: found {limits!r}, expected [earliest, latest]")
    else:
        raise SynthgenError(f"{where}: range: is for numbers, dates, times and durations, found {column.kind}")
    assert column.minimum is not None
    assert column.maximum is not None
    if column.minimum < ends[0] or column.maximum > ends[1]:
        found = limits_of(column)[0 if column.minimum < ends[0] else 1]
        raise SynthgenError(f"{where}: range: found {found}, expected {limits[0]} .. {limits[1]}")
    return replace(column, minimum=ends[0], maximum=ends[1])


def limits_of(column: Column) -> list[Any]:
    """The range of a column of numbers, dates, times or durations, as a schema file says it."""
    ends = [end for end in (column.minimum, column.maximum) if end is not None]
    if column.kind is Kind.NUMERICAL:
        return [int(end) if float(end).is_integer() else end for end in ends]
    unit: Any = column.unit
    if column.kind is Kind.DURATION:
        return [pd.Timedelta(np.timedelta64(int(end), unit)).isoformat() for end in ends]
    texts = [str(np.datetime64(int(end), unit)) for end in ends]
    return [text.removeprefix(_MIDNIGHT) for text in texts] if column.kind is Kind.TIME else texts


def _numbers(column: Column, limits: list[Any], where: str) -> tuple[float, float]:
    if any(isinstance(end, str) for end in limits):
        raise SynthgenError(f"{where}: range: found {limits!r}, expected two numbers")
    if not pd.api.types.is_integer_dtype(column.dtype):
        return float(limits[0]), float(limits[1])
    dtype = pd.api.types.pandas_dtype(column.dtype)
    bounds = np.iinfo(getattr(dtype, "numpy_dtype", dtype))
    if any(end != int(end) for end in limits) or not bounds.min <= limits[0] <= limits[1] <= bounds.max:
        raise SynthgenError(f"{where}: range: found {limits!r}, expected whole numbers that a column of {dtype} holds")
    # Where floats would lose digits the ends are whole numbers, as the column's own are.
    exact = int if isinstance(column.minimum, int) else float
    return exact(limits[0]), exact(limits[1])


def _ticks(column: Column, text: Any, where: str, up: bool) -> int:
    """A moment or a length in the column's unit; where it lies between two, the upper or the lower one."""
    kind, unit = column.kind, str(column.unit)
    example = {Kind.TIME: "'08:30'", Kind.DURATION: "'P1DT12H'"}.get(kind, "'2024-12-31'")
    try:
        if not isinstance(text, str):
            raise ValueError("in YAML 8:30 is a number")
        if kind is Kind.DURATION:
            size = UNITS["ns"] // UNITS[unit]
            length = pd.Timedelta(text).value
            return -(-length // size) if up else length // size
        moment = np.datetime64(_MIDNIGHT + text if kind is Kind.TIME else text, "us")
    except (ValueError, TypeError, OverflowError):
        expected = f"a {kind} in quotes, such as {example}"
        raise SynthgenError(f"{where}: range: found {text!r}, expected {expected}") from None
    if np.isnat(moment):
        raise SynthgenError(f"{where}: range: found {text!r}, expected a {kind}")
    lower = moment.astype(f"datetime64[{unit}]")
    return int(lower.astype(np.int64)) + int(up and lower < moment)
