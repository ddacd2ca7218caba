"""Constraints that are kept by construction: whatever is drawn of the learned columns, rows obey."""

import json
import time
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch

from synthgen.data.tables.codec import MISSING, TableCodec
from synthgen.data.tables.constraints.given import Given
from synthgen.data.tables.constraints.kinds import read_constraint
from synthgen.data.tables.rebalancing import rebalanced
from synthgen.data.tables.schema import infer_schema
from synthgen.data.tables.wishes import Wishes
from synthgen.errors import SynthgenError

ROWS = 2000


def fitted(frame, *entries, rare_below=0):
    constraints = [read_constraint(entry, f"entry {i}") for i, entry in enumerate(entries, 1)]
    codec = TableCodec.fit(frame, infer_schema(frame, rare_below=rare_below), rare_below, constraints)
    return TableCodec.from_dict(json.loads(json.dumps(codec.to_dict())))


def shuffled(codec, frame, condition=None, n=ROWS, **options):
    """Rows kept of a model that draws every variable by itself, but for what a condition makes known."""
    encoded = {name: value[:n].clone() for name, value in codec.encode(frame).items()}
    generator = torch.Generator().manual_seed(1)
    for value in encoded.values():
        for j in range(value.shape[1]):
            value[:, j] = value[torch.randperm(len(value), generator=generator), j]
    given = None
    if condition is not None:
        known = codec.encode_condition(condition, n, **options)
        for name, value in encoded.items():
            encoded[name] = torch.where(known[f"{name}_known"], known[name], value)
        given = codec.given(condition, n)
    keeping = codec.keeping(given, alike=False)
    kept = np.ones(n, dtype=bool) if keeping is None else keeping.judge(encoded, np.arange(n))
    return codec.decode(encoded, given=given).loc[kept]


def with_holes(values, seed, dtype=None):
    missing = np.random.default_rng(seed).random(len(values)) < 0.2
    series = pd.Series(values, dtype=dtype)
    return series.where(~pd.Series(missing))


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    low = rng.integers(0, 300, ROWS)
    gaps = np.where(rng.random((2, ROWS)) < 0.3, 0, rng.integers(1, 40, (2, ROWS)))
    day = pd.Timestamp("2020-01-30") + pd.to_timedelta(low, unit="D")
    hours = pd.to_timedelta(rng.integers(0, 500, ROWS), unit="h")
    a, b, c = rng.gamma(2, 50, (3, ROWS)).round(2)
    city = rng.choice(list("ABCDEF"), ROWS, p=[0.3, 0.3, 0.2, 0.1, 0.05, 0.05])
    return pd.DataFrame(
        {
            "high": low + gaps.sum(axis=0),
            "low": low,
            "mid": low + gaps[0],
            "size": with_holes((low / 7).round(1), 1),
            "limit": with_holes((low / 7).round(1) + gaps[0].round(2) / 4, 2),
            "begin": pd.Series(day).dt.strftime("%d.%m.%Y"),
            "until": with_holes(pd.Series(day + hours), 3),
            "month": pd.Series((day + hours + pd.to_timedelta(31, unit="D")).strftime("%Y-%m")),
            "a": a,
            "b": with_holes(b, 4),
            "c": with_holes(np.where(rng.random(ROWS) < 0.5, 0.0, c), 5),
            "city": with_holes(city, 6, "str"),
            "country": pd.Series(city).map(dict(zip("ABCDEF", ["x", "x", "y", "y", "y", "z"]))),
            "founded": pd.Series(pd.to_datetime("1990-01-01") + pd.to_timedelta(pd.Series(city).map(ord), unit="D")),
        }
    ).assign(total=lambda t: with_holes((t.a + t.b.fillna(7) + t.c.fillna(0)).round(2), 7))


ENTRIES = {
    "whole": {"inequality": ["low", "mid", "high"]},
    "floats": {"inequality": ["size", "limit"]},
    "moments": {"inequality": ["begin", "until"]},
    "months": {"inequality": ["until", "month"]},
    "between": {"range": {"mid": ["low", "high"]}},
    "strict": {"inequality": {"columns": ["begin", "month"], "strict": False}},
    "sum": {"sum": {"total": ["a", "b", "c"]}},
    "combinations": {"fixed_combinations": ["city", "country", "founded"]},
}


