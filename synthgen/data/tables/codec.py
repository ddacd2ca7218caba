"""The invertible map between a real table and tensors.

Every column becomes variables of two kinds, which one model then learns jointly:

- a *discrete* variable has codes 0 .. cardinality − 1: the values of a categorical or boolean column, the values of a
  numerical column that has few of them, each with one more code for a missing cell;
- a *continuous* variable is a real number, standard normal over the column: the rank of the value, through the normal
  quantile function. Where a numerical column has point masses (a value that is far more frequent than a density allows,
  such as 0 or a cap) or missing cells, a discrete variable stands beside the continuous one and says which of them a
  cell is; its code 0 means "none of them: the continuous variable holds". Under another code the continuous variable is
  noise that says nothing.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from synthgen.data.tables.stored import check_column
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import Column, Kind, TableLayout, TableSchema

__all__ = ["MISSING", "TableCodec"]


class _Missing:
    """Asks for a missing cell in a condition, where None and NaN leave the cell free."""

    def __repr__(self) -> str:
        return "synthgen.MISSING"


MISSING = _Missing()

# A numerical column with at most this many different values, each seen MIN_REPEATS times on average, is discrete.
_MAX_DISCRETE = 1024
_MIN_REPEATS = 8
# Share of a column's rows from which one value of a continuous column is a point mass.
_MASS_SHARE = 0.005
_MAX_MASSES = 64
_KNOTS = 512


@dataclass(frozen=True)
class Encoding:
    """How one column is encoded.

    Attributes:
        values: What the codes of the discrete variable mean, without the missing one: categories, the values of a
            numerical column that is discrete throughout, or its point masses.
        missing: Whether the discrete variable has a last code for a missing cell.
        knots: For a continuous variable, increasing values of the column; empty when there is none.
        quantiles: For each knot, the share of the column's continuous cells below it, strictly within 0 and 1.
    """

    values: tuple[Any, ...] = ()
    missing: bool = False
    knots: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()

    @property
    def continuous(self) -> bool:
        """Whether the column has a continuous variable."""
        return bool(self.knots)

    @property
    def cardinality(self) -> int:
        """Number of codes of the discrete variable; 0 when there is none."""
        codes = len(self.values) + self.missing
        return codes + self.continuous if codes else 0

    @property
    def missing_code(self) -> int:
        """The code of a missing cell."""
        return self.cardinality - 1


class TableCodec:
    """The fitted map between a table and what a model sees of it.

    Encoded rows are a dict of two tensors: `numerical`, float32 of shape (rows, layout.numerical), and `categorical`,
    int32 of shape (rows, layout.categorical). `decode` gives back the columns in order, with their dtypes, precision
    and range.

    Example:
        >>> import pandas as pd
        >>> from synthgen.data.tables.schema import infer_schema
        >>> people = pd.DataFrame({"age": [31, 42, 31, 58], "town": ["Bonn", "Köln", None, "Bonn"]})
        >>> codec = TableCodec.fit(people, infer_schema(people))
        >>> codec.decode(codec.encode(people)).equals(people)
        True
    """

    kind = "table"

    def __init__(self, schema: TableSchema, encodings: dict[str, Encoding]) -> None:
        self.schema = schema
        self.encodings = encodings
        self._discrete = [name for name, encoding in encodings.items() if encoding.cardinality]
        self._continuous = [name for name, encoding in encodings.items() if encoding.continuous]

    @classmethod
    def fit(cls, frame: pd.DataFrame, schema: TableSchema) -> "TableCodec":
        """Learns from real rows how each column of `schema` is encoded."""
        return cls(schema, {column.name: _fit_column(frame[column.name], column) for column in schema})

    @property
    def layout(self) -> TableLayout:
        """What a model sees of a row."""
        discrete = [(self.schema[name], self.encodings[name]) for name in self._discrete]
        return TableLayout(
            numerical=len(self._continuous),
            cardinalities=tuple(encoding.cardinality for _, encoding in discrete),
            ordered=tuple(
                len(encoding.values) if column.numerical and not encoding.continuous else 0
                for column, encoding in discrete
            ),
            gates=tuple(self._discrete.index(name) if name in self._discrete else -1 for name in self._continuous),
        )

    def encode(self, frame: pd.DataFrame) -> dict[str, Tensor]:
        """Rows as tensors.

        Raises:
            SynthgenError: A column of the schema is not there, or a categorical column holds a value never seen.
        """
        for name in self.schema.names:
            if name not in frame.columns:
                raise SynthgenError(f"the table lacks column {name!r}; {nearest(name, frame.columns, what='it has')}")
        numerical = np.zeros((len(frame), len(self._continuous)), dtype=np.float32)
        categorical = np.zeros((len(frame), len(self._discrete)), dtype=np.int32)
        for column in self.schema:
            encoding = self.encodings[column.name]
            values = _present(frame[column.name], column)
            codes = _to_codes(values, column, encoding) if encoding.cardinality else None
            if codes is not None:
                categorical[:, self._discrete.index(column.name)] = codes
            if encoding.continuous:
                place = self._continuous.index(column.name)
                normal = _to_normal(values.to_numpy(dtype=float), encoding)
                if codes is not None:
                    normal = _scatter(normal, codes, seed=place)
                numerical[:, place] = normal
        return {"numerical": torch.from_numpy(numerical), "categorical": torch.from_numpy(categorical)}

    def decode(self, encoded: dict[str, Tensor]) -> pd.DataFrame:
        """Tensors as rows: the inverse of `encode`, up to the resolution of the quantile knots."""
        numerical = encoded["numerical"].double().cpu().numpy()
        categorical = encoded["categorical"].cpu().numpy()
        columns = {}
        for column in self.schema:
            encoding = self.encodings[column.name]
            codes = categorical[:, self._discrete.index(column.name)] if encoding.cardinality else None
            normal = numerical[:, self._continuous.index(column.name)] if encoding.continuous else None
            columns[column.name] = _from_variables(column, encoding, codes, normal, len(numerical))
        return pd.DataFrame(columns)

    def encode_condition(self, condition: dict[str, Any] | pd.DataFrame, n: int) -> dict[str, Tensor]:
        """Cells that samples shall have.

        Args:
            condition: One value a column for all samples, or one row a sample with NaN where a cell is free. `MISSING`
                asks for a missing cell. Text is read as the column's own type, so that "3" means 3 where 3 is a value.
            n: Number of samples.

        Returns:
            `numerical` and `categorical` as `encode` gives them, of n rows, and `numerical_known` and
            `categorical_known`, booleans of the same shapes that tell which variables are given.

        Raises:
            SynthgenError: A column or a value that training never saw, a number out of the column's range, or a number
                of rows other than n.
        """
        if isinstance(condition, pd.DataFrame):
            if len(condition) != n:
                raise SynthgenError(f"the condition has {len(condition)} rows for {n} samples; expected one row each")
            given = {str(name): condition[name].tolist() for name in condition.columns}
        else:
            given = {str(name): [value] * n for name, value in condition.items()}
        numerical = torch.zeros(n, len(self._continuous))
        categorical = torch.zeros(n, len(self._discrete), dtype=torch.int32)
        known = {"numerical": torch.zeros_like(numerical, dtype=torch.bool)}
        known["categorical"] = torch.zeros_like(categorical, dtype=torch.bool)
        for name, cells in given.items():
            column = self.schema[name]
            variables: dict[Any, tuple[int, float, bool]] = {}
            for row, cell in enumerate(cells):
                if cell is not MISSING and not pd.api.types.is_scalar(cell):
                    raise SynthgenError(f"condition {name}: found {cell!r}, expected one value")
                if cell is not MISSING and pd.isna(cell):
                    continue
                if cell not in variables:
                    variables[cell] = self._condition_variables(column, cell)
                code, normal, has_number = variables[cell]
                if self.encodings[name].cardinality:
                    j = self._discrete.index(name)
                    categorical[row, j], known["categorical"][row, j] = code, True
                if has_number:
                    j = self._continuous.index(name)
                    numerical[row, j], known["numerical"][row, j] = normal, True
        return {
            "numerical": numerical,
            "categorical": categorical,
            "numerical_known": known["numerical"],
            "categorical_known": known["categorical"],
        }

    def with_given(self, frame: pd.DataFrame, condition: dict[str, Any] | pd.DataFrame) -> pd.DataFrame:
        """Decoded rows with the numbers that a condition gives, to the last digit.

        Encoding moves a number between two knots by the resolution of float32.

        Args:
            frame: What `decode` gives of samples under a condition.
            condition: As `encode_condition` takes it.
        """
        for name, value in condition.items():
            column = self.schema[str(name)]
            if not self.encodings[column.name].continuous:
                continue
            cells = value.tolist() if isinstance(condition, pd.DataFrame) else [value] * len(frame)
            given = pd.to_numeric(pd.Series([None if cell is MISSING else cell for cell in cells])).to_numpy(
                dtype=float
            )
            if pd.api.types.is_integer_dtype(column.dtype):
                given = np.round(given)
            kept = frame[column.name].to_numpy(dtype=float, na_value=np.nan)
            values = pd.Series(np.where(np.isnan(given), kept, given), index=frame.index)
            frame[column.name] = values.astype(column.dtype)  # type: ignore[call-overload]
        return frame

    def _condition_variables(self, column: Column, cell: Any) -> tuple[int, float, bool]:
        """Code, normal value, and whether the normal value is given, for one wanted cell."""
        encoding = self.encodings[column.name]
        if cell is MISSING:
            if not encoding.missing and not (column.kind is Kind.CONSTANT and not column.categories):
                raise SynthgenError(f"condition {column.name}: asks for a missing cell, but training saw none")
            return encoding.missing_code, 0.0, False
        values = column.categories if column.kind is Kind.CONSTANT else encoding.values
        for code, value in enumerate(values):
            if _same(value, cell):
                return code + encoding.continuous, 0.0, False
        try:
            number = float(cell) if column.numerical else 0.0
        except (TypeError, ValueError):
            raise SynthgenError(
                f"condition {column.name}: found {cell!r}, expected a number from {column.minimum:g} to "
                f"{column.maximum:g}"
            ) from None
        if not encoding.continuous:
            raise SynthgenError(
                f"condition {column.name}: training never saw {cell!r}; {nearest(cell, values, what='values are')}"
            )
        assert column.minimum is not None
        assert column.maximum is not None
        if not column.minimum <= number <= column.maximum:
            raise SynthgenError(
                f"condition {column.name}: {number:g} is outside {column.minimum:g} .. {column.maximum:g}, "
                "the range that training saw"
            )
        return 0, float(_to_normal(np.array([number]), encoding)[0]), True

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` reads it back."""
        encodings = {name: asdict(encoding) for name, encoding in self.encodings.items()}
        return {"kind": self.kind, "schema": self.schema.to_dict(), "encodings": encodings}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TableCodec":
        """Reads what `to_dict` wrote.

        Raises:
            SynthgenError: It is something else, of which a column is named.
        """
        encodings = {
            name: Encoding(tuple(e["values"]), e["missing"], tuple(e["knots"]), tuple(e["quantiles"]))
            for name, e in data["encodings"].items()
        }
        schema = TableSchema.from_dict(data["schema"])
        if list(encodings) != schema.names or len(set(schema.names)) != len(schema):
            raise SynthgenError(
                f"encodings: found {list(encodings)[:12]}, expected one for each of {schema.names[:12]}"
            )
        for column in schema:
            check_column(column, encodings[column.name])
        return cls(schema, encodings)


