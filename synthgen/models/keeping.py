"""Rows drawn until they are to be kept, the same ones in whatever parts of a sequence they are asked for."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch

from synthgen.errors import SynthgenError
from synthgen.models.stages import Batch

__all__ = ["Acceptance", "Keeping", "Unmet", "alike_rows", "own_rows"]

# Rows drawn beyond a block at first, as a share of it, so that a few that are not kept need no second draw.
_SPARE = 32
# Rows of a draw that fills up a block are a multiple of this.
_LEAST = 128
# Draws before which no share of kept rows is too low, and the share that is.
_DRAWS = 10
_TOO_FEW = 1e-3
_MAX_DRAWS = 100
# Rows of which each has a condition of its own are drawn again together with such shares of a block, one after the
# other, and at last with so many neighbours.
_SHARES = (1, 1, 4, 4, 16, 16)
_NEIGHBOURS = 32
# Rows that were not met, from which on no others are looked for.
_TOLD = 10


#: Draws so many rows, under a condition of as many or none, at the first attempt or a later one, which draws others.
Draw = Callable[[int, Batch | None, int], Batch]


class Unmet(SynthgenError):
    """Rows of a condition that no draw met.

    Attributes:
        rows: Their numbers among all rows of the condition, from 0, rising.
        why: Of the draws, and what they did not keep to.
    """

    def __init__(self, rows: Sequence[int] | np.ndarray, why: str) -> None:
        super().__init__(why)
        self.rows = [int(row) for row in rows]
        self.why = why


class Acceptance:
    """Counts how many of the rows that were drawn were as wanted."""

    def __init__(self) -> None:
        self.drawn = 0
        self.accepted = 0

    def add(self, drawn: int, accepted: int) -> None:
        """Counts more rows."""
        self.drawn += drawn
        self.accepted += accepted

    @property
    def rate(self) -> float:
        """Share of the rows drawn that were as wanted, 0 to 1; 1 before anything was drawn."""
        return self.accepted / self.drawn if self.drawn else 1.0


class Keeping(Protocol):
    """Tells which encoded rows are kept: a function of the row, and of the rows before it where `ordered`."""

    @property
    def alike(self) -> bool:
        """Whether any row that is kept may stand anywhere: one condition, or none, holds for all."""

    @property
    def ordered(self) -> bool:
        """Whether a row depends on those before it, so that a sequence is drawn from its beginning."""

    def judge(self, rows: Batch, places: np.ndarray | None) -> np.ndarray:
        """(rows,) whether each is kept, and for which row of the condition it was drawn."""

    def take(self, index: np.ndarray) -> None:
        """Says which of the rows that were judged last are taken."""

    def blame(self) -> str:
        """What most of the rows did not keep to."""


def alike_rows(
    draw: Draw, condition: Batch | None, keeping: Keeping, size: int, needed: int, count: Acceptance
) -> Batch:
    """The first `needed` of a block of `size` rows that are kept, in the order in which they are drawn.

    Args:
        draw: Draws so many rows under a condition.
        condition: One, whose rows are alike, or None.
        keeping: Which are kept; any of them may stand anywhere.
        size: Of the block. What is drawn follows from it and not from `needed`, which only ends the draws.
        needed: Rows to return, from the block's first.
        count: Counts what was drawn and kept.

    Raises:
        SynthgenError: After ten draws fewer than one row in 1,000 was kept.
    """
    parts: list[Batch] = []
    filled, own, draws = 0, Acceptance(), 0
    while filled < needed:
        rows = size + size // _SPARE
        if parts:
            likely = (size - filled) / max(own.rate, _TOO_FEW) * 1.1
            rows = min(rows, int(likely // _LEAST + 1) * _LEAST)
        drawn = draw(rows, _repeated(condition, rows), draws)
        draws += 1
        found = np.flatnonzero(keeping.judge(drawn, None))
        for counted in (own, count):
            counted.add(rows, len(found))
        taken = found[: size - filled]
        keeping.take(taken)
        parts.append({name: value[torch.from_numpy(taken)] for name, value in drawn.items()})
        filled += len(taken)
        if filled < needed and draws >= _DRAWS and own.rate < _TOO_FEW:
            raise SynthgenError(f"constraints: {_too_few(own, keeping.blame())}")
    return {name: torch.cat([part[name] for part in parts])[:needed] for name in parts[0]}


def own_rows(
    draw: Draw, condition: Batch, keeping: Keeping, size: int, places: np.ndarray, offset: int, count: Acceptance
) -> Batch:
    """The first draw of each row that is kept, where every row has a condition of its own.

    A block is drawn once for all of its rows and, where some are not met, twice again. Then, for each quarter, each
    sixteenth and at last 32 neighbours of which some are still not met, blocks of as many draws of each as fit: few
    rows cost few blocks, and rows that are hardly ever kept get many draws. Which draws a row has, and in which order,
    does not depend on which rows are asked for besides.

    Args:
        draw: Draws so many rows under a condition.
        condition: Of all rows of the block.
        keeping: Which rows are kept.
        size: Of the block.
        places: Those of its rows that are asked for.
        offset: From a place to the number of its row among all that are asked for.
        count: Counts what was drawn and kept.

    Raises:
        Unmet: Some rows were not met: of ten blocks for 32 of them fewer than one row in 1,000, or of 100. Rows are
            looked for until ten of them are found.
    """
    result: Batch = {}
    waiting, tried = np.ones(len(places), dtype=bool), np.zeros(len(places), dtype=np.int64)

    def keep(drawn: Batch, of_draw: np.ndarray) -> None:
        """Takes, for each place that still waits, the first of its draws that is kept."""
        judged = np.flatnonzero(np.isin(of_draw, places[waiting]))
        rows = {name: value[torch.from_numpy(judged)] for name, value in drawn.items()}
        kept = np.flatnonzero(keeping.judge(rows, of_draw[judged] + offset))
        count.add(len(judged), len(kept))
        np.add.at(tried, np.searchsorted(places, of_draw[judged]), 1)
        met, first = np.unique(of_draw[judged[kept]], return_index=True)
        keeping.take(kept[first])
        at = np.searchsorted(places, met)
        for name, value in rows.items():
            result.setdefault(name, value.new_zeros(len(places), *value.shape[1:]))
            result[name][torch.from_numpy(at)] = value[torch.from_numpy(kept[first])]
        waiting[at] = False

    def draw_again(neighbours: int, group: int, attempt: int) -> None:
        """Draws a block for some neighbours alone."""
        index = group * neighbours + np.arange(size) % neighbours
        rows = {name: value[torch.from_numpy(index)] for name, value in condition.items()}
        keep(draw(size, rows, attempt), index)

    keep(draw(size, condition, 0), np.arange(size))
    attempts = 1
    for share in _SHARES:
        neighbours = max(size // share, _NEIGHBOURS)
        for group in np.unique(places[waiting] // neighbours):
            draw_again(neighbours, int(group), attempts + int(group))
        attempts += size // neighbours
    unmet = np.zeros(len(places), dtype=bool)
    for group in np.unique(places[waiting] // _NEIGHBOURS):
        here = places // _NEIGHBOURS == group
        for draws in range(_MAX_DRAWS):
            draw_again(_NEIGHBOURS, int(group), attempts + draws * (size // _NEIGHBOURS) + int(group))
            rate = (~waiting[here]).sum() / tried[here].sum()
            if not waiting[here].any() or (draws + 1 >= _DRAWS and rate < _TOO_FEW):
                break
        unmet |= waiting & here
        if unmet.sum() >= _TOLD:
            break
    if unmet.any():
        own = Acceptance()
        own.add(int(tried[unmet].sum()), 0)
        raise Unmet(places[unmet] + offset, f"constraints: {_too_few(own, keeping.blame())}")
    return result


def _repeated(condition: Batch | None, rows: int) -> Batch | None:
    """So many rows of a condition whose rows are alike, all of which must be met."""
    if condition is None:
        return None
    index = torch.zeros(rows, dtype=torch.long)
    repeated = {name: value[index] for name, value in condition.items()}
    return {**repeated, "wanted": torch.ones(rows, dtype=torch.bool), "row": index}


def _too_few(count: Acceptance, blame: str) -> str:
    return (
        f"{count.accepted:,} of {count.drawn:,} rows drawn were kept (acceptance rate {count.rate:.2g}); most did not "
        f"keep to {blame}"
    )
