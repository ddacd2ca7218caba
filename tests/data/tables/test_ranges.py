"""A range that a person says is checked, holds for what is drawn, and is what conditions may ask for."""

import numpy as np
import pandas as pd
import pytest
import torch

from synthgen.data.tables.codec import TableCodec
from synthgen.data.tables.schema import infer_schema
from synthgen.data.tables.wishes import read_schema, schema_text
from synthgen.errors import SynthgenError

ROWS = 60


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "age": [17, 90, 41] * 20,
            "pay": np.linspace(0.25, 100.6, ROWS),
            "day": pd.Series(pd.date_range("1960-01-01", periods=ROWS)).dt.strftime("%d.%m.%Y"),
            "month": ["2024-02-01", "2023-12-01", "2023-11-01"] * 20,
            "at": ["08:30", "17:45", "12:00"] * 20,
            "seen": pd.date_range("1950-01-01 12:00", periods=ROWS, freq="7h"),
            "took": pd.to_timedelta(np.arange(ROWS) - 5, unit="h"),
            "long": 2**60 + np.arange(ROWS),
            "short": np.arange(ROWS).astype("int8"),
        }
    )


@pytest.fixture
def wished(tmp_path, table):
    def infer(text, frame=table, **more):
        (tmp_path / "schema.yaml").write_text(text)
        return infer_schema(frame, wanted=read_schema(tmp_path / "schema.yaml"), **more)

    return infer


def test_the_ranges_that_were_seen_are_written_and_read_back(table, wished):
    schema = infer_schema(table)
    text = schema_text(schema, {})
    assert "at: {kind: time, format: '%H:%M', range: ['08:30', '17:45']}" in text
    assert "month: {kind: date, format: '%Y-%m-%d', range: [2023-11, 2024-02]}" in text
    assert wished(text) == schema


def test_lengths_of_more_than_292_years_are_written_without_a_range(wished):
    frame = pd.DataFrame({"x": np.array([10**12, 5], dtype="m8[s]")})
    assert wished(schema_text(infer_schema(frame), {}), frame) == infer_schema(frame)


@pytest.mark.parametrize(
    ("name", "said", "ends"),
    [
        ("age", "[0, 120]", (0, 120)),
        ("pay", "[-1, 1000.5]", (-1, 1000.5)),
        ("day", "[1950-01-01, 2020-12-31]", (-20 * 365 - 5, 50 * 365 + 12 + 365)),
        ("month", "[2023-06-15, 2024-12-31]", (53 * 12 + 6, 54 * 12 + 11)),
        ("at", "['08:00', '18:00:30']", (8 * 60, 18 * 60)),
        ("seen", "['1949-12-31 22:30', '1970-01-01T05:59']", (-20 * 365 * 24 - 5 * 24 - 25 + 24, 5)),
        ("took", "[-P1D, P10DT2H30M]", (-24, 242)),
        ("took", "['-1 days', '10 days']", (-24, 240)),
        ("long", "[0, 2000000000000000000]", (0, 2 * 10**18)),
    ],
)
def test_a_range_may_be_wider_than_what_was_seen(wished, name, said, ends):
    column = wished(f"columns: {{{name}: {{range: {said}}}}}")[name]
    assert (column.minimum, column.maximum) == ends


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("age", "[0, 20]", r"range: found 90, expected 0 \.\. 20"),
        ("age", "[20, 100]", r"range: found 17, expected 20 \.\. 100"),
        ("age", "[0, 120.5]", "range: found .*, expected whole numbers that a column of int64 holds"),
        ("short", "[0, 300]", "range: found .*, expected whole numbers that a column of int8 holds"),
        ("age", "['a', 'b']", "range: found .*, expected two numbers"),
        ("age", "3", r"range: found 3, expected \[smallest, largest\]"),
        ("day", "[1965-01-01, 2020-12-31]", r"range: found 1960-01-01, expected 1965-01-01 \.\. 2020-12-31"),
        ("day", "[2020-01-01, 1960-12-31]", r"range: found .*, expected \[earliest, latest\]"),
        ("day", "[soon, later]", "range: found 'soon', expected a date in quotes, such as '2024-12-31'"),
        ("day", "[1, soon]", r"range: found \[1, 'soon'\], expected \[smallest, largest\]"),
        ("at", "[8:00, 18:00]", "range: found 480, expected a time in quotes, such as '08:30'"),
        ("took", "[a, b]", "range: found 'a', expected a duration in quotes, such as 'P1DT12H'"),
    ],
)
def test_a_range_that_does_not_hold_is_told(wished, name, said, message):
    with pytest.raises(SynthgenError, match=f"column '{name}': {message}"):
        wished(f"columns: {{{name}: {{range: {said}}}}}")


def test_words_have_no_range(wished):
    with pytest.raises(SynthgenError, match="column 'x': range: is for numbers, dates, times and durations, found cat"):
        wished("columns: {x: {range: [0, 1]}}", pd.DataFrame({"x": ["a", "b"] * 9}))


@pytest.mark.parametrize(
    ("name", "said", "wanted", "outside"),
    [
        ("age", "[0, 120]", 118, 121),
        ("age", "[0, 120]", 50, -1),
        ("pay", "[0, 1000]", 999.5, 1001),
        ("day", "[1950-01-01, 2020-12-31]", "03.05.2019", "01.01.2021"),
        ("month", "[2020-01-01, 2030-01-01]", "2029-01-01", "2031-01-01"),
        ("long", "[0, 2000000000000000000]", 5, 2 * 10**18 + 1),
    ],
)
def test_conditions_may_ask_for_all_of_it(table, wished, name, said, wanted, outside):
    codec = TableCodec.fit(table, wished(f"columns: {{{name}: {{range: {said}}}}}"))
    condition = codec.encode_condition({name: wanted}, 2)
    assert condition["numerical_known"].any() or condition["categorical_known"].any()
    assert codec.decode(condition, given=codec.given({name: wanted}, 2))[name].tolist() == [wanted] * 2
    with pytest.raises(SynthgenError, match=f"condition {name}: .*{outside}.* is outside|outside"):
        codec.encode_condition({name: outside}, 1)
    with pytest.raises(SynthgenError, match=f"condition {name}: "):
        TableCodec.fit(table, infer_schema(table)).encode_condition({name: wanted}, 1)


def test_whatever_is_drawn_lies_in_it(table, wished):
    """Numbers between the smallest and the largest that were seen; of dates other days of the outermost weeks, too."""
    codec = TableCodec.fit(table, wished("columns: {pay: {decimals: 0}, day: {range: [1959-12-31, 1960-03-04]}}"))
    layout = codec.layout
    drawn = {
        "numerical": 5 * torch.randn(2000, layout.numerical),
        "categorical": torch.stack([torch.randint(0, size, (2000,)) for size in layout.cardinalities], dim=1),
    }
    decoded = codec.decode(drawn)
    assert decoded["pay"].min() == 1, "the whole numbers within 0.25 .. 100.6"
    assert decoded["pay"].max() == 100
    days = pd.to_datetime(decoded["day"], format="%d.%m.%Y")
    assert (days.min(), days.max()) == (pd.Timestamp("1959-12-31"), pd.Timestamp("1960-03-04"))


def test_with_rare_below_what_a_person_says_stays_and_what_was_seen_does_not(table, wished):
    schema = wished("columns: {pay: {range: [0, 100.6]}}", rare_below=5)
    assert schema["pay"].minimum == 0
    assert schema["pay"].maximum == pytest.approx(table["pay"].iloc[-5:].mean(), abs=0.05)
