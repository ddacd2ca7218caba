import datetime

import numpy as np
import pandas as pd
import pytest

from synthgen.data.tables.delimited import Dialect, read_csv
from synthgen.data.tables.outputs import table_writer, write_table
from synthgen.data.tables.schema import infer_schema
from synthgen.data.tables.sources import read_table


def kinds():
    return pd.DataFrame(
        {
            "age": [30, 40, 50],
            "weight": [70.5, np.nan, 80],
            "town": pd.Series(["Bonn", None, "None"], dtype="str"),
            "member": [True, False, True],
            "small": pd.Series([1, None, 3], dtype="Int8"),
            "size": pd.Series(["S", "M", "S"], dtype="category"),
        }
    )


@pytest.mark.parametrize("suffix", ["csv", "CSV", "parquet", "pq"])
def test_a_table_is_written_and_read_by_its_suffix(tmp_path, suffix):
    frame = kinds()[["age", "weight", "town", "member"]]
    write_table(frame, str(tmp_path / "new folder" / f"table.{suffix}"))
    pd.testing.assert_frame_equal(read_table(str(tmp_path / "new folder" / f"table.{suffix}")), frame)
    assert [file.name for file in (tmp_path / "new folder").iterdir()] == [f"table.{suffix}"]


def test_compressed_output_is_the_same_bytes_every_time(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    for name in ("one.csv.gz", "two.csv.gz"):
        write_table(frame, str(tmp_path / name))
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()
    pd.testing.assert_frame_equal(read_table(str(tmp_path / "one.csv.gz")), frame)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_rows_written_in_parts_are_the_rows_written_at_once(tmp_path, suffix):
    frame = pd.concat([kinds()] * 4, ignore_index=True)
    with table_writer(str(tmp_path / f"parts.{suffix}")) as write:
        for begin in range(0, len(frame), 5):
            write(frame.iloc[begin : begin + 5])
    write_table(frame, str(tmp_path / f"once.{suffix}"))
    pd.testing.assert_frame_equal(*(read_table(str(tmp_path / f"{name}.{suffix}")) for name in ("parts", "once")))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_nothing_is_there_when_a_part_fails(tmp_path, suffix):
    def write_one_part_of_two():
        with table_writer(str(tmp_path / f"table.{suffix}")) as write:
            write(kinds())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_one_part_of_two()
    assert list(tmp_path.iterdir()) == []


def test_a_first_part_without_any_value_has_the_type_of_those_to_come(tmp_path):
    days = [datetime.date(2024, 5, day % 28 + 1) for day in range(60)]
    frame = pd.DataFrame(
        {
            "day": days,
            "words": pd.Series(["a", "b"] * 30, dtype=object),
            "flag": pd.Series([True, False] * 30, dtype=object),
            "number": np.arange(60.0),
        }
    )
    empty = pd.DataFrame({name: pd.Series([None] * 10, dtype=frame[name].dtype) for name in frame})
    with table_writer(str(tmp_path / "table.parquet"), infer_schema(frame)) as write:
        write(empty)
        write(frame)
    read = read_table(str(tmp_path / "table.parquet"))
    assert read.iloc[:10].isna().all().all()
    for name in frame:
        assert read[name].iloc[10:].dropna().tolist() == frame[name].dropna().tolist()


def test_whole_numbers_with_missing_cells_are_written_as_such(tmp_path):
    frame = pd.DataFrame({"code": [34314.0, np.nan, 7.0], "share": [1.0, 0.5, np.nan]})
    with table_writer(str(tmp_path / "table.csv"), infer_schema(frame)) as write:
        write(frame)
        write(frame.assign(code=[1.5, np.nan, 2.0]))  # as a condition may have it
    assert (tmp_path / "table.csv").read_text().split() == [
        *("code,share", "34314,1.0", ",0.5", "7,"),
        *("1.5,1.0", ",0.5", "2.0,"),
    ]


@pytest.mark.parametrize("first", [[None, None], ["w1", "w2"]])
def test_later_parts_of_a_choice_may_have_more_values_than_the_first(tmp_path, first):
    parts = [
        pd.DataFrame({"c": pd.Series(words, dtype="object").astype("category")})
        for words in (first, [f"w{i}" for i in range(300)])
    ]
    whole = pd.DataFrame({"c": pd.Categorical([*first, *parts[1]["c"]])})
    with table_writer(str(tmp_path / "rows.parquet"), infer_schema(pd.concat([whole] * 3, ignore_index=True))) as write:
        for part in parts:
            write(part)
    read = pd.read_parquet(tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(read.astype(object), whole.astype(object), check_dtype=False)
    assert read["c"].dtype == "category"


@pytest.mark.parametrize(
    ("values", "first", "written"),
    [
        (["a", 1, 2.5], ["a", "a"], ["a", "1", "2.5"]),
        (["a", 1, 2.5], [1, None], ["a", "1", "2.5"]),
        ([1, 2.5], [1, 1], [1.0, 2.5]),
        ([True, "no"], [True, None], ["True", "no"]),
    ],
)
def test_a_column_of_words_and_numbers_is_one_type_whatever_its_first_part_has(tmp_path, values, first, written):
    schema = infer_schema(pd.DataFrame({"x": pd.Series(values * 10, dtype=object), "y": range(10 * len(values))}))
    parts = [pd.DataFrame({"x": pd.Series(cells, dtype=object), "y": range(len(cells))}) for cells in (first, values)]
    with table_writer(str(tmp_path / "rows.parquet"), schema) as write:
        for part in parts:
            write(part)
    read = pd.read_parquet(tmp_path / "rows.parquet")["x"]
    assert read.iloc[len(first) :].tolist() == written
    assert read.iloc[: len(first)].isna().tolist() == [cell is None for cell in first]


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", "float64[pyarrow]"])
@pytest.mark.parametrize("dialect", [Dialect(";", ","), Dialect("\t", "."), Dialect("|", ",")])
def test_text_keeps_separator_and_decimal_sign_and_reads_back(tmp_path, dtype, dialect):
    frame = pd.DataFrame(
        {
            "x": pd.Series([1.5, 1e-05, -12345.25, None], dtype=dtype),
            "n": [1, 2, 3, 4],
            "w": ["a;b", "Köln, Rhein", "1|2", '"q"'],
        }
    )
    with table_writer(str(tmp_path / "x.csv"), dialect=dialect) as write:
        write(frame)
    text = (tmp_path / "x.csv").read_bytes().decode("utf-8")
    assert text.startswith(dialect.separator.join("xnw"))
    assert f"1{dialect.decimal}5{dialect.separator}1" in text
    read = read_csv(str(tmp_path / "x.csv"))
    pd.testing.assert_frame_equal(read.astype({"x": dtype}), frame, check_dtype=False)
