import datetime
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthgen.data.module import limited_rows
from synthgen.data.tables.codec import TableCodec
from synthgen.data.tables.module import TableDataModule
from synthgen.data.tables.outputs import check_table_output, write_table
from synthgen.data.tables.schema import infer_schema
from synthgen.data.tables.sources import randhie, read_parquet, read_table, to_frame
from synthgen.errors import SynthgenError
from tests.data.tables.test_outputs import kinds


def test_parquet_keeps_every_dtype(tmp_path):
    write_table(kinds(), str(tmp_path / "table.parquet"))
    pd.testing.assert_frame_equal(read_parquet(str(tmp_path / "table.parquet")), kinds())


def test_what_is_no_parquet_is_refused(tmp_path):
    path = str(tmp_path / "table.parquet")
    write_table(kinds(), path)
    whole = (tmp_path / "table.parquet").read_bytes()
    for content in (b"", b"age,town\n1,a\n", whole[:-20], whole[:50]):
        (tmp_path / "table.parquet").write_bytes(content)
        with pytest.raises(SynthgenError, match=r"table\.parquet: not a Parquet file") as raised:
            read_parquet(path)
        assert "\n" not in str(raised.value)
    write_table(kinds()[:0], path)
    with pytest.raises(SynthgenError, match="found 6 columns and no row"):
        read_parquet(path)


@pytest.mark.parametrize("path", ["table.xlsx", "table", "table.json"])
def test_other_suffixes_are_refused_both_ways(path):
    with pytest.raises(SynthgenError, match=r"expected (one of \.csv|\.parquet or one of \.csv)"):
        read_table(path)
    with pytest.raises(SynthgenError, match=rf"output={path}: .*expected one of .csv, .csv.gz"):
        check_table_output(path)
    with pytest.raises(SynthgenError):
        write_table(kinds(), path)


# Embedded data


def test_randhie_is_the_published_table_with_words_for_its_flags():
    from statsmodels.datasets import randhie as embedded

    raw, frame = embedded.load_pandas().data, randhie()
    assert frame.shape == (20190, 9)
    assert frame["visits"].dtype == "int64"
    assert frame["visits"].equals(raw["mdvis"].astype("int64"))
    for word, flag in {"good": "hlthg", "fair": "hlthf", "poor": "hlthp"}.items():
        assert (frame["health"] == word).equals(raw[flag] == 1)
    assert ((frame["health"] == "excellent") == (raw[["hlthg", "hlthf", "hlthp"]].sum(axis=1) == 0)).all()
    assert ((frame["deductible_plan"] == "yes") == (raw["idp"] == 1)).all()
    assert not frame.isna().any().any()


def test_persons_of_randhie_are_runs_of_rows_that_share_what_was_measured_at_enrolment():
    frame = randhie()
    enrolment = ["log_coinsurance", "deductible_plan", "log_incentive", "log_max_expenditure"]
    enrolment += ["physical_limitation", "chronic_diseases"]
    rows = list(frame[enrolment].itertuples(index=False))
    expected = np.cumsum([1] + [now != before for before, now in pairwise(rows)])
    np.testing.assert_array_equal(frame["person"], expected)


def test_a_folder_of_parquet_files_is_one_table(tmp_path):
    for year, towns in ((2023, ["Bonn", "Köln"]), (2024, ["Ulm"])):
        (tmp_path / "sales" / f"year={year}").mkdir(parents=True)
        pd.DataFrame({"town": towns}).to_parquet(tmp_path / "sales" / f"year={year}" / "part.parquet")
    frame = read_table(str(tmp_path / "sales"))
    assert frame["town"].tolist() == ["Bonn", "Köln", "Ulm"]
    assert frame["year"].tolist() == [2023, 2023, 2024]
    (tmp_path / "sales" / "year=2024" / "part.parquet").write_bytes(b"none")
    with pytest.raises(SynthgenError, match="sales: not a Parquet file"):
        read_table(str(tmp_path / "sales"))


def sales(folder):
    for year in (2023, 2024):
        rows = pd.DataFrame({"amount": np.arange(500) + 1000 * year, "town": [f"town {i % 7}" for i in range(500)]})
        (folder / f"year={year}").mkdir(parents=True)
        rows.to_parquet(folder / f"year={year}" / "part.parquet", row_group_size=90)
    return str(folder)


