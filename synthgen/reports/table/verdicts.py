"""The four faces of a synthetic table in plain words."""

import math
from collections.abc import Mapping, Sequence

from synthgen.metrics.table.fairness import Representation
from synthgen.metrics.table.privacy import ClosestRecords
from synthgen.metrics.table.utility import Scores
from synthgen.reports.report import Figure, Report, Verdict
from synthgen.reports.table.findings import GUESSING
from synthgen.reports.table.privacy import FEWEST, MANY_COPIES, RARE, beyond_chance
from synthgen.reports.table.sides import Sides

__all__ = ["add_verdicts"]

NEARLY, PARTLY = 0.10, 0.25
"""By how much a detector's AUC may lie further from ½ than its floor to be good, or good in part."""
KEPT, PARTLY_KEPT = 0.95, 0.80
"""Share of what TRTR reaches beyond guessing that TSTR keeps, for the same."""
AS_MANY = 0.9
"""Share of the training rows from which on synthetic rows are as many."""
GAP, WIDE_GAP = 0.01, 0.05
"""By how much a group's share may be off beyond the floor, for the same."""


def add_verdicts(
    report: Report,
    sides: Sides,
    target: str | None,
    predictions: Mapping[str, Scores],
    records: ClosestRecords | None,
    sensitive: Sequence[str],
    groups: Mapping[str, Representation],
) -> None:
    """One verdict a face; what was not measured is said to be not known."""
    report.verdicts = [
        _fidelity(report),
        _utility(report, target, predictions),
        _privacy(report, sides, records),
        _fairness(report, sensitive, [group for one in groups.values() for group in one.vanished]),
    ]


def _fidelity(report: Report) -> Verdict:
    if not any(figure.name == "Detector AUC" for figure in report.figures):
        return Verdict("fidelity", "unknown", "There are too few rows to say.")
    detector = report.figure("Detector AUC")
    floor = 0.5 if detector.floor is None else detector.floor
    excess = abs(detector.value - 0.5) - abs(floor - 0.5)
    beside = "" if detector.floor is None else f" beside {floor:.2f} for real rows"
    auc = f"(AUC {detector.value:.2f}{beside})"
    unsure = " So few rows may show that by chance." if detector.as_real and excess > NEARLY else ""
    if detector.value < 0.5 - NEARLY and not detector.as_real:
        level = "mixed"
        said = (
            f"The detector does worse than guessing {auc}, as where synthetic rows repeat the rows that it is set on."
        )
    elif excess <= 0 or (detector.as_real and excess <= NEARLY):
        level, said = "good", f"Boosted trees cannot tell synthetic rows from real ones {auc}."
    elif excess <= NEARLY:
        level, said = "good", f"Boosted trees hardly tell synthetic rows from real ones {auc}."
    elif excess <= PARTLY:
        level, said = "mixed", f"Boosted trees tell a part of the synthetic rows from real ones {auc}."
    else:
        level, said = "poor", f"Boosted trees tell most synthetic rows from real ones {auc}."
    parts = []
    for name, what in (("Shape error", "Columns"), ("Trend error", "pairs of columns")):
        sized = next((one for one in report.figures if one.name == f"{name} at holdout size"), None)
        whole = next((one for one in report.figures if one.name == name), None)
        if (figure := sized or whole) is not None:
            beside = f" (real rows: {figure.beside()})" if figure.floor is not None else ""
            parts.append(f"{what} are off by {figure.shown()}{beside}")
    return Verdict("fidelity", level, f"{said}{unsure} {', '.join(parts)}.")


