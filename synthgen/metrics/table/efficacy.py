"""Machine-learning efficacy as the tabular diffusion papers report it, for figures that stand beside theirs.

`synthgen.metrics.table.utility` says more, with intervals: this is for comparison with published tables.
"""

from dataclasses import dataclass
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.metrics import roc_auc_score

from synthgen.errors import SynthgenError
from synthgen.layout import TableSchema
from synthgen.metrics.table.columns import checked, numbers, one_hot_matrix, shared_codes
from synthgen.metrics.table.trees import one_thread

__all__ = ["Efficacy", "learning_efficacy"]

DEPTHS, WEIGHTS, GAMMAS, ROUNDS = (5, 10, 20), (1, 10), (0.0, 1.0), (10, 50, 100)
VALIDATION = 9  # one row in so many
HIGHEST = 20_000.0


@dataclass(frozen=True)
class Efficacy:
    """What `learning_efficacy` found.

    Attributes:
        name: "AUC", in [0, 1], higher is better, or "RMSE (log)", at least 0, lower is better.
        value: On real rows that nobody learned from.
        chosen: The setting that was best on the rows held back for validation.
    """

    name: str
    value: float
    chosen: dict[str, float]


def learning_efficacy(
    learned: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema, target: str, seed: int = 0
) -> Efficacy:
    """Trains XGBoost on a table, chooses its setting on a ninth of the same table, and tests it on real rows.

    The "MLE" of Zhang et al. (2024) and Shi et al. (2025): area under the ROC curve of a class (one-vs-rest where
    there are more than two), or the root mean squared error of ln(clip(y, 1, 20000)) of a number. The grid is depth 5,
    10, 20; least weight of a child 1, 10; gamma 0, 1; 10, 50, 100 trees. Categories are one-hot. With real rows as
    `learned` it is the figure that synthetic ones are held against. A class that the training rows lack counts with
    probability 0. The papers' own code chooses a regression's setting by the error of logarithms against plain numbers;
    here both are logarithms. Says nothing of other targets or models, and nothing of chance: it has no interval.

    Args:
        learned: Rows to learn from, synthetic or real.
        holdout: Real rows that the generator has not seen.
        schema: What the columns are.
        target: The column to predict.
        seed: Of the rows held back.

    Raises:
        SynthgenError: When `xgboost` is not installed (the extra `protocol`), a table lacks one of the schema's columns
            or has fewer than 10 rows whose target is present, or the holdout has one class only.
    """
    try:
        xgboost = import_module("xgboost")
    except ImportError:
        raise SynthgenError("published efficacy is defined by XGBoost: install synthgen[protocol]") from None
    column = schema[target]
    if len(schema) < 2:
        raise SynthgenError(f"there is no column beside the target {target!r} to predict it from")
    frames = [checked(frame, schema, side) for frame, side in ((learned, "training"), (holdout, "holdout"))]
    features = one_hot_matrix(frames, [other for other in schema if other.name != target])
    if column.numerical:
        targets = [np.log(np.clip(numbers(frame[target]), 1, HIGHEST)) for frame in frames]
    else:
        codes, values = shared_codes(frames, column)
        targets = [np.where(side == len(values), np.nan, side) for side in codes]
    y = np.concatenate(targets)
    learn, judge = np.split(np.arange(len(y)), [len(frames[0])])
    learn, judge = (rows[np.isfinite(y[rows])] for rows in (learn, judge))
    if min(len(learn), len(judge)) < 10:
        raise SynthgenError(f"target {target!r}: expected 10 rows of each table, found {len(learn)} and {len(judge)}")
    if column.numerical and np.ptp(y[judge]) == 0:
        raise SynthgenError(
            f"target {target!r}: its logarithm, of values cut to 1 to {HIGHEST:,} as published figures take it, is the "
            "same in all rows of the holdout: there is nothing to predict"
        )
    if not column.numerical and len(np.unique(y[judge])) < 2:
        raise SynthgenError(f"target {target!r} has one class only in the holdout: expected two or more")
    learn = np.random.default_rng(seed).permutation(learn)
    validate, learn = np.split(learn, [len(learn) // VALIDATION])
    make = xgboost.XGBRegressor if column.numerical else xgboost.XGBClassifier
    score = _error if column.numerical else _area
    best: tuple[float, Any, dict[str, float]] | None = None
    with one_thread():
        for depth, weight, gamma in product(DEPTHS, WEIGHTS, GAMMAS):
            setting = {"max_depth": depth, "min_child_weight": weight, "gamma": gamma}
            trees = _Trees(make(n_estimators=max(ROUNDS), n_jobs=1, random_state=0, **setting), column.numerical)
            trees.fit(features[learn], y[learn])
            # The first trees of many are those of a shorter run.
            for rounds in ROUNDS:
                found = score(y[validate], trees.predict(features[validate], rounds), trees.classes)
                if best is None or found > best[0]:
                    best = found, (trees, rounds), {**setting, "trees": rounds}
    assert best is not None
    trees, rounds = best[1]
    value = score(y[judge], trees.predict(features[judge], rounds), trees.classes)
    return Efficacy("RMSE (log)" if column.numerical else "AUC", -value if column.numerical else value, best[2])


class _Trees:
    """XGBoost whose classes need not be 0, 1, …; a single class is learned without it."""

    def __init__(self, model: Any, numerical: bool) -> None:
        self.model = model
        self.numerical = numerical
        self.classes = np.empty(0)

    def fit(self, features: sparse.csr_matrix, target: NDArray[np.float64]) -> None:
        if self.numerical:
            self.model.fit(features, target)
            return
        self.classes, codes = np.unique(target, return_inverse=True)
        if len(self.classes) > 1:
            self.model.fit(features, codes)

    def predict(self, features: sparse.csr_matrix, rounds: int) -> NDArray[np.float64]:
        """Numbers, shape (n,), or the probability of each of `classes`, shape (n, classes)."""
        if self.numerical:
            return self.model.predict(features, iteration_range=(0, rounds))
        if len(self.classes) == 1:
            return np.ones((features.shape[0], 1))
        return self.model.predict_proba(features, iteration_range=(0, rounds))


def _error(truth: NDArray[np.float64], predicted: NDArray[np.float64], _: NDArray[np.float64]) -> float:
    return -float(np.sqrt(((truth - predicted) ** 2).mean()))


def _area(truth: NDArray[np.float64], predicted: NDArray[np.float64], classes: NDArray[np.float64]) -> float:
    """Mean over the classes that occur of each against the rest; of two classes both are the same."""
    present = np.unique(truth)
    if len(present) < 2:
        return 0.5
    probability = {code: predicted[:, i] for i, code in enumerate(classes)}
    nothing = np.zeros(len(truth))
    return float(np.mean([roc_auc_score(truth == code, probability.get(code, nothing)) for code in present]))
