"""How far a figure may be off because it was taken from a finite number of rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["LEVEL", "Estimate", "bootstrapped", "clustered_proportion", "proportion"]

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval at level 0.95.

    Attributes:
        value: The figure itself, from all rows.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def bootstrapped(
    statistic: Callable[[NDArray[np.int64]], float],
    rows: int,
    *,
    seed: int = 0,
    resamples: int = 100,
    most: int | None = None,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """A figure of all rows, and the normal interval by its bootstrap standard error (Efron and Tibshirani, 1993).

    Only the spread of the resampled figures is used and not their place: rows drawn with replacement lie further from
    any other sample than the rows themselves do, so that distances of resamples are too large.

    Args:
        statistic: Row indices to the figure.
        rows: How many there are.
        seed: Of the resamples.
        resamples: How many.
        most: Of more rows than this, so many random ones are resampled, and their standard error is scaled by
            √(most / rows): for figures that take long and whose error falls with the root of the rows.
        limits: The figure's range, which the interval does not leave.
    """
    everything = np.arange(rows)
    value = statistic(everything)
    drawn = everything
    if most is not None and rows > most:
        drawn = np.random.default_rng(seed).choice(rows, most, replace=False)
    found = stats.bootstrap((drawn,), statistic, n_resamples=resamples, vectorized=False, method="percentile", rng=seed)
    error = float(found.standard_error) * np.sqrt(len(drawn) / rows)
    reach = stats.norm.ppf((1 + LEVEL) / 2) * error
    low, high = np.clip([value - reach, value + reach], *limits)
    return Estimate(value, float(low), float(high))


def clustered_proportion(hits: NDArray[np.bool_], clusters: NDArray[np.integer]) -> Estimate:
    """A share of rows that are no independent witnesses, as those of one cluster hit or miss together.

    Wilson's interval of as many independent trials as would spread like the clusters do (Kish's design effect).

    Args:
        hits: Which rows count, shape (rows,).
        clusters: Number of each row's cluster, 0 or more, shape (rows,).
    """
    rows, value = len(hits), float(hits.mean())
    variance = (np.bincount(clusters, hits - value) ** 2).sum() / rows**2
    alone = value * (1 - value) / rows
    trials = max(1, round(rows * min(1.0, alone / variance))) if variance > 0 else rows
    found = proportion(round(value * trials), trials)
    return Estimate(value, min(found.low, value), max(found.high, value))


def proportion(hits: int, trials: int) -> Estimate:
    """A share and Wilson's score interval (1927), which holds for shares near 0 and 1 too; undefined of no trials."""
    if not trials:
        return Estimate(float("nan"), 0.0, 1.0)
    interval = stats.binomtest(hits, trials).proportion_ci(LEVEL, method="wilson")
    return Estimate(hits / trials, float(interval.low), float(interval.high))
