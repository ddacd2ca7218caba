"""Cells that samples shall have: what a person wants of a column, as the variables that a model sees."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.constraints.given import Given
from synthgen.data.tables.forms import MANY, Form
from synthgen.data.tables.moments import ticks_of, zone_of
from synthgen.data.tables.variables import Encoding, dtype_named, to_codes, to_normal
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import Column, Kind, TableSchema

__all__ = ["MISSING", "Wanted", "cell_variables", "condition_cells", "given_cells"]

#: Of one part of a cell: its code and its normal number, each None where it is left free.
Wanted = tuple[int | None, float | None]


# With no more values than this, a number is one of a choice, and another one is none.
_FEW = 20


class _Missing:
    """Asks for a missing cell in a condition, where None and NaN leave the cell free."""

    def __repr__(self) -> str:
        return "synthgen.MISSING"


MISSING = _Missing()


def cell_variables(form: Form, encodings: Sequence[Encoding], cell: Any) -> list[Wanted]:
    """What each part of a column is, for one wanted cell.

    Raises:
        SynthgenError: A value that training never saw, an identifier, or personal text.
    """
    column = form.column
    if cell is MISSING:
        always = column.kind is Kind.CONSTANT and not column.categories
        if not always and not (encodings and encodings[0].missing):
            raise SynthgenError(f"condition {column.name}: asks for a missing cell, but training saw none")
        return [(encodings[0].missing_code, None)] + [(None, None)] * (len(encodings) - 1)
    if column.kind.invented:
        what = "identifiers are" if column.kind is Kind.IDENTIFIER else "personal text is"
        raise SynthgenError(f"condition {column.name}: {what} made anew and cannot be asked for")
    if form.parts == (column,):
        return [_simple(column, encodings[0], cell)]
    if column.kind is Kind.CATEGORICAL and str(cell) not in form.by_text:  # type: ignore[attr-defined]
        # Among its neighbours alone: to compare it with a million words would take minutes.
        words = sorted(form.by_text)  # type: ignore[attr-defined]
        place = bisect_left(words, str(cell))
        hint = nearest(cell, words[max(place - 3, 0) : place + 3], what="values near it are")
        raise SynthgenError(f"condition {column.name}: training never saw {cell!r}; {hint}")
    try:
        parts = form.split(_typed(form, [cell]))
        codes = [int(to_codes(*part)[0]) if part[2].cardinality else None for part in zip(parts, form.parts, encodings)]
    except SynthgenError as error:
        # What a part lacks, such as a weekday, is named by the part; what the cell lacks is said of the condition.
        message = str(error)
        if message.startswith("condition "):
            raise
        raise SynthgenError(f"condition {column.name}: training never saw {cell!r}: {message}") from None
    return [
        (code, float(to_normal(part.to_numpy(), encoding)[0]) if encoding.continuous and not code else None)
        for code, part, encoding in zip(codes, parts, encodings)
    ]


def condition_cells(condition: dict[str, Any] | pd.DataFrame, n: int, schema: TableSchema) -> dict[str, list[Any]]:
    """By column, the cells of a condition, one a sample.

    Raises:
        SynthgenError: A column that is not there, an identifier, what is no value, or a number of rows other than n.
    """
    if isinstance(condition, pd.DataFrame):
        if len(condition) != n:
            raise SynthgenError(f"the condition has {len(condition)} rows for {n} samples; expected one row each")
        cells_of = {str(name): condition[name].tolist() for name in condition.columns}
    else:
        cells_of = {str(name): [value] * n for name, value in condition.items()}
    for name, cells in cells_of.items():
        column = schema[name]
        for cell in cells[:1] if isinstance(condition, dict) else cells:
            if cell is not MISSING and not pd.api.types.is_scalar(cell):
                raise SynthgenError(f"condition {name}: found {cell!r}, expected one value")
            if column.kind.invented and cell is not MISSING and not pd.isna(cell):
                what = "identifiers are" if column.kind is Kind.IDENTIFIER else "personal text is"
                raise SynthgenError(f"condition {name}: {what} made anew and cannot be asked for")
    return cells_of


def given_cells(condition: dict[str, Any] | pd.DataFrame, n: int, forms: Sequence[Form], within: bool = True) -> Given:
    """The cells of some columns that a condition gives, in their columns' types.

    Args:
        condition: One value a column, or one row a sample: None and NaN are free, `MISSING` is to be missing.
        n: Number of samples.
        forms: Of the columns.
        within: Whether cells must be within what training saw.

    Raises:
        SynthgenError: A cell that is none of the column's kind, out of its range, or missing where training saw none.
    """
    cells, told = {}, {}
    of_all = isinstance(condition, dict)
    condition = {str(name): values for name, values in condition.items()}
    for form in forms:
        name = form.column.name
        if of_all:
            one, is_told = _typed_or_missing(form, [condition[name]], within)
            cells[name] = one.iloc[np.zeros(n, dtype=int)].reset_index(drop=True)
            told[name] = np.full(n, is_told[0])
        else:
            cells[name], told[name] = _typed_or_missing(form, condition[name].tolist(), within)
    return Given(cells, told, n)


def _typed_or_missing(form: Form, cells: Sequence[Any], within: bool) -> tuple[pd.Series, np.ndarray]:
    """(rows,) cells in the column's type, missing where they are free or to be missing; and which are given."""
    column = form.column
    told = np.array([cell is MISSING or not pd.isna(cell) for cell in cells], dtype=bool)
    there = np.array([cell is not MISSING and not pd.isna(cell) for cell in cells], dtype=bool)
    if within and (told & ~there).any() and not column.missing_rate:
        raise SynthgenError(f"condition {column.name}: asks for a missing cell, but training saw none")
    given = [cell for cell, is_there in zip(cells, there) if is_there]
    if column.kind in (Kind.CATEGORICAL, Kind.BOOLEAN, Kind.CONSTANT):
        values = pd.Series([None] * len(cells), dtype="object")
        values[there] = _words(column, given)
        return values, told
    typed = _typed(form, given, within) if given else pd.Series([], dtype=dtype_named(column.dtype))
    if pd.api.types.is_integer_dtype(typed.dtype):  # the plain dtype of whole numbers has no missing cell
        typed = typed.astype("UInt64" if column.maximum is not None and column.maximum >= 2**63 else "Int64")
    return pd.Series(typed.array, index=np.flatnonzero(there)).reindex(range(len(cells))), told


