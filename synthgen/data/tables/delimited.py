"""Delimited text: CSV and its kin, of whatever separator, encoding and compression people have."""

import bz2
import csv
import gzip
import io
import lzma
import re
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa

from synthgen.data.tables.number_formats import recognise_numbers
from synthgen.errors import SynthgenError
from synthgen.files import existing_file

__all__ = ["COMPRESSIONS", "DELIMITED", "Dialect", "dialect_of", "read_csv", "unique_names"]

#: Suffixes of delimited text, and of its compressed forms.
DELIMITED = (".csv", ".tsv", ".txt")
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")

_SEPARATORS = ",;\t|"
_SAMPLE = 1 << 16
_SAMPLE_ROWS = 50
# What spreadsheets and databases write for "no value" in a column of numbers. In a column of words they stay words.
_MISSING_NUMBERS = {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", "-"}
# Codes such as 007 are words: a number would lose their zeros.
_CODE = r"^\s*0\d"
_CODE_IN_TEXT = rb'(^|[%s"\n]) {0,9}\0?0\0?\d'
# 1234,5 and 1.234,50, as half of the world writes numbers.
_DECIMAL_COMMA = r"^[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?([eE][+-]?\d+)?$"
# Where a DataFrame keeps how its text was written.
_DIALECT = "synthgen.dialect"
# Whole numbers beyond it have no float of their own.
_EXACT = 2.0**53
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True)
class Dialect:
    """How delimited text writes a table.

    Attributes:
        separator: One character between cells.
        decimal: The decimal sign of numbers, "." or ",".
    """

    separator: str = ","
    decimal: str = "."

    @classmethod
    def checked(cls, separator: Any, decimal: Any, where: str = "") -> "Dialect":
        """Of what a person said, or a file.

        Args:
            separator: As said.
            decimal: As said.
            where: What the names of both begin with, in messages.

        Raises:
            SynthgenError: They are none, or the same.
        """
        if not isinstance(separator, str) or len(separator) != 1 or separator.isalnum() or separator in '"\n\r\0.':
            raise SynthgenError(f"{where}separator: found {separator!r}, expected one character such as ';'")
        if decimal not in (".", ","):
            raise SynthgenError(f"{where}decimal: found {decimal!r}, expected '.' or ','")
        if separator == decimal:
            raise SynthgenError(f"{where}decimal: found {decimal!r}, which is the separator, too; say separator=';'")
        return cls(separator, decimal)


def dialect_of(frame: Any) -> Dialect:
    """How the text was written that a table was read from; that of English where it is of another source."""
    return Dialect(**getattr(frame, "attrs", {}).get(_DIALECT, {}))


