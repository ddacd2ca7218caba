"""Numbers in dress: text such as "$1,234.50", "1.234,50 €", "25%" or "12 kg", and the format that all of a column has.

A format is written as spreadsheets do, in the signs of the text itself: `$#,##0.00`, `#.##0,00 €`, `0%`, `0.0## kg`. It
has `#,##0` where thousands are parted and `0` where they are not, a `0` for each decimal that is always there, a `#`
for each that is left out where it is zero, and what stands before and after the number. A second one behind `;` is that
of numbers below zero where it is not the first with a minus before it: `$#,##0.00;($#,##0.00)`.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.variables import dtype_named
from synthgen.errors import SynthgenError
from synthgen.layout import Column, TableSchema

__all__ = ["NumberFormat", "dressed", "in_numbers", "numbers_of", "recognise_numbers", "write_numbers"]

# Digits that a float keeps, whatever they are.
_DIGITS = 15
# So many different numbers without any dress but a decimal comma, or brackets, are no list of two, and no code.
_LEAST = 20
_SPACES = " \u00a0\u202f"
_BETWEEN = rf"[.,'’{_SPACES}]"
_SECTION = re.compile(
    rf"(?P<before>[^#;\d]*)(?:#(?P<thousands>{_BETWEEN})##)?0(?:(?P<point>[.,])(?P<decimals>0+#*|#+))?"
    r"(?P<after>[^#;\d]*)"
)
_CELL = rf"^(?P<before>\D*?)(?P<number>\d(?:[\d.,'’{_SPACES}]*\d)?)(?P<after>\D*)$"
_MINUS = "-−"  # the hyphen, and the sign that typesetters have
_CURRENCIES = frozenset(
    re.findall(
        r"\S+",
        "AED ARS AUD BGN BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR JPY KES KRW MXN MYR NGN NOK "
        "NZD PEN PHP PLN RMB RON RUB SAR SEK SGD THB TRY TWD UAH USD VND ZAR kr zł Kč Ft Rs Rp Fr RM lei руб",
    )
)
# What may stand right behind a number without a doubt that it is one.
_UNITS = frozenset(
    re.findall(
        r"\S+",
        "% ‰ ° °C °F pp bp bps kg g mg µg μg t lb lbs oz km m cm mm µm μm nm mi ft yd in l ml cl dl gal s ms min mins "
        "h hr hrs d yr yrs y GB MB KB TB kB MHz GHz Hz kHz kW MW kWh MWh mV kV mA mAh hp bhp PS CC cc px pt dpi Mbps "
        "mph km/h kph rpm bar psi hPa Pa kPa cal kcal kJ ppm mmHg mg/dL mg/dl mmol/L mmol/l IU mL m² km² m³ cm² cm³ ha "
        "kmpl km/l km/kg kg/m² g/l x ×",
    )
)
_WORDS = re.compile(r"[ \u00a0\u202f]?[^\W\d_][^\W\d_/²³·.% -]*(?:[ /·-][^\W\d_]+){0,2}\.?")
# Of a day, a time or a rank, and no units.
_NO_UNITS = re.compile(
    r"(?i)st|nd|rd|th|[ap]\.?m\.?|uhr|(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])\w{0,6}\.?|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
)


@dataclass(frozen=True)
class NumberFormat:
    """How a column's numbers are written.

    Attributes:
        positive: What stands before and after a number.
        negative: And of one below zero, its minus or brackets among it.
        thousands: The sign that parts thousands; empty where none does.
        point: The decimal sign.
        least: Decimals that are always written.
        most: And those that are written where they are not zero.
    """

    positive: tuple[str, str]
    negative: tuple[str, str]
    thousands: str = ""
    point: str = "."
    least: int = 0
    most: int = 0

    @classmethod
    def parse(cls, text: str) -> "NumberFormat | None":
        """A format from its text; None where it is none.

        >>> NumberFormat.parse("#.##0,00 €").write(np.array([1234.5, -7])).tolist()
        ['1.234,50 €', '-7,00 €']
        """
        found = [_SECTION.fullmatch(section) for section in text.split(";")]
        first, last = found[0], found[-1]
        if first is None or last is None or len(found) > 2 or first["thousands"] == (first["point"] or ""):
            return None
        keys = ("thousands", "point", "decimals")
        if any(first[key] != last[key] for key in keys):
            return None
        positive = (first["before"], first["after"])
        negative = (last["before"], last["after"]) if len(found) == 2 else _below_zero(positive)
        if positive == negative:
            return None
        thousands, decimals = first["thousands"] or "", first["decimals"] or ""
        point = first["point"] or (", " if thousands == "." else ".").strip()
        least = decimals.count("0")
        if len(decimals) >= _DIGITS:
            return None
        return cls(positive, negative, thousands, point, least, len(decimals))

    def __str__(self) -> str:
        number = f"#{self.thousands}##0" if self.thousands else "0"
        if self.most:
            number += self.point + "0" * self.least + "#" * (self.most - self.least)
        sections = [number.join(self.positive)]
        if self.negative != _below_zero(self.positive):
            sections.append(number.join(self.negative))
        return ";".join(sections)

    def read(self, texts: pd.Series, loosely: bool = False) -> np.ndarray:
        """(rows,) numbers of texts, NaN where one is not written so.

        Args:
            texts: Without missing cells.
            loosely: Whether decimals may be more or fewer, thousands not be parted, and the dress be left out.
        """
        found = np.full(len(texts), np.nan)
        for (before, after), sign in ((self.positive, 1.0), (self.negative, -1.0)):
            before, after = re.escape(before), re.escape(after)
            if loosely:
                minus = "" if sign > 0 else rf"[{_MINUS}]"
                form = rf"(?:{before}{self._loose}{after}|{minus}{self._loose})"
                parts = texts.str.extract(rf"^\s*{form}\s*$")
                whole, fraction = (parts[i].fillna(parts[i + 2]) for i in (0, 1))
            else:
                parts = texts.str.extract(rf"^{before}{self._strict}{after}$")
                whole, fraction = parts[0], parts[1]
            if self.thousands:
                whole = whole.str.replace(self.thousands, "", regex=False)
            numbers = (whole + "." + fraction.fillna("0")).astype(float).to_numpy(dtype=float, na_value=np.nan)
            found = np.where(np.isnan(found), sign * numbers, found)
        return found + 0.0  # a zero has no sign

    def write(self, numbers: np.ndarray) -> np.ndarray:
        """(rows,) texts of numbers, which are finite."""
        different, place = np.unique(np.round(np.asarray(numbers, dtype=float), self.most), return_inverse=True)
        digits = pd.Series(np.char.mod(f"%.{self.most}f", np.abs(different)), dtype="object")
        whole, fraction = digits.str.partition(".")[0], pd.Series("", index=digits.index, dtype="object")
        if self.thousands:
            whole = whole.str.replace(r"(?<=\d)(?=(?:\d{3})+$)", self.thousands, regex=True)
        if self.most:
            decimals = digits.str[-self.most :]
            fraction = decimals.str[: self.least] + decimals.str[self.least :].str.rstrip("0")
            fraction = fraction.where(fraction == "", self.point + fraction)
        written = whole + fraction
        below = different < 0
        before, after = (np.where(below, self.negative[i], self.positive[i]) for i in (0, 1))
        return (before.astype(object) + written.to_numpy(dtype=object) + after.astype(object))[place.ravel()]

    @cached_property
    def _strict(self) -> str:
        between = re.escape(self.thousands)
        whole = rf"0|[1-9]\d{{0,2}}(?:{between}\d{{3}})*" if between else r"0|[1-9]\d*"
        more = self.most - self.least
        rest = rf"(?:\d{{0,{more - 1}}}[1-9])?" if more else ""
        fraction = rf"{re.escape(self.point)}(\d{{{self.least}}}{rest})"
        if not self.least:
            fraction = rf"(?:{re.escape(self.point)}(\d{{0,{more - 1}}}[1-9]))?" if more else "()"
        return rf"({whole}){fraction}"

    @property
    def _loose(self) -> str:
        between = re.escape(self.thousands)
        whole = rf"\d{{1,3}}(?:{between}\d{{3}})+|\d+" if between else r"\d+"
        return rf"({whole})(?:{re.escape(self.point)}(\d+))?"


def recognise_numbers(different: pd.Series) -> tuple[NumberFormat, bool] | None:
    """The format of a column of text that is numbers, and whether that is sure; None where it is none.

    A currency, a percent sign or a known unit is sure. A number with any other word behind it, or with nothing but
    parted thousands, a decimal comma or brackets, is one where the column's name or form does not say that it is a
    code.

    Args:
        different: Different cells, without missing ones.
    """
    if not len(different) or isinstance(different.dtype, pd.CategoricalDtype):
        return None
    if not isinstance(different.iloc[0], str) or not re.match(_CELL, different.iloc[0]):
        return None
    look = different.iloc[:_LEAST]
    if pd.api.types.infer_dtype(look) != "string" or not look.astype("str").str.match(_CELL).all():
        return None
    if pd.api.types.infer_dtype(different) != "string":
        return None
    parts = different.astype("str").str.extract(_CELL)
    if parts.isna().to_numpy().any():
        return None
    dress = parts[["before", "after"]].drop_duplicates()
    signed = _signed([(str(before), str(after)) for before, after in dress.to_numpy()]) if len(dress) <= 2 else None
    if signed is None:
        return None
    positive, negative, bare = signed
    before, after = (text.strip(_SPACES) for text in bare)
    money = _is_currency(before) or _is_currency(after)
    written = _format_of(parts["number"], positive, negative, money)
    if written is None or (written.read(different.astype("str")) != written.read(different.astype("str"))).any():
        return None
    if before and not _is_currency(before):
        return None
    if (money and not (before and after)) or (not before and after in _UNITS) or (before and after in ("%", "K", "M")):
        return written, True
    if before:
        return None
    digits = parts["number"].str.count(r"\d")
    varied = bool((digits != digits.iloc[0]).any())
    if after:
        code = not varied and digits.iloc[0] >= 4
        unit = _WORDS.fullmatch(bare[1]) and not _NO_UNITS.fullmatch(after)
        fits = unit and (written.most > 0 or (bare[1][0] in _SPACES and not code))
    elif written.thousands:
        fits = varied or written.thousands == ","
    else:
        commas = written.most > 0 and written.point == ","
        fits = len(different) >= _LEAST and (commas or (len(dress) == 2 and negative != _below_zero(positive)))
    return (written, False) if fits else None


def numbers_of(values: pd.Series, column: Column, loosely: bool = False) -> pd.Series:
    """A column of numbers in dress as floats, NaN where a cell is missing; one of plain numbers as it is.

    Args:
        values: Cells of the column.
        column: What it is.
        loosely: As for `NumberFormat.read`.

    Raises:
        SynthgenError: A cell that is not written in the column's format.
    """
    if not dressed(column) or pd.api.types.is_numeric_dtype(values.dtype):
        return values
    written = _of(column)
    codes, different = pd.factorize(values)
    numbers = written.read(pd.Series(different, dtype="object").astype("str"), loosely)
    if np.isnan(numbers).any():
        found = different[np.isnan(numbers)][0]
        raise SynthgenError(f"column {column.name!r}: found {found!r}, expected a number written as {column.format}")
    return pd.Series(np.append(numbers, np.nan)[codes], index=values.index, name=values.name)


def in_numbers(frame: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    """A table whose columns of numbers in dress are floats, as `TableSchema.measured` has them."""
    names = [column for column in schema if dressed(column) and column.name in frame]
    return frame.assign(**{column.name: numbers_of(frame[column.name], column) for column in names})


def write_numbers(numbers: np.ndarray, column: Column) -> pd.Series:
    """Numbers in a column's dress and dtype, missing where they are NaN."""
    missing = np.isnan(numbers)
    texts = np.full(len(numbers), None, dtype=object)
    texts[~missing] = _of(column).write(numbers[~missing])
    return pd.Series(texts, dtype="object").astype(dtype_named(column.dtype))


