"""Three columns at a time, against pandas' own counts."""

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import pytest

from synthgen.errors import SynthgenError
from synthgen.metrics.table.fidelity import pair_trends
from synthgen.metrics.table.marginals import _triples, cell_codes, triple_marginals
from tests.tables import people, schema_of


def test_every_triple_against_pandas():
    real, other = people(900, 0), people(700, 1)
    found = triple_marginals(real, other, schema_of(real))
    cut = []
    for side in (real, other):
        side = side.copy()
        for name in ("age", "pay"):
            edges = np.linspace(real[name].min(), real[name].max(), 11)
            edges[[0, -1]] = -np.inf, np.inf
            side[name] = pd.cut(side[name], edges, right=False, labels=False)
        cut.append(side)
    assert found.possible == len(found.distances) == comb(6, 3)
    for names in combinations(real.columns, 3):
        p, q = (side.value_counts(list(names), normalize=True, dropna=False) for side in cut)
        p, q = p.align(q, fill_value=0)
        assert found.distances[names] == pytest.approx(np.abs(p - q).sum() / 2, abs=1e-12)
    assert found.error == pytest.approx(found.distances.mean())
    assert found.distances.is_monotonic_decreasing


def test_three_columns_show_what_pairs_hide():
    random = np.random.default_rng(0)
    a, b = random.integers(0, 2, (2, 4000))
    names = {0: "no", 1: "yes"}
    real = pd.DataFrame({"a": a, "b": b, "c": a ^ b}).replace(names)
    other = pd.DataFrame({"a": a, "b": b, "c": 1 - (a ^ b)}).replace(names)
    assert pair_trends(real, other, schema_of(real)).min().min() > 0.95
    found = triple_marginals(real, other, schema_of(real))
    assert found.error == found.distances["a", "b", "c"] == pytest.approx(1, abs=1e-12)


def test_beyond_the_number_a_seeded_draw():
    frame = pd.DataFrame({f"c{i}": list("ab") for i in range(12)})
    few = triple_marginals(frame, frame, schema_of(frame), triples=50, seed=1)
    assert len(few.distances) == 50
    assert few.possible == 220
    assert few.distances.index.equals(
        triple_marginals(frame, frame, schema_of(frame), triples=50, seed=1).distances.index
    )
    other = triple_marginals(frame, frame, schema_of(frame), triples=50, seed=2)
    assert set(few.distances.index) != set(other.distances.index)


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 9])
def test_all_triples_are_found_once(columns):
    assert [tuple(row) for row in _triples(columns, 1000, 0)] == list(combinations(range(columns), 3))


def test_drawn_triples_are_distinct_and_spread():
    drawn = _triples(300, 1000, 0)
    assert len({tuple(row) for row in drawn}) == 1000
    assert (np.diff(drawn, axis=1) > 0).all()
    # The middle of three of 0 .. 299 is 149.5 on average, with a standard error of 2.1.
    assert drawn[:, 1].mean() == pytest.approx(149.5, abs=8)


def test_fewer_than_three_columns_have_no_triple():
    frame = pd.DataFrame({"a": list("xy"), "b": [0.0, 1.0]})
    found = triple_marginals(frame, frame, schema_of(frame))
    assert np.isnan(found.error)
    assert (len(found.distances), found.possible) == (0, 0)


def test_columns_of_many_values_stay_in_proportion_to_the_rows():
    random = np.random.default_rng(0)
    real, other = (
        pd.DataFrame({name: random.integers(0, 100_000, 20_000).astype(str) for name in "abc"}) for _ in range(2)
    )
    schema = schema_of(real)
    assert triple_marginals(real, other, schema).error == pytest.approx(1, abs=1e-3)
    assert triple_marginals(real, real.sample(frac=1, random_state=0), schema).error == pytest.approx(0)


def test_bins_are_numpys_histogram():
    random = np.random.default_rng(0)
    for real in (random.integers(1, 100, 5000) / 1.0, np.round(random.normal(size=5000), 1), np.full(5, 0.1)):
        frame = pd.DataFrame({"x": real})
        schema = schema_of(pd.DataFrame({"x": [0.0, 1.0]}))
        (codes,), size = cell_codes([frame], schema["x"])
        np.testing.assert_array_equal(np.bincount(codes, minlength=size)[:-1], np.histogram(real, 10)[0])


def test_missing_everywhere_and_infinite_numbers():
    real = pd.DataFrame({"x": [np.nan, np.nan], "y": [0.0, np.inf], "c": ["a", None]})
    schema = schema_of(pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 1.0], "c": ["a", "b"]}))
    assert triple_marginals(real, real, schema).error == 0
    assert triple_marginals(real, real.assign(x=[5.0, 5.0]), schema).error == 1


def test_errors():
    frame = people(20, 0)
    with pytest.raises(SynthgenError, match="at least 1 triple"):
        triple_marginals(frame, frame, schema_of(frame), triples=0)
    with pytest.raises(SynthgenError, match="the real table has no column 'job'"):
        triple_marginals(frame.drop(columns="job"), frame, schema_of(frame))