def read_csv(
    path: str, separator: str | None = None, encoding: str | None = None, decimal: str | None = None
) -> pd.DataFrame:
    """Reads delimited text with a header line: .csv, .tsv or .txt, or such a file as .gz, .bz2, .xz or .zst.

    Only an empty cell is missing in a column of words, so that "None" and "NA" keep their meaning. A column whose
    other cells are all numbers is read as numbers, with the usual spellings of "no value" as missing, unless there are
    codes such as 007 among them. Whole numbers keep every digit, however long.

    Args:
        path: The file.
        separator: One character between cells; by default the one of comma, semicolon, tab and bar that parts the first
            rows into as many cells as the header.
        encoding: By default UTF-8, or UTF-16 where the file's first bytes say so. What is neither is read as
            Windows-1252, with a warning.
        decimal: "." or ","; by default a column is read with decimal commas where all its cells are such numbers and
            the separator is no comma.

    The table remembers separator and decimal sign, as `dialect_of` tells.

    Raises:
        SynthgenError: The file is missing, empty, has a header alone, names a column twice, or cannot be parsed.
    """
    file = existing_file(path)
    if separator is not None and len(separator) != 1:
        raise SynthgenError(f"data.source.separator: found {separator!r}, expected one character")
    if decimal not in (None, ".", ","):
        raise SynthgenError(f"data.source.decimal: found {decimal!r}, expected '.' or ','")
    with _opened(file) as opened:
        sample = _read(opened, file)
    guessed = encoding or next((name for mark, name in _BOMS if sample.startswith(mark)), "utf-8")
    try:
        sep = separator or _separator(sample.decode(guessed, errors="replace"))
    except LookupError:
        raise SynthgenError(f"data.source.encoding: found {encoding!r}, expected one that Python knows") from None
    parse = _Parser(file, sep, decimal or ".")
    try:
        frame = parse(guessed)
    except UnicodeDecodeError as error:
        if encoding is not None or guessed != "utf-8" or b"\0" in sample:
            raise SynthgenError(f"{file}: {parse.fault}: {error}") from None
        guessed = "cp1252"
        try:
            frame = parse(guessed)
        except UnicodeDecodeError:
            raise SynthgenError(f"{file}: {parse.fault}: {error}") from None
        warnings.warn(
            f"{file}: is not UTF-8 and was read as Windows-1252; data.source.encoding=... says it otherwise",
            stacklevel=2,
        )
    if frame.empty:
        raise SynthgenError(f"{file}: found a header with {frame.shape[1]} columns and no row; expected rows")
    frame = _with_exact(frame, parse, guessed)
    commas = decimal is None and sep != ","
    read = frame.apply(lambda column: _numbers_among_words(column, commas))
    with_commas = any(_is_commas(frame[name], read[name]) for name in frame.columns) if commas else decimal == ","
    read.attrs[_DIALECT] = asdict(Dialect(sep, "," if with_commas else "."))
    return read


def unique_names(names: list[str], file: Path) -> None:
    """Makes sure that no column is named twice.

    Raises:
        SynthgenError: One is.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SynthgenError(f"{file}: column {twice[0]!r} occurs {names.count(twice[0])} times; expected unique names")


class _Parser:
    """Parses a file, in whole or some columns of it, and says in one line why it cannot.

    Attributes:
        fault: How its messages begin.
    """

    def __init__(self, file: Path, separator: str, decimal: str) -> None:
        self.file = file
        self.separator = separator
        self.fault = "not a comma-separated table" if separator == "," else f"not a table separated by {separator!r}"
        self._options: Any = {"sep": separator, "decimal": decimal, "keep_default_na": False, "low_memory": False}

    def __call__(self, encoding: str, **options: Any) -> pd.DataFrame:
        options = {"na_values": [""], **self._options, **options, "encoding": encoding}
        try:
            # With the first row: of one longer than the header pandas would take the first cell as the row's name.
            head = self._parse(
                **{**options, "header": None, "nrows": 2, "dtype": str, "na_values": [], "usecols": None}
            )
            unique_names(head.iloc[0].tolist(), self.file)
            return self._parse(**options)
        except pd.errors.EmptyDataError:
            raise SynthgenError(f"{self.file}: the file is empty; expected a header line and rows") from None
        except pd.errors.ParserError as error:
            raise SynthgenError(f"{self.file}: {self.fault}: {str(error).strip()}") from None

    def _parse(self, **options: Any) -> pd.DataFrame:
        with _opened(self.file) as opened:
            try:
                return pd.read_csv(opened, **options)
            except (OSError, EOFError, lzma.LZMAError) as error:
                raise _damaged(self.file, error) from None


def _opened(file: Path) -> BinaryIO:
    """The file's bytes, decompressed."""
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    if file.suffix.lower() == ".zst":
        return io.BufferedReader(_Raw(pa.CompressedInputStream(pa.OSFile(str(file)), "zstd")))
    return openers.get(file.suffix.lower(), open)(file, "rb")