def test_some_rows_of_a_folder_are_read_a_row_group_at_a_time(tmp_path):
    path = sales(tmp_path / "sales")
    whole = read_parquet(path)
    for limit in (1, 100, 999):
        rows = limited_rows(1000, limit, seed=3)
        some = read_parquet(path, limit=limit, seed=3)
        pd.testing.assert_frame_equal(some, whole.iloc[rows].reset_index(drop=True))
    pd.testing.assert_frame_equal(read_parquet(path, limit=1000), whole)
    pd.testing.assert_frame_equal(read_parquet(path, limit=9999), whole)
    with pytest.raises(SynthgenError, match=r"data\.limit: found 0"):
        read_parquet(path, limit=0)
    write_table(kinds(), str(tmp_path / "one.parquet"))
    some = read_parquet(str(tmp_path / "one.parquet"), limit=2)
    assert some.dtypes.equals(kinds().dtypes)
    data = TableDataModule(read_parquet, path, limit=200, holdout=0.25, validation=0.0)
    data.load()
    assert len(data.train) + len(data.holdout) == 200


def test_more_than_memory_holds_is_refused_with_a_number_that_fits(tmp_path, monkeypatch):
    path = sales(tmp_path / "sales")
    monkeypatch.setattr("synthgen.data.tables.sources.memory", lambda: 4000)
    with pytest.raises(
        SynthgenError, match=r"sales: found 1,000 rows of .* GiB, more than .*; data\.limit=(\d+)"
    ) as raised:
        read_parquet(path)
    limit = int(str(raised.value).partition("data.limit=")[2].split()[0])
    assert 10 < limit < 1000
    assert len(read_parquet(path, limit=limit)) == limit


def test_tables_of_polars_and_pyarrow_become_frames():
    frame = pd.DataFrame({"age": [1, 2], "town": ["Bonn", None], "at": pd.to_datetime(["2024-01-01", "2024-05-06"])})
    polars = pytest.importorskip("polars")
    for table in (pa.Table.from_pandas(frame), polars.from_pandas(frame), polars.from_pandas(frame).lazy()):
        pd.testing.assert_frame_equal(to_frame(table), frame, check_dtype=False)
    assert to_frame(frame) is frame
    assert to_frame(None) is None


def test_arrow_tables_lose_no_digit_and_no_kind(tmp_path):
    polars = pytest.importorskip("polars")
    long = [2**60 + 1, None, 2**60 + 3]
    table = pa.table(
        {
            "key": pa.array(long),
            "small": pa.array([1, None, 3], pa.int16()),
            "huge": pa.array([2**64 - 1, None, 5], pa.uint64()),
            "whole": pa.array([Decimal(2**61 + 1), None, Decimal(7)], pa.decimal128(38, 0)),
            "beyond": pa.array([Decimal(10**30 + 1), None, Decimal(7)], pa.decimal128(38, 0)),
            "at": pa.array([datetime.time(8, 5), None, datetime.time(23, 59)]),
            "flag": pa.array([True, None, False]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    path = str(tmp_path / "a.parquet")
    some = read_parquet(path, limit=2, seed=1)
    assert some["key"].dtype == "Int64"
    whole = read_parquet(path)
    in_place = read_parquet(path, streamed=True)
    for frame in (whole, to_frame(table), to_frame(polars.from_arrow(table)), in_place[list(table.column_names)]):
        assert frame["key"].dtype == "Int64"
        assert frame["key"].dropna().tolist() == [long[0], long[2]]
        assert frame["huge"].dropna().tolist() == [2**64 - 1, 5]
        assert frame["small"].dtype == "Int16"
        assert frame["whole"].dropna().tolist() == [2**61 + 1, 7]
        assert frame["beyond"].dropna().tolist() == [str(10**30 + 1), "7"]
        assert frame["at"].dropna().tolist() == ["08:05:00", "23:59:00"]
        assert frame["flag"].tolist() == [True, None, False]
        pd.testing.assert_frame_equal(frame, whole)
    codec = TableCodec.fit(whole, infer_schema(whole))
    assert codec.schema["at"].kind == "time"
    assert codec.decode(codec.encode(whole)).dtypes.equals(whole.dtypes)


def test_decimals_of_parquet_are_numbers(tmp_path):
    prices = pa.array([Decimal("1.10"), Decimal("2.25"), None], pa.decimal128(10, 2))
    pq.write_table(pa.table({"price": prices, "x": [1, 2, 3]}), tmp_path / "prices.parquet")
    frame = read_parquet(str(tmp_path / "prices.parquet"))
    assert frame["price"].dtype == float
    assert frame["price"].tolist()[:2] == [1.10, 2.25]
