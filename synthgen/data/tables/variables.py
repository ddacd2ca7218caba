"""Variables: how a simple column, of numbers or of values to choose from, becomes codes and normal numbers.

- A *discrete* variable has codes 0 .. cardinality − 1: the values of a categorical or boolean column, the values of a
  numerical column that has few of them, each with one more code for a missing cell.
- A *continuous* variable is a real number, standard normal over the column: the rank of the value, through the normal
  quantile function. Where a numerical column has point masses (a value that is far more frequent than a density allows,
  such as 0 or a cap) or missing cells, a discrete variable stands beside the continuous one and says which of them a
  cell is; its code 0 means "none of them: the continuous variable holds". Under another code the continuous variable is
  noise that says nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from synthgen.errors import SynthgenError
from synthgen.layout import RARE, Column, Kind

__all__ = [
    "Encoding",
    "dtype_named",
    "dtype_of",
    "fit_variables",
    "from_variables",
    "log_slope",
    "normal_interval",
    "scattered",
    "to_codes",
    "to_normal",
    "within",
]

# A numerical column with at most this many different values, each seen MIN_REPEATS times on average, is discrete.
_MAX_DISCRETE = 1024
_MIN_REPEATS = 8
# Share of a column's rows from which one value of a continuous column is a point mass.
_MASS_SHARE = 0.005
_MAX_MASSES = 64
_KNOTS = 512


@dataclass(frozen=True)
class Encoding:
    """How one column is encoded.

    Attributes:
        values: What the codes of the discrete variable mean, without the missing one: categories, the values of a
            numerical column that is discrete throughout, or its point masses.
        missing: Whether the discrete variable has a last code for a missing cell.
        knots: For a continuous variable, increasing values of the column; empty when there is none.
        quantiles: For each knot, the share of the column's continuous cells below it, strictly within 0 and 1.
    """

    values: tuple[Any, ...] = ()
    missing: bool = False
    knots: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()

    @property
    def continuous(self) -> bool:
        """Whether the column has a continuous variable."""
        return bool(self.knots)

    @property
    def cardinality(self) -> int:
        """Number of codes of the discrete variable; 0 when there is none."""
        codes = len(self.values) + self.missing
        if codes == 1 and not self.continuous:
            return 0  # the one value of a part, such as the weekday of a weekly date
        return codes + self.continuous if codes else 0

    @property
    def missing_code(self) -> int:
        """The code of a missing cell."""
        return self.cardinality - 1


def fit_variables(values: pd.Series, column: Column, rare_below: int = 0) -> Encoding:
    """Learns how a simple column is encoded; a column of words that names no categories has those that occur.

    With `rare_below`, no number that fewer rows have is kept: a discrete variable takes the nearest one that is, and
    knots are means of at least so many cells.
    """
    if column.kind is Kind.CONSTANT:
        return Encoding()
    missing = column.missing_rate > 0
    if column.kind is not Kind.NUMERICAL:
        return Encoding(values=column.categories or tuple(sorted(values.dropna().unique().tolist())), missing=missing)
    numbers = _written(values.dropna().to_numpy(dtype=float), column)
    distinct, counts = np.unique(numbers, return_counts=True)
    if len(distinct) <= min(_MAX_DISCRETE, len(numbers) / _MIN_REPEATS):
        kept = distinct[counts >= rare_below]
        if len(kept):
            return Encoding(values=tuple(kept.tolist()), missing=missing)
    is_mass = counts >= max(_MASS_SHARE * len(numbers), _MIN_REPEATS, rare_below)
    is_mass[np.argsort(-counts, kind="stable")[_MAX_MASSES:]] = False
    if is_mass.any() and counts[~is_mass].sum() < rare_below:
        return Encoding(values=tuple(distinct[is_mass].tolist()), missing=missing)
    between, cells = distinct[~is_mass], counts[~is_mass]
    if rare_below > 1:
        between, cells = _means(between, cells, rare_below)
    knots, quantiles = _quantiles(between, cells)
    return Encoding(
        values=tuple(distinct[is_mass].tolist()),
        missing=missing,
        knots=tuple(knots.tolist()),
        quantiles=tuple(quantiles.tolist()),
    )


def _written(numbers: np.ndarray, column: Column) -> np.ndarray:
    """Numbers to a column's decimals, where a person asks for fewer than they have; else as they are, to the bit."""
    if column.decimals is None:
        return numbers
    rounded = np.round(numbers, column.decimals)
    # What differs by the last digits of a float is the number itself.
    finer = np.abs(rounded - numbers) > 1e-3 * 10.0**-column.decimals + _last_digits(column) * np.abs(numbers)
    return np.where(finer, rounded.clip(*_rounded_ends(column)), numbers)


