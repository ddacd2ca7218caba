import bz2
import gzip
import lzma

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import synthgen
from synthgen.data.tables.delimited import Dialect, dialect_of, read_csv
from synthgen.data.tables.sources import read_table
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


@pytest.mark.parametrize(("between", "separator"), [(", ", None), (";  ", None), (":", ":"), ("^", "^")])
def test_leading_zeros_stay_behind_blanks_and_any_separator(tmp_path, between, separator):
    lines = ["v,code", *(f"{i},{i:05d}" for i in range(30))]
    (tmp_path / "codes.csv").write_text("\n".join(line.replace(",", between) for line in lines))
    frame = read_csv(str(tmp_path / "codes.csv"), separator=separator)
    assert frame.iloc[:, 0].dtype == "int64"
    assert frame.iloc[:, 1].str.strip().tolist() == [f"{i:05d}" for i in range(30)]


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
        ("a;b\n1;2\n3;4\n5;6;7\n", "not a table separated by ';': .*line 4"),
        ("a;b\n1;2\n3;4\n".encode("utf-16")[:-3], "not a table separated by ';': 'utf-16"),
        (bytes(range(256)) * 8, "not a table separated by"),
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


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_separator_is_found(csv, separator, newline):
    rows = [["id", '"town, or place"', "code"], ["1", '"a; b, c|d\te"', "007"], ["2", "NA", "x"], ["3", "", "y"]]
    frame = csv(newline.join(separator.join(row) for row in rows) + newline)
    assert list(frame) == ["id", "town, or place", "code"]
    assert frame["id"].tolist() == [1, 2, 3]
    assert frame["town, or place"].tolist()[:2] == ["a; b, c|d\te", "NA"]
    assert frame["code"].tolist() == ["007", "x", "y"]


def test_one_column_of_text_has_no_separator(csv):
    assert csv("note\nyes; or no\nwell\n")["note"].tolist() == ["yes; or no", "well"]


def test_a_separator_that_is_given_wins(tmp_path):
    (tmp_path / "t.csv").write_text("a,b:c,d\n1,2:3,4\n")
    assert list(read_csv(str(tmp_path / "t.csv"), separator=":")) == ["a,b", "c,d"]
    for key, value in (("separator", "::"), ("decimal", ";"), ("encoding", "utf-99")):
        with pytest.raises(SynthgenError, match=rf"data\.source\.{key}: found '{value}', expected"):
            read_csv(str(tmp_path / "t.csv"), **{key: value})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_encoding_is_found(csv, encoding):
    frame = csv("name;town;code\nÖzil;Köln;007\nŁ;東京;1\n".encode(encoding))
    assert list(frame) == ["name", "town", "code"]
    assert frame["town"].tolist() == ["Köln", "東京"]
    assert frame["code"].tolist() == ["007", "1"]


@pytest.mark.parametrize("rows", [1, 100_000])
def test_what_is_not_utf_8_is_read_as_windows_1252_with_a_warning(csv, rows):
    with pytest.warns(UserWarning, match=r"table\.csv: is not UTF-8 and was read as Windows-1252"):
        frame = csv(b"town\n" + b"Bonn\n" * rows + "Köln\n5 €\n".encode("cp1252"))
    assert frame["town"].tolist()[-2:] == ["Köln", "5 €"]


def test_an_encoding_that_is_given_is_taken(tmp_path):
    (tmp_path / "t.csv").write_bytes("town\nКиїв\n".encode("cp1251"))
    assert read_csv(str(tmp_path / "t.csv"), encoding="cp1251")["town"].tolist() == ["Київ"]
    with pytest.raises(SynthgenError, match=r"t\.csv: not a comma-separated table: 'ascii' codec"):
        read_csv(str(tmp_path / "t.csv"), encoding="ascii")


