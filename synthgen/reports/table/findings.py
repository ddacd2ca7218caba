"""What is wrong with a synthetic table, in sentences: columns, pairs, rare values, groups, use and copies."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from synthgen.layout import Column
from synthgen.metrics.table.columns import numbers, shared_codes
from synthgen.metrics.table.fairness import Representation
from synthgen.metrics.table.marginals import BINS, cell_codes
from synthgen.metrics.table.privacy import ClosestRecords
from synthgen.metrics.table.utility import Scores
from synthgen.reports.report import Finding, Report
from synthgen.reports.table.privacy import MANY_COPIES, RARE, beyond_chance
from synthgen.reports.table.sides import Sides

__all__ = ["add_findings"]

TOLD = 12  # columns, and pairs, that are looked at closely
LEAST = 0.002  # share of rows under which a difference is not worth a sentence
SPIKE = 0.5  # share of a column's distance that a single value must explain to be named alone
GUESSING = {"AUC": 0.5, "AUC (one-vs-rest)": 0.5, "R2": 0.0}


def add_findings(
    report: Report,
    sides: Sides,
    records: ClosestRecords | None,
    predictions: Mapping[str, Scores],
    groups: Mapping[str, Representation],
) -> None:
    """Adds them all, worst first; severities are shares of rows beyond what held-out rows differ by."""
    found = [
        *_columns(report, sides),
        *_pairs(report, sides),
        *_rare(report),
        *_use(predictions),
        *_groups(report, groups),
        *_copies(report, sides, records),
    ]
    report.findings = sorted(found, key=lambda finding: -finding.severity)


def _excess(row: Mapping[str, Any]) -> float:
    """By how much it is off beyond what held-out rows are: so few may be further off by chance than all rows are."""
    if row["floor"] is None:
        return float(row["error"])
    return float(min(row["error_at_holdout_size"] - row["floor"], row["error"]))


def _alone(row: Mapping[str, Any]) -> float:
    """How far a column is off by itself; the distance of numbers is that of the present ones alone."""
    return max(_excess(row), abs(row["missing"] - row["missing_real"]), 0.0)


def _columns(report: Report, sides: Sides) -> list[Finding]:
    rows = sorted(report.details["columns"], key=lambda row: -_alone(row))[:TOLD]
    found = []
    for row in rows:
        if _alone(row) < LEAST:
            continue
        column = sides.schema[row["name"]]
        said = _numerical(sides, column) if column.numerical else _discrete(sides, column)
        found.append(Finding("fidelity", f"{column.name}: {said}.", _alone(row), (column.name,)))
    return found


def _numerical(sides: Sides, column: Column) -> str:
    """The single value, or the place in the distribution, at which the two sides differ most."""
    values = [numbers(frame[column.name]) for frame in (sides.train, sides.synthetic)]
    missing = [float(np.isnan(side).mean()) for side in values]
    present = [np.sort(side[~np.isnan(side)]) for side in values]
    if not all(map(len, present)):
        return _too("missing cells are", *missing)
    (spots, counts), (other_spots, other_counts) = (np.unique(side, return_counts=True) for side in present)
    every = np.union1d(spots, other_spots)
    shares = [
        pd.Series(count / len(side), index=spot).reindex(every, fill_value=0.0).to_numpy()
        for spot, count, side in zip((spots, other_spots), (counts, other_counts), present)
    ]
    below = [np.cumsum(side) for side in shares]
    spike, place = (int(np.abs(side[1] - side[0]).argmax()) for side in (shares, below))
    distance = abs(below[1][place] - below[0][place])
    if abs(missing[1] - missing[0]) > distance:
        return _too("missing cells are", *missing)
    if abs(shares[1][spike] - shares[0][spike]) >= SPIKE * distance:
        zero = every[spike] == 0 and column.name not in sides.dates
        value = "zeros are" if zero else f"the value {_number(sides, every[spike], column)} is"
        return _too(value, shares[0][spike], shares[1][spike])
    if place == len(every) - 1:
        return "its distribution is off"
    if below[0][place] > 0.5:
        return _too(f"values over {_number(sides, every[place], column)} are", 1 - below[0][place], 1 - below[1][place])
    return _too(f"values up to {_number(sides, every[place], column)} are", below[0][place], below[1][place])


def _discrete(sides: Sides, column: Column) -> str:
    codes, values = shared_codes((sides.train, sides.synthetic), column)
    shares = [np.bincount(side, minlength=len(values) + 1) / len(side) for side in codes]
    worst = int(np.abs(shares[1] - shares[0]).argmax())
    what = "missing cells are" if worst == len(values) else f"“{_short(values[worst])}” is"
    return _too(what, shares[0][worst], shares[1][worst])


def _pairs(report: Report, sides: Sides) -> list[Finding]:
    """Pairs that are further off than what their two columns are off by themselves."""
    alone = {row["name"]: _alone(row) for row in report.details["columns"]}
    rows = [(_excess(row) - max(alone[name] for name in row["columns"]), row) for row in report.details["pairs"]]
    found, told = list[Finding](), set[str]()
    for severity, row in sorted(rows, key=lambda entry: -entry[0])[: 5 * TOLD]:
        # One column that belongs to nothing spoils all its pairs: the worst of them tells it.
        if severity < LEAST or told & set(row["columns"]) or len(found) == TOLD:
            continue
        told |= set(row["columns"])
        a, b = (sides.schema[name] for name in row["columns"])
        found.append(
            Finding("fidelity", f"{a.name} and {b.name}: {_together(sides, a, b)}.", severity, (a.name, b.name))
        )
    return found


def _together(sides: Sides, a: Column, b: Column) -> str:
    """Two numbers' correlation, or the cell of the contingency table that is furthest off."""
    frames = (sides.train, sides.synthetic)
    if a.numerical and b.numerical:
        rho = [pd.Series(numbers(frame[a.name])).corr(pd.Series(numbers(frame[b.name]))) for frame in frames]
        digits = next((digits for digits in (2, 3) if f"{rho[0]:.{digits}f}" != f"{rho[1]:.{digits}f}"), 4)
        said = ["undefined" if np.isnan(one) else f"{one:.{digits}f}" for one in rho]
        return f"their correlation is {said[1]} instead of {said[0]}"
    cells = [cell_codes(frames, column) for column in (a, b)]
    sizes = [size for _, size in cells]
    shares = []
    for side in range(2):
        joint = cells[0][0][side] * sizes[1] + cells[1][0][side]
        shares.append(pd.Series(joint).value_counts(normalize=True))
    gap = shares[1].sub(shares[0], fill_value=0.0)
    worst = int(gap.index[int(gap.abs().to_numpy().argmax())])
    names = [_cell(sides, column, code) for column, code in zip((a, b), divmod(worst, sizes[1]), strict=True)]
    return _too(f"{names[0]} with {names[1]} is", shares[0].get(worst, 0.0), shares[1].get(worst, 0.0))


