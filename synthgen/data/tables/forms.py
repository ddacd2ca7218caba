"""Forms: how a column is taken apart into simple parts, numbers or values to choose from, and put together again.

Most columns are one part, themselves. A date is a week, a weekday and a time of day, so that a weekly rhythm is a
column that a model can learn; a column of very many words is two digits of a code; whole numbers beyond 2^53, of which
floats would lose digits, are counted from the smallest; numbers in dress, such as "$1,234.50", are numbers; an
identifier, or personal text, is nothing but whether it is there.

A missing cell is missing in the first part. Under it the others are values drawn from the column, which say nothing.
"""

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property
from math import ceil, isqrt
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.identifiers import new_identifiers
from synthgen.data.tables.invented import new_personal
from synthgen.data.tables.moments import moment_parts, parts_moment, ticks_of, values_of
from synthgen.data.tables.number_formats import dressed, numbers_of, write_numbers
from synthgen.data.tables.variables import dtype_named, dtype_of
from synthgen.errors import SynthgenError
from synthgen.layout import RARE, Column, Kind

__all__ = ["EXACT", "MANY", "Form", "form_of"]

#: Beyond this many values a column is digits of a code: no model then has a logit for each of them.
MANY = 1024
#: Whole numbers up to here are floats without a loss.
EXACT = 2**53
_LOW = 2**32


class Form(ABC):
    """How one column is taken apart.

    Attributes:
        column: What it takes apart.
        parts: Simple columns, numerical or categorical, of which the first holds the missing cells.
        digits: Whether each part but the first is the next digit of the one before.
    """

    parts: tuple[Column, ...]
    digits = False

    def __init__(self, column: Column) -> None:
        self.column = column

    @abstractmethod
    def split(self, values: pd.Series) -> list[pd.Series]:
        """One series a part, missing where a cell is missing.

        Raises:
            SynthgenError: A value that is not of the column's kind, or that training never saw.
        """

    @abstractmethod
    def join(self, parts: list[pd.Series], rows: range, seed: int) -> pd.Series:
        """The column of its parts, in its dtype.

        Args:
            parts: As `split` gives them.
            rows: Numbers of the rows in an endless sequence.
            seed: Of the sequence; identifiers and personal text are made of both.
        """

    def _part(self, name: str, first: bool = False, kind: Kind = Kind.NUMERICAL, values: int = 0) -> Column:
        """A part of whole numbers; `values` of them from 0 to choose from, or those that occur."""
        missing_rate = self.column.missing_rate if first else 0.0
        categories = tuple(range(values))
        decimals = 0 if kind is Kind.NUMERICAL else None
        return Column(f"{self.column.name}, {name}", kind, "float64", categories, None, None, decimals, missing_rate)


def form_of(column: Column, person: int = 0) -> Form:
    """The form that a column's kind, range and number of values ask for.

    Args:
        column: What is taken apart.
        person: Of personal text, which person of a row it tells of.
    """
    if column.kind.moment or column.kind is Kind.DURATION:
        return _Moments(column)
    if column.kind.invented:
        return _Flag(column, person)
    if column.kind is Kind.CATEGORICAL and len(column.categories) > MANY:
        return _Digits(column)
    if dressed(column):
        return _Dressed(column)
    if column.kind is Kind.NUMERICAL and isinstance(column.minimum, int):
        return _Long(column)
    return _Itself(column)


class _Itself(Form):
    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.parts = (column,)

    def split(self, values: pd.Series) -> list[pd.Series]:
        return [values]

    def join(self, parts: list[pd.Series], rows: range, seed: int) -> pd.Series:
        return parts[0]


class _Digits(Form):
    """Very many words: the place of a word among all of them, in two digits.

    The words are sorted, so that those which begin alike, as the codes of a branch or the postcodes of a region do,
    share the leading digit: what a model learns of one of them it learns of its neighbours.
    """

    digits = True

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.base = isqrt(len(column.categories) - 1) + 1
        leading = ceil(len(column.categories) / self.base)
        self.parts = (
            self._part("leading digit", True, Kind.CATEGORICAL, leading),
            self._part("last digit", False, Kind.CATEGORICAL, self.base),
        )

    @cached_property
    def _places(self) -> pd.Index:
        return pd.Index(self.column.categories)

    @cached_property
    def by_text(self) -> dict[str, Any]:
        """Every word by how a command line would have it."""
        return {str(value): value for value in self.column.categories}

    def split(self, values: pd.Series) -> list[pd.Series]:
        places = self._places.get_indexer(pd.Index(values))
        missing = values.isna().to_numpy()
        unseen = (places < 0) & ~missing
        if RARE in self._places:
            places[unseen] = self._places.get_indexer(pd.Index([RARE]))[0]
        elif unseen.any():
            value = values[unseen].iloc[0]
            raise SynthgenError(
                f"column {self.column.name!r}: {value!r} is not among the values that the codec was fitted on"
            )
        return [_numbers(digit, missing) for digit in divmod(places, self.base)]

    def join(self, parts: list[pd.Series], rows: range, seed: int) -> pd.Series:
        leading, last = (part.to_numpy(dtype=float) for part in parts)
        # Beyond the last word there are combinations that stand for nothing: the last word is the nearest.
        places = (leading * self.base + last).clip(max=len(self.column.categories) - 1)
        places = np.where(np.isnan(places), len(self.column.categories), places).astype(int)
        words = np.array([*self.column.categories, None], dtype=object)
        return pd.Series(words[places]).astype(dtype_of(self.column))


