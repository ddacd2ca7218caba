"""Which cells are no outcome of a codec: whatever a model draws, decoding never gives them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.places import Places
from synthgen.data.tables.variables import dtype_of
from synthgen.layout import RARE, Column, Kind, TableSchema

__all__ = ["never_drawn"]


def never_drawn(schema: TableSchema, places: Places, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """What `TableCodec.never_drawn` gives, of what the columns are and how those that are learned are encoded."""
    found = {}
    for column in schema:
        if column.kind.invented:
            continue
        missing = frame[column.name].isna().to_numpy()
        never = missing & (not column.missing_rate)
        for cells, known in _choices(column, places, frame[column.name]):
            if len(known) and RARE not in known:
                never |= ~missing & (pd.Index(known).get_indexer(pd.Index(cells)) < 0)
        if never.any():
            found[column.name] = never
    return found


def _choices(column: Column, places: Places, values: pd.Series) -> list[tuple[pd.Series, Sequence[Any]]]:
    """The parts of a column that choose from some values, each beside these; none of one that is learned as another."""
    if column.kind is Kind.CONSTANT:
        return [(values, pd.Series(column.categories, dtype=dtype_of(column)).tolist())]
    form = places.forms.get(column.name)
    if form is None:
        return []
    if column.categories:
        return [(values, column.categories)]
    parts = zip(form.split(values), places.encodings[column.name])
    return [(cells, encoding.values) for cells, encoding in parts if not encoding.continuous]