def _cell(sides: Sides, column: Column, code: int) -> str:
    """What a code of `cell_codes` stands for."""
    frames = (sides.train, sides.synthetic)
    if not column.numerical:
        values = shared_codes(frames, column)[1]
        return "a missing cell" if code == len(values) else f"“{_short(values[code])}”"
    if code == BINS:
        return "a missing cell"
    real = numbers(frames[0][column.name])
    edges = np.linspace(np.nanmin(real), np.nanmax(real), BINS + 1)
    low, high = edges[code], edges[code + 1]
    if column.decimals == 0 and high - low >= 1:  # an upper edge belongs to the next bin, but for the last one
        low, high = np.ceil(low), high if code == BINS - 1 else np.ceil(high) - 1
    return f"{_number(sides, low, column)} to {_number(sides, high, column)}"


def _rare(report: Report) -> list[Finding]:
    every = report.details["rare_categories"]
    # So many rows are to be expected that chance leaves none out, nineteen times of twenty.
    enough = math.log(20 * max(len(every), 1))
    expected = report.facts["synthetic rows"]
    rows = [row for row in every if row["synthetic"] == 0 and row["real"] * expected >= enough]
    if not rows:
        return []
    worst = max(rows, key=lambda row: row["real"])
    if worst["real"] < LEAST / 4:
        return []
    total = len(every)
    return [
        Finding(
            "fidelity",
            f"{len(rows)} of {total} rare categories never occur, such as {worst['column']} "
            f"“{_short(worst['category'])}”, which {_percent(worst['real'])} of real rows have.",
            float(sum(row["real"] for row in rows)),
            (worst["column"],),
        )
    ]


