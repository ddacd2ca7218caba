"""Is a method no worse than another one: an interval over seeds that both were run with."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["Comparison", "no_worse"]


@dataclass(frozen=True)
class Comparison:
    """By how much a method is worse than another one, over the seeds that both have.

    Attributes:
        worse: Mean difference, positive where it is worse.
        low: Lower end of its interval at level 0.95.
        high: Upper end.
        margin: Difference that would matter.
        seeds: How many pairs.
    """

    worse: float
    low: float
    high: float
    margin: float
    seeds: int

    @property
    def holds(self) -> bool:
        """Whether it is no worse: the interval excludes the margin."""
        return self.high < self.margin


def no_worse(ours: Mapping[int, float], theirs: Mapping[int, float], margin: float, better: str) -> Comparison | None:
    """Student's interval of the mean of the paired differences.

    Args:
        ours: A figure by seed.
        theirs: The same figure of the other method.
        margin: Over 0, in the figure's unit.
        better: "lower", "higher", or a number that is best, such as "0.5".

    Returns:
        None where fewer than two seeds are shared: one pair has no spread to tell by.
    """
    seeds = sorted(set(ours) & set(theirs))
    if len(seeds) < 2:
        return None
    sides = [np.array([side[seed] for seed in seeds], dtype=float) for side in (ours, theirs)]
    a, b = (_badness(side, better) for side in sides)
    difference = a - b
    worse = float(difference.mean())
    if np.ptp(difference) == 0:  # as of two methods that do not depend on the seed
        return Comparison(worse, worse, worse, margin, len(seeds))
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    return Comparison(worse, float(interval.low), float(interval.high), margin, len(seeds))


def _badness(values: np.ndarray, better: str) -> np.ndarray:
    if better in ("lower", "higher"):
        return values if better == "lower" else -values
    return np.abs(values - float(better))
