"""Tables out of a database."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from synthgen.data.tables.exact import plain_cells
from synthgen.data.tables.module import TableDataModule
from synthgen.errors import SynthgenError, nearest
from synthgen.files import existing_file

__all__ = ["SQLDataModule", "read_sql"]

_ROWS = 100_000  # fetched at once
_VARIABLE = "env:"


def read_sql(url: str, query: str | None = None, table: str | None = None) -> pd.DataFrame:
    """Reads what a query gives, or a whole table, from any database that SQLAlchemy reaches.

    Rows are fetched 100,000 at a time by a cursor on the server, where it has one. Whole numbers keep their digits
    where cells are missing, and so do exact decimals that have no places after the point; others become floats.

    Args:
        url: As SQLAlchemy takes it, such as `sqlite:///shop.db`; or `env:NAME`, for an environment variable that holds
            it. One with a password must come from there, as what a run is told is written to its folder.
        query: A statement that selects.
        table: Name of a table or view, in the place of a query.

    Raises:
        SynthgenError: Both or neither of query and table, a url with a password, a database that cannot be reached, a
            table that is not there, a statement at fault, or no row. No message holds a password.
    """
    try:
        import sqlalchemy
    except ImportError:
        raise SynthgenError("data=sql: SQLAlchemy is not installed; pip install 'synthgen[sql]'") from None
    if (query is None) == (table is None):
        found = "neither" if query is None else "both"
        raise SynthgenError(f"data.query and data.table: found {found}, expected one of them")
    address = _address(url)
    shown = address.render_as_string(hide_password=True)
    try:
        engine = sqlalchemy.create_engine(address)
    except (sqlalchemy.exc.ArgumentError, ImportError) as error:
        raise SynthgenError(f"{shown}: {_first_line(error)}") from None
    file = address.database if address.get_backend_name() == "sqlite" else None
    if file not in (None, "", ":memory:") and not file.startswith("file:"):
        existing_file(file)  # the driver would make an empty one
    try:
        with engine.connect().execution_options(stream_results=True, postgresql_readonly=True) as connection:
            if file is not None:
                connection.exec_driver_sql("PRAGMA query_only = ON")
            statement: Any = sqlalchemy.text(query) if query is not None else None
            if table is not None:
                there = sqlalchemy.inspect(connection)
                names = [*there.get_table_names(), *there.get_view_names()]
                if table not in names:
                    raise SynthgenError(f"{shown}: no such table {table!r}; {nearest(table, names, what='there are')}")
                statement = sqlalchemy.select(sqlalchemy.text("*")).select_from(sqlalchemy.table(table))
            result = connection.execute(statement)
            names = list(result.keys())
            parts = [_columns(rows) for rows in result.partitions(_ROWS)]
    except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        raise SynthgenError(f"{shown}: {_first_line(getattr(error, 'orig', None) or error)}") from None
    finally:
        engine.dispose()
    if not parts:
        raise SynthgenError(f"{shown}: found no row of {query or table!r}; expected rows")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SynthgenError(f"{shown}: column {twice[0]!r} occurs twice in {query!r}; name its copies by AS")
    cells = [pd.concat(list(of_column), ignore_index=True) for of_column in zip(*parts, strict=True)]
    return pd.DataFrame({name: plain_cells(of_column) for name, of_column in zip(names, cells, strict=True)})


class SQLDataModule(TableDataModule):
    """What a query gives, or a whole table of a database, on its way into training.

    Args:
        url: See `read_sql`.
        query: A statement that selects.
        table: Name of a table, in the place of a query.
        **settings: As for `TableDataModule`.
    """

    def __init__(self, url: str, query: str | None = None, table: str | None = None, **settings: Any) -> None:
        settings["name"] = settings.get("name") or table or "sql"
        super().__init__(partial(read_sql, url, query, table), **settings)


def _columns(rows: Sequence[Any]) -> list[pd.Series]:
    """The cells of some rows by column."""
    return [plain_cells(pd.Series(cells, dtype="object")).infer_objects() for cells in zip(*rows, strict=True)]


def _address(url: str) -> Any:
    import sqlalchemy

    told = url
    if url.startswith(_VARIABLE):
        told = os.environ.get(url.removeprefix(_VARIABLE), "")
        if not told:
            raise SynthgenError(f"data.url: the environment variable {url.removeprefix(_VARIABLE)} is not set")
    try:
        address = sqlalchemy.make_url(told)
    except sqlalchemy.exc.ArgumentError:
        # Without the text, which may hold a password.
        raise SynthgenError("data.url: is no database url; expected one such as sqlite:///shop.db") from None
    if address.password is not None and told is url:
        raise SynthgenError(
            "data.url: holds a password, which would be written to the run's folder; put the url into an environment "
            "variable and give data.url=env:NAME"
        )
    return address


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
