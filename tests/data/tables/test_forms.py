"""Dates, huge numbers, very many words and identifiers: what becomes of them on the way to a model and back."""

import datetime
import json
import time
import uuid
import warnings
from io import StringIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.data.tables.codec import MISSING, TableCodec
from synthgen.data.tables.forms import MANY
from synthgen.data.tables.identifiers import new_identifiers
from synthgen.data.tables.schema import infer_schema
from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind

MONDAY = np.datetime64("2024-01-01")


def fitted(*columns, **named):
    frame = pd.DataFrame({**{f"c{i}": column for i, column in enumerate(columns)}, **named})
    return frame, TableCodec.fit(frame, infer_schema(frame))


def there_and_back(values):
    """Decoded by a codec that has been to JSON and back, as a checkpoint's is."""
    frame, codec = fitted(x=values)
    stored = TableCodec.from_dict(json.loads(json.dumps(codec.to_dict(), allow_nan=False)))
    assert stored.schema == codec.schema
    return stored.decode(codec.encode(frame))["x"]


def same(decoded, values):
    expected = pd.Series(values, name="x").reset_index(drop=True)
    assert decoded.dtype == expected.dtype
    if expected.dtype == object:
        decoded, expected = (side.where(side.notna(), np.nan) for side in (decoded, expected))
    pd.testing.assert_series_equal(decoded, expected)


# Dates

MOMENTS = st.datetimes(datetime.datetime(1930, 1, 1), datetime.datetime(2090, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0)
)


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("%Y-%m-%d", Kind.DATE),
        ("%d.%m.%Y", Kind.DATE),
        ("%m/%d/%Y", Kind.DATE),
        ("%Y-%m-%d %H:%M:%S", Kind.DATETIME),
        ("%Y-%m-%dT%H:%M", Kind.DATETIME),
        ("%d.%m.%Y %H:%M", Kind.DATETIME),
        ("%H:%M", Kind.TIME),
        ("%H:%M:%S", Kind.TIME),
        ("%-m/%-d/%Y", Kind.DATE),
        ("%-d.%-m.%Y", Kind.DATE),
        ("%d-%b-%Y", Kind.DATE),
        ("%B %d, %Y", Kind.DATE),
        ("%-I:%M %p", Kind.TIME),
        ("%-m/%-d/%Y %-H:%M", Kind.DATETIME),
        ("%m/%d/%Y %I:%M:%S %p", Kind.DATETIME),
        ("%Y-%m-%dT%H:%M:%SZ", Kind.DATETIME),
        ("%Y-%m-%d %H:%M:%S+00:00", Kind.DATETIME),
        ("%Y-%m-%dT%H:%M-0530", Kind.DATETIME),
    ],
)
@given(moments=st.lists(st.one_of(MOMENTS, st.none()), min_size=2, max_size=40))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_dates_in_text_are_recognised_and_written_back_as_they_were(written, kind, moments):
    # A day beyond the twelfth, without which a day may be a month.
    known = [(2024, 3, 31, 23, 58, 57), (2024, 3, 30, 12, 1, 2), (2024, 4, 5, 4, 5, 6)]
    moments = [*(datetime.datetime(*moment) for moment in known), *moments]
    values = pd.Series([moment and moment.strftime(written) for moment in moments] * 2, dtype="str")
    column = infer_schema(pd.DataFrame({"x": values}))["x"]
    assert (column.kind, column.format) == (kind, written)
    same(there_and_back(values), values)


@pytest.mark.parametrize(
    ("texts", "written"),
    [
        ([f"2024-03-{1 + i % 28:02d}T04:05:06.{i * 37 % 1000:03d}Z" for i in range(60)], "%Y-%m-%dT%H:%M:%S.%3fZ"),
        ([f"{1 + i % 28:02d}.03.2024 23:59:59.{i * 37 % 1000:03d}" for i in range(60)], "%d.%m.%Y %H:%M:%S.%3f"),
        ([f"2024{1 + i % 12:02d}{1 + i % 28:02d}" for i in range(60)], "%Y%m%d"),
    ],
)
def test_milliseconds_and_dates_of_digits_alone_are_moments(texts, written):
    values = pd.Series(texts, dtype="str")
    column = infer_schema(pd.DataFrame({"x": values}))["x"]
    assert column.format == written
    same(there_and_back(values), values)


