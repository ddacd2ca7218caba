"""What is left out or repeated, by hand and against SDMetrics."""

import numpy as np
import pandas as pd
import pytest

from synthgen.errors import SynthgenError
from synthgen.metrics.table.support import (
    Duplicates,
    category_coverage,
    duplicate_rows,
    missing_pattern_distance,
    missing_rates,
    range_coverage,
    rare_categories,
)
from tests.tables import people, schema_of


def test_coverage_by_hand():
    real = pd.DataFrame({"c": ["a", "b", "c", None], "x": [0.0, 10.0, np.nan, np.inf], "b": [True, False, True, True]})
    other = pd.DataFrame({"c": ["a", "z", None, "a"], "x": [2.0, 7.0, np.nan, 7.0], "b": [1, 1, 1, 1]})
    schema = schema_of(real)
    assert category_coverage(real, other, schema).to_dict() == pytest.approx({"c": 1 / 3, "b": 0.5})
    assert range_coverage(real, other, schema).to_dict() == {"x": 0.5}
    assert category_coverage(real, real, schema).to_dict() == {"c": 1, "b": 1}


@pytest.mark.parametrize(
    ("real", "synthetic", "expected"),
    [
        ([0, 10], [-5, 4], 0.4),
        ([0, 10], [-5, 50], 1),
        ([0, 10], [11, 20], 0),
        ([0, 10], [3, 3], 0),
        ([5, 5], [5, 5], 1),
        ([5, 5], [4, 6], 1),
        ([5, 5], [6, 6], 0),
        ([0, 10], [np.nan, np.inf], 0),
        ([np.nan, np.inf], [1, 2], 1),
    ],
)
def test_range_at_its_ends(real, synthetic, expected):
    real, synthetic = (pd.DataFrame({"x": np.array(side, float)}) for side in (real, synthetic))
    schema = schema_of(pd.DataFrame({"x": [0.0, 1.0]}))
    assert range_coverage(real, synthetic, schema)["x"] == pytest.approx(expected)


def test_coverage_is_sdmetrics(sdmetrics, kinds):
    real, other = people(900, 0), people(40, 1)
    other = other[other["job"] != "farm"]
    schema = schema_of(real)
    categories, ranges = category_coverage(real, other, schema), range_coverage(real, other, schema)
    assert categories["job"] < 1
    assert ranges["pay"] < 1
    theirs = sdmetrics("coverage", real, other, kinds(schema))
    assert {**categories, **ranges} == pytest.approx(
        {name: theirs[name] for name in [*categories.index, *ranges.index]}, abs=1e-9
    )


def test_dates_are_covered_by_their_range():
    real = pd.DataFrame({"day": pd.to_datetime(["2020-01-01", "2020-01-11"])})
    other = pd.DataFrame({"day": pd.to_datetime(["2020-01-03", "2020-01-08"]).astype("datetime64[s]")})
    assert range_coverage(real, other, schema_of(pd.DataFrame({"day": [0.0, 1.0]})))["day"] == pytest.approx(0.5)


def test_rare_categories_by_hand():
    real = pd.DataFrame({"c": ["a"] * 90 + ["b"] * 4 + ["c"] * 2 + [None] * 4, "d": [True] * 97 + [False] * 3})
    other = pd.DataFrame({"c": ["a"] * 48 + ["b"] * 1 + ["z"], "d": [1] * 47 + [0] * 3})
    found = rare_categories(real, other, schema_of(real))
    # b: 4 % to 2 %; c: 2 % to none; False: 3 % to 6 %.
    assert found.categories[["column", "category"]].to_numpy().tolist() == [["c", "c"], ["d", False], ["c", "b"]]
    assert found.categories["error"].tolist() == pytest.approx([1, 1, 0.5])
    assert found.error == pytest.approx(2.5 / 3)
    assert found.absent == pytest.approx(1 / 3)
    assert list(rare_categories(real, other, schema_of(real), share=0.03).categories["category"]) == ["c"]


def test_a_table_without_rare_categories_has_no_error():
    frame = pd.DataFrame({"c": ["a", "b"], "x": [0.0, 1.0], "none": [None, None]})
    found = rare_categories(frame, frame, schema_of(frame))
    assert np.isnan(found.error)
    assert np.isnan(found.absent)
    assert not len(found.categories)
    with pytest.raises(SynthgenError, match=r"in \(0, 1\], found share=5"):
        rare_categories(frame, frame, schema_of(frame), share=5)


