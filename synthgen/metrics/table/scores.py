"""What predictions are worth: all figures of one downstream model at once, each with its interval."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse import csr_array

from synthgen.metrics.intervals import LEVEL, Estimate

__all__ = ["Predictions", "auc_and_precision", "multiplicities", "scores", "with_spread"]

BINS = 15
CHUNK = 2**23  # multiplicities looked at together


@dataclass(frozen=True)
class Predictions:
    """What a downstream model says of the holdout's rows.

    Attributes:
        rows: Positions in the holdout of the n rows that were judged, shape (n,).
        truth: Code of each row's class, or its number, shape (n,).
        predicted: Probability of each class, shape (n, classes), or the predicted number, shape (n,).
        classes: The classes, by code; empty where a number was predicted.
        positive: Code of the class that counts as positive where there are two classes in all, else None.
    """

    rows: NDArray[np.int64]
    truth: NDArray[Any]
    predicted: NDArray[np.float64]
    classes: tuple[Any, ...] = ()
    positive: int | None = None

    @property
    def chosen(self) -> NDArray[Any]:
        """Code of the most probable class, or the predicted number, shape (n,)."""
        return self.predicted.argmax(1) if self.classes else self.predicted


def scores(predictions: Predictions, *, seed: int = 0, resamples: int = 100) -> dict[str, Estimate]:
    """Every figure of the predictions, with an interval by bootstrap over the judged rows.

    Of two classes, one of them positive:

    - "AUC": area under the ROC curve, in [0, 1]; higher is better, 0.5 is guessing. It looks at the order of scores
      alone. (Hanley and McNeil, 1982)
    - "average precision": Σ_t (R_t − R_t−1) P_t over the thresholds t, with precision P and recall R, in [0, 1];
      higher is better, the positive class's share is guessing.
    - "F1": 2 TP / (2 TP + FP + FN) where the more probable class is chosen, which is a threshold of 0.5; in [0, 1],
      higher is better. With a rare class it may be 0 although the order of scores is good.
    - "Brier score": mean (p − y)², in [0, 1]; lower is better. (Brier, 1950)
    - "calibration error": Σ_b n_b / n · |mean p − mean y| over 15 bins b of equal width of the positive class's
      probability, in [0, 1]; lower is better. A model that says the positive class's share of every row has none.
      (expected calibration error; Naeini et al., 2015)

    Of more classes: AUC, average precision and F1 of each class against the rest, averaged over the classes that occur
    among the judged rows, as "AUC (one-vs-rest)", "average precision (macro)" and "F1 (macro)"; the Brier score
    Σ_k (p_k − y_k)², in [0, 2]; and the calibration error of the chosen class's probability (Guo et al., 2017,
    equation 3).

    Of a number y: "R2" = 1 − Σ (y − ŷ)² / Σ (y − mean y)², at most 1, where 0 is guessing the mean, undefined where y
    does not vary; "RMSE" and "MAE", the root of the mean squared error and the mean absolute error, in y's unit, of
    which lower is better.

    None of them knows how much the training rows happened to be good ones: intervals are those of the judged rows.

    Args:
        predictions: Of one model.
        seed: Of the resamples; the same seed draws the same rows for another model's predictions.
        resamples: How many.

    Returns:
        Figures by name; the first one is the one to quote where there is room for one.
    """
    figures: Callable[[Predictions, NDArray[np.uint8]], dict[str, NDArray[np.float64]]]
    limits: dict[str, tuple[float, float]] = {}
    if not predictions.classes:
        figures, limits = _of_a_number, {"R2": (-np.inf, 1.0), "RMSE": (0.0, np.inf), "MAE": (0.0, np.inf)}
    elif predictions.positive is not None:
        figures = _of_two_classes
    else:
        figures, limits = _of_many_classes, {"Brier score": (0.0, 2.0)}
    weights = multiplicities(len(predictions.rows), seed=seed, resamples=resamples)
    step = max(1, CHUNK // len(weights))
    parts = [figures(predictions, weights[:, start : start + step]) for start in range(0, weights.shape[1], step)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: with_spread(values, limits.get(name, (0.0, 1.0))) for name, values in joined.items()}


def multiplicities(rows: int, *, seed: int, resamples: int) -> NDArray[np.uint8]:
    """How often each row is drawn, shape (rows, 1 + resamples): once in column 0, with replacement in the others."""
    random = np.random.default_rng(seed)
    weights = np.ones((rows, 1 + resamples), np.uint8)
    for column in range(1, 1 + resamples):
        weights[:, column] = np.bincount(random.integers(rows, size=rows), minlength=rows)
    return weights


def with_spread(values: NDArray[np.float64], limits: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """The figure of all rows, values[0], and the normal interval by the standard deviation of the resampled ones.

    Resamples in which the figure is undefined, as an AUC of one class is, are left out; the interval is `limits` where
    fewer than two are left.
    """
    value, resampled = float(values[0]), values[1:][np.isfinite(values[1:])]
    if not np.isfinite(value) or len(resampled) < 2:
        return Estimate(value, *limits)
    reach = stats.norm.ppf((1 + LEVEL) / 2) * resampled.std(ddof=1)
    low, high = np.clip([value - reach, value + reach], *limits)
    return Estimate(value, float(low), float(high))


def auc_and_precision(
    positive: NDArray[np.bool_], score: NDArray[np.float64], weights: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Area under the ROC curve and average precision of n scored rows, for r ways to weigh them; NaN where undefined.

    Args:
        positive: Which rows are, shape (n,).
        score: Higher for rows held to be positive, shape (n,); equal scores share a threshold.
        weights: Shape (n, r).

    Returns:
        Two arrays of shape (r,).
    """
    order = np.argsort(-score, kind="stable")
    descending, hits = -score[order], np.flatnonzero(positive[order])
    # Positive rows are all that is summed over, so that a rare class costs no more than a running total.
    first = np.searchsorted(descending, descending[hits], side="left")
    last = np.searchsorted(descending, descending[hits], side="right") - 1
    above = np.zeros((len(order) + 1, weights.shape[1]))
    np.cumsum(weights[order], axis=0, dtype=np.float64, out=above[1:])
    weight = weights[order[hits]].astype(np.float64)
    found = np.cumsum(weight, axis=0)[np.searchsorted(hits, last, side="right") - 1] if len(hits) else weight
    total, positives = above[-1], weight.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Half of a threshold's own rows lie above each of them; the positive ones among all these are positives² / 2.
        misordered = (weight * (above[first] + above[last + 1]) / 2).sum(0) - positives**2 / 2
        area = 1 - misordered / (positives * (total - positives))
        precision = np.where(weight > 0, weight * found / above[last + 1], 0).sum(0) / positives
    return area, precision


