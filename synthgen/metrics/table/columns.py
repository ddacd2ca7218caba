"""Columns of several tables as numbers that mean the same in each: what every table metric starts from.

A value is what it equals: integer 1, float 1.0 and True are one category however a file stored them, and a pandas
categorical counts by its values, not by its codes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from synthgen.errors import SynthgenError, nearest
from synthgen.layout import Column, TableSchema

__all__ = [
    "as_written",
    "checked",
    "feature_matrices",
    "joint_codes",
    "numbers",
    "one_hot_matrix",
    "shared_codes",
    "value_codes",
]


def checked(frame: pd.DataFrame, schema: TableSchema, side: str) -> pd.DataFrame:
    """The schema's columns of `frame`, in the schema's order.

    Numbers in a column of words, as a CSV file has where every word looks like a number, become words.

    Raises:
        SynthgenError: When a column is absent, or there is no row; `side` names the table in the message.
    """
    for name in schema.names:
        if name not in frame.columns:
            raise SynthgenError(
                f"the {side} table has no column {name!r}: {nearest(name, frame.columns, what='its columns are')}"
            )
    if not len(frame):
        raise SynthgenError(f"the {side} table has no rows")
    frame = frame[schema.names]
    words = [
        column.name
        for column in schema
        if any(isinstance(category, str) for category in column.categories) and _holds_numbers(frame[column.name])
    ]
    return frame.assign(**{name: _as_words(frame[name]) for name in words}) if words else frame


def _holds_numbers(series: pd.Series) -> bool:
    if series.dtype != object:
        return pd.api.types.is_numeric_dtype(series)
    return pd.api.types.infer_dtype(series, skipna=True) in (
        "integer",
        "floating",
        "mixed-integer",
        "mixed-integer-float",
    )


def _as_words(series: pd.Series) -> pd.Series:
    """Numbers as they were written: a whole one without the decimals that missing cells beside it brought."""
    present = series.dropna()
    if pd.api.types.is_float_dtype(series) and ((present % 1 == 0) & (present.abs() < 2**63)).all():
        series = series.astype("Int64")
    return series.astype(object).where(series.isna(), series.astype(str))


def as_written(series: pd.Series) -> pd.Series:
    """A column of 32-bit floats as the decimal numbers that they stand for: 0.1, and not 0.10000000149."""
    if str(series.dtype).lower() not in ("float16", "float32"):
        return series
    narrow = series.to_numpy(dtype=str(series.dtype).lower(), na_value=np.nan)
    # The shortest decimals that a narrow float is written by, a distinct value at a time.
    values, inverse = np.unique(narrow, return_inverse=True)
    return pd.Series(values.astype(str).astype(np.float64)[inverse], index=series.index, name=series.name)


def numbers(series: pd.Series) -> NDArray[np.float64]:
    """Values of a numerical column, shape (rows,), missing and infinite ones as NaN; dates and durations in seconds.

    Raises:
        SynthgenError: When a value is not a number.
    """
    if series.dtype.kind == "M":
        series = series - pd.Timestamp(0, tz=series.dt.tz)
    if series.dtype.kind == "m":  # whatever unit each file's reader chose
        return series.dt.total_seconds().to_numpy(np.float64)
    try:
        values = pd.to_numeric(as_written(series)).to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    except (ValueError, TypeError) as error:
        raise SynthgenError(f"column {series.name!r} is numerical, but holds something else: {error}") from error
    values[~np.isfinite(values)] = np.nan
    return values


def value_codes(columns: Sequence[pd.Series], known: Sequence[Any] = ()) -> tuple[list[NDArray[np.int64]], list[Any]]:
    """One integer code a value, shared by all `columns`.

    Args:
        columns: The same column of several tables.
        known: Values that get the first codes, in this order.

    Returns:
        For each column its codes, shape (rows,), and the values: code i is values[i], and len(values) is missing.
    """
    seen = {value: code for code, value in enumerate(dict.fromkeys(known))}
    found = []
    for column in columns:
        codes, uniques = pd.factorize(as_written(column))  # −1 where missing
        # A Python dictionary is what makes 1, 1.0 and True one key; it is asked once a distinct value, not once a row.
        lookup = np.array([*(seen.setdefault(value, len(seen)) for value in uniques.tolist()), -1], dtype=np.int64)
        found.append(lookup[codes])
    return [np.where(codes < 0, len(seen), codes) for codes in found], list(seen)


def shared_codes(frames: Sequence[pd.DataFrame], column: Column) -> tuple[list[NDArray[np.int64]], list[Any]]:
    """`value_codes` of a discrete column of several tables: the schema's categories first, then values new to it."""
    return value_codes([frame[column.name] for frame in frames], column.categories)


def feature_matrices(frames: Sequence[pd.DataFrame], columns: Sequence[Column]) -> list[NDArray[np.float64]]:
    """What boosted trees read: numbers as they are, NaN where missing, and integer codes for everything else.

    Returns:
        One matrix a table, shape (rows, columns).
    """
    matrices = [np.empty((len(frame), len(columns))) for frame in frames]
    for position, column in enumerate(columns):
        if column.numerical:
            values: Sequence[NDArray[Any]] = [numbers(frame[column.name]) for frame in frames]
        else:
            values, _ = shared_codes(frames, column)
        for matrix, part in zip(matrices, values, strict=True):
            matrix[:, position] = part
    return matrices


def one_hot_matrix(frames: Sequence[pd.DataFrame], columns: Sequence[Column]) -> sparse.csr_matrix:
    """Numbers as they are, and 1 for the value of each discrete column, missing too; shape (rows of all, features).

    Sparse, as a column may have 100,000 values. What is not stored is missing to XGBoost, which divides the rows of a
    0-or-1 column no differently; zeros of a numerical column are stored.
    """
    codes, values, width = [], [], 0
    for column, cells in zip(columns, np.concatenate(feature_matrices(frames, columns)).T):
        if column.numerical:
            codes.append(np.full(len(cells), width))
            values.append(cells)
            width += 1
        else:
            _, compact = np.unique(cells, return_inverse=True)
            codes.append(width + compact)
            values.append(np.ones(len(cells)))
            width += int(compact.max()) + 1
    shape = (len(codes[0]), width)
    pointers = np.arange(shape[0] + 1) * len(codes)
    return sparse.csr_matrix((np.column_stack(values).ravel(), np.column_stack(codes).ravel(), pointers), shape)


def joint_codes(
    first: Sequence[NDArray[np.int64]], second: Sequence[NDArray[np.int64]], sizes: tuple[int, int]
) -> tuple[list[NDArray[np.int64]], int]:
    """Codes of the pairs of two discrete columns, for each of several tables, and how many codes there may be.

    Where two columns have far more possible pairs than rows, the pairs that occur are renumbered: memory stays in
    proportion to the rows, however many categories a column has.
    """
    joint = [a * sizes[1] + b for a, b in zip(first, second, strict=True)]
    cells = sizes[0] * sizes[1]
    rows = sum(map(len, joint))
    if cells <= 4 * rows + 1024:
        return joint, cells
    uniques, inverse = np.unique(np.concatenate(joint), return_inverse=True)
    ends = np.cumsum([len(codes) for codes in joint])[:-1]
    return list(np.split(inverse, ends)), len(uniques)
