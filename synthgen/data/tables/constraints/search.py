"""What rows of a table obey without anybody having said so: constraints to offer."""

from collections.abc import Callable, Iterator
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.constraints.scale import Scale, common_scales, is_single
from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind, TableSchema

__all__ = ["found_constraints"]

# Rows that must speak for a constraint, and against it if it held by chance.
_EVIDENCE = 20
# Share of shuffled rows that break an inequality worth naming: a counter is above nearly every number by chance.
_BROKEN = 0.01
# A column to choose from has at most so many values, each in so many rows on average.
_MAX_VALUES = 1000
_MIN_REPEATS = 5
# Rows that rule out nearly all candidates before all rows are looked at.
_GLANCE = 2000
# Parts of a sum that may stand anywhere, and sums that are tried; more parts are found where they stand side by side.
_MAX_PARTS = 4
_MAX_SUMS = 300_000
_SUM_ROWS = 12
_AT_ONCE = 20_000


def found_constraints(frame: pd.DataFrame, schema: TableSchema) -> list[dict[str, Any]]:
    """Entries of a schema file that all rows obey, and would not by chance.

    Sums and inequalities of columns of one kind, columns whose values go together, and unique whole numbers. Columns
    without missing cells need no entry: samples have none either.

    Args:
        frame: Real rows.
        schema: What their columns are.
    """
    sums = _sums(frame, schema)
    within = [{total, *parts} for total, parts in sums]
    return [
        *({"sum": {total: parts}} for total, parts in sums),
        *({"inequality": chain} for chain in _inequalities(frame, schema, within)),
        *({"fixed_combinations": names} for names in _dependencies(frame, schema)),
        *({"unique": name} for name in _unique(frame, schema)),
    ]


def _dependencies(frame: pd.DataFrame, schema: TableSchema) -> list[list[str]]:
    """Groups of columns of which the first determines the others."""
    names, codes = [], []
    for column in schema:
        if column.kind is Kind.CONSTANT or column.kind.invented:
            continue
        code = pd.factorize(frame[column.name], use_na_sentinel=False)[0]
        if 1 < code.max() + 1 <= min(_MAX_VALUES, len(frame) / _MIN_REPEATS):
            names.append(column.name)
            codes.append(code.astype(np.int32))
    if len(names) < 2:
        return []
    table = np.stack(codes, axis=1)
    groups = []
    for i, name in enumerate(names):
        if schema[name].numerical and schema[name].decimals != 0:
            continue  # what follows from a measured number, such as a class of it, is no choice of combinations
        determined = np.flatnonzero(_determines(table[:_GLANCE], i))
        determined = determined[determined != i]
        if len(determined):
            determined = determined[_determines(table[:, [i, *determined]], 0)[1:]]
        chosen = [j for j in determined if _confirmed(table[:, i], table[:, j])]
        if chosen:
            groups.append([name, *(names[j] for j in chosen)])
    # The largest first, so that those within another are left out.
    kept: list[list[str]] = []
    for group in sorted(groups, key=len, reverse=True):
        if not any(set(group) <= set(other) for other in kept):
            kept.append([name for name in names if name in group])
    return kept


def _determines(codes: np.ndarray, i: int) -> np.ndarray:
    """(columns,) whether rows that agree in column i agree in each column."""
    by_group = codes[np.argsort(codes[:, i], kind="stable")]
    same = by_group[1:, i] == by_group[:-1, i]
    return ~(same[:, None] & (by_group[1:] != by_group[:-1])).any(axis=0)


def _confirmed(by: np.ndarray, determined: np.ndarray) -> bool:
    """Whether enough rows repeat what another row of their group says, and says other than most rows."""
    usual = np.bincount(determined).argmax()
    for rows in (determined == usual, determined != usual):
        if rows.sum() - len(np.unique(by[rows])) < _EVIDENCE:
            return False
    return True


