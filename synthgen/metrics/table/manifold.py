"""Rows of a table as points, and how two clouds of such points lie within each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthgen.errors import SynthgenError
from synthgen.layout import TableSchema
from synthgen.metrics.intervals import Estimate, bootstrapped
from synthgen.metrics.neighbours import PRDC, nearest_neighbours, prdc
from synthgen.metrics.table.columns import checked, numbers, shared_codes

__all__ = ["AlphaBeta", "alpha_precision_beta_recall", "row_points", "row_prdc"]

ROWS = 10_000
TAIL = 0.01  # on each side of the range that numbers are scaled by
DIRECTIONS = 128  # values of a column up to which each has a dimension of its own
ALPHAS = np.linspace(0, 1, 30)


@dataclass(frozen=True)
class AlphaBeta:
    """What `alpha_precision_beta_recall` found; each in [0, 1], 1 is best.

    Attributes:
        alpha_precision: Falls where synthetic rows lie further out than real ones do, or further in.
        beta_recall: Falls where real rows have no synthetic row as near as their nearest real one. About one half for
            another sample of the same size from the real distribution; near 1 only for copies.
    """

    alpha_precision: Estimate
    beta_recall: Estimate


def alpha_precision_beta_recall(
    real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, *, rows: int | None = ROWS, seed: int = 0
) -> AlphaBeta:
    """Alpha-precision and beta-recall of Alaa et al. (2022), in the naive variant of synthcity, which papers report.

    Theirs leave out the last of the one-hot columns, usually one class of the target, which synthcity takes for the
    target itself.

    Rows are points as there: numbers scaled to [0, 1] by the smallest and largest real one, categories one-hot. With
    αₖ = k / 29 for k = 0 … 29 and Q(αₖ) the αₖ-quantile,

    - P(αₖ) is the share of synthetic points y with |y − mean real point| ≤ Q(αₖ) of real points' own such distances;
    - R(αₖ) is the share of real points x whose nearest synthetic point s(x) is no further than their nearest other real
      point, and has |s(x) − mean synthetic point| ≤ Q(αₖ) of these distances over all x;
    - alpha-precision is 1 − Σₖ |αₖ − P(αₖ)| / Σₖ αₖ, and beta-recall the same of R.

    "Naive" is the raw table for the paper's learned embedding. A ball around the mean is a poor support for data
    with several modes: a cloud in the hole of a ring of real points is not far from the mean. Alpha-precision sees
    one distance alone and is easily high; beta-recall rewards copies of training rows. Both are of rows that are
    handed in, so that neither speaks of privacy, and both weigh a category twice what a number can differ.

    The intervals are by resampling rows of both sides with the distances that they have.

    Args:
        real: Real rows.
        synthetic: Synthetic rows; the larger table is subsampled to the smaller one's size.
        schema: What the columns are.
        rows: At most so many of each table, as time grows with their square; None for all, as published figures have.
        seed: Of the subsamples and the resamples.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has fewer than 2 rows.
    """
    a, b = _sampled_points(real, synthetic, schema, rows, seed, least=2, scaling="range", mismatch=np.sqrt(2))
    centre, other_centre = a.mean(0), b.mean(0)
    from_centre, to_centre = _norms(a - centre), _norms(b - centre)
    distance, nearest = (found[:, 0] for found in nearest_neighbours(a, b))
    # The nearest real point but itself; a copy of the point may come first, at the same distance.
    covered = distance <= nearest_neighbours(a, a, 2)[0][:, 1]
    reached = _norms(b[nearest] - other_centre)
    partner = np.random.default_rng(seed).permutation(len(b))  # resampled with row i: not the row beside it

    def precision(rows: NDArray[np.int64]) -> float:
        return _agreement(_shares(to_centre[partner[rows]], np.quantile(from_centre[rows], ALPHAS)))

    def recall(rows: NDArray[np.int64]) -> float:
        inside = np.where(covered[rows], reached[rows], np.inf)
        return _agreement(_shares(inside, np.quantile(reached[rows], ALPHAS)))

    return AlphaBeta(
        bootstrapped(precision, len(a), seed=seed, limits=(0, 1)),
        bootstrapped(recall, len(a), seed=seed, limits=(0, 1)),
    )


def row_prdc(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: TableSchema,
    *,
    k: int = 5,
    rows: int | None = ROWS,
    seed: int = 0,
) -> PRDC:
    """Precision, recall, density and coverage of rows: `synthgen.metrics.neighbours.prdc` of `row_points`.

    Args:
        real: Real rows.
        synthetic: Synthetic rows; the larger table is subsampled to the smaller one's size.
        schema: What the columns are.
        k: Neighbours that a ball reaches; 5 as in Naeem et al. (2020).
        rows: At most so many of each table, as time grows with their square; None for all.
        seed: Of the subsamples.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has k rows or fewer.
    """
    a, b = _sampled_points(real, synthetic, schema, rows, seed, least=k + 1)
    return prdc(a, b, k)


def row_points(
    frames: Sequence[pd.DataFrame],
    schema: TableSchema,
    *,
    reference: pd.DataFrame,
    scaling: str = "quantiles",
    mismatch: float = 1.0,
) -> list[NDArray[np.float64]]:
    """Rows as points whose Euclidean distance treats all columns alike.

    A number counts by its distance over the range of real numbers, and two different values of a discrete column lie
    `mismatch` apart: by default what the two ends of a range do. Missing is one more value of a discrete column; of a
    numerical one, it lies at the real median and `mismatch` off in a dimension of its own. One-hot dimensions are made
    for values that occur in `frames`. Where a column has more than 128 of them, each gets a random direction in 128
    dimensions, and two values lie `mismatch` apart but for some percent; equal values stay at distance 0.

    Args:
        frames: Tables to embed.
        schema: What the columns are.
        reference: The real table, which numbers are scaled by.
        scaling: "quantiles" puts the 1 % and the 99 % quantile at 0 and 1, and ends at −1 and 2: one huge value
            neither squeezes all others together nor outweighs all other columns. "range" puts the smallest and the
            largest at 0 and 1 and ends nowhere, as the published figures have it.
        mismatch: Distance of two different values of a discrete column; √2 for one-hot as it is.

    Returns:
        One matrix a table, shape (rows, dimensions).

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, has no rows, or `scaling` is neither of the two.
    """
    if scaling not in ("quantiles", "range"):
        raise SynthgenError(f"unknown scaling {scaling!r}: choose from 'quantiles', 'range'")
    reference = checked(reference, schema, "real")
    frames = [checked(frame, schema, "compared") for frame in frames]
    ends = np.cumsum([len(frame) for frame in frames])[:-1]
    parts = []
    for position, column in enumerate(schema):
        if column.numerical:
            values = np.concatenate([numbers(frame[column.name]) for frame in frames])
            parts.append(_number_points(values, numbers(reference[column.name]), scaling, mismatch))
        else:
            codes, _ = shared_codes(frames, column)
            parts.append(_value_points(np.concatenate(codes), mismatch, seed=position))
    return np.split(np.hstack(parts), ends)


def _number_points(
    values: NDArray[np.float64], reference: NDArray[np.float64], scaling: str, mismatch: float
) -> NDArray[np.float64]:
    present = reference[~np.isnan(reference)]
    quantiles = [0, 0.5, 1] if scaling == "range" else [TAIL, 0.5, 1 - TAIL]
    low, middle, high = np.quantile(present, quantiles) if len(present) else (0.0, 0.0, 0.0)
    if low == high and len(present):  # nearly all values are one: the few others make the range
        low, high = present.min(), present.max()
    missing = np.isnan(values)
    scaled = (np.where(missing, middle, values) - low) / (high - low or 1.0)
    if scaling == "quantiles":
        scaled = np.clip(scaled, -1, 2)
    return np.column_stack([scaled, missing * mismatch] if missing.any() else [scaled])


def _value_points(codes: NDArray[np.int64], mismatch: float, seed: int) -> NDArray[np.float64]:
    """A corner of a regular simplex with edges of `mismatch` for each code, or nearly so."""
    occurring, compact = np.unique(codes, return_inverse=True)
    if len(occurring) <= DIRECTIONS:
        corners = np.eye(len(occurring))
    else:
        corners = np.random.default_rng(seed).normal(size=(len(occurring), DIRECTIONS))
        corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    return corners[compact] * (mismatch / np.sqrt(2))


def _sampled_points(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: TableSchema,
    most: int | None,
    seed: int,
    least: int,
    scaling: str = "quantiles",
    mismatch: float = 1.0,
) -> list[NDArray[np.float64]]:
    frames = [checked(real, schema, "real"), checked(synthetic, schema, "synthetic")]
    rows = min(*map(len, frames), most or len(real))
    if rows < least:
        raise SynthgenError(f"expected at least {least} rows of each table, found {rows}")
    few = [frame if len(frame) == rows else frame.sample(rows, random_state=seed) for frame in frames]
    return row_points(few, schema, reference=frames[0], scaling=scaling, mismatch=mismatch)


def _norms(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt((points**2).sum(1))


def _shares(distances: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of distances that are no larger than each radius."""
    return np.searchsorted(np.sort(distances), radii, side="right") / len(distances)


def _agreement(curve: NDArray[np.float64]) -> float:
    return float(1 - np.abs(ALPHAS - curve).sum() / ALPHAS.sum())