def test_the_error_of_another_sample_is_what_chance_makes():
    random = np.random.default_rng(0)
    real, other = (pd.DataFrame({"c": random.integers(0, 100, 40_000).astype(str)}) for _ in range(2))
    # Two counts of 400: the mean of |N(0, 2 · 400)| / 400 is √(2 / π) · √800 / 400.
    assert rare_categories(real, other, schema_of(real)).error == pytest.approx(np.sqrt(1600 / np.pi) / 400, rel=0.2)


def test_a_hundred_thousand_categories():
    real = pd.DataFrame({"id": [f"r{i}" for i in range(100_000)]})
    other = pd.DataFrame({"id": [f"r{i}" for i in range(50_000, 150_000)]})
    schema = schema_of(real)
    assert category_coverage(real, other, schema)["id"] == 0.5
    found = rare_categories(real, other, schema)
    assert (found.error, found.absent) == pytest.approx((0.5, 0.5))


def test_rows_that_repeat_within_a_table():
    real = pd.DataFrame({"x": [1.0, 1.0, np.nan, np.nan], "c": ["a", "a", None, None]})
    other = pd.DataFrame({"c": pd.Categorical(["a", "b", "a", "a"]), "x": [1, 1, 1, 2]})
    assert duplicate_rows(real, other, schema_of(real)) == Duplicates(real=0.5, synthetic=0.25)


def test_the_larger_table_does_not_repeat_itself_more():
    random = np.random.default_rng(0)
    many, few = (pd.DataFrame({"c": random.integers(0, 1000, rows).astype(str)}) for rows in (20_000, 500))
    found = duplicate_rows(many, few, schema_of(many))
    assert found.real == pytest.approx(found.synthetic, abs=0.06)
    assert found == duplicate_rows(many, few, schema_of(many))
    assert found.real == duplicate_rows(few, many, schema_of(many)).synthetic


def test_missing_rates_by_hand():
    real = pd.DataFrame({"x": [1.0, np.nan, np.inf, 2.0], "c": ["a", None, "b", "b"], "full": [True] * 4})
    other = pd.DataFrame({"x": [np.nan, 1.0], "c": [None, None], "full": [True] * 2})
    table = missing_rates(real, other, schema_of(real))
    assert table["real"].to_dict() == {"x": 0.5, "c": 0.25, "full": 0}
    assert table["synthetic"].to_dict() == {"x": 0.5, "c": 1, "full": 0}
    assert table["difference"].to_dict() == {"x": 0, "c": 0.75, "full": 0}


def test_patterns_see_what_rates_do_not():
    together = pd.DataFrame({"x": [1.0, np.nan] * 50, "y": [1.0, np.nan] * 50, "z": np.arange(100.0)})
    apart = pd.DataFrame({"x": [1.0, np.nan] * 50, "y": [1.0, 1.0, np.nan, np.nan] * 25, "z": np.arange(100.0)})
    schema = schema_of(together)
    assert (missing_rates(together, apart, schema)["difference"] == 0).all()
    # Both or none in halves, against four quarters.
    assert missing_pattern_distance(together, apart, schema) == pytest.approx(0.5)
    assert missing_pattern_distance(together, together[::-1], schema) == 0
    assert missing_pattern_distance(together.fillna(0), together.fillna(1), schema) == 0


def test_patterns_of_a_hundred_columns():
    random = np.random.default_rng(0)
    real, other = (
        pd.DataFrame(np.where(random.random((400, 100)) < 0.5, np.nan, 1.0)).rename(columns=str) for _ in range(2)
    )
    schema = schema_of(pd.DataFrame(np.eye(100)).rename(columns=str))
    assert missing_pattern_distance(real, other, schema) == pytest.approx(1)  # no two rows alike
    assert missing_pattern_distance(real, real.sample(frac=1, random_state=0), schema) == pytest.approx(0)


def test_an_absent_column_is_named():
    real = people(20, 0)
    for measure in (category_coverage, range_coverage, rare_categories, duplicate_rows, missing_rates):
        with pytest.raises(SynthgenError, match="the synthetic table has no column 'age'"):
            measure(real, real.drop(columns="age"), schema_of(real))
    with pytest.raises(SynthgenError, match="the real table has no rows"):
        missing_pattern_distance(real[:0], real, schema_of(real))
