"""Rows as points: what it means that a row lies near another one."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthgen.layout import Column, TableSchema
from synthgen.metrics.table.columns import checked, numbers, value_codes

__all__ = ["RowEmbedding"]

WIDTH = 32  # numbers that stand for a category, at most


class RowEmbedding:
    """Rows of mixed columns as points, whose squared distance is a sum over columns of about 1 at most.

    - A number is replaced by its rank among the real values, from 0 for the smallest to 1 for the largest, the middle
      one of equal values; between real values ranks are interpolated. Outside the real range they go on with the slope
      of the whole range, for as long a way as the range is. Two real numbers are 1 apart at most, any two 3.
    - Two different categories are 1 apart. Columns of more than 32 categories get random unit vectors in place of
      one-hot ones, from a seed of their own, so that distances of different categories scatter around 1, by about a
      tenth. Categories that no real row has are one category.
    - Missing is a category of its own; a missing and a present number are between √¾ and 1 apart. An infinite number
      is missing.

    All columns weigh alike. Equal rows are at distance 0 exactly. The distance knows nothing of which columns matter,
    and where there are many columns all rows lie almost equally far from each other.

    Args:
        real: Tables of real rows that give ranks and categories.
        schema: What the columns are.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has no rows.
    """

    def __init__(self, real: Sequence[pd.DataFrame], schema: TableSchema) -> None:
        frames = [checked(frame, schema, "real") for frame in real]
        self.schema = schema
        random = np.random.default_rng(0)
        self.columns: list[_Number | _Category] = [
            _Number(frames, column) if column.numerical else _Category(frames, column, random) for column in schema
        ]

    @property
    def width(self) -> int:
        """Numbers that stand for a row."""
        return sum(column.width for column in self.columns)

    def transform(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Points, shape (rows, width).

        Raises:
            SynthgenError: When the table lacks one of the schema's columns, or has no rows.
        """
        frame = checked(frame, self.schema, "given")
        points = np.empty((len(frame), self.width))
        start = 0
        for name, column in zip(self.schema.names, self.columns, strict=True):
            points[:, start : start + column.width] = column(frame[name])
            start += column.width
        return points


class _Number:
    """Rank and a mark of missing ones, which stand at the middle rank."""

    width = 2

    def __init__(self, frames: Sequence[pd.DataFrame], column: Column) -> None:
        values = np.concatenate([numbers(frame[column.name]) for frame in frames])
        self.values, counts = np.unique(values[~np.isnan(values)], return_counts=True)
        before = np.cumsum(counts) - counts
        ranks = before + (counts - 1) / 2
        # The smallest value has rank 0 and the largest 1 however many equal them.
        span = ranks[-1] - ranks[0] if len(ranks) > 1 else 1.0
        self.ranks = (ranks - ranks[:1]) / span

    def __call__(self, series: pd.Series) -> NDArray[np.float64]:
        values = numbers(series)
        missing = np.isnan(values)
        if not len(self.values):
            ranks = np.full(len(values), 0.5)
        else:
            low, high = self.values[[0, -1]]
            ranks = np.interp(values, self.values, self.ranks)
            ranks += np.clip((values - np.clip(values, low, high)) / (high - low or 1.0), -1, 1)
        return np.column_stack([np.where(missing, 0.5, ranks), np.where(missing, np.sqrt(0.75), 0.0)])


class _Category:
    """A vector for each category, and two more for missing and for unknown ones."""

    def __init__(self, frames: Sequence[pd.DataFrame], column: Column, random: np.random.Generator) -> None:
        self.known = value_codes([frame[column.name] for frame in frames], column.categories)[1]
        size = len(self.known) + 2
        vectors = np.eye(size) if size <= WIDTH else random.normal(size=(size, WIDTH))
        self.vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) / np.sqrt(2)
        self.width = self.vectors.shape[1]

    def __call__(self, series: pd.Series) -> NDArray[np.float64]:
        (codes,), values = value_codes([series], self.known)
        missing = codes == len(values)
        return self.vectors[np.where(missing, len(self.known) + 1, np.minimum(codes, len(self.known)))]
