"""What is wrong with synthetic images, in sentences, and the faces in plain words."""

from collections.abc import Mapping, Sequence
from typing import Any

from synthgen.metrics.image.memorisation import Memorisation
from synthgen.metrics.image.utility import DownstreamAccuracy
from synthgen.metrics.intervals import proportion
from synthgen.reports.report import Figure, Finding, Report, Verdict

__all__ = ["add_findings", "add_verdicts"]

RARE = 1e-2
"""p-values under this are told as a sign of copying."""
NEAR, PARTLY = 0.10, 0.35
"""Share of real images that a figure may miss beyond its floor to be good, or good in part."""
KEPT, PARTLY_KEPT = 0.95, 0.80
"""Share of what TRTR reaches beyond guessing that TSTR keeps, for the same."""
LEAST = 0.02
ALLOWED, MANY_COPIES = 0.02, 0.10
"""Shares of near copies, of which real images have 1 %, over which they are told, and are as bad as a failed test."""
FEWEST = 50
"""Held-out images with which a test of copying can notice anything."""
CHANCE = 0.05
"""Probability under which it is not chance that a class has no image at all."""


def add_findings(report: Report, signs: Sequence[Memorisation], uses: Sequence[DownstreamAccuracy]) -> None:
    """Adds them all, worst first; severities are shares of images."""
    found = []
    for row in report.details.get("classes", []):
        # Only of a class that there is, and that chance would not have left out.
        if row["synthetic"] is None and (1 - row["share"]) ** report.facts["synthetic images"] < CHANCE:
            found.append(
                Finding("fidelity", f"{row['class']}: no synthetic image was made for it.", 0.5, (row["class"],))
            )
        if None not in (row["synthetic"], row["real"]) and row["real"] - row["synthetic"] >= LEAST and _apart(row):
            text = (
                f"{row['class']}: {_percent(row['synthetic'])} of its images are recognised, {_percent(row['real'])} "
                "of real ones."
            )
            found.append(Finding("fidelity", text, row["real"] - row["synthetic"], (row["class"],)))
    for short, said in (
        ("Recall", "of real images have no synthetic image like them"),
        ("Precision", "of synthetic images lie among no real ones"),
    ):
        figure = _over_features(report, short)
        if (
            figure is not None
            and figure.floor is not None
            and figure.floor - figure.value >= LEAST
            and not figure.as_real
        ):
            text = f"{_percent(1 - figure.value)} {said}; of real ones it is {_percent(1 - figure.floor)}."
            found.append(Finding("fidelity", text, figure.floor - figure.value))
    for one in uses:
        if one.tstr.high < one.trtr.low:
            text = (
                f"A classifier that learned from synthetic images recognises {_percent(one.tstr.value)} of real "
                f"ones, instead of {_percent(one.trtr.value)}."
            )
            found.append(Finding("utility", text, (one.trtr.value - one.tstr.value) / one.trtr.value))
    for sign in signs:
        exact = int((sign.distances == 0).sum())
        if sign.p_value < RARE:
            copies = f", {exact} or more of them exact copies" if exact else ""
            text = (
                "Synthetic images lean towards training images as chance would not let them (p = "
                f"{sign.p_value:.2g}): {_percent(sign.copied.value)} are near copies{copies}."
            )
            found.append(Finding("privacy", text, 2.0))
        elif _copied(sign):
            text = (
                f"{_percent(sign.copied.value)} of synthetic images are as near to a training image as only "
                f"{_percent(sign.copied_real)} of real ones are; too few training images were copied for the test to "
                f"notice (p = {sign.p_value:.2g})."
            )
            found.append(Finding("privacy", text, 1 + sign.copied.value))
    report.findings = sorted(found, key=lambda finding: -finding.severity)


def add_verdicts(report: Report, signs: Sequence[Memorisation], uses: Sequence[DownstreamAccuracy]) -> None:
    """One verdict a face; what was not measured is said to be not known."""
    report.verdicts = [
        _fidelity(report),
        _utility(uses),
        _privacy(report, signs),
        Verdict("fairness", "unknown", "Images carry no sensitive attribute: groups were not compared."),
    ]


