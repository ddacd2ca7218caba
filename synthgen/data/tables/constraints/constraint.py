"""The contract of constraints: one entry of a schema file, and which rows obey it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from synthgen.data.tables.streamed import Table
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import Kind, TableSchema

__all__ = ["Constraint", "different_names"]


class Constraint(ABC):
    """What every row must obey, or what rows must obey together.

    Attributes:
        kind: Its word in a schema file.
        said: What stands behind that word.
        where: The file and the entry, for errors.
        columns: What it is about.
        certain: Whether every sample obeys it whatever a model draws: decoding knows no value that does not.
        of_invented: Kinds of columns that are made anew and that it may be about all the same.
    """

    kind: ClassVar[str]
    of_invented: ClassVar[tuple[Kind, ...]] = ()
    columns: tuple[str, ...]
    certain = False

    def __init__(self, said: Any, where: str) -> None:
        self.said = said
        self.where = where

    def __str__(self) -> str:
        return f"{self.kind}: {_written(self.said)}"

    def bind(self, schema: TableSchema) -> None:
        """Takes in what the columns are.

        Raises:
            SynthgenError: A column that is not there or of a kind that it cannot be about.
        """
        for name in self.columns:
            _known(name, schema, self.where)
            if schema[name].kind in self.of_invented:
                continue
            if schema[name].kind is Kind.IDENTIFIER:
                raise SynthgenError(
                    f"{self.where}: column {name!r} is an identifier, which is made anew: only unique and not_null may "
                    "name it"
                )
            if schema[name].kind is Kind.PERSONAL:
                raise SynthgenError(
                    f"{self.where}: column {name!r} is personal text, which is made anew and may repeat: only not_null "
                    "may name it"
                )

    def learn(self, frame: Table, rare_below: int) -> None:  # noqa: B027  # most kinds learn nothing
        """Takes in what the training rows have, where it is about that."""

    @abstractmethod
    def check(self, frame: Table) -> np.ndarray:
        """(rows,) whether a row obeys it."""

    def state(self) -> dict[str, Any]:
        """JSON-ready form of what was learned."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Reads what `state` wrote."""


def different_names(said: Any, where: str, least: int) -> tuple[str, ...]:
    """Different names of columns, at least so many.

    Raises:
        SynthgenError: It is something else.
    """
    if not isinstance(said, list | tuple) or len(said) < least or not all(isinstance(n, str | int) for n in said):
        expected = "a column, or a list of columns" if least == 1 else f"a list of at least {least} columns"
        raise SynthgenError(f"{where}: found {said!r}, expected {expected}")
    names = tuple(str(name) for name in said)
    if len(set(names)) < len(names):
        raise SynthgenError(f"{where}: found {list(names)}, expected different columns")
    return names


def _known(name: str, schema: TableSchema, where: str) -> None:
    if name not in schema.names:
        raise SynthgenError(f"{where}: column {name!r}: {nearest(name, schema.names, what='columns are')}")


def _written(said: Any) -> str:
    """As YAML on one line would have it."""
    if isinstance(said, dict):
        return "{" + ", ".join(f"{key}: {_written(value)}" for key, value in said.items()) + "}"
    if isinstance(said, list | tuple):
        return "[" + ", ".join(map(_written, said)) + "]"
    if said is None or isinstance(said, bool):
        return "null" if said is None else str(said).lower()
    return str(said)
