"""First signals of a table's privacy: records that came through."""

from synthgen.metrics.table.privacy import ClosestRecords, closest_records, copied_rows
from synthgen.reports.report import Figure, Report
from synthgen.reports.table.sides import Sides

__all__ = ["FEWEST", "MANY_COPIES", "RARE", "add_privacy", "beyond_chance"]

RARE = 1e-2
"""p-values under this are told as a sign of copying."""
FEWEST = 50
"""Held-out rows with which the test of copying can notice anything."""
MANY_COPIES = 0.10
"""Share of synthetic rows that are copies beyond chance, over which that is as bad as a test that fails."""


def add_privacy(report: Report, sides: Sides) -> ClosestRecords | None:
    """Exact and near copies, and how synthetic rows lie between training and holdout rows; the latter, if measured."""
    copied = Figure(
        "Copied rows",
        0.0,
        "privacy",
        "no more than real",
        "Share of synthetic rows that occur exactly among the training rows; tables of few columns repeat by "
        "chance. Rows that were all but copied are not counted, so 0 proves no privacy.",
        percent=True,
        key=True,
    )
    exact = copied_rows(sides.train, sides.synthetic)
    if sides.holdout is None:
        report.figures.append(copied.measured(exact))
        return None
    report.figures.append(copied.measured(exact, copied_rows(sides.train, sides.holdout)))
    control = Figure(
        "Copied holdout rows",
        0.0,
        "privacy",
        "as real",
        "Share of synthetic rows that occur exactly among the holdout rows, which nobody can have copied: rows that "
        f"are common everywhere. By chance alone, copied rows are at most {_times(sides):.3g} times as many.",
        percent=True,
    )
    report.figures.append(control.measured(copied_rows(sides.holdout, sides.synthetic)))
    # Rows of one person are no independent witnesses of where synthetic rows come from.
    found = closest_records(*sides.independent(), sides.synthetic, sides.schema, seed=sides.seed)
    report.figures += [
        Figure(
            "Near copies",
            0.0,
            "privacy",
            "no more than real",
            "Share of synthetic rows as near to a training row as only 1 % of holdout rows are.",
            percent=True,
        ).measured(found.near_copies, found.near_real),
        Figure(
            "Nearer to training",
            0.0,
            "privacy",
            "closer to 0.5",
            "Share of synthetic rows that lie nearer to a training row than to any of as many holdout rows. A few "
            "copies hardly move it.",
            floor=0.5,
            key=True,
        ).measured(found.share),
        Figure(
            "Distance ratio",
            0.0,
            "privacy",
            "closer to 1",
            "Median distance to the closest training row, over that to the closest holdout row. Below 1 is nearer "
            "to training. It proves no privacy.",
            floor=1.0,
        ).measured(found.ratio),
        Figure(
            "Copying test p",
            found.p_value,
            "privacy",
            "not small",
            f"How often chance alone would put so many training rows, {found.nearest_in_training:,} of "
            f"{found.nearest:,}, among the real rows that synthetic ones come closest to. Under {RARE:g} is a sign "
            "of copying; a large one proves nothing.",
            key=True,
        ),
    ]
    return found


def _times(sides: Sides) -> float:
    """Training rows for a holdout row: rows that are common are met as many times as often at most."""
    assert sides.holdout is not None
    return max(1.0, len(sides.train) / len(sides.holdout))


def beyond_chance(report: Report, sides: Sides, records: ClosestRecords) -> list[tuple[str, float]]:
    """Signs of copying that need no test: training rows are met more often than holdout rows, by more than intervals.

    The test counts each training row once, so that a few rows which are copied a thousand times escape it. Rows that
    are common everywhere meet both sides.

    Returns:
        For each sign what is said of it, and how many synthetic rows are concerned beyond what chance explains.
    """
    signs = []
    copied, control = report.figure("Copied rows"), report.figure("Copied holdout rows")
    assert copied.low is not None
    assert control.high is not None
    if copied.low > _times(sides) * control.high:
        exact = f"{copied.shown()} of synthetic rows are exact copies of training rows"
        said = f"{exact}, and {control.shown()} of held-out ones"
        signs.append((said, copied.value - _times(sides) * control.value))
    near, other = records.near_copies, records.near_holdout
    if near.low > other.high:
        said = (
            f"{100 * near.value:.1f} % are near copies of training rows, and {100 * other.value:.1f} % of held-out ones"
        )
        signs.append((said, near.value - other.value))
    if records.share.value - 0.5 > 2 * (records.share.value - records.share.low):  # as rare as two intervals apart
        said = f"{100 * records.share.value:.1f} % lie nearer to a training row than to any of as many held-out rows"
        signs.append((said, 2 * records.share.value - 1))
    return signs
