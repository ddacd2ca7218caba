"""What the columns of a real table are, inferred from the table itself."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind, TableSchema

__all__ = ["infer_schema"]

# Beyond this a column of words is an identifier or free text, and a model over its values would only copy it.
MAX_CATEGORIES = 10_000
_MAX_DECIMALS = 12


def infer_schema(frame: pd.DataFrame, target: str | None = None) -> TableSchema:
    """Infers what each column holds.

    Numbers are numerical (with their precision and range), True and False boolean, everything else categorical. A
    column with one value, or none, is constant: it is kept and comes back as it was. Infinite numbers count as missing,
    with a warning.

    Args:
        frame: Real data, one row a record.
        target: The column that a downstream model would predict.

    Raises:
        SynthgenError: No row or no column, a column name twice, a column of dates, a column of words with more than
            10,000 different ones, or a target that is not a column.
    """
    if frame.empty:
        raise SynthgenError(f"the table has {frame.shape[0]} rows and {frame.shape[1]} columns; expected some of both")
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SynthgenError(f"column {twice[0]!r} occurs {names.count(twice[0])} times; expected unique names")
    return TableSchema(tuple(_infer_column(name, frame.iloc[:, i]) for i, name in enumerate(names)), target)


def _infer_column(name: str, values: pd.Series) -> Column:
    dtype = str(values.dtype)
    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        raise SynthgenError(f"column {name!r}: found dates ({dtype}), which no codec knows yet; turn them into numbers")
    present = values.dropna()
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        infinite = np.isinf(present.to_numpy(dtype=float))
        if infinite.any():
            warnings.warn(f"column {name!r}: {infinite.sum()} infinite values count as missing", stacklevel=4)
            present = present[~infinite]
    if values.dtype == object:
        _check_types(name, present)
    missing_rate = 1 - len(present) / len(values)
    described: dict[str, Any] = {"name": name, "dtype": dtype, "missing_rate": missing_rate}
    if present.nunique() + (missing_rate > 0) <= 1:
        return Column(kind=Kind.CONSTANT, categories=_categories(name, present), **described)
    if pd.api.types.is_bool_dtype(present) or all(isinstance(value, bool) for value in present):
        return Column(kind=Kind.BOOLEAN, categories=_categories(name, present), **described)
    if pd.api.types.is_numeric_dtype(values):
        numbers = present.to_numpy(dtype=float)
        return Column(
            kind=Kind.NUMERICAL,
            minimum=float(numbers.min()),
            maximum=float(numbers.max()),
            decimals=_decimals(present),
            **described,
        )
    categories = _categories(name, present)
    if len(categories) > MAX_CATEGORIES:
        raise SynthgenError(
            f"column {name!r}: found {len(categories):,} different words in {len(values):,} rows, which looks like an "
            f"identifier or free text; expected at most {MAX_CATEGORIES:,}: drop the column"
        )
    return Column(kind=Kind.CATEGORICAL, categories=categories, **described)


def _categories(name: str, present: pd.Series) -> tuple[str | int | float | bool, ...]:
    """Sorted distinct values as plain Python scalars: numbers before words."""
    values = [value.item() if isinstance(value, np.generic) else value for value in present.unique().tolist()]
    _check_types(name, values)
    return tuple(sorted(values, key=lambda value: (isinstance(value, str), value)))


def _check_types(name: str, values: Iterable[Any]) -> None:
    for value in values:
        if not isinstance(value, str | int | float | bool | np.number | np.bool_):
            raise SynthgenError(
                f"column {name!r}: found a value of type {type(value).__name__}; expected text, numbers or booleans"
            )


def _decimals(present: pd.Series) -> int | None:
    """Fewest digits after the point that write every number to its own precision; None when 12 are not enough."""
    numbers = present.drop_duplicates().to_numpy(dtype=float)
    # Some units in the last place: what a sum or a product may have added.
    tolerance = np.abs(numbers) * (1e-6 if present.dtype == "float32" else 1e-14)
    for digits in range(_MAX_DECIMALS + 1):
        if (np.abs(np.round(numbers, digits) - numbers) <= tolerance).all():
            return digits
    return None
