"""Does a synthetic table look real: column by column and pair by pair.

All figures compare a real table with a synthetic one and are blind to the order of rows. Compare them with the same
figure for held-out real rows: two samples of the same data differ too.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthgen.layout import TableSchema
from synthgen.metrics.table.columns import checked, joint_codes, numbers, shared_codes
from synthgen.metrics.table.marginals import cell_codes, total_variation

__all__ = ["column_shapes", "correlation_matrix", "pair_trends", "shape_error", "trend_error"]


def shape_error(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> float:
    """1 − mean of `column_shapes`, in [0, 1]; 0 is best. Says nothing of how columns belong together."""
    return float(1 - column_shapes(real, synthetic, schema).mean())


def trend_error(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> float:
    """1 − mean of `pair_trends` over all pairs of columns, in [0, 1]; 0 is best, NaN for a single column."""
    trends = pair_trends(real, synthetic, schema).to_numpy()
    pairs = trends[np.triu_indices(len(trends), 1)]
    return float(1 - pairs.mean()) if len(pairs) else float("nan")


def column_shapes(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> pd.Series:
    """Similarity of each column's distribution, in [0, 1]; 1 is best.

    Numerical columns: 1 − the Kolmogorov–Smirnov distance sup_x |F_real(x) − F_synthetic(x)| over values that are
    neither missing nor infinite (0 when one side has no value at all, 1 when neither has). All others: 1 − the total
    variation ½ Σ_c |p_real(c) − p_synthetic(c)|, where missing is a category of its own. On data without missing values
    these are SDMetrics' KSComplement and TVComplement.

    Returns:
        One similarity a column, indexed by its name.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has no rows.
    """
    frames = (checked(real, schema, "real"), checked(synthetic, schema, "synthetic"))
    shapes = {}
    for column in schema:
        if column.numerical:
            distance = _kolmogorov_smirnov(numbers(frames[0][column.name]), numbers(frames[1][column.name]))
        else:
            (a, b), values = shared_codes(frames, column)
            distance = total_variation(a, b, len(values) + 1)
        shapes[column.name] = 1 - distance
    return pd.Series(shapes, name="similarity", dtype=float)


def pair_trends(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    """Similarity of each pair of columns, in [0, 1]; 1 is best.

    Two numerical columns: 1 − |ρ_real − ρ_synthetic| / 2 with Pearson's ρ over rows where both are present; where a
    column does not vary ρ counts as 0. All other pairs: 1 − the total variation between the two normalised contingency
    tables. There, a numerical column is cut into 10 bins of equal width over the real range, with synthetic values
    clipped to it, and a further bin for missing ones. These are SDMetrics' CorrelationSimilarity and
    ContingencySimilarity with 10 bins. The Trend of its QualityReport, which papers give, is another figure: it bins
    each side by that side's own range, and so overlooks a column that is too wide or too narrow, and later versions
    draw rows and leave out pairs whose real association is weak.

    Returns:
        Square and symmetric, indexed by column names both ways; NaN on the diagonal.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has no rows.
    """
    frames = (checked(real, schema, "real"), checked(synthetic, schema, "synthetic"))
    numerical = [position for position, column in enumerate(schema) if column.numerical]
    similarity = np.full((len(schema), len(schema)), np.nan)
    cells = [cell_codes(frames, column) for column in schema]
    if numerical:
        rho = [_pearson(np.column_stack([numbers(frame[schema.names[i]]) for i in numerical])) for frame in frames]
        similarity[np.ix_(numerical, numerical)] = 1 - np.abs(rho[0] - rho[1]) / 2
    for i in range(len(schema)):
        for j in range(i + 1, len(schema)):
            if np.isnan(similarity[i, j]):
                (a, b), size = joint_codes(cells[i][0], cells[j][0], (cells[i][1], cells[j][1]))
                similarity[i, j] = similarity[j, i] = 1 - total_variation(a, b, size)
    np.fill_diagonal(similarity, np.nan)
    return pd.DataFrame(similarity, index=schema.names, columns=schema.names)


def correlation_matrix(frame: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    """Association of every pair of columns, for the eye rather than for a score.

    Two numerical columns: Pearson's ρ, in [−1, 1]. Two discrete ones: Cramér's V = √(χ² / (n · (min(r, c) − 1))), in
    [0, 1]. One of each: the correlation ratio η, in [0, 1], the root of the share of the number's variance that lies
    between the categories' means. Missing is a category; rows where a number is missing are left out of its pairs.
    Where a column does not vary the association is 0.

    Returns:
        Square and symmetric, indexed by column names both ways; 1 on the diagonal.

    Raises:
        SynthgenError: When the table lacks one of the schema's columns, or has no rows.
    """
    frame = checked(frame, schema, "given")
    numerical = [position for position, column in enumerate(schema) if column.numerical]
    values = {i: numbers(frame[schema.names[i]]) for i in numerical}
    codes = {i: shared_codes([frame], column)[0][0] for i, column in enumerate(schema) if i not in values}
    matrix = np.zeros((len(schema), len(schema)))
    if numerical:
        matrix[np.ix_(numerical, numerical)] = _pearson(np.column_stack(list(values.values())))
    for i in range(len(schema)):
        for j in range(i + 1, len(schema)):
            if i in codes and j in codes:
                matrix[i, j] = matrix[j, i] = _cramers_v(codes[i], codes[j])
            elif i in codes or j in codes:
                number, code = (values[i], codes[j]) if i in values else (values[j], codes[i])
                matrix[i, j] = matrix[j, i] = _correlation_ratio(number, code)
    np.fill_diagonal(matrix, 1)
    return pd.DataFrame(matrix, index=schema.names, columns=schema.names)


def _kolmogorov_smirnov(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    a, b = np.sort(a[~np.isnan(a)]), np.sort(b[~np.isnan(b)])
    if not len(a) or not len(b):
        return float(len(a) != len(b))
    points = np.concatenate([a, b])
    below = [np.searchsorted(side, points, side="right") / len(side) for side in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def _pearson(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's ρ over the rows where both columns are present, 0 where it is undefined; (rows, k) to (k, k)."""
    present = ~np.isnan(values)
    count = present.sum(0)
    mean = np.divide(np.where(present, values, 0).sum(0), count, out=np.zeros(len(count)), where=count > 0)
    centred = np.where(present, values - mean, 0)
    # Scaled first, so that sums of squares of salaries do not swallow sums of squares of shares.
    scale = np.abs(centred).max(0)
    centred /= np.where(scale > 0, scale, 1)
    mask = present.astype(np.float64)
    rows = np.maximum(mask.T @ mask, 1)
    sums = centred.T @ mask  # of column i, over the rows where j is present too
    squares = (centred**2).T @ mask
    covariance = centred.T @ centred - sums * sums.T / rows
    variance = squares - sums**2 / rows
    varies = (variance > 1e-12 * np.maximum(squares, 1e-300)) & (variance > 0)
    norm = np.sqrt(np.where(varies, variance, 1) * np.where(varies.T, variance.T, 1))
    return np.where(varies & varies.T, np.clip(covariance / norm, -1, 1), 0.0)


