"""Identifiers: keys that name a row and say nothing of it. They are recognised, never learned, and made anew."""

import re
from math import prod
from zlib import crc32

import numpy as np
import pandas as pd

from synthgen.errors import SynthgenError
from synthgen.layout import Column

__all__ = ["CODE", "UUID", "WRITTEN", "identifier_format", "is_named_code", "is_named_key", "new_identifiers"]

UUID = "uuid4"
#: A stored format: text around one number.
WRITTEN = re.compile(r"(?P<before>[^{}]*)\{n:(?P<width>\d{1,2})\}(?P<after>[^{}]*)")
# What a place of a code may hold, by its sign in a stored format, the narrowest first.
_DIGITS, _LOWER, _UPPER = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTERS = {
    "9": _DIGITS,
    "a": _LOWER,
    "A": _UPPER,
    "f": _DIGITS + "abcdef",
    "F": _DIGITS + "ABCDEF",
    "z": _DIGITS + _LOWER,
    "Z": _DIGITS + _UPPER,
    "*": _DIGITS + _LOWER + _UPPER,
}
#: A stored format: places that hold letters and digits, such as "{A}{A}-{9}{9}{9}".
CODE = re.compile(r"(?=.{1,1000}$)[^{}]*(?:\{[9fFaAzZ*]\}[^{}]*)+")
# Fewer different values may be numbers or words that happen not to repeat.
_LEAST = 20
# Beyond it there is no room for new ones; and where floats hold them.
_MOST = 2**62
_MOST_FLOAT = 2**52
# Of a form there must be so many codes for each one in use: then a new one is hardly ever a real one.
_ROOM = 100
_LONGEST = 64
# "Unnamed: 0" is how pandas reads the row numbers that it wrote.
_NAMED = re.compile(r"(^|[_\W])(?i:id|key|uuid|guid)$|[_\W](?i:nr|nbr|no|number)$|[a-z](Id|ID|Key|Nr|No)$|^Unnamed: 0$")
_NAMED_CODE = re.compile(
    r"(^|[_\W])(?i:code|ref|reference|token|hash|serial|sku|barcode|mrn|vin|plate|invoice|order|ticket|policy|contract|"
    r"account|case|nr|nbr|no|number)$"
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NUMBERED = r"^([^\d{}]*)(\d{1,15})([^\d{}]*)$"


def identifier_format(name: str, different: pd.Series, cells: int | None = None) -> tuple[str, int] | None:
    """How a column of unique keys is written, and the largest number in use; None where it is none.

    Whole numbers are keys only where the column's name says so: others may be amounts that do not repeat. Text is one
    where all of it is UUIDs, the same words around a number, or codes of one length: of these, the name must say so or
    letters and digits must stand in the same places, and the form must have room for many more.

    Args:
        name: The column's.
        different: Its different cells, without missing ones.
        cells: How many there are of them, with those that repeat; None where a person has said that they are keys,
            whatever the column's name and number of values.
    """
    if cells is not None and not _LEAST <= cells == len(different):
        return None
    if pd.api.types.is_numeric_dtype(different):
        named = cells is None or is_named_key(name)
        largest = _largest(different) if named else None
        return None if largest is None else ("{n:1}", largest)
    if not all(isinstance(value, str) for value in different.iloc[:_LEAST]):
        return None
    text = different.astype("str")
    if text.iloc[:_LEAST].map(lambda value: bool(_UUID.fullmatch(value))).all():
        return (UUID, 0) if text.str.fullmatch(_UUID.pattern).all() else None
    numbered = _numbered(text)
    if numbered is not None:
        return numbered
    code = _code(text)
    if code is None:
        return None
    told = cells is None or is_named_key(name) or is_named_code(name)
    return (code, 0) if told or re.search(r"\{[fFzZ*]\}", code) else None


def is_named_key(name: str) -> bool:
    """Whether a column's name says that it holds keys."""
    return _NAMED.search(name) is not None


def is_named_code(name: str) -> bool:
    """Whether a column's name says that it holds codes, such as those of orders."""
    return _NAMED_CODE.search(name) is not None


def new_identifiers(column: Column, rows: range, seed: int, which: int) -> pd.Series:
    """Keys of the form that real ones have: numbers that go on after the largest in use, random UUIDs, random codes.

    Row i has the same key in whatever part of the sequence it is drawn, and none comes twice. No real number comes
    back, nor a real UUID. A code may be a real one by chance, as any of its form may: no more than one in a hundred.

    Args:
        column: Of identifiers.
        rows: Numbers of the rows in an endless sequence.
        seed: Of the sequence.
        which: Number of the column among those of the same format, each of which has UUIDs and codes of its own.

    Raises:
        SynthgenError: More rows than there are codes of the form.
    """
    assert isinstance(column.format, str)
    # A stream that nothing else draws from: a key must say nothing of the rest of its row.
    key = [seed % 2**64, crc32(f"{column.format} {which}".encode())]
    if column.format == UUID:
        return pd.Series(_new_uuids(rows, key), dtype="object")
    written = WRITTEN.fullmatch(column.format)
    if written is None:
        places = [_LETTERS[part[1]] if len(part) == 3 else part for part in re.findall(r"\{.\}|[^{}]", column.format)]
        if rows.stop > (room := prod(map(len, places))):
            raise SynthgenError(
                f"column {column.name!r}: there are {room:,} identifiers of the form {column.format}, and row "
                f"{rows.stop:,} was asked for; draw fewer rows"
            )
        return pd.Series(_new_codes(places, rows, key), dtype="object")
    assert isinstance(column.maximum, int)
    numbers = range(column.maximum + 1 + rows.start, column.maximum + 1 + rows.stop)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return pd.Series(numbers, dtype="Int64")
    before, width, after = written["before"], int(written["width"]), written["after"]
    return pd.Series([f"{before}{number:0{width}d}{after}" for number in numbers], dtype="object")


def _new_uuids(rows: range, key: list[int]) -> np.ndarray:
    """(rows,) random UUIDs (RFC 9562, version 4) as text."""
    bits = np.random.Philox(key=key, counter=rows.start).random_raw(4 * len(rows)).reshape(-1, 4)[:, :2]
    octets = bits.astype(">u8").view(np.uint8)
    octets[:, 6] = octets[:, 6] & 0x0F | 0x40
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8).astype(np.uint32)
    letters = np.full((len(rows), 36), ord("-"), dtype=np.uint32)
    places = [place for place in range(36) if place not in (8, 13, 18, 23)]
    letters[:, places] = digits[np.stack([octets >> 4, octets & 15], axis=2).reshape(len(rows), 32)]
    return letters.view("U36")[:, 0].astype(object)


