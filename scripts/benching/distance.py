"""How far synthetic data is from real data, in one number: the geometric mean over five figures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from scripts.benching.figures import figure

__all__ = ["FIVE", "distance"]

# Group and figure: the first of each line that a data set has.
FIVE = (
    (("sized", "shape error"),),
    (("sized", "trend error"),),
    (("sized", "detector AUC"),),
    (("sized", "C2ST"),),
    (("protocol", "MLE AUC"), ("protocol", "MLE RMSE (log)"), ("protocol", "TSTR AUC (one-vs-rest)")),
)
# Share of the difference that would matter: a figure that happens to meet that of real data is not infinitely good.
_LEAST = 0.02


def distance(figures: Mapping[str, Mapping[str, Any]], floor: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Geometric mean of the distances of five figures from those of real data.

    Shape, trend, detector and C2ST are at holdout size, where real data are holdout rows; MLE is that of real training
    rows. A figure that is better than real data's counts as equal.

    Args:
        figures: By group and name, of synthetic data.
        floor: The same of real data.

    Returns:
        Lower is better; None where a figure is not there.
    """
    logs = []
    for choices in FIVE:
        held = [(figures.get(group, {}).get(name), floor.get(group, {}).get(name), name) for group, name in choices]
        told = [(ours, real, name) for ours, real, name in held if ours is not None and real is not None]
        if not told:
            return None
        ours, real, name = told[0]
        about = figure(name)
        worse = {"lower": ours - real, "higher": real - ours}.get(about.better, abs(ours - real))
        logs.append(np.log(max(worse, _LEAST * (about.margin or 1.0))))
    return float(np.exp(np.mean(logs)))
