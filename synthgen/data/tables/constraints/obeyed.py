"""The constraints of one table: which are kept by construction, and what a model then learns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.constraints.combination import Combination
from synthgen.data.tables.constraints.constraint import Constraint
from synthgen.data.tables.constraints.gaps import Gaps
from synthgen.data.tables.constraints.given import Given
from synthgen.data.tables.constraints.kinds import FixedCombinations, NotNull, Unique, read_constraint
from synthgen.data.tables.constraints.measured import Inequality, Range, Sum
from synthgen.data.tables.constraints.totals import Totals
from synthgen.data.tables.constraints.transform import Derived, Near, Transform
from synthgen.data.tables.streamed import Table
from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind, TableSchema

__all__ = ["Obeyed"]


class Obeyed:
    """Constraints on the columns of a table.

    A constraint is kept by construction where a transform knows how and no earlier one has taken one of its columns;
    else samples that break it are rejected.

    Attributes:
        schema: What the columns of the table are.
        constraints: All of them.
        transforms: Of those that are kept by construction.
        learned: The columns that a model learns.
    """

    def __init__(
        self,
        schema: TableSchema,
        constraints: Sequence[Constraint] = (),
        transforms: Sequence[tuple[Constraint, Transform]] = (),
        made: Mapping[str, Column] | None = None,
    ) -> None:
        made = made or {}
        self.schema = schema
        self.constraints = tuple(constraints)
        self._kept = tuple(transforms)
        self.transforms = tuple(transform for _, transform in transforms)
        replaced = {name for transform in self.transforms for name in transform.replaced}
        columns = []
        for column in schema:
            for transform in self.transforms:
                columns += [made[name] for name, place in transform.made.items() if place == column.name]
            if column.name not in replaced:
                columns.append(column)
        names = [column.name for column in columns]
        for name in names:
            if names.count(name) > 1 or (name in schema.names and name in replaced):
                raise SynthgenError(f"constraints: column {name!r} has the name that a constraint needs; rename it")
        self.learned = TableSchema(tuple(columns))

    @classmethod
    def fit(
        cls,
        constraints: Sequence[Constraint],
        frame: Table,
        schema: TableSchema,
        rare_below: int,
        describe: Callable[[str, pd.Series, int], Column],
    ) -> "Obeyed":
        """Checks that real rows obey, and learns what keeping to it takes.

        Args:
            constraints: As a schema file has them.
            frame: Real rows.
            schema: What their columns are.
            rare_below: Combinations of fewer rows are not kept.
            describe: What a column is that a transform makes, from its name, its values and `rare_below`.

        Raises:
            SynthgenError: A constraint that names no column, does not fit it, or is not true of the rows.
        """
        for constraint in constraints:
            constraint.bind(schema)
            _refuse_broken(constraint, frame)
            constraint.learn(frame, rare_below)
        chosen = []
        for constraint in _constructible(constraints):
            chosen.append((constraint, _transform(constraint, schema, frame)))
        made = {}
        for _, transform in chosen:
            for name, values in transform.forward(frame).items():
                if isinstance(transform, Combination):
                    made[name] = _places(transform)
                else:
                    made[name] = describe(name, values, rare_below)
        return cls(schema, constraints, chosen, made)

    def forward(self, frame: Table) -> Table:
        """Rows as a model learns them."""
        if not self.transforms:
            return frame
        made: dict[str, pd.Series] = {}
        for transform in self.transforms:
            made.update(transform.forward(frame))
        if not isinstance(frame, pd.DataFrame):
            return frame.assign(**made)
        return pd.DataFrame(
            {
                name: made[name].reset_index(drop=True) if name in made else frame[name].reset_index(drop=True)
                for name in self.learned.names
            }
        )

    def inverse(
        self, learned: pd.DataFrame, given: Given, near: Near
    ) -> tuple[pd.DataFrame, list[tuple[str, np.ndarray]]]:
        """The columns of the table again, in order, and what to keep of the rows.

        Args:
            learned: What a model drew, decoded: all columns, or those that some constraints need.
            given: Cells that a condition gives.
            near: Which moved numbers are close to those drawn.

        Returns:
            The columns that can be made of those, and for each transform, by its constraint, (rows,) which it keeps.
        """
        if not self.transforms:
            return learned, []
        found, kept = {name: learned[name] for name in learned.columns}, []
        for constraint, transform in self._kept:
            needed = {*transform.made, *(name for name in transform.columns if name not in transform.replaced)}
            if needed <= set(learned.columns):
                columns, keep = transform.inverse(learned, given, near)
                found.update(columns)
                kept.append((_blamed(constraint, given), keep))
        return pd.DataFrame({name: found[name] for name in self.schema.names if name in found}), kept

    def refuse(self, given: Given) -> None:
        """Ends where a condition contradicts a constraint whatever the other cells are.

        Raises:
            SynthgenError: The condition and the constraint.
        """
        for constraint in self.constraints:
            _refuse_contradiction(constraint, given)

    def holds(self, frame: Table) -> np.ndarray:
        """(rows,) whether a row obeys all constraints that are on rows by themselves."""
        holds = np.ones(len(frame), dtype=bool)
        for constraint in self.constraints:
            if not isinstance(constraint, Unique):
                holds &= constraint.check(frame)
        return holds

    def derived(self, given: Given, uniform: Callable[[int], np.ndarray] | None) -> dict[str, Derived]:
        """What a condition says of learned columns that are made, or of parts that a total leaves.

        Raises:
            SynthgenError: A condition that leaves no row that obeys.
        """
        found: dict[str, Derived] = {}
        for i, transform in enumerate(self.transforms):
            found.update(transform.derived(given, uniform(i) if uniform else None))
        return found

    def draws(self, given: Given) -> bool:
        """Whether what the first row of a condition says of learned columns is partly drawn in `derived`."""
        one = given.at(np.zeros(min(given.rows, 1), dtype=int))
        for transform in self.transforms:
            drawn, sure = transform.derived(one, np.zeros(one.rows)), transform.derived(one, None)
            if any((cells.told != sure[name].told).any() for name, cells in drawn.items()):
                return True
        return False

    @property
    def replaced(self) -> set[str]:
        """Columns of the table that a model does not learn as they are."""
        return {name for transform in self.transforms for name in transform.replaced}

    @property
    def transformed(self) -> set[str]:
        """Columns of the table that transforms read."""
        return {name for transform in self.transforms for name in transform.columns}

    @property
    def checked(self) -> list[Constraint]:
        """The constraints that a sample may break."""
        safe = {id(constraint) for constraint, _ in self._kept if isinstance(constraint, FixedCombinations)}
        return [constraint for constraint in self.constraints if not constraint.certain and id(constraint) not in safe]

    @property
    def ordered(self) -> bool:
        """Whether a sample may break a constraint by those before it."""
        return any(isinstance(constraint, Unique) for constraint in self.checked)

    def needed(self, constraints: Sequence[Constraint], given: Given) -> list[str]:
        """The learned columns that tell whether rows obey, and are as a condition wants them."""
        names = {name for constraint in constraints for name in constraint.columns}
        for transform in self.transforms:
            if any(name in given.told for name in transform.replaced) or names & set(transform.columns):
                names |= {*transform.made, *transform.columns}
        return [name for name in self.learned.names if name in names]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` reads it back."""
        states = {id(constraint): transform.state() for constraint, transform in self._kept}
        entries = [
            {
                "entry": {constraint.kind: constraint.said},
                "state": constraint.state(),
                "transform": states.get(id(constraint)),
            }
            for constraint in self.constraints
        ]
        return {"entries": entries, "learned": self.learned.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any], schema: TableSchema) -> "Obeyed":
        """Reads what `to_dict` wrote.

        Raises:
            SynthgenError: It is something else.
        """
        constraints, states = [], {}
        for i, stored in enumerate(data["entries"], start=1):
            constraint = read_constraint(stored["entry"], f"constraints: entry {i}")
            constraint.bind(schema)
            constraint.restore(stored["state"])
            constraints.append(constraint)
            states[id(constraint)] = stored["transform"]
        chosen = []
        for constraint in _constructible(constraints):
            chosen.append((constraint, _restored(constraint, schema, states[id(constraint)])))
        learned = TableSchema.from_dict(data["learned"])
        made = {column.name: column for column in learned}
        made |= {t.place: _places(t) for _, t in chosen if isinstance(t, Combination)}
        obeyed = cls(schema, constraints, chosen, made)
        if obeyed.learned != learned:
            expected = obeyed.learned.names[:12]
            raise SynthgenError(f"constraints: found learned columns {learned.names[:12]}, expected {expected}")
        return obeyed


