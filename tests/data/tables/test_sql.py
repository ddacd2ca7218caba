import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthgen.configuration import build, compose
from synthgen.data.tables.sql import read_sql
from synthgen.errors import SynthgenError

pytest.importorskip("sqlalchemy")


@pytest.fixture
def shop(tmp_path):
    """A database file with a table of every kind of column."""
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("create table sales (id integer, price real, town text, note text, paid boolean)")
        rows = [
            (i, i / 4 if i % 5 else None, "Bonn" if i % 2 else "Köln", "NA" if i % 3 else None, i % 2)
            for i in range(200)
        ]
        connection.executemany("insert into sales values (?, ?, ?, ?, ?)", rows)
    return f"sqlite:///{tmp_path}/shop.db"


def test_a_table_and_a_query_are_read(shop):
    frame = read_sql(shop, table="sales")
    assert list(frame) == ["id", "price", "town", "note", "paid"]
    assert len(frame) == 200
    assert frame["price"].isna().sum() == 40
    assert set(frame["note"].dropna()) == {"NA"}
    few = read_sql(shop, query="select town, avg(price) as mean from sales where id % 2 = 0 group by town")
    assert few["town"].tolist() == ["Köln"]


def test_more_rows_than_are_fetched_at_once_stay_in_order(tmp_path):
    frame = pd.DataFrame({"i": np.arange(250_001)})
    with sqlite3.connect(tmp_path / "long.db") as connection:
        frame.to_sql("long", connection, index=False)
    pd.testing.assert_frame_equal(read_sql(f"sqlite:///{tmp_path}/long.db", table="long"), frame)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "found neither, expected one of them"),
        ({"query": "select 1", "table": "sales"}, "found both, expected one of them"),
        ({"table": "sale"}, r"shop\.db: no such table 'sale'; did you mean 'sales'"),
        ({"query": "select prise from sales"}, r"shop\.db: no such column: prise"),
        ({"query": "select id, id from sales"}, r"column 'id' occurs twice"),
        ({"query": "select * from sales where id < 0"}, r"found no row of 'select \* from sales where id < 0'"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(shop, asked, message):
    with pytest.raises(SynthgenError, match=message) as raised:
        read_sql(shop, **asked)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("query", ["drop table sales", "delete from sales", "update sales set price = 0 returning id"])
def test_a_database_is_never_written_to(shop, query):
    with pytest.raises(SynthgenError, match=r"shop\.db: attempt to write a readonly database"):
        read_sql(shop, query=query)
    assert len(read_sql(shop, table="sales")) == 200


def test_a_file_that_is_not_there_is_not_made(shop, tmp_path):
    with pytest.raises(SynthgenError, match=r"shp\.db: no such file; did you mean 'shop\.db'"):
        read_sql(f"sqlite:///{tmp_path}/shp.db", table="sales")
    assert not (tmp_path / "shp.db").exists()


def test_passwords_come_from_the_environment_and_are_never_shown(monkeypatch):
    secret = "postgresql+psycopg://reader:tr0ub4dor@127.0.0.1:1/none"
    with pytest.raises(SynthgenError, match=r"data\.url: holds a password") as raised:
        read_sql(secret, table="t")
    assert "tr0ub4dor" not in str(raised.value)
    monkeypatch.setenv("SHOP", secret)
    with pytest.raises(SynthgenError, match=r"reader:\*\*\*@127\.0\.0\.1") as raised:
        read_sql("env:SHOP", table="t")
    assert "tr0ub4dor" not in str(raised.value)
    for url, message in (("env:NONE", "variable NONE is not set"), ("tr0ub4dor", "is no database url")):
        with pytest.raises(SynthgenError, match=message) as raised:
            read_sql(url, table="t")
        assert "tr0ub4dor" not in str(raised.value)


def test_data_of_a_database_is_split_and_encoded(shop):
    config = compose(
        "train", ["data=sql", f"data.url={shop}", "data.query='select price, town from sales'", "data.target=town"]
    )
    module = build(config["data"])
    module.load()
    assert module.name == "sql"
    assert module.codec.schema.names == ["price", "town"]
    assert len(module.train) + len(module.validation) + len(module.holdout) == 200


def test_long_numbers_keep_their_digits_beside_missing_cells(tmp_path, monkeypatch):
    monkeypatch.setattr("synthgen.data.tables.sql._ROWS", 7)
    keys = [2**60 + i if i % 3 else None for i in range(50)]
    with sqlite3.connect(tmp_path / "keys.db") as connection:
        connection.execute("create table t (k integer, late integer, share real, word text)")
        cells = [(key, i if i > 20 else None, i / 4 if i % 5 else None, "x") for i, key in enumerate(keys)]
        connection.executemany("insert into t values (?, ?, ?, ?)", cells)
    frame = read_sql(f"sqlite:///{tmp_path / 'keys.db'}", table="t")
    assert frame["k"].dropna().tolist() == [key for key in keys if key]
    assert frame["late"].dropna().tolist() == list(range(21, 50))
    assert frame.dtypes.astype(str).to_dict() == {"k": "Int64", "late": "Int64", "share": "float64", "word": "str"}


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """The url of a server of its own, on a socket in a temporary folder."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    if initdb is None:
        pytest.skip("no PostgreSQL on this machine")
    pytest.importorskip("psycopg")
    # PostgreSQL refuses to run as root.
    other = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = tmp_path_factory.mktemp("postgres")
    folder.chmod(0o777)
    for parent in folder.parents:
        if parent != Path("/tmp") and Path("/tmp") in parent.parents:
            parent.chmod(parent.stat().st_mode | 0o055)
    data, control = str(folder / "data"), [*other, str(Path(initdb).with_name("pg_ctl"))]
    subprocess.run(
        [*other, initdb, "-D", data, "-A", "trust", "-U", "postgres"], check=True, capture_output=True, cwd="/"
    )
    options = f"-c listen_addresses='' -k {folder}"
    started = [*control, "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start"]
    subprocess.run(started, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
    yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    subprocess.run([*control, "-D", data, "-m", "immediate", "stop"], check=True, capture_output=True, cwd="/")


def test_a_postgres_table_keeps_its_kinds(postgres):
    import sqlalchemy

    engine = sqlalchemy.create_engine(postgres)
    with engine.begin() as connection:
        connection.execute(
            sqlalchemy.text(
                "create table people (id bigint, height numeric(5, 2), born date, seen timestamptz, member boolean, "
                "town text, score double precision)"
            )
        )
        connection.execute(
            sqlalchemy.text(
                "insert into people select 9007199254740993 + i, 150 + i / 4.0, date '1990-01-01' + i, "
                "timestamptz '2024-03-01 12:00:00+00' + i * interval '1 hour', i % 2 = 0, "
                "case when i % 3 = 0 then null else 'None' end, i / 3.0 from generate_series(0, 299) as i"
            )
        )
    engine.dispose()
    frame = read_sql(postgres, table="people")
    assert frame["id"].tolist()[:2] == [9007199254740993, 9007199254740994]
    assert frame["height"].dtype == "float64"
    assert frame["height"].tolist()[:2] == [150.0, 150.25]
    assert frame["member"].tolist()[:2] == [True, False]
    assert frame["town"].isna().tolist()[:2] == [True, False]
    assert str(frame["born"].iloc[1])[:10] == "1990-01-02"
    assert pd.Timestamp(frame["seen"].iloc[1]) == pd.Timestamp("2024-03-01 13:00", tz="UTC")
    with pytest.raises(SynthgenError, match=r"no such table 'peple'; did you mean 'people'"):
        read_sql(postgres, table="peple")
    with pytest.raises(SynthgenError, match='column "heigth" does not exist'):
        read_sql(postgres, query="select heigth from people")