def test_a_few_numbers_that_might_be_dates_are_words():
    assert infer_schema(pd.DataFrame({"x": ["20240101", "20230211", "19990909"]}))["x"].kind is Kind.CATEGORICAL


@pytest.mark.parametrize(
    "dtype", ["datetime64[s]", "datetime64[ms]", "datetime64[us]", "datetime64[ns]", "datetime64[us, UTC]"]
)
@given(moments=st.lists(st.one_of(MOMENTS, st.none()), min_size=2, max_size=40))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_timestamps_come_back_in_their_unit_and_zone(dtype, moments):
    values = pd.Series(pd.to_datetime([*moments, datetime.datetime(2024, 3, 31)], utc="UTC" in dtype)).astype(dtype)
    same(there_and_back(values), values)


def test_a_time_zone_is_learned_by_its_own_clock():
    values = pd.Series(pd.date_range("2024-03-01", periods=200, freq="6h", tz="Europe/Berlin"))
    same(there_and_back(values), values)
    times = fitted(x=values)[1].encodings["x"][2].values
    assert len(times) <= 8, "four times of day, before and after the clock is moved"


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([datetime.date(2024, 2, 29), None, datetime.date(1999, 1, 2)] * 3, dtype="object"),
        pd.Series(pd.to_timedelta([1, 90061, None], unit="s")),
        pd.Series(pd.to_timedelta([-1, 3, 5], unit="D")).astype("timedelta64[s]"),
        pd.Series([datetime.datetime(2024, 2, 29, 12, 30), None] * 3, dtype=pd.ArrowDtype(pa.timestamp("us"))),
        pd.Series([datetime.date(2024, 2, 29), None] * 3, dtype=pd.ArrowDtype(pa.date32())),
        pd.Series(["2024-02-01", "2023-12-01"] * 9, dtype="str"),
        pd.Series(["2024-02", "2023-12", None] * 9, dtype="str"),
        pd.Series([1.5, None, 2.25] * 9, dtype="float64[pyarrow]"),
        pd.Series([1, None, 2] * 9, dtype="int64[pyarrow]"),
        pd.Series([True, None, False] * 9, dtype="bool[pyarrow]"),
        pd.Series(["a", None, "b"] * 9, dtype=pd.ArrowDtype(pa.string())),
        pd.Series(["a", None, "b"] * 9, dtype="string"),
        pd.Series([1.5, None, 2.25] * 9, dtype="Float64"),
    ],
    ids=lambda values: str(values.dtype),
)
def test_a_column_comes_back_as_it_came(values):
    same(there_and_back(values), values)


@pytest.mark.parametrize("texts", [["2024-3-1", "2024-03-02"], ["12:30", "25:00"], ["2024-02-30", "2024-02-01"]])
def test_text_that_is_not_quite_a_date_is_words(texts):
    assert infer_schema(pd.DataFrame({"x": texts}))["x"].kind is Kind.CATEGORICAL


def test_months_are_not_taken_apart_into_weeks():
    column = infer_schema(pd.DataFrame({"x": ["2024-02-01", "2023-12-01"]}))["x"]
    assert (column.unit, column.minimum, column.maximum) == ("M", 54 * 12 - 1, 54 * 12 + 1)


def test_a_weekly_rhythm_is_a_variable_of_its_own():
    days = MONDAY + np.arange(700)
    frame, codec = fitted(day=pd.Series(days.astype("datetime64[s]")))
    encoded = codec.encode(frame)
    weekday = codec.encodings["day"][1]
    assert weekday.values == (0, 1, 2, 3, 4, 5, 6)
    assert torch.equal(encoded["categorical"][:, -1], torch.arange(700, dtype=torch.int32) % 7)


def test_whatever_is_drawn_of_a_date_lies_in_the_range_that_was_seen():
    rng = np.random.default_rng(0)
    frame, codec = fitted(x=pd.Series((MONDAY + rng.integers(0, 3000, 400)).astype("datetime64[s]")))
    layout = codec.layout
    drawn = {
        "numerical": 5 * torch.randn(500, layout.numerical),
        "categorical": torch.stack([torch.randint(0, size, (500,)) for size in layout.cardinalities], dim=1),
    }
    decoded = codec.decode(drawn)["x"]
    assert decoded.between(frame["x"].min(), frame["x"].max()).all()