def _words(column: Column, cells: list[Any]) -> list[Any]:
    """Wanted cells as the column's values."""
    known = {str(value): value for value in column.categories}
    for cell in cells:
        if str(cell) not in known:
            same = next((value for value in column.categories[:MANY] if _same(value, cell)), None)
            if same is None:
                hint = nearest(cell, column.categories[:MANY], what="values are")
                raise SynthgenError(f"condition {column.name}: training never saw {cell!r}; {hint}")
            known[str(cell)] = same
    return [known[str(cell)] for cell in cells]


def _typed(form: Form, cells: list[Any], within: bool = True) -> pd.Series:
    """Wanted cells in the column's dtype.

    Raises:
        SynthgenError: One that is none of the column's kind, or, where it has to be within, out of its range.
    """
    column = form.column
    dtype = dtype_named(column.dtype)
    if column.kind is Kind.CATEGORICAL:
        by_text = form.by_text  # type: ignore[attr-defined]
        return pd.Series([by_text.get(str(cell), cell) for cell in cells], dtype="object")
    if column.kind is Kind.NUMERICAL:
        try:
            numbers = [int(cell) if isinstance(column.minimum, int) else float(cell) for cell in cells]
        except (TypeError, ValueError):
            raise SynthgenError(f"condition {column.name}: found {cells[0]!r}, expected a number") from None
        for number in numbers if within else ():
            _in_range(column, number, f"{number}", f"{column.minimum} .. {column.maximum}")
        if pd.api.types.is_integer_dtype(dtype):
            numbers = [round(number) for number in numbers]
        return pd.Series(numbers).astype(dtype)
    try:
        read = pd.Series([_moment(column, cell) for cell in cells], dtype="object").astype(dtype)
        ticks, _ = ticks_of(read, column)
    except (TypeError, ValueError):  # SynthgenError is one
        expected = f"a {column.kind}" + (f" written as {column.format}" if column.format else "")
        raise SynthgenError(f"condition {column.name}: found {cells[0]!r}, expected {expected}") from None
    for tick, cell in zip(ticks, cells) if within else ():
        _in_range(column, int(tick), str(cell), "the times")
    return read


def _moment(column: Column, cell: Any) -> Any:
    if column.kind is Kind.DURATION:
        return pd.Timedelta(cell)
    if column.format is not None:
        return str(cell)
    moment = pd.Timestamp(cell)
    if column.dtype == "object":
        return moment.date()
    return moment.tz_localize(zone_of(column)) if moment.tz is None and zone_of(column) else moment


def _in_range(column: Column, number: float, found: str, expected: str) -> None:
    assert column.minimum is not None
    assert column.maximum is not None
    if not column.minimum <= number <= column.maximum:
        raise SynthgenError(f"condition {column.name}: {found} is outside {expected}, the range of the column")


def _simple(column: Column, encoding: Encoding, cell: Any) -> Wanted:
    values = column.categories if column.kind is Kind.CONSTANT else encoding.values
    # The value itself comes before one that is written alike, such as 1 before "1".
    for same in (_identical, _same):
        for code, value in enumerate(values):
            if same(value, cell):
                return code + encoding.continuous, None
    try:
        number = float(cell) if column.numerical else 0.0
    except (TypeError, ValueError):
        raise SynthgenError(
            f"condition {column.name}: found {cell!r}, expected a number from {column.minimum:g} to {column.maximum:g}"
        ) from None
    if not encoding.continuous and not (column.numerical and (len(values) > _FEW or _widened(column, encoding))):
        by_distance = sorted(values, key=lambda value: abs(value - number)) if column.numerical else values
        raise SynthgenError(
            f"condition {column.name}: training never saw {cell!r}; {nearest(cell, by_distance, what='values are')}"
        )
    _in_range(column, number, f"{number:g}", f"{column.minimum:g} .. {column.maximum:g}")
    if not encoding.continuous:
        return int(to_codes(pd.Series([number]), column, encoding)[0]), None
    return 0, float(to_normal(np.array([number]), encoding)[0])


def _widened(column: Column, encoding: Encoding) -> bool:
    """Whether numbers go on beyond those that were seen, as a person said: the nearest one then stands for them."""
    if not column.numerical or column.minimum is None or column.maximum is None:
        return False
    return column.minimum < encoding.values[0] or column.maximum > encoding.values[-1]


def _identical(value: Any, cell: Any) -> bool:
    return type(value) is type(cell) and value == cell


def _same(value: Any, cell: Any) -> bool:
    """Whether a wanted cell, which may be text from a command line, means a known value."""
    if value == cell or str(value) == str(cell):
        return True
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(cell) == float(value)
        except (TypeError, ValueError):
            return False
    return isinstance(value, bool) and str(cell).lower() == str(value).lower()
