"""Points in time and lengths of it: how they are recognised, counted in whole units, and written back as they were."""

import datetime
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind

__all__ = [
    "UNITS",
    "kind_written",
    "moment_parts",
    "parts_moment",
    "recognise",
    "ticks_of",
    "unit_of",
    "values_of",
    "zone_of",
]

#: Units of time that a column may be counted in, and how many of them a day has; a month is not a number of days.
UNITS = {"M": 0, "D": 1, "h": 24, "m": 1440, "s": 86400, "ms": 86400 * 10**3, "us": 86400 * 10**6, "ns": 86400 * 10**9}
_SECOND = 86400

# How text writes dates and times, in the order in which they are tried: of two that fit all cells the first is taken.
# Besides the signs of strftime, %-m is a month without a leading zero, likewise others, and %3f are milliseconds.
_DATES = (
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%Y/%m/%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d-%m-%Y",
    "%-m/%-d/%Y",
    "%-d/%-m/%Y",
    "%-d.%-m.%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
)
_TIMES = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%H:%M:%S.%3f", "%-H:%M", "%-H:%M:%S")
_TIMES_OF_12_HOURS = ("%I:%M %p", "%-I:%M %p", "%I:%M:%S %p", "%-I:%M:%S %p")
_FORMATS = (
    *((Kind.DATE, date) for date in (*_DATES, "%Y-%m", "%Y%m%d")),
    *((Kind.TIME, time) for time in (*_TIMES, *_TIMES_OF_12_HOURS)),
    *((Kind.DATETIME, f"{date}{between}{time}") for date in _DATES for between in " T" for time in _TIMES),
    *((Kind.DATETIME, f"{date} {time}") for date in _DATES for time in _TIMES_OF_12_HOURS),
)
# Of moments with what they differ from Greenwich by, the same in all cells.
_ZONED = tuple(f"%Y-%m-%d{between}{time}" for between in "T " for time in _TIMES[:4])
_ZONE = re.compile(r":\d\d(?:\.\d+)?(Z|[+-]\d\d:?\d\d)$")
# Text of digits alone is a date where so many of it are one: a few numbers may be by chance.
_LEAST = 20
_SIGN = re.compile(r"%(?:3f|-?[A-Za-z])")
_MATCHES = {
    "%Y": r"\d{4}",
    "%f": r"\d{6}",
    "%3f": r"\d{3}",
    "%p": "[AP]M",
    "%b": r"[A-Z][a-z]{2}",
    "%B": r"[A-Z][a-z]{2,8}",
}


def recognise(present: pd.Series) -> tuple[Kind, str | None] | None:
    """The kind of a column of dates, times or durations and how its text is written; None where it is none.

    Args:
        present: Different cells, without missing ones.
    """
    dtype = present.dtype
    if pd.api.types.is_timedelta64_dtype(dtype) or str(dtype).startswith("duration["):
        return Kind.DURATION, None
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return Kind.DATETIME, None
    if str(dtype).startswith("date32"):
        return Kind.DATE, None
    if pd.api.types.is_numeric_dtype(dtype) or isinstance(dtype, pd.CategoricalDtype):
        return None
    if pd.api.types.is_object_dtype(dtype) and all(type(value) is datetime.date for value in present):
        return Kind.DATE, None
    if pd.api.types.infer_dtype(present) != "string":
        return None
    # A look at one cell, then at a few, rules out nearly every column of words, and nearly every format.
    zone = _ZONE.search(present.iloc[0])
    for kind, written in _FORMATS if zone is None else [(Kind.DATETIME, written + zone[1]) for written in _ZONED]:
        if written == "%Y%m%d" and len(present) < _LEAST:
            continue
        if not _pattern(written).fullmatch(present.iloc[0]):
            continue
        if _written_so(present.iloc[:20], written) and _written_so(present, written):
            return kind, written
    return None


def kind_written(written: str) -> Kind:
    """What text of a format of `strftime` is: a time of day, a date, or both.

    Raises:
        SynthgenError: A format that names neither.
    """
    date, time = (any(f"%{sign}" in _read_as(written) for sign in signs) for signs in ("YymdjbB", "HIMSfp"))
    if not date and not time:
        raise SynthgenError(f"format: found {written!r}, expected one of strftime such as '%d.%m.%Y'")
    return Kind.DATETIME if date and time else Kind.DATE if date else Kind.TIME