def test_what_stands_beside_a_missing_date_says_nothing():
    rng = np.random.default_rng(0)
    days = pd.Series((MONDAY + 7 * rng.integers(0, 500, 4000) + rng.choice(7, 4000)).astype("datetime64[s]"))
    missing = rng.random(4000) < 0.5
    frame, codec = fitted(x=days.mask(missing))
    weekday = codec.encode(frame)["categorical"][:, -1].numpy()
    shares = [np.bincount(weekday[side], minlength=7) / side.sum() for side in (missing, ~missing)]
    assert np.abs(shares[0] - shares[1]).max() < 0.05
    assert codec.decode(codec.encode(frame))["x"].isna().eq(missing).all()


@pytest.mark.parametrize("as_text", [True, False])
def test_a_condition_on_a_date_gives_all_of_its_parts_and_comes_back_exactly(as_text):
    moments = pd.Series(pd.date_range("2024-01-01", periods=5000, freq="7h13min"))
    values = moments.dt.strftime("%d.%m.%Y %H:%M").astype("str") if as_text else moments
    _, codec = fitted(x=values.mask(np.arange(5000) % 10 == 0), y=np.arange(5000) % 3)
    condition = codec.encode_condition({"x": values[17]}, 2)
    known = condition["numerical_known"].sum() + condition["categorical_known"].sum()
    parts = len(codec.encodings["x"]) + sum(e.continuous and e.cardinality > 0 for e in codec.encodings["x"])
    assert known == 2 * parts
    decoded = codec.decode(condition, given=codec.given({"x": values[17]}, 2))
    assert decoded["x"].tolist() == [values[17]] * 2
    assert codec.decode(codec.encode_condition({"x": MISSING}, 2))["x"].isna().all()
    for wrong, message in (("2031-01-01" if not as_text else "01.01.2031 00:00", "outside"), ("soon", "expected a")):
        with pytest.raises(SynthgenError, match=f"condition x: .*{message}"):
            codec.encode_condition({"x": wrong}, 1)


# Whole numbers


