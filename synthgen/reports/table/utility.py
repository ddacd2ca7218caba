"""Figures of a table's utility: what models that learn from it reach on real rows."""

from synthgen.errors import SynthgenError
from synthgen.metrics.table.utility import Scores, downstream_score, utility
from synthgen.reports.report import Figure, Report
from synthgen.reports.table.sides import Sides

__all__ = ["add_utility"]

LOWER = {"Brier score", "calibration error", "RMSE", "MAE"}


def add_utility(report: Report, sides: Sides, target: str) -> dict[str, Scores]:
    """TSTR beside TRTR, and both together; without a holdout TSTR alone.

    Returns:
        Scores and predictions by what was learned from; empty without a holdout.

    Raises:
        SynthgenError: The target cannot be predicted.
    """
    if len(sides.schema) == 1:
        raise SynthgenError(f"target {target!r} is the only column: there is nothing to predict it from")
    if sides.holdout is None:
        score = downstream_score(sides.synthetic, sides.train, sides.schema, target, sides.seed)
        about = (
            f"Boosted trees learn {target} from synthetic rows and are scored on real training rows. Says nothing of "
            "other targets, models or analyses."
        )
        report.figures.append(Figure(f"TSTR {score.name}", score.value, "utility", "higher", about, key=True))
        return {}
    found = utility(sides.train, sides.holdout, sides.synthetic, sides.schema, target, seed=sides.seed)
    for number, name in enumerate(found["TSTR"].estimates):
        better = "lower" if name in LOWER else "higher"
        about = (
            f"Boosted trees learn {target} from synthetic rows and are scored on real holdout rows; TRTR learns from "
            "real ones. Says nothing of other targets, models or analyses."
        )
        real = found["TRTR"].estimates[name].value
        figure = Figure(
            f"TSTR {name}",
            0.0,
            "utility",
            better,
            about if number == 0 else f"The same model’s {name}.",
            reference=real,
            reference_name="TRTR",
            key=number == 0,
        )
        report.figures.append(figure.measured(found["TSTR"].estimates[name]))
        if number == 0:
            both = Figure(
                f"TRTR + synthetic {name}",
                0.0,
                "utility",
                better,
                "It learns from real and synthetic rows together. Over TRTR, the synthetic rows add something.",
                reference=real,
                reference_name="TRTR",
            )
            report.figures.append(both.measured(found["TRTR + synthetic"].estimates[name]))
    return found