def _fit_column(values: pd.Series, column: Column) -> Encoding:
    if column.kind is Kind.CONSTANT:
        return Encoding()
    missing = column.missing_rate > 0
    if column.kind is not Kind.NUMERICAL:
        return Encoding(values=column.categories, missing=missing)
    numbers = _present(values, column).dropna().to_numpy(dtype=float)
    distinct, counts = np.unique(numbers, return_counts=True)
    if len(distinct) <= min(_MAX_DISCRETE, len(numbers) / _MIN_REPEATS):
        return Encoding(values=tuple(distinct.tolist()), missing=missing)
    is_mass = counts >= max(_MASS_SHARE * len(numbers), _MIN_REPEATS)
    is_mass[np.argsort(-counts, kind="stable")[_MAX_MASSES:]] = False
    knots, quantiles = _quantiles(distinct[~is_mass], counts[~is_mass])
    return Encoding(
        values=tuple(distinct[is_mass].tolist()),
        missing=missing,
        knots=tuple(knots.tolist()),
        quantiles=tuple(quantiles.tolist()),
    )


def _quantiles(distinct: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots of the distribution function, evenly spaced in probability and, for the tails, in normal quantiles."""
    ranks = (np.cumsum(counts) - counts / 2) / counts.sum()
    wanted = np.union1d(
        np.linspace(ranks[0], ranks[-1], _KNOTS), ndtr(np.linspace(ndtri(ranks[0]), ndtri(ranks[-1]), _KNOTS))
    )
    keep = np.unique(np.searchsorted(ranks, wanted).clip(max=len(ranks) - 1))
    return distinct[keep], ranks[keep]


def _present(values: pd.Series, column: Column) -> pd.Series:
    """A column with everything that counts as missing turned into NaN."""
    return values.replace([np.inf, -np.inf], np.nan) if column.numerical else values


def _to_normal(values: np.ndarray, encoding: Encoding) -> np.ndarray:
    """Standard normal values of numbers; 0 where a number is missing."""
    return np.nan_to_num(ndtri(np.interp(values, encoding.knots, encoding.quantiles)), nan=0.0)


def _scatter(normal: np.ndarray, codes: np.ndarray, seed: int) -> np.ndarray:
    """Gives cells that are a point mass or missing a standard normal value that says nothing.

    Whatever a cell's code, its continuous variable then is standard normal: neither spikes nor gaps for diffusion to
    learn, and no draw in which the two disagree. Drawn from a fixed seed, so that encoding is a function; one a column,
    so that columns whose cells are missing together are not made equal.
    """
    coded = codes > 0
    normal[coded] = np.random.default_rng(seed).standard_normal(coded.sum())
    return normal


def _to_codes(values: pd.Series, column: Column, encoding: Encoding) -> np.ndarray:
    codes = pd.Index(encoding.values).get_indexer(pd.Index(values)) if encoding.values else np.full(len(values), -1)
    missing = values.isna().to_numpy()
    if not encoding.continuous:
        unseen = (codes < 0) & ~missing
        if unseen.any() and column.numerical:
            # A number between two known ones: the codec keeps its nearest neighbour.
            known = np.array(encoding.values)
            numbers = values[unseen].to_numpy(dtype=float)
            codes[unseen] = np.abs(numbers[:, None] - known[None, :]).argmin(axis=1)
        elif unseen.any():
            value = values[unseen].iloc[0]
            raise SynthgenError(
                f"column {column.name!r}: {value!r} is not among the values that the codec was fitted on"
            )
    codes = codes + int(encoding.continuous)
    if missing.any():
        if not encoding.missing:
            raise SynthgenError(f"column {column.name!r}: found a missing cell, but the codec was fitted on none")
        codes[missing] = encoding.missing_code
    return codes


def _from_variables(
    column: Column, encoding: Encoding, codes: np.ndarray | None, normal: np.ndarray | None, n: int
) -> pd.Series:
    if column.kind is Kind.CONSTANT:
        return pd.Series([column.categories[0] if column.categories else None] * n, dtype=column.dtype)
    missing = codes == encoding.missing_code if codes is not None and encoding.missing else np.zeros(n, dtype=bool)
    if not column.numerical:
        assert codes is not None
        values = pd.Series(np.array([*encoding.values, None], dtype=object)[np.where(missing, -1, codes)])
        return values.astype(column.dtype)  # type: ignore[call-overload]
    numbers = np.full(n, np.nan)
    if normal is not None:
        numbers = np.interp(ndtr(normal), encoding.quantiles, encoding.knots)
        if column.decimals is not None:
            numbers = np.round(numbers, column.decimals)
    if codes is not None and encoding.values:
        listed = codes >= int(encoding.continuous)
        index = (codes - int(encoding.continuous)).clip(0, len(encoding.values) - 1)
        numbers = np.where(listed, np.array(encoding.values, dtype=float)[index], numbers)
    if pd.api.types.is_integer_dtype(column.dtype):
        numbers = _within(numbers, column.dtype)
    numbers = np.where(missing, np.nan, numbers)
    return pd.Series(numbers).astype(column.dtype)  # type: ignore[call-overload]


def _within(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers within the range of an integer type, whose ends a float may round beyond."""
    pandas_dtype = pd.api.types.pandas_dtype(dtype)
    bounds = np.iinfo(getattr(pandas_dtype, "numpy_dtype", pandas_dtype))
    highest = float(bounds.max)
    return numbers.clip(float(bounds.min), highest if highest <= bounds.max else np.nextafter(highest, 0))


def _same(value: Any, cell: Any) -> bool:
    """Whether a wanted cell, which may be text from a command line, means a known value."""
    if value == cell or str(value) == str(cell):
        return True
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(cell) == float(value)
        except (TypeError, ValueError):
            return False
    return isinstance(value, bool) and str(cell).lower() == str(value).lower()
