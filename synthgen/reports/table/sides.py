"""The tables that a report compares, whole and at one size."""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from synthgen.layout import TableSchema

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
    """

    train: pd.DataFrame
    holdout: pd.DataFrame | None
    synthetic: pd.DataFrame
    schema: TableSchema
    seed: int = 0

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

    def _rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame if len(frame) == self.rows else frame.sample(self.rows, random_state=self.seed)
