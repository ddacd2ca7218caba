"""Every type that pandas may bring comes back as it came, or is refused by one clear error."""

import datetime
import json
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.data.tables import codec as blocks
from synthgen.data.tables.codec import TableCodec
from synthgen.data.tables.schema import infer_schema, measured_schema
from synthgen.errors import SynthgenError
from synthgen.layout import RARE, Kind

N = 12
DAY = datetime.date(2020, 1, 1)
WORDS = ["None", "NA", "", "nan", "null", None, "NaN", "<NA>", "#N/A"]


def arrow(values, kind):
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


def there_and_back(values, rare_below=0):
    frame = pd.DataFrame({"x": values})
    schema = infer_schema(frame, rare_below=rare_below)
    codec = TableCodec.fit(frame, schema, rare_below)
    codec = TableCodec.from_dict(json.loads(json.dumps(codec.to_dict(), allow_nan=False)))
    assert codec.schema == schema
    return codec.decode(codec.encode(frame))["x"]


def same(decoded, values):
    expected = pd.Series(values, name="x").reset_index(drop=True)
    assert decoded.dtype == expected.dtype
    if expected.dtype == object:
        decoded, expected = (side.where(side.notna(), np.nan) for side in (decoded, expected))
        assert decoded.map(type).tolist() == expected.map(type).tolist()
    pd.testing.assert_series_equal(decoded, expected)


COMES_BACK = {
    "words and numbers": pd.Series([1, "1", 1.5, None, "x"] * N, dtype="object"),
    "words that look missing": pd.Series(WORDS * N, dtype="str"),
    "objects that look missing": pd.Series(WORDS * N, dtype="object"),
    "postcodes": pd.Series(["01067", "00123", "80331"] * N),
    "spaces": pd.Series([" a", "a", "a "] * N),
    "zero bytes": pd.Series(["a\0b", "a", "\0"] * N),
    "compositions": pd.Series(["é", "e\u0301", "\u200b"] * N),
    **{
        f"all missing, {dtype}": pd.Series([None] * N, dtype=dtype)
        for dtype in ("float64", "object", "str", "Int64", "category", "boolean", "datetime64[ns]", "timedelta64[us]")
    },
    "all missing, arrow": arrow([None] * N, pa.null()),
    "one row": pd.Series([5]),
    "one date": pd.Series([pd.Timestamp("2020-01-01")]),
    "one text": pd.Series(["2020-01-01"]),
    "always one moment": pd.Series([pd.Timestamp("2020-01-01 12:00", tz="Europe/Berlin")] * N),
    "always one date": pd.Series([DAY] * N, dtype="object"),
    "always one length": pd.Series([pd.Timedelta("1D")] * N),
    "always one large number": pd.Series([2**64 - 1] * N, dtype="uint64"),
    "booleans, some missing": pd.Series([True, False, None] * N, dtype="object"),
    "nullable booleans": pd.Series([True, False, None] * N, dtype="boolean"),
    "a choice of booleans": pd.Series([True, False] * N, dtype="category"),
    "nullable bytes": pd.Series([1, None, 255] * N, dtype="UInt8"),
    "nullable singles": pd.Series([1.5, None, 2.25] * N, dtype="Float32"),
    "halves": pd.Series(np.array([1.5, 2.5, 65504] * N, dtype="float16")),
    "strings": pd.Series(["a", None, ""] * N, dtype="string"),
    "python strings": pd.Series(["a", None, ""] * N, dtype="string[python]"),
    "levels in order": pd.Series(pd.Categorical(["lo", "hi", None] * N, ["lo", "mid", "hi"], ordered=True)),
    "levels of their own": pd.Series(pd.Categorical(["b", "a"] * N, ["z", "b", "a"])),
    "one of two levels": pd.Series(pd.Categorical(["b"] * N, ["b", "a"])),
    "a choice of numbers": pd.Series(pd.Categorical([3, 1, None] * N)),
    "a choice of dates in text": pd.Series(["2020-01-01", "2020-01-02"] * N, dtype="category"),
    "arrow bytes": arrow([1, None, 3] * N, pa.int8()),
    "arrow numbers": arrow([2**64 - 1, None, 3] * N, pa.uint64()),
    "arrow large strings": arrow(["a", None, "b"] * N, pa.large_string()),
    "arrow moments": arrow(pd.date_range("2020-01-01", periods=30, freq="7h"), pa.timestamp("us", tz="Europe/Berlin")),
    "arrow lengths": arrow(pd.to_timedelta(np.arange(30), unit="h"), pa.duration("us")),
    "arrow far dates": arrow([datetime.date(1, 1, 1), datetime.date(9999, 12, 31), None] * N, pa.date32()),
    "far dates": pd.Series([datetime.date(1, 1, 1), datetime.date(9999, 12, 31), None] * N, dtype="object"),
    "far seconds": pd.Series(np.array(["0001-01-01", "9999-12-31"] * N, dtype="datetime64[s]")),
    "far microseconds": pd.Series(np.array(["0001-01-01T00:00:00.000001", "9999-12-31"] * N, dtype="datetime64[us]")),
    "before 1970": pd.Series(pd.date_range("1905-01-01", periods=50, freq="11D3h")),
    "nanoseconds": pd.Series(pd.to_datetime(np.arange(40) * 10**6 + 17)),
    "a clock that is moved": pd.Series(pd.date_range("2020-10-24", periods=40, freq="1h", tz="Asia/Kolkata")),
    "a fixed zone": pd.Series(pd.date_range("2020-01-01", periods=30, freq="7h", tz="+05:30")),
    "negative lengths": pd.Series(pd.to_timedelta([-1.5, 2, 3] * N, unit="h")),
    "far lengths": pd.Series(np.array([10**12, 5, -(10**12)] * N, dtype="m8[s]")),
    "from end to end": pd.Series([-(2**63), None, 2**63 - 1] * N, dtype="Int64"),
    "negative zero": pd.Series([-0.0, 0.0, 1.5] * N),
    "the smallest": pd.Series([5e-324, 1e-323, 0] * N),
}


