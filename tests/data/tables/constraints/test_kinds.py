"""Entries of a schema file: what each kind means, and how a mistake is told."""

import numpy as np
import pandas as pd
import pytest

import synthgen
from synthgen.data.tables.codec import TableCodec
from synthgen.data.tables.constraints.kinds import read_constraint
from synthgen.data.tables.module import TableDataModule
from synthgen.data.tables.schema import infer_schema
from synthgen.errors import SynthgenError

NA = None


def obeys(entry, **columns):
    """Of each row, whether it obeys; the schema is that of the rows twenty times, so that they are no keys."""
    frame = pd.DataFrame(columns)
    constraint = read_constraint(entry, "here")
    constraint.bind(infer_schema(pd.concat([frame] * 20, ignore_index=True)))
    return constraint.check(frame).tolist()


def test_inequalities_hold_between_cells_that_are_there():
    numbers = {"a": [1, 2, 3, NA], "b": [1.5, 2.0, 2.5, 1.0]}
    assert obeys({"inequality": ["a", "b"]}, **numbers) == [True, True, False, True]
    assert obeys({"inequality": {"columns": ["a", "b"], "strict": True}}, **numbers) == [True, False, False, True]
    chain = {"low": [1, 1, 5, 1], "mid": [2, 3, NA, NA], "high": [3, 2, 4, 4]}
    assert obeys({"inequality": ["low", "mid", "high"]}, **chain) == [True, False, False, True]


def test_dates_and_moments_of_two_precisions_compare():
    days = pd.to_datetime(["2024-02-28", "2024-02-28", "2024-02-29"])
    assert obeys(
        {"inequality": ["day", "moment"]}, day=days, moment=["2024-02-28 00:00", "2024-02-27 23:59", "2024-02-29 10:00"]
    ) == [True, False, True]
    assert obeys({"inequality": ["month", "day"]}, month=["2024-02", "2024-03", "2024-02"], day=days) == [
        True,
        False,
        True,
    ]


def test_ranges_have_fixed_ends_columns_as_ends_and_open_ends():
    assert obeys({"range": {"age": [18, 99]}}, age=[17, 18, 99, 100, NA]) == [False, True, True, False, True]
    assert obeys({"range": {"age": [18, None]}}, age=[17, 18, 200]) == [False, True, True]
    between = {"low": [0, 0, 5], "x": [3, 9, 4], "high": [4, 4, 9]}
    assert obeys({"range": {"x": ["low", "high"]}}, **between) == [True, False, False]
    assert obeys({"range": {"x": [4, "high"]}}, **between) == [False, False, True]
    days = pd.to_datetime(["2023-12-31", "2024-01-01", "2024-05-01"])
    assert obeys({"range": {"day": ["2024-01-01", "2024-04-30"]}}, day=days) == [False, True, False]
    assert obeys({"range": {"at": ["08:30", "17:00:00"]}}, at=["08:29", "08:30", "17:01"]) == [False, True, False]


@pytest.mark.parametrize("ends", [[99, 18], ["2024-04-30", "2024-01-01"]])
def test_a_range_whose_ends_are_the_wrong_way_round_is_told(ends):
    columns = {"age": [20, 30]} if ends == [99, 18] else {"age": pd.to_datetime(["2024-02-01", "2024-03-01"])}
    with pytest.raises(
        SynthgenError, match=rf"here: range: age: found \[{ends[0]}, {ends[1]}\], expected \[smallest, la"
    ):
        obeys({"range": {"age": ends}}, **columns)


def test_sums_hold_up_to_the_decimals_of_the_total():
    assert obeys({"sum": {"t": ["a", "b"]}}, t=[3, 3, 3, NA], a=[1, 1, 1, 1], b=[2, 1, NA, 5]) == [
        True,
        False,
        True,
        True,
    ]
    assert obeys({"sum": {"t": ["a", "b"]}}, t=[0.3, 0.4], a=[0.1, 0.1], b=[0.2, 0.2]) == [True, False]
    # A total that is rounded to whole numbers.
    assert obeys({"sum": {"t": ["a", "b"]}}, t=[3, 4], a=[1.2, 1.2], b=[1.4, 1.4]) == [True, False]


@pytest.mark.parametrize("dtype", ["float32", "Float32", "float[pyarrow]", "float64"])
def test_sums_of_small_floats_hold_up_to_their_rounding(dtype):
    a, b = np.random.default_rng(0).lognormal(size=(2, 50)).astype("float32")
    frame = pd.DataFrame({"t": a + b, "a": a, "b": b}).astype(dtype)
    frame["a"] = a
    assert all(obeys({"sum": {"t": ["a", "b"]}}, **frame))
    assert not any(obeys({"sum": {"t": ["a", "b"]}}, **frame.assign(t=frame["t"] * 1.001)))


