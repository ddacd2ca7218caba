"""Every figure against scikit-learn or torchmetrics, on the rows themselves and on resampled ones."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from synthgen.metrics.table.scores import Predictions, auc_and_precision, multiplicities, scores


@pytest.fixture(scope="module")
def two():
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 700)
    probability = np.clip(0.3 * truth + random.random(700) * 0.7, 0, 1).round(2)  # many equal scores
    probability[probability == 0.5] = 0.51
    return Predictions(np.arange(700), truth, np.stack([1 - probability, probability], 1), ("no", "yes"), 1)


@pytest.fixture(scope="module")
def many():
    random = np.random.default_rng(1)
    truth = random.choice(6, 900, p=[0.4, 0.3, 0.2, 0.05, 0.05, 0.0])
    raw = random.gumbel(size=(900, 6)) + 2 * np.eye(6)[truth]
    probability = np.exp(raw) / np.exp(raw).sum(1, keepdims=True)
    return Predictions(np.arange(900), truth, probability, tuple("abcdef"))


def test_two_classes(two):
    found = scores(two)
    truth, score = two.truth, two.predicted[:, 1]
    expected = {
        "AUC": metrics.roc_auc_score(truth, score),
        "average precision": metrics.average_precision_score(truth, score),
        "F1": metrics.f1_score(truth, score > 0.5),
        "Brier score": metrics.brier_score_loss(truth, score),
        "calibration error": binary_calibration_error(
            torch.from_numpy(score), torch.from_numpy(truth), n_bins=15, norm="l1"
        ).item(),
    }
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-6), name
        assert found[name].low < value < found[name].high


def test_many_classes(many):
    found = scores(many)
    truth, probability = many.truth, many.predicted
    present = range(5)  # the sixth class has no row
    expected = {
        "AUC (one-vs-rest)": np.mean([metrics.roc_auc_score(truth == k, probability[:, k]) for k in present]),
        "average precision (macro)": np.mean(
            [metrics.average_precision_score(truth == k, probability[:, k]) for k in present]
        ),
        "F1 (macro)": metrics.f1_score(truth, probability.argmax(1), labels=list(present), average="macro"),
        "Brier score": metrics.brier_score_loss(truth, probability, labels=list(range(6))),
        "calibration error": multiclass_calibration_error(
            torch.from_numpy(probability), torch.from_numpy(truth), num_classes=6, n_bins=15, norm="l1"
        ).item(),
    }
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-6), name


def test_a_number():
    random = np.random.default_rng(2)
    truth = 1e6 + random.normal(size=300)
    predicted = truth + random.normal(size=300) / 2
    found = scores(Predictions(np.arange(300), truth, predicted))
    assert list(found) == ["R2", "RMSE", "MAE"]
    assert found["R2"].value == pytest.approx(metrics.r2_score(truth, predicted))
    assert found["RMSE"].value == pytest.approx(metrics.root_mean_squared_error(truth, predicted))
    assert found["MAE"].value == pytest.approx(metrics.mean_absolute_error(truth, predicted))
    assert found["R2"].high <= 1
    constant = scores(Predictions(np.arange(3), np.ones(3), np.zeros(3)))
    assert math.isnan(constant["R2"].value)
    assert constant["RMSE"].value == constant["MAE"].value == 1


def test_weights_mean_repeated_rows(two):
    truth, score = two.truth == 1, two.predicted[:, 1]
    weights = multiplicities(700, seed=3, resamples=5)
    assert (weights.sum(0) == 700).all()
    assert (weights[:, 0] == 1).all()
    areas, precisions = auc_and_precision(truth, score, weights)
    for area, precision, weight in zip(areas, precisions, weights.T, strict=True):
        assert area == pytest.approx(metrics.roc_auc_score(truth, score, sample_weight=weight))
        assert precision == pytest.approx(metrics.average_precision_score(truth, score, sample_weight=weight))
    # The spread is that of figures of resampled rows.
    repeated = [np.repeat(np.arange(700), weight) for weight in multiplicities(700, seed=0, resamples=100).T[1:]]
    spread = np.std([metrics.f1_score(two.truth[rows], two.chosen[rows]) for rows in repeated], ddof=1)
    f1 = scores(two)["F1"]
    assert f1.high - f1.value == pytest.approx(1.95996 * spread, rel=1e-4)


def test_intervals_hold_the_population_auc():
    """Scores N(1, 1) of positives and N(0, 1) of negatives have AUC Φ(1/√2)."""
    random = np.random.default_rng(4)
    held = 0
    for seed in range(100):
        truth = np.repeat([0, 1], [150, 50])
        score = truth + random.normal(size=200)
        score = 1 / (1 + np.exp(-score))
        found = scores(Predictions(np.arange(200), truth, np.stack([1 - score, score], 1), (0, 1), 1), seed=seed)
        held += found["AUC"].low <= 0.76025 <= found["AUC"].high
    assert 88 <= held <= 99


def test_undefined_is_said():
    truth, score, weights = np.array([True, True]), np.array([0.2, 0.4]), np.ones((2, 1), np.uint8)
    area, precision = auc_and_precision(truth, score, weights)
    assert math.isnan(area[0])
    assert precision[0] == 1
    area, precision = auc_and_precision(~truth, score, weights)
    assert math.isnan(area[0])
    assert math.isnan(precision[0])
    one = scores(Predictions(np.array([0]), np.array([1]), np.array([[0.3, 0.7]]), (0, 1), 1))
    assert math.isnan(one["AUC"].value)
    assert (one["AUC"].low, one["AUC"].high) == (0, 1)


def test_guesses_share_one_threshold():
    truth = np.repeat([True, False], [10, 30])
    area, precision = auc_and_precision(truth, np.full(40, 0.5), np.ones((40, 1), np.uint8))
    assert area[0] == 0.5
    assert precision[0] == 0.25


def test_one_seed_gives_one_interval(two):
    assert scores(two, seed=5) == scores(two, seed=5) != scores(two, seed=6)