def _largest(numbers: pd.Series) -> int | None:
    """The largest of some whole numbers; None where they are none, some are below 0 or there is no room above.

    Where cells are missing, whole numbers are often floats.
    """
    most = _MOST
    if not pd.api.types.is_integer_dtype(numbers):
        if str(numbers.dtype).lower() not in ("float64", "double[pyarrow]") or not (numbers % 1 == 0).all():
            return None
        most = _MOST_FLOAT
    if not len(numbers) or numbers.min() < 0 or numbers.max() >= most:
        return None
    return int(numbers.max())


def _numbered(text: pd.Series) -> tuple[str, int] | None:
    """The format of the same words around a number, and the largest; None where texts are something else."""
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


# Codes


def _code(text: pd.Series) -> str | None:
    """The format of codes of one length, with digits in them and room for many more; None where texts are no such."""
    length = len(text.iloc[0])
    if not 0 < length <= _LONGEST or not (text.str.len() == length).all():
        return None
    letters = text.to_numpy(dtype=f"U{length}").view(np.uint32).reshape(len(text), length)
    places, room, digits = [], 1, False
    for of_place in letters.T:
        here = "".join(map(chr, np.unique(of_place)))
        digits |= any(letter in _DIGITS for letter in here)
        if len(here) == 1 and here not in "{}":
            places.append(here)
            continue
        sign = next((sign for sign, known in _LETTERS.items() if set(here) <= set(known)), None)
        if sign is None:
            return None
        places.append(f"{{{sign}}}")
        room *= len(_LETTERS[sign])
    return "".join(places) if digits and room >= _ROOM * len(text) else None


def _new_codes(places: list[str], rows: range, key: list[int]) -> np.ndarray:
    """(rows,) different codes, of letters that each place may hold: by a permutation of all, those of some numbers."""
    sizes = [len(known) for known in places]
    left = np.arange(rows.start, rows.stop, dtype=np.uint64)
    digits: list[np.ndarray] = []
    for size in reversed(sizes):
        left, digit = np.divmod(left, np.uint64(size))
        digits.insert(0, digit)
    begin = np.random.SeedSequence(key).generate_state(2, np.uint64)
    # Each place is turned by what stands in those before it, from the end and then from the beginning: a permutation,
    # after which all places depend on all of the number.
    for first, order in zip(begin, (range(len(sizes) - 1, -1, -1), range(len(sizes))), strict=True):
        state = np.full(len(rows), first, dtype=np.uint64)
        for i in order:
            digits[i] = (digits[i] + _mixed(state) % np.uint64(sizes[i])) % np.uint64(sizes[i])
            state = _mixed(state ^ (digits[i] + np.uint64(i << 32)))
    letters = np.stack(
        [np.array([ord(letter) for letter in known], dtype=np.uint32)[digit] for known, digit in zip(places, digits)],
        axis=1,
    )
    return np.ascontiguousarray(letters).view(f"U{len(places)}")[:, 0].astype(object)


def _mixed(state: np.ndarray) -> np.ndarray:
    """Numbers of 64 bits mixed so that each bit depends on all (SplitMix64, Steele et al., 2014)."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