def _utility(report: Report, target: str | None, predictions: Mapping[str, Scores]) -> Verdict:
    if target is None:
        return Verdict("utility", "unknown", "No target was named: whether the rows are of use was not measured.")
    if not predictions:
        figure = next(one for one in report.figures if one.face == "utility")
        text = (
            f"A model that learned {target} from synthetic rows reaches {figure.name.removeprefix('TSTR ')} "
            f"{figure.shown()} on training rows. Without a holdout that says little: copies reach the most."
        )
        return Verdict("utility", "unknown", text)
    name, made = next(iter(predictions["TSTR"].estimates.items()))
    real = predictions["TRTR"].estimates[name]
    reach = real.value - GUESSING[name]
    kept = (made.value - GUESSING[name]) / reach if reach > 0 else float("nan")
    numbers = f"({name} {made.value:.3f} beside {real.value:.3f})"
    if not reach > 0 or real.low <= GUESSING[name]:
        chance = "" if not reach > 0 else " better than chance would have it"
        return Verdict("utility", "unknown", f"Not even real rows let a model predict {target}{chance} {numbers}.")
    if kept >= KEPT:
        same = "as well as" if made.high >= real.value else "nearly as well as"
        text = (
            f"A model that learned {target} from synthetic rows works {same} one that learned from real rows {numbers}."
        )
        return Verdict("utility", "good", text)
    text = (
        f"A model that learned {target} from synthetic rows keeps {100 * max(kept, 0):.0f} % of what real rows teach "
        f"{numbers}."
    )
    if made.high >= real.value:
        text += " The holdout is too small to tell them apart."
    learned, had = report.facts["synthetic rows"], report.facts["training rows"]
    if learned < AS_MANY * had:
        text += f" It had {learned:,} rows to learn from instead of {had:,}: as many would say what they lack."
    return Verdict("utility", "mixed" if kept >= PARTLY_KEPT else "poor", text)


def _privacy(report: Report, sides: Sides, records: ClosestRecords | None) -> Verdict:
    copied = report.figure("Copied rows")
    if records is None:
        text = (
            f"{copied.shown()} of synthetic rows are exact copies of training rows. Without a holdout nobody can say "
            "how many would be so by chance."
        )
        return Verdict("privacy", "unknown", text)
    if sides.not_held_out:
        return Verdict("privacy", "unknown", sides.not_held_out)
    copies = (
        f"{copied.shown()} of synthetic rows are exact copies, beside {copied.beside()} of rows that training has "
        "not seen"
    )
    if records.p_value < RARE:
        chance = f"chance alone would hardly put synthetic rows so close to them (p = {records.p_value:.2g})"
        return Verdict("privacy", "poor", f"Training rows came through: {chance}. {copies}.")
    if signs := beyond_chance(report, sides, records):
        text = (
            f"{'; '.join(said for said, _ in signs)}: more than by chance, though the test of copying found no sign "
            f"(p = {records.p_value:.2g}). It counts each of training's rows once, and looks at as many as are held "
            "out."
        )
        return Verdict("privacy", "poor" if max(share for _, share in signs) > MANY_COPIES else "mixed", text)
    held = len(sides.holdout) if sides.holdout is not None else 0
    if held < FEWEST:
        return Verdict("privacy", "unknown", f"{held} held-out rows are too few to notice copies by. {copies}.")
    text = (
        f"No sign of copying was found (p = {records.p_value:.2g}). {copies}. That proves no privacy; an attack may "
        "still learn who was in the training data."
    )
    return Verdict("privacy", "good", text)


def _fairness(report: Report, sensitive: Sequence[str], vanished: Sequence[str]) -> Verdict:
    if not sensitive:
        return Verdict("fairness", "unknown", "No sensitive column was named: groups were not compared.")
    gaps = [one for one in report.figures if one.name.startswith("Representation gap")]
    excess, worst = max(((_beyond(one), one) for one in gaps), key=lambda pair: pair[0])
    by = worst.name.removeprefix("Representation gap (").removesuffix(")")
    beside = f" (real rows: {worst.beside()})" if worst.floor is not None else ""
    said = f"The share of a group by {by} is off by {worst.shown()} at most{beside}."
    level = "good" if excess <= GAP else "mixed" if excess <= WIDE_GAP else "poor"
    if vanished:
        said += f" Gone are: {'; '.join(vanished[:3])}{' and others' if len(vanished) > 3 else ''}."
        level = "mixed" if level == "good" else level
    treated = [
        one
        for one in report.figures
        if one.face == "fairness" and one.reference is not None and math.isfinite(one.value - one.reference)
    ]
    widened = [one for one in treated if one.low is not None and one.reference is not None and one.low > one.reference]
    if widened:
        first = widened[0]
        said += (
            f" Models that learn from it treat groups more differently: {first.name} {first.shown()}, {first.beside()}."
        )
        level = "mixed" if level == "good" else level
    elif treated:
        said += " That models which learn from it treat groups more differently was not found."
    else:
        said += " How models that learn from it treat groups was not measured."
    return Verdict("fairness", level, said)


def _beyond(gap: Figure) -> float:
    """By how much a gap is larger than that of real rows, where chance does not explain it."""
    return 0.0 if gap.as_real else gap.value - (gap.floor or 0.0)
