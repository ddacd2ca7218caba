"""First signals of a table's fairness: how frequent groups are, and how a model that learned from it treats them."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from synthgen.errors import SynthgenError
from synthgen.metrics.table.fairness import GroupScores, Representation, group_scores, representation
from synthgen.metrics.table.utility import Scores
from synthgen.reports.report import Figure, Report, Section
from synthgen.reports.table.sides import Sides

__all__ = ["add_fairness"]

SHOWN_GROUPS = 60


def add_fairness(
    report: Report, sides: Sides, sensitive: Sequence[str], predictions: Mapping[str, Scores], target: str | None
) -> dict[str, Representation]:
    """Representation of each column's groups and of their intersections; differences of TSTR beside those of TRTR.

    Returns:
        What was found, by the columns' names.

    Raises:
        SynthgenError: One of them is not a column.
    """
    sets = [[column] for column in sensitive] + ([list(sensitive)] if len(sensitive) > 1 else [])
    found = {}
    for columns in sets:
        name = " × ".join(columns)
        found[name] = _add_representation(report, sides, columns, name)
        scores: dict[str, GroupScores] = {}
        if predictions and target not in columns:
            scores = _add_differences(report, sides, columns, name, predictions)
        _add_groups(report, name, found[name], scores)
    return found


def _add_representation(report: Report, sides: Sides, columns: list[str], name: str) -> Representation:
    whole = representation(sides.train, sides.synthetic, sides.schema, columns, seed=sides.seed)
    figure = Figure(
        f"Representation gap ({name})",
        0.0,
        "fairness",
        "lower",
        f"Largest difference of a group’s share, by {name}, between training and synthetic rows. Blind to whether "
        "the rows of a group are as good as those of others.",
        percent=True,
        key=True,
    )
    floor = None
    if sides.holdout is not None:
        floor = representation(sides.train, sides.holdout, sides.schema, columns, seed=sides.seed).largest_gap
    report.figures.append(figure.measured(whole.largest_gap, floor))
    return whole


def _add_differences(
    report: Report, sides: Sides, columns: list[str], name: str, predictions: Mapping[str, Scores]
) -> dict[str, GroupScores]:
    assert sides.holdout is not None
    try:
        scores = {
            side: group_scores(
                predictions[side].predictions, sides.holdout, sides.train, sides.schema, columns, seed=sides.seed
            )
            for side in ("TSTR", "TRTR")
        }
    except SynthgenError as error:
        report.notes.append(f"How groups by {name} are treated was not measured: {error}.")
        return {}
    for kind, difference in scores["TSTR"].differences.items():
        figure = Figure(
            f"{kind[0].upper()}{kind[1:]} ({name})",
            0.0,
            "fairness",
            "lower",
            f"Largest {kind} between groups by {name}, of the model that learned from synthetic rows; TRTR’s is the "
            "real data’s own. Largest differences are biased upwards where groups are small.",
            reference=scores["TRTR"].differences[kind].value,
            reference_name="TRTR",
        )
        report.figures.append(figure.measured(difference))
    return scores


def _add_groups(report: Report, name: str, shares: Representation, scores: Mapping[str, GroupScores]) -> None:
    rows: list[dict[str, Any]] = []
    for group, share in shares.shares.iterrows():
        row: dict[str, Any] = {"by": name, "group": str(group), "real": share["real"], "synthetic": share["synthetic"]}
        for side, one in scores.items():
            row |= {
                f"{side} {kind}": by_group[str(group)].value
                for kind, by_group in one.by_group.items()
                if str(group) in by_group
            }
        rows.append(row)
    report.details["groups"] = [*report.details.get("groups", []), *rows]
    kinds = [kind for kind in ("accuracy", "MAE") if scores and kind in scores["TSTR"].by_group]
    heads = ["group", "real share", "synthetic share", *(f"{side} {kind}" for kind in kinds for side in scores)]
    cells = []
    for row in sorted(rows, key=lambda row: -row["real"])[:SHOWN_GROUPS]:
        numbers = [f"{100 * row[side]:.2f} %" for side in ("real", "synthetic")]
        for kind in kinds:
            numbers += [_written(row.get(f"{side} {kind}")) for side in scores]
        said = "".join(f'<td class="number">{number}</td>' for number in numbers)
        cells.append(f"<tr><td>{escape(row['group'])}</td>{said}</tr>")
    head = "".join(f'<th class="{"" if head == "group" else "number"}">{escape(head)}</th>' for head in heads)
    more = f"<p>The {SHOWN_GROUPS} largest of {len(rows):,} groups.</p>" if len(rows) > SHOWN_GROUPS else ""
    html = f'{more}<div class="wide"><table class="rows"><thead><tr>{head}</tr></thead>{"".join(cells)}</table></div>'
    report.sections.append(Section(f"Groups by {name}", html))


def _written(value: float | None) -> str:
    return "—" if value is None else f"{value:.3g}"
