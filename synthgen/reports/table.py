"""The report of a synthetic table."""

from collections.abc import Sequence

import pandas as pd

from synthgen.layout import TableSchema
from synthgen.metrics.table.columns import checked
from synthgen.metrics.table.detection import detector_auc
from synthgen.metrics.table.fairness import representation_gap
from synthgen.metrics.table.fidelity import column_shapes, correlation_matrix, trend_error
from synthgen.metrics.table.privacy import copied_rows
from synthgen.metrics.table.utility import downstream_score
from synthgen.reports.plots import associations, distributions
from synthgen.reports.report import Figure, Progress, Report, Section

__all__ = ["table_report"]

SHOWN_COLUMNS = 40


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
) -> Report:
    """Measures a synthetic table against the real rows that it was made from, and real rows that it has not seen.

    Shape error and Trend error compare all synthetic rows with the training rows, as published protocols do, which
    generate as many rows as there were for training. Errors of this kind grow as samples shrink, so a floor needs equal
    sizes: "at holdout size", n synthetic rows against the training rows stand beside n holdout rows against the
    training rows, where n is the smallest of the three tables' sizes. The detector likewise is set on n holdout rows
    against n synthetic ones, beside n holdout rows against n training rows. TSTR learns from all synthetic rows and
    TRTR from all training rows; both are scored on all holdout rows.

    Without a holdout there are no floors and no TRTR; the detector and TSTR then look at training rows, and a note
    says so.

    Args:
        train: Real rows that the generator learned from.
        holdout: Real rows that it has not seen, or None.
        synthetic: Its rows, with the same columns.
        schema: What the columns are; further columns of the tables are ignored.
        target: Column that a downstream model predicts; the schema's when None. Without either there is no utility.
        sensitive: Columns whose groups shall be as frequent as in the real data.
        name: Of the data, for the title.
        seed: Of subsamples, folds and trees.
        progress: Called before each part.

    Raises:
        SynthgenError: When a table lacks a column or rows, or the target cannot be predicted.
    """
    tell = progress or (lambda _: None)
    target = target if target is not None else schema.target
    train, synthetic = checked(train, schema, "training"), checked(synthetic, schema, "synthetic")
    facts = {"training rows": len(train), "synthetic rows": len(synthetic), "columns": len(schema)}
    if holdout is not None:
        holdout = checked(holdout, schema, "holdout")
        facts["holdout rows"] = len(holdout)
    report = Report(f"Synthetic data report: {name}", facts={**facts, "seed": seed})

    tell("comparing columns and pairs")
    shapes = column_shapes(train, synthetic, schema)
    report.figures += _fidelity(train, holdout, synthetic, schema, shapes, seed)
    tell("training the detector")
    report.figures.append(_detector(train, holdout, synthetic, schema, seed))
    if target is not None:
        tell(f"predicting {target}")
        report.figures.append(_utility(train, holdout, synthetic, schema, target, seed))
    tell("looking for copies")
    report.figures.append(_copies(train, holdout, synthetic))
    report.figures += [_representation(train, holdout, synthetic, schema, column) for column in sensitive]
    report.notes = _notes(holdout is not None, target)

    tell("drawing")
    report.sections = _sections(train, synthetic, schema, shapes)
    return report


def _fidelity(
    train: pd.DataFrame,
    holdout: pd.DataFrame | None,
    synthetic: pd.DataFrame,
    schema: TableSchema,
    shapes: pd.Series,
    seed: int,
) -> list[Figure]:
    def trend(other: pd.DataFrame) -> float:
        return trend_error(train, other, schema)

    def shape(other: pd.DataFrame) -> float:
        return float(1 - column_shapes(train, other, schema).mean())

    def figure(name: str, value: float, description: str, floor: float | None = None) -> Figure:
        return Figure(name, value, "fidelity", "lower", description, floor, percent=True)

    about_shape = (
        "Mean distance between each column's real and synthetic distribution. Blind to how columns belong together."
    )
    about_trend = (
        "Mean distance between the real and synthetic association of each pair of columns. "
        "Blind to what three or more columns do together, and to rare values."
    )
    figures = [figure("Shape error", float(1 - shapes.mean()), about_shape)]
    pairs = len(schema) > 1
    if pairs:
        figures.append(figure("Trend error", trend(synthetic), about_trend))
    if holdout is None:
        return figures
    rows = min(map(len, (train, holdout, synthetic)))
    few, real = _rows(synthetic, rows, seed), _rows(holdout, rows, seed)
    sized = f"with {rows:,} rows on the synthetic side and as many holdout rows for “Real”: the comparison to trust."
    figures.append(figure("Shape error at holdout size", shape(few), f"Shape error {sized}", shape(real)))
    if pairs:
        figures.append(figure("Trend error at holdout size", trend(few), f"Trend error {sized}", trend(real)))
    return figures