@pytest.mark.parametrize("name", COMES_BACK)
def test_a_column_comes_back_as_it_came(name):
    same(there_and_back(COMES_BACK[name]), COMES_BACK[name])


REFUSED = {
    "of type Decimal.*astype": pd.Series([Decimal("1.5"), Decimal(2)] * N),
    "of type datetime.*pd.to_datetime": pd.Series([datetime.datetime(2020, 1, 1, 5)] * N, dtype="object"),
    "of type date.*": pd.Series([DAY, datetime.datetime(2020, 1, 1)] * N, dtype="object"),
    "of type Timedelta.*pd.to_timedelta": pd.Series([pd.Timedelta(1), pd.Timedelta(2)] * N, dtype="object"),
    "of type time.*": pd.Series([datetime.time(1, 2), datetime.time(3)] * N, dtype="object"),
    "of type Period.*to_timestamp": pd.Series(pd.period_range("2020-01", periods=N, freq="M")),
    "of type Interval": pd.Series(pd.cut(np.arange(30), 3)),
    "of type Timestamp": pd.Series(pd.Categorical(pd.to_datetime(["2020-01-01", "2021-01-01"]))),
    "of type UUID": pd.Series([uuid.uuid4() for _ in range(30)]),
    "of type tuple": pd.Series([(1, 2), (3, 4)]),
    "the type complex128": pd.Series([1 + 2j, 3]),
    "the type decimal128": arrow([Decimal("1.50"), Decimal("2.25")], pa.decimal128(10, 2)),
    "the type dictionary": arrow(["a", "b"], pa.dictionary(pa.int32(), pa.string())),
    "the type halffloat": arrow(np.array([1.5, 2.5], dtype="float16"), pa.float16()),
    "the type date64": arrow([DAY, datetime.date(2021, 1, 1)], pa.date64()),
    "list<item: int64>": arrow([[1], [2]], pa.list_(pa.int64())),
    "infinite values": pd.Series([1.5, np.inf, None], dtype="Float64"),
    "an infinite number among words": pd.Series([1.5, np.inf, "a"], dtype="object"),
    "text that is not Unicode": pd.Series(["\ud800", "b"] * N, dtype="object"),
    "times farther away than us": pd.Series(np.array([10**15, 5], dtype="datetime64[s]")),
    "times farther away than us ": pd.Series(np.array([10**15, 5], dtype="m8[s]")),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_no_codec_knows_is_one_error_that_names_the_column(message):
    with pytest.raises(SynthgenError, match=f"column 'x': found .*{message.strip()}"):
        infer_schema(pd.DataFrame({"x": REFUSED[message]}))


@given(st.lists(st.datetimes(), min_size=2, max_size=30), st.sampled_from(["s", "ms", "us"]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_moments_from_year_1_to_9999_come_back(moments, unit):
    values = pd.Series(np.array(moments, dtype=f"datetime64[{unit}]"))
    same(there_and_back(values), values)


@given(st.lists(st.one_of(st.dates(), st.none()), min_size=2, max_size=30).filter(any))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_dates_from_year_1_to_9999_come_back(dates):
    values = pd.Series(dates, dtype="object")
    same(there_and_back(values), values)


@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_choice_keeps_its_levels_and_their_order(data):
    levels = data.draw(st.lists(st.sampled_from(["", "a", "b", "c", "lo", "hi", "É"]), min_size=1, unique=True))
    cells = data.draw(st.lists(st.one_of(st.sampled_from(levels), st.none()), min_size=1, max_size=20))
    values = pd.Series(pd.Categorical(cells, levels, ordered=data.draw(st.booleans())))
    same(there_and_back(values), values)


def test_rare_levels_are_not_kept():
    values = pd.Series(pd.Categorical(["lo", "hi"] * 9 + ["secret"], ["lo", "none", "secret", "hi"], ordered=True))
    decoded = there_and_back(values, rare_below=3)
    assert decoded.cat.categories.tolist() == ["lo", "hi", RARE]
    assert decoded.cat.ordered


def test_five_hundred_columns():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"c{i}": rng.integers(0, 3, 40) if i % 2 else rng.choice(list("ab"), 40) for i in range(500)})
    codec = TableCodec.fit(frame, infer_schema(frame))
    pd.testing.assert_frame_equal(codec.decode(codec.encode(frame)), frame)


# Keys


def test_uuids_of_two_columns_differ_and_are_no_free_text():
    frame = pd.DataFrame(
        {name: [str(uuid.UUID(int=i * 7919 + j, version=4)) for i in range(150)] for j, name in enumerate("ab")}
    )
    codec = TableCodec.fit(frame, infer_schema(frame))
    decoded = codec.decode(codec.encode(frame))
    assert [column.kind for column in codec.schema] == [Kind.IDENTIFIER] * 2
    assert not decoded["a"].isin(decoded["b"]).any()


@pytest.mark.parametrize(
    ("dtype", "wide"), [("int8", "int64"), ("UInt16", "UInt64"), ("int32[pyarrow]", "int64[pyarrow]")]
)
def test_narrow_keys_have_room_for_new_ones(dtype, wide):
    frame = pd.DataFrame({"id": pd.Series(np.arange(100), dtype=dtype)})
    codec = TableCodec.fit(frame, infer_schema(frame))
    rows = {"numerical": torch.zeros(500, 0), "categorical": torch.zeros(500, 0, dtype=torch.int32)}
    drawn = codec.decode(rows, start=10**6)["id"]
    assert drawn.dtype == wide
    assert drawn.tolist() == list(range(10**6 + 100, 10**6 + 600))


def test_keys_below_nothing_or_without_room_above_are_numbers():
    for values in (np.arange(-100, 0), 2**62 + np.arange(100)):
        assert infer_schema(pd.DataFrame({"id": values}))["id"].kind is Kind.NUMERICAL


# Blocks


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    n = 1000
    missing = rng.random(n) < 0.2
    return pd.DataFrame(
        {
            "number": pd.Series(rng.gamma(2, 10, n)).mask(missing),
            "mass": np.where(rng.random(n) < 0.3, 0, rng.gamma(2, 10, n)),
            "day": pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 10**8, n), unit="s")).mask(
                rng.random(n) < 0.3
            ),
            "digits": pd.Series([f"word {i:05d} {i % 7}" for i in rng.permutation(1200)[:n]]).mask(missing),
            "choice": pd.Series(["a"] * 500 + ["b", "c"] * 250, dtype="category"),
            "levels": pd.Series(pd.Categorical(["lo"] * 500 + ["hi"] * 500, ["lo", "hi"], ordered=True)),
            "email": pd.Series([f"person{i}x@example.com" for i in range(n)]).mask(missing),
            "id": [f"AB-{i:06d}" for i in range(n)],
            "always": "here",
        }
    )


