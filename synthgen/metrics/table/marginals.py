"""Shares of the values that columns take together: cells of a contingency table, over any number of columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthgen.errors import SynthgenError
from synthgen.layout import Column, TableSchema
from synthgen.metrics.table.columns import checked, joint_codes, numbers, shared_codes

__all__ = ["BINS", "Triples", "cell_codes", "total_variation", "triple_marginals"]

BINS = 10


@dataclass(frozen=True)
class Triples:
    """What `triple_marginals` found.

    Attributes:
        error: Mean total variation over the triples looked at, in [0, 1]; 0 is best, NaN for fewer than 3 columns.
        distances: Total variation of each triple looked at, worst first, indexed by its three column names.
        possible: How many triples the table has.
    """

    error: float
    distances: pd.Series
    possible: int


def triple_marginals(
    real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, *, triples: int = 1000, seed: int = 0
) -> Triples:
    """How far three columns at a time are from the real ones together.

    For each triple of columns the total variation ½ Σ |p_real − p_synthetic| over the cells of the two contingency
    tables, in [0, 1]; 0 is best. Numbers are cut into 10 bins of equal width over the real range, with synthetic values
    clipped to it, and missing is a cell of its own. Three-way marginals are what marginal-based synthesis is judged by:
    the workload error of McKenna et al. (2022) is twice this. It grows with the number of cells and falls with the
    number of rows, for two real samples too: compare it with that of as many real rows. Bins hide what happens within
    them, and what only four columns show together is not seen.

    Args:
        real: Real rows.
        synthetic: Synthetic rows.
        schema: What the columns are.
        triples: All triples are looked at up to this many (18 columns have 816), and as many random ones beyond.
        seed: Of the random ones.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has no rows, or `triples` is less than 1.
    """
    if triples < 1:
        raise SynthgenError(f"expected at least 1 triple to look at, found triples={triples}")
    frames = [checked(real, schema, "real"), checked(synthetic, schema, "synthetic")]
    cells = [cell_codes(frames, column) for column in schema]
    chosen = _triples(len(schema), triples, seed)
    found: dict[tuple[str, ...], float] = {}
    for (i, j), thirds in groupby(chosen.tolist(), key=lambda triple: tuple(triple[:2])):
        pair, pairs = joint_codes(cells[i][0], cells[j][0], (cells[i][1], cells[j][1]))  # once for all thirds
        for _, _, k in thirds:
            (a, b), size = joint_codes(pair, cells[k][0], (pairs, cells[k][1]))
            found[schema.names[i], schema.names[j], schema.names[k]] = total_variation(a, b, size)
    names = pd.MultiIndex.from_tuples(list(found), names=["first", "second", "third"]) if found else None
    distances = pd.Series(list(found.values()), index=names, name="distance", dtype=float)
    error = float(distances.mean()) if found else float("nan")
    return Triples(error, distances.sort_values(ascending=False, kind="stable"), comb(len(schema), 3))


def cell_codes(frames: Sequence[pd.DataFrame], column: Column) -> tuple[list[NDArray[np.int64]], int]:
    """Codes of one column for a contingency table, for each of several tables, and how many codes there may be.

    A discrete column has one code a value. A numerical one is cut into 10 bins of equal width over the range of the
    first table; values beyond it count to the outermost bins. The last code is missing.
    """
    if not column.numerical:
        codes, values = shared_codes(frames, column)
        return codes, len(values) + 1
    sides = [numbers(frame[column.name]) for frame in frames]
    present = sides[0][~np.isnan(sides[0])]
    low, high = (present.min(), present.max()) if len(present) else (0.0, 0.0)
    if low == high:  # as NumPy's histograms do
        low, high = low - 0.5, high + 0.5
    # Edges and not a division by the width: a value on an edge belongs to the same bin as in NumPy and SDMetrics.
    edges = np.linspace(low, high, BINS + 1)[1:-1]
    return [np.where(np.isnan(side), BINS, np.searchsorted(edges, side, side="right")) for side in sides], BINS + 1


def total_variation(a: NDArray[np.int64], b: NDArray[np.int64], size: int) -> float:
    """½ Σ_c |p_a(c) − p_b(c)| over codes 0 .. size − 1, in [0, 1]."""
    shares = [np.bincount(codes, minlength=size) / len(codes) for codes in (a, b)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _triples(columns: int, most: int, seed: int) -> NDArray[np.int64]:
    """Distinct triples a < b < c of column numbers, shape (count, 3), those that share a pair a, b together."""
    possible = comb(columns, 3)
    random = np.random.default_rng(seed)
    ranks = random.choice(possible, most, replace=False) if possible > most else np.arange(possible)
    # The combinatorial number system: a triple's rank is C(c, 3) + C(b, 2) + C(a, 1).
    n = np.arange(columns + 1)
    twos, threes = n * (n - 1) // 2, n * (n - 1) * (n - 2) // 6
    c = np.searchsorted(threes, ranks, side="right") - 1
    rest = ranks - threes[c]
    b = np.searchsorted(twos, rest, side="right") - 1
    triples = np.column_stack([rest - twos[b], b, c])
    return triples[np.lexsort(triples.T[::-1])]