def _constructible(constraints: Sequence[Constraint]) -> Iterator[Constraint]:
    """Those that a transform keeps, none of which shares a column with another."""
    taken: set[str] = set()
    for constraint in constraints:
        can = isinstance(constraint, Inequality | Sum | FixedCombinations)
        can |= isinstance(constraint, Range) and len(constraint.chain) > 1
        if can and not taken & set(constraint.columns):
            taken |= set(constraint.columns)
            yield constraint


def _transform(constraint: Constraint, schema: TableSchema, frame: Table) -> Transform:
    columns = [schema[name] for name in constraint.columns]
    if isinstance(constraint, Sum):
        return Totals.fit(columns[0], columns[1:], frame, str(constraint))
    return _restored(constraint, schema, {})


def _restored(constraint: Constraint, schema: TableSchema, state: dict[str, Any]) -> Transform:
    columns = [schema[name] for name in constraint.columns]
    if isinstance(constraint, Sum):
        return Totals.restored(columns[0], columns[1:], state, str(constraint))
    if isinstance(constraint, FixedCombinations):
        return Combination(constraint.table, str(constraint))
    chain = constraint.chain if isinstance(constraint, Range) else constraint.columns
    return Gaps([schema[name] for name in chain], str(constraint))


def _places(transform: Combination) -> Column:
    """The column of combinations, by their places."""
    places = tuple(range(len(transform.table)))
    kind = Kind.CATEGORICAL if len(places) > 1 else Kind.CONSTANT
    return Column(transform.place, kind, "int64", places)