@pytest.mark.parametrize("name", ENTRIES)
def test_whatever_is_drawn_obeys_and_what_was_encoded_comes_back(frame, name):
    if name == "months":  # the month that a moment lies in begins before it
        frame = frame[frame["until"].isna() | (pd.to_datetime(frame["month"]) >= frame["until"])].reset_index(drop=True)
    codec = fitted(frame, ENTRIES[name])
    pd.testing.assert_frame_equal(codec.decode(codec.encode(frame)), frame, atol=1e-9)
    rows = shuffled(codec, frame, n=len(frame))
    constraint = codec.obeyed.constraints[0]
    assert constraint.check(rows).all()
    assert len(rows) > 0.5 * len(frame)
    assert len(codec.obeyed.transforms) == 1
    # Shuffled columns of the table itself do not obey.
    rng = np.random.default_rng(0)
    assert not constraint.check(frame.apply(lambda column: rng.permutation(column))).all()
    for column in constraint.columns:
        assert rows[column].dtype == frame[column].dtype
        assert rows[column].isna().mean() == pytest.approx(frame[column].isna().mean(), abs=0.05)


def test_transforms_of_columns_apart_are_kept_together_and_others_are_judged(frame):
    frame = frame[(frame["low"] > 5) | (frame["a"] > 40)].reset_index(drop=True)
    entries = [ENTRIES[name] for name in ("whole", "floats", "sum", "combinations")]
    codec = fitted(frame, *entries, {"inequality": ["low", "high"]}, {"formula": "low > 5 or a > 40"})
    assert len(codec.obeyed.transforms) == 4
    rows = shuffled(codec, frame, n=len(frame))
    assert len(rows) > 300
    for constraint in codec.obeyed.constraints:
        assert constraint.check(rows).all()
    assert not shuffled(fitted(frame, *entries), frame, n=len(frame)).pipe(lambda t: (t.low > 5) | (t.a > 40)).all()


def test_missing_cells_keep_their_pattern(frame):
    for name in ("floats", "moments", "sum"):
        codec = fitted(frame, ENTRIES[name])
        assert codec.decode(codec.encode(frame)).isna().equals(frame.isna())


@pytest.mark.parametrize(
    ("name", "condition", "exact"),
    [
        ("whole", {"low": 100}, True),
        ("whole", {"low": 100, "mid": 120}, True),
        ("whole", {"mid": 120}, False),
        ("whole", {"high": 150}, False),
        ("whole", {"low": 100, "high": 150}, False),
        ("whole", {"low": 100, "mid": 100, "high": 100}, True),
        ("floats", {"size": MISSING, "limit": 20.5}, True),
        ("floats", {"size": 12.3}, True),
        ("floats", {"limit": 20.5}, False),
        ("moments", {"until": pd.Timestamp("2020-08-01 07:00")}, False),
        ("moments", {"begin": "01.08.2020", "until": pd.Timestamp("2020-08-01 07:00")}, True),
        ("moments", {"until": MISSING}, True),
        ("sum", {"total": 300.0}, False),
        ("sum", {"total": 300.0, "a": 120.5, "c": 0}, True),
        ("sum", {"total": 300.0, "b": MISSING}, False),
        ("sum", {"total": MISSING}, True),
        ("combinations", {"city": "C"}, True),
        ("combinations", {"country": "y"}, True),
        ("combinations", {"city": MISSING, "country": "y"}, True),
        ("combinations", {"country": "y", "low": 5}, False),
    ],
)
def test_conditions_are_met_to_the_last_digit_by_rows_that_obey(frame, name, condition, exact):
    codec = fitted(frame, ENTRIES[name])
    rows = shuffled(codec, frame, condition)
    assert codec.obeyed.constraints[0].check(rows).all()
    for column, value in condition.items():
        assert rows[column].isna().all() if value is MISSING else (rows[column] == value).all()
    share = len(rows) / ROWS
    assert share > 0.5 if exact else 0.001 < share < 0.6


def test_a_column_moves_little_where_a_later_one_is_given(frame):
    codec = fitted(frame, ENTRIES["whole"])
    rows = shuffled(codec, frame, {"high": 200})
    # Gaps stay as they were drawn: a third of them is 0.
    assert (rows["mid"] == rows["low"]).mean() == pytest.approx(0.3, abs=0.1)
    assert set((rows["high"] - rows["mid"]).unique()) <= set(range(40))


def test_one_of_several_combinations_is_drawn_in_their_shares(frame):
    codec = fitted(frame, ENTRIES["combinations"])
    rows = shuffled(codec, frame, {"country": "y"}, seed=3)
    expected = frame.loc[frame["country"] == "y", "city"].value_counts(normalize=True)
    assert rows["city"].value_counts(normalize=True).to_dict() == pytest.approx(expected.to_dict(), abs=0.04)
    whole = codec.encode_condition({"country": "y"}, 50, seed=3)["categorical"]
    part = codec.encode_condition({"country": "y"}, 20, seed=3, start=30)["categorical"]
    assert torch.equal(whole[30:], part)
    unknown = codec.encode_condition({"country": "y"}, 50, by_shares=False)
    assert not unknown["categorical_known"].any()
    assert rebalanced(codec, "country", None, 300, 0, 0)["country"].value_counts().min() > 70


