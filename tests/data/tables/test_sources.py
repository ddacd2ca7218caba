from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from synthgen.data.tables.sources import check_table_output, randhie, read_csv, read_parquet, read_table, write_table
from synthgen.errors import SynthgenError


@pytest.fixture
def csv(tmp_path):
    def read(content):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "table.csv").write_bytes(data)
        return read_csv(str(tmp_path / "table.csv"))

    return read


def test_numbers_words_and_booleans_are_told_apart(csv):
    frame = csv("age,weight,town,member\n30,70.5,Bonn,True\n40,80,Köln,False\n")
    assert frame.dtypes.astype(str).to_dict() == {"age": "int64", "weight": "float64", "town": "str", "member": "bool"}
    assert frame["town"].tolist() == ["Bonn", "Köln"]


def test_in_a_column_of_words_only_an_empty_cell_is_missing(csv):
    town = csv('id,town\n1,None\n2,NA\n3,\n4,""\n5,nan\n6,null\n7,?\n8,Bonn\n')["town"]
    assert town.isna().tolist() == [False, False, True, True, False, False, False, False]
    assert town.dropna().tolist() == ["None", "NA", "nan", "null", "?", "Bonn"]


@pytest.mark.parametrize("spelling", ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", "-"])
def test_in_a_column_of_numbers_the_usual_spellings_are_missing(csv, spelling):
    frame = csv(f"age,weight\n30,1.5\n{spelling},-2.5\n40,{spelling}\n")
    np.testing.assert_array_equal(frame["age"], [30, np.nan, 40])
    np.testing.assert_array_equal(frame["weight"], [1.5, -2.5, np.nan])


def test_a_column_that_says_none_throughout_says_so(csv):
    frame = csv("id,diagnosis,note\n1,None,?\n2,None,-\n3,None,NA\n")
    assert frame["diagnosis"].tolist() == ["None", "None", "None"]
    assert frame["note"].tolist() == ["?", "-", "NA"]


def test_a_number_among_words_stays_a_word(csv):
    assert csv("code\n12\nA7\nNA\n")["code"].tolist() == ["12", "A7", "NA"]


@pytest.mark.parametrize("missing", ["", "2,\n", "2,NA\n", "2,?\n"])
def test_codes_keep_their_leading_zeros(csv, missing):
    frame = csv(f"id,code,amount\n1,007,0.50\n{missing.replace(chr(10), ',1' + chr(10))}3,015,10\n4,120,0\n")
    assert frame["code"].dropna().loc[lambda code: code.str.isdigit()].tolist() == ["007", "015", "120"]
    assert frame["amount"].dtype == "float64"
    assert frame["id"].dtype == "int64"


def test_zeros_before_the_point_and_alone_are_numbers(csv):
    assert csv("a,b\n0.5,0\n0,10\n")["a"].tolist() == [0.5, 0]
    assert csv("a,b\n0.5,0\n0,10\n")["b"].tolist() == [0, 10]


def test_a_byte_order_mark_is_no_part_of_the_first_name(csv):
    assert list(csv("\ufeffage,town\n1,a\n")) == ["age", "town"]


def test_quoted_cells_hold_commas_quotes_and_line_breaks(csv):
    frame = csv('"a, b",c\n"x, ""y""\nz",1\n')
    assert list(frame) == ["a, b", "c"]
    assert frame["a, b"].tolist() == ['x, "y"\nz']


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty; expected a header line and rows"),
        ("\n\n", "the file is empty"),
        ("a,b\n", "found a header with 2 columns and no row; expected rows"),
        ("a,b,a\n1,2,3\n", "column 'a' occurs 2 times; expected unique names"),
        ("a,b\n1,2\n3,4,5\n", "not a comma-separated table: .*line 3"),
        ("a,b\n1,2,3\n4,5,6\n", "not a comma-separated table: .*line 2"),  # no row names: columns must not shift
        ("a,b\n1,2,\n4,5,\n", "not a comma-separated table: .*line 2"),
        ('a,b\n"1,2\n3,4', "not a comma-separated table"),
        ("town\nK\xf6ln\n".encode("latin-1"), "not a comma-separated table: 'utf-8' codec"),
        ("K\xf6ln\n1\n".encode("latin-1"), "not a comma-separated table: 'utf-8' codec"),
        (b"town\n" + b"Bonn\n" * 100_000 + b"K\xf6ln\n", "not a comma-separated table: 'utf-8' codec"),
        (bytes(range(256)) * 8, "not a comma-separated table"),
    ],
)
def test_what_is_no_table_gives_one_line_that_names_the_file(csv, content, message):
    with pytest.raises(SynthgenError, match=rf"table\.csv: {message}") as raised:
        csv(content)
    assert "\n" not in str(raised.value)


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "people.csv").write_text("a\n1\n")
    with pytest.raises(SynthgenError, match=r"poeple\.csv: no such file; did you mean 'people\.csv'\?"):
        read_csv(str(tmp_path / "poeple.csv"))


# Parquet, and either


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


def test_parquet_keeps_every_dtype(tmp_path):
    write_table(kinds(), str(tmp_path / "table.parquet"))
    pd.testing.assert_frame_equal(read_parquet(str(tmp_path / "table.parquet")), kinds())


@pytest.mark.parametrize("suffix", ["csv", "CSV", "parquet", "pq"])
def test_a_table_is_written_and_read_by_its_suffix(tmp_path, suffix):
    frame = kinds()[["age", "weight", "town", "member"]]
    write_table(frame, str(tmp_path / "new folder" / f"table.{suffix}"))
    pd.testing.assert_frame_equal(read_table(str(tmp_path / "new folder" / f"table.{suffix}")), frame)
    assert [file.name for file in (tmp_path / "new folder").iterdir()] == [f"table.{suffix}"]


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
    with pytest.raises(SynthgenError, match=r"expected \.csv or \.parquet"):
        read_table(path)
    with pytest.raises(SynthgenError, match=rf"output={path}: .*expected .csv or .parquet"):
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
