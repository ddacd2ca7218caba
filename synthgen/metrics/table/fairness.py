"""Does synthetic data treat groups as the real data does?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame  # type: ignore[import-untyped]
from numpy.typing import NDArray

from synthgen.errors import SynthgenError
from synthgen.layout import Column, TableSchema
from synthgen.metrics.intervals import Estimate
from synthgen.metrics.table.columns import checked, numbers, value_codes
from synthgen.metrics.table.scores import Predictions, auc_and_precision, multiplicities, with_spread

__all__ = ["GroupScores", "Representation", "group_scores", "representation"]

QUANTILES = 4
EXPECTED = 3  # rows, of which none turns up once in twenty times
MISSING = "missing"
LIMITS = {
    "mean error": (-np.inf, np.inf),
    "MAE": (0.0, np.inf),
    "mean error difference": (0.0, np.inf),
    "MAE difference": (0.0, np.inf),
}  # of all others 0 and 1


@dataclass(frozen=True)
class Representation:
    """How frequent groups are.

    Attributes:
        shares: One row a group, indexed by its name, with the columns "real", "synthetic" and "gap", which is
            synthetic − real.
        largest_gap: max over groups of |gap|, in [0, 1]; 0 is best.
        vanished: Groups that have real rows and no synthetic ones, though three or more were to be expected.
    """

    shares: pd.DataFrame
    largest_gap: Estimate
    vanished: tuple[str, ...]


@dataclass(frozen=True)
class GroupScores:
    """How a downstream model treats groups.

    Attributes:
        rows: Judged rows of each group.
        by_group: Figures of each group that is large enough, by the figure's name and then the group's.
        differences: The largest differences between groups, by name; 0 is best for each.
    """

    rows: dict[str, int]
    by_group: dict[str, dict[str, Estimate]]
    differences: dict[str, Estimate]


def representation(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: TableSchema,
    columns: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = 100,
) -> Representation:
    """How frequent the groups of one column, or the intersections of several, are among real and synthetic rows.

    A missing value is a group. A numerical column is cut at its real quartiles, or after each value where four or
    fewer occur. Intersections without any row are not listed. The largest gap grows with the number of groups and as
    samples shrink: set it beside that of held-out real rows. It says whether groups are as frequent as they were, not
    whether their rows are as good.

    Args:
        real: Real rows.
        synthetic: Synthetic rows.
        schema: What the columns are.
        columns: One sensitive column or more.
        seed: Of the resamples.
        resamples: Of both tables' rows, for the interval.

    Raises:
        SynthgenError: When one of them is not a column, there is none, or a table has no rows.
    """
    codes, names = _groups([checked(real, schema, "real"), checked(synthetic, schema, "synthetic")], schema, columns)
    counts = [np.bincount(side, minlength=len(names)) for side in codes]
    shares = pd.DataFrame({"real": counts[0] / len(real), "synthetic": counts[1] / len(synthetic)}, index=names)
    shares["gap"] = shares["synthetic"] - shares["real"]
    random = np.random.default_rng(seed)
    # Rows drawn with replacement have group counts that are multinomial.
    drawn = [random.multinomial(count.sum(), count / count.sum(), size=resamples) / count.sum() for count in counts]
    gaps = np.append(shares["gap"].abs().max(), np.abs(drawn[1] - drawn[0]).max(1))
    vanished = (counts[0] > 0) & (counts[1] == 0) & (shares["real"] * len(synthetic) >= EXPECTED)
    return Representation(shares, with_spread(gaps), tuple(shares.index[vanished]))


def group_scores(
    predictions: Predictions,
    holdout: pd.DataFrame,
    real: pd.DataFrame,
    schema: TableSchema,
    columns: Sequence[str],
    *,
    smallest: int = 30,
    seed: int = 0,
    resamples: int = 100,
) -> GroupScores:
    """How a downstream model treats the groups of one sensitive column, or the intersections of several.

    Hand it the predictions of TRTR and those of TSTR (`utility`): what the second one adds to the differences of the
    first is due to the synthetic data, not to the real data's own unfairness. Groups are those of `representation`;
    the numbers are those of fairlearn's MetricFrame (Bird et al., 2020), which splits the rows.

    Of two classes, each in [0, 1]: "accuracy", "selection rate" P(chosen positive), "true positive rate" and "false
    positive rate" with the more probable class chosen, and "AUC". Differences, in [0, 1]: "accuracy difference",
    "demographic parity difference" of selection rates, "equalized odds difference", the larger one of the differences
    of true and of false positive rates (Agarwal et al., 2018), and "AUC difference". They are the same whichever class
    is the positive one.

    Of more classes: "accuracy" and "selection rate (c)" for each class c; "accuracy difference" and "demographic parity
    difference", the largest over the classes. Rates of errors by class and AUC are left out.

    Of a number, in its unit: "mean error", predicted − true, best at 0, and "MAE", at least 0; "mean error difference"
    and "MAE difference".

    A rate that a group has no row for (a true positive rate without positives) is NaN, where fairlearn says 0, and does
    not enter the differences. Groups smaller than `smallest` are left out. Largest differences are biased upwards, the
    more so the smaller the groups: look at the intervals. None of this says why groups differ, or which difference is
    just.

    Args:
        predictions: Of one model.
        holdout: The table that they are of.
        real: The training rows, whose quartiles cut numerical columns.
        schema: What the columns are.
        columns: One sensitive column or more.
        smallest: Judged rows that a group needs.
        seed: Of the resamples.
        resamples: Of the judged rows, for the intervals.

    Raises:
        SynthgenError: When one of them is not a column, there is none, a table has no rows, or fewer than two groups
            are large enough.
    """
    sides = [checked(real, schema, "real"), checked(holdout, schema, "holdout").iloc[predictions.rows]]
    (_, codes), names = _groups(sides, schema, columns)
    rows = np.bincount(codes, minlength=len(names))
    counted = np.flatnonzero(rows[codes] >= smallest)
    if (large := int((rows >= smallest).sum())) < 2:
        raise SynthgenError(
            f"expected two groups by {', '.join(columns)} of {smallest} judged rows or more, found {large}: the "
            f"largest has {rows.max()}"
        )
    metrics = _metrics(predictions, multiplicities(len(codes), seed=seed, resamples=resamples))
    frame = MetricFrame(
        metrics=metrics,
        y_true=counted,  # a metric looks up its rows' truth, prediction and weights
        y_pred=counted,
        sensitive_features={"group": codes[counted]},
    )
    groups = [names[group] for group in frame.by_group.index]
    values = {name: np.stack(frame.by_group[name].to_list()) for name in metrics}  # (groups, 1 + resamples)
    return GroupScores(
        {name: int(count) for name, count in zip(names, rows, strict=True) if count},
        {name: dict(zip(groups, _estimates(name, found), strict=True)) for name, found in values.items()},
        {name: _estimates(name, gap[None])[0] for name, gap in _largest_differences(values).items()},
    )


def _metrics(
    predictions: Predictions, weights: NDArray[np.uint8]
) -> dict[str, Callable[[Any, Any], NDArray[np.float64]]]:
    """Functions of a group's rows to a figure for each way to weigh them, shape (r,)."""
    truth, chosen = predictions.truth, predictions.chosen

    def mean(values: NDArray[Any], among: NDArray[np.bool_] | None = None) -> Callable[..., NDArray[np.float64]]:
        def metric(rows: Any, _: Any) -> NDArray[np.float64]:
            rows = np.asarray(rows)
            rows = rows if among is None else rows[among[rows]]
            total = weights[rows].sum(0, dtype=np.float64)
            return np.divide(values[rows] @ weights[rows], total, out=np.full(len(total), np.nan), where=total > 0)

        return metric

    if not predictions.classes:
        error = chosen - truth
        return {"mean error": mean(error), "MAE": mean(np.abs(error))}
    accuracy = {"accuracy": mean((truth == chosen).astype(np.float64))}
    if predictions.positive is None:
        occur = np.union1d(truth, chosen)
        rates = {
            f"selection rate ({predictions.classes[code]})": mean((chosen == code).astype(np.float64)) for code in occur
        }
        return {**accuracy, **rates}
    positive, score = truth == predictions.positive, predictions.predicted[:, predictions.positive]
    selected = (chosen == predictions.positive).astype(np.float64)

    def auc(rows: Any, _: Any) -> NDArray[np.float64]:
        rows = np.asarray(rows)
        return auc_and_precision(positive[rows], score[rows], weights[rows])[0]

    return {
        **accuracy,
        "selection rate": mean(selected),
        "true positive rate": mean(selected, positive),
        "false positive rate": mean(selected, ~positive),
        "AUC": auc,
    }


