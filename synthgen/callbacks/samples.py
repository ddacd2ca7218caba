"""Pictures of samples while a model trains."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from synthgen.callbacks.look import Drawn, Found, Look, Real
from synthgen.data.images.images import image_grid
from synthgen.layout import Column, TableSchema
from synthgen.metrics.table.columns import numbers, shared_codes
from synthgen.models.base import Model

__all__ = ["Samples", "marginals"]

_REAL, _SYNTHETIC = "#7b93a9", "#e4572e"
_BINS = 30
_CATEGORIES = 12


class Samples(Look):
    """A grid of images, or the distributions of a table's columns, real beside synthetic.

    Samples come from the same noise at every look: an image of the grid can be followed through training, the files
    `samples/EXAMPLES.png` of the run folder one after another. Images stand in the order of their labels.

    Args:
        images: Images of the grid, at most.
        columns: Columns of a table that are drawn: the target and the first others.
    """

    def __init__(self, images: int = 64, columns: int = 9) -> None:
        self.images = images
        self.columns = columns

    def prepare(self, real: Real, model: Model) -> None:
        """Loads what draws, which takes a second that is not to be the first look's."""
        if not real.images:
            import matplotlib.figure  # noqa: F401

    def look(self, drawn: Drawn) -> Found:
        """Draws."""
        if drawn.real.images:
            shown = drawn.synthetic[: self.images]
            order = np.arange(len(shown)) if shown.labels is None else np.argsort(shown.labels, kind="stable")
            return Found(picture=image_grid(shown.pixels[order]))
        schema = drawn.real.data.codec.schema.measured
        names = sorted(schema.names, key=lambda name: name != schema.target)[: self.columns]
        part = TableSchema(tuple(schema[name] for name in names))
        title = f"after {drawn.seen:,} examples"
        return Found(picture=marginals(drawn.real.compared, drawn.synthetic, part, title))


def marginals(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, title: str = "") -> Image.Image:
    """The distribution of every column of two tables: histograms of numbers, bars of the most frequent values.

    Args:
        real: Real rows.
        synthetic: Synthetic rows.
        schema: What the columns are; all of them are drawn.
        title: Above the picture.
    """
    # Without pyplot, which keeps figures in a global list, and which takes a display where there is one.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = min(3, len(schema))
    down = -(-len(schema) // across)
    wide, high = 4 * across, 2.6 * down + 0.6
    figure = Figure(figsize=(wide, high), dpi=100)
    canvas = FigureCanvasAgg(figure)
    places = list(figure.subplots(down, across, squeeze=False).flat)
    # Set by hand: a layout that measures all texts takes longer than the picture.
    figure.subplots_adjust(0.5 / wide, 0.7 / high, 1 - 0.1 / wide, 1 - 0.7 / high, wspace=0.18, hspace=0.55)
    for place, column in zip(places, schema):
        draw = _histogram if column.numerical else _bars
        draw(place, real, synthetic, column)
        place.set_title(_short(column.name, 40), fontsize=10, parse_math=False)
        place.tick_params(labelsize=8)
        place.spines[["top", "right"]].set_visible(False)
    for place in places[len(schema) :]:
        place.set_axis_off()
    figure.suptitle(title, fontsize=10)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="upper right", ncols=2, fontsize=9, frameon=False)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _histogram(place, real: pd.DataFrame, synthetic: pd.DataFrame, column: Column) -> None:  # type: ignore[no-untyped-def]
    sides = [numbers(frame[column.name]) for frame in (real, synthetic)]
    present = [side[~np.isnan(side)] for side in sides]
    edges = _edges(present[0])
    heights = [np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] / max(len(v), 1) for v in present]
    place.stairs(heights[0], edges, fill=True, color=_REAL, alpha=0.7, label="real")
    place.stairs(heights[1], edges, color=_SYNTHETIC, linewidth=1.6, label="synthetic")
    missing = [float(np.isnan(side).mean()) for side in sides]
    if max(missing) > 0:
        place.set_xlabel(f"missing: {missing[0]:.1%} real, {missing[1]:.1%} synthetic", fontsize=8)


def _edges(real: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bins over nearly all real values; what lies beyond is counted at the ends."""
    low, high = np.quantile(real, [0.005, 0.995]) if len(real) else (0.0, 1.0)
    if low == high and len(real):
        low, high = real.min(), real.max()
    if low == high:
        low, high = low - 0.5, high + 0.5
    if len(real) and not (real % 1).any():  # edges between whole numbers, or some bins would hold more of them
        step = max(1, int(np.ceil((high - low) / _BINS)))
        return np.arange(np.floor(low), np.ceil(high) + step + 1, step) - 0.5
    return np.linspace(low, high, _BINS + 1)


def _bars(place, real: pd.DataFrame, synthetic: pd.DataFrame, column: Column) -> None:  # type: ignore[no-untyped-def]
    codes, values = shared_codes((real, synthetic), column)
    shares = [np.bincount(side, minlength=len(values) + 1) / len(side) for side in codes]
    often = np.argsort(-shares[0][:-1], kind="stable")
    shown = np.sort(often[:_CATEGORIES])
    labels = [_short(str(values[code]), 14) for code in shown]
    heights = [list(side[shown]) for side in shares]
    if len(often) > _CATEGORIES:
        labels.append("others")
        for height, side in zip(heights, shares):
            height.append(float(side[often[_CATEGORIES:]].sum()))
    if max(side[-1] for side in shares) > 0:
        labels.append("missing")
        for height, side in zip(heights, shares):
            height.append(float(side[-1]))
    position = np.arange(len(labels))
    for shift, height, color, label in ((-0.2, heights[0], _REAL, "real"), (0.2, heights[1], _SYNTHETIC, "synthetic")):
        place.bar(position + shift, height, 0.4, color=color, label=label)
    crowded = sum(map(len, labels)) > 30
    place.set_xticks(position, labels, rotation=40 if crowded else 0, ha="right" if crowded else "center")
    for text in place.get_xticklabels():
        text.set_parse_math(False)


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
