"""What a synthetic table leaves out or repeats: values, rare ones, rows, and cells that are missing.

Compare each figure with that of held-out real rows, as many as synthetic ones: a smaller table has fewer values, fewer
repeated rows, and noisier shares.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthgen.errors import SynthgenError
from synthgen.layout import Column, TableSchema
from synthgen.metrics.table.columns import checked, joint_codes, numbers, shared_codes
from synthgen.metrics.table.marginals import total_variation

__all__ = [
    "Duplicates",
    "RareCategories",
    "category_coverage",
    "duplicate_rows",
    "missing_pattern_distance",
    "missing_rates",
    "range_coverage",
    "rare_categories",
]


class Duplicates(NamedTuple):
    """Share of rows that equal an earlier row of their own table; see `duplicate_rows`.

    Attributes:
        real: In the real table, in [0, 1].
        synthetic: In the synthetic one; best near the real one's.
    """

    real: float
    synthetic: float


@dataclass(frozen=True)
class RareCategories:
    """What `rare_categories` found.

    Attributes:
        error: Mean relative error of their frequency; 0 is best, 1 is what a table without any of them has, NaN where
            no category is rare.
        absent: Share of them that never occur, in [0, 1]; 0 is best.
        categories: One row a rare category, least frequent share first: column, category, real, synthetic (shares of
            all rows) and error.
    """

    error: float
    absent: float
    categories: pd.DataFrame


def category_coverage(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> pd.Series:
    """Share of each discrete column's real categories that occur among synthetic rows, in [0, 1]; 1 is best.

    SDMetrics' CategoryCoverage. Missing is no category here, and a column without any real value is covered. Once is
    enough: it does not see how often a category occurs, nor categories that no real row has.

    Returns:
        One share a discrete column, indexed by its name.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has no rows.
    """
    frames = (checked(real, schema, "real"), checked(synthetic, schema, "synthetic"))
    shares = {}
    for column in _discrete(schema):
        counts = _category_counts(frames, column)[0]
        occurs = counts[0] > 0
        shares[column.name] = float((counts[1][occurs] > 0).mean()) if occurs.any() else 1.0
    return pd.Series(shares, name="coverage", dtype=float)


def range_coverage(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> pd.Series:
    """Share of each numerical column's real range that synthetic values span, in [0, 1]; 1 is best.

    Length of [min, max] of the synthetic values within the real [min, max], over the length of the latter: SDMetrics'
    RangeCoverage. Two values span all of it, and values beyond it cost nothing. Where the real range is one point, 1
    when the synthetic range holds it. Missing and infinite values are left out: 0 where no synthetic value is left,
    and 1 where no real one is.

    Returns:
        One share a numerical column, indexed by its name.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has no rows.
    """
    frames = (checked(real, schema, "real"), checked(synthetic, schema, "synthetic"))
    shares = {}
    for column in schema:
        if column.numerical:
            a, b = (values[~np.isnan(values)] for values in (numbers(frame[column.name]) for frame in frames))
            shares[column.name] = _spanned(a, b)
    return pd.Series(shares, name="coverage", dtype=float)


def rare_categories(
    real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, *, share: float = 0.05
) -> RareCategories:
    """How well categories that few real rows have keep their frequency.

    For each category of a discrete column with 0 < p_real < `share` the relative error |p_synthetic − p_real| / p_real,
    p being shares of all rows; all of them weigh alike. Missing is no category here. A category of n real rows
    is off by about √(1 / n) in the real table alone, and once more in the synthetic one, so that columns of
    identifiers have large errors by chance: compare with the floor. It does not see what rare rows look like.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has no rows, or `share` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise SynthgenError(f"expected the share that is rare in (0, 1], found share={share}")
    frames = (checked(real, schema, "real"), checked(synthetic, schema, "synthetic"))
    parts = []
    for column in _discrete(schema):
        counts, values = _category_counts(frames, column)
        p, q = (count / len(frame) for count, frame in zip(counts, frames))
        rare = np.flatnonzero((p > 0) & (p < share))
        parts.append(
            pd.DataFrame(
                {
                    "column": column.name,
                    "category": pd.Series([values[code] for code in rare], dtype=object),
                    "real": p[rare],
                    "synthetic": q[rare],
                    "error": np.abs(q[rare] - p[rare]) / p[rare],
                }
            )
        )
    found = [part for part in parts if len(part)]
    if not found:
        empty = pd.DataFrame({"column": [], "category": [], "real": [], "synthetic": [], "error": []})
        return RareCategories(float("nan"), float("nan"), empty)
    table = pd.concat(found, ignore_index=True).sort_values("real", kind="stable", ignore_index=True)
    return RareCategories(float(table["error"].mean()), float((table["synthetic"] == 0).mean()), table)


