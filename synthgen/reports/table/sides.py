"""The tables that a report compares, whole and at one size."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from synthgen.layout import TableSchema
from synthgen.metrics.table.privacy import not_held_out

__all__ = ["Sides"]


@dataclass(frozen=True)
class Sides:
    """Training, holdout and synthetic rows, with the schema's columns in its order.

    Errors grow as samples shrink, so that two figures compare only at one size: `few` and `real` are as many rows of
    the synthetic table and of the holdout, and `known` of the training table.

    Attributes:
        train: Real rows that the generator learned from.
        holdout: Real rows that it has not seen, or None.
        synthetic: Its rows.
        schema: What the columns are.
        seed: Of every subsample.
        entities: For each training row and each holdout row the entity, such as a person, that it belongs to, where
            entities and not rows were put on one side or the other; else None.
        dates: Numerical columns that hold dates, as seconds since 1970.
    """

    train: pd.DataFrame
    holdout: pd.DataFrame | None
    synthetic: pd.DataFrame
    schema: TableSchema
    seed: int = 0
    entities: tuple[Sequence[Any], Sequence[Any]] | None = None
    dates: Collection[str] = ()

    @cached_property
    def rows(self) -> int:
        """The size at which figures stand beside their floor."""
        return min(len(side) for side in (self.train, self.holdout, self.synthetic) if side is not None)

    @cached_property
    def few(self) -> pd.DataFrame:
        """So many synthetic rows."""
        return self._rows(self.synthetic)

    @cached_property
    def real(self) -> pd.DataFrame:
        """So many holdout rows."""
        assert self.holdout is not None
        return self._rows(self.holdout)

    @cached_property
    def known(self) -> pd.DataFrame:
        """So many training rows."""
        return self._rows(self.train)

    @cached_property
    def not_held_out(self) -> str:
        """What is to be said where the holdout is made of training rows; else empty."""
        share = 0.0 if self.holdout is None else not_held_out(self.train, self.holdout)
        if not share:
            return ""
        return (
            f"The holdout was not held out: {100 * share:.0f} % of its rows are rows of the real table, far more than "
            "by chance. Floors, utility and all figures of privacy then say nothing; give rows that training never saw."
        )

    def independent(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Training and holdout rows that were put there independently of each other: one row of each entity."""
        assert self.holdout is not None
        if self.entities is None:
            return self.train, self.holdout
        thinned = []
        for frame, entities in zip((self.train, self.holdout), self.entities, strict=True):
            order = np.random.default_rng(self.seed).permutation(len(frame))
            first = ~pd.Series(list(entities)).iloc[order].duplicated().to_numpy()
            thinned.append(frame.iloc[np.sort(order[first])])
        return thinned[0], thinned[1]

    def _rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame if len(frame) == self.rows else frame.sample(self.rows, random_state=self.seed)
