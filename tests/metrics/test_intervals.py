"""Intervals hold what they promise, and stay within a figure's range."""

import math

import numpy as np
import pytest

from synthgen.metrics.intervals import bootstrapped, clustered_proportion, proportion


def test_a_mean_has_the_interval_of_its_standard_error():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = bootstrapped(lambda rows: float(values[rows].mean()), len(values), resamples=2000)
    assert found.value == pytest.approx(values.mean())
    expected = 1.96 * values.std(ddof=1) / 20
    assert found.high - found.value == pytest.approx(expected, rel=0.1)
    assert found.value - found.low == pytest.approx(expected, rel=0.1)


def test_nineteen_of_twenty_intervals_hold_the_truth():
    random = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        values = random.exponential(1.0, 80)
        found = bootstrapped(lambda rows, values=values: float(values[rows].mean()), 80, seed=seed, resamples=100)
        held += found.low <= 1.0 <= found.high
    assert 178 <= held <= 199


def test_the_interval_of_a_distance_is_around_it_and_within_its_range():
    """The total variation of resamples from a sample is larger than that of the sample, which must move nothing."""
    random = np.random.default_rng(2)
    real, synthetic = random.integers(0, 50, 300), random.integers(0, 50, 300)

    def variation(rows):
        shares = [np.bincount(codes, minlength=50) / len(codes) for codes in (real, synthetic[rows])]
        return float(np.abs(shares[0] - shares[1]).sum() / 2)

    found = bootstrapped(variation, 300, limits=(0.0, 1.0))
    assert found.low < found.value < found.high
    assert found.value - found.low == pytest.approx(found.high - found.value)
    nearly_all = np.arange(300) > 0
    assert bootstrapped(lambda rows: float(nearly_all[rows].mean()), 300, limits=(0.0, 1.0)).high == 1.0


def test_one_seed_gives_one_interval():
    values = np.random.default_rng(3).normal(size=50)
    first, again, other = (bootstrapped(lambda rows: float(values[rows].mean()), 50, seed=seed) for seed in (4, 4, 5))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (200, 1000, 0.1764, 0.2259)],
)
def test_shares_have_wilsons_interval(hits, trials, low, high):
    found = proportion(hits, trials)
    assert found.value == hits / trials
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_a_share_of_nothing_is_undefined():
    found = proportion(0, 0)
    assert math.isnan(found.value)
    assert (found.low, found.high) == (0, 1)


def test_rows_of_one_cluster_are_one_witness():
    random = np.random.default_rng(0)
    hits = random.random(400) < 0.3
    alone = clustered_proportion(hits, np.arange(400))
    assert alone.value == hits.mean()
    plain = proportion(int(hits.sum()), 400)
    assert (alone.low, alone.high) == pytest.approx((plain.low, plain.high), abs=1e-3)
    # Ten copies of forty rows say as much as forty rows.
    few = clustered_proportion(np.repeat(hits[:40], 10), np.repeat(np.arange(40), 10))
    expected = proportion(int(hits[:40].sum()), 40)
    assert (few.low, few.high) == pytest.approx((expected.low, expected.high), abs=0.01)
    none = clustered_proportion(np.zeros(50, bool), np.arange(50) // 5)
    assert (none.value, none.low) == (0, 0)
    assert 0 < none.high < 0.1
