"""Pictures of two tables side by side, as HTML fragments that draw themselves with the page's plotly.js."""

from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from synthgen.layout import Column, Kind, TableSchema
from synthgen.metrics.table.columns import numbers, shared_codes

__all__ = ["associations", "distributions"]

REAL, SYNTHETIC = "#7b93a9", "#e4572e"
BINS = 40
CATEGORIES = 20


def distributions(
    real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, shapes: pd.Series, remark: str = ""
) -> str:
    """One small plot a column: a histogram where it is numerical, else bars of its 20 most frequent values."""
    key = f'<p class="key"><i style="background:{REAL}"></i>real<i style="background:{SYNTHETIC}"></i>synthetic</p>'
    plots = []
    for position, column in enumerate(schema):
        draw = _histogram if column.numerical else _bars
        figure, said = draw(real, synthetic, column)
        caption = " · ".join([f"similarity {shapes[column.name]:.3f}", *said])
        plots.append(
            f'<div class="plot"><h3>{escape(column.name)}</h3><small>{escape(caption)}</small>'
            f"{_fragment(figure, f'column-{position}', 230)}</div>"
        )
    return f"<p>{escape(remark)}</p>{key}" + f'<div class="plots">{"".join(plots)}</div>'


def associations(real: pd.DataFrame, synthetic: pd.DataFrame, remark: str = "") -> str:
    """Two square association matrices, as `correlation_matrix` gives them, and their difference."""
    names = [_label(name) for name in real.columns]
    figure = make_subplots(1, 3, subplot_titles=("real", "synthetic", "synthetic − real"), horizontal_spacing=0.03)
    difference = synthetic - real
    for position, matrix in enumerate((real, synthetic, difference), start=1):
        heatmap = go.Heatmap(
            z=matrix.to_numpy().round(3),
            x=names,
            y=names,
            coloraxis="coloraxis",
            hovertemplate="%{y}<br>%{x}<br>%{z}<extra></extra>",
        )
        figure.add_trace(heatmap, 1, position)
    figure.update_yaxes(autorange="reversed", showticklabels=False, constrain="domain", type="category")
    figure.update_xaxes(tickangle=-60, constrain="domain", tickfont_size=10, type="category", dtick=1)
    figure.update_yaxes(showticklabels=True, tickfont_size=10, dtick=1, col=1)
    figure.update_layout(
        coloraxis={"colorscale": "RdBu", "cmin": -1, "cmax": 1, "colorbar": {"thickness": 12, "len": 0.8}},
        margin={"l": 110, "r": 10, "t": 30, "b": 110},
    )
    figure.update_layout(showlegend=False)
    height = 340 + 8 * max(len(names) - 12, 0)
    said = (
        "Pearson’s correlation for two numbers, Cramér’s V for two categories, the correlation ratio for one of each. "
        + remark
    )
    return f'<p>{escape(said)}</p><div class="wide">{_fragment(figure, "associations", height)}</div>'


def _histogram(real: pd.DataFrame, synthetic: pd.DataFrame, column: Column) -> tuple[go.Figure, list[str]]:
    sides = [numbers(frame[column.name]) for frame in (real, synthetic)]
    present = [side[~np.isnan(side)] for side in sides]
    edges = _edges(*present)
    shares, beyond = [], []
    for side in present:
        count = np.histogram(side, edges)[0]
        shares.append(count / max(len(side), 1))
        beyond.append(1 - count.sum() / max(len(side), 1))
    figure = go.Figure()
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    figure.add_bar(x=middle, y=shares[0], width=width, marker_color=REAL, marker_line_width=0, name="real")
    # Steps, not bars, for the second: where the two overlap both stay visible.
    steps = {"color": SYNTHETIC, "width": 2, "shape": "hv"}
    closed = np.concatenate([[0], shares[1], [0]])
    figure.add_scatter(
        x=np.concatenate([edges[:1], edges]), y=closed, mode="lines", line=steps, name="synthetic", hoverinfo="skip"
    )
    figure.update_layout(bargap=0)
    said = _missing([float(np.isnan(side).mean()) for side in sides])
    if max(beyond) > 5e-4:
        said.append(f"beyond the picture: {beyond[0]:.1%} real, {beyond[1]:.1%} synthetic")
    return figure, said


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


def _bars(real: pd.DataFrame, synthetic: pd.DataFrame, column: Column) -> tuple[go.Figure, list[str]]:
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
    figure = go.Figure()
    for label, color, height in zip(("real", "synthetic"), (REAL, SYNTHETIC), heights, strict=True):
        # Positions, not names, as x: two values may be shortened to one label.
        figure.add_bar(x=list(range(len(labels))), y=height, marker_color=color, name=label)
    figure.update_layout(barmode="group", bargap=0.25)
    angle = -40 if sum(map(len, labels)) > 50 else 0  # labels that end at their bar are not cut off at the right
    figure.update_xaxes(tickvals=list(range(len(labels))), ticktext=labels, tickfont_size=10, tickangle=angle)
    return figure, _missing(missing)


def _missing(rates: list[float]) -> list[str]:
    return [f"missing: {rates[0]:.1%} real, {rates[1]:.1%} synthetic"] if max(rates) > 0 else []


def _label(value: object) -> str:
    """Text for an axis: short, and escaped because plotly reads tags in it."""
    text = str(value)
    return escape(text if len(text) <= 18 else text[:17] + "…", quote=False)


def _fragment(figure: go.Figure, name: str, height: int) -> str:
    figure.update_layout(template="plotly_white", height=height, showlegend=False)
    if not figure.layout.margin.l:
        figure.update_layout(margin={"l": 44, "r": 8, "t": 8, "b": 36})
        figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_layout(font_family='system-ui, "DejaVu Sans", sans-serif')
    return str(
        figure.to_html(
            full_html=False, include_plotlyjs=False, div_id=name, config={"displayModeBar": False, "responsive": True}
        )
    )
