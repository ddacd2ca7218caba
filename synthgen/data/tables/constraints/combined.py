"""Which combinations of some columns occur, as one table of them and one code a row."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.constraints.scale import Scale, is_number_like
from synthgen.data.tables.streamed import Table
from synthgen.data.tables.variables import dtype_of
from synthgen.errors import SynthgenError
from synthgen.layout import RARE, Column, Kind

__all__ = ["Combinations"]

_MAX = 1_000_000


class Combinations:
    """Combinations of columns, sorted, each with the number of rows that had it.

    A value is its place among its column's values; a missing cell is one more value, the last.

    Attributes:
        columns: What is combined.
        values: For each column its different values: numbers, also of dates on their own scale, or words.
        codes: (combinations, columns) places among the values.
        counts: (combinations,) rows of the training data.
        rare_below: Combinations of fewer rows were not kept; such rows count as a kept one that is frequent.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        values: Sequence[list[Any]],
        codes: np.ndarray,
        counts: np.ndarray,
        rare_below: int = 0,
    ) -> None:
        self.columns = tuple(columns)
        self.values = [list(of_column) for of_column in values]
        self.codes = codes
        self.counts = counts
        self.rare_below = rare_below
        self._scales = [_scale(column) for column in columns]
        self._known = [pd.Index(of_column) for of_column in self.values]
        self._places = pd.MultiIndex.from_arrays(list(codes.T))

    @classmethod
    def fit(cls, frame: Table, columns: Sequence[Column], rare_below: int = 0) -> "Combinations":
        """Finds what occurs.

        Raises:
            SynthgenError: More than 1,000,000 combinations, or none that so many rows have.
        """
        values, codes = [], []
        for column in columns:
            plain, missing = _plain(frame[column.name], column, _scale(column))
            different = sorted(pd.unique(plain[~missing]).tolist(), key=lambda value: (isinstance(value, str), value))
            values.append(different)
            codes.append(np.where(missing, len(different), pd.Index(different).get_indexer(plain)))
        found, counts = np.unique(np.stack(codes, axis=1), axis=0, return_counts=True)
        kept = counts >= rare_below
        names = [column.name for column in columns]
        if kept.sum() > _MAX:
            raise SynthgenError(f"{names} have {kept.sum():,} combinations, expected at most {_MAX:,}")
        if not kept.any():
            raise SynthgenError(f"{names} have no combination that {rare_below} rows have")
        found, counts = found[kept], counts[kept]
        for i, of_column in enumerate(values):  # those that no kept combination has are not stored
            used, place = np.unique(found[:, i], return_inverse=True)
            values[i] = [of_column[code] for code in used if code < len(of_column)]
            found[:, i] = place
        return cls(columns, values, found, counts, rare_below)

    def __len__(self) -> int:
        return len(self.codes)

    def place(self, frame: Table) -> np.ndarray:
        """(rows,) which combination a row has; −1 where it is none of them."""
        return self._places.get_indexer(
            pd.MultiIndex.from_arrays([self.place_of(i, frame[column.name]) for i, column in enumerate(self.columns)])
        )

    def place_or_near(self, frame: Table) -> np.ndarray:
        """(rows,) as `place`; with `rare_below` a row of a rare one has the most frequent of its first column's value.

        Raises:
            SynthgenError: Without it, a combination that is none of them.
        """
        place = self.place(frame)
        unknown = place < 0
        if not unknown.any():
            return place
        if self.rare_below < 2:
            names = [column.name for column in self.columns]
            found = frame[names].loc[unknown].iloc[0].tolist()
            raise SynthgenError(f"columns {names}: {found} is not among the combinations that the codec was fitted on")
        falling = np.argsort(-self.counts, kind="stable")
        firsts, at = np.unique(self.codes[falling, 0], return_index=True)
        near = dict(zip(firsts.tolist(), falling[at].tolist(), strict=True))
        first = pd.Series(self.place_of(0, frame[self.columns[0].name])[unknown])
        place[unknown] = first.map(near).fillna(falling[0]).to_numpy(dtype=int)
        return place

    def place_of(self, i: int, values: pd.Series) -> np.ndarray:
        """(rows,) which value of column i a cell has, −1 where it is none of them."""
        plain, missing = _plain(values, self.columns[i], self._scales[i])
        return np.where(missing, len(self.values[i]), self._known[i].get_indexer(pd.Index(plain)))

    def that_fit(self, names: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which combinations have some values of some columns.

        Args:
            names: (columns,) which columns.
            wanted: (rows, those columns) which value of each.

        Returns:
            (combinations,) places in an order in which those that fit a row follow one another, in their own order; for
            each row, (rows,) where they begin in it, and (rows,) how many they are.
        """
        own = self.codes[:, names]
        _, group = np.unique(np.concatenate([own, wanted]), axis=0, return_inverse=True)
        group = group.ravel()
        of_table, of_rows = group[: len(own)], group[len(own) :]
        order = np.argsort(of_table, kind="stable")
        in_order = of_table[order]
        first = np.searchsorted(in_order, of_rows, side="left")
        count = np.searchsorted(in_order, of_rows, side="right") - first
        return order, first, count

    def values_of(self, name: str) -> list[Any]:
        """The values of a column of words or numbers; none of dates."""
        for column, scale, values in zip(self.columns, self._scales, self.values, strict=True):
            if column.name == name and (scale is None or not scale.moment):
                return values
        return []

    def of(self, place: np.ndarray) -> dict[str, pd.Series]:
        """The columns of rows of which the combination is known."""
        made = {}
        for i, (column, scale) in enumerate(zip(self.columns, self._scales, strict=True)):
            codes = self.codes[place, i]
            missing = codes >= len(self.values[i])
            if scale is None:
                words = np.array([*self.values[i], None], dtype=object)
                made[column.name] = pd.Series(words[codes]).astype(dtype_of(column))
            else:
                numbers = np.array([*self.values[i], 0], dtype=np.int64 if scale.whole else float)
                made[column.name] = scale.write(numbers[codes], missing)
        return made

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` reads it back."""
        return {
            "values": self.values,
            "codes": self.codes.tolist(),
            "counts": self.counts.tolist(),
            "rare_below": self.rare_below,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], columns: Sequence[Column]) -> "Combinations":
        """Reads what `to_dict` wrote.

        Raises:
            SynthgenError: It is something else.
        """
        values, codes, counts = data["values"], np.array(data["codes"]), np.array(data["counts"])
        fits = (
            len(values) == len(columns)
            and codes.ndim == 2
            and codes.dtype.kind == "i"
            and codes.shape == (len(counts), len(columns))
            and counts.dtype.kind == "i"
            and len(counts) > 0
            and bool((counts > 0).all() and (codes >= 0).all())
            and all((codes[:, i] <= len(of_column)).all() for i, of_column in enumerate(values))
            and all(isinstance(value, str | int | float) for of_column in values for value in of_column)
            and all(_fits(column, of_column) for column, of_column in zip(columns, values, strict=True))
            and isinstance(data["rare_below"], int)
        )
        if not fits:
            raise SynthgenError(f"fixed_combinations of {[column.name for column in columns]}: no table of them")
        return cls(columns, values, codes, counts, data["rare_below"])


def _scale(column: Column) -> Scale | None:
    if column.kind is Kind.CONSTANT or not is_number_like(column):
        return None
    return Scale(column)


def _plain(values: pd.Series, column: Column, scale: Scale | None) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) cells as numbers or as words, and which are missing."""
    if scale is not None:
        return scale.read(values)
    missing = values.isna().to_numpy(dtype=bool)
    plain = values.astype(object).to_numpy()
    if RARE in column.categories:
        plain = np.where(missing | pd.Index(plain).isin(column.categories), plain, RARE)
    return plain, missing


def _fits(column: Column, values: Sequence[Any]) -> bool:
    """Whether stored values are of a column's kind."""
    scale = _scale(column)
    if scale is None:
        return set(map(_typed, values)) <= set(map(_typed, column.categories))
    if scale.whole:
        return all(type(value) is int and -(2**63) <= value < 2**63 for value in values)
    return all(type(value) in (int, float) and math.isfinite(value) for value in values)


def _typed(value: Any) -> tuple[type, Any]:
    return type(value), value
