"""Figures of a table's fidelity, each beside the same figure of held-out rows."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from synthgen.layout import TableSchema
from synthgen.metrics.intervals import Estimate, bootstrapped, proportion
from synthgen.metrics.table.detection import ROWS, c2st, detector_estimate
from synthgen.metrics.table.fidelity import column_shapes, pair_trends, shape_error, trend_error
from synthgen.metrics.table.manifold import alpha_precision_beta_recall, row_prdc
from synthgen.metrics.table.marginals import triple_marginals
from synthgen.metrics.table.support import (
    category_coverage,
    duplicate_rows,
    missing_pattern_distance,
    missing_rates,
    range_coverage,
    rare_categories,
)
from synthgen.reports.report import Figure, Report
from synthgen.reports.table.sides import Sides

__all__ = ["add_details", "add_detection", "add_manifold", "add_marginals", "add_support"]

RESAMPLED = 2_000  # rows that intervals of marginals are resampled from
RESAMPLES = 20
RESAMPLED_TRIPLES = 100
MANIFOLD = 5_000  # rows a side for figures whose cost is quadratic
FOUND_TRIPLES = 50

Metric = Callable[[pd.DataFrame, pd.DataFrame, TableSchema], float]


def add_marginals(report: Report, sides: Sides) -> None:
    """Columns, pairs and triples."""
    error = partial(Figure, face="fidelity", better="lower", percent=True)
    kinds: list[tuple[str, Metric, str, int]] = [
        (
            "Shape error",
            shape_error,
            "Mean distance between each column's real and synthetic distribution. Blind to how columns belong "
            "together.",
            1,
        ),
        (
            "Trend error",
            trend_error,
            "Mean distance between the real and synthetic association of each pair of columns. Blind to what three "
            "or more columns do together, and to rare values.",
            2,
        ),
    ]
    kinds = [kind for kind in kinds if len(sides.schema) >= kind[3]]
    for name, metric, about, _ in kinds:
        value = metric(sides.train, sides.synthetic, sides.schema)
        whole = f"{about} Of all rows: the floor stands at holdout size."
        report.figures.append(error(name, value, description=about if sides.holdout is None else whole))
    if sides.holdout is None:
        return
    sized = (
        f"with {sides.rows:,} rows on the synthetic side and as many holdout rows for “Real”: the comparison to trust."
    )
    for name, metric, _, _ in kinds:
        figure = error(f"{name} at holdout size", np.nan, description=f"{name} {sized}", key=True)
        found = (
            _around(metric(sides.train, side, sides.schema), metric, sides, side) for side in (sides.few, sides.real)
        )
        report.figures.append(figure.measured(*found))
    if len(sides.schema) >= 3:
        sets = (sides.few, sides.real)
        triples = [triple_marginals(sides.train, side, sides.schema, seed=sides.seed) for side in sets]
        looked = len(triples[0].distances)
        few = "" if looked == triples[0].possible else f" {looked:,} of {triples[0].possible:,} triples were looked at."
        about = f"Mean total variation of three columns at a time, {sized}{few} Blind to what only four columns show."
        figure = error("Triples error at holdout size", np.nan, description=about)
        report.figures.append(
            figure.measured(*(_around(one.error, _triples_error, sides, side) for one, side in zip(triples, sets)))
        )
        floors = dict(zip(triples[1].distances.index.tolist(), triples[1].distances.tolist()))
        worst = triples[0].distances.iloc[:FOUND_TRIPLES]
        report.details["triples"] = [
            {"columns": list(names), "error": distance, "floor": floors[names]}
            for names, distance in zip(worst.index.tolist(), worst.tolist())
        ]


def add_detection(report: Report, sides: Sides) -> None:
    """Classifiers that tell synthetic rows from real ones."""
    against = "training" if sides.holdout is None else "holdout"
    detector = Figure(
        "Detector AUC",
        np.nan,
        "fidelity",
        "closer to 0.5",
        f"How well boosted trees (scikit-learn's) tell synthetic rows from {against} rows: 0.5 is guessing, 1 is "
        "every time. It grows with the number of rows, and one tell-tale column is enough.",
        key=True,
    )
    if sides.rows < 3:
        report.notes.append(f"{sides.rows} rows are too few for a detector: none was trained.")
        return
    if sides.holdout is None:
        report.figures.append(
            detector.measured(detector_estimate(sides.train, sides.synthetic, sides.schema, sides.seed))
        )
    else:
        found = [detector_estimate(sides.real, side, sides.schema, sides.seed) for side in (sides.few, sides.known)]
        report.figures.append(detector.measured(*found))
    judged = c2st(sides.train, sides.synthetic, sides.schema, sides.seed)
    report.figures.append(
        Figure(
            "C2ST",
            np.nan,
            "fidelity",
            "higher",
            f"1 − mean over 3 folds of (max(½, AUC) · 2 − 1) by {judged.classifier}, of "
            f"{min(len(sides.train), len(sides.synthetic), ROWS):,} training rows against as many synthetic ones. "
            "Copies of them score best, and figures by other classifiers do not compare.",
        ).measured(judged)
    )


def add_manifold(report: Report, sides: Sides) -> None:
    """How the clouds of rows lie within each other."""
    rows = min(sides.rows, MANIFOLD)
    if rows < 6:
        return
    of = f"{rows:,} rows a side"
    figure = partial(Figure, value=np.nan, face="fidelity", percent=True)
    sets = [sides.few] if sides.holdout is None else [sides.few, sides.real]
    alphas = [alpha_precision_beta_recall(sides.train, side, sides.schema, rows=rows, seed=sides.seed) for side in sets]
    report.figures += [
        figure(
            "Alpha-precision",
            better="higher",
            description=(
                f"Falls where synthetic rows lie further out, or further in, than real ones; {of}, naive form. It "
                "sees the distance to the middle alone and is easily high."
            ),
        ).measured(*(one.alpha_precision for one in alphas)),
        figure(
            "Beta-recall",
            better="as high as real",
            description=(
                f"Falls where real rows have no synthetic row as near as their nearest real one; {of}. About ½ for "
                "real rows; more rewards copies."
            ),
        ).measured(*(one.beta_recall for one in alphas)),
    ]
    clouds = [row_prdc(sides.train, side, sides.schema, rows=rows, seed=sides.seed) for side in sets]
    for name, better, about in (
        (
            "precision",
            "higher",
            "Share of synthetic rows that lie among real ones. Copies of a few good rows score well.",
        ),
        ("recall", "higher", "Share of real rows that lie among synthetic ones. Falls when kinds of rows are missing."),
        ("density", "closer to real", "How many real rows each synthetic one lies near, beside a real one's."),
        ("coverage", "higher", "Share of real rows that have a synthetic one near them."),
    ):
        values = [getattr(cloud, name) for cloud in clouds]
        one = figure(name.capitalize(), better=better, description=f"{about} {of}, 5 neighbours.")
        if name == "density":  # no share: a row may lie near many
            floor = values[1] if len(values) > 1 else None
            report.figures.append(replace(one, value=values[0], floor=floor, percent=False))
        else:
            report.figures.append(one.measured(*(proportion(round(value * rows), rows) for value in values)))


def add_support(report: Report, sides: Sides) -> None:
    """What is left out or repeated: values, rare ones, rows, missing cells."""
    held_out = sides.holdout is not None
    sets = [sides.few, sides.real] if held_out else [sides.few]
    figure = partial(Figure, face="fidelity", percent=True)

    def add(name: str, values: list[float], better: str, about: str) -> None:
        if not np.isnan(values[0]):
            floor = values[1] if len(values) > 1 else None
            report.figures.append(figure(name, values[0], better=better, description=about, floor=floor))

    rare = [rare_categories(sides.train, side, sides.schema) for side in sets]
    if not np.isnan(rare[0].error):
        about = (
            "Mean relative error of the frequency of categories that fewer than 5 % of training rows have, in "
            f"{sides.rows:,} rows. Says nothing of what rare rows look like."
        )
        found = [_around(one.error, _rare_error, sides, side, np.inf) for one, side in zip(rare, sets)]
        report.figures.append(figure("Rare category error", np.nan, better="lower", description=about).measured(*found))
    add(
        "Rare categories absent",
        [one.absent for one in rare],
        "as real",
        f"Share of these categories that never occur in {sides.rows:,} rows.",
    )
    categories = [category_coverage(sides.train, side, sides.schema).mean() for side in sets]
    add("Categories covered", categories, "as real", f"Share of categories that occur in {sides.rows:,} rows.")
    ranges = [range_coverage(sides.train, side, sides.schema).mean() for side in sets]
    add("Range covered", ranges, "as real", "Share of each number's range between its smallest and largest value.")
    add(
        "Repeated rows",
        [duplicate_rows(sides.known, side, sides.schema, seed=sides.seed).synthetic for side in sets],
        "as real",
        "Share of rows that equal an earlier one of their own table. More says that a generator has few rows to tell.",
    )
    if missing_rates(sides.train, sides.synthetic, sides.schema)[["real", "synthetic"]].to_numpy().any():
        add(
            "Missing pattern error",
            [missing_pattern_distance(sides.train, side, sides.schema) for side in sets],
            "lower",
            "Total variation between the sets of columns that rows lack together.",
        )
    whole = rare_categories(sides.train, sides.synthetic, sides.schema).categories
    other = rare[-1].categories
    held = dict(zip(zip(other["column"], other["category"]), other["synthetic"]))
    whole["holdout"] = [held[key] if held_out else None for key in zip(whole["column"], whole["category"])]
    report.details["rare_categories"] = [
        {str(name): value for name, value in row.items()} for row in whole.to_dict("records")
    ]


def add_details(report: Report, sides: Sides) -> None:
    """Every column and every pair."""
    whole = 1 - column_shapes(sides.train, sides.synthetic, sides.schema)
    missing = missing_rates(sides.train, sides.synthetic, sides.schema)
    coverage = pd.concat(
        [measure(sides.train, sides.synthetic, sides.schema) for measure in (category_coverage, range_coverage)]
    )
    sized = [whole.map(lambda _: None)] * 2
    if sides.holdout is not None:
        sized = [1 - column_shapes(sides.train, side, sides.schema) for side in (sides.few, sides.real)]
    report.details["columns"] = [
        {
            "name": column.name,
            "kind": str(column.kind),
            "error": whole[column.name],
            "error_at_holdout_size": sized[0][column.name],
            "floor": sized[1][column.name],
            "missing": missing.loc[column.name, "synthetic"],
            "missing_real": missing.loc[column.name, "real"],
            "coverage": coverage[column.name],
        }
        for column in sides.schema
    ]
    sets = [sides.synthetic] if sides.holdout is None else [sides.synthetic, sides.few, sides.real]
    trends = [1 - pair_trends(sides.train, side, sides.schema).to_numpy() for side in sets]
    names = sides.schema.names
    report.details["pairs"] = [
        {
            "columns": [names[i], names[j]],
            "error": trends[0][i, j],
            "error_at_holdout_size": trends[1][i, j] if len(trends) > 1 else None,
            "floor": trends[2][i, j] if len(trends) > 1 else None,
        }
        for i, j in zip(*np.triu_indices(len(names), 1))
    ]


def _triples_error(real: pd.DataFrame, other: pd.DataFrame, schema: TableSchema) -> float:
    return triple_marginals(real, other, schema, triples=RESAMPLED_TRIPLES).error


def _rare_error(real: pd.DataFrame, other: pd.DataFrame, schema: TableSchema) -> float:
    return rare_categories(real, other, schema).error


def _around(value: float, metric: Metric, sides: Sides, other: pd.DataFrame, most: float = 1.0) -> Estimate:
    """A figure of all rows with its interval: over other rows of `other`, on which most of its spread rests."""
    if len(other) < 2:
        return Estimate(value, 0.0, most)
    few = sides.train if len(sides.train) <= RESAMPLED else sides.train.sample(RESAMPLED, random_state=sides.seed)
    found = bootstrapped(
        lambda rows: metric(few, other.iloc[rows], sides.schema),
        len(other),
        seed=sides.seed,
        resamples=RESAMPLES,
        most=RESAMPLED,
    )
    moved = value - found.value
    return Estimate(value, max(found.low + moved, 0.0), min(found.high + moved, most))
