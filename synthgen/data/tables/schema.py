"""What the columns of a real table are, inferred from the table itself."""

import datetime
import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.forms import EXACT
from synthgen.data.tables.identifiers import identifier_format
from synthgen.data.tables.moments import kind_written, recognise, ticks_of, unit_of
from synthgen.data.tables.wishes import DROP, Wishes
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import MAX_MEASURED, RARE, Column, Kind, TableSchema

__all__ = ["MAX_CATEGORIES", "infer_schema", "is_free_text", "measured_schema", "moment_column", "numbers_column"]

MAX_CATEGORIES = 1_000_000
# Free text: so many cells, more than half of them different, of so many characters or words on average.
_MIN_TEXTS = 100
_LONG_TEXT = 25
_LONG_WORDS = 4
_MAX_DECIMALS = 12


def infer_schema(
    frame: pd.DataFrame, target: str | None = None, wanted: Wishes | None = None, rare_below: int = 0
) -> TableSchema:
    """Infers what each column holds, but for what a person says of it.

    Dates, times and durations are recognised by their dtype or, in text, by a format that writes every cell; unique
    keys by their name and form; other numbers are numerical (with their precision and range), True and False boolean,
    everything else categorical. A column with one value, or none, is constant: it is kept and comes back as it was.
    Free text, of which a model would learn nothing but to copy it, is left out with a warning.

    Args:
        frame: Real data, one row a record.
        target: The column that a downstream model would predict.
        wanted: What a schema file says of some columns, as `read_schema` gives it.
        rare_below: Words that fewer rows have become "(rare)", and ranges end at means of so many cells.

    Raises:
        SynthgenError: No row or no column, a column name twice, infinite numbers, a column of more than 1,000,000
            words, a target that is not a column, or columns that are not what `wanted` says.
    """
    wanted = wanted or Wishes()
    names = _names(frame)
    for name in wanted.columns:
        if name not in names:
            raise SynthgenError(f"{wanted.where}: column {name!r}: {nearest(name, names, what='the table has')}")
    target = target or wanted.target
    columns = []
    for i, name in enumerate(names):
        wish = wanted.columns.get(name, {})
        if wish.get("kind") == DROP:
            continue
        column = _wished(name, frame.iloc[:, i], wish, f"{wanted.where}: column {name!r}") if wish else None
        if column is None:
            values = frame.iloc[:, i]
            if name != target and "kind" not in wish and is_free_text(values):
                warnings.warn(f"column {name!r}: free text is left out; give it a kind in a schema file", stacklevel=3)
                continue
            column = _infer_column(name, values, as_measured=name == target)
        if rare_below > 1:
            column = _without_rare(column, frame.iloc[:, i], rare_below)
        columns.append(column)
    if not columns:
        raise SynthgenError("no column is left to learn from: all of them are free text or dropped")
    return TableSchema(tuple(columns), target)


def measured_schema(frame: pd.DataFrame, target: str | None = None) -> TableSchema:
    """What each column holds to metrics, which know numbers, booleans and words: keys and dates in text are words.

    Infinite numbers count as missing, with a warning: a table to be measured may come from anywhere.

    Raises:
        SynthgenError: No row or no column, a column name twice, a column of dates, a column of more than 10,000
            different words, or a target that is not a column.
    """
    columns = []
    for i, name in enumerate(_names(frame)):
        values = frame.iloc[:, i]
        if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
            raise SynthgenError(f"column {name!r}: found dates ({values.dtype}); turn them into numbers")
        if (infinite := _infinite(values)).any():
            warnings.warn(f"column {name!r}: {infinite.sum()} infinite values count as missing", stacklevel=3)
            values = values.mask(infinite)
        column = _simple_column(name, values)
        if len(column.categories) > MAX_MEASURED:
            raise SynthgenError(
                f"column {name!r}: found {len(column.categories):,} different words in {len(values):,} rows, which "
                f"looks like an identifier or free text; expected at most {MAX_MEASURED:,}: drop the column"
            )
        columns.append(column)
    return TableSchema(tuple(columns), target)


