"""Rows drawn until they are to be kept, the same ones in whatever parts of a sequence they are asked for."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch

from synthgen.errors import SynthgenError
from synthgen.models.stages import Batch

__all__ = ["Acceptance", "Keeping", "alike_rows", "own_rows"]

# Rows drawn beyond a block at first, as a share of it, so that a few that are not kept need no second draw.
_SPARE = 32
# Rows of a draw that fills up a block are a multiple of this.
_LEAST = 128
# Draws before which no share of kept rows is too low, and the share that is.
_DRAWS = 10
_TOO_FEW = 1e-3
_MAX_DRAWS = 100
# Rows of which each has a condition of its own and that are drawn again together.
_NEIGHBOURS = 32


#: Draws so many rows, under a condition of as many or none, at the first attempt or a later one, which draws others.
Draw = Callable[[int, Batch | None, int], Batch]


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
            raise _too_few(own, keeping)
    return {name: torch.cat([part[name] for part in parts])[:needed] for name in parts[0]}


def own_rows(
    draw: Draw, condition: Batch, keeping: Keeping, size: int, places: np.ndarray, offset: int, count: Acceptance
) -> Batch:
    """The first draw of each row that is kept, where every row has a condition of its own.

    A block is drawn once; then, for each 32 neighbours of which some are not met, blocks of as many draws of each as
    fit. So what a row gets does not depend on which rows are asked for besides.

    Args:
        draw: Draws so many rows under a condition.
        condition: Of all rows of the block.
        keeping: Which rows are kept.
        size: Of the block.
        places: Those of its rows that are asked for.
        offset: From a place to the number of its row among all that are asked for.
        count: Counts what was drawn and kept.

    Raises:
        SynthgenError: Some rows were not met: of ten blocks for 32 of them fewer than one row in 1,000, or of 100.
    """
    result: Batch = {}

    def keep(drawn: Batch, of_draw: np.ndarray, counted: Sequence[Acceptance]) -> None:
        """Takes, for each place that still waits, the first of its draws that is kept."""
        judged = np.flatnonzero(np.isin(of_draw, places[waiting]))
        rows = {name: value[torch.from_numpy(judged)] for name, value in drawn.items()}
        kept = np.flatnonzero(keeping.judge(rows, of_draw[judged] + offset))
        for acceptance in counted:
            acceptance.add(len(judged), len(kept))
        met, first = np.unique(of_draw[judged[kept]], return_index=True)
        keeping.take(kept[first])
        at = np.searchsorted(places, met)
        for name, value in rows.items():
            result.setdefault(name, value.new_zeros(len(places), *value.shape[1:]))
            result[name][torch.from_numpy(at)] = value[torch.from_numpy(kept[first])]
        waiting[at] = False

    waiting = np.ones(len(places), dtype=bool)
    keep(draw(size, condition, 0), np.arange(size), [count])
    groups = size // _NEIGHBOURS
    for group in np.unique(places[waiting] // _NEIGHBOURS):
        index = group * _NEIGHBOURS + np.arange(size) % _NEIGHBOURS
        rows = {name: value[torch.from_numpy(index)] for name, value in condition.items()}
        own, here = Acceptance(), places // _NEIGHBOURS == group
        for draws in range(_MAX_DRAWS):
            keep(draw(size, rows, 1 + draws * groups + int(group)), index, [own, count])
            if not waiting[here].any():
                break
            if draws + 1 >= _DRAWS and own.rate < _TOO_FEW:
                break
        if waiting[here].any():
            raise _too_few(own, keeping, f"{waiting[here].sum()} of {here.sum()} rows were not met: ")
    return result


def _repeated(condition: Batch | None, rows: int) -> Batch | None:
    """So many rows of a condition whose rows are alike, all of which must be met."""
    if condition is None:
        return None
    index = torch.zeros(rows, dtype=torch.long)
    repeated = {name: value[index] for name, value in condition.items()}
    return {**repeated, "wanted": torch.ones(rows, dtype=torch.bool)}


def _too_few(count: Acceptance, keeping: Keeping, which: str = "") -> SynthgenError:
    return SynthgenError(
        f"constraints: {which}{count.accepted:,} of {count.drawn:,} rows drawn were kept (acceptance rate "
        f"{count.rate:.2g}); most did not keep to {keeping.blame()}"
    )
