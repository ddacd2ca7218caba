"""schema.yaml: what a person says of columns is obeyed, and what cannot be is told by file, column and key."""

import datetime

import numpy as np
import pandas as pd
import pytest

from synthgen.data.tables.codec import TableCodec
from synthgen.data.tables.module import TableDataModule
from synthgen.data.tables.schema import infer_schema
from synthgen.data.tables.wishes import read_schema, schema_text
from synthgen.errors import SynthgenError
from synthgen.layout import Kind

ROWS = 120


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, ROWS),
            "pay": rng.gamma(2, 1000, ROWS).round(2),
            "code": rng.integers(1, 6, ROWS),
            "since": pd.Series(pd.date_range("2020-01-01", periods=ROWS)).dt.strftime("%d/%m/%y"),
            "member": rng.integers(5000, 9000, ROWS) * 1000 + np.arange(ROWS),
            "sex": rng.choice(["f", "m"], ROWS),
        }
    )


@pytest.fixture
def said(tmp_path):
    def write(text):
        (tmp_path / "schema.yaml").write_text(text, encoding="utf-8")
        return tmp_path / "schema.yaml"

    return write


def test_what_was_inferred_reads_back_as_the_same(people, said):
    inferred = infer_schema(people, target="sex")
    text = schema_text(inferred, {})
    assert "age: {kind: numerical, decimals: 0, range: [" in text
    assert infer_schema(people, wanted=read_schema(said(text))) == inferred


@pytest.mark.parametrize("name", ["yes", "a: b", "7", "# no", "Größe", "two\nlines", "'", "null", "~"])
def test_names_of_every_spelling_read_back(said, name):
    frame = pd.DataFrame({name: [1, 2, 3], "other": ["a", "b", "c"]})
    text = schema_text(infer_schema(frame), {})
    assert infer_schema(frame, wanted=read_schema(said(text))) == infer_schema(frame)


def test_decimals_that_a_person_asks_for_are_those_of_frequent_numbers_too():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "mark": rng.choice([1.25, 2.5, 3.75], 400),
            "pay": np.where(rng.random(400) < 0.3, 123456.789, rng.normal(123456, 10, 400)),
        }
    )
    wanted = read_schema({"columns": {"mark": {"decimals": 0}, "pay": {"decimals": 1}}})
    codec = TableCodec.fit(frame, infer_schema(frame, wanted=wanted))
    decoded = codec.decode(codec.encode(frame))
    assert decoded["mark"].isin([2, 3]).all()  # within the range that was seen
    assert decoded["pay"].round(1).eq(decoded["pay"]).all()
    assert decoded["pay"][frame["pay"].eq(123456.789)].eq(123456.8).all()


def test_a_few_columns_are_told_and_the_others_inferred(people, said):
    file = said(
        """
        columns:
          code: categorical
          since: {format: "%d/%m/%y"}
          member: {role: identifier}
          age: {kind: drop}
          pay: {decimals: 0}
          sex: {role: target}
        constraints: []
        """
    )
    schema = infer_schema(people, wanted=read_schema(file))
    kinds = {column.name: column.kind for column in schema}
    assert kinds == {
        "pay": Kind.NUMERICAL,
        "code": Kind.CATEGORICAL,
        "since": Kind.DATE,
        "member": Kind.IDENTIFIER,
        "sex": Kind.CATEGORICAL,
    }
    assert schema.target == "sex"
    codec = TableCodec.fit(people, schema)
    decoded = codec.decode(codec.encode(people))
    pd.testing.assert_series_equal(decoded["since"], people["since"])
    pd.testing.assert_series_equal(decoded["code"], people["code"])
    assert (decoded["pay"] == decoded["pay"].round()).all()
    assert not decoded["member"].isin(people["member"]).any()


