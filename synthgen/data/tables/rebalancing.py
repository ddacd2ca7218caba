"""Values that samples shall have so that a column's are as frequent as wanted."""

from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.codec import TableCodec
from synthgen.data.tables.conditions import of_all_rows
from synthgen.errors import SynthgenError, nearest

__all__ = ["rebalanced"]


def rebalanced(
    codec: Any,
    rebalance: str | dict[str, dict[Any, float]],
    condition: dict[str, Any] | pd.DataFrame | None,
    n: int,
    seed: int,
    start: int,
) -> pd.DataFrame:
    """A condition for samples `start` .. `start + n - 1` of a sequence.

    Args:
        codec: Of the data.
        rebalance: A column whose values shall be equally frequent, or by column the shares of some of its values; the
            others have equal parts of what is left. No cell of it is missing.
        condition: Cells that samples shall have besides, as for sampling.
        n: Number of samples.
        seed: Of the sequence: a row has the same value in whatever part of it.
        start: Index of the first one.

    Returns:
        One row a sample.

    Raises:
        SynthgenError: The data is no table, or a column, a value or a share is at fault.
    """
    if not isinstance(codec, TableCodec):
        raise SynthgenError("rebalance: is for the columns of a table; for images give condition.label")
    wanted = {rebalance: {}} if isinstance(rebalance, str) else rebalance
    given = pd.DataFrame(of_all_rows(condition), index=range(n)) if isinstance(condition, dict) else condition
    rows = pd.DataFrame(index=range(n)) if given is None else given.reset_index(drop=True)
    for name, shares in wanted.items():
        if name in rows.columns:
            raise SynthgenError(f"rebalance: column {name!r} has a condition, too; expected one of the two")
        values, weights = _shares(codec, name, shares)
        # One number of its own for every row, whichever rows are asked for together.
        key = [seed % 2**64, codec.schema.names.index(name)]
        uniform = np.random.Philox(key=key, counter=start).random_raw(4 * n)[::4] / 2.0**64
        drawn = np.searchsorted(np.cumsum(weights), uniform * sum(weights), side="right")
        rows[name] = np.array(values, dtype=object)[drawn.clip(max=len(values) - 1)]
    return rows


def _shares(codec: TableCodec, name: str, shares: dict[Any, float]) -> tuple[list[Any], list[float]]:
    """All values of a column and the share that each shall have."""
    column, values = codec.schema[name], codec.values_of(name)
    if len(values) < 2:
        raise SynthgenError(
            f"rebalance: column {name!r} is {column.kind}, expected one with some values to choose from"
        )
    if not isinstance(shares, dict):
        raise SynthgenError(f"rebalance.{name}: found {shares!r}, expected shares by value")
    by_text = {str(value): value for value in values}
    found: dict[Any, float] = {}
    for value, share in shares.items():
        if str(value) not in by_text:
            raise SynthgenError(f"rebalance.{name}: found {value!r}; {nearest(str(value), by_text, what='values are')}")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise SynthgenError(f"rebalance.{name}: found {share!r} for {value!r}, expected a share from 0 to 1")
        found[by_text[str(value)]] = float(share)
    left, others = 1 - sum(found.values()), len(values) - len(found)
    if left < -1e-9 or (not others and left > 1e-9):
        raise SynthgenError(f"rebalance.{name}: shares sum to {1 - left:g}, expected 1")
    return values, [found.get(value, max(left, 0.0) / max(others, 1)) for value in values]
