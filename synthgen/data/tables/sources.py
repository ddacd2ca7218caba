"""Where real tables come from. A source is a function that returns one DataFrame, one row a record."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset  # makes pa.dataset

from synthgen.data.module import limited_rows
from synthgen.data.tables.delimited import COMPRESSIONS, DELIMITED, read_csv, unique_names
from synthgen.data.tables.exact import from_arrow
from synthgen.data.tables.streamed import StreamedTable, memory
from synthgen.errors import SynthgenError
from synthgen.files import existing_file

__all__ = ["is_table_folder", "randhie", "read_parquet", "read_table", "reader_of", "to_frame"]

_PARQUET = (".parquet", ".pq")
# Times the size of a table that reading, splitting and encoding it whole takes.
_WORK = 4
# Bytes of a short text and of where it begins.
_TEXT = 20


@overload
def read_parquet(path: str, limit: int | None = None, seed: int = 0) -> pd.DataFrame: ...
@overload
def read_parquet(
    path: str, limit: int | None = None, seed: int = 0, streamed: bool | None = False
) -> pd.DataFrame | StreamedTable: ...
def read_parquet(
    path: str, limit: int | None = None, seed: int = 0, streamed: bool | None = False
) -> pd.DataFrame | StreamedTable:
    """Reads a Parquet file, or a folder of them, whose sub-folders such as `year=2024` are a column.

    With a limit, memory holds some row groups and the rows that are taken, however much there is.

    Args:
        path: Of the file or the folder.
        limit: Number of rows to take, drawn by `seed`; by default all of them.
        seed: Of that draw.
        streamed: Whether the table stays in its files; None where memory does not hold what learning from it takes.

    Raises:
        SynthgenError: The file is missing, is not Parquet, holds no row, or more than memory does.
    """
    file = Path(path).expanduser() if is_table_folder(path) else existing_file(path)
    with _reading(file):
        found = pa.dataset.dataset(file, format="parquet", partitioning="hive" if file.is_dir() else None)
        rows, size = _extent(found)
    kept = None if limit is None or limit >= rows else limited_rows(rows, limit, seed)
    if streamed is None:
        streamed = _WORK * size * (rows if kept is None else len(kept)) > memory() * rows
    if streamed:
        table: pd.DataFrame | StreamedTable = _streamed(file, found, rows, kept)
    else:
        table = _whole(file, found, rows, size, kept)
    if not len(table):
        raise SynthgenError(f"{file}: found {len(table.columns)} columns and no row; expected rows")
    return table


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except (SynthgenError, MemoryError):
        raise
    except Exception as error:  # pyarrow raises OSError, ArrowInvalid and others for one and the same fault
        raise SynthgenError(f"{file}: not a Parquet file: {str(error).splitlines()[0]}") from None


def _whole(file: Path, found: Any, rows: int, size: int, kept: np.ndarray | None) -> pd.DataFrame:
    """The rows of a data set, or some of them, in memory."""
    if kept is None and size >= memory():
        raise SynthgenError(
            f"{file}: found {rows:,} rows of {size / 2**30:,.0f} GiB, more than this machine's memory of "
            f"{memory() / 2**30:.0f} GiB; data.limit={int(rows * memory() / size) // _WORK} learns from so many, drawn "
            "by data.seed, data.streamed=true from all of them where they are"
        )
    unique_names(found.schema.names, file)
    with _reading(file):
        return from_arrow(found.to_table() if kept is None else _taken(found, kept))


def _streamed(file: Path, found: Any, rows: int, kept: np.ndarray | None) -> StreamedTable:
    """The rows of a data set, or some of them, where they are."""
    indices = (found.schema.pandas_metadata or {}).get("index_columns", [])
    names = [name for name in found.schema.names if name not in indices]
    unique_names(names, file)

    def read(name: str) -> pd.Series:
        with _reading(file):
            table = from_arrow(found.to_table(columns=[name]) if kept is None else _taken(found, kept, [name]))
        return table.iloc[:, 0].reset_index(drop=True).rename(name)

    return StreamedTable(file, names, np.arange(rows if kept is None else len(kept)), read)


def _extent(dataset: Any) -> tuple[int, int]:
    """Rows of a data set, and bytes that they take in memory, as far as its files say."""
    rows = size = 0
    for fragment in dataset.get_fragments():
        rows += fragment.metadata.num_rows
        size += sum(fragment.metadata.row_group(i).total_byte_size for i in range(fragment.metadata.num_row_groups))
    # Parquet keeps a word that repeats, or a small number, in some bits.
    return rows, max(size, rows * sum(_width(kind) for kind in dataset.schema.types))


def _width(kind: Any) -> int:
    """Bytes of a cell."""
    try:
        return max(kind.bit_width // 8, 1)
    except ValueError:
        return _TEXT


def _taken(dataset: Any, rows: np.ndarray, columns: list[str] | None = None) -> Any:
    """Some rows of a data set, in order, read in one pass."""
    parts, low, begin = [], 0, 0
    # One row group or two at a time: by default a dozen are read ahead.
    for batch in dataset.to_batches(columns=columns, batch_readahead=1, fragment_readahead=1, use_threads=False):
        end = int(np.searchsorted(rows, begin + len(batch), side="left"))
        if end > low:
            parts.append(batch.take(pa.array(rows[low:end] - begin)))
        low, begin = end, begin + len(batch)
    return pa.Table.from_batches(parts)


def is_table_folder(path: str | Path) -> bool:
    """Whether a path is a folder that holds Parquet files, at any depth."""
    folder = Path(path).expanduser()
    return folder.is_dir() and next((file for file in folder.rglob("*") if file.suffix in _PARQUET), None) is not None


def read_table(path: str, limit: int | None = None, seed: int = 0) -> pd.DataFrame:
    """Delimited text, a Parquet file or a folder of them, by its suffix; or `limit` of its rows, drawn by `seed`."""
    reader = reader_of(path)
    if reader is read_parquet:
        return read_parquet(path, limit, seed)
    frame = reader(path)
    return frame.iloc[limited_rows(len(frame), limit, seed)]


def reader_of(path: str) -> Callable[..., Any]:
    """What reads a table of this suffix: `read_parquet` or `read_csv`."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    if is_table_folder(path) or (suffixes and suffixes[-1] in _PARQUET):
        return read_parquet
    if suffixes and suffixes[-1] in DELIMITED:
        return read_csv
    raise SynthgenError(
        f"{path}: cannot tell the format of a table from {Path(path).suffix!r}; expected .parquet or one of "
        f"{', '.join(DELIMITED)}, which may be compressed ({', '.join(COMPRESSIONS)})"
    )


