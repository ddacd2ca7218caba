"""Cells that samples shall have: what a person wants of a column, as the variables that a model sees."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from synthgen.data.tables.constraints.given import Given
from synthgen.data.tables.forms import MANY, Form
from synthgen.data.tables.moments import ticks_of, zone_of
from synthgen.data.tables.number_formats import dressed, numbers_of, write_numbers
from synthgen.data.tables.variables import Encoding, dtype_named, to_codes, to_normal
from synthgen.errors import SynthgenError, nearest, rows_named
from synthgen.layout import Column, Kind, TableSchema

__all__ = ["MISSING", "Asked", "asked_of", "cell_variables", "given_cells", "of_all_rows"]

#: Of one part of some cells: (cells,) codes, −1 where it is left free, and (cells,) normal numbers, likewise NaN.
Wanted = tuple[np.ndarray, np.ndarray]
T = TypeVar("T")


# With no more values than this, a number is one of a choice, and another one is none.
_FEW = 20


class _Missing:
    """Asks for a missing cell in a condition: in a table of conditions None and NaN leave a cell free."""

    def __repr__(self) -> str:
        return "synthgen.MISSING"


MISSING = _Missing()


@dataclass(frozen=True)
class Asked:
    """The cells that a condition asks for in one column.

    Attributes:
        name: Of the column.
        cells: Different ones, as a person gave them; `MISSING` among them, and none that is free.
        place: (rows,) which of them a row asks for; −1 where it is free.
        first: Number, from 0, of the first row among those that a person sees; None where all rows are alike.
    """

    name: str
    cells: list[Any]
    place: np.ndarray
    first: int | None

    def each(self, function: Callable[[list[Any]], T]) -> T:
        """A function of all cells at once.

        Raises:
            SynthgenError: It raised one: of the first cell that it does not take, and of the rows that ask for it.
        """
        try:
            return function(self.cells)
        except SynthgenError as error:
            found = error
        low, high = 0, len(self.cells)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _fault(function, self.cells[low:middle]) else (middle, high)
        found = _fault(function, self.cells[low:high]) or found
        if self.first is None:
            raise found
        rows = rows_named((np.flatnonzero(self.place == low) + self.first).tolist())
        begin = f"condition {self.name}"
        raise SynthgenError(str(found).replace(begin, f"{begin} ({rows})", 1)) from None


def _fault(function: Callable[[list[Any]], Any], cells: list[Any]) -> SynthgenError | None:
    try:
        function(cells)
    except SynthgenError as error:
        return error
    return None


def asked_of(condition: dict[str, Any] | pd.DataFrame, n: int, schema: TableSchema) -> list[Asked]:
    """The cells of a condition by column.

    Args:
        condition: One value a column for all samples, where None and NaN ask for a missing cell as `MISSING` does; or
            one row a sample, where they leave a cell free.
        n: Number of samples.
        schema: What the columns are.

    Raises:
        SynthgenError: A column that is not there, an identifier, what is no value, or a number of rows other than n.
    """
    if isinstance(condition, pd.DataFrame):
        if len(condition) != n:
            raise SynthgenError(f"the condition has {len(condition)} rows for {n} samples; expected one row each")
        # Rows of a part of a table are counted as those of the table.
        first = condition.index.start if isinstance(condition.index, pd.RangeIndex) else 0
        found = [_of_rows(schema[str(name)], condition[name], first) for name in condition.columns]
    else:
        of_all = np.zeros(n, dtype=np.int64)
        found = [Asked(name, [cell], of_all, None) for name, cell in of_all_rows(condition).items()]
    for asked in found:
        column = schema[asked.name]
        asked.each(lambda cells, column=column: _check_cells(column, cells))  # type: ignore[misc]
    return found


def of_all_rows(condition: dict[str, Any]) -> dict[str, Any]:
    """One value a column for all rows, by names that are text: None and NaN ask for a missing cell as `MISSING`."""
    free = {name for name, cell in condition.items() if pd.api.types.is_scalar(cell) and pd.isna(cell)}
    return {str(name): MISSING if name in free else cell for name, cell in condition.items()}


def _of_rows(column: Column, cells: pd.Series, first: int) -> Asked:
    name = column.name
    try:
        place, different = pd.factorize(cells)
    except TypeError:  # lists and the like
        row = next(i for i, cell in enumerate(cells) if not pd.api.types.is_hashable(cell))
        raise SynthgenError(
            f"condition {name} ({rows_named([row + first])}): found {cells.iloc[row]!r}, expected one value"
        ) from None
    found = different.tolist()
    if pd.api.types.is_float_dtype(cells.dtype) and column.categories and isinstance(column.categories[-1], str):
        # Words that are whole numbers are read as floats where other rows leave the cell free.
        found = [int(cell) if float(cell).is_integer() else cell for cell in found]
    return Asked(name, found, place, first)


def _check_cells(column: Column, cells: list[Any]) -> None:
    for cell in cells:
        if cell is not MISSING and not pd.api.types.is_scalar(cell):
            raise SynthgenError(f"condition {column.name}: found {cell!r}, expected one value")
        if column.kind.invented and cell is not MISSING:
            what = "identifiers are" if column.kind is Kind.IDENTIFIER else "personal text is"
            raise SynthgenError(f"condition {column.name}: {what} made anew and cannot be asked for")


def cell_variables(form: Form, encodings: Sequence[Encoding], cells: list[Any]) -> list[Wanted]:
    """What each part of a column is, for some wanted cells.

    Raises:
        SynthgenError: A value that training never saw.
    """
    column = form.column
    missing = np.array([cell is MISSING for cell in cells], dtype=bool)
    codes = [np.full(len(cells), -1, dtype=np.int64) for _ in encodings]
    normal = [np.full(len(cells), np.nan) for _ in encodings]
    if missing.any():
        always = column.kind is Kind.CONSTANT and not column.categories
        if not always and not (encodings and encodings[0].missing):
            raise _never_missing(column)
        codes[0][missing] = encodings[0].missing_code
    there = [cell for cell in cells if cell is not MISSING]
    if there:
        if dressed(column):
            parts = [_simple(form.parts[0], encodings[0], _undressed(column, there))]
        elif form.parts == (column,):
            parts = [_simple(column, encodings[0], there)]
        else:
            parts = _of_parts(form, encodings, there)
        for of_codes, of_normal, (code, number) in zip(codes, normal, parts):
            of_codes[~missing], of_normal[~missing] = code, number
    return list(zip(codes, normal))


def _of_parts(form: Form, encodings: Sequence[Encoding], cells: list[Any]) -> list[Wanted]:
    """As `cell_variables`, of a column that is taken apart."""
    column = form.column
    if column.kind is Kind.CATEGORICAL:
        for cell in cells:
            if str(cell) in form.by_text:  # type: ignore[attr-defined]
                continue
            # Among its neighbours alone: to compare it with a million words would take minutes.
            words = sorted(form.by_text)  # type: ignore[attr-defined]
            place = bisect_left(words, str(cell))
            hint = nearest(cell, words[max(place - 3, 0) : place + 3], what="values near it are")
            raise SynthgenError(f"condition {column.name}: training never saw {cell!r}; {hint}")
    try:
        parts = form.split(_typed(form, cells))
        codes = [
            to_codes(*part) if part[2].cardinality else np.zeros(len(cells), dtype=np.int64)
            for part in zip(parts, form.parts, encodings)
        ]
    except SynthgenError as error:
        # What a part lacks, such as a weekday, is named by the part; what the cell lacks is said of the condition.
        message = str(error)
        if message.startswith("condition "):
            raise
        raise SynthgenError(f"condition {column.name}: training never saw {cells[0]!r}: {message}") from None
    normal = [
        np.where(code == 0, to_normal(part.to_numpy(dtype=float), encoding), np.nan)
        if encoding.continuous
        else np.full(len(cells), np.nan)
        for code, part, encoding in zip(codes, parts, encodings)
    ]
    return list(zip(codes, normal))


def given_cells(asked: Sequence[Asked], n: int, forms: Mapping[str, Form], within: bool = True) -> Given:
    """The cells of some columns that a condition gives, in their columns' types.

    Args:
        asked: Of some columns.
        n: Number of samples.
        forms: Of the same columns.
        within: Whether cells must be within what training saw.

    Raises:
        SynthgenError: A cell that is none of the column's kind, or out of its range.
    """
    cells, told = {}, {}
    for one in asked:
        typed = one.each(partial(_typed_or_missing, forms[one.name], within=within))
        cells[one.name] = typed.reindex(one.place).reset_index(drop=True)
        told[one.name] = one.place >= 0
    return Given(cells, told, n, max((one.first or 0 for one in asked), default=0))


def _typed_or_missing(form: Form, cells: list[Any], within: bool) -> pd.Series:
    """Cells in the column's type by their place among all; one that is to be missing is not there."""
    column = form.column
    places = [i for i, cell in enumerate(cells) if cell is not MISSING]
    if within and len(places) < len(cells) and not column.missing_rate:
        raise _never_missing(column)
    given = [cells[i] for i in places]
    if column.kind in (Kind.CATEGORICAL, Kind.BOOLEAN, Kind.CONSTANT):
        return pd.Series(_words(column, given), index=places, dtype="object")
    typed = _typed(form, given, within) if given else pd.Series([], dtype=dtype_named(column.dtype))
    if pd.api.types.is_integer_dtype(typed.dtype):  # the plain dtype of whole numbers has no missing cell
        typed = typed.astype("UInt64" if column.maximum is not None and column.maximum >= 2**63 else "Int64")
    return pd.Series(typed.array, index=places)


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
        plain = _undressed(column, cells)
        try:
            numbers = [int(cell) if isinstance(column.minimum, int) else float(cell) for cell in plain]
        except (TypeError, ValueError):
            raise SynthgenError(f"condition {column.name}: found {cells[0]!r}, expected a number") from None
        if within:
            _in_range(column, numbers, cells, f"{column.minimum} .. {column.maximum}")
        if dressed(column):
            return write_numbers(np.array(numbers, dtype=float), column)
        if pd.api.types.is_integer_dtype(dtype):
            numbers = [round(number) for number in numbers]
        return pd.Series(numbers).astype(dtype)
    try:
        read = pd.Series([_moment(column, cell) for cell in cells], dtype="object").astype(dtype)
        ticks, _ = ticks_of(read, column)
    except (TypeError, ValueError):  # SynthgenError is one
        expected = f"a {column.kind}" + (f" written as {column.format}" if column.format else "")
        raise SynthgenError(f"condition {column.name}: found {cells[0]!r}, expected {expected}") from None
    if within:
        _in_range(column, ticks.tolist(), cells, "the times")
    return read


