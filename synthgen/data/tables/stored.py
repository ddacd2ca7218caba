"""What a stored codec must be, so that nothing it holds surprises the code that decodes with it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.forms import form_of
from synthgen.data.tables.identifiers import CODE, UUID, WRITTEN
from synthgen.data.tables.invented import FORMATS, check_locale, digits_held
from synthgen.data.tables.moments import UNITS
from synthgen.data.tables.number_formats import NumberFormat
from synthgen.data.tables.personal import NUMERIC
from synthgen.data.tables.variables import dtype_named
from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind

__all__ = ["check_column", "check_encodings"]

# Of the numbers that a date is made of, so that no sum of them leaves 64 bits: weeks, fractions of a second.
_FARTHEST = 10**12

_MAX_DECIMALS = 12


def check_column(column: Column) -> None:
    """Makes sure that a column of a stored schema can be decoded.

    Args:
        column: As read from JSON.

    Raises:
        SynthgenError: The column's name, and what is wrong with it.
    """
    where = f"column {column.name!r}"
    _expect(isinstance(column.name, str), where, "name", column.name, "text")
    try:
        dtype = dtype_named(column.dtype)
    except (TypeError, ValueError):
        raise SynthgenError(f"{where}: dtype: found {column.dtype!r}, expected a type that pandas knows") from None
    scalars = column.categories
    _expect(
        all(isinstance(value, str | int | float) for value in scalars), where, "values", scalars[:3], "plain values"
    )
    rate = column.missing_rate
    _expect(_number(rate) and 0 <= rate <= 1, where, "missing_rate", rate, "a share from 0 to 1")
    levels = column.levels
    plain = all(isinstance(value, str | int | float) for value in levels) and len(set(levels)) == len(levels)
    _expect(plain and isinstance(column.ordered, bool), where, "levels", levels[:3], "different plain values")
    fits = not levels or (isinstance(dtype, pd.CategoricalDtype) and set(scalars) <= set(levels))
    _expect(fits, where, "levels", levels[:3], "those of a category, with all values that occur")
    missing = column.kind is not Kind.CONSTANT and rate > 0
    _expect(_holds_missing(dtype) or not missing, where, "dtype", column.dtype, "one that holds missing cells")
    _check_kind(column, dtype, where)


def check_encodings(column: Column, encodings: Sequence[Any]) -> None:
    """Makes sure that the encodings of a stored column, which `check_column` has passed, can be decoded.

    Args:
        column: As read from JSON.
        encodings: An `Encoding` for each of its parts, as read from JSON.

    Raises:
        SynthgenError: The column's name, and what is wrong with it.
    """
    where = f"column {column.name!r}"
    missing = column.kind is not Kind.CONSTANT and any(encoding.missing for encoding in encodings)
    holds = _holds_missing(dtype_named(column.dtype)) or not missing
    _expect(holds, where, "dtype", column.dtype, "one that holds missing cells")
    parts = form_of(column).parts
    _expect(len(parts) == len(encodings), where, "encodings", len(encodings), f"{len(parts)}, one a part")
    for i, (part, encoding) in enumerate(zip(parts, encodings)):
        _check_encoding(part, encoding, where)
        _expect(not (i and encoding.missing), where, "missing", True, "false in all parts but the first")
        if part != column:
            numbers = (*encoding.values, *encoding.knots)
            far = all(_number(value) and 0 <= value + _FARTHEST <= 2**64 + _FARTHEST for value in numbers)
            _expect(far, where, "values", numbers[:3], "numbers of a sensible size")


def _holds_missing(dtype: Any) -> bool:
    return not isinstance(dtype, np.dtype) or dtype.kind not in "iub"


def _check_kind(column: Column, dtype: Any, where: str) -> None:
    """What the column's form is made of."""
    if column.kind is Kind.NUMERICAL:
        text = pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype)
        if column.format is not None:
            number = NumberFormat.parse(column.format) if isinstance(column.format, str) else None
            _expect(number is not None, where, "format", column.format, "one of numbers such as '#,##0.00'")
            floats = isinstance(column.minimum, float) and isinstance(column.maximum, float)
            _expect(floats, where, "range", (column.minimum, column.maximum), "two floats of numbers that are text")
            whole = type(column.decimals) is int
            _expect(whole, where, "decimals", column.decimals, "those that the format has at most")
        fits = pd.api.types.is_numeric_dtype(dtype) if column.format is None else text
        _expect(fits, where, "dtype", column.dtype, "one of numbers, or of text that has a format")
        limits = (column.minimum, column.maximum)
        _expect(all(_number(value) for value in limits), where, "range", limits, "two numbers")
        if isinstance(column.minimum, int):
            whole = pd.api.types.is_integer_dtype(dtype) and isinstance(column.maximum, int)
            most = 2**64 if column.minimum >= 0 else 2**63
            fits = whole and -(2**63) <= column.minimum <= int(column.maximum or 0) < most
            _expect(fits, where, "range", limits, "whole numbers of 64 bits")
        decimals = column.decimals
        fits = decimals is None or (type(decimals) is int and 0 <= decimals <= _MAX_DECIMALS)
        _expect(fits, where, "decimals", decimals, f"0 to {_MAX_DECIMALS}, or none")
    elif column.kind.moment or column.kind is Kind.DURATION:
        _expect(column.unit in UNITS, where, "unit", column.unit, f"one of {', '.join(UNITS)}")
        no_month = column.unit != "M" or column.kind in (Kind.DATE, Kind.DATETIME)
        _expect(no_month, where, "unit", column.unit, "no months of a time")
        ends = (column.minimum, column.maximum)
        whole = all(type(end) is int and abs(end) < 2**63 for end in ends)
        _expect(whole and ends[0] <= ends[1], where, "range", ends, "two whole numbers")  # type: ignore[operator]
        _expect(isinstance(column.format, str | None), where, "format", column.format, "text")
        text = pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype)
        time = str(dtype).startswith(("datetime64", "timestamp", "date32", "timedelta64", "duration"))
        time |= pd.api.types.is_object_dtype(dtype) and column.kind is Kind.DATE
        _expect(time if column.format is None else text, where, "dtype", column.dtype, "one of time, or a format")
    elif column.kind is Kind.IDENTIFIER:
        found = column.format if isinstance(column.format, str) else ""
        numbered = WRITTEN.fullmatch(found) is not None
        written = found == UUID or numbered or CODE.fullmatch(found)
        _expect(bool(written), where, "format", column.format, "uuid4, text with one {n:WIDTH}, or places such as {A}")
        _expect(type(column.maximum) is int and 0 <= column.maximum < 2**62, where, "range", column.maximum, "a number")
        text = pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype)
        text |= isinstance(dtype, pd.CategoricalDtype)
        whole = (pd.api.types.is_integer_dtype(dtype) or digits_held(dtype) == 15) and numbered
        _expect(text or whole, where, "dtype", column.dtype, "text or whole numbers")
    elif column.kind is Kind.PERSONAL:
        _expect(column.format in FORMATS, where, "format", column.format, "one that personal text has")
        check_locale(column.locale, where)
        _expect(not column.categories, where, "categories", "some", "none of personal text")
        text = pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype)
        numbers = digits_held(dtype) > 0 and column.format in NUMERIC
        fits = text or numbers or isinstance(dtype, pd.CategoricalDtype)
        _expect(fits, where, "dtype", column.dtype, "text, or wide numbers")
    elif column.kind is Kind.CONSTANT:
        _expect(len(column.categories) <= 1, where, "categories", len(column.categories), "one at most")


