"""What the columns of a real table are, inferred from the table itself."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.cells import Cells
from synthgen.data.tables.forms import EXACT
from synthgen.data.tables.identifiers import identifier_format, is_named_code, is_named_key
from synthgen.data.tables.invented import FORMATS, LOCALE, digits_held
from synthgen.data.tables.moments import kind_written, recognise, ticks_of, unit_of
from synthgen.data.tables.number_formats import NumberFormat, dressed, numbers_of, recognise_numbers
from synthgen.data.tables.personal import NUMERIC, personal_format
from synthgen.data.tables.ranges import with_range
from synthgen.data.tables.streamed import Table
from synthgen.data.tables.wishes import DROP, Wishes
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import MAX_MEASURED, RARE, Column, Kind, TableSchema

__all__ = [
    "infer_schema",
    "measured_schema",
    "moment_column",
    "names_rows",
    "number_format",
    "numbers_column",
    "unmeasured",
]

# Free text: so many cells, more than half of them different, of so many characters or words on average.
_MIN_TEXTS = 100
_LONG_TEXT = 25
_LONG_WORDS = 4
# Share of different values from which text may name its rows; where a column's name says that it holds keys, and else.
_KEYS = 0.1
_NAMES = 0.9
# Of numbers that are text, so many different ones make a target of numbers, and fewer one of classes.
_CLASSES = 20


def infer_schema(
    frame: Table, target: str | None = None, wanted: Wishes | None = None, rare_below: int = 0
) -> TableSchema:
    """Infers what each column holds, but for what a person says of it.

    Dates, times and durations are recognised by their dtype or, in text, by a format that writes every cell; so are
    numbers in text, such as "25%"; personal text by its form, or by the column's name and its form; unique keys by
    their name and form; other numbers are numerical (with their precision and range), True and False boolean,
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
        cells = Cells(name, frame[frame.columns[i]])
        where = f"{wanted.where}: column {name!r}"
        column = _wished(cells, wish, where) if wish else None
        if column is None:
            column = _infer_column(cells) if name != target else _target_column(cells)
        if column is None:
            warnings.warn(
                f"column {name!r}: free text is left out; in a schema file `kind: categorical` learns every text as a "
                "word, `{kind: personal, format: text}` invents others, `kind: drop` leaves it out and says nothing",
                stacklevel=3,
            )
            continue
        if column.kind is Kind.CATEGORICAL and "kind" not in wish and rare_below < 2 and names_rows(cells):
            warnings.warn(
                f"column {name!r}: {len(cells.different):,} different values in {len(cells.present):,} rows look like "
                "names or keys, and samples repeat them as they are; to keep them back, say `kind: identifier`, "
                "`{kind: personal, format: ...}` or `kind: drop` in a schema file, or data.split_by or data.rare_below",
                stacklevel=3,
            )
        if rare_below > 1:
            column = _without_rare(column, cells.values, rare_below)
        columns.append(column)
    if not columns:
        raise SynthgenError("no column is left to learn from: all of them are free text or dropped")
    return TableSchema(tuple(_in_one_locale(columns)), target)


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
        column = _simple_column(Cells(name, values))
        if len(column.categories) > MAX_MEASURED:
            raise SynthgenError(
                f"column {name!r}: found {len(column.categories):,} different words in {len(values):,} rows, which "
                f"looks like an identifier or free text; expected at most {MAX_MEASURED:,}: drop the column"
            )
        columns.append(column)
    return TableSchema(tuple(columns), target)


def unmeasured(name: str, values: pd.Series) -> str | None:
    """Of what words a column is that no metric shall see, let alone print; None where it may be measured."""
    cells = Cells(name, values)
    if personal_format(name, cells.different, len(cells.present)) is not None:
        return "personal text"
    if identifier_format(name, cells.different, len(cells.present)) is not None:
        return "identifiers"
    return "free text" if _is_free_text(cells) else None


def number_format(name: str, values: pd.Series, target: bool = False) -> NumberFormat | None:
    """How a column of text that is numbers is written; None where it is none.

    Args:
        name: The column's.
        values: Its cells.
        target: Whether a downstream model would predict it: few different ones are classes then.
    """
    return _number_format(Cells(name, values), target)