def to_frame(data: Any) -> Any:
    """A DataFrame of a table of polars' or pyarrow's; anything else as it is."""
    module = type(data).__module__.partition(".")[0]
    if module == "polars":
        data = data.collect() if hasattr(data, "collect") else data  # a lazy one
        data = data.to_arrow()
    return from_arrow(data) if isinstance(data, pa.Table) else data


def randhie() -> pd.DataFrame:
    """Person-years of the RAND Health Insurance Experiment, embedded in statsmodels: 20,190 rows, 8 columns.

    Self-rated health comes as three 0/1 flags of which the omitted case is "excellent": they get their word back as one
    column. The plan's flag does too. A person's years follow one another and share all that was measured at enrolment;
    the column `person` counts such runs, so that a split can keep a person on one side (two people who follow one
    another and agree in all of it count as one).

    Source: Deb and Trivedi (2002), after Newhouse et al. (1993).
    """
    from statsmodels.datasets import randhie as embedded

    raw = embedded.load_pandas().data
    flags = raw[["hlthg", "hlthf", "hlthp"]].to_numpy()
    enrolment = raw[["lncoins", "idp", "lpi", "fmde", "physlm", "disea"]]
    words = pd.Series(["excellent", "good", "fair", "poor"])
    return pd.DataFrame(
        {
            "visits": raw["mdvis"].astype("int64"),
            "log_coinsurance": raw["lncoins"],
            "deductible_plan": raw["idp"].map({0: "no", 1: "yes"}),
            "log_incentive": raw["lpi"],
            "log_max_expenditure": raw["fmde"],
            "physical_limitation": raw["physlm"],
            "chronic_diseases": raw["disea"],
            "health": words.to_numpy()[(flags * [1, 2, 3]).sum(axis=1).astype(int)],
            "person": enrolment.ne(enrolment.shift()).any(axis=1).cumsum(),
        }
    )