class _Raw(io.RawIOBase):
    """A stream of pyarrow's as Python's, which text readers and iteration want."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _read(opened: BinaryIO, file: Path, size: int = _SAMPLE) -> bytes:
    try:
        return opened.read(size)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> SynthgenError:
    return SynthgenError(f"{file}: cannot be decompressed: {str(error).splitlines()[0] if str(error) else 'cut short'}")


def _separator(sample: str) -> str:
    """The separator that gives most rows as many cells as the header, and of those the one that gives most cells."""
    lines = sample.lstrip("\ufeff").splitlines(keepends=True)
    if len(sample) >= _SAMPLE // 4:
        lines = lines[:-1]  # which may be cut

    def fits(separator: str) -> tuple[float, int]:
        try:
            rows = [row for row in csv.reader(lines[: 4 * _SAMPLE_ROWS], delimiter=separator) if row][:_SAMPLE_ROWS]
        except csv.Error:
            return 0.0, 0
        if not rows or len(rows[0]) < 2:
            return 0.0, 0
        return sum(len(row) == len(rows[0]) for row in rows) / len(rows), len(rows[0])

    return max(_SEPARATORS, key=fits)  # the first of equals: a comma


def _with_exact(frame: pd.DataFrame, parse: _Parser, encoding: str) -> pd.DataFrame:
    """Gives columns back what a number loses: the zeros of codes such as 007, and the last digits of long ones."""
    numeric = [i for i, name in enumerate(frame.columns) if pd.api.types.is_numeric_dtype(frame[name])]
    long = [i for i in numeric if frame.dtypes.iloc[i] == "float64" and (frame.iloc[:, i].abs() >= _EXACT).any()]
    if not _has_codes(parse.file, parse.separator):  # most files: no need to read them again
        numeric = long
    words = parse(encoding, dtype=str, usecols=numeric) if numeric else frame[[]]
    changed: dict[str, pd.Series] = {}
    for name in words.columns:
        if words[name].str.match(_CODE).any():
            changed[name] = words[name]
        elif frame.columns.get_loc(name) in long:
            changed[name] = _exact(words[name])
    for mixed in frame.columns[frame.dtypes.astype(str) == "object"]:
        if any(type(cell) is int for cell in frame[mixed]):  # of more than 64 bits
            changed[mixed] = frame[mixed].astype("str")
    return frame.assign(**changed)


def _exact(words: pd.Series) -> pd.Series:
    """Numbers of which every whole one keeps its digits: of 64 bits where missing cells leave no other, or as words."""
    numbers = pd.to_numeric(words, errors="coerce")
    whole = words.dropna().str.fullmatch(r"[+-]?\d+").all()
    if not whole or pd.api.types.is_integer_dtype(numbers) or not (numbers.abs() >= _EXACT).any():
        return numbers
    # pandas reads them as floats in between.
    cells = [pd.NA if pd.isna(word) else int(word) for word in words]
    try:
        return pd.Series(pd.array(cells, dtype="Int64"), index=words.index)
    except OverflowError:
        return words


def _has_codes(file: Path, separator: str) -> bool:
    code = re.compile(_CODE_IN_TEXT % re.escape(separator).encode())
    with _opened(file) as opened:
        tail = b""
        while block := _read(opened, file, 1 << 24):
            if code.search(tail + block):
                return True
            tail = block[-16:]
    return False


def _is_commas(words: pd.Series, read: pd.Series) -> bool:
    """Whether a column of text was read as numbers with decimal commas, in dress or without."""
    if pd.api.types.is_numeric_dtype(words):
        return False
    told = words[read.notna().to_numpy()].astype("str")
    return bool(told.str.contains(",").any()) and pd.api.types.is_numeric_dtype(read)


def _numbers_among_words(column: pd.Series, decimal_commas: bool) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return column
    values = column.where(~column.isin(_MISSING_NUMBERS))
    told = values.dropna().astype(str)
    if not len(told) or told.str.match(_CODE + r"(?!,)").any():
        return column
    with_commas = decimal_commas and told.str.contains(",").any() and told.str.match(_DECIMAL_COMMA).all()
    if not with_commas and len(told) == column.notna().sum():
        return column
    if with_commas:
        values = values.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    numbers = _exact(values)
    if numbers.notna().sum() == len(told):
        return numbers
    # Of numbers in dress, such as 25%, those spellings are missing cells, too.
    found = recognise_numbers(told.drop_duplicates()) if len(told) < column.notna().sum() else None
    return values if found is not None and found[1] else column
