"""Columns and pairs of two tables side by side, as fragments that the page's script fills with plotly figures."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthgen.layout import Column, Kind, TableSchema
from synthgen.metrics.table.columns import numbers, shared_codes
from synthgen.metrics.table.fidelity import correlation_matrix
from synthgen.reports.report import Section
from synthgen.reports.table.sides import Sides

__all__ = ["columns_section", "pairs_section"]

BINS = 40
CATEGORIES = 20
CARDS = 1000  # columns, at most
MATRIX = 40  # columns of the association matrices, at most
LISTED = 15  # worst pairs, and triples
TALL = 210

Plot = dict[str, Any]


def columns_section(sides: Sides, columns: Sequence[dict[str, Any]]) -> Section:
    """One card a column, found by its name: a histogram of numbers, else bars of the 20 most frequent values.

    Args:
        sides: The tables.
        columns: `Report.details["columns"]`.
    """
    real, synthetic = sides.train, sides.synthetic
    shown = sorted(sorted(columns, key=_error)[-CARDS:], key=columns.index)
    plots, cards = {}, []
    for position, row in enumerate(shown):
        column = sides.schema[row["name"]]
        plot, said = (_histogram if column.numerical else _bars)(real, synthetic, column)
        plots[f"column-{position}"] = plot
        cards.append(
            f'<article class="plot" data-name="{escape(column.name)}" data-error="{_error(row):.6f}">'
            f"<h3>{escape(column.name)}</h3><small>{escape(' · '.join([_off(row), *said]))}</small>"
            f'<div class="chart" data-plot="column-{position}" style="height:{TALL}px" role="img" '
            f'aria-label="{escape(column.name)}, real and synthetic: {escape(_off(row))}"></div></article>'
        )
    finder = (
        '<div class="finder" data-list="columns"><input type="search" placeholder="find a column" '
        'aria-label="find a column"><select aria-label="order"><option value="given">as in the table</option>'
        '<option value="worst">worst first</option></select><output></output>'
        '<p class="key"><i class="real"></i>real (training)<i class="synthetic"></i>synthetic</p></div>'
    )
    more = ""
    if len(shown) < len(columns):
        more = f"<p>The {CARDS:,} of {len(columns):,} columns whose distribution is furthest off.</p>"
    return Section("Columns", f'{more}{finder}<div class="plots" id="columns">{"".join(cards)}</div>', plots)


def pairs_section(sides: Sides, pairs: Sequence[dict[str, Any]], triples: Sequence[dict[str, Any]]) -> Section:
    """Associations of every two columns on both sides, how far each pair is off, and the worst of them.

    Args:
        sides: The tables.
        pairs: `Report.details["pairs"]`.
        triples: `Report.details["triples"]`.
    """
    names = sides.schema.names
    place = {name: index for index, name in enumerate(names)}
    found = np.zeros((len(names), len(names)))
    for row in pairs:
        a, b = (place[name] for name in row["columns"])
        found[a, b] = found[b, a] = row["error"]
    errors = pd.DataFrame(found, index=names, columns=names)
    remark = ""
    if len(names) > MATRIX:
        worst = set(errors.sum().sort_values(kind="stable").index[-MATRIX:])
        names = [name for name in names if name in worst]
        remark = f" The {MATRIX} of {len(errors):,} columns whose pairs are furthest off."
    part = TableSchema(tuple(sides.schema[name] for name in names))
    matrices = {
        "real": correlation_matrix(sides.train, part),
        "synthetic": correlation_matrix(sides.synthetic, part),
        "error of each pair": errors.loc[names, names],
    }
    plots, charts = {}, []
    height = 300 + 7 * max(len(names) - 10, 0)
    for title, matrix in matrices.items():
        key = f"pairs-{title.split()[0]}"
        plots[key] = _heatmap(matrix)
        charts.append(
            f'<article class="plot"><h3>{escape(title)}</h3>'
            f'<div class="chart" data-plot="{key}" style="height:{height}px" role="img" '
            f'aria-label="{escape(title)}, a heat map; report.json lists its numbers"></div></article>'
        )
    said = (
        "Pearson’s correlation for two numbers, Cramér’s V for two categories, the correlation ratio for one of "
        f"each. Orange is positive, blue negative.{remark}"
    )
    html = f'<p>{escape(said)}</p><div class="plots">{"".join(charts)}</div>'
    html += _worst("Pairs furthest off", pairs)
    if triples:
        html += _worst("Triples furthest off", triples)
    return Section("Pairs", html, plots)


def _error(row: dict[str, Any]) -> float:
    return float(row["error"])


def _off(row: dict[str, Any]) -> str:
    if row["floor"] is None:
        return f"off by {100 * row['error']:.2f} %"
    return (
        f"off by {100 * row['error']:.2f} %; at holdout size {100 * row['error_at_holdout_size']:.2f} %, real rows "
        + (f"{100 * row['floor']:.2f} %")
    )


def _worst(title: str, rows: Sequence[dict[str, Any]]) -> str:
    """A table of the rows furthest beyond their floor, or furthest off where there is none."""

    def sized(row: dict[str, Any]) -> float:
        return float(row["error"] if row.get("error_at_holdout_size") is None else row["error_at_holdout_size"])

    held_out = bool(rows) and rows[0]["floor"] is not None
    order = sorted(rows, key=lambda row: -(sized(row) - (row["floor"] or 0.0)))[:LISTED]
    cells = []
    for row in order:
        real = f'<td class="number">{100 * row["floor"]:.2f} %</td>' if held_out else ""
        cells.append(
            f"<tr><td>{escape(' × '.join(row['columns']))}</td>"
            f'<td class="number">{100 * sized(row):.2f} %</td>{real}</tr>'
        )
    head = '<th>columns</th><th class="number">off by</th>' + ('<th class="number">real rows</th>' if held_out else "")
    table = f'<table class="rows"><thead><tr>{head}</tr></thead>{"".join(cells)}</table>'
    return f'<h3 class="part">{escape(title)}</h3><div class="wide">{table}</div>'


def _heatmap(matrix: pd.DataFrame) -> Plot:
    labels = [_label(name, 15) for name in matrix.columns]
    ticks = {"tickvals": list(range(len(labels))), "ticktext": labels, "tickfont": {"size": 9}}
    trace = {
        "type": "heatmap",
        "z": _rounded(matrix.to_numpy(), 3),
        "text": [[f"{_label(a, 40)}<br>{_label(b, 40)}" for b in matrix.columns] for a in matrix.columns],
        "zmin": -1,
        "zmax": 1,
        "showscale": False,
        "hovertemplate": "%{text}<br>%{z}<extra></extra>",
    }
    if len(labels) > 25:
        del trace["text"]
        trace["hovertemplate"] = "%{z}<extra></extra>"
    layout = {
        "xaxis": {**ticks, "tickangle": -60},
        "yaxis": {**ticks, "autorange": "reversed"},
        "margin": {"l": 92, "r": 4, "t": 4, "b": 84},
    }
    return {"data": [trace], "layout": layout}


def _histogram(real: pd.DataFrame, synthetic: pd.DataFrame, column: Column) -> tuple[Plot, list[str]]:
    sides = [numbers(frame[column.name]) for frame in (real, synthetic)]
    present = [side[~np.isnan(side)] for side in sides]
    edges = _edges(*present)
    shares, beyond = [], []
    for side in present:
        count = np.histogram(side, edges)[0]
        shares.append(count / max(len(side), 1))
        beyond.append(1 - count.sum() / max(len(side), 1))
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    bars = {
        "type": "bar",
        "meta": "real",
        "name": "real",
        "x": _rounded(middle, 9),
        "y": _rounded(shares[0], 5),
        "width": _rounded(width, 9),
    }
    # Steps, not bars, for the second: where the two overlap both stay visible.
    steps = {
        "type": "scatter",
        "mode": "lines",
        "meta": "synthetic",
        "name": "synthetic",
        "line": {"width": 2, "shape": "hv"},
        "x": _rounded(np.concatenate([edges[:1], edges]), 9),
        "y": _rounded(np.concatenate([[0], shares[1], [0]]), 5),
        "hoverinfo": "skip",
    }
    layout = {"bargap": 0, "yaxis": {"tickformat": ".0%", "rangemode": "tozero"}}
    said = _missing([float(np.isnan(side).mean()) for side in sides])
    if max(beyond) > 5e-4:
        said.append(f"beyond the picture: {beyond[0]:.1%} real, {beyond[1]:.1%} synthetic")
    return {"data": [bars, steps], "layout": layout}, said


def _edges(real: NDArray[np.float64], synthetic: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bins over both ranges, but not so far that a few outliers press everything into one bin."""
    both = np.concatenate([real, synthetic])
    if not len(both):
        return np.linspace(0, 1, 2)
    low, high = both.min(), both.max()
    inner = np.quantile(real if len(real) else both, [0.005, 0.995])
    reach = max(inner[1] - inner[0], 0)
    if reach > 0:
        low, high = max(low, inner[0] - reach / 2), min(high, inner[1] + reach / 2)
    if low == high:
        return np.array([low - 0.5, high + 0.5])
    if not (both % 1).any():  # edges between whole numbers, or some bins would hold one more of them than others
        step = max(1, int(np.ceil((high - low) / (2 * BINS))))
        return np.arange(np.ceil(low), np.floor(high) + step + 1, step) - 0.5
    return np.linspace(low, high, BINS + 1)