def dressed(column: Column) -> bool:
    """Whether a column is numbers that are text."""
    return column.numerical and column.format is not None


def _of(column: Column) -> NumberFormat:
    written = NumberFormat.parse(str(column.format))
    assert written is not None
    return written


def _below_zero(positive: tuple[str, str]) -> tuple[str, str]:
    """The usual dress of a number below zero."""
    return "-" + positive[0].removeprefix("+"), positive[1]


def _signed(dress: list[tuple[str, str]]) -> tuple[tuple[str, str], tuple[str, str], tuple[str, str]] | None:
    """What stands around numbers above and below zero, and the same without signs; None where dresses differ else."""
    bare = [
        (re.sub(rf"[{_MINUS}+(]", "", before), re.sub(rf"^[{_MINUS}]|[{_MINUS}]$|\)$", "", after))
        for before, after in dress
    ]
    if len(set(bare)) > 1:
        return None
    below = [any(sign in before + after for sign in f"{_MINUS}()") for before, after in dress]
    if any(("(" in before) != (")" in after) for before, after in dress) or sum(below) > 1:
        return None
    negative = dress[below.index(True)] if any(below) else None
    positive = next((pair for pair, is_below in zip(dress, below) if not is_below), None)
    if positive is None:
        if negative is not None and "(" in negative[0] and not any(bare[0]):
            return None  # in brackets without another that is not
        positive = bare[0]
    return positive, negative or _below_zero(positive), bare[0]


