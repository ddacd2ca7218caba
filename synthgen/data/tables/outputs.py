"""Files that tables are written to: in parts, so that a table may be larger than memory, and in one move."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from synthgen.data.tables.delimited import Dialect
from synthgen.data.tables.forms import EXACT
from synthgen.errors import SynthgenError
from synthgen.files import replacing
from synthgen.layout import Column, Kind, TableSchema

__all__ = ["check_table_output", "is_text", "table_writer", "write_table"]

_PARQUET = (".parquet", ".pq")
_OUTPUTS = (".csv", ".csv.gz", *_PARQUET)


def check_table_output(path: str) -> None:
    """Makes sure that a table can be written to `path`, before there is one.

    Raises:
        SynthgenError: A suffix that is none of those that are written.
    """
    if not str(path).lower().endswith(_OUTPUTS):
        found = Path(path).suffix or "no suffix"
        raise SynthgenError(f"output={path}: found {found!r}, expected one of {', '.join(_OUTPUTS)}")


def is_text(path: str) -> bool:
    """Whether a table that is written to `path` is delimited text."""
    return not str(path).lower().endswith(_PARQUET)


def write_table(frame: pd.DataFrame, path: str) -> None:
    """Writes a CSV or Parquet file, by its suffix, in one move: the file is whole or it is not there."""
    with table_writer(path) as write:
        write(frame)


@contextmanager
def table_writer(
    path: str, schema: TableSchema | None = None, dialect: Dialect | None = None
) -> Iterator[Callable[[pd.DataFrame], None]]:
    """A function that adds rows to a file, which is there when the block ends without an error.

    Args:
        path: Of the file, whose suffix says its format.
        schema: What the columns are: in text whole numbers are then written as such, although a column with missing
            cells holds floats, and in Parquet a first part without any value has the type of those to come.
        dialect: Of text; by default commas between cells and decimal points. The encoding is always UTF-8.

    Raises:
        SynthgenError: A suffix that is none of those that are written.
    """
    check_table_output(path)
    dialect = dialect or Dialect()
    with replacing(Path(path)) as partial:
        if not is_text(path):
            with _parquet(partial, schema) as write:
                yield write
        elif str(path).lower().endswith(".gz"):
            # Without a name and the time of writing, so that the same rows are the same bytes.
            with partial.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
                yield _csv(packed, schema, dialect)
        else:
            with partial.open("wb") as raw:
                yield _csv(raw, schema, dialect)


def _csv(opened: Any, schema: TableSchema | None, dialect: Dialect) -> Callable[[pd.DataFrame], None]:
    header = True
    numbers = [column for column in schema or () if column.kind in (Kind.NUMERICAL, Kind.IDENTIFIER)]
    whole = [column.name for column in numbers if column.kind is Kind.IDENTIFIER or column.decimals == 0]

    def write(frame: pd.DataFrame) -> None:
        nonlocal header
        frame = frame.astype({name: "Int64" for name in whole if _are_whole(frame[name])})
        # Of floats of pandas' own and of Arrow's it would write points whatever is asked.
        others = [name for name in frame if _is_other_float(frame[name].dtype)] if dialect.decimal != "." else []
        frame = frame.astype(dict.fromkeys(others, "float64"))
        frame.to_csv(opened, index=False, header=header, sep=dialect.separator, decimal=dialect.decimal)
        header = False

    return write


def _is_other_float(dtype: Any) -> bool:
    return pd.api.types.is_float_dtype(dtype) and pd.api.types.is_extension_array_dtype(dtype)


def _are_whole(values: pd.Series) -> bool:
    """Whether floats are whole numbers of which none has lost a digit."""
    present = values.dropna()
    return pd.api.types.is_float_dtype(values) and bool(((present % 1 == 0) & (present.abs() <= EXACT)).all())


@contextmanager
def _parquet(file: Path, schema: TableSchema | None) -> Iterator[Callable[[pd.DataFrame], None]]:
    writer: Any = None
    # A column of Parquet has one type: of words and numbers all are written as text.
    mixed = [column.name for column in schema or () if column.categories and _type_of(column) is None]

    def write(frame: pd.DataFrame) -> None:
        nonlocal writer
        frame = frame.assign(
            **{name: frame[name].astype(object).map(str, na_action="ignore").astype(object) for name in mixed}
        )
        if writer is None:
            fields = pa.Schema.from_pandas(frame, preserve_index=False)
            writer = pa.parquet.ParquetWriter(file, fields if schema is None else _typed(fields, frame, schema))
        writer.write_table(pa.Table.from_pandas(frame, schema=writer.schema, preserve_index=False))

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


def _typed(fields: pa.Schema, frame: pd.DataFrame, schema: TableSchema) -> pa.Schema:
    """Gives columns of Python objects and choices the type of all of their values, which the first rows may lack."""
    for i, field in enumerate(fields):
        column = schema[field.name]
        is_date = column.kind is Kind.DATE and column.format is None
        values = pa.date32() if is_date else _type_of(column) or pa.string()
        if pa.types.is_dictionary(field.type):
            # Later parts may choose from more than the first one does.
            values = values if pa.types.is_null(field.type.value_type) else field.type.value_type
            fields = fields.set(i, field.with_type(pa.dictionary(pa.int32(), values, field.type.ordered)))
        elif pa.types.is_null(field.type):
            if column.categories or column.kind is not Kind.CONSTANT:
                fields = fields.set(i, field.with_type(values))
        elif column.categories and frame[field.name].dtype == object:
            fields = fields.set(i, field.with_type(values))
    return fields


def _type_of(column: Column) -> Any:
    """The type of a column's values where they are Python objects; None where they have none in common."""
    try:
        return pa.array(column.categories or [""]).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return None
