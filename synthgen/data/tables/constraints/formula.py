"""Formulas over the columns of a row, as pandas writes them, read by what they may hold and never run as Python."""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.tables.constraints.scale import Scale, is_number_like
from synthgen.data.tables.number_formats import numbers_of
from synthgen.data.tables.streamed import Table
from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind, TableSchema

__all__ = ["Formula"]

_MAX_LENGTH = 2000
# A name in backticks, or text in quotes, which may hold backticks.
_QUOTED = re.compile(r"`(?P<name>[^`]+)`|'[^'\\]*'|\"[^\"\\]*\"")
_DAY = {"D": 1.0, "h": 24.0, "m": 1440.0, "s": 86400.0, "ms": 86400e3, "us": 86400e6, "ns": 86400e9}

_Operation = Callable[[Any, Any], Any]
_ARITHMETIC: dict[type[ast.operator], _Operation] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type[ast.cmpop], _Operation] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class _Days(np.ndarray):
    """Moments, as days since 1970, and what is computed of them: text compares with them as a date."""


class Formula:
    """An expression that is true or false of every row.

    It may hold names of columns (odd ones in backticks), numbers, text and True or False, `+ - * / // % **`,
    comparisons, `and`, `or`, `not` and `in [...]`; nothing is called and nothing else is known. Dates and durations
    count in days, times as parts of a day, and compare with text such as "2020-01-31" or "3 days".

    Args:
        text: Of the formula.
        where: Named in errors.

    Raises:
        SynthgenError: What it holds besides.

    Example:
        >>> import pandas as pd
        >>> from synthgen.data.tables.schema import infer_schema
        >>> frame = pd.DataFrame({"pay": [0, 5, 0], "is retired": [True, False, False]})
        >>> Formula("pay > 0 or `is retired`", "formula").holds(frame, infer_schema(frame)).tolist()
        [True, True, False]
    """

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self._odd: dict[str, str] = {}
        if len(text) > _MAX_LENGTH:
            raise SynthgenError(f"{where}: found {len(text):,} characters, expected at most {_MAX_LENGTH:,}")
        try:
            self._tree = ast.parse(_QUOTED.sub(self._placeholder, text.strip()), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise SynthgenError(
                f"{where}: cannot be read: {text!r}; expected one such as 'a > 0 or b == \"x\"'"
            ) from None
        names: dict[str, None] = {}
        try:
            self._admit(self._tree, names)
        except RecursionError:
            raise SynthgenError(f"{where}: its parts lie too deep in one another: {text!r}") from None
        if not names:
            raise SynthgenError(f"{where}: names no column: {text!r}")
        self.columns = tuple(names)

    def holds(self, frame: Table, schema: TableSchema) -> np.ndarray:
        """(rows,) whether it is true of a row; it is of one in which a cell that it names is missing.

        Raises:
            SynthgenError: Its values do not go together, such as text and numbers.
        """
        rows = frame[list(self.columns)]
        complete = rows.notna().all(axis=1).to_numpy()
        rows = rows.loc[complete]
        known = {name: _values(rows[name], schema[name]) for name in self.columns}
        try:
            with np.errstate(all="ignore"):
                found = _truth(self._value(self._tree, known))
        except (TypeError, ValueError, OverflowError, ZeroDivisionError, RecursionError) as error:
            if isinstance(error, SynthgenError):
                raise
            raise SynthgenError(f"{self.where}: {self.text!r}: {str(error).splitlines()[0]}") from None
        holds = np.ones(len(frame), dtype=bool)
        holds[complete] = found
        return holds

    def _placeholder(self, match: re.Match[str]) -> str:
        if match["name"] is None:
            return match[0]
        placeholder = f"_column_{len(self._odd)}_"
        self._odd[placeholder] = match["name"]
        return placeholder

    def _admit(self, node: ast.AST, names: dict[str, None]) -> None:
        """Makes sure that a part is one of those that are known, and notes the columns that it names."""
        match node:
            case ast.Name(id=name):
                names[self._odd.get(name, name)] = None
                return
            case ast.Constant(value=bool() | int() | float() | str()):
                return
            case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
                parts: list[ast.expr] = [node.left, node.right]
            case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd()):
                parts = [node.operand]
            case ast.BoolOp():
                parts = node.values
            case ast.Compare():
                parts = [node.left]
                for compared, right in zip(node.ops, node.comparators):
                    if type(compared) in _COMPARISONS:
                        parts.append(right)
                    elif not isinstance(compared, ast.In | ast.NotIn) or not _is_listed(right):
                        found = ast.unparse(node)
                        raise SynthgenError(f"{self.where}: {found!r}: expected `in` and a list of constants")
            case _:
                raise SynthgenError(
                    f"{self.where}: {ast.unparse(node)!r} is not allowed; expected names of columns, constants, "
                    "arithmetic, comparisons, and, or, not, in"
                )
        for part in parts:
            self._admit(part, names)

    def _value(self, node: ast.AST, known: Mapping[str, Any]) -> Any:
        match node:
            case ast.Name(id=name):
                return known[self._odd.get(name, name)]
            case ast.Constant(value=bool() | str() as value):
                return value
            case ast.Constant(value=int() | float() as value):
                return np.float64(value)  # see _number
            case ast.BinOp():
                left, right = self._value(node.left, known), self._value(node.right, known)
                return _ARITHMETIC[type(node.op)](_number(left), _number(right))
            case ast.UnaryOp(op=ast.Not()):
                return ~_truth(self._value(node.operand, known))
            case ast.UnaryOp():
                value = _number(self._value(node.operand, known))
                return -value if isinstance(node.op, ast.USub) else value
            case ast.BoolOp():
                parts = [_truth(self._value(part, known)) for part in node.values]
                return reduce(np.logical_and if isinstance(node.op, ast.And) else np.logical_or, parts)
            case ast.Compare():
                left, holds = self._value(node.left, known), np.array(True)
                for op, part in zip(node.ops, node.comparators):
                    if isinstance(op, ast.In | ast.NotIn):
                        listed = [ast.literal_eval(item) for item in part.elts]  # type: ignore[attr-defined]
                        found = reduce(np.logical_or, [_compared(operator.eq, left, item) for item in listed])
                        holds = holds & (~found if isinstance(op, ast.NotIn) else found)
                    else:
                        right = self._value(part, known)
                        holds = holds & _compared(_COMPARISONS[type(op)], left, right)
                        left = right
                return holds
        raise AssertionError("what was admitted is known")