class _Dressed(Form):
    """Numbers that are text of one format, such as "25%"."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.parts = (replace(column, dtype="float64", format=None),)

    def split(self, values: pd.Series) -> list[pd.Series]:
        return [numbers_of(values, self.column)]

    def join(self, parts: list[pd.Series], rows: range, seed: int) -> pd.Series:
        return write_numbers(parts[0].to_numpy(dtype=float), self.column)


class _Long(Form):
    """Whole numbers that floats would round, counted from the smallest; in two parts where they span more than 2^53."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        assert isinstance(column.minimum, int)
        assert isinstance(column.maximum, int)
        self.minimum: int = column.minimum
        self.span: int = column.maximum - column.minimum
        self.parts = (self._part("from the smallest", True),)
        if self.span > EXACT:
            self.parts = (self._part("high part", True), self._part("low part"))

    def split(self, values: pd.Series) -> list[pd.Series]:
        missing = values.isna().to_numpy()
        whole = values[~missing].to_numpy(dtype=_unsigned(self.column) if self.minimum >= 0 else np.int64)
        whole = whole.clip(self.minimum, self.minimum + self.span)
        # Modulo 2^64, in which a difference that fits is exact whatever the signs.
        offsets = whole.astype(np.uint64) - np.uint64(self.minimum % 2**64)
        parts = [offsets] if len(self.parts) == 1 else [offsets // np.uint64(_LOW), offsets % np.uint64(_LOW)]
        found = []
        for part in parts:
            numbers = np.full(len(values), np.nan)
            numbers[~missing] = part
            found.append(pd.Series(numbers))
        return found

    def join(self, parts: list[pd.Series], rows: range, seed: int) -> pd.Series:
        missing = parts[0].isna().to_numpy()
        whole = [part.fillna(0).to_numpy().clip(0).astype(np.uint64) for part in parts]
        offsets = whole[0] if len(parts) == 1 else whole[0] * np.uint64(_LOW) + whole[1]
        offsets = np.minimum(offsets, np.uint64(self.span))
        numbers = offsets + np.uint64(self.minimum % 2**64)
        if self.minimum < 0:
            numbers = numbers.view(np.int64)
        nullable = pd.Int64Dtype() if self.minimum < 0 else pd.UInt64Dtype()
        return pd.Series(numbers).astype(nullable).mask(missing).astype(dtype_named(self.column.dtype))


class _Moments(Form):
    """Dates, times of day and durations, by their calendar."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        assert isinstance(column.unit, str)
        self.parts = tuple(
            self._part(name, i == 0, Kind.CATEGORICAL if name == "weekday" else Kind.NUMERICAL)
            for i, name in enumerate(moment_parts(column.kind, column.unit))
        )

    def split(self, values: pd.Series) -> list[pd.Series]:
        ticks, missing = ticks_of(values, self.column)
        names = moment_parts(self.column.kind, str(self.column.unit))
        return [_numbers(part, missing) for part in parts_moment(ticks, str(self.column.unit), names)]

    def join(self, parts: list[pd.Series], rows: range, seed: int) -> pd.Series:
        return values_of([part.to_numpy(dtype=float) for part in parts], self.column)


class _Flag(Form):
    """Identifiers and personal text: they are made anew, and what is learned is where they are missing."""

    def __init__(self, column: Column, person: int) -> None:
        super().__init__(column)
        self.person = person
        self.parts = (self._part("is there", True, Kind.CATEGORICAL, 1),) if column.missing_rate else ()

    def split(self, values: pd.Series) -> list[pd.Series]:
        missing = values.isna().to_numpy()
        return [_numbers(np.zeros(len(values)), missing)] if self.parts else []

    def join(self, parts: list[pd.Series], rows: range, seed: int) -> pd.Series:
        if self.column.kind is Kind.PERSONAL:
            made = new_personal(self.column, rows, seed, self.person)
        else:
            made = new_identifiers(self.column, rows, seed, self.person)
        if parts:
            made = made.mask(parts[0].isna().to_numpy())
        return made.astype(dtype_named(self.column.dtype))


def _numbers(values: np.ndarray, missing: np.ndarray) -> pd.Series:
    return pd.Series(np.where(missing, np.nan, values))


def _unsigned(column: Column) -> type:
    return np.uint64 if column.maximum is not None and column.maximum >= 2**63 else np.int64