def duplicate_rows(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, *, seed: int = 0) -> Duplicates:
    """Share of rows that equal an earlier row of their own table, beside that of the real table.

    In [0, 1]; best where both are alike: more repeats say that a generator has few rows to tell, fewer that it smears
    values which real rows share. Missing equals missing. A larger table repeats itself more, so that the larger one is
    subsampled to the smaller one's size. It does not compare the tables: for copies of training rows see
    `synthgen.metrics.table.privacy`.

    Args:
        real: Real rows.
        synthetic: Synthetic rows.
        schema: What the columns are.
        seed: Of the subsample.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has no rows.
    """
    frames = (checked(real, schema, "real"), checked(synthetic, schema, "synthetic"))
    rows = min(map(len, frames))
    few = [frame if len(frame) == rows else frame.sample(rows, random_state=seed) for frame in frames]
    return Duplicates(*(float(frame.duplicated().mean()) for frame in few))


def missing_rates(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    """Share of each column's cells that are missing, in both tables; a difference of 0 is best.

    An infinite number counts as missing, as in all table metrics. It does not see which rows lack a value.

    Returns:
        One row a column, indexed by its name: real, synthetic, and difference, synthetic − real, in [−1, 1].

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has no rows.
    """
    frames = (checked(real, schema, "real"), checked(synthetic, schema, "synthetic"))
    rates = [[_missing(frame, column).mean() for column in schema] for frame in frames]
    table = pd.DataFrame({"real": rates[0], "synthetic": rates[1]}, index=schema.names, dtype=float)
    return table.assign(difference=table["synthetic"] - table["real"])


def missing_pattern_distance(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> float:
    """Total variation between the patterns of missing cells over rows, in [0, 1]; 0 is best.

    A row's pattern is the set of its columns that are missing, so that columns which lack values in the same rows are
    told from columns which lack as many at random. ½ Σ |p_real − p_synthetic| over patterns. With many patterns it is
    well above 0 for two real samples too. It does not see on which values a cell's being missing depends.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has no rows.
    """
    frames = (checked(real, schema, "real"), checked(synthetic, schema, "synthetic"))
    patterns, size = [np.zeros(len(frame), np.int64) for frame in frames], 1
    for column in schema:
        cells = [_missing(frame, column) for frame in frames]
        if any(side.any() for side in cells):
            patterns, size = joint_codes(patterns, [side.astype(np.int64) for side in cells], (size, 2))
    return total_variation(patterns[0], patterns[1], size)


def _discrete(schema: TableSchema) -> list[Column]:
    return [column for column in schema if not column.numerical]


def _category_counts(frames: tuple[pd.DataFrame, pd.DataFrame], column: Column) -> tuple[list[NDArray[np.int64]], list]:
    """How often each value but the missing one occurs on each side, and the values."""
    codes, values = shared_codes(frames, column)
    return [np.bincount(side, minlength=len(values) + 1)[:-1] for side in codes], values


def _spanned(real: NDArray[np.float64], synthetic: NDArray[np.float64]) -> float:
    if not len(real) or not len(synthetic):
        return float(not len(real))
    (low, high), (least, most) = ((side.min(), side.max()) for side in (real, synthetic))
    if low == high:
        return float(least <= low <= most)
    return float(max(min(high, most) - max(low, least), 0) / (high - low))


def _missing(frame: pd.DataFrame, column: Column) -> NDArray[np.bool_]:
    if column.numerical:
        return np.isnan(numbers(frame[column.name]))
    return frame[column.name].isna().to_numpy(bool)
