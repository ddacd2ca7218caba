"""What each figure is to people: which way is better, how it is written, and which difference would matter."""

from dataclasses import dataclass

__all__ = ["FIGURES", "Figure", "figure"]


@dataclass(frozen=True)
class Figure:
    """How a figure is read.

    Attributes:
        better: "lower", "higher", or the number that is best.
        percent: Whether it is written as a percentage.
        margin: Difference that would matter, for "no worse"; None where none is stated.
    """

    better: str
    percent: bool = False
    margin: float | None = None


FIGURES = {
    "shape error": Figure("lower", True, 0.005),
    "trend error": Figure("lower", True, 0.01),
    "three-way error": Figure("lower", True, 0.01),
    "C2ST": Figure("higher", margin=0.05),
    "detector AUC": Figure("0.5", margin=0.02),
    "alpha-precision": Figure("higher", margin=0.02),
    "beta-recall": Figure("higher", margin=0.02),
    "MLE AUC": Figure("higher", margin=0.01),
    "MLE RMSE (log)": Figure("lower", margin=0.02),
    "TSTR AUC": Figure("higher", margin=0.01),
    "TSTR AUC (one-vs-rest)": Figure("higher", margin=0.01),
    "TSTR R2": Figure("higher", margin=0.02),
    "TSTR RMSE": Figure("lower"),
    "closest-record share": Figure("0.5"),
    "closest-record p": Figure("higher"),
    "copied rows": Figure("lower", True),
    "precision": Figure("higher"),
    "recall": Figure("higher", margin=0.05),
    "density": Figure("1"),
    "coverage": Figure("higher"),
    "rare-category error": Figure("lower", True, 0.05),
    "category coverage": Figure("higher", True),
    "range coverage": Figure("higher", True),
    "duplicates": Figure("lower", True),
    "FD": Figure("lower", margin=0.1),
    "KD": Figure("lower"),
    "recognised": Figure("higher", True, 0.02),
    "TSTR accuracy": Figure("higher", True, 0.02),
    "memorisation ratio": Figure("1"),
    "memorisation p": Figure("higher"),
    "near copies": Figure("lower", True),
}


def figure(name: str) -> Figure:
    """By its name; those over features of a classifier carry the classifier's behind theirs."""
    return FIGURES[name if name in FIGURES else name.split("-")[0]]