def _number_format(cells: Cells, target: bool = False) -> NumberFormat | None:
    found = None if cells.constant else recognise_numbers(cells.different)
    if found is None or (target and len(cells.different) <= _CLASSES):
        return None
    written, sure = found
    if sure or target:
        return written
    is_key = is_named_key(cells.name) or is_named_code(cells.name)
    is_key |= personal_format(cells.name, cells.different, len(cells.present)) is not None
    is_key |= identifier_format(cells.name, cells.different, len(cells.present)) is not None
    return None if is_key else written


def numbers_column(name: str, values: pd.Series, rare_below: int = 0) -> Column:
    """A column of numbers that are no keys, whatever its name."""
    column = _simple_column(Cells(name, values))
    return _without_rare(column, values, rare_below) if rare_below > 1 else column


def _names(frame: Table) -> list[str]:
    if not len(frame) or not len(frame.columns):
        raise SynthgenError(f"the table has {len(frame)} rows and {len(frame.columns)} columns; expected some of both")
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SynthgenError(f"column {twice[0]!r} occurs {names.count(twice[0])} times; expected unique names")
    return names


def _infinite(values: pd.Series) -> np.ndarray:
    if not pd.api.types.is_float_dtype(values.dtype):
        return np.zeros(len(values), dtype=bool)
    return np.isinf(values.to_numpy(dtype=float, na_value=np.nan))


def _infer_column(cells: Cells) -> Column | None:
    """What a column is; None where it is free text."""
    is_choice = isinstance(cells.values.dtype, pd.CategoricalDtype)
    recognised = None if is_choice or not len(cells.present) else recognise(cells.different)
    # One text is kept as it is, one moment as a moment.
    if recognised is not None and not (cells.constant and recognised[1]):
        return moment_column(cells.column(recognised[0], format=recognised[1]), cells.values)
    if cells.constant:
        return _simple_column(cells)
    if (number := _number_format(cells)) is not None:
        return _dressed_column(cells, number)
    if (written := personal_format(cells.name, cells.different, len(cells.present))) is not None:
        return cells.column(Kind.PERSONAL, format=written)
    if (key := identifier_format(cells.name, cells.different, len(cells.present))) is not None:
        return cells.column(Kind.IDENTIFIER, format=key[0], maximum=key[1])
    return None if _is_free_text(cells) else _simple_column(cells)


def _target_column(cells: Cells) -> Column:
    number = _number_format(cells, target=True)
    return _simple_column(cells) if number is None else _dressed_column(cells, number)


def _dressed_column(cells: Cells, written: NumberFormat) -> Column:
    """A column of text that is numbers of this format.

    Raises:
        SynthgenError: A cell that is not.
    """
    bare = cells.column(Kind.NUMERICAL, format=str(written), decimals=written.most)
    numbers = numbers_of(cells.different, bare)
    return replace(bare, minimum=float(numbers.min()), maximum=float(numbers.max()))


def names_rows(cells: Cells) -> bool:
    """Whether text that is learned as words names one row, or few of them: what is drawn of it then is somebody's."""
    share = len(cells.different) / max(len(cells.present), 1)
    if len(cells.different) < _MIN_TEXTS or share < _KEYS or pd.api.types.is_numeric_dtype(cells.different):
        return False
    return share > _NAMES or is_named_key(cells.name)


def _is_free_text(cells: Cells) -> bool:
    """Whether a column is many different long texts."""
    if len(cells.present) < _MIN_TEXTS or len(cells.different) <= len(cells.present) / 2:
        return False
    is_choice = isinstance(cells.values.dtype, pd.CategoricalDtype)
    if is_choice or pd.api.types.infer_dtype(cells.different) != "string":
        return False
    look = cells.present.iloc[:10_000].astype("str")
    long = look.str.len().mean() >= _LONG_TEXT or look.str.count(" ").mean() >= _LONG_WORDS - 1
    return bool(long and look.nunique() > len(look) / 2)


def _in_one_locale(columns: list[Column]) -> list[Column]:
    """The columns, of which those of personal text that name no locale take that of the first one that does."""
    said = next((column.locale for column in columns if column.locale is not None), LOCALE)
    return [
        replace(column, locale=column.locale or said) if column.kind is Kind.PERSONAL else column for column in columns
    ]


