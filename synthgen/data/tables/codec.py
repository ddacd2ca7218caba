"""The invertible map between a real table and tensors.

Every column is taken apart into simple parts by its form (`forms.py`), and every part becomes a discrete variable, a
continuous one or both (`variables.py`), which one model then learns jointly. Where the table obeys constraints
(`constraints/`), some columns are first made into others, of which every combination obeys.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from synthgen.data.tables.conditions import MISSING, Wanted, cell_variables, condition_cells, given_cells
from synthgen.data.tables.constraints.combination import Combination
from synthgen.data.tables.constraints.given import Given
from synthgen.data.tables.constraints.keeping import RowKeeping
from synthgen.data.tables.constraints.kinds import Constraint
from synthgen.data.tables.constraints.near import is_near
from synthgen.data.tables.constraints.obeyed import Obeyed
from synthgen.data.tables.constraints.transform import Derived
from synthgen.data.tables.forms import Form, form_of
from synthgen.data.tables.schema import numbers_column
from synthgen.data.tables.stored import check_column, check_encodings
from synthgen.data.tables.streamed import Table
from synthgen.data.tables.variables import (
    Encoding,
    fit_variables,
    from_variables,
    log_slope,
    normal_interval,
    scattered,
    to_codes,
    to_normal,
)
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import Column, Kind, TableLayout, TableSchema

__all__ = ["MISSING", "TableCodec"]

# Rows that are encoded and decoded at once.
_BLOCK = 2**18


class TableCodec:
    """The fitted map between a table and what a model sees of it.

    Encoded rows are a dict of two tensors: `numerical`, float32 of shape (rows, layout.numerical), and `categorical`,
    int32 of shape (rows, layout.categorical). `decode` gives back the columns in order, with their dtypes, precision
    and range.

    Attributes:
        schema: What the columns are.
        encodings: For each column that is learned, how each of its parts is encoded.
        obeyed: The constraints that rows obey.

    Example:
        >>> import pandas as pd
        >>> from synthgen.data.tables.schema import infer_schema
        >>> people = pd.DataFrame({"age": [31, 42, 31, 58], "town": ["Bonn", "Köln", None, "Bonn"]})
        >>> codec = TableCodec.fit(people, infer_schema(people))
        >>> codec.decode(codec.encode(people)).equals(people)
        True
    """

    kind = "table"

    def __init__(
        self, schema: TableSchema, encodings: dict[str, tuple[Encoding, ...]], obeyed: Obeyed | None = None
    ) -> None:
        self.schema = schema
        self.encodings = encodings
        self.obeyed = obeyed or Obeyed(schema)
        # Of personal text, the first column of each format tells of one person of a row, the second of another.
        persons: Counter[str | None] = Counter()
        self._forms = {}
        for column in self.obeyed.learned:
            self._forms[column.name] = form_of(column, persons[column.format])
            persons[column.format] += 1
        # For each column, and each of its parts, the places of its discrete and its continuous variable.
        self._discrete: dict[str, list[int]] = {}
        self._continuous: dict[str, list[int]] = {}
        discrete = continuous = 0
        for name, parts in encodings.items():
            self._discrete[name], self._continuous[name] = [], []
            for part in parts:
                self._discrete[name].append(discrete if part.cardinality else -1)
                self._continuous[name].append(continuous if part.continuous else -1)
                discrete, continuous = discrete + bool(part.cardinality), continuous + part.continuous
        self._width = (continuous, discrete)

    @classmethod
    def fit(
        cls, frame: Table, schema: TableSchema, rare_below: int = 0, constraints: Sequence[Constraint] = ()
    ) -> "TableCodec":
        """Learns from real rows how each column of `schema` is encoded.

        Args:
            frame: Real rows.
            schema: As `infer_schema` gives it, with the same `rare_below`.
            rare_below: Numbers that fewer rows have are not kept.
            constraints: What all rows obey, and samples shall.

        Raises:
            SynthgenError: A constraint that does not fit the columns, or that the rows do not obey.
        """
        obeyed = Obeyed.fit(constraints, frame, schema, rare_below, numbers_column)
        frame = obeyed.forward(frame)
        encodings = {}
        for column in obeyed.learned:
            form = form_of(column)
            parts = form.split(frame[column.name])
            encodings[column.name] = tuple(
                fit_variables(values, part, rare_below) for values, part in zip(parts, form.parts, strict=True)
            )
        return cls(schema, encodings, obeyed)

    @property
    def layout(self) -> TableLayout:
        """What a model sees of a row."""
        cardinalities, ordered, gates, digits = [], [], [], []
        for name, form in self._forms.items():
            for i, (part, encoding) in enumerate(zip(form.parts, self.encodings[name], strict=True)):
                if encoding.cardinality:
                    cardinalities.append(encoding.cardinality)
                    ordered.append(len(encoding.values) if part.numerical and not encoding.continuous else 0)
                    digits.append(self._discrete[name][i - 1] if form.digits and i else -1)
                if encoding.continuous:
                    gates.append(self._discrete[name][i])
        return TableLayout(
            numerical=len(gates),
            cardinalities=tuple(cardinalities),
            ordered=tuple(ordered),
            gates=tuple(gates),
            digits=tuple(digits) if any(digit >= 0 for digit in digits) else (),
        )

    def encode(self, frame: Table) -> dict[str, Tensor]:
        """Rows as tensors.

        Raises:
            SynthgenError: A column of the schema is not there, or a categorical column holds a value never seen, or
                columns that have fixed combinations one never seen.
        """
        for name in self.schema.names:
            if name not in frame.columns:
                raise SynthgenError(f"the table lacks column {name!r}; {nearest(name, frame.columns, what='it has')}")
        frame = self.obeyed.forward(frame)
        numerical = np.zeros((len(frame), self._width[0]), dtype=np.float32)
        categorical = np.zeros((len(frame), self._width[1]), dtype=np.int32)
        for name, form in self._forms.items():
            values = frame[name]
            source = _sources(values, seed=self.obeyed.learned.names.index(name)) if len(form.parts) > 1 else None
            # A generator for each variable, which goes on from block to block: blocks draw what all rows at once would.
            draws = {k: np.random.default_rng(k) for k in self._continuous[name] if k >= 0}
            for rows in _blocks(len(frame)):
                parts = _filled(form, values, rows, source)
                for part_values, part, encoding, j, k in self._variables(name, parts):
                    codes = to_codes(part_values, part, encoding) if encoding.cardinality else None
                    if codes is not None:
                        categorical[rows, j] = codes
                    if encoding.continuous:
                        normal = to_normal(part_values.to_numpy(dtype=float, na_value=np.nan), encoding)
                        numerical[rows, k] = normal if codes is None else scattered(normal, codes, draws[k])
        return {"numerical": torch.from_numpy(numerical), "categorical": torch.from_numpy(categorical)}

    def encode_outcomes(self, frame: Table) -> dict[str, Tensor]:
        """Rows as the outcomes that they are among those which `decode` can give, for a model to tell how likely.

        Returns:
            What `encode` gives, and

            - `numerical_within`, float64 of shape (rows, layout.numerical, 2): which values of a continuous variable
              are decoded to the cell, as it is rounded; NaN of a number that is not.
            - `numerical_told` and `categorical_told`, booleans: false of variables that say nothing of the cell, as it
              is missing.
            - `log_slope`, float64 of shape (rows,): what turns a density on the variables' scales into one in the units
              of the numbers that are not rounded.

        Raises:
            SynthgenError: As for `encode`.
        """
        encoded = self.encode(frame)
        frame = self.obeyed.forward(frame)
        rows = len(frame)
        within = np.full((rows, self._width[0], 2), np.nan)
        slope = np.zeros(rows)
        told = {name: np.ones(tensor.shape, dtype=bool) for name, tensor in encoded.items()}
        for name, form in self._forms.items():
            parts = form.split(frame[name])
            there = parts[0].notna().to_numpy() if parts else np.ones(rows, dtype=bool)
            for place, (values, part, encoding, j, k) in enumerate(self._variables(name, parts)):
                if place and j >= 0:
                    told["categorical"][:, j] = there
                if not encoding.continuous:
                    continue
                numbers = values.to_numpy(dtype=float, na_value=np.nan)
                holds = there & (True if j < 0 else encoded["categorical"][:, j].numpy() == 0)
                told["numerical"][:, k] = holds
                if part.decimals is not None:
                    within[holds, k] = normal_interval(numbers[holds], part.decimals, encoding)
                else:
                    slope[holds] += log_slope(numbers[holds], encoding)
        return {
            **encoded,
            "numerical_within": torch.from_numpy(within),
            **{f"{name}_told": torch.from_numpy(flags) for name, flags in told.items()},
            "log_slope": torch.from_numpy(slope),
        }

    def decode(
        self, encoded: dict[str, Tensor], start: int = 0, seed: int = 0, given: Given | None = None
    ) -> pd.DataFrame:
        """Tensors as rows: the inverse of `encode`, up to the resolution of the quantile knots.

        Args:
            encoded: As `encode` gives it.
            start: Number of the first row in the sequence that `seed` names; identifiers and personal text are made
                of both.
            seed: Of the sequence.
            given: Cells that a condition gives: its numbers and dates come back to the last digit.
        """
        given = given or Given.nothing(len(encoded["categorical"]))
        return self._decoded(encoded, self.obeyed.learned.names, given, start, seed)[0]

    def encode_condition(
        self,
        condition: dict[str, Any] | pd.DataFrame,
        n: int,
        seed: int = 0,
        start: int = 0,
        by_shares: bool = True,
    ) -> dict[str, Tensor]:
        """Cells that samples shall have.

        Args:
            condition: One value a column for all samples, or one row a sample with NaN where a cell is free. `MISSING`
                asks for a missing cell. Text is read as the column's own type, so that "3" means 3 where 3 is a value.
            n: Number of samples.
            seed: Of their sequence.
            start: Number of the first of them in it.
            by_shares: Whether one of several fixed combinations that a condition leaves is drawn here, in the
                proportions of the training rows, and not by the model.

        Returns:
            `numerical` and `categorical` as `encode` gives them, of n rows, and `numerical_known` and
            `categorical_known`, booleans of the same shapes that tell which variables are given.

        Raises:
            SynthgenError: A column or a value that training never saw, a number out of the column's range, an
                identifier or personal text, a number of rows other than n, or what contradicts a constraint.
        """
        cells_of = condition_cells(condition, n, self.schema)
        if self.obeyed.constraints:  # before cells that training never saw: a constraint says more of them
            self.obeyed.refuse(self.given(condition, n, within=False))
        numerical, categorical = torch.zeros(n, self._width[0]), torch.zeros(n, self._width[1], dtype=torch.int32)
        known = {"numerical": torch.zeros_like(numerical, dtype=torch.bool)}
        known["categorical"] = torch.zeros_like(categorical, dtype=torch.bool)
        for name, cells in cells_of.items():
            column = self.schema[name]
            if name in self.obeyed.replaced:
                continue
            variables: dict[Any, list[Wanted]] = {}
            for row, cell in enumerate(cells):
                if cell is not MISSING and pd.isna(cell):
                    continue
                if cell not in variables:
                    variables[cell] = cell_variables(self._forms[name], self.encodings[name], cell)
                for (code, normal), _, _, j, k in self._variables(column.name, variables[cell]):
                    if j >= 0 and code is not None:
                        categorical[row, j], known["categorical"][row, j] = code, True
                    if normal is not None:
                        numerical[row, k], known["numerical"][row, k] = normal, True
        found = {
            "numerical": numerical,
            "categorical": categorical,
            "numerical_known": known["numerical"],
            "categorical_known": known["categorical"],
        }
        if self.obeyed.constraints:

            def uniform(transform: int) -> np.ndarray:
                # One number of its own for every row, whichever rows are asked for together.
                key = [seed % 2**64, 2**32 + transform]
                return np.random.Philox(key=key, counter=start).random_raw(4 * n)[::4] / 2.0**64

            given = self.given(condition, n)
            for name, derived in self.obeyed.derived(given, uniform if by_shares else None).items():
                self._add_derived(found, name, derived)
        return found

    def given(self, condition: dict[str, Any] | pd.DataFrame, n: int, within: bool = True) -> Given:
        """Cells that a condition gives and that are more than the codes it is encoded as.

        These are the numbers and dates of continuous variables, which encoding moves between two knots by the
        resolution of float32, and whatever constraints are about.

        Args:
            condition: As `encode_condition` takes it.
            n: Number of samples.
            within: Whether they must be within what training saw.
        """
        about = {name for constraint in self.obeyed.constraints for name in constraint.columns}
        about |= {column.name for column in self.schema if _measures(column)}
        return given_cells(
            condition, n, [form_of(self.schema[name]) for name in map(str, condition) if name in about], within
        )

    def keeping(self, given: Given | None, alike: bool, by_shares: bool = True) -> RowKeeping | None:
        """What tells which rows that a model draws are kept; None where all of them are.

        Args:
            given: Cells that a condition gives, of every sample.
            alike: Whether these are the same for all samples.
            by_shares: As `encode_condition` takes it.

        Raises:
            SynthgenError: While judging, rows of numbers that are not finite.
        """
        if given is None:
            given = Given.nothing(1)
        elif by_shares and self.obeyed.draws(given):
            alike = False  # each row is asked for its own combination
        checked = self.obeyed.checked
        names = self.obeyed.needed(checked, given)
        if not names:
            return None

        def decode(rows: dict[str, Tensor], of_rows: Given) -> tuple[pd.DataFrame, list[tuple[str, np.ndarray]]]:
            return self._decoded(rows, names, of_rows)

        return RowKeeping(decode, checked, given, alike)

    def values_of(self, name: str) -> list[Any]:
        """The values that a column chooses from; none where there are too many of them, or any number is one."""
        for transform in self.obeyed.transforms:
            if name in transform.columns and isinstance(transform, Combination):
                return transform.table.values_of(name)
        encodings = self.encodings.get(name, ())
        return list(encodings[0].values) if len(encodings) == 1 and not encodings[0].continuous else []

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` reads it back."""
        encodings = {name: [asdict(part) for part in parts] for name, parts in self.encodings.items()}
        # A column that is its own only part is written as the first version of the format has it.
        written = {name: parts[0] if len(parts) == 1 else parts for name, parts in encodings.items()}
        constraints = {"constraints": self.obeyed.to_dict()} if self.obeyed.constraints else {}
        return {"kind": self.kind, "schema": self.schema.to_dict(), "encodings": written, **constraints}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TableCodec":
        """Reads what `to_dict` wrote.

        Raises:
            SynthgenError: It is something else, of which a column is named.
        """
        encodings = {
            name: tuple(
                Encoding(tuple(e["values"]), e["missing"], tuple(e["knots"]), tuple(e["quantiles"]))
                for e in (parts if isinstance(parts, list) else [parts])
            )
            for name, parts in data["encodings"].items()
        }
        schema = TableSchema.from_dict(data["schema"])
        if len(set(schema.names)) != len(schema):
            raise SynthgenError(f"schema: found {schema.names[:12]}, expected different columns")
        for column in schema:
            check_column(column)
        obeyed = Obeyed.from_dict(data["constraints"], schema) if "constraints" in data else Obeyed(schema)
        if list(encodings) != obeyed.learned.names:
            raise SynthgenError(
                f"encodings: found {list(encodings)[:12]}, expected one for each of {obeyed.learned.names[:12]}"
            )
        for column in obeyed.learned:
            check_column(column)
            check_encodings(column, encodings[column.name])
        return cls(schema, encodings, obeyed)

    def _decoded(
        self, encoded: dict[str, Tensor], names: Sequence[str], given: Given, start: int = 0, seed: int = 0
    ) -> tuple[pd.DataFrame, list[tuple[str, np.ndarray]]]:
        """Rows of some learned columns as those of the table, and by reason which of them are to be kept."""
        numerical, categorical = encoded["numerical"], encoded["categorical"].cpu().numpy()
        columns = {}
        for name in names:
            form = self._forms[name]
            blocks = []
            for rows in _blocks(len(numerical)):
                parts = [
                    from_variables(
                        part,
                        encoding,
                        categorical[rows, j] if j >= 0 else None,
                        numerical[rows, k].double().cpu().numpy() if k >= 0 else None,
                        rows.stop - rows.start,
                    )
                    for _, part, encoding, j, k in self._variables(name, form.parts)
                ]
                blocks.append(form.join(parts, range(start + rows.start, start + rows.stop), seed))
            columns[name] = _joined(blocks)
        frame, kept = self.obeyed.inverse(pd.DataFrame(columns), given, self._is_near)
        for name, told in given.told.items():
            if name in frame and name not in self.obeyed.transformed:
                there = told & given.cells[name].notna().to_numpy()
                if there.any() and _measures(self.schema[name]):
                    values = frame[name].copy()
                    values[there] = given.cells[name][there].astype(values.dtype).array
                    frame[name] = values
        return frame, kept

    def _is_near(self, name: str, moved: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return is_near(self.obeyed.learned[name], self.encodings[name], moved, drawn)

    def _add_derived(self, condition: dict[str, Tensor], name: str, derived: Derived) -> None:
        """Adds to an encoded condition the cells of a learned column that follow from it."""
        rows = np.flatnonzero(derived.told)
        if not len(rows):
            return
        parts = self._forms[name].split(derived.values.iloc[rows].reset_index(drop=True))
        at = torch.from_numpy(rows)
        missing = parts[0].isna().to_numpy() if parts else np.zeros(0, dtype=bool)
        for i, (values, part, encoding, j, k) in enumerate(self._variables(name, parts)):
            there = ~missing if i else np.full(len(rows), True)
            codes = np.zeros(len(rows), dtype=np.int64)
            if j >= 0:
                codes[there] = to_codes(values[there], part, encoding)
                condition["categorical"][at[there], j] = torch.from_numpy(codes[there]).int()
                condition["categorical_known"][at[there], j] = True
            if k >= 0:
                held = there & (codes == 0)
                normal = to_normal(values.to_numpy(dtype=float, na_value=np.nan), encoding)
                condition["numerical"][at[held], k] = torch.from_numpy(normal[held]).float()
                condition["numerical_known"][at[held], k] = True

    def _variables(self, name: str, of_parts: Any) -> Any:
        """Something of each part of a column, beside the part, its encoding, and the places of its two variables."""
        return zip(
            of_parts,
            self._forms[name].parts,
            self.encodings[name],
            self._discrete[name],
            self._continuous[name],
            strict=True,
        )


def _measures(column: Column) -> bool:
    """Whether a condition's cells of a column come back to the last digit, and not as the nearest one that is drawn."""
    return column.numerical or column.kind.moment or column.kind is Kind.DURATION


def _blocks(n: int) -> list[slice]:
    """Rows that are worked on at once, so that what that takes beside the table does not grow with it."""
    return [slice(begin, min(begin + _BLOCK, n)) for begin in range(0, max(n, 1), _BLOCK)]


def _joined(blocks: list[pd.Series]) -> pd.Series:
    if len(blocks) == 1:
        return blocks[0]
    joined = pd.concat(blocks, ignore_index=True)
    # Blocks of a choice may differ in what they choose from.
    is_choice = isinstance(blocks[0].dtype, pd.CategoricalDtype)
    return joined.astype("category") if is_choice and joined.dtype != blocks[0].dtype else joined


def _sources(values: pd.Series, seed: int) -> np.ndarray | None:
    """(rows,) places of cells that are there: of each such cell its own, of a missing one that of another row."""
    missing = values.isna().to_numpy()
    if not missing.any() or missing.all():
        return None
    source = np.arange(len(values))
    source[missing] = np.random.default_rng(seed).choice(source[~missing], missing.sum())
    return source


def _filled(form: Form, values: pd.Series, rows: slice, source: np.ndarray | None) -> list[pd.Series]:
    """The parts of some cells; where one is missing, all but the first are those of another row, and say nothing."""
    block = values.iloc[rows]
    if source is None:
        return form.split(block)
    parts = form.split(values.iloc[source[rows]])
    return [parts[0].mask(block.isna().to_numpy()), *parts[1:]]
