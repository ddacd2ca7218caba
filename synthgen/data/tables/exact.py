"""Tables of Arrow and of databases as pandas', without losing a digit or the kind of a cell."""

import datetime
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

__all__ = ["from_arrow", "plain_cells"]

# pandas makes floats of whole numbers of which some are missing: beyond 2^53 they are others.
_NULLABLE = {
    getattr(pa, f"{sign}int{bits}")(): getattr(pd, f"{sign.upper()}Int{bits}Dtype")()
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}


def from_arrow(table: pa.Table) -> pd.DataFrame:
    """A table of Arrow's as pandas' with its index.

    It is what pyarrow makes of it, but that whole numbers stay whole where some are missing, and objects are what
    `plain_cells` makes of them.
    """
    frame = table.to_pandas()
    if len(set(table.column_names)) < table.num_columns:
        return frame  # which a schema refuses
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name not in frame:
            continue  # it is the index
        if pa.types.is_integer(column.type) and column.null_count and pd.api.types.is_float_dtype(frame[name].dtype):
            frame[name] = column.to_pandas(types_mapper=_NULLABLE.get).array
        elif pd.api.types.is_object_dtype(frame[name].dtype):
            frame[name] = plain_cells(frame[name])
    return frame


def plain_cells(values: pd.Series) -> pd.Series:
    """Objects that databases and Arrow give as cells that a schema knows; others as they are.

    Exact decimals without places after the point become whole numbers, as text where 64 bits do not hold them, and
    others floats; times of day, and UUIDs, text.
    """
    if not pd.api.types.is_object_dtype(values.dtype):
        return values
    found = pd.api.types.infer_dtype(values, skipna=True)
    if found == "decimal":
        texts = values.dropna().astype("str")
        return _whole(values) if texts.str.fullmatch(r"-?\d+").all() else values.astype(float)
    if found == "integer":
        return _whole(values)
    if found == "floating":
        return values.astype(float)
    if found == "time":
        present = values.dropna()
        digits = "microseconds" if any(time.microsecond for time in present) else "seconds"
        return _text(values, lambda time: datetime.time.isoformat(time, timespec=digits))
    if found == "mixed" and all(isinstance(value, uuid.UUID) for value in values.dropna()):
        return _text(values, str)
    return values


def _whole(values: pd.Series) -> pd.Series:
    cells = [None if pd.isna(value) else int(value) for value in values]
    dtypes: list[tuple[Any, Any]] = [(pd.Int64Dtype(), np.int64), (pd.UInt64Dtype(), np.uint64)]
    for dtype, complete in dtypes:
        try:
            whole = pd.Series(pd.array(cells, dtype=dtype), index=values.index, name=values.name)
        except (OverflowError, TypeError):
            continue
        return whole if whole.hasnans else whole.astype(complete)
    return _text(values, lambda value: str(int(value)))


def _text(values: pd.Series, write: Any) -> pd.Series:
    return values.map(write, na_action="ignore").astype("str")