def test_values_and_pairs_that_come_twice_are_told_from_missing_ones():
    assert obeys({"unique": "a"}, a=[1.5, 1.5, NA, NA, 2.0]) == [True, False, True, True, True]
    assert obeys({"unique": ["a", "b"]}, a=[1, 1, 1], b=["x", "y", "x"]) == [True, True, False]
    assert obeys({"not_null": ["a", "b"]}, a=[1, NA, 1], b=["x", "y", NA]) == [True, False, False]


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    start = rng.integers(1, 20, 200)
    return pd.DataFrame(
        {
            "id": np.arange(200),
            "start": start,
            "end": start + rng.integers(0, 9, 200),
            "age": rng.integers(18, 90, 200),
            "sex": rng.choice(["f", "m"], 200),
            "email": [f"p{i}@mail.com" for i in range(200)],
            "at": pd.Series(pd.date_range("2020-01-01 09:00", periods=200, freq="1min")).dt.strftime("%H:%M"),
            "day": pd.Series(pd.date_range("2020-01-01", periods=200)),
        }
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a < b]", "entry 1: found 'a < b', expected one kind of constraint"),
        ("[{unique: age, not_null: age}]", "entry 1: found .*, expected one kind of constraint"),
        ("[{unique: id}, {inequalty: [start, end]}]", "entry 2: kind 'inequalty': did you mean 'inequality'"),
        ("[{inequality: [start, ende]}]", "entry 1: inequality: column 'ende': did you mean 'end'"),
        ("[{inequality: [start]}]", "entry 1: inequality: found .*, expected a list of at least 2 columns"),
        ("[{inequality: [start, start]}]", "inequality: found .*, expected different columns"),
        ("[{inequality: {columns: [start, end], strikt: true}}]", "key 'strikt': did you mean 'strict'"),
        ("[{inequality: {columns: [start, end], strict: 1}}]", "strict: found 1, expected true or false"),
        ("[{inequality: [start, sex]}]", "column 'sex' is categorical, expected numbers, dates"),
        ("[{inequality: [start, day]}]", "'start' is numerical and 'day' date.*, expected one kind"),
        ("[{inequality: [id, start]}]", "column 'id' is an identifier"),
        ("[{fixed_combinations: [email, sex]}]", "column 'email' is personal text, which is made anew"),
        ("[{unique: email}]", "column 'email' is personal text, which is made anew and may repeat"),
        ("[{formula: 'email != sex'}]", "column 'email' is personal text"),
        ("[{range: {at: [9:00, 17:30]}}]", "range: at: 540 is neither a time, such as .*08:30:00"),
        ("[{range: {day: [null, today]}}]", "range: day: 'today' is neither a date.* nor a column"),
        ("[{range: {day: ['', null]}}]", "range: day: '' is neither a date.* nor a column"),
        ("[{formula: 'day < \"today\"'}]", "formula: .*'today' is no date"),
        ("[{range: {age: [18]}}]", r"range: age: found \[18\], expected \[smallest, largest\]"),
        ("[{range: {age: [agee, 99]}}]", "range: age: 'agee' is neither a number nor a column; did you mean 'age'"),
        ("[{range: {day: [soon, null]}}]", "range: day: 'soon' is neither a date.* nor a column"),
        ("[{range: age}]", "range: found 'age', expected one column and its ends"),
        ("[{sum: [age, start]}]", "sum: found .*, expected a total and its parts"),
        ("[{sum: {age: [start, sex]}}]", "sum: column 'sex' is categorical, expected numbers"),
        ("[{unique: []}]", r"unique: found \[\], expected a column, or a list of columns"),
        ("[{formula: 7}]", "formula: found 7, expected text"),
        ("[{formula: 'agee > 3'}]", "formula: column 'agee': did you mean 'age'"),
        ("{unique: id}", "constraints: found .*, expected a list"),
        (
            "[{inequality: [end, start]}]",
            r"\d+ of 190 training rows do not obey .*; the first is row \d+: end=",
        ),
        ("[{unique: age}]", r"unique: \d+ of 190 training rows do not obey `unique: age`"),
        ("[{formula: 'age > 80'}]", r"formula: \d+ of 190 training rows do not obey `formula: age > 80`; the first"),
        ("[{formula: 'sex > 3'}]", "formula: 'sex > 3': text and numbers do not compare"),
    ],
)
def test_a_mistake_is_told_by_file_entry_and_key(people, tmp_path, text, message):
    file = tmp_path / "schema.yaml"
    file.write_text(f"constraints: {text}")
    with pytest.raises(SynthgenError, match=rf"schema\.yaml: constraints: .*{message}|schema\.yaml: {message}"):
        TableDataModule(lambda: people, holdout=0.05, schema=file).load()


def test_a_file_and_python_say_the_same_and_change_the_name_of_the_data(people, tmp_path):
    (tmp_path / "schema.yaml").write_text(
        "constraints:\n  - inequality: [start, end]\n  - range: {day: [2020-01-01, null]}\n"
    )
    entries = [{"inequality": ["start", "end"]}, {"range": {"day": ["2020-01-01", None]}}]
    plain = TableDataModule(lambda: people)
    told = TableDataModule(lambda: people, schema=tmp_path / "schema.yaml")
    said = TableDataModule(lambda: people, constraints=entries)
    for module in (plain, told, said):
        module.load()
    assert told.codec.to_dict() == said.codec.to_dict()
    assert told.fingerprint == said.fingerprint != plain.fingerprint
    assert "constraints" not in plain.codec.to_dict()


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ([{"uniqe": "id"}], "data: constraints: entry 1: kind 'uniqe': did you mean 'unique'"),
        ({"unique": "id"}, "data: constraints: found {'unique': 'id'}, expected a list"),
    ],
)
def test_a_mistake_in_python_is_told_by_entry(people, constraints, message):
    with pytest.raises(SynthgenError, match=message):
        synthgen.fit(people, constraints=constraints)


def test_a_stored_codec_is_checked(people):
    codec = TableCodec.fit(
        people, infer_schema(people), 0, [read_constraint({"fixed_combinations": ["sex", "age"]}, "x")]
    )
    stored = codec.to_dict()
    stored["constraints"]["entries"][0]["state"]["codes"][0][1] = 10_000
    with pytest.raises(SynthgenError, match="no table of them"):
        TableCodec.from_dict(stored)
    stored = codec.to_dict()
    stored["constraints"]["entries"] = []
    with pytest.raises(SynthgenError, match="learned columns"):
        TableCodec.from_dict(stored)
