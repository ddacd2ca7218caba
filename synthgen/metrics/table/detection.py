"""Can a classifier tell synthetic rows from real ones: classifier two-sample tests (Lopez-Paz and Oquab, 2017).

Both figures here train boosted trees, score every row by trees that did not see it, and look at the area under the ROC
curve. They are different figures: `detector_auc` is one area over all rows, `c2st` a mean over folds, as published
tables have it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.model_selection import StratifiedKFold

from synthgen.errors import SynthgenError
from synthgen.layout import TableSchema
from synthgen.metrics.intervals import Estimate
from synthgen.metrics.table.columns import checked, feature_matrices, one_hot_matrix
from synthgen.metrics.table.scores import auc_and_precision, multiplicities, with_spread
from synthgen.metrics.table.trees import boosted_classifier, one_thread

__all__ = ["C2ST", "ROWS", "c2st", "detector_auc", "detector_estimate"]

FOLDS = 3
ROWS = 50_000
RESAMPLES = 100


@dataclass(frozen=True)
class C2ST(Estimate):
    """What `c2st` found; a value, its interval, and who judged.

    Attributes:
        classifier: The class that was trained, and how it was shown categories. Figures by different classifiers do not
            compare.
    """

    classifier: str


def detector_auc(
    real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, seed: int = 0, rows: int = ROWS
) -> float:
    """How well boosted trees tell synthetic rows from real ones: area under the ROC curve; 0.5 is best, 1 is worst.

    The larger table is subsampled to the smaller one's size. Every row is scored by trees that did not see it, over 3
    stratified folds: 200 trees of depth 6, learning rate 0.1, categories as integer codes, missing numbers as they
    are. Reported as measured: chance alone puts it a little under or over 0.5. A classifier two-sample test
    (Lopez-Paz and Oquab, 2017); hand it real rows that the generator has not seen: copies of the real rows that it is
    handed put it far under 0.5, as trees that saw one of the two take the other for the same side. It grows with the
    number of rows, and one tell-tale column is enough for 1.

    Args:
        real: Real rows.
        synthetic: Synthetic rows.
        schema: What the columns are.
        seed: Of the subsamples, the folds and the trees.
        rows: At most so many of each table are used.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has fewer than 3 rows.
    """
    return float(_areas(_detected(real, synthetic, schema, seed, rows), seed, resamples=0)[0])


def detector_estimate(
    real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, seed: int = 0, rows: int = ROWS
) -> Estimate:
    """`detector_auc` with its interval, by resampling the rows of each side with the scores that they have.

    The trees are not trained again: the interval is that of these trees on other rows, and other rows to learn from
    would move the figure a little too.

    Raises:
        SynthgenError: As `detector_auc`.
    """
    return with_spread(_areas(_detected(real, synthetic, schema, seed, rows), seed))


def c2st(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, seed: int = 0, rows: int = ROWS) -> C2ST:
    """1 − mean over 3 stratified folds of (max(½, AUC) · 2 − 1), in [0, 1]; 1 is best: no fold tells the sides apart.

    SDMetrics' formula for a classifier's scores, which the tabular diffusion papers (Zhang et al., 2024; Shi et al.,
    2025) apply to a logistic regression: that saturates near 1, and their C2ST does not compare with this one. The
    classifier here is that of a later rerun of their models (arXiv 2603.23016): XGBoost's `XGBClassifier` with its
    defaults and random state 0, categories one-hot, missing numbers as they are; where `xgboost` is not installed (the
    extra `protocol`), scikit-learn's trees of `detector_auc`, categories as integer codes. The result says which. The
    protocol hands it the training rows and as many synthetic ones, so that copies of them score best: it says nothing
    of privacy. As each fold counts at least ½, chance alone puts it a little under 1. The interval is as in
    `detector_estimate`.

    Args:
        real: Real rows.
        synthetic: Synthetic rows; the larger table is subsampled to the smaller one's size.
        schema: What the columns are.
        seed: Of the subsamples and the folds.
        rows: At most so many of each table are used; the published figures are of all.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has fewer than 3 rows.
    """
    frames = _sampled(real, synthetic, schema, seed, rows)
    try:
        make = import_module("xgboost").XGBClassifier
    except ImportError:
        features = np.concatenate(feature_matrices(frames, schema.columns))
        judged = _judged(features, lambda: boosted_classifier(seed), seed)
        classifier = "HistGradientBoostingClassifier, integer codes"
    else:
        # One thread, as for all trees here; the number does not change what they learn.
        judged = _judged(one_hot_matrix(frames, schema.columns), lambda: make(random_state=0, n_jobs=1), seed)
        classifier = "XGBClassifier, one-hot"

    by_fold = [_areas(judged, seed, fold=fold) for fold in range(FOLDS)]
    found = with_spread(1 - (np.maximum(by_fold, 0.5) * 2 - 1).mean(0))
    return C2ST(found.value, found.low, found.high, classifier)


@dataclass(frozen=True)
class _Judged:
    """Scores of rows by trees that did not see them, higher for synthetic; n real rows, then n synthetic ones.

    Attributes:
        scores: Shape (2n,).
        fold: Which fold each was judged in, shape (2n,).
    """

    scores: NDArray[np.float64]
    fold: NDArray[np.int64]


def _areas(judged: _Judged, seed: int, resamples: int = RESAMPLES, fold: int | None = None) -> NDArray[np.float64]:
    """Area under the ROC curve of all rows, and of resamples of each side, over all rows or those of one fold.

    Returns:
        Shape (1 + resamples,); NaN where a resample holds no row of a side.
    """
    rows = len(judged.scores) // 2
    weights = np.concatenate([multiplicities(rows, seed=seed + side, resamples=resamples) for side in range(2)])
    inside = slice(None) if fold is None else judged.fold == fold
    synthetic = np.repeat([False, True], rows)
    return auc_and_precision(synthetic[inside], judged.scores[inside], weights[inside])[0]


def _detected(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, seed: int, rows: int) -> _Judged:
    features = feature_matrices(_sampled(real, synthetic, schema, seed, rows), schema.columns)
    return _judged(np.concatenate(features), lambda: boosted_classifier(seed), seed)


def _judged(features: NDArray | sparse.csr_matrix, make: Callable[[], Any], seed: int) -> _Judged:
    """Trains on two folds of three and scores the third.

    Args:
        features: Real rows, then as many synthetic ones.
        make: An untrained classifier.
        seed: Of the folds.
    """
    rows = features.shape[0] // 2
    sides = np.repeat([0, 1], rows)
    scores, fold = np.empty(2 * rows), np.empty(2 * rows, np.int64)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with one_thread():
        for number, (learn, judge) in enumerate(folds.split(sides, sides)):
            shown = features[learn]
            if isinstance(shown, np.ndarray):
                shown[:, np.isnan(shown).all(0)] = 0.0  # scikit-learn's trees fail on a column without any value
            trees = make().fit(shown, sides[learn])
            scores[judge] = trees.predict_proba(features[judge])[:, 1]
            fold[judge] = number
    return _Judged(scores, fold)


def _sampled(
    real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, seed: int, most: int
) -> list[pd.DataFrame]:
    frames = [checked(real, schema, "real"), checked(synthetic, schema, "synthetic")]
    rows = min(*map(len, frames), most)
    if rows < 3:
        raise SynthgenError(f"a detector needs at least 3 rows of each table, found {rows}")
    return [frame if len(frame) == rows else frame.sample(rows, random_state=seed) for frame in frames]
