"""Kinds of constraints: how each is written in one entry of a schema file, and which rows obey it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.constraints.combined import Combinations
from synthgen.data.tables.constraints.constraint import Constraint, different_names
from synthgen.data.tables.constraints.formula import Formula
from synthgen.data.tables.constraints.measured import Inequality, Range, Sum
from synthgen.data.tables.streamed import Table
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import Kind, TableSchema

__all__ = ["KINDS", "FixedCombinations", "FormulaHolds", "NotNull", "Unique", "read_constraint"]


class FixedCombinations(Constraint):
    """Only combinations of columns that the training rows have. `fixed_combinations: [city, state, country]`."""

    kind = "fixed_combinations"
    table: Combinations

    def __init__(self, said: Any, where: str) -> None:
        super().__init__(said, where)
        self.columns = different_names(said, where, 2)

    def bind(self, schema: TableSchema) -> None:
        """See `Constraint.bind`."""
        super().bind(schema)
        self.schema = tuple(schema[name] for name in self.columns)

    def learn(self, frame: Table, rare_below: int) -> None:
        """See `Constraint.learn`."""
        self.table = Combinations.fit(frame, self.schema, rare_below)

    def check(self, frame: Table) -> np.ndarray:
        """See `Constraint.check`."""
        return self.table.place(frame) >= 0

    def state(self) -> dict[str, Any]:
        """See `Constraint.state`."""
        return self.table.to_dict()

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Constraint.restore`."""
        self.table = Combinations.from_dict(state, self.schema)


class Unique(Constraint):
    """No value, or no combination of values, twice; a missing cell is like no other. `unique: id`, `unique: [a, b]`."""

    kind = "unique"
    of_invented = (Kind.IDENTIFIER,)

    def __init__(self, said: Any, where: str) -> None:
        super().__init__(said, where)
        self.columns = different_names([said] if isinstance(said, str | int) else said, where, 1)

    def bind(self, schema: TableSchema) -> None:
        """See `Constraint.bind`."""
        super().bind(schema)
        # Where a cell of it is missing a row is like no other.
        self.certain = any(schema[name].kind is Kind.IDENTIFIER for name in self.columns)

    def check(self, frame: Table) -> np.ndarray:
        """See `Constraint.check`."""
        keys, missing = self.keys(frame)
        return missing | ~pd.Series(keys).duplicated().to_numpy()

    def keys(self, frame: Table) -> tuple[np.ndarray, np.ndarray]:
        """(rows,) a number that stands for the columns of a row, uint64, and whether one of them is missing."""
        rows = frame[list(self.columns)]
        hashed = pd.util.hash_pandas_object(rows, index=False).to_numpy(dtype=np.uint64)
        return hashed, rows.isna().any(axis=1).to_numpy()


class NotNull(Constraint):
    """No cell is missing. `not_null: age`, `not_null: [age, income]`."""

    kind = "not_null"
    of_invented = (Kind.IDENTIFIER, Kind.PERSONAL)
    certain = True

    def __init__(self, said: Any, where: str) -> None:
        super().__init__(said, where)
        self.columns = different_names([said] if isinstance(said, str | int) else said, where, 1)

    def check(self, frame: Table) -> np.ndarray:
        """See `Constraint.check`."""
        return frame[list(self.columns)].notna().all(axis=1).to_numpy()


class FormulaHolds(Constraint):
    """An expression over columns that is true of each row. `formula: "income > 0 or retired"`."""

    kind = "formula"

    def __init__(self, said: Any, where: str) -> None:
        super().__init__(said, where)
        if not isinstance(said, str):
            raise SynthgenError(f"{where}: found {said!r}, expected text such as 'income > 0 or retired'")
        self.formula = Formula(said, where)
        self.columns = self.formula.columns

    def bind(self, schema: TableSchema) -> None:
        """See `Constraint.bind`."""
        super().bind(schema)
        self.schema = schema

    def check(self, frame: Table) -> np.ndarray:
        """See `Constraint.check`."""
        return self.formula.holds(frame, self.schema)


#: All kinds by their words.
KINDS: dict[str, type[Constraint]] = {
    kind.kind: kind for kind in (Inequality, Range, FixedCombinations, Sum, Unique, NotNull, FormulaHolds)
}


def read_constraint(entry: Any, where: str) -> Constraint:
    """A constraint from its entry in a schema file, or the same in Python.

    Args:
        entry: One kind and what it is about.
        where: The file and the number of the entry.

    Raises:
        SynthgenError: Where, what was found and what was expected.
    """
    if not isinstance(entry, dict) or len(entry) != 1:
        raise SynthgenError(f"{where}: found {entry!r}, expected one kind of constraint, as `unique: id`")
    ((kind, said),) = entry.items()
    if kind not in KINDS:
        raise SynthgenError(f"{where}: kind {kind!r}: {nearest(kind, KINDS, what='kinds are')}")
    return KINDS[kind](said, f"{where}: {kind}")