@pytest.mark.parametrize("size", [37, 300, 999])
def test_rows_in_blocks_are_the_rows_at_once_to_the_bit(table, size, monkeypatch):
    codec = TableCodec.fit(table, infer_schema(table))
    encoded = codec.encode(table)
    decoded = codec.decode(encoded, start=5, seed=3)
    monkeypatch.setattr(blocks, "_BLOCK", size)
    for name, tensor in codec.encode(table).items():
        assert torch.equal(tensor, encoded[name])
    pd.testing.assert_frame_equal(codec.decode(encoded, start=5, seed=3), decoded)


# Conditions


def test_a_condition_means_the_value_itself_before_one_that_is_written_alike():
    frame = pd.DataFrame({"x": pd.Series([1, "1", "a"] * N, dtype="object")})
    codec = TableCodec.fit(frame, infer_schema(frame))
    for wanted in (1, "1", "a"):
        assert codec.decode(codec.encode_condition({"x": wanted}, 1))["x"].tolist() == [wanted]


def test_metrics_refuse_the_same_types():
    with pytest.raises(SynthgenError, match="column 'x': found a value of type Decimal"):
        measured_schema(pd.DataFrame({"x": [Decimal(1), Decimal(2)]}))


def test_keys_that_are_a_choice_are_read_back():
    frame = pd.DataFrame({"id": pd.Categorical([f"A{i:04d}" for i in range(100)]), "x": np.arange(100) % 7})
    codec = TableCodec.fit(frame, infer_schema(frame))
    assert codec.schema["id"].kind == "identifier"
    read = TableCodec.from_dict(json.loads(json.dumps(codec.to_dict())))
    assert read.decode(codec.encode(frame))["id"].dtype == "category"