def _inequalities(frame: pd.DataFrame, schema: TableSchema, within: list[set[str]]) -> list[list[str]]:
    """Chains of columns in rising order, but for pairs that a sum says already."""
    chains = []
    for columns in _families(schema):
        try:
            scales = common_scales(columns, "search")
        except SynthgenError:  # two time zones, or numbers that do not compare
            continue
        read = [scale.read(frame[scale.column.name]) for scale in scales]
        values = np.stack([numbers for numbers, _ in read], axis=1)
        missing = np.stack([gone for _, gone in read], axis=1)
        names = [column.name for column in columns]
        below = _below(values[:_GLANCE], missing[:_GLANCE]) & _overlap(values, missing)
        for i, j in zip(*np.nonzero(below)):
            implied = any({names[i], names[j]} <= group for group in within)
            below[i, j] = not implied and _says_something(values[:, [i, j]], missing[:, [i, j]])
        chains += [[names[i] for i in chain] for chain in _chains(below & ~below.T)]
    return chains


def _families(schema: TableSchema) -> Iterator[list[Column]]:
    """Columns of one kind, of those that have an order."""
    kinds = [{Kind.NUMERICAL}, {Kind.DATE, Kind.DATETIME}, {Kind.TIME}, {Kind.DURATION}]
    for kind in kinds:
        columns = [column for column in schema if column.kind in kind]
        if len(columns) > 1:
            yield columns