def unit_of(values: pd.Series, column: Column) -> tuple[str, int, int]:
    """The coarsest unit that writes every value, and the earliest and the latest in it."""
    finest = _finest(column)
    ticks, missing = ticks_of(values, replace(column, unit=finest))
    ticks = ticks[~missing]
    if column.kind in (Kind.DATE, Kind.DATETIME):
        days = ticks.astype(f"datetime64[{finest}]")
        if (days == days.astype("datetime64[M]")).all():
            months = days.astype("datetime64[M]").astype(np.int64)
            return "M", int(months.min()), int(months.max())
    for unit, a_day in list(UNITS.items())[1:]:
        size = UNITS[finest] // a_day
        if (ticks % size == 0).all():
            return unit, int(ticks.min() // size), int(ticks.max() // size)
    raise AssertionError("the finest unit writes every value")


def moment_parts(kind: Kind, unit: str) -> tuple[str, ...]:
    """Names of the numbers that a moment is taken apart into."""
    if kind is Kind.DURATION or unit == "M":
        return ("months",) if unit == "M" else ("length",)
    day = () if kind is Kind.TIME else ("week", "weekday")
    time = () if unit == "D" else ("time",) if UNITS[unit] <= _SECOND else ("time", "fraction")
    return day + time


def parts_moment(ticks: np.ndarray, unit: str, names: Sequence[str]) -> list[np.ndarray]:
    """The numbers of moments, exact: weeks since the one of 1970-01-01, days since Monday, units since midnight."""
    if len(names) == 1 and names[0] in ("months", "length"):
        return [ticks]
    found = []
    days, time = np.divmod(ticks, UNITS[unit])
    if "week" in names:
        found += list(np.divmod(days + 3, 7))  # 1970-01-01 was a Thursday
    if "fraction" in names:
        found += list(np.divmod(time, UNITS[unit] // _SECOND))
    elif "time" in names:
        found.append(time)
    return found


def ticks_of(values: pd.Series, column: Column) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) whole units from 1970, midnight or nothing, in local time where there is a zone; and what is missing.

    Raises:
        SynthgenError: A cell that is none of the column's kind.
    """
    unit = str(column.unit)
    missing = values.isna().to_numpy()
    if column.kind is Kind.DURATION:
        finest = _finest(column)
        lengths = _exact(pd.to_timedelta(values).to_numpy(dtype=f"timedelta64[{_own_unit(values)}]"), finest, column)
        return np.where(missing, 0, lengths // (UNITS[finest] // UNITS[unit])), missing
    if column.format is not None:
        # Text repeats more often than not, and reading it is what takes time.
        codes, different = pd.factorize(values)
        try:
            read = pd.to_datetime(pd.Series(different, dtype="object"), format=_read_as(column.format))
        except (ValueError, TypeError) as error:
            raise SynthgenError(
                f"column {column.name!r}: found something that {column.format!r} does not write: "
                f"{str(error).splitlines()[0]}"
            ) from None
        moments = read.to_numpy(dtype="datetime64[us]")[codes] if len(different) else np.zeros(len(codes), "M8[us]")
    else:
        try:
            read = pd.to_datetime(values.astype("object") if values.dtype == object else values)
        except (ValueError, TypeError) as error:
            raise SynthgenError(f"column {column.name!r}: expected dates: {str(error).splitlines()[0]}") from None
        if isinstance(read.dtype, pd.ArrowDtype):
            zone = zone_of(column)
            own = _own_unit(values)
            read = read.astype(pd.DatetimeTZDtype(own, zone) if zone else np.dtype(f"datetime64[{own}]"))
        if read.dt.tz is not None:
            read = (read.dt.tz_convert(zone_of(column)) if zone_of(column) else read).dt.tz_localize(None)
        moments = read.to_numpy()
    counted = _exact(moments, unit, column)
    if column.kind is Kind.TIME:
        counted = counted % UNITS[unit]
    return np.where(missing, 0, counted), missing


def _own_unit(values: pd.Series) -> Any:
    """The unit that a dtype counts in; of those that name none, one that every value has room in."""
    named = re.search(r"\[(s|ms|us|ns)[\],]", str(values.dtype))
    return named[1] if named else "us"


def _finest(column: Column) -> str:
    """The finest unit that a column can have: nanoseconds reach from 1677 to 2262 and no farther."""
    return "ns" if "[ns" in column.dtype else "us"


def _exact(moments: np.ndarray, unit: str, column: Column) -> np.ndarray:
    """Whole units of moments or of lengths.

    Raises:
        SynthgenError: There is no room for one in 64 bits.
    """
    kind = moments.dtype.kind
    counted = moments.astype(f"{kind}8[{unit}]")
    own = np.datetime_data(moments.dtype)[0]
    there = ~np.isnat(moments)
    if own in UNITS and UNITS[own] < UNITS[unit] and (counted[there].astype(moments.dtype) != moments[there]).any():
        raise SynthgenError(f"column {column.name!r}: found times farther away than {unit} reach in 64 bits")
    return counted.astype(np.int64)


def values_of(parts: Sequence[np.ndarray], column: Column) -> pd.Series:
    """The column of such numbers as `parts_moment` gives, within its range, in its dtype and format."""
    unit = str(column.unit)
    names = moment_parts(column.kind, unit)
    missing = np.isnan(parts[0])
    number = {name: np.nan_to_num(part).astype(np.int64) for name, part in zip(names, parts, strict=True)}
    if "week" in number:
        day = number["week"] * 7 + number["weekday"] - 3
        ticks = day * UNITS[unit]
    else:
        ticks = number.get("months", number.get("length", np.zeros(len(missing), dtype=np.int64)))
    if "fraction" in number:
        ticks = ticks + number["time"] * (UNITS[unit] // _SECOND) + number["fraction"]
    elif "time" in number:
        ticks = ticks + number["time"]
    assert column.minimum is not None
    assert column.maximum is not None
    ticks = ticks.clip(int(column.minimum), int(column.maximum))
    if column.kind is Kind.DURATION:
        coarse = unit in ("D", "h", "m")
        lengths = (ticks * (_SECOND // UNITS[unit]) if coarse else ticks).astype(f"m8[{'s' if coarse else unit}]")
        return pd.Series(lengths).mask(missing).astype(column.dtype)  # type: ignore[call-overload]
    moments = ticks.astype(f"datetime64[{unit}]")
    if column.format is not None:
        return _text(moments, missing, column)
    if column.dtype == "object":
        return pd.Series(np.where(missing, None, moments.astype("datetime64[D]").astype(object)), dtype="object")
    pandas_unit = unit if unit in ("s", "ms", "us", "ns") else "s"
    series = pd.Series(moments.astype(f"datetime64[{pandas_unit}]")).mask(missing)
    if (zone := zone_of(column)) is not None:
        # An hour that the clock has twice is the first of the two; one that it skips, the moment after.
        first = np.ones(len(series), dtype=bool)
        series = series.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    return series.astype(column.dtype)  # type: ignore[call-overload]


def _text(moments: np.ndarray, missing: np.ndarray, column: Column) -> pd.Series:
    different, place = np.unique(moments, return_inverse=True)
    words = _write(pd.Series(different.astype("datetime64[us]")), str(column.format))
    written = words.to_numpy(dtype=object)[place]
    written[missing] = None
    return pd.Series(written, dtype="object").astype(column.dtype)  # type: ignore[call-overload]


def zone_of(column: Column) -> str | None:
    """The time zone of a dtype: "datetime64[ns, Europe/Berlin]", or Arrow's "timestamp[us, tz=UTC][pyarrow]"."""
    inside = column.dtype.partition("[")[2].partition("]")[0]
    return inside.partition(",")[2].strip().removeprefix("tz=") or None


def _written_so(different: pd.Series, written: str) -> bool:
    """Whether every text is a date that this format, and no other spelling of it, writes."""
    texts = different.astype("object")
    read = pd.to_datetime(texts, format=_read_as(written), errors="coerce")
    return bool(read.notna().all() and (_write(read, written) == texts).all())


@lru_cache(maxsize=1024)
def _pattern(written: str) -> re.Pattern[str]:
    """What text of a format looks like."""
    parts, begin = [], 0
    for sign in _SIGN.finditer(written):
        digits = r"\d{1,2}" if "-" in sign[0] else r"\d{2}"
        parts += [re.escape(written[begin : sign.start()]), _MATCHES.get(sign[0], digits)]
        begin = sign.end()
    return re.compile("".join([*parts, re.escape(written[begin:])]))


def _read_as(written: str) -> str:
    """The format by which text is read, where leading zeros and digits of a fraction may be left out."""
    return written.replace("%-", "%").replace("%3f", "%f")


def _write(moments: pd.Series, written: str) -> pd.Series:
    before, milliseconds, after = written.partition("%3f")
    texts = moments.dt.strftime(before)
    if milliseconds:
        texts = texts + (moments.dt.microsecond // 1000).astype("Int64").astype("str").str.zfill(3) + after
    return texts