def _fidelity(report: Report) -> Verdict:
    distance, precision, recall = (_over_features(report, short) for short in ("FD", "Precision", "Recall"))
    assert distance is not None
    assert precision is not None
    assert recall is not None
    beside = f", {distance.beside()} of real ones" if distance.floor is not None else ""
    said = f"The Fréchet distance is {distance.shown()}{beside}."
    if precision.floor is None or recall.floor is None:
        text = f"{said} Without a holdout there is nothing to hold it against."
        return Verdict("fidelity", "unknown", text)
    short = max(precision.floor - precision.value, recall.floor - recall.value)
    level = "good" if short <= NEAR else "mixed" if short <= PARTLY else "poor"
    text = (
        f"{_percent(precision.value)} of synthetic images lie among real ones ({_percent(precision.floor)} of real "
        f"ones do), and {_percent(recall.value)} of real images have synthetic ones like them "
        f"({_percent(recall.floor)}). {said}"
    )
    if level != "good" and precision.as_real and recall.as_real:
        text += " The holdout is too small to tell them apart."
    known = next((one for one in report.figures if one.name == "Recognised as its class"), None)
    if known is not None:
        text += f" {known.shown()} show the class that was asked for (real: {known.beside()})."
        missed = 0.0 if known.floor is None else known.floor - known.value
        if missed > NEAR:
            level = "poor" if missed > PARTLY or level == "poor" else "mixed"
    return Verdict("fidelity", level, text)


def _utility(uses: Sequence[DownstreamAccuracy]) -> Verdict:
    if not uses:
        text = "It takes labels of two classes or more on all sides, and a holdout: use was not measured."
        return Verdict("utility", "unknown", text)
    one = uses[0]
    text = (
        f"A small classifier that learned from synthetic images recognises {_percent(one.tstr.value)} of real ones, "
        f"beside {_percent(one.trtr.value)} when it learned from real ones, and {_percent(one.both.value)} when from "
        f"both; guessing reaches {_percent(one.guessing)}."
    )
    reach = one.trtr.value - one.guessing
    if reach <= 0:
        return Verdict("utility", "unknown", f"Not even real images teach a classifier their class. {text}")
    kept = (one.tstr.value - one.guessing) / reach
    level = "good" if kept >= KEPT else "mixed" if kept >= PARTLY_KEPT else "poor"
    if level != "good" and one.tstr.high >= one.trtr.value:
        text += " The holdout is too small to tell them apart."
    return Verdict("utility", level, text)


def _privacy(report: Report, signs: Sequence[Memorisation]) -> Verdict:
    if not signs:
        return Verdict("privacy", "unknown", "Without a holdout nobody can say what nearness is due to chance.")
    sign = signs[0]
    if sign.p_value < RARE:
        text = (
            f"Synthetic images lean towards training images (p = {sign.p_value:.2g}): {_percent(sign.copied.value)} "
            f"are near copies, beside {_percent(sign.copied_real)} of real ones. Look at the pairs."
        )
        return Verdict("privacy", "poor", text)
    near = (
        f"{_percent(sign.copied.value)} of synthetic images are near copies of training images, beside "
        f"{_percent(sign.copied_real)} of real ones"
    )
    if _copied(sign):
        level = "poor" if sign.copied.low > MANY_COPIES else "mixed"
        text = f"{near}, more than by chance, though the test of leaning found no sign (p = {sign.p_value:.2g})."
        return Verdict("privacy", level, f"{text} Look at the pairs.")
    if report.facts["holdout images"] < FEWEST:
        text = f"{report.facts['holdout images']} held-out images are too few to notice copies by. {near}."
        return Verdict("privacy", "unknown", text)
    text = f"No sign of copying was found (p = {sign.p_value:.2g}): {near}. That proves no privacy."
    return Verdict("privacy", "good", text)


def _copied(sign: Memorisation) -> bool:
    """Whether more synthetic images than real ones lie as near to a training image, and by more than chance."""
    return sign.copied.low > max(sign.copied_real, ALLOWED)


def _apart(row: Mapping[str, Any]) -> bool:
    """Whether a class's images are recognised less often than real ones by more than chance."""
    synthetic, real = (
        proportion(round(row[side] * row[count]), row[count])
        for side, count in (("synthetic", "images"), ("real", "real_images"))
    )
    return synthetic.high < real.low


def _over_features(report: Report, short: str) -> Figure | None:
    return next((one for one in report.figures if one.name.startswith(f"{short}-")), None)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