def _below(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """(columns, columns) whether the first is never above the second where both are there."""
    below = np.zeros((values.shape[1],) * 2, dtype=bool)
    for i in range(values.shape[1]):
        below[i] = ((values[:, [i]] <= values) | missing[:, [i]] | missing).all(axis=0)
    np.fill_diagonal(below, False)
    return below


def _overlap(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """(columns, columns) whether some cell of the first is above one of the second: else no shuffled row would be."""
    lowest = np.where(missing, _beyond(values.dtype, "max"), values).min(axis=0)
    highest = np.where(missing, _beyond(values.dtype, "min"), values).max(axis=0)
    return highest[:, None] > lowest[None, :]


def _beyond(dtype: Any, end: str) -> Any:
    """The largest or the smallest number of a dtype."""
    return getattr(np.iinfo(dtype) if dtype.kind == "i" else np.finfo(dtype), end)


def _says_something(pair: np.ndarray, missing: np.ndarray) -> bool:
    """Whether the first of two columns is never above the second, and would be if rows were shuffled."""
    low, high = pair[~missing.any(axis=1)].T
    if len(low) < _EVIDENCE or (low > high).any():
        return False
    shuffled = np.random.default_rng(0).permutation(high)
    return bool((low > shuffled).sum() >= max(_EVIDENCE, _BROKEN * len(low)))


def _chains(below: np.ndarray) -> list[list[int]]:
    """Paths that together hold every pair of an order that does not follow from two others."""
    whole = below.astype(int)
    direct = below & ~((whole @ whole) > 0)
    chains = []
    while direct.any():
        # From a column that none of those left leads to.
        begins = direct.any(axis=1) & ~direct.any(axis=0)
        i = int(np.flatnonzero(begins if begins.any() else direct.any(axis=1))[0])
        chain = [i]
        while direct[chain[-1]].any():
            following = int(np.flatnonzero(direct[chain[-1]])[0])
            direct[chain[-1], following] = False
            # A step that holds only with its neighbour would make the chain say more than was found.
            if not below[chain, following].all():
                chains.append(chain)
                chain = chain[-1:]
            chain.append(following)
        chains.append(chain)
    return chains


def _sums(frame: pd.DataFrame, schema: TableSchema) -> list[tuple[str, list[str]]]:
    """Totals and their parts, in the order of the table."""
    columns = [column for column in schema if column.numerical and _varies(frame[column.name])]
    if len(columns) < 3:
        return []
    names = [column.name for column in columns]
    table = np.stack([Scale(column, whole=False).read(frame[column.name])[0] for column in columns], axis=1)
    table = table[frame[names].notna().all(axis=1).to_numpy()]
    if len(table) < _EVIDENCE:
        return []
    # Rows that tell most: with few zeros, and from all over the table.
    telling = np.argsort(-(table != 0).sum(axis=1), kind="stable")[: 50 * _SUM_ROWS : 50]
    rows = table[telling]
    tolerance = _tolerances(columns, table)
    found: list[tuple[int, tuple[int, ...]]] = []
    for total, parts in _matching(rows, tolerance):
        known = any(total == other and set(fewer) <= set(parts) for other, fewer in found)
        if total not in parts and not known and _adds_up(table, total, parts, tolerance[total]):
            found.append((total, parts))
    return [(names[total], [names[part] for part in parts]) for total, parts in sorted(found)]


def _matching(rows: np.ndarray, tolerance: np.ndarray) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Totals and parts that add up in a few rows: any two to four columns, then columns side by side."""
    width = rows.shape[1]
    for size in range(2, _MAX_PARTS + 1):
        if comb(width, size) > _MAX_SUMS:
            break
        parts = np.array(list(combinations(range(width), size)))
        for i, total in _hits(lambda of: rows[:, of].sum(axis=2).T, parts, rows, tolerance):
            yield total, tuple(parts[i].tolist())
    ends = np.array([(a, b) for a, b in combinations(range(width + 1), 2) if b - a > 2])
    added = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(rows, axis=1)], axis=1)
    for i, total in _hits(lambda of: (added[:, of[:, 1]] - added[:, of[:, 0]]).T, ends, rows, tolerance):
        yield total, tuple(range(*ends[i]))


def _hits(
    add: Callable[[np.ndarray], np.ndarray], candidates: np.ndarray, rows: np.ndarray, tolerance: np.ndarray
) -> Iterator[tuple[int, int]]:
    """Candidates and totals that are equal in all rows, in each of which one row has ruled out most."""
    if not len(candidates):
        return
    for begin in range(0, len(candidates), _AT_ONCE):
        some = candidates[begin : begin + _AT_ONCE]
        added = add(some)
        at, totals = np.nonzero(np.abs(added[:, :1] - rows[0]) <= tolerance)
        equal = (np.abs(added[at] - rows[:, totals].T) <= tolerance[totals][:, None]).all(axis=1)
        yield from zip((begin + at[equal]).tolist(), totals[equal].tolist())


def _adds_up(table: np.ndarray, total: int, parts: tuple[int, ...], tolerance: float) -> bool:
    """Whether the parts add up to the total in all rows, and each of them has a say in enough."""
    of_sum = table[:, list(parts)]
    if (np.abs(of_sum.sum(axis=1) - table[:, total]) > tolerance).any():
        return False
    return bool(((of_sum != 0).sum(axis=0) >= _EVIDENCE).all())


def _tolerances(columns: list[Column], table: np.ndarray) -> np.ndarray:
    """(columns,) how far a sum may lie from each of them as a total."""
    largest = np.abs(table).max(axis=0)
    rounding = 1e-6 if any(is_single(column) for column in columns) else 1e-12
    last = [0.0 if column.decimals is None else 0.5 * 10.0**-column.decimals for column in columns]
    return largest * rounding + np.array(last)


def _varies(values: pd.Series) -> bool:
    return values.nunique() > 2


def _unique(frame: pd.DataFrame, schema: TableSchema) -> list[str]:
    """Keys, and whole numbers of which none comes twice though they lie close enough for that."""
    names = []
    for column in schema:
        values = frame[column.name]
        if column.kind is Kind.IDENTIFIER and not column.missing_rate:
            names.append(column.name)
        elif column.numerical and column.decimals == 0 and len(values) >= 5 * _EVIDENCE:
            span = float(column.maximum or 0) - float(column.minimum or 0) + 1
            # That many numbers drawn from the span at random would repeat this often.
            if values.is_unique and len(values) ** 2 / (2 * span) >= _EVIDENCE:
                names.append(column.name)
    return names
