"""The invertible map between a real table and tensors.

Every column is taken apart into simple parts by its form (`forms.py`), and every part becomes a discrete variable, a
continuous one or both (`variables.py`), which one model then learns jointly. Where the table obeys constraints
(`constraints/`), some columns are first made into others, of which every combination obeys.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from synthgen.data.tables.conditioning import encode_condition, given_by, keeping_of, measures
from synthgen.data.tables.conditions import MISSING
from synthgen.data.tables.constraints.combination import Combination
from synthgen.data.tables.constraints.constraint import Constraint
from synthgen.data.tables.constraints.given import Given
from synthgen.data.tables.constraints.keeping import RowKeeping
from synthgen.data.tables.constraints.near import is_near
from synthgen.data.tables.constraints.obeyed import Obeyed
from synthgen.data.tables.delimited import Dialect
from synthgen.data.tables.forms import Form, form_of
from synthgen.data.tables.outcomes import never_drawn
from synthgen.data.tables.places import Places
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
from synthgen.layout import TableLayout, TableSchema

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
        dialect: How samples are written as delimited text.

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
        self,
        schema: TableSchema,
        encodings: dict[str, tuple[Encoding, ...]],
        obeyed: Obeyed | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        self.schema = schema
        self.encodings = encodings
        self.obeyed = obeyed or Obeyed(schema)
        self.dialect = dialect or Dialect()
        self.places = Places.of_columns(self.obeyed.learned, encodings)

    @classmethod
    def fit(
        cls,
        frame: Table,
        schema: TableSchema,
        rare_below: int = 0,
        constraints: Sequence[Constraint] = (),
        dialect: Dialect | None = None,
    ) -> "TableCodec":
        """Learns from real rows how each column of `schema` is encoded.

        Args:
            frame: Real rows.
            schema: As `infer_schema` gives it, with the same `rare_below`.
            rare_below: Numbers that fewer rows have are not kept.
            constraints: What all rows obey, and samples shall.
            dialect: How the text was written that the rows were read from; by default English CSV.

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
        return cls(schema, encodings, obeyed, dialect)

    @property
    def layout(self) -> TableLayout:
        """What a model sees of a row."""
        return self.places.layout

    def encode(self, frame: Table) -> dict[str, Tensor]:
        """Rows as tensors.

        Raises:
            SynthgenError: A column of the schema is not there, or a categorical column holds a value never seen, or
                columns that have fixed combinations one never seen.
        """
        self._check_columns(frame)
        frame = self.obeyed.forward(frame)
        numerical = np.zeros((len(frame), self.places.width[0]), dtype=np.float32)
        categorical = np.zeros((len(frame), self.places.width[1]), dtype=np.int32)
        for name, form in self.places.forms.items():
            values = frame[name]
            source = _sources(values, seed=self.obeyed.learned.names.index(name)) if len(form.parts) > 1 else None
            # A generator for each variable, which goes on from block to block: blocks draw what all rows at once would.
            draws = {k: np.random.default_rng(k) for k in self.places.continuous[name] if k >= 0}
            for rows in _blocks(len(frame)):
                parts = _filled(form, values, rows, source)
                for part_values, part, encoding, j, k in self.places.of(name, parts):
                    codes = to_codes(part_values, part, encoding) if encoding.cardinality else None
                    if codes is not None:
                        categorical[rows, j] = codes
                    if encoding.continuous:
                        normal = to_normal(part_values.to_numpy(dtype=float, na_value=np.nan), encoding)
                        numerical[rows, k] = normal if codes is None else scattered(normal, codes, draws[k])
        return {"numerical": torch.from_numpy(numerical), "categorical": torch.from_numpy(categorical)}

    def never_drawn(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """By column, (rows,) which cells `decode` never gives and `encode` does not take; only columns that have some.

        These are words that training never saw, missing cells where it saw none, another value of a constant, dates of
        a weekday that none had. Identifiers and personal text are not looked at, nor what fixed combinations hold.

        Raises:
            SynthgenError: A column of the schema is not there.
        """
        self._check_columns(frame)
        return never_drawn(self.schema, self.places, frame)

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
        within = np.full((rows, self.places.width[0], 2), np.nan)
        slope = np.zeros(rows)
        told = {name: np.ones(tensor.shape, dtype=bool) for name, tensor in encoded.items()}
        for name, form in self.places.forms.items():
            parts = form.split(frame[name])
            there = parts[0].notna().to_numpy() if parts else np.ones(rows, dtype=bool)
            for place, (values, part, encoding, j, k) in enumerate(self.places.of(name, parts)):
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
            condition: One value a column for all samples, where None and NaN ask for a missing cell; or one row a
                sample, where they leave a cell free and `MISSING` asks for a missing one. Text is read as the column's
                own type, so that "3" means 3 where 3 is a value.
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
        return encode_condition(self.places, self.obeyed, condition, n, seed, start, by_shares)

    def given(self, condition: dict[str, Any] | pd.DataFrame, n: int, within: bool = True) -> Given:
        """Cells that a condition gives and that are more than the codes it is encoded as.

        These are the numbers and dates of continuous variables, which encoding moves between two knots by the
        resolution of float32, and whatever constraints are about.

        Args:
            condition: As `encode_condition` takes it.
            n: Number of samples.
            within: Whether they must be within what training saw.
        """
        return given_by(self.obeyed, condition, n, within)

    def keeping(self, given: Given | None, alike: bool, by_shares: bool = True) -> RowKeeping | None:
        """What tells which rows that a model draws are kept; None where all of them are.

        Args:
            given: Cells that a condition gives, of every sample.
            alike: Whether these are the same for all samples.
            by_shares: As `encode_condition` takes it.

        Raises:
            SynthgenError: While judging, rows of numbers that are not finite.
        """
        return keeping_of(self.obeyed, self._decoded, given, alike, by_shares)

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
        dialect = {} if self.dialect == Dialect() else {"dialect": asdict(self.dialect)}
        return {"kind": self.kind, "schema": self.schema.to_dict(), "encodings": written, **constraints, **dialect}

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
        stored = data.get("dialect", {})
        dialect = Dialect.checked(stored["separator"], stored["decimal"], "dialect: ") if stored else None
        return cls(schema, encodings, obeyed, dialect)

    def _check_columns(self, frame: Table) -> None:
        for name in self.schema.names:
            if name not in frame.columns:
                raise SynthgenError(f"the table lacks column {name!r}; {nearest(name, frame.columns, what='it has')}")

    def _decoded(
        self, encoded: dict[str, Tensor], names: Sequence[str], given: Given, start: int = 0, seed: int = 0
    ) -> tuple[pd.DataFrame, list[tuple[str, np.ndarray]]]:
        """Rows of some learned columns as those of the table, and by reason which of them are to be kept."""
        numerical, categorical = encoded["numerical"], encoded["categorical"].cpu().numpy()
        columns = {}
        for name in names:
            form = self.places.forms[name]
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
                    for _, part, encoding, j, k in self.places.of(name, form.parts)
                ]
                blocks.append(form.join(parts, range(start + rows.start, start + rows.stop), seed))
            columns[name] = _joined(blocks)
        frame, kept = self.obeyed.inverse(pd.DataFrame(columns), given, self._is_near)
        for name, told in given.told.items():
            if name in frame and name not in self.obeyed.transformed:
                there = told & given.cells[name].notna().to_numpy()
                if there.any() and measures(self.schema[name]):
                    values = frame[name].copy()
                    values[there] = given.cells[name][there].astype(values.dtype).array
                    frame[name] = values
        return frame, kept

    def _is_near(self, name: str, moved: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return is_near(self.obeyed.learned[name], self.encodings[name], moved, drawn)


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