def numbers_column(name: str, values: pd.Series, rare_below: int = 0) -> Column:
    """A column of numbers that are no keys, whatever its name."""
    column = _simple_column(name, values)
    return _without_rare(column, values, rare_below) if rare_below > 1 else column


def is_free_text(values: pd.Series) -> bool:
    """Whether a column is many different long texts."""
    if not (pd.api.types.is_string_dtype(values.dtype) or values.dtype == object):
        return False
    present = values.dropna()
    if len(present) < _MIN_TEXTS or (values.dtype == object and not all(isinstance(value, str) for value in present)):
        return False
    sample = present.iloc[:10_000].astype("str")
    long = sample.str.len().mean() >= _LONG_TEXT or sample.str.count(" ").mean() >= _LONG_WORDS - 1
    return bool(long and sample.nunique() > len(sample) / 2 and present.nunique() > len(present) / 2)


def _names(frame: pd.DataFrame) -> list[str]:
    if frame.empty:
        raise SynthgenError(f"the table has {frame.shape[0]} rows and {frame.shape[1]} columns; expected some of both")
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SynthgenError(f"column {twice[0]!r} occurs {names.count(twice[0])} times; expected unique names")
    return names


def _infinite(values: pd.Series) -> np.ndarray:
    if not pd.api.types.is_float_dtype(values.dtype):
        return np.zeros(len(values), dtype=bool)
    return np.isinf(values.to_numpy(dtype=float, na_value=np.nan))


def _infer_column(name: str, values: pd.Series, as_measured: bool = False) -> Column:
    if (infinite := _infinite(values)).any():
        raise SynthgenError(
            f"column {name!r}: found {infinite.sum():,} infinite values, expected numbers; make them missing, or a "
            "number beyond the others"
        )
    present = values.dropna()
    if values.dtype == object and not all(type(value) is datetime.date for value in present):
        _check_types(name, present)
    missing_rate = 1 - len(present) / len(values)
    if as_measured or present.nunique() + (missing_rate > 0) <= 1:
        return _simple_column(name, values)
    if (recognised := recognise(present)) is not None:
        return moment_column(name, values, *recognised)
    if (key := identifier_format(name, present)) is not None:
        return Column(name, Kind.IDENTIFIER, str(values.dtype), (), None, key[1], None, missing_rate, key[0])
    return _simple_column(name, values)


def moment_column(name: str, values: pd.Series, kind: Kind, written: str | None) -> Column:
    """A column of dates, times or durations, of which `recognise` has found kind and format."""
    bare = Column(name, kind, str(values.dtype), format=written, missing_rate=float(values.isna().mean()))
    unit, earliest, latest = unit_of(values, bare)
    return replace(bare, unit=unit, minimum=earliest, maximum=latest)