def _format_of(
    numbers: pd.Series, positive: tuple[str, str], negative: tuple[str, str], money: bool
) -> NumberFormat | None:
    """The format of numbers without what stands around them, of those that are possible the likeliest."""
    for thousands, point in _separators(numbers, money):
        fractions = numbers.str.partition(point)[2].str.len() if point else pd.Series([0])
        written = NumberFormat(
            positive,
            negative,
            thousands,
            point or ("," if thousands == "." else "."),
            int(fractions.min()),
            int(fractions.max()),
        )
        digits = numbers.str.count(r"\d") - (fractions if point else 0)
        if digits.max() + written.most > _DIGITS:
            return None
        plain = NumberFormat(("", ""), ("-", ""), written.thousands, written.point, written.least, written.most)
        if not np.isnan(plain.read(numbers)).any():
            return written
    return None


def _separators(numbers: pd.Series, money: bool) -> list[tuple[str, str]]:
    """Pairs of what may part thousands and what decimals, the likeliest first."""
    there = [sign for sign in f",.'’{_SPACES}" if numbers.str.contains(sign, regex=False).any()]
    if not there:
        return [("", "")]
    if len(there) > 1:
        return [(one, other) for one in there for other in there if one != other and other in ".,"]
    sign = there[0]
    if sign not in ".,":
        return [(sign, "")]
    pairs = [(sign, ""), ("", sign)]
    if sign == ",":
        return pairs
    # A point parts decimals, unless there are three of them throughout, or none.
    parted = numbers.str.contains(".", regex=False)
    three = numbers[parted].str.fullmatch(r"\d{1,3}\.\d{3}").all()
    small = bool((~parted).any() and numbers[~parted].str.len().max() <= 3)
    return pairs if three and (money or small) else pairs[::-1]


def _is_currency(text: str) -> bool:
    plain: Any = text.strip(_SPACES).removesuffix(".")
    letters = [sign for sign in plain if unicodedata.category(sign) != "Sc"]
    signs = len(plain) - len(letters)
    return plain in _CURRENCIES or (signs == 1 and len(letters) <= 3 and all("A" <= sign <= "Z" for sign in letters))
