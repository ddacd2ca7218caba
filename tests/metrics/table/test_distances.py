"""Distances of rows, by hand."""

import numpy as np
import pandas as pd
import pytest

from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind, TableSchema
from synthgen.metrics.table.distances import RowEmbedding
from tests.tables import people, schema_of


def distances(real: pd.DataFrame, rows: pd.DataFrame, kinds: str = "") -> np.ndarray:
    """Between the first of `rows` and each of them."""
    schema = (
        TableSchema(tuple(Column(name, Kind(kinds), "object") for name in real.columns)) if kinds else schema_of(real)
    )
    points = RowEmbedding([real], schema).transform(rows)
    return np.linalg.norm(points - points[0], axis=1)


def test_numbers_are_as_far_apart_as_their_ranks():
    real = pd.DataFrame({"x": [0.0, 1.0, 1.0, 1.0, 1e9]})
    # Ranks 0, 2 and 4; 0.5 lies half-way between the first two.
    found = distances(real, pd.DataFrame({"x": [0.0, 0.5, 1.0, 1e9, 1.5e9, 1e30, -1e30]}))
    assert found == pytest.approx([0, 0.25, 0.5, 1, 1.5, 2, 1], abs=1e-6)


def test_different_categories_are_a_full_range_apart():
    real = pd.DataFrame({"c": ["a", "b", "c"], "b": [True, False, True], "k": ["same"] * 3})
    rows = pd.DataFrame({"c": ["a", "b", "new", None], "b": [True, False, False, True], "k": ["same"] * 3 + ["other"]})
    assert distances(real, rows) ** 2 == pytest.approx([0, 2, 2, 2])


def test_missing_and_infinite_are_one_value():
    real = pd.DataFrame({"x": [0.0, 1.0, 2.0]})
    found = distances(real, pd.DataFrame({"x": [np.nan, np.inf, 0.0, 1.0]}))
    assert found == pytest.approx([0, 0, 1, np.sqrt(0.75)])
    assert distances(real.assign(x=np.nan), real, "numerical") == pytest.approx([0, 0, 0])


def test_values_count_however_they_are_stored():
    real = people(50, 0)
    stored = real.assign(
        job=pd.Categorical(real["job"], categories=["shop", "office", "farm"]), married=real["married"].astype(object)
    )
    embedding = RowEmbedding([real], schema_of(real))
    np.testing.assert_array_equal(embedding.transform(real), embedding.transform(stored))
    assert embedding.transform(real).shape == (50, embedding.width)


def test_dates_are_numbers():
    real = pd.DataFrame({"d": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"])})
    assert distances(real, real, "numerical") == pytest.approx([0, 0.5, 1])


def test_a_hundred_thousand_categories_are_all_about_as_far_apart():
    real = pd.DataFrame({"id": [f"id {i}" for i in range(100_000)]})
    found = distances(real, real[:2000])
    assert found[0] == 0
    assert found[1:].mean() == pytest.approx(1, abs=0.02)
    assert found[1:].std() < 0.15
    assert found[1:].min() > 0.5
    embedding = RowEmbedding([real], schema_of(real))
    np.testing.assert_array_equal(
        embedding.transform(real[:5]), RowEmbedding([real], schema_of(real)).transform(real[:5])
    )


def test_ranks_and_categories_are_those_of_all_tables():
    both = [pd.DataFrame({"x": [0.0, 1.0], "c": ["a", "a"]}), pd.DataFrame({"x": [2.0, 3.0], "c": ["b", None]})]
    together = RowEmbedding([pd.concat(both)], schema_of(both[1]))
    rows = pd.concat(both)
    apart = RowEmbedding(both, schema_of(both[1]))
    for embedding in (together, apart):
        points = embedding.transform(rows)
        assert np.linalg.norm(points[0] - points[2]) ** 2 == pytest.approx(1 + (2 / 3) ** 2)


def test_errors():
    real = people(10, 0)
    with pytest.raises(SynthgenError, match="the given table has no column 'job'"):
        RowEmbedding([real], schema_of(real)).transform(real.drop(columns="job"))
    with pytest.raises(SynthgenError, match="the real table has no rows"):
        RowEmbedding([real[:0]], schema_of(real))
