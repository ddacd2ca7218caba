"""Where the variables of a table's columns are in what a model sees of a row."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from synthgen.data.tables.forms import Form, form_of
from synthgen.data.tables.variables import Encoding
from synthgen.layout import Column, TableLayout, TableSchema

__all__ = ["Places"]

T = TypeVar("T")


@dataclass(frozen=True)
class Places:
    """The columns that are learned, each with its parts, and the places of their variables.

    Attributes:
        forms: How a column is taken apart.
        encodings: How each of a column's parts is encoded.
        discrete: For each part of a column, the place of its discrete variable; -1 where it has none.
        continuous: The same of its continuous variable.
        width: Numbers of continuous and of discrete variables.
    """

    forms: dict[str, Form]
    encodings: dict[str, tuple[Encoding, ...]]
    discrete: dict[str, list[int]]
    continuous: dict[str, list[int]]
    width: tuple[int, int]

    @classmethod
    def of_columns(cls, learned: TableSchema, encodings: dict[str, tuple[Encoding, ...]]) -> "Places":
        """Those of columns one after the other, and in each part after part."""
        # Of personal text, the first column of each format tells of one person of a row, the second of another.
        persons: Counter[str | None] = Counter()
        forms = {}
        for column in learned:
            forms[column.name] = form_of(column, persons[column.format])
            persons[column.format] += 1
        of_discrete: dict[str, list[int]] = {}
        of_continuous: dict[str, list[int]] = {}
        discrete = continuous = 0
        for name, parts in encodings.items():
            of_discrete[name], of_continuous[name] = [], []
            for part in parts:
                of_discrete[name].append(discrete if part.cardinality else -1)
                of_continuous[name].append(continuous if part.continuous else -1)
                discrete, continuous = discrete + bool(part.cardinality), continuous + part.continuous
        return cls(forms, encodings, of_discrete, of_continuous, (continuous, discrete))

    @cached_property
    def layout(self) -> TableLayout:
        """What a model sees of a row."""
        cardinalities, ordered, gates, digits = [], [], [], []
        for name, form in self.forms.items():
            for i, (part, encoding) in enumerate(zip(form.parts, self.encodings[name], strict=True)):
                if encoding.cardinality:
                    cardinalities.append(encoding.cardinality)
                    ordered.append(len(encoding.values) if part.numerical and not encoding.continuous else 0)
                    digits.append(self.discrete[name][i - 1] if form.digits and i else -1)
                if encoding.continuous:
                    gates.append(self.discrete[name][i])
        return TableLayout(
            numerical=len(gates),
            cardinalities=tuple(cardinalities),
            ordered=tuple(ordered),
            gates=tuple(gates),
            digits=tuple(digits) if any(digit >= 0 for digit in digits) else (),
        )

    def of(self, name: str, of_parts: Iterable[T]) -> Iterator[tuple[T, Column, Encoding, int, int]]:
        """Something of each part of a column, beside the part, its encoding, and the places of its two variables."""
        return zip(
            of_parts,
            self.forms[name].parts,
            self.encodings[name],
            self.discrete[name],
            self.continuous[name],
            strict=True,
        )