def _of_two_classes(predictions: Predictions, weights: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    truth, chosen = (codes == predictions.positive for codes in (predictions.truth, predictions.chosen))
    score = predictions.predicted[:, predictions.positive]
    area, precision = auc_and_precision(truth, score, weights)
    return {
        "AUC": area,
        "average precision": precision,
        "F1": _f1(truth.astype(np.int64), chosen.astype(np.int64), 2, weights)[1],
        "Brier score": _mean((score - truth) ** 2, weights),
        "calibration error": _calibration_error(score, truth, weights),
    }


def _of_many_classes(predictions: Predictions, weights: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    truth, chosen, probability = predictions.truth, predictions.chosen, predictions.predicted
    present = np.unique(truth)
    curves = np.stack([auc_and_precision(truth == code, probability[:, code], weights) for code in present])
    f1 = _f1(truth, chosen, len(predictions.classes), weights)[present]
    own = np.take_along_axis(probability, truth[:, None], 1)[:, 0]
    return {
        "AUC (one-vs-rest)": _mean_of_defined(curves[:, 0]),
        "average precision (macro)": _mean_of_defined(curves[:, 1]),
        "F1 (macro)": _mean_of_defined(f1),
        "Brier score": _mean((probability**2).sum(1) - 2 * own + 1, weights),
        "calibration error": _calibration_error(probability.max(1), truth == chosen, weights),
    }


def _of_a_number(predictions: Predictions, weights: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    # About the mean, so that the variance of large numbers is not lost in their squares.
    truth = predictions.truth - predictions.truth.mean()
    error = predictions.truth - predictions.predicted
    squared = _mean(error**2, weights)
    variance = _mean(truth**2, weights) - _mean(truth, weights) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = np.where(variance > 0, 1 - squared / variance, np.nan)
    return {"R2": r2, "RMSE": np.sqrt(squared), "MAE": _mean(np.abs(error), weights)}


def _f1(
    truth: NDArray[np.int64], chosen: NDArray[np.int64], classes: int, weights: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """F1 of each class, shape (classes, r); NaN of a class that does not occur."""
    hit = _sums(truth, classes, weights, truth == chosen)
    occurs, claimed = _sums(truth, classes, weights), _sums(chosen, classes, weights)
    return np.divide(2 * hit, occurs + claimed, out=np.full(hit.shape, np.nan), where=occurs > 0)


def _calibration_error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], weights: NDArray[np.uint8]
) -> NDArray[np.float64]:
    bins = np.minimum(confidence * BINS, BINS - 1).astype(np.int64)
    return np.abs(_sums(bins, BINS, weights, right - confidence)).sum(0) / len(weights)


def _mean(values: NDArray[np.float64], weights: NDArray[np.uint8]) -> NDArray[np.float64]:
    return values @ weights / len(weights)


def _sums(
    codes: NDArray[np.int64], size: int, weights: NDArray[np.uint8], values: NDArray[Any] | float = 1.0
) -> NDArray[np.float64]:
    """Weighted sums of `values` by code, shape (size, r)."""
    values = np.broadcast_to(values, codes.shape).astype(np.float64)
    return csr_array((values, (codes, np.arange(len(codes)))), shape=(size, len(codes))) @ weights


def _mean_of_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the first axis without NaN; NaN where there is nothing else."""
    defined = np.isfinite(values)
    count = defined.sum(0)
    sums = np.where(defined, values, 0).sum(0)
    return np.divide(sums, count, out=np.full(len(count), np.nan), where=count > 0)