def _undressed(column: Column, cells: list[Any]) -> list[Any]:
    """Cells of a column of numbers in dress as numbers, whether a person gave them in it or without."""
    return [_number(column, cell) if dressed(column) and isinstance(cell, str) else cell for cell in cells]


def _number(column: Column, cell: str) -> float:
    try:
        return float(numbers_of(pd.Series([cell], dtype="object"), column, loosely=True).iloc[0])
    except SynthgenError:
        pass
    try:
        return float(cell)
    except ValueError:
        expected = f"a number such as {write_numbers(np.array([column.maximum], dtype=float), column).iloc[0]}"
        raise SynthgenError(f"condition {column.name}: found {cell!r}, expected {expected}") from None


def _moment(column: Column, cell: Any) -> Any:
    if column.kind is Kind.DURATION:
        return pd.Timedelta(cell)
    if column.format is not None:
        return str(cell)
    moment = pd.Timestamp(cell)
    if column.dtype == "object":
        return moment.date()
    return moment.tz_localize(zone_of(column)) if moment.tz is None and zone_of(column) else moment


def _in_range(column: Column, numbers: Sequence[float], cells: Sequence[Any], expected: str) -> None:
    assert column.minimum is not None
    assert column.maximum is not None
    for number, cell in zip(numbers, cells):  # whole numbers of any size are compared exactly
        if not column.minimum <= number <= column.maximum:
            raise SynthgenError(f"condition {column.name}: {cell} is outside {expected}, the range of the column")