def _check_encoding(part: Column, encoding: Any, where: str) -> None:
    values = encoding.values
    _expect(all(isinstance(value, str | int | float) for value in values), where, "values", values[:3], "plain values")
    _expect(isinstance(encoding.missing, bool), where, "missing", encoding.missing, "true or false")
    curve = (encoding.knots, encoding.quantiles)
    _expect(len(curve[0]) == len(curve[1]), where, "knots", len(curve[0]), f"{len(curve[1])}, as many as quantiles")
    for key, numbers, low, high in (("knots", curve[0], -math.inf, math.inf), ("quantiles", curve[1], 0.0, 1.0)):
        inside = all(_number(value) and low < value < high for value in numbers)
        _expect(inside and list(numbers) == sorted(numbers), where, key, numbers[:3], "increasing numbers")
    if part.kind is Kind.CONSTANT:
        _expect(not encoding.cardinality and not curve[0], where, "encoding", encoding, "none of a constant column")
        return
    _expect(bool(encoding.values or encoding.missing or curve[0]), where, "encoding", "no value", "some")
    if not part.numerical:
        _expect(not curve[0], where, "knots", curve[0][:3], "none of a column of words")
        return
    _expect(all(_number(value) for value in values), where, "values", values[:3], "numbers")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _expect(holds: bool, where: str, key: str, found: Any, expected: str) -> None:
    if not holds:
        raise SynthgenError(f"{where}: {key}: found {found!r}, expected {expected}")