def _bars(real: pd.DataFrame, synthetic: pd.DataFrame, column: Column) -> tuple[Plot, list[str]]:
    codes, values = shared_codes((real, synthetic), column)
    shares = [np.bincount(side, minlength=len(values) + 1) / len(side) for side in codes]
    missing = [float(side[-1]) for side in shares]
    order = np.argsort(-(shares[0] + 1e-6 * shares[1])[:-1], kind="stable")
    order = order[(shares[0] + shares[1])[order] > 0]
    shown = order[:CATEGORIES]
    if len(order) <= CATEGORIES and column.kind is not Kind.BOOLEAN:
        shown = np.sort(shown)  # all of them: in their own order, which is that of "low", 1, 2, 3 ...
    labels = [_label(values[code]) for code in shown]
    heights = [list(side[shown]) for side in shares]
    if len(order) > CATEGORIES:
        labels.append(f"({len(order) - CATEGORIES} others)")
        for height, side in zip(heights, shares, strict=True):
            height.append(float(side[order[CATEGORIES:]].sum()))
    if max(missing) > 0:
        labels.append("(missing)")
        for height, share in zip(heights, missing, strict=True):
            height.append(share)
    # Positions, not names, as x: two values may be shortened to one label.
    places = list(range(len(labels)))
    bars = [
        {"type": "bar", "meta": side, "name": side, "x": places, "y": _rounded(np.array(height), 5)}
        for side, height in zip(("real", "synthetic"), heights, strict=True)
    ]
    angle = -40 if sum(map(len, labels)) > 45 else 0  # labels that end at their bar are not cut off at the right
    layout = {
        "barmode": "group",
        "bargap": 0.25,
        "xaxis": {"tickvals": places, "ticktext": labels, "tickfont": {"size": 10}, "tickangle": angle},
        "yaxis": {"tickformat": ".0%", "rangemode": "tozero"},
        # Margins that plotly works out for itself never settle on a narrow screen.
        "margin": {"l": 44, "r": 8, "t": 8, "b": 78 if angle else 36},
    }
    return {"data": bars, "layout": layout}, _missing(missing)


def _missing(rates: list[float]) -> list[str]:
    return [f"missing: {rates[0]:.1%} real, {rates[1]:.1%} synthetic"] if max(rates) > 0 else []


def _label(value: object, longest: int = 18) -> str:
    """Text for an axis: short, and escaped because plotly reads tags in it."""
    text = str(value)
    return escape(text if len(text) <= longest else text[: longest - 1] + "…", quote=False)


def _rounded(values: NDArray[np.float64], digits: int) -> list[Any]:
    """Plain numbers of so many significant digits: a page holds thousands of them."""
    return [_rounded(row, digits) if np.ndim(row) else float(f"{row:.{digits}g}") for row in values]