def _representation(
    train: pd.DataFrame, holdout: pd.DataFrame | None, synthetic: pd.DataFrame, schema: TableSchema, column: str
) -> Figure:
    description = (
        f"Largest difference of a group's share, by {column}, between training and synthetic rows. "
        "Blind to whether the rows of a group are as good as those of others."
    )
    floor = None if holdout is None else representation_gap(train, holdout, schema, column)
    value = representation_gap(train, synthetic, schema, column)
    return Figure(f"Representation gap ({column})", value, "fairness", "lower", description, floor, percent=True)


def _detector(
    train: pd.DataFrame, holdout: pd.DataFrame | None, synthetic: pd.DataFrame, schema: TableSchema, seed: int
) -> Figure:
    floor = None
    if holdout is None:
        value = detector_auc(train, synthetic, schema, seed)
        against = "training"
    else:
        rows = min(map(len, (train, holdout, synthetic)))
        real = _rows(holdout, rows, seed)
        value = detector_auc(real, _rows(synthetic, rows, seed), schema, seed)
        floor = detector_auc(real, _rows(train, rows, seed), schema, seed)
        against = "holdout"
    description = (
        f"How well boosted trees tell synthetic rows from {against} rows: 0.5 is guessing, 1 is every time. "
        "It grows with the number of rows, and one tell-tale column is enough."
    )
    return Figure("Detector AUC", value, "fidelity", "closer to 0.5", description, floor)


def _utility(
    train: pd.DataFrame,
    holdout: pd.DataFrame | None,
    synthetic: pd.DataFrame,
    schema: TableSchema,
    target: str,
    seed: int,
) -> Figure:
    score = downstream_score(synthetic, train if holdout is None else holdout, schema, target, seed)
    reference = None if holdout is None else downstream_score(train, holdout, schema, target, seed).value
    description = (
        f"Boosted trees learn {target} from synthetic rows and are scored on real "
        f"{'training' if holdout is None else 'holdout'} rows; TRTR learns from real ones. "
        "Says nothing of other targets, models or analyses."
    )
    beside = "" if reference is None else "TRTR"
    return Figure(
        f"TSTR {score.name}",
        score.value,
        "utility",
        "higher",
        description,
        reference=reference,
        reference_name=beside,
    )


def _copies(train: pd.DataFrame, holdout: pd.DataFrame | None, synthetic: pd.DataFrame) -> Figure:
    return Figure(
        "Copied rows",
        copied_rows(train, synthetic).value,
        "privacy",
        "no more than real",
        "Share of synthetic rows that occur exactly among the training rows; tables of few columns repeat by chance. "
        "Rows that were all but copied are not counted, so 0 proves no privacy.",
        None if holdout is None else copied_rows(train, holdout).value,
        percent=True,
    )


def _notes(held_out: bool, target: str | None) -> list[str]:
    notes = []
    if not held_out:
        notes.append(
            "No holdout was given: figures compare with training rows, there is no real figure to hold them against, "
            "and TRTR is absent. A generator that copies its training rows looks best here."
        )
    if target is None:
        notes.append("No target was given: utility was not measured.")
    return notes


def _sections(train: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, shapes: pd.Series) -> list[Section]:
    shown: Sequence[str] = schema.names
    remark = ""
    if len(schema) > SHOWN_COLUMNS:
        worst = set(shapes.sort_values(kind="stable").index[:SHOWN_COLUMNS])
        shown = [column for column in schema.names if column in worst]
        remark = f"The {SHOWN_COLUMNS} of {len(schema)} columns whose distribution is furthest off are shown."
    part = TableSchema(tuple(schema[column] for column in shown))
    sections = [Section("Distributions", distributions(train, synthetic, part, shapes, remark))]
    if len(part) > 1:
        pictures = associations(correlation_matrix(train, part), correlation_matrix(synthetic, part), remark)
        sections.append(Section("Associations", pictures))
    return sections


def _rows(frame: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    return frame if len(frame) == rows else frame.sample(rows, random_state=seed)