def _is_listed(node: ast.AST) -> bool:
    """Whether a part is a list of one or more constants."""
    if not isinstance(node, ast.List | ast.Tuple | ast.Set) or not node.elts:
        return False
    try:
        return all(isinstance(ast.literal_eval(item), str | int | float) for item in node.elts)
    except ValueError:
        return False


def _values(values: pd.Series, column: Column) -> np.ndarray:
    """A complete column as an array that compares and computes."""
    if column.kind.moment or column.kind is Kind.DURATION:
        if column.unit == "M":
            ticks, _ = Scale(column, "D").read(values)
            return ticks.astype(float).view(_Days)
        ticks, _ = Scale(column).read(values)
        return (ticks / _DAY[str(column.unit)]).view(_Days)
    # Numbers to choose from are numbers; as objects of Python's they would have powers that take for ever.
    chosen = column.kind is Kind.CATEGORICAL and not any(isinstance(value, str) for value in column.categories)
    if is_number_like(column) or chosen:
        return numbers_of(values, column).to_numpy(dtype=float)
    return values.to_numpy(dtype=bool) if column.kind is Kind.BOOLEAN else values.to_numpy(dtype=object)


def _number(value: Any) -> Any:
    """What has arithmetic: numbers of numpy's, whose powers are infinite and not long."""
    if _is_text(value):
        raise TypeError("text has no arithmetic")
    return np.float64(value) if isinstance(value, bool) else value


def _compared(operation: _Operation, left: Any, right: Any) -> np.ndarray:
    if isinstance(left, _Days) and isinstance(right, str):
        right = _days(right)
    elif isinstance(right, _Days) and isinstance(left, str):
        left = _days(left)
    elif operation not in (operator.eq, operator.ne) and _is_text(left) != _is_text(right):
        raise TypeError("text and numbers do not compare")
    return np.asarray(operation(left, right), dtype=bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype == object)


def _days(text: str) -> float:
    """Days since 1970 of a date, or of a length of time such as "3 days" or "08:30:00"."""
    day = pd.Timedelta(days=1)
    try:
        return float(pd.Timedelta(text) / day) if " " in text or "-" not in text else _date(text)
    except ValueError:
        return _date(text)


def _date(text: str) -> float:
    if not any(map(str.isdigit, text)):
        raise ValueError(f"{text!r} is no date")  # to pandas "today" is one, every day another
    return float((pd.Timestamp(text) - pd.Timestamp(0)) / pd.Timedelta(days=1))


def _truth(value: Any) -> np.ndarray:
    if _is_text(value):
        raise TypeError("text is neither true nor false")
    return np.asarray(value, dtype=bool)