def _without_rare(column: Column, values: pd.Series, least: int) -> Column:
    """The column without words and ends of ranges that fewer than `least` rows have."""
    present = values.dropna()
    if column.kind is Kind.CATEGORICAL:
        counts = present.value_counts()
        common = set(counts.index[counts >= least])
        if len(common) == len(column.categories):
            return column
        if pd.api.types.is_numeric_dtype(values):
            raise SynthgenError(f"column {column.name!r}: numbers have no word for rare ones; make it numerical")
        kept = [value for value in column.categories if value in common]
        return replace(column, categories=(*kept, RARE) if RARE not in kept else tuple(kept))
    if column.kind.moment or column.kind is Kind.DURATION:
        ticks, missing = ticks_of(values, column)
        numbers = ticks[~missing]
    elif column.kind is Kind.NUMERICAL:
        numbers = present.to_numpy()
    else:
        return column
    ends = [np.partition(numbers, k)[part].tolist() for k, part in _ends(len(numbers), least)]
    low, high = (sum(end) / len(end) if isinstance(column.minimum, float) else sum(end) // len(end) for end in ends)
    return replace(column, minimum=low, maximum=high)


def _ends(n: int, least: int) -> list[tuple[int, slice]]:
    """Where the `least` smallest and largest of n numbers are, once they are partitioned there."""
    least = min(least, n)
    return [(least - 1, slice(0, least)), (n - least, slice(n - least, n))]


def _simple_column(name: str, values: pd.Series) -> Column:
    present = values.dropna()
    if values.dtype == object:
        _check_types(name, present)
    missing_rate = 1 - len(present) / len(values)
    described: dict[str, Any] = {"name": name, "dtype": str(values.dtype), "missing_rate": missing_rate}
    if present.nunique() + (missing_rate > 0) <= 1:
        return Column(kind=Kind.CONSTANT, categories=_categories(name, present), **described)
    if pd.api.types.is_bool_dtype(present) or all(isinstance(value, bool) for value in present):
        return Column(kind=Kind.BOOLEAN, categories=_categories(name, present), **described)
    if pd.api.types.is_numeric_dtype(values):
        low, high = present.min(), present.max()
        # Beyond 2^53 a float would lose digits.
        exact = pd.api.types.is_integer_dtype(values) and max(abs(int(low)), abs(int(high))) > EXACT
        return Column(
            kind=Kind.NUMERICAL,
            minimum=int(low) if exact else float(low),
            maximum=int(high) if exact else float(high),
            decimals=_decimals(present),
            **described,
        )
    categories = _categories(name, present)
    if len(categories) > MAX_CATEGORIES:
        raise SynthgenError(
            f"column {name!r}: found {len(categories):,} different words in {len(values):,} rows; expected at most "
            f"{MAX_CATEGORIES:,}: drop the column"
        )
    return Column(kind=Kind.CATEGORICAL, categories=categories, **described)


def _wished(name: str, values: pd.Series, wish: dict[str, Any], where: str) -> Column | None:
    """The column that a schema file describes; None where it says nothing of the kind and inference holds."""
    kind = Kind(wish["kind"]) if "kind" in wish else None
    written = wish.get("format")
    if kind is None and written is None and not ({"decimals", "range"} & set(wish)):
        return None
    present = values.dropna()
    missing_rate = 1 - len(present) / len(values)
    if kind is Kind.IDENTIFIER:
        key = identifier_format(name, present, named=True)
        if key is None:
            raise SynthgenError(f"{where}: kind: these are no identifiers of one form; expected numbered ones or UUIDs")
        return Column(name, kind, str(values.dtype), (), None, key[1], None, missing_rate, key[0])
    if kind is Kind.CATEGORICAL:
        bare = Column(name, kind, str(values.dtype), _categories(name, present), missing_rate=missing_rate)
        return bare if len(bare.categories) + (missing_rate > 0) > 1 else _simple_column(name, values)
    if written is not None or (kind is not None and (kind.moment or kind is Kind.DURATION)):
        found = (kind or kind_written(written), written) if written is not None else recognise(present)
        if found is None or (kind is not None and found[0] is not kind):
            raise SynthgenError(f"{where}: kind: found {values.dtype}, expected a {kind}; say its format")
        return moment_column(name, values, *found)
    column = _infer_column(name, values, as_measured=kind is not None)
    if kind is not None and column.kind is not kind:
        raise SynthgenError(f"{where}: kind: found a {column.kind} column, expected {kind}")
    if {"decimals", "range"} & set(wish):
        if column.kind is not Kind.NUMERICAL:
            raise SynthgenError(f"{where}: decimals and range are for numerical columns, found {column.kind}")
        low, high = wish.get("range", (column.minimum, column.maximum))
        outside = (present < low) | (present > high)
        if outside.any():
            raise SynthgenError(f"{where}: range: found {present[outside].iloc[0]}, expected {low:g} .. {high:g}")
        column = replace(column, decimals=wish.get("decimals", column.decimals))
    return column


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
