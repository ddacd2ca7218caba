"""Is a synthetic table of use: does a model that learned from it work on real rows that it has not seen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthgen.errors import SynthgenError, nearest
from synthgen.layout import Column, TableSchema
from synthgen.metrics.intervals import Estimate
from synthgen.metrics.table.columns import checked, feature_matrices, numbers, shared_codes
from synthgen.metrics.table.scores import Predictions, scores
from synthgen.metrics.table.trees import boosted_classifier, boosted_regressor, one_thread

__all__ = ["Score", "Scores", "downstream_score", "utility"]

MOST_CLASSES = 500


@dataclass(frozen=True)
class Score:
    """What a downstream model reached.

    Attributes:
        name: "AUC", "AUC (one-vs-rest)" or "R2"; higher is better for each.
        value: AUC in [0, 1], where 0.5 is guessing; R2 at most 1, where 0 is guessing the mean.
    """

    name: str
    value: float


@dataclass(frozen=True)
class Scores:
    """All that a downstream model reached, and the predictions that it is judged by.

    Attributes:
        estimates: Figures by name, as `scores` lists them; the first one is the one of `downstream_score`.
        predictions: Of the holdout's rows; fairness is measured on the same ones.
    """

    estimates: dict[str, Estimate]
    predictions: Predictions


def utility(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: TableSchema,
    target: str,
    *,
    seed: int = 0,
    positive: Any = None,
    learned: int = 100_000,
    judged: int = 50_000,
    resamples: int = 100,
) -> dict[str, Scores]:
    """Trains boosted trees to predict `target` from all other columns of three tables, and judges them on real rows.

    "TSTR" learns from synthetic rows, "TRTR" from real ones (train on synthetic or real, test on real; Esteban et al.,
    2017), and "TRTR + synthetic" from both together. TRTR − TSTR is what the synthetic data costs where both tables
    have as many rows; whether synthetic rows add anything to real ones is TRTR + synthetic − TRTR. Trees are those of
    `boosted_classifier` and `boosted_regressor`, categories integer codes, missing numbers as they are. A class that a
    training table lacks gets probability 0; where a training table has one class only, every row gets it. Rows whose
    target is missing, or infinite, are left out. Each model is trained once, and all of `scores` come from its
    predictions. They say nothing of other targets, other models or other analyses.

    Args:
        train: Real rows that the generator learned from.
        holdout: Real rows that it has not seen.
        synthetic: Its rows.
        schema: What the columns are.
        target: The column to predict: regressed where it is numerical, else classified.
        seed: Of subsamples, trees and resamples.
        positive: The class that average precision and F1 look for where there are two; when None the one that is rarer
            in the holdout, or the schema's later one where they are equally frequent.
        learned: Training rows of each table, at most; more are subsampled. Trees of 50 classes take half a minute at
            100,000 rows, of two classes three seconds.
        judged: Holdout rows, at most; more are subsampled.
        resamples: Of the judged rows, for the intervals.

    Returns:
        Scores by what was learned from: "TSTR", "TRTR" and "TRTR + synthetic".

    Raises:
        SynthgenError: When `target` is not a column, has no value in one of the tables, or has in the holdout one class
            only or more than 500 classes in all, or when `positive` is not one of two classes.
    """
    sides = {"training": train, "synthetic": synthetic}
    (real, made), judge = _tables(sides, holdout, schema, target, seed, learned, judged)
    both = _Table(np.concatenate([real.features, made.features]), np.concatenate([real.target, made.target]))
    learn = {"TSTR": made, "TRTR": real, "TRTR + synthetic": both}
    found = {}
    for name, table in learn.items():
        predictions = _predictions(table, judge, schema[target], seed, positive)
        found[name] = Scores(scores(predictions, seed=seed, resamples=resamples), predictions)
    return found


def downstream_score(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    schema: TableSchema,
    target: str,
    seed: int = 0,
    *,
    learned: int = 100_000,
    judged: int = 50_000,
) -> Score:
    """The first figure of `utility` for one training table: AUC of two classes or one-vs-rest of more, R2 of a number.

    With real rows as `train` it is TRTR, with synthetic ones TSTR. See `utility` for the model and its arguments.

    Raises:
        SynthgenError: When `target` is not a column, has no value in one of the tables, or has in the holdout one class
            only or more than 500 classes in all.
    """
    (table,), judge = _tables({"training": train}, holdout, schema, target, seed, learned, judged)
    name, estimate = next(iter(scores(_predictions(table, judge, schema[target], seed), resamples=0).items()))
    return Score(name, estimate.value)


@dataclass(frozen=True)
class _Table:
    """Features, shape (n, k), and targets, shape (n,): numbers, or class codes that all tables share."""

    features: NDArray[np.float64]
    target: NDArray[Any]


@dataclass(frozen=True)
class _Holdout(_Table):
    """Also the rows' positions, shape (n,), and the classes by code: the schema's, then those new to it."""

    rows: NDArray[np.int64]
    classes: tuple[Any, ...]


def _tables(
    sides: dict[str, pd.DataFrame],
    holdout: pd.DataFrame,
    schema: TableSchema,
    target: str,
    seed: int,
    learned: int,
    judged: int,
) -> tuple[list[_Table], _Holdout]:
    column = schema[target]
    features = [other for other in schema if other.name != target]
    if not features:
        raise SynthgenError(f"target {target!r} is the only column: there is nothing to predict it from")
    frames, kept = [], []
    for side, frame in {**sides, "holdout": holdout}.items():
        frame = checked(frame, schema, side)
        kept.append(_rows(frame[target], column, side, judged if side == "holdout" else learned, seed))
        frames.append(frame.iloc[kept[-1]])
    matrices = feature_matrices(frames, features)
    if column.numerical:
        targets: list[NDArray[Any]] = [numbers(frame[target]) for frame in frames]
        classes: list[Any] = []
    else:
        targets, classes = shared_codes(frames, column)
    *learn, judge = map(_Table, matrices, targets)
    return learn, _Holdout(judge.features, judge.target, kept[-1], tuple(classes))


def _rows(target: pd.Series, column: Column, side: str, most: int, seed: int) -> NDArray[np.int64]:
    """Positions, ascending, of at most `most` rows that have a target."""
    present = np.flatnonzero(np.isfinite(numbers(target)) if column.numerical else target.notna())
    if not len(present):
        raise SynthgenError(f"target {column.name!r} has no value in the {side} table: {len(target)} rows, all missing")
    if len(present) > most:
        present = np.sort(np.random.default_rng(seed).choice(present, most, replace=False))
    return present


def _predictions(learn: _Table, judge: _Holdout, column: Column, seed: int, positive: Any = None) -> Predictions:
    # scikit-learn's trees fail on a column without any value.
    features = np.where(np.isnan(learn.features).all(0), 0.0, learn.features)
    if column.numerical:
        if positive is not None:
            raise SynthgenError(f"positive={positive!r} names a class, but target {column.name!r} is numerical")
        with one_thread():
            predicted = boosted_regressor(seed).fit(features, learn.target).predict(judge.features)
        return Predictions(judge.rows, judge.target, predicted)
    if len(judge.classes) > MOST_CLASSES:
        raise SynthgenError(
            f"target {column.name!r} has {len(judge.classes):,} classes: expected {MOST_CLASSES} or fewer, "
            "as each has trees of its own"
        )
    sought = _positive(judge, column, positive)
    probability = np.zeros((len(judge.target), len(judge.classes)))
    classes = np.unique(learn.target)
    if len(classes) > 1:
        with one_thread():
            trees = boosted_classifier(seed, len(classes)).fit(features, learn.target)
            probability[:, trees.classes_] = trees.predict_proba(judge.features)
    else:
        probability[:, classes] = 1.0
    return Predictions(judge.rows, judge.target, probability, judge.classes, sought)


def _positive(judge: _Holdout, column: Column, positive: Any) -> int | None:
    """The positive class's code; None where the schema and the holdout know more than two classes."""
    occur, counts = np.unique(judge.target, return_counts=True)
    if len(occur) < 2:
        raise SynthgenError(
            f"target {column.name!r} has one class only in the holdout, {judge.classes[occur[0]]!r}: "
            "expected two or more"
        )
    known = np.union1d(np.arange(len(column.categories)), occur)
    if positive is None:
        # The later one of a tie, as scikit-learn has it.
        return int(occur[::-1][np.argmin(counts[::-1])]) if len(known) == 2 else None
    pair = [judge.classes[code] for code in known]
    if len(pair) != 2 or positive not in pair:
        raise SynthgenError(
            f"positive={positive!r} is not one of two classes of target {column.name!r}: "
            f"{nearest(positive, pair, what='its classes are')}"
        )
    return pair.index(positive)