def test_as_many_combinations_as_rows_that_want_one_take_no_square_of_them():
    n = 60_000
    number = np.arange(n) % 30_000
    frame = pd.DataFrame({"city": number.astype(str), "state": (number // 400).astype(str), "zone": number % 7})
    codec = fitted(frame, {"fixed_combinations": ["city", "state", "zone"]})
    wanted = frame[["city", "state"]].astype(object)
    wanted.loc[::3, "city"] = None  # several fit
    wanted.loc[::5, "state"] = None
    begun = time.perf_counter()
    encoded = codec.encode_condition(wanted, n, seed=1)
    assert time.perf_counter() - begun < 2.5
    decoded = codec.decode(encoded)
    assert (wanted.isna() | (decoded[["city", "state"]] == wanted)).all().all()
    assert codec.obeyed.holds(decoded).all()
    free = wanted["city"].isna() & wanted["state"].notna()
    assert decoded.loc[free, "city"].nunique() > 10_000


def test_a_seed_may_be_of_any_size(frame):
    codec = fitted(frame, ENTRIES["combinations"])
    first, again = (codec.encode_condition({"country": "x"}, 9, seed=2**64 + i)["categorical"] for i in (1, 1))
    assert torch.equal(first, again)


def test_every_row_has_a_condition_of_its_own(frame):
    codec = fitted(frame, ENTRIES["whole"], ENTRIES["sum"], ENTRIES["combinations"])
    asked = frame[["high", "mid", "total", "country"]].copy().astype({"mid": float})
    asked.loc[::2, "mid"] = np.nan
    rows = shuffled(codec, frame, asked)
    assert len(rows) > 5
    asked = asked.loc[rows.index]
    for name in asked:
        there = asked[name].notna()
        assert (rows.loc[there, name] == asked.loc[there, name]).all()


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"low": 100, "mid": 50}, r"low=100, mid=50: contradicts the constraint `inequality: \[low, mid, high\]`"),
        ({"low": 100, "high": 50}, r"condition low=100, high=50: contradicts the constraint `inequality"),
        ({"total": 50.0, "a": 60.0, "c": 10.0}, r"total=50.0, a=60.0, c=10.0: by the constraint `sum: .* leaves -20"),
        ({"total": 90.0, "a": 60.0, "b": 10.0, "c": 10.0}, "contradicts the constraint `sum: {total:"),
        ({"a": 5000.0}, r"condition a=5000.0: contradicts the constraint `range: {a: \[0, 1000\]}`"),
        ({"city": "A", "country": "y"}, r"condition city=A, country=y: contradicts the constraint `fixed_combinations"),
        ({"low": 3, "a": 30.0}, "condition low=3, a=30.0: contradicts the constraint `formula: low > 5 or a > 40`"),
        ({"low": MISSING}, "condition low: asks for a missing cell, but training saw none"),
        ({"mid": MISSING}, r"condition mid=missing: contradicts the constraint `not_null: \[a, mid\]`"),
        ({"city": "Q"}, "condition city: training never saw 'Q'"),
        ({"high": 10_000}, "condition high: .* is outside"),
    ],
)
def test_a_contradiction_names_both(frame, condition, message):
    frame = frame[(frame["low"] > 5) | (frame["a"] > 40)]
    codec = fitted(
        frame,
        *(ENTRIES[name] for name in ("whole", "sum", "combinations")),
        {"formula": "low > 5 or a > 40"},
        {"range": {"a": [0, 1000]}},
        {"not_null": ["a", "mid"]},
    )
    with pytest.raises(SynthgenError, match=message):
        codec.encode_condition(condition, 3)


def test_a_row_that_contradicts_is_named(frame):
    codec = fitted(frame, ENTRIES["whole"])
    rows = pd.DataFrame({"low": [1, 100, np.nan], "high": [5, 50, 3]})
    with pytest.raises(SynthgenError, match=r"low=100, high=50 \(row 2\): contradicts"):
        codec.encode_condition(rows, 3)


def test_rare_combinations_are_not_kept():
    frame = pd.DataFrame({"a": ["p"] * 50 + ["q"] * 30 + ["p"], "b": [1.0] * 50 + [2.0] * 30 + [3.0], "c": range(81)})
    codec = fitted(frame, {"fixed_combinations": ["a", "b"]}, rare_below=5)
    assert "3.0" not in json.dumps(codec.to_dict()["constraints"]["entries"])
    decoded = codec.decode(codec.encode(frame))
    assert decoded.loc[80, ["a", "b"]].tolist() == ["p", 1.0]
    pd.testing.assert_frame_equal(decoded.loc[:79, ["a", "b"]], frame.loc[:79, ["a", "b"]])


def test_a_combination_that_was_never_seen_is_told(frame):
    codec = fitted(frame, ENTRIES["combinations"])
    with pytest.raises(SynthgenError, match=r"\['city', 'country', 'founded'\]: .* is not among the combinations"):
        codec.encode(frame.assign(country="z"))


