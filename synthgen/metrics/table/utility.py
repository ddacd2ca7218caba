"""Is a synthetic table of use: does a model that learned from it work on real rows that it has not seen."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import r2_score, roc_auc_score

from synthgen.errors import SynthgenError
from synthgen.layout import Column, TableSchema
from synthgen.metrics.table.columns import checked, feature_matrices, numbers, shared_codes
from synthgen.metrics.table.trees import boosted_classifier, boosted_regressor, one_thread

__all__ = ["Score", "downstream_score"]


@dataclass(frozen=True)
class Score:
    """What a downstream model reached.

    Attributes:
        name: "AUC", "AUC (one-vs-rest)" or "R2"; higher is better for each.
        value: AUC in [0, 1], where 0.5 is guessing; R2 at most 1, where 0 is guessing the mean.
    """

    name: str
    value: float


def downstream_score(
    train: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema, target: str, seed: int = 0
) -> Score:
    """Trains boosted trees to predict `target` from all other columns of `train`, and scores them on `holdout`.

    With real rows as `train` it is TRTR (train on real, test on real), with synthetic ones TSTR (Esteban et al.,
    2017); their difference is what the synthetic data costs. 200 trees of depth 6, learning rate 0.1, categories as
    integer codes, missing numbers as they are. A numerical target is regressed and scored by R2; two classes by AUC;
    more by AUC one-vs-rest, averaged over the classes that the holdout has. A class that `train` lacks gets
    probability 0, and a `train` of one class scores 0.5. Rows whose target is missing are left out. Time grows with
    the number of classes: each has trees of its own.

    Raises:
        SynthgenError: When `target` is not a column, has no value in one of the tables, or has one class only in the
            holdout.
    """
    column = schema[target]
    train, holdout = (
        _with_target(checked(frame, schema, side), target, side)
        for frame, side in ((train, "training"), (holdout, "holdout"))
    )
    features = [other for other in schema if other.name != target]
    if not features:
        raise SynthgenError(f"target {target!r} is the only column: there is nothing to predict it from")
    learn, judge = feature_matrices([train, holdout], features)
    if column.numerical:
        with one_thread():
            predicted = boosted_regressor(seed).fit(learn, numbers(train[target])).predict(judge)
        return Score("R2", float(r2_score(numbers(holdout[target]), predicted)))
    return _classified(learn, judge, train, holdout, column, seed)


def _classified(
    learn: NDArray[np.float64],
    judge: NDArray[np.float64],
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    column: Column,
    seed: int,
) -> Score:
    (known, truth), values = shared_codes([train, holdout], column)
    present = np.unique(truth)
    if len(present) < 2:
        raise SynthgenError(
            f"target {column.name!r} has one class only in the holdout, {values[present[0]]!r}: expected two or more"
        )
    probability = np.zeros((len(truth), len(values)))
    classes = np.unique(known)
    if len(classes) > 1:
        with one_thread():
            trees = boosted_classifier(seed).fit(learn, known)
            probability[:, trees.classes_] = trees.predict_proba(judge)
    else:
        probability[:, classes] = 1.0
    # One of two classes is enough: against the rest, the other has the same area by symmetry.
    scored = present if len(np.union1d(known, truth)) > 2 else present[1:]
    value = float(np.mean([roc_auc_score(truth == code, probability[:, code]) for code in scored]))
    return Score("AUC" if len(scored) == 1 else "AUC (one-vs-rest)", value)


def _with_target(frame: pd.DataFrame, target: str, side: str) -> pd.DataFrame:
    kept = frame[frame[target].notna()]
    if not len(kept):
        raise SynthgenError(f"target {target!r} has no value in the {side} table: {len(frame)} rows, all missing")
    return kept
