"""What a stored codec must be, so that nothing it holds surprises the code that decodes with it."""

import math
from typing import Any

import numpy as np
import pandas as pd

from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind

__all__ = ["check_column"]

_MAX_DECIMALS = 12


def check_column(column: Column, encoding: Any) -> None:
    """Makes sure that a column of a stored schema and its encoding can be decoded.

    Args:
        column: As read from JSON.
        encoding: Its `Encoding`, as read from JSON.

    Raises:
        SynthgenError: The column's name, and what is wrong with it.
    """
    where = f"column {column.name!r}"
    _expect(isinstance(column.name, str), where, "name", column.name, "text")
    try:
        dtype = pd.api.types.pandas_dtype(column.dtype)
    except (TypeError, ValueError):
        raise SynthgenError(f"{where}: dtype: found {column.dtype!r}, expected a type that pandas knows") from None
    scalars = (*column.categories, *encoding.values)
    _expect(
        all(isinstance(value, str | int | float) for value in scalars), where, "values", scalars[:3], "plain values"
    )
    _expect(isinstance(encoding.missing, bool), where, "missing", encoding.missing, "true or false")
    holds_missing = not encoding.missing or not isinstance(dtype, np.dtype) or dtype.kind not in "iub"
    _expect(holds_missing, where, "dtype", column.dtype, "one that holds missing cells")
    curve = (encoding.knots, encoding.quantiles)
    _expect(len(curve[0]) == len(curve[1]), where, "knots", len(curve[0]), f"{len(curve[1])}, as many as quantiles")
    for key, values, low, high in (("knots", curve[0], -math.inf, math.inf), ("quantiles", curve[1], 0.0, 1.0)):
        numbers = all(_number(value) and low < value < high for value in values)
        _expect(numbers and list(values) == sorted(values), where, key, values[:3], "increasing numbers")
    if column.kind is Kind.CONSTANT:
        _expect(not encoding.cardinality and not curve[0], where, "encoding", encoding, "none of a constant column")
        _expect(len(column.categories) <= 1, where, "categories", len(column.categories), "one at most")
        return
    _expect(bool(encoding.cardinality or curve[0]), where, "encoding", "no value", "some")
    if not column.numerical:
        _expect(not curve[0], where, "knots", curve[0][:3], "none of a column of words")
        return
    _expect(pd.api.types.is_numeric_dtype(dtype), where, "dtype", column.dtype, "one of numbers")
    _expect(all(_number(value) for value in encoding.values), where, "values", encoding.values[:3], "numbers")
    limits = (column.minimum, column.maximum)
    _expect(all(_number(value) for value in limits), where, "range", limits, "two numbers")
    decimals = column.decimals
    fits = decimals is None or (type(decimals) is int and 0 <= decimals <= _MAX_DECIMALS)
    _expect(fits, where, "decimals", decimals, f"0 to {_MAX_DECIMALS}, or none")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _expect(holds: bool, where: str, key: str, found: Any, expected: str) -> None:
    if not holds:
        raise SynthgenError(f"{where}: {key}: found {found!r}, expected {expected}")