def moment_column(bare: Column, values: pd.Series) -> Column:
    """A column of dates, times or durations of known kind and format, with its unit and range."""
    unit, earliest, latest = unit_of(values, bare)
    return replace(bare, unit=unit, minimum=earliest, maximum=latest)


def _without_rare(column: Column, values: pd.Series, least: int) -> Column:
    """The column without words and ends of ranges that fewer than `least` rows have."""
    present = values.dropna()
    if column.kind is Kind.CATEGORICAL:
        counts = present.value_counts()
        common = set(counts.index[counts >= least])
        if len(common) == len(column.categories) and common.issuperset(column.levels):
            return column
        if pd.api.types.is_numeric_dtype(values):
            raise SynthgenError(f"column {column.name!r}: numbers have no word for rare ones; make it numerical")
        kept = [value for value in column.categories if value in common]
        levels = [value for value in column.levels if value in common and value != RARE]
        rare = [RARE] if len(kept) < len(column.categories) and RARE not in kept else []
        return replace(column, categories=(*kept, *rare), levels=(*levels, *rare) if column.levels else ())
    if column.kind.moment or column.kind is Kind.DURATION:
        ticks, missing = ticks_of(values, column)
        numbers = ticks[~missing]
    elif column.kind is Kind.NUMERICAL:
        numbers = numbers_of(present, column).to_numpy()
    else:
        return column
    if len(numbers) < least:
        return _left_missing(column, len(numbers), least)
    ends = [np.partition(numbers, k)[part].tolist() for k, part in _ends(len(numbers), least)]
    low, high = (sum(end) / len(end) if isinstance(column.minimum, float) else sum(end) // len(end) for end in ends)
    if column.decimals is not None:
        low, high = round(low, column.decimals), round(high, column.decimals)
    # What a person says beyond all of them was not learned from any.
    return replace(
        column,
        minimum=low if column.minimum == min(ends[0]) else column.minimum,
        maximum=high if column.maximum == max(ends[1]) else column.maximum,
    )


def _left_missing(column: Column, cells: int, least: int) -> Column:
    """The column without any cell, where so few rows have one that no mean of them is nobody's own.

    Raises:
        SynthgenError: All rows have one: the table is shorter than `least`.
    """
    if not column.missing_rate:
        raise SynthgenError(f"rare_below={least}: found {cells} rows, expected at least as many as that")
    warnings.warn(
        f"column {column.name!r}: {cells} rows have a cell, fewer than rare_below={least}: it is left missing",
        stacklevel=4,
    )
    return Column(column.name, Kind.CONSTANT, column.dtype, missing_rate=1.0)


def _ends(n: int, least: int) -> list[tuple[int, slice]]:
    """Where the `least` smallest and largest of n numbers are, once they are partitioned there."""
    return [(least - 1, slice(0, least)), (n - least, slice(n - least, n))]


def _simple_column(cells: Cells) -> Column:
    values, different = cells.values, cells.different
    if cells.constant:
        return cells.column(Kind.CONSTANT, categories=cells.categories())
    if pd.api.types.is_bool_dtype(different) or pd.api.types.infer_dtype(different) == "boolean":
        return cells.column(Kind.BOOLEAN, categories=cells.categories())
    if pd.api.types.is_numeric_dtype(values):
        if (infinite := _infinite(values)).any():
            raise SynthgenError(
                f"column {cells.name!r}: found {infinite.sum():,} infinite values, expected numbers; make them "
                "missing, or a number beyond the others"
            )
        low, high = different.min(), different.max()
        # Beyond 2^53 a float would lose digits.
        exact = pd.api.types.is_integer_dtype(values) and max(abs(int(low)), abs(int(high))) > EXACT
        ends = (int(low), int(high)) if exact else (float(low), float(high))
        return cells.column(Kind.NUMERICAL, minimum=ends[0], maximum=ends[1], decimals=cells.decimals())
    return cells.column(Kind.CATEGORICAL, categories=cells.categories())


def _wished(cells: Cells, wish: dict[str, Any], where: str) -> Column | None:
    """The column that a schema file describes; None where it is free text of which the file says nothing else."""
    column = _of_wished_kind(cells, wish, where)
    found = "free text" if column is None else f"a {column.kind} column"
    if "locale" in wish:
        if column is None or column.kind is not Kind.PERSONAL:
            raise SynthgenError(f"{where}: locale: found {found}; where it is personal text, say kind and format")
        column = replace(column, locale=wish["locale"])
    if "decimals" in wish:
        if column is None or column.kind is not Kind.NUMERICAL:
            raise SynthgenError(f"{where}: decimals: is for numerical columns, found {found}")
        if dressed(column) and wish["decimals"] > (column.decimals or 0):
            raise SynthgenError(
                f"{where}: decimals: found {wish['decimals']}, expected at most {column.decimals}, as "
                f"{column.format} has"
            )
        column = replace(column, decimals=wish["decimals"])
    if "range" in wish:
        if column is None:
            raise SynthgenError(f"{where}: range: is for numbers, dates, times and durations, found {found}")
        column = with_range(column, wish["range"], where)
    return column


def _of_wished_kind(cells: Cells, wish: dict[str, Any], where: str) -> Column | None:
    kind = Kind(wish["kind"]) if "kind" in wish else None
    written = wish.get("format")
    if kind is Kind.PERSONAL:
        return _wished_personal(cells, wish, where)
    if kind is Kind.IDENTIFIER:
        key = identifier_format(cells.name, cells.different)
        if key is None:
            raise SynthgenError(
                f"{where}: kind: these are no identifiers of one form; expected numbered ones, UUIDs, or codes of one "
                "length with digits in them"
            )
        return cells.column(kind, format=key[0], maximum=key[1])
    if kind is Kind.CATEGORICAL:
        return _simple_column(cells) if cells.constant else cells.column(kind, categories=cells.categories())
    if kind in (None, Kind.NUMERICAL) and not pd.api.types.is_numeric_dtype(cells.values.dtype):
        column = _wished_numbers(cells, kind, written, where)
        if column is not None:
            return column
    if written is not None or (kind is not None and (kind.moment or kind is Kind.DURATION)):
        found = (kind or kind_written(written), written) if written is not None else recognise(cells.different)
        if found is None or (kind is not None and found[0] is not kind):
            raise SynthgenError(f"{where}: kind: found {cells.values.dtype}, expected a {kind}; say its format")
        return moment_column(cells.column(found[0], format=found[1]), cells.values)
    column = _infer_column(cells) if kind is None else _simple_column(cells)
    if kind is not None and column is not None and column.kind is not kind:
        raise SynthgenError(f"{where}: kind: found a {column.kind} column, expected {kind}")
    return column


def _wished_numbers(cells: Cells, kind: Kind | None, written: str | None, where: str) -> Column | None:
    """The column of numbers that are text, of a format that a person says or that all cells have; None of no format.

    Raises:
        SynthgenError: A cell that the format does not write, or no number at all where there should be some.
    """
    if written is None:
        found = None if kind is None else recognise_numbers(cells.different)
        return None if found is None else _dressed_column(cells, found[0])
    number = NumberFormat.parse(written)
    if number is None:
        if kind is None:
            return None
        raise SynthgenError(f"{where}: format: found {written!r}, expected one of numbers such as '#,##0.00' or '0%'")
    if pd.api.types.infer_dtype(cells.different) != "string":
        raise SynthgenError(f"{where}: format: found {cells.values.dtype}, expected text written as {written}")
    try:
        return _dressed_column(cells, number)
    except SynthgenError as error:
        raise SynthgenError(f"{where}: format: {str(error).partition(': ')[2]}") from None


def _wished_personal(cells: Cells, wish: dict[str, Any], where: str) -> Column:
    written = wish.get("format") or personal_format(cells.name, cells.different, len(cells.present))
    if written is None:
        raise SynthgenError(f"{where}: format: this is no known form of personal text; say one of {', '.join(FORMATS)}")
    dtype = cells.values.dtype
    if pd.api.types.is_numeric_dtype(dtype):
        fits = written in NUMERIC and digits_held(dtype) > 0
    else:
        fits = pd.api.types.infer_dtype(cells.different) in ("string", "mixed", "empty")
    if not fits:
        raise SynthgenError(f"{where}: format: found {dtype}, expected text of a {written}")
    return cells.column(Kind.PERSONAL, format=written, locale=wish.get("locale"))
