"""The cells of one column, and what a schema asks of them: which differ, and how numbers and words are written."""

import re
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.variables import dtype_named
from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind

__all__ = ["MAX_CATEGORIES", "Cells"]

MAX_CATEGORIES = 1_000_000
_MAX_DECIMALS = 12
# What turns values of other types into such as are known.
_CONVERSIONS = {
    **dict.fromkeys(("datetime", "Timestamp", "date"), "pd.to_datetime"),
    **dict.fromkeys(("timedelta", "Timedelta"), "pd.to_timedelta"),
    "Decimal": ".astype(float)",
    "Period": ".dt.to_timestamp()",
    "time": ".astype(str)",
    "UUID": ".astype(str)",
    "bytes": ".str.decode('utf-8')",
}


class Cells:
    """A column, and what is asked of it more than once."""

    def __init__(self, name: str, values: pd.Series) -> None:
        self.name = name
        self.values = values
        self.present = values.dropna() if values.hasnans else values

    @cached_property
    def different(self) -> pd.Series:
        """The different cells that are there, in the order in which they come; of a choice, as its values are."""
        dtype = self.values.dtype
        _check_dtype(self.name, dtype)
        if pd.api.types.is_object_dtype(dtype) and pd.api.types.infer_dtype(self.present) != "date":
            _check_types(self.name, self.present)
        try:
            different = pd.Series(self.present.unique(), dtype=dtype)
        except NotImplementedError:  # pyarrow's: of lists and the like
            raise SynthgenError(f"column {self.name!r}: found {dtype}; expected text, numbers or booleans") from None
        return different.astype(dtype.categories.dtype) if isinstance(dtype, pd.CategoricalDtype) else different

    @property
    def missing_rate(self) -> float:
        """Share of missing cells, 0 to 1."""
        return 1 - len(self.present) / len(self.values)

    @property
    def constant(self) -> bool:
        """Whether all cells are the same, or missing."""
        return len(self.different) + (len(self.present) < len(self.values)) <= 1

    def column(self, kind: Kind, **more: Any) -> Column:
        """A column of this kind, dtype and missing rate, and of what else is known of it."""
        dtype: Any = self.values.dtype
        name = "string[python]" if dtype == pd.StringDtype("python") else str(dtype)
        if kind is Kind.IDENTIFIER:
            # New keys are larger than those that there are.
            name = re.sub(r"(?<=nt)(8|16|32)", "64", name)
        choice = isinstance(dtype, pd.CategoricalDtype)
        if choice and kind in (Kind.CATEGORICAL, Kind.BOOLEAN, Kind.CONSTANT):
            levels = tuple(dtype.categories.tolist())
            if dtype.ordered or levels != more["categories"]:
                more |= {"levels": levels, "ordered": bool(dtype.ordered)}
        return Column(self.name, kind, name, missing_rate=self.missing_rate, **more)

    def categories(self) -> tuple[str | int | float | bool, ...]:
        """Sorted distinct values as plain Python scalars: numbers before words."""
        if len(self.different) > MAX_CATEGORIES:
            raise SynthgenError(
                f"column {self.name!r}: found {len(self.different):,} different words in {len(self.values):,} rows; "
                f"expected at most {MAX_CATEGORIES:,}: drop the column"
            )
        values = [value.item() if isinstance(value, np.generic) else value for value in self.different.tolist()]
        _check_types(self.name, values)
        if not all(np.isfinite(value) for value in values if isinstance(value, float)):
            raise SynthgenError(f"column {self.name!r}: found an infinite number among words, expected finite ones")
        try:
            "".join(value for value in values if isinstance(value, str)).encode()
        except UnicodeEncodeError as error:
            raise SynthgenError(f"column {self.name!r}: found text that is not Unicode: {error.reason}") from None
        return tuple(sorted(values, key=lambda value: (isinstance(value, str), value)))

    def decimals(self) -> int | None:
        """Fewest digits after the point that write every number to its own precision; None when 12 are not enough."""
        numbers = self.different.to_numpy(dtype=float)
        # Some units in the last place: what a sum or a product may have added.
        tolerance = np.abs(numbers) * (1e-6 if self.different.dtype == "float32" else 1e-14)
        for digits in range(_MAX_DECIMALS + 1):
            if (np.abs(np.round(numbers, digits) - numbers) <= tolerance).all():
                return digits
        return None


def _check_dtype(name: str, dtype: Any) -> None:
    """Makes sure that a dtype is found again by its name, and that numpy can calculate with it."""
    try:
        known = isinstance(dtype, pd.CategoricalDtype | pd.StringDtype) or dtype_named(str(dtype)) == dtype
    except (TypeError, NotImplementedError):
        known = False
    if not known or str(dtype).startswith(("halffloat", "complex", "date64")):
        raise SynthgenError(
            f"column {name!r}: found the type {dtype}, which is not known here; turn it into text, numbers, booleans "
            "or dates, as by .astype"
        )


def _check_types(name: str, values: pd.Series | list[Any]) -> None:
    if pd.api.types.infer_dtype(values) in ("string", "integer", "floating", "boolean", "empty"):
        return
    for value in values:
        if not isinstance(value, str | int | float | bool | np.number | np.bool_):
            found = type(value).__name__
            hint = f"; try {_CONVERSIONS[found]}" if found in _CONVERSIONS else ""
            raise SynthgenError(
                f"column {name!r}: found a value of type {found}; expected text, numbers or booleans{hint}"
            )