def _cramers_v(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    count_a, count_b = np.bincount(a), np.bincount(b)
    fewest = min(np.count_nonzero(count_a), np.count_nonzero(count_b))
    if fewest < 2:
        return 0.0
    joint, cells = a * len(count_b) + b, len(count_a) * len(count_b)
    if cells <= 4 * len(joint):
        count = np.bincount(joint, minlength=cells)
        occupied = np.flatnonzero(count)
        count = count[occupied]
    else:
        occupied, count = np.unique(joint, return_counts=True)
    # χ² / n + 1 = Σ O² / (row sum · column sum), and cells that are empty add nothing to it.
    total = (count**2 / (count_a[occupied // len(count_b)] * count_b[occupied % len(count_b)])).sum()
    return float(np.sqrt(max(total - 1, 0) / (fewest - 1)))


def _correlation_ratio(values: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    present = ~np.isnan(values)
    values, codes = values[present], codes[present]
    if not len(values) or values.min() == values.max():  # whose mean may differ from it by a rounding
        return 0.0
    centred = values - values.mean()
    total = (centred**2).sum()
    count = np.bincount(codes)
    sums = np.bincount(codes, centred)
    between = np.divide(sums**2, count, out=np.zeros(len(count)), where=count > 0).sum()
    return float(np.sqrt(min(between / total, 1))) if total > 0 else 0.0