def _use(predictions: Mapping[str, Scores]) -> list[Finding]:
    if not predictions:
        return []
    name, made = next(iter(predictions["TSTR"].estimates.items()))
    real = predictions["TRTR"].estimates[name]
    reach = real.value - GUESSING[name]
    if not made.high < real.low or reach <= 0:
        return []
    lost = (real.value - made.value) / reach
    said = (
        f"a model that learned from synthetic rows reaches {name} {made.value:.3f} on real ones, instead of "
        f"{real.value:.3f}"
    )
    return [Finding("utility", f"{said[0].upper()}{said[1:]}.", float(lost))]


def _groups(report: Report, groups: Mapping[str, Representation]) -> list[Finding]:
    found = []
    for name, one in groups.items():
        rows = {str(group): share for group, share in one.shares.to_dict("index").items()}
        for group in one.vanished:
            share = rows[group]["real"]
            found.append(
                Finding(
                    "fairness",
                    f"The group {_short(group)}, {_percent(share)} of real rows, is gone.",
                    0.5 + share,
                )
            )
        figure = report.figure(f"Representation gap ({name})")
        excess = figure.value - (figure.floor or 0.0)
        if excess >= LEAST and not figure.as_real:
            group, shares = max(rows.items(), key=lambda row: abs(row[1]["gap"]))
            said = _too(f"The group {_short(group)} is", shares["real"], shares["synthetic"])
            found.append(Finding("fairness", f"{said}.", float(excess), tuple(name.split(" × "))))
    return found


def _copies(report: Report, sides: Sides, records: ClosestRecords | None) -> list[Finding]:
    """Training rows that came through; rows that are common everywhere are exact copies, too, and no sign at all."""
    if records is None:
        return []
    if records.p_value >= RARE:
        signs = beyond_chance(report, sides, records)
        if not signs:
            return []
        said, share = max(signs, key=lambda sign: sign[1])
        return [Finding("privacy", f"{said}: more than by chance.", share + (share > MANY_COPIES))]
    copied = report.figure("Copied rows")
    text = (
        f"Training rows came through: of the {records.nearest:,} real rows that synthetic ones come closest to, "
        f"{records.nearest_in_training:,} are training rows, where chance makes it half (p = {records.p_value:.1g}); "
        f"{_percent(copied.value)} of synthetic rows are exact copies."
    )
    return [Finding("privacy", text, 1 + records.near_copies.value)]


def _too(what: str, real: float, synthetic: float) -> str:
    gap = 100 * abs(synthetic - real)
    points = f"{gap:.1f}" if gap >= 0.095 else f"{gap:.2f}"
    way = "rare" if synthetic < real else "common"
    return f"{what} {points} points too {way} ({_percent(synthetic)} instead of {_percent(real)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share == 0 or share >= 0.00095 else f"{100 * share:.2g} %"


def _number(sides: Sides, value: float, column: Column) -> str:
    if column.name in sides.dates:
        return str(pd.Timestamp(value, unit="s").round("s")).removesuffix(" 00:00:00")
    if column.decimals == 0 and abs(value) < 1e15 and float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.6g}"


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else text[:39] + "…"
