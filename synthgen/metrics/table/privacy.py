"""Does a synthetic table give away training records."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthgen.errors import SynthgenError, nearest
from synthgen.metrics.table.columns import value_codes

__all__ = ["copied_rows"]


def copied_rows(train: pd.DataFrame, other: pd.DataFrame) -> float:
    """Share of `other`'s rows that occur exactly in `train`, in [0, 1].

    Rows are equal when every cell is: 1 equals 1.0, missing equals missing, categories count by value, and the order of
    columns does not matter. Set beside the same share for held-out real rows: data with few columns repeats itself
    without anybody copying. A share of 0 proves no privacy: a row that differs in one digit is not counted.

    Raises:
        SynthgenError: When `other` lacks a column of `train`, or has no rows.
    """
    for name in train.columns:
        if name not in other.columns:
            raise SynthgenError(
                f"the compared table has no column {name!r}: {nearest(name, other.columns, what='its columns are')}"
            )
    if not len(other):
        raise SynthgenError("the compared table has no rows")
    # Codes mean the same on both sides, so rows are equal where their codes are; a 64-bit hash stands for the row.
    aligned = [_aligned(train[name], other[name]) for name in train.columns]
    hashes = [
        pd.util.hash_pandas_object(pd.DataFrame(dict(enumerate(side))), index=False).to_numpy()
        for side in zip(*aligned)
    ]
    return float(np.isin(hashes[1], hashes[0]).mean())


def _aligned(a: pd.Series, b: pd.Series) -> list[NDArray[Any]]:
    """Two columns in one dtype, equal where their values are."""
    kinds = {series.dtype.kind for series in (a, b) if isinstance(series.dtype, np.dtype)}
    if all(isinstance(series.dtype, np.dtype) for series in (a, b)) and kinds <= set("iufb"):
        if kinds <= set("ib"):  # a float cannot tell large identifiers apart
            return [series.to_numpy(np.int64) for series in (a, b)]
        values = [series.to_numpy(np.float64) + 0.0 for series in (a, b)]  # + 0 turns −0.0 into 0.0
        return [np.where(np.isnan(side), np.nan, side) for side in values]  # older pandas hash bits, and NaN has many
    codes, _ = value_codes([a, b])
    return list(codes)