def _largest_differences(values: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Largest less smallest over groups where defined, shape (r,), by the field's names; some span several figures.

    NaN where fewer than two groups have a figure: there is nothing to compare.
    """
    named: dict[str, NDArray[np.float64]] = {}
    for name, found in values.items():
        defined = np.isfinite(found)
        compared = defined.sum(0) > 1
        gap = np.full(found.shape[1], np.nan)
        ends = np.where(defined, found, -np.inf).max(0), np.where(defined, found, np.inf).min(0)
        np.subtract(*ends, out=gap, where=compared)
        if name.startswith("selection rate"):
            name = "demographic parity"
        elif name in ("true positive rate", "false positive rate"):
            name = "equalized odds"
        key = f"{name} difference"
        named[key] = np.fmax(named[key], gap) if key in named else gap
    return named


def _estimates(name: str, values: NDArray[np.float64]) -> list[Estimate]:
    return [with_spread(row, LIMITS.get(name, (0.0, 1.0))) for row in values]


def _groups(
    frames: Sequence[pd.DataFrame], schema: TableSchema, columns: Sequence[str]
) -> tuple[list[NDArray[np.int64]], list[str]]:
    """For each table its rows' group codes, and the groups' names by code; the first table is the real one.

    Groups that no row belongs to have no code.
    """
    if not columns or isinstance(columns, str):
        raise SynthgenError(f"expected a list of one sensitive column or more, found {columns!r}")
    joint, names = np.zeros(sum(map(len, frames)), np.int64), [""]
    for column in (schema[name] for name in columns):
        codes, labels = _column_groups(frames, column)
        joint, cells = pd.factorize(joint * len(labels) + np.concatenate(codes), sort=True)
        pairs = (divmod(cell, len(labels)) for cell in cells.tolist())
        names = [f"{names[before]}, {column.name} {labels[code]}".removeprefix(", ") for before, code in pairs]
    return np.split(joint, np.cumsum([len(frame) for frame in frames])[:-1]), names


def _column_groups(frames: Sequence[pd.DataFrame], column: Column) -> tuple[list[NDArray[np.int64]], list[str]]:
    """Codes of one column's groups, for each table, and what they are called."""
    if not column.numerical:
        codes, values = value_codes([frame[column.name] for frame in frames], column.categories)
        labels = [str(value) for value in values]
        if len({*labels, MISSING}) <= len(labels):  # 1 and "1" are two groups, and so are missing and "missing"
            labels = [repr(value) for value in values]
        return codes, [*labels, MISSING]
    sides = [numbers(frame[column.name]) for frame in frames]
    edges = _edges(sides[0][~np.isnan(sides[0])])
    codes = [np.where(np.isnan(side), len(edges) + 1, np.searchsorted(edges, side)) for side in sides]
    if not len(edges):
        return codes, ["present", MISSING]
    dates = frames[0][column.name].dtype.kind == "M"
    names = [str(pd.Timestamp(edge, unit="s")) if dates else f"{edge:.12g}" for edge in edges.tolist()]
    middle = [f"over {low} to {high}" for low, high in pairwise(names)]
    return codes, [f"up to {names[0]}", *middle, f"over {names[-1]}", MISSING]


def _edges(real: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper ends of all groups but the last."""
    distinct = np.unique(real)
    if len(distinct) <= QUANTILES:
        return distinct[:-1]
    edges = np.unique(np.quantile(real, np.arange(1, QUANTILES) / QUANTILES, method="lower"))
    edges = edges[edges < distinct[-1]]
    return edges if len(edges) else distinct[-2:-1]  # most rows have the largest value
