"""Identifiers: keys that name a row and say nothing of it. They are recognised, never learned, and made anew."""

import re
import uuid
from zlib import crc32

import numpy as np
import pandas as pd

from synthgen.layout import Column

__all__ = ["UUID", "WRITTEN", "identifier_format", "new_identifiers"]

UUID = "uuid4"
#: A stored format: text around one number.
WRITTEN = re.compile(r"(?P<before>[^{}]*)\{n:(?P<width>\d{1,2})\}(?P<after>[^{}]*)")
# Fewer different values may be numbers or words that happen not to repeat.
_LEAST = 20
# Beyond it there is no room for new ones.
_MOST = 2**62
_NAMED = re.compile(r"(^|[_\W])(?i:id|key|uuid|guid)$|[_\W](?i:nr|nbr|no|number)$|[a-z](Id|ID|Key|Nr|No)$")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NUMBERED = r"^([^\d{}]*)(\d{1,15})([^\d{}]*)$"


def identifier_format(name: str, different: pd.Series, cells: int | None = None) -> tuple[str, int] | None:
    """How a column of unique keys is written, and the largest number in use; None where it is none.

    Whole numbers are keys only where the column's name says so: others may be amounts that do not repeat. Text is one
    where all of it is UUIDs, or the same words around a number.

    Args:
        name: The column's.
        different: Its different cells, without missing ones.
        cells: How many there are of them, with those that repeat; None where a person has said that they are keys,
            whatever the column's name and number of values.
    """
    if cells is not None and not _LEAST <= cells == len(different):
        return None
    if pd.api.types.is_integer_dtype(different):
        counts = len(different) > 0 and different.min() >= 0 and different.max() < _MOST
        return ("{n:1}", int(different.max())) if counts and (cells is None or _NAMED.search(name)) else None
    if not all(isinstance(value, str) for value in different.iloc[:_LEAST]):
        return None
    text = different.astype("str")
    if text.iloc[:_LEAST].map(lambda value: bool(_UUID.fullmatch(value))).all():
        return (UUID, 0) if text.str.fullmatch(_UUID.pattern).all() else None
    if not re.match(_NUMBERED, text.iloc[0]):
        return None
    parts = text.str.extract(_NUMBERED)
    before, numbers, after = parts[0], parts[1], parts[2]
    if numbers.isna().any() or (before != before.iloc[0]).any() or (after != after.iloc[0]).any():
        return None
    lengths = numbers.str.len()
    padded = numbers.str.startswith("0") & (lengths > 1)
    even = bool((lengths == lengths.iloc[0]).all())
    if padded.any() and not even:
        return None
    width = int(lengths.iloc[0]) if even else 1
    return f"{before.iloc[0]}{{n:{width}}}{after.iloc[0]}", int(numbers.astype("int64").max())


def new_identifiers(column: Column, rows: range, seed: int, which: int) -> pd.Series:
    """Keys of the form that real ones have: numbers that go on after the largest in use, or random UUIDs.

    Row i has the same key in whatever part of the sequence it is drawn; no real key comes back, and none twice.

    Args:
        column: Of identifiers.
        rows: Numbers of the rows in an endless sequence.
        seed: Of the sequence.
        which: Number of the column among those of the same format, each of which has UUIDs of its own.
    """
    if column.format == UUID:
        # A stream that nothing else draws from: a key must say nothing of the rest of its row.
        key = [seed % 2**64, crc32(f"uuid4 {which}".encode())]
        bits = np.random.Philox(key=key, counter=rows.start).random_raw(4 * len(rows)).reshape(-1, 4)[:, :2]
        made = [str(uuid.UUID(int=int(a) << 64 | int(b), version=4)) for a, b in bits]
        return pd.Series(made, dtype="object")
    assert isinstance(column.format, str)
    assert isinstance(column.maximum, int)
    numbers = range(column.maximum + 1 + rows.start, column.maximum + 1 + rows.stop)
    if pd.api.types.is_integer_dtype(column.dtype):
        return pd.Series(numbers, dtype="Int64")
    written = WRITTEN.fullmatch(column.format)
    assert written is not None
    before, width, after = written["before"], int(written["width"]), written["after"]
    return pd.Series([f"{before}{number:0{width}d}{after}" for number in numbers], dtype="object")