def _refuse_broken(constraint: Constraint, frame: Table) -> None:
    if isinstance(constraint, FixedCombinations):
        return  # it is what the rows have
    obeys = constraint.check(frame)
    if not obeys.all():
        row = int(np.flatnonzero(~obeys)[0])
        cells = ", ".join(f"{name}={frame[name].iloc[row]}" for name in constraint.columns)
        raise SynthgenError(
            f"{constraint.where}: {(~obeys).sum():,} of {len(frame):,} training rows do not obey `{constraint}`; the "
            f"first is row {frame.index[row] + 1}: {cells}"
        )


def _refuse_contradiction(constraint: Constraint, given: Given) -> None:
    """Ends where cells that a condition gives break a constraint, whatever the others are."""
    told = np.stack([given.is_told(name) for name in constraint.columns])
    if not told.any():
        return
    free = pd.Series([None] * given.rows, dtype=object)
    frame = pd.DataFrame({name: given.cells.get(name, free) for name in constraint.columns})
    if isinstance(constraint, NotNull):
        broken = (told & frame.isna().to_numpy().T).any(axis=0)
    elif isinstance(constraint, FixedCombinations | Unique):
        # A free cell is no missing one.
        broken = told.all(axis=0) & ~constraint.check(frame)
    else:
        broken = ~constraint.check(frame)
    given.refuse(broken, constraint.columns, f"contradicts the constraint `{constraint}`")


def _blamed(constraint: Constraint, given: Given) -> str:
    told = [name for name in constraint.columns if given.is_told(name).any()]
    if not told or not given.rows:
        return f"`{constraint}`"
    row = int(np.flatnonzero(given.count(told))[0])
    return f"`{constraint}` with the condition {given.text(told, row)}"