@given(
    st.lists(st.integers(0, 10**6), min_size=2, max_size=60),
    st.sampled_from([(2**60, "int64"), (-(2**62), "Int64"), (2**63 + 5, "uint64"), (2**55, "int64[pyarrow]")]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_whole_numbers_beyond_2_to_the_53_keep_every_digit(offsets, huge):
    values = pd.Series([huge[0] + offset for offset in offsets], dtype=huge[1])
    same(there_and_back(values), values)


def test_a_few_numbers_from_end_to_end_of_64_bits_keep_every_digit():
    values = pd.Series([-(2**63), 2**63 - 1, 3, -(2**55) - 1] * 20)
    same(there_and_back(values), values)


# Very many words


@pytest.mark.parametrize("n", [MANY + 1, 5000, 200_000])
def test_very_many_words_are_two_digits(n):
    words = pd.Series([f"word {i:07d} x{i % 7}" for i in range(n)], dtype="str")
    frame = pd.DataFrame({"x": pd.concat([words, words.iloc[:3], pd.Series([None], dtype="str")], ignore_index=True)})
    codec = TableCodec.fit(frame, infer_schema(frame))
    layout = codec.layout
    assert layout.digits == (-1, 0)
    assert layout.ordered == (0, 0)
    assert max(layout.cardinalities) <= np.sqrt(n) + 2
    encoded = codec.encode(frame)
    pd.testing.assert_frame_equal(codec.decode(encoded), frame)
    assert len(encoded["categorical"][:100, 0].unique()) <= 4, "words that begin alike share the leading digit"


def test_digits_that_stand_for_nothing_are_the_nearest_word():
    _, codec = fitted(x=[f"{i:04d}-{i}" for i in range(1030)] * 2)
    lead, last = codec.layout.cardinalities
    assert lead * last > 1030
    drawn = {"numerical": torch.zeros(1, 0), "categorical": torch.tensor([[lead - 1, last - 1]], dtype=torch.int32)}
    assert codec.decode(drawn)["x"].tolist() == ["1029-1029"]


def test_a_condition_on_one_of_very_many_words_gives_both_digits():
    _, codec = fitted(x=np.repeat([f"{i:05d}" for i in range(3000)], 2), y=[1, 2] * 3000)
    condition = codec.encode_condition({"x": "00042"}, 3)
    assert condition["categorical_known"].sum(dim=0).tolist() == [3, 3, 0]
    assert codec.decode(condition)["x"].tolist() == ["00042"] * 3
    with pytest.raises(SynthgenError, match="condition x: training never saw '029980'; did you mean '02998'"):
        codec.encode_condition({"x": "029980"}, 1)


# Identifiers


def test_row_numbers_that_pandas_wrote_are_keys():
    written = pd.DataFrame({"a": np.arange(50) % 7}).to_csv()
    assert infer_schema(pd.read_csv(StringIO(written)))["Unnamed: 0"].kind is Kind.IDENTIFIER


@pytest.mark.parametrize(
    ("name", "values", "form"),
    [
        ("customer_id", pd.Series(np.arange(50) * 3 + 1000), r"\d+"),
        ("key", pd.Series([*range(49), None], dtype="Int64"), r"\d+"),
        ("order", pd.Series([f"AB-{i:06d}" for i in range(50)], dtype="str"), r"AB-\d{6}"),
        ("order", pd.Series([f"user{i}" for i in range(49)] + [None], dtype="object"), r"user\d+"),
        ("x", pd.Series([str(uuid.UUID(int=i, version=4)) for i in range(50)]), "[0-9a-f-]{14}4[0-9a-f-]{21}"),
        ("customer_id", pd.Series([*np.arange(1000.0, 1049.0), None]), r"\d+\.0"),
        ("x", pd.Series([str(uuid.UUID(int=i * 7**40 % 2**128, version=4)).upper() for i in range(50)]), "[0-9A-F-]+"),
        ("customer", pd.Series([f"{i * 7**15 % 16**6:06X}Q{i % 9}" for i in range(50)]), r"[0-9A-F]{6}Q\d"),
        ("invoice", pd.Series([f"R-{2019 + i % 3}/{i * 37:05d}" for i in range(50)]), r"R-20\d\d/0\d{4}"),
    ],
)
def test_identifiers_are_made_anew_in_their_form(name, values, form):
    frame, codec = fitted(**{name: values, "y": np.arange(50) % 2})
    assert codec.schema[name].kind is Kind.IDENTIFIER
    codec = TableCodec.from_dict(json.loads(json.dumps(codec.to_dict(), allow_nan=False)))
    encoded = codec.encode(frame)
    decoded = codec.decode(encoded, start=0, seed=1)[name]
    assert decoded.dtype == values.dtype
    assert decoded.isna().eq(values.isna()).all()
    made = decoded.dropna()
    assert made.is_unique
    assert not made.isin(values).any()
    assert made.astype(str).str.fullmatch(form).all()
    later = codec.decode({key: part[20:] for key, part in encoded.items()}, start=20, seed=1)[name]
    assert later.tolist()[:29] == decoded.tolist()[20:49], "a row has its key in whatever part it is drawn"
    with pytest.raises(SynthgenError, match="identifiers are made anew"):
        codec.encode_condition({name: values[0]}, 1)


def test_amounts_and_names_that_do_not_repeat_are_no_identifiers():
    frame = pd.DataFrame(
        {"amount": np.arange(100) * 17, "name": [chr(65 + i % 26) + chr(65 + i // 26) for i in range(100)]}
    )
    assert [column.kind for column in infer_schema(frame)] == [Kind.NUMERICAL, Kind.CATEGORICAL]


def test_words_of_one_length_and_codes_of_little_room_are_no_identifiers():
    words = ["apple", "grape", "lemon", "mango", "melon", "peach", "olive", "guava", "papaw", "berry"]
    frame = pd.DataFrame(
        {
            "fruit": [f"{a[:3]}{b[:2]}" for a in words for b in words[:5]],
            "code": [f"{i % 26 + 10:X}{i}"[-3:].rjust(3, "0") for i in range(50)],
            "gauge": [f"{i // 10}-{i % 10}" for i in range(50)],
        }
    )
    assert frame.nunique().eq(50).all()
    assert Kind.IDENTIFIER not in [column.kind for column in infer_schema(frame)]


def test_codes_do_not_repeat_before_all_of_their_form_were_drawn_and_say_nothing_of_their_order():
    column = Column("key", Kind.IDENTIFIER, "str", maximum=0, format="{A}{9}x{f}")
    drawn = new_identifiers(column, range(26 * 10 * 16), 3, 0)
    assert drawn.is_unique
    assert drawn.str.fullmatch("[A-Z][0-9]x[0-9a-f]").all()
    for place, size in ((0, 26), (1, 10), (3, 16)):
        order = pd.factorize(drawn.str[place], sort=True)[0]
        assert np.corrcoef(order[:-1], order[1:])[0, 1] == pytest.approx(0, abs=0.06)
        assert np.bincount(order, minlength=size).std() == 0
    assert new_identifiers(column, range(1000, 1010), 3, 0).tolist() == drawn[1000:1010].tolist()
    assert new_identifiers(column, range(50), 4, 0).tolist() != drawn[:50].tolist()
    with pytest.raises(SynthgenError, match="column 'key': there are 4,160 identifiers of the form"):
        new_identifiers(column, range(4161), 3, 0)


def test_uuids_are_of_version_4_and_many_take_no_time():
    column = Column("key", Kind.IDENTIFIER, "str", maximum=0, format="uuid4")
    begun = time.perf_counter()
    drawn = new_identifiers(column, range(300_000), 3, 0)
    assert time.perf_counter() - begun < 2
    assert drawn.is_unique
    read = [uuid.UUID(text) for text in drawn[:500]]
    assert [str(one) for one in read] == drawn[:500].tolist()
    assert {(one.version, one.variant) for one in read} == {(4, uuid.RFC_4122)}
    assert new_identifiers(column, range(1000, 1010), 3, 0).tolist() == drawn[1000:1010].tolist()


@pytest.mark.parametrize(
    ("name", "values", "warned"),
    [
        ("shop", [f"{'abcdefgh'[i % 8] * (i // 8 + 1)} & co" for i in range(120)], True),
        ("patient_id", [f"P{i % 130:05d}" for i in range(400)], True),
        ("patient_group", [f"P{i % 130:05d}" for i in range(400)], False),
        ("product_id", [f"P{i % 130:05d}" for i in range(4000)], False),
    ],
)
def test_words_that_name_rows_are_told_before_they_are_copied(name, values, warned):
    frame = pd.DataFrame({name: values, "y": np.arange(len(values)) % 2})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert infer_schema(frame)[name].kind is Kind.CATEGORICAL
    assert [f"column '{name}'" in str(warning.message) for warning in caught] == [True] * warned


def test_free_text_is_left_out_with_a_warning():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["the", "tooth", "hurts", "again", "today"], 9)) for _ in range(200)]
    with pytest.warns(UserWarning, match="column 'note': free text is left out"):
        schema = infer_schema(pd.DataFrame({"note": texts, "y": np.arange(200) % 2}))
    assert schema.names == ["y"]


# What a stored codec may not be


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("day", {"unit": "fortnight"}, "unit: found 'fortnight'"),
        ("day", {"minimum": 1.5}, "range"),
        ("day", {"minimum": 10**30}, "range"),
        ("day", {"format": 3}, "format: found 3"),
        ("day", {"dtype": "int64"}, "dtype"),
        ("day", {"unit": "s"}, "encodings: found 2, expected 3"),
        ("id", {"format": "{n:3}{n:3}"}, "format"),
        ("id", {"maximum": "many"}, "range"),
        ("id", {"missing_rate": 0.5}, "dtype"),
        ("long", {"maximum": 2**70}, "range"),
        ("long", {"dtype": "float64"}, "range"),
        ("word", {"categories": []}, "encodings: found 2, expected 1"),
    ],
)
def test_a_stored_codec_that_would_surprise_the_decoder_is_refused(column, change, message):
    _, codec = fitted(
        day=[str(MONDAY + i) for i in range(1100)],
        id=np.arange(1100),
        long=2**60 + np.arange(1100),
        word=[f"{'ab'[i % 2]}{i}c{i}" for i in range(1100)],
    )
    stored = json.loads(json.dumps(codec.to_dict()))
    next(c for c in stored["schema"]["columns"] if c["name"] == column).update(change)
    with pytest.raises(SynthgenError, match=f"column '{column}': {message}"):
        TableCodec.from_dict(stored)