def test_a_range_that_a_person_widened_still_ends_where_the_constraint_says():
    rng = np.random.default_rng(0)
    low = rng.integers(18, 99, ROWS)
    frame = pd.DataFrame({"low": low, "high": np.minimum(low + rng.integers(0, 40, ROWS), 99)})
    entries = [{"inequality": ["low", "high"]}, {"range": {"high": [18, 99]}}]
    constraints = [read_constraint(entry, "here") for entry in entries]
    schema = infer_schema(frame, wanted=Wishes(columns={"high": {"range": [0, 200]}}))
    rows = shuffled(TableCodec.fit(frame, schema, 0, constraints), frame)
    assert rows["high"].max() == 99


@pytest.mark.parametrize(
    ("ranges", "condition", "message"),
    [
        (
            {},
            {"a": 700.0},
            r"condition a=700.0: by the constraint `sum: .* come to at least 70\d.*, and 't' to at most 39",
        ),
        ({}, {"a": 300.0}, None),
        ({"t": [0, 1000]}, {"t": 900.0, "b": 80.0}, None),
        (
            {"t": [0, 1200]},
            {"t": 1100.0, "b": 80.0},
            r"condition t=1100.0, b=80.0: .* at most 980.0, and 't' to at least 1100",
        ),
        ({"t": [0, 1200]}, {"t": 1150.0}, r"condition t=1150.0: .* at most 1\d\d\d.*, and 't' to at least 1150"),
    ],
)
def test_parts_of_widened_ranges_reach_no_further_than_their_total(ranges, condition, message):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(1, 200, (2, ROWS)).round(1)
    wanted = Wishes(columns={name: {"range": ends} for name, ends in {"a": [0, 900], **ranges}.items()})
    frame = pd.DataFrame({"t": (a + b).round(1), "a": a, "b": b})
    constraint = read_constraint({"sum": {"t": ["a", "b"]}}, "here")
    codec = TableCodec.fit(frame, infer_schema(frame, wanted=wanted), 0, [constraint])
    with nullcontext() if message is None else pytest.raises(SynthgenError, match=message):
        codec.encode_condition(condition, 2)


@pytest.mark.parametrize("dtype", ["int8", "Int8", "int8[pyarrow]", "uint8[pyarrow]"])
def test_what_a_dtype_cannot_hold_is_not_kept(dtype):
    low = np.random.default_rng(0).integers(0, 120, ROWS)
    frame = pd.DataFrame({"low": low, "high": np.maximum(low, low[::-1]), "part": 120 - low, "half": low / 2 // 1})
    frame = frame.assign(total=frame["part"] + frame["half"])
    frame = frame.astype({"low": dtype, "high": dtype, "part": dtype, "total": dtype})
    codec = fitted(frame, {"inequality": ["low", "high"]}, {"sum": {"total": ["part", "half"]}})
    rows = shuffled(codec, frame)
    assert 100 < len(rows) < ROWS
    assert (rows["low"] <= rows["high"]).all()
    assert (rows["total"].astype(float) == rows["part"].astype(float) + rows["half"]).all()
    assert rows.dtypes.equals(frame.dtypes)


def test_combinations_come_back_in_their_dtypes_whatever_their_size():
    rng = np.random.default_rng(0)
    place = rng.integers(0, 3, 300)
    frame = pd.DataFrame(
        {
            "size": pd.Categorical.from_codes(place, ["s", "m", "l", "xl"], ordered=True),
            "mass": np.array([6.4e23, 5.97e24, 1.9e27])[place],
            "huge": np.array([3, 2**63, 2**63 + 7], dtype=np.uint64)[place],
        }
    )
    codec = fitted(frame, {"fixed_combinations": ["size", "mass", "huge"]})
    pd.testing.assert_frame_equal(codec.decode(codec.encode(frame)), frame)


def test_keys_of_which_some_are_missing_are_unique_by_themselves():
    key = pd.Series([f"A{i:04d}" for i in range(400)]).where(np.arange(400) % 9 > 0)
    codec = fitted(pd.DataFrame({"key": key, "x": np.arange(400) % 7}), {"unique": "key"})
    assert codec.schema["key"].kind == "identifier"
    assert codec.keeping(None, alike=True) is None


def test_without_constraints_nothing_is_judged(frame):
    codec = fitted(frame)
    assert codec.keeping(None, alike=True) is None
    assert codec.keeping(codec.given({"low": 3}, 2), alike=True) is None
    assert codec.obeyed.learned == codec.schema
    always = fitted(frame, {"not_null": "low"}, {"range": {"low": [0, 400]}}, ENTRIES["combinations"])
    assert always.keeping(None, alike=True) is None
    assert Given.nothing(3).count(["low"]).tolist() == [0, 0, 0]
