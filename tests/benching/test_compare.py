import numpy as np
import pytest

from scripts.benching.compare import no_worse


def by_seed(values):
    return dict(enumerate(values))


def test_the_interval_is_students_of_the_paired_differences():
    found = no_worse(by_seed([0.10, 0.12, 0.11]), by_seed([0.09, 0.12, 0.13]), margin=0.1, better="lower")
    # Differences 0.01, 0, -0.02: mean -1/300, deviation 0.0152753, and t(0.975, 2) = 4.302653 by the tables.
    reach = 4.302653 * 0.0152753 / np.sqrt(3)
    assert found.worse == pytest.approx(-1 / 300)
    assert (found.low, found.high) == pytest.approx((-1 / 300 - reach, -1 / 300 + reach), abs=1e-6)
    assert found.seeds == 3


def test_pairs_and_not_sides_are_compared():
    theirs = [0.1, 0.5, 0.9]
    found = no_worse(by_seed(np.add(theirs, [0.001, 0.002, 0.0015])), by_seed(theirs), 0.01, "lower")
    assert found.holds  # although seeds differ by far more than the margin
    assert found.worse == pytest.approx(0.0015)


@pytest.mark.parametrize(
    ("better", "ours", "holds"),
    [("lower", 0.8, False), ("higher", 0.8, True), ("0.5", 0.4, True), ("0.5", 0.1, False), ("1", 0.9, True)],
)
def test_which_way_is_better_is_heeded(better, ours, holds):
    noise = [0.0, 0.001, 0.002]
    found = no_worse(by_seed(np.add(ours, noise)), by_seed(np.add(0.65, noise)), 0.05, better)
    assert found.holds is holds


def test_the_interval_must_exclude_the_margin_not_just_the_mean():
    ours, theirs = [0.10, 0.20, 0.12], [0.10, 0.10, 0.14]
    assert no_worse(by_seed(ours), by_seed(theirs), 0.1, "lower").worse < 0.1
    assert not no_worse(by_seed(ours), by_seed(theirs), 0.1, "lower").holds


def test_seeds_that_one_side_lacks_do_not_count():
    assert no_worse({0: 0.1, 1: 0.1, 5: 9.0}, {0: 0.1, 1: 0.1, 6: 0.0}, 0.01, "lower").seeds == 2
    assert no_worse({0: 0.1, 1: 0.1}, {1: 0.1, 2: 0.1}, 0.01, "lower") is None


def test_methods_that_do_not_depend_on_the_seed_have_a_point_for_an_interval():
    found = no_worse(by_seed([0.1] * 3), by_seed([0.1] * 3), 0.01, "lower")
    assert (found.low, found.high, found.holds) == (0, 0, True)