def test_a_data_module_obeys_the_file_and_its_name_changes_with_what_it_says(people, said):
    plain = TableDataModule(lambda: people, holdout=0.0)
    told = TableDataModule(
        lambda: people, holdout=0.0, schema=said("columns: {sex: {role: sensitive}, code: {kind: categorical}}")
    )
    plain.load()
    told.load()
    assert told.codec.schema["code"].kind is Kind.CATEGORICAL
    assert told.sensitive == ("sex",)
    assert told.fingerprint != plain.fingerprint
    dropped = TableDataModule(lambda: people, schema=said("columns: {age: {kind: drop}, pay: {role: target}}"))
    dropped.load()
    assert "age" not in dropped.train
    assert "age" not in dropped.holdout
    assert dropped.target == "pay"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("columns: {agee: numerical}", "schema.yaml: column 'agee': did you mean 'age'"),
        ("columns: {age: numercial}", "schema.yaml: column 'age': kind: found 'numercial'; did you mean 'numerical'"),
        ("columns: {age: {knid: numerical}}", "schema.yaml: column 'age': key 'knid': did you mean 'kind'"),
        ("columns: {age: {role: sensitiv}}", "column 'age': role: found 'sensitiv'; did you mean 'sensitive'"),
        ("columns: {age: {decimals: many}}", "column 'age': decimals: found 'many', expected a whole number"),
        ("columns: {age: {range: [9, 1]}}", r"column 'age': range: found \[9, 1\], expected \[smallest, largest\]"),
        ("columns: {age: {range: [0, 20]}}", r"column 'age': range: found \d+, expected 0 .. 20"),
        ("columns: {sex: {decimals: 2}}", "column 'sex': decimals: is for numerical columns, found a categ"),
        ("columns: {since: {format: 7}}", "column 'since': format: found 7"),
        ("columns: {since: {format: '%Y-%m-%d'}}", "column 'since': found something that '%Y-%m-%d' does not write"),
        ("columns: {sex: date}", "column 'sex': kind: found str, expected a date; say its format"),
        ("columns: {sex: numerical}", "column 'sex': kind: found a categorical column, expected numerical"),
        ("columns: {sex: identifier}", "column 'sex': kind: these are no identifiers of one form"),
        ("columns: {age: {kind: numerical, role: identifier}}", "column 'age': role: an identifier cannot be of kind"),
        ("columns: {age: {role: target}, sex: {role: target}}", "role: found two targets, 'age' and 'sex'"),
        ("colums: {age: numerical}", "schema.yaml: key 'colums': did you mean 'columns'"),
        ("columns: [age]", "schema.yaml: columns: found a list"),
        ("- age", "schema.yaml: found list, expected `columns:`"),
        ("columns: {age: 3}", "column 'age': found 3, expected a kind"),
        ("columns: {age: [", "schema.yaml: not YAML"),
        ("constraints: [a < b]", "schema.yaml: constraints: entry 1: found 'a < b', expected one kind of constraint"),
        ("constraints: {unique: age}", "schema.yaml: constraints: found {'unique': 'age'}, expected a list"),
        (f"columns: {{{', '.join(f'{n}: drop' for n in ('age', 'pay', 'code', 'since', 'member', 'sex'))}}}", "no col"),
    ],
)
def test_a_mistake_is_told_by_file_column_and_key(people, said, text, message):
    with pytest.raises(SynthgenError, match=message):
        infer_schema(people, wanted=read_schema(said(text)))


def test_a_mapping_says_what_a_file_says(people, said):
    file = read_schema(said("columns: {age: {range: [0, 120]}, code: categorical, sex: {role: target}}"))
    mapping = read_schema(
        {"columns": {"age": {"range": (np.int64(0), 120)}, "code": "categorical", "sex": {"role": "target"}}}
    )
    assert mapping.columns == file.columns
    assert infer_schema(people, wanted=mapping) == infer_schema(people, wanted=file)
    seen = datetime.date(2019, 1, 1), pd.Timestamp("2030-01-01")
    assert read_schema({"columns": {"since": {"range": seen}}}).columns["since"] == {
        "range": ["2019-01-01", "2030-01-01T00:00:00"]
    }


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"columns": {"age": {"knid": "date"}}}, "^schema: column 'age': key 'knid': did you mean 'kind'"),
        ({"columns": {"agee": "numerical"}}, "^schema: column 'agee': did you mean 'age'"),
        ({"age": "numerical"}, "^schema: key 'age': choose from 'columns', 'constraints'"),
        ({"constraints": [{"uniqe": "age"}]}, "^schema: constraints: entry 1: kind 'uniqe': did you mean 'unique'"),
    ],
)
def test_a_mistake_in_a_mapping_is_told_likewise(people, mapping, message):
    with pytest.raises(SynthgenError, match=message):
        infer_schema(people, wanted=read_schema(mapping))


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SynthgenError, match=r"x\.yaml: no such schema file; synthgen inspect writes one"):
        read_schema(tmp_path / "x.yaml")
