import pytest

from scripts.benching.distance import distance

REAL = {
    "sized": {"shape error": 0.01, "trend error": 0.02, "detector AUC": 0.5, "C2ST": 1.0},
    "protocol": {"MLE AUC": 0.92},
}


def figures(shape=0.02, detector=0.6, mle=0.91):
    sized = {"shape error": shape, "trend error": 0.03, "detector AUC": detector, "C2ST": 0.9}
    return {"sized": sized, "protocol": {"MLE AUC": mle}}


def test_the_distance_is_the_geometric_mean_of_five():
    assert distance(figures(), REAL) == pytest.approx((0.01 * 0.01 * 0.1 * 0.1 * 0.01) ** 0.2)
    assert distance(figures(detector=0.4), REAL) == pytest.approx(distance(figures(), REAL))


def test_what_is_better_than_real_data_counts_as_a_small_part_of_what_would_matter():
    expected = distance(figures(), REAL) * (0.02 * 0.005 / 0.01) ** 0.2
    assert distance(figures(shape=0.005), REAL) == pytest.approx(expected)
    assert distance(figures(mle=0.95), REAL) == pytest.approx(distance(figures(mle=0.92), REAL))


def test_without_a_figure_there_is_no_distance():
    assert distance({"sized": figures()["sized"]}, REAL) is None
    assert distance(figures(), {}) is None