def _simple(column: Column, encoding: Encoding, cells: list[Any]) -> Wanted:
    if not column.numerical:
        return _choices(column, encoding, cells), np.full(len(cells), np.nan)
    try:
        numbers = np.array([float(cell) for cell in cells])
    except (TypeError, ValueError):
        expected = f"a number from {column.minimum:g} to {column.maximum:g}"
        raise SynthgenError(f"condition {column.name}: found {cells[0]!r}, expected {expected}") from None
    values = np.array(encoding.values, dtype=float)
    codes = pd.Index(values).get_indexer(pd.Index(numbers)) + int(encoding.continuous)
    others = codes < int(encoding.continuous)
    if others.any():
        if not encoding.continuous and not (len(values) > _FEW or _widened(column, encoding)):
            cell, number = cells[int(np.argmax(others))], numbers[others][0]
            by_distance = sorted(encoding.values, key=lambda value: abs(value - number))
            hint = nearest(cell, by_distance, what="values are")
            raise SynthgenError(f"condition {column.name}: training never saw {cell!r}; {hint}")
        shown = [f"{number:g}" for number in numbers[others]]
        _in_range(column, numbers[others].tolist(), shown, f"{column.minimum:g} .. {column.maximum:g}")
        codes[others] = 0 if encoding.continuous else to_codes(pd.Series(numbers[others]), column, encoding)
    if not encoding.continuous:
        return codes, np.full(len(cells), np.nan)
    return codes, np.where(others, to_normal(numbers, encoding), np.nan)


def _choices(column: Column, encoding: Encoding, cells: list[Any]) -> np.ndarray:
    """(cells,) which value of a choice is wanted."""
    values = column.categories if column.kind is Kind.CONSTANT else encoding.values
    # The value itself comes before one that is written alike, such as 1 before "1".
    known = {(type(value), value): code for code, value in enumerate(values)}
    found = np.zeros(len(cells), dtype=np.int64)
    for i, cell in enumerate(cells):
        code = known.get((type(cell), cell))
        if code is None:
            code = next((code for code, value in enumerate(values) if _same(value, cell)), None)
        if code is None:
            hint = nearest(cell, values, what="values are") if len(values) else "the column is always missing"
            raise SynthgenError(f"condition {column.name}: training never saw {cell!r}; {hint}")
        found[i] = code
    return found


def _never_missing(column: Column) -> SynthgenError:
    return SynthgenError(
        f"condition {column.name}: asks for a missing cell, but training saw none; leave the column out to have it free"
    )


def _widened(column: Column, encoding: Encoding) -> bool:
    """Whether numbers go on beyond those that were seen, as a person said: the nearest one then stands for them."""
    if not column.numerical or column.minimum is None or column.maximum is None:
        return False
    return column.minimum < encoding.values[0] or column.maximum > encoding.values[-1]


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
