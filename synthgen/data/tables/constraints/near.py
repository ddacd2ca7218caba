"""Whether a number that is moved, to have a given cell elsewhere, stays close to what a model drew."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from synthgen.data.tables.variables import Encoding, to_codes, to_normal
from synthgen.layout import Column

__all__ = ["is_near"]

# In standard deviations, as where conditions are met by rejection.
_TOLERANCE = 0.1
# What that is of the range of evenly spread values.
_SHARE = 0.03


def is_near(column: Column, encodings: Sequence[Encoding], moved: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """(rows,) whether numbers differ by a tenth of a standard deviation at most.

    A continuous column is measured on its standard normal scale, and no number moves onto or off a point mass. One with
    few values is measured by their places, a date by the range of all dates.

    Args:
        column: A learned column.
        encodings: Of its parts.
        moved: In the column's own units.
        drawn: Likewise.
    """
    if not column.numerical or isinstance(column.minimum, int):
        low, high = (0, 0) if column.minimum is None or column.maximum is None else (column.minimum, column.maximum)
        return np.abs(moved - drawn) <= _SHARE * (high - low)
    (encoding,) = encodings
    before, after = pd.Series(drawn.astype(float)), pd.Series(moved.astype(float))
    same = np.ones(len(drawn), dtype=bool)
    if encoding.cardinality:
        codes = to_codes(before, column, encoding), to_codes(after, column, encoding)
        if not encoding.continuous:
            return np.abs(codes[0] - codes[1]) <= _SHARE * len(encoding.values)
        same = codes[0] == codes[1]
    if not encoding.continuous:
        return after.to_numpy() == before.to_numpy()
    distance = to_normal(after.to_numpy(), encoding) - to_normal(before.to_numpy(), encoding)
    return same & (np.abs(distance) <= _TOLERANCE)
