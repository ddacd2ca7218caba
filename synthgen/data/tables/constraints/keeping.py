"""Which rows that a model draws are kept: those that obey, and are as a condition wants them."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from synthgen.data.tables.constraints.constraint import Constraint
from synthgen.data.tables.constraints.given import Given
from synthgen.data.tables.constraints.kinds import Unique

__all__ = ["Decoding", "RowKeeping"]

#: Encoded rows and what a condition gives of each to rows, and for each reason which of them it keeps.
Decoding = Callable[[dict[str, Tensor], Given], tuple[pd.DataFrame, list[tuple[str, np.ndarray]]]]


class RowKeeping:
    """Judges encoded rows by constraints.

    Attributes:
        alike: Whether one condition, or none, holds for all rows, so that any row that is kept may stand anywhere.
        ordered: Whether a row depends on those before it: nothing that is to be unique comes twice in a sequence.

    Args:
        decode: Makes rows of what a model draws.
        constraints: Those that rows may break.
        given: Cells that a condition gives: of one row where all are alike, else of every row.
        alike: See above.
    """

    def __init__(self, decode: Decoding, constraints: Sequence[Constraint], given: Given, alike: bool) -> None:
        self.alike = alike
        self._decode = decode
        self._constraints = [constraint for constraint in constraints if not isinstance(constraint, Unique)]
        self._unique = [constraint for constraint in constraints if isinstance(constraint, Unique)]
        self._given = given
        self._seen = [_Keys() for _ in self._unique]
        self._new: list[tuple[np.ndarray, np.ndarray]] = []
        self._broken: Counter[str] = Counter()
        self.ordered = bool(self._unique)

    def judge(self, rows: dict[str, Tensor], places: np.ndarray | None) -> np.ndarray:
        """(rows,) whether a row is kept.

        Args:
            rows: Encoded rows, on the CPU.
            places: (rows,) for which row of the condition each was drawn; None where they are alike.
        """
        n = len(rows["categorical"])
        given = self._given.at(np.zeros(n, dtype=int) if places is None else places)
        frame, reasons = self._decode(rows, given)
        keep = np.ones(n, dtype=bool)
        for reason, kept in reasons:
            keep &= self._noted(reason, kept)
        for constraint in self._constraints:
            keep &= self._noted(f"`{constraint}`", constraint.check(frame))
        self._new = []
        for constraint, seen in zip(self._unique, self._seen):
            keys, missing = constraint.keys(frame)
            # Among those that are kept so far the first of a kind.
            first = np.zeros(n, dtype=bool)
            first[np.flatnonzero(keep)[~pd.Series(keys[keep]).duplicated().to_numpy()]] = True
            keep &= self._noted(f"`{constraint}`", missing | (first & ~seen.hold(keys)))
            self._new.append((keys, missing))
        return keep

    def take(self, index: np.ndarray) -> None:
        """Notes which of the rows that were judged last are now part of the sequence."""
        for i, (keys, missing) in enumerate(self._new):
            self._seen[i].add(keys[index][~missing[index]])

    def blame(self) -> str:
        """What most of the rows did not keep to."""
        return self._broken.most_common(1)[0][0] if self._broken else "nothing"

    def _noted(self, reason: str, kept: np.ndarray) -> np.ndarray:
        self._broken[reason] += int((~kept).sum())
        return kept


class _Keys:
    """A set of numbers, in sorted runs of which each is at least twice as long as the next: few to look into."""

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def add(self, keys: np.ndarray) -> None:
        """Adds (keys,) numbers."""
        run = np.sort(keys)
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        self._runs.append(run)

    def hold(self, keys: np.ndarray) -> np.ndarray:
        """(keys,) whether each is in the set."""
        found = np.zeros(len(keys), dtype=bool)
        for run in self._runs:
            if len(run):
                found |= run[np.searchsorted(run, keys).clip(max=len(run) - 1)] == keys
        return found
