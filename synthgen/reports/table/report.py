"""The report of a synthetic table."""

import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from synthgen.layout import TableSchema
from synthgen.metrics.table.columns import checked
from synthgen.metrics.table.fairness import Representation
from synthgen.metrics.table.privacy import ClosestRecords
from synthgen.metrics.table.utility import Scores
from synthgen.reports.report import Progress, Report
from synthgen.reports.table.fairness import add_fairness
from synthgen.reports.table.fidelity import add_details, add_detection, add_manifold, add_marginals, add_support
from synthgen.reports.table.findings import add_findings
from synthgen.reports.table.plots import columns_section, pairs_section
from synthgen.reports.table.privacy import add_privacy
from synthgen.reports.table.sides import Sides
from synthgen.reports.table.utility import add_utility
from synthgen.reports.table.verdicts import add_verdicts

__all__ = ["table_report"]

# Listed in report.json: all of 200 columns. Those of 1,000 would take 75 MB.
PAIRS = 20_000


def table_report(
    train: pd.DataFrame,
    holdout: pd.DataFrame | None,
    synthetic: pd.DataFrame,
    schema: TableSchema,
    *,
    target: str | None = None,
    sensitive: Sequence[str] = (),
    name: str = "table",
    seed: int = 0,
    progress: Progress | None = None,
    entities: tuple[Sequence[Any], Sequence[Any]] | None = None,
    dates: Collection[str] = (),
) -> Report:
    """Measures a synthetic table against the real rows that it was made from, and real rows that it has not seen.

    Shape error, Trend error and C2ST compare all synthetic rows with the training rows, as published protocols do,
    which generate as many rows as there were for training. Errors of this kind grow as samples shrink, so a floor needs
    equal sizes: all other figures of fidelity compare n synthetic rows with the training rows, beside n holdout rows
    with the training rows, where n is the smallest of the three tables' sizes. The detector is set on n holdout rows
    against n synthetic ones, beside n holdout rows against n training rows. TSTR learns from synthetic rows and TRTR
    from training rows; both are scored on holdout rows. Of large tables a part is looked at: C2ST and detector, 50,000
    rows a side; utility, 100,000 rows to learn from and 50,000 to be scored on; privacy, 25,000 real rows a side.

    Without a holdout there are no floors, no TRTR and no test of copying; the detector and TSTR then look at training
    rows, and a note says so. Where the holdout is made of training rows a warning and a note say that.

    Args:
        train: Real rows that the generator learned from.
        holdout: Real rows that it has not seen, or None.
        synthetic: Its rows, with the same columns.
        schema: What the columns are; further columns of the tables are ignored.
        target: Column that a downstream model predicts; the schema's when None. Without either there is no utility.
        sensitive: Columns whose groups shall be as frequent as in the real data, and be treated as there.
        name: Of the data, for the title.
        seed: Of subsamples, folds and trees.
        progress: Called before each part.
        entities: For each training row and each holdout row the entity, such as a person, that it belongs to, where
            whole entities were held out: the test of copying then looks at one row of each.
        dates: Columns that hold dates as seconds since 1970, for sentences.

    Raises:
        SynthgenError: When a table lacks a column or rows, or the target cannot be predicted.
    """
    tell = progress or (lambda _part, _share: None)
    target = target if target is not None else schema.target
    sides = Sides(
        checked(train, schema, "training"),
        None if holdout is None else checked(holdout, schema, "holdout"),
        checked(synthetic, schema, "synthetic"),
        schema,
        seed,
        entities,
        dates,
    )
    facts: dict[str, Any] = {"training rows": len(train), "synthetic rows": len(synthetic), "columns": len(schema)}
    if holdout is not None:
        facts["holdout rows"] = len(holdout)
    if target is not None:
        facts["target"] = target
    if sensitive:
        facts["sensitive"] = ", ".join(sensitive)
    report = Report(f"Synthetic data report: {name}", "table", facts={**facts, "seed": seed})
    if sides.not_held_out:
        warnings.warn(sides.not_held_out, stacklevel=2)
    for column in sensitive:
        schema[column]  # an unknown one is told before the work begins

    # What later steps read of earlier ones.
    predictions: dict[str, Scores] = {}
    records: list[ClosestRecords | None] = []
    groups: dict[str, Representation] = {}

    def predict() -> None:
        if target is not None:
            predictions.update(add_utility(report, sides, target))

    def copies() -> None:
        records.append(add_privacy(report, sides))

    def fairness() -> None:
        groups.update(add_fairness(report, sides, sensitive, predictions, target))

    def conclude() -> None:
        add_findings(report, sides, records[0], predictions, groups)
        add_verdicts(report, sides, target, predictions, records[0], sensitive, groups)
        report.notes += _notes(sides, target)

    def draw() -> None:
        pictures = [columns_section(sides, report.details["columns"])]
        if len(schema) > 1:
            pictures.append(pairs_section(sides, report.details["pairs"], report.details.get("triples", [])))
        report.sections = [*pictures, *report.sections]
        pairs = report.details["pairs"]
        if len(pairs) > PAIRS:
            report.notes.append(f"Of {len(pairs):,} pairs of columns the {PAIRS:,} that are furthest off are listed.")
            furthest = np.argsort([-row["error"] for row in pairs], kind="stable")[:PAIRS]
            report.details["pairs"] = [pairs[index] for index in furthest]

    steps: list[tuple[str, Callable[[], None]]] = [
        *([(f"predicting {target}", predict)] if target is not None else []),
        ("comparing columns and pairs", lambda: add_details(report, sides)),
        ("comparing marginals", lambda: add_marginals(report, sides)),
        ("training the detector", lambda: add_detection(report, sides)),
        ("comparing clouds of rows", lambda: add_manifold(report, sides)),
        ("looking for what is left out", lambda: add_support(report, sides)),
        ("looking for copies", copies),
        *([("comparing groups", fairness)] if sensitive else []),
        ("concluding", conclude),
        ("drawing", draw),
    ]
    for number, (part, step) in enumerate(steps):
        tell(part, number / len(steps))
        step()
    return report


def _notes(sides: Sides, target: str | None) -> list[str]:
    notes = [sides.not_held_out] if sides.not_held_out else []
    if sides.holdout is None:
        notes.append(
            "No holdout was given: figures compare with training rows, there is no real figure to hold them against, "
            "and TRTR and the test of copying are absent. A generator that copies its training rows looks best here."
        )
    if target is None:
        notes.append("No target was given: utility was not measured.")
    return notes