def _means(distinct: np.ndarray, counts: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Increasing means of at least `least` neighbouring cells each, and the number of cells."""
    cells = np.repeat(distinct, counts)
    begins = np.arange(max(len(cells) // least, 1)) * least
    sizes = np.diff(np.append(begins, len(cells)))
    means, place = np.unique(np.add.reduceat(cells, begins) / sizes, return_inverse=True)
    return means, np.bincount(place, weights=sizes)


def _quantiles(distinct: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots of the distribution function, evenly spaced in probability and, for the tails, in normal quantiles."""
    ranks = (np.cumsum(counts) - counts / 2) / counts.sum()
    wanted = np.union1d(
        np.linspace(ranks[0], ranks[-1], _KNOTS), ndtr(np.linspace(ndtri(ranks[0]), ndtri(ranks[-1]), _KNOTS))
    )
    keep = np.unique(np.searchsorted(ranks, wanted).clip(max=len(ranks) - 1))
    return distinct[keep], ranks[keep]


def to_normal(values: np.ndarray, encoding: Encoding) -> np.ndarray:
    """Standard normal values of numbers; 0 where a number is missing."""
    return np.nan_to_num(ndtri(np.interp(values, encoding.knots, encoding.quantiles)), nan=0.0)


def normal_interval(values: np.ndarray, decimals: int, encoding: Encoding) -> np.ndarray:
    """(rows, 2) where the normal values lie that `from_variables` writes as these numbers, to so many decimals.

    Beyond the first and the last knot there are no other numbers: their intervals are without end.
    """
    ends = values[:, None] + np.array([-0.5, 0.5]) / 10.0**decimals
    normal = ndtri(np.interp(ends, encoding.knots, encoding.quantiles))
    normal[ends <= encoding.knots[0]] = -np.inf
    normal[ends >= encoding.knots[-1]] = np.inf
    return normal


def log_slope(values: np.ndarray, encoding: Encoding) -> np.ndarray:
    """Logarithm of how fast the normal value grows with a number: of a density on the one scale by that on the other.

    Between two knots the distribution function is a straight line; beyond the last ones the line goes on.
    """
    knots, quantiles = np.array(encoding.knots), np.array(encoding.quantiles)
    if len(knots) < 2:
        return np.zeros(len(values))
    gap = np.searchsorted(knots, values, side="right").clip(1, len(knots) - 1)
    steps = np.log(np.diff(quantiles)) - np.log(np.diff(knots))
    normal = to_normal(values, encoding)
    return steps[gap - 1] + normal**2 / 2 + np.log(2 * np.pi) / 2


def scattered(normal: np.ndarray, codes: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Gives cells that are a point mass or missing a standard normal value that says nothing.

    Whatever a cell's code, its continuous variable then is standard normal: neither spikes nor gaps for diffusion to
    learn, and no draw in which the two disagree. Drawn from a fixed seed, so that encoding is a function; of one a
    column, so that columns whose cells are missing together are not made equal.
    """
    coded = codes > 0
    normal[coded] = draws.standard_normal(coded.sum())
    return normal


def to_codes(values: pd.Series, column: Column, encoding: Encoding) -> np.ndarray:
    """(rows,) codes of the discrete variable.

    Raises:
        SynthgenError: A word that the codec was not fitted on, or a missing cell where there was none.
    """
    missing = values.isna().to_numpy()
    cells = values.to_numpy(dtype=float, na_value=np.nan) if column.numerical else values
    codes = pd.Index(encoding.values).get_indexer(pd.Index(cells)) if encoding.values else np.full(len(values), -1)
    if RARE in encoding.values:
        codes[(codes < 0) & ~missing] = encoding.values.index(RARE)
    if not encoding.continuous:
        unseen = (codes < 0) & ~missing
        if unseen.any() and column.numerical:
            # A number between two known ones: the codec keeps its nearest neighbour.
            known = np.array(encoding.values, dtype=float)
            codes[unseen] = np.searchsorted((known[1:] + known[:-1]) / 2, values[unseen].to_numpy(dtype=float))
        elif unseen.any():
            value = values[unseen].iloc[0]
            raise SynthgenError(
                f"column {column.name!r}: {value!r} is not among the values that the codec was fitted on"
            )
    codes = codes + int(encoding.continuous)
    if missing.any():
        if not encoding.missing:
            raise SynthgenError(f"column {column.name!r}: found a missing cell, but the codec was fitted on none")
        codes[missing] = encoding.missing_code
    return codes


def from_variables(
    column: Column, encoding: Encoding, codes: np.ndarray | None, normal: np.ndarray | None, n: int
) -> pd.Series:
    """(rows,) values of a column, in its dtype, from its codes and its normal numbers, None where it has none."""
    if codes is None and len(encoding.values) == 1:
        codes = np.zeros(n, dtype=int)
    if column.kind is Kind.CONSTANT:
        return pd.Series([column.categories[0] if column.categories else None] * n, dtype=dtype_of(column))
    missing = codes == encoding.missing_code if codes is not None and encoding.missing else np.zeros(n, dtype=bool)
    if not column.numerical:
        assert codes is not None
        values = pd.Series(np.array([*encoding.values, None], dtype=object)[np.where(missing, -1, codes)])
        return values.astype(dtype_of(column))
    numbers = np.full(n, np.nan)
    if normal is not None:
        numbers = np.interp(ndtr(normal), encoding.quantiles, encoding.knots)
        if column.decimals is not None:
            numbers = np.round(numbers, column.decimals).clip(*_rounded_ends(column))
    if codes is not None and encoding.values:
        listed = codes >= int(encoding.continuous)
        index = (codes - int(encoding.continuous)).clip(0, len(encoding.values) - 1)
        numbers = np.where(listed, np.array(encoding.values, dtype=float)[index], numbers)
    if pd.api.types.is_integer_dtype(column.dtype):
        numbers = within(numbers, column.dtype)
    numbers = np.where(missing, np.nan, numbers)
    return pd.Series(numbers).astype(dtype_named(column.dtype))


def _rounded_ends(column: Column) -> tuple[float, float]:
    """The outermost numbers of a column's decimals that lie within its range."""
    if column.minimum is None or column.maximum is None or column.decimals is None:
        return -np.inf, np.inf
    step, near = 10.0**-column.decimals, _last_digits(column)
    low, high = round(float(column.minimum), column.decimals), round(float(column.maximum), column.decimals)
    # What differs by the last digits of a float is the number itself.
    low += step if low < column.minimum - near * abs(column.minimum) else 0
    high -= step if high > column.maximum + near * abs(column.maximum) else 0
    low, high = round(low, column.decimals), round(high, column.decimals)  # a step may have added a last digit
    return (low, high) if low <= high else (-np.inf, np.inf)


def _last_digits(column: Column) -> float:
    """By what share of themselves numbers may differ that are written alike."""
    return 1e-6 if column.dtype.lower().startswith("float") and "64" not in column.dtype else 1e-13


def within(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers within the range of an integer type, whose ends a float may round beyond."""
    pandas_dtype = pd.api.types.pandas_dtype(dtype)
    bounds = np.iinfo(getattr(pandas_dtype, "numpy_dtype", pandas_dtype))
    highest = float(bounds.max)
    if numbers.dtype.kind != "f":
        return numbers.clip(bounds.min, min(bounds.max, 2**63 - 1))
    return numbers.clip(float(bounds.min), highest if highest <= bounds.max else np.nextafter(highest, 0))


def dtype_of(column: Column) -> Any:
    """The dtype of a column's cells."""
    if column.levels:
        return pd.CategoricalDtype(list(column.levels), ordered=column.ordered)
    return dtype_named(column.dtype)


def dtype_named(name: str) -> Any:
    """The dtype of a name. Of two that share one, the one that columns of it have."""
    if name == "string[pyarrow]":
        import pyarrow as pa

        return pd.ArrowDtype(pa.string())
    return pd.api.types.pandas_dtype(name)