def test_decimal_commas_are_numbers_where_the_separator_is_no_comma(csv):
    frame = csv("id;price;total;mixed;note\n1;0,5;1.234,50;1,5;a,b\n2;-12;20;x;1,2\n3;NA;;2;c\n")
    np.testing.assert_array_equal(frame["price"], [0.5, -12, np.nan])
    np.testing.assert_array_equal(frame["total"], [1234.5, 20, np.nan])
    assert frame["mixed"].tolist() == ["1,5", "x", "2"]
    assert frame["note"].tolist() == ["a,b", "1,2", "c"]
    assert csv('a,b\n"1,5",2\n')["a"].tolist() == ["1,5"]


def test_a_decimal_sign_that_is_given_wins(tmp_path):
    (tmp_path / "t.csv").write_text("a;b\n1,5;x\n2;y\n")
    assert read_csv(str(tmp_path / "t.csv"), decimal=",")["a"].tolist() == [1.5, 2.0]
    assert read_csv(str(tmp_path / "t.csv"), decimal=".")["a"].tolist() == ["1,5", "2"]


@pytest.mark.parametrize("missing", ["", "NA"])
def test_whole_numbers_keep_every_digit(csv, missing):
    long = [2**53 + 1, 2**63 - 1, -(2**53) - 1]
    frame = csv("a,b\n" + "".join(f"{number},x\n" for number in long) + f"{missing},y\n")
    assert frame["a"].dtype == "Int64"
    assert frame["a"].tolist()[:3] == long
    assert frame["a"].isna().tolist() == [False] * 3 + [True]


@pytest.mark.parametrize("missing", ["", "NA", "1"])
def test_whole_numbers_of_more_than_64_bits_are_words(csv, missing):
    frame = csv(f"a,b\n{2**64 + 1},x\n{missing},y\n")
    assert frame["a"].tolist()[0] == str(2**64 + 1)


def test_missing_cells_alone_give_whole_numbers_no_dtype_of_their_own(csv):
    assert csv("a,code\n1,007\n,008\n")["a"].dtype == "float64"


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        (".csv.gz", gzip.compress),
        (".tsv.bz2", bz2.compress),
        (".txt.xz", lzma.compress),
        (".csv.zst", lambda data: pa.compress(data, codec="zstd", asbytes=True)),
    ],
)
def test_compressed_text_is_read(tmp_path, suffix, compress):
    text = "id\tcode\ttown\n" + "".join(f"{i}\t{i % 200:03}\tKöln\n" for i in range(50_000))
    file = tmp_path / f"table{suffix}"
    file.write_bytes(compress(text.encode()))
    frame = read_table(str(file))
    assert frame.shape == (50_000, 3)
    assert frame["code"].tolist()[7] == "007"
    file.write_bytes(compress(text.encode())[:2000])
    with pytest.raises(SynthgenError, match=rf"table{suffix}: cannot be decompressed"):
        read_table(str(file))


def test_a_table_is_learned_from_compressed_text(tmp_path, people):
    people.to_csv(tmp_path / "people.csv.gz", index=False)
    fitted = synthgen.fit(tmp_path / "people.csv.gz", "table/copula", overrides=["callbacks=none", "trainer=cpu"])
    assert list(fitted.sample(5)) == list(people)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a,b\n1.5,x\n", (",", ".")),
        ("a;b\n1,5;x\n", (";", ",")),
        ("a;b\n1.5;x\n", (";", ".")),
        ("a\tb\n1.234,5\tx\n", ("\t", ",")),
        ('a;b\n15;"x, y"\n', (";", ".")),
    ],
)
def test_a_table_remembers_how_its_text_was_written(csv, content, expected):
    dialect = dialect_of(csv(content).iloc[:1].reset_index(drop=True))
    assert (dialect.separator, dialect.decimal) == expected


def test_a_table_of_another_source_is_written_in_english():
    assert dialect_of(pd.DataFrame({"a": [1.5]})) == Dialect(",", ".")


def test_small_numbers_with_commas_are_numbers(csv):
    assert csv("a;b\n1,5e-05;x\n2,5;y\n1e-07;z\n")["a"].tolist() == [1.5e-05, 2.5, 1e-07]
