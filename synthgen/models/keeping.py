"""Rows drawn until they are to be kept, the same ones in whatever parts of a sequence they are asked for."""

from collections.abc import Callable
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
_MAX_DRAWS = 1000


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
    draw: Draw, condition: Batch | None, keeping: Keeping, size: int, places: np.ndarray, offset: int, count: Acceptance
) -> Batch:
    """The first draw of each row that is kept, where every row has a condition of its own.

    Whole blocks are drawn, so that what a row gets does not depend on how many draws the others take.

    Args:
        draw: Draws so many rows under a condition.
        condition: Of all rows of the block.
        keeping: Which rows are kept.
        size: Of the block.
        places: Those of its rows that are asked for.
        offset: Of their places from those of the rows among all that are asked for.
        count: Counts what was drawn and kept.

    Raises:
        SynthgenError: After ten draws fewer than one row in 1,000 was kept, or after 1,000 some row was not.
    """
    result: Batch = {}
    waiting, own = np.arange(len(places)), Acceptance()
    for draws in range(_MAX_DRAWS):
        block = draw(size, condition, draws)
        drawn = {name: value[torch.from_numpy(places[waiting])] for name, value in block.items()}
        keep = keeping.judge(drawn, places[waiting] + offset)
        for counted in (own, count):
            counted.add(len(keep), int(keep.sum()))
        keeping.take(np.flatnonzero(keep))
        at = torch.from_numpy(waiting[keep])
        for name, value in drawn.items():
            if name not in result:
                result[name] = value.new_zeros(len(places), *value.shape[1:])
            result[name][at] = value[torch.from_numpy(keep)]
        waiting = waiting[~keep]
        if not len(waiting):
            return result
        if draws + 1 >= _DRAWS and own.rate < _TOO_FEW:
            break
    raise _too_few(own, keeping, f"{len(waiting):,} of {len(places):,} rows were not met: ")


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
