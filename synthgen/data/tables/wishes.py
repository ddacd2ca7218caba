"""schema.yaml: what a person says of a table's columns, in a file that is short to read and to change."""

import datetime
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from synthgen.data.tables.constraints.constraint import Constraint
from synthgen.data.tables.constraints.kinds import read_constraint
from synthgen.data.tables.invented import FORMATS, check_locale
from synthgen.data.tables.ranges import limits_of, with_range
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import Column, Kind, TableSchema

__all__ = ["DROP", "Wishes", "entry_text", "plain", "read_constraints", "read_schema", "schema_text"]

#: The kind of a column that is not learned.
DROP = "drop"
_KEYS = ("kind", "role", "decimals", "range", "format", "locale")
_ROLES = ("target", "sensitive", "identifier")
_MAX_DECIMALS = 12


@dataclass(frozen=True)
class Wishes:
    """What a schema file says.

    Attributes:
        where: The file, or "schema", for messages.
        target: The column that a downstream model would predict, if the file names one.
        columns: By name, some of `kind`, `decimals`, `range`, `format` and `locale`.
        sensitive: Columns whose groups shall be treated as in the real data.
        constraints: What rows obey, in order.
    """

    where: str = "schema"
    target: str | None = None
    columns: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    sensitive: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()


def read_schema(said: str | Path | Mapping[str, Any]) -> Wishes:
    """Reads a schema file, or what one says. Columns that it does not name are left to inference.

    Args:
        said: The path of the file, or in Python a mapping with the file's keys: `{"columns": {"age": {"range": [0,
            120]}}, "constraints": [{"unique": "id"}]}`.

    Raises:
        SynthgenError: The file, the column and the key that is at fault, and the nearest valid word.
    """
    file, content = ("schema", plain(said)) if isinstance(said, Mapping) else _loaded(Path(said))
    if not isinstance(content, dict):
        raise SynthgenError(f"{file}: found {type(content).__name__}, expected `columns:` with a line a column")
    for key in content:
        if key not in ("columns", "constraints"):
            raise SynthgenError(f"{file}: key {key!r}: {nearest(key, ('columns', 'constraints'))}")
    columns = content.get("columns") or {}
    if not isinstance(columns, dict):
        raise SynthgenError(f"{file}: columns: found a {type(columns).__name__}, expected a line a column")
    read, roles = {}, {}
    for name, said in columns.items():
        where = f"{file}: column {name!r}"
        said = {"kind": said} if isinstance(said, str) else said
        if not isinstance(said, dict):
            raise SynthgenError(f"{where}: found {said!r}, expected a kind, or keys such as `kind: categorical`")
        read[str(name)] = _checked(said, where)
        if "role" in said:
            roles[str(name)] = said["role"]
    targets = [name for name, role in roles.items() if role == "target"]
    if len(targets) > 1:
        raise SynthgenError(f"{file}: role: found two targets, {targets[0]!r} and {targets[1]!r}, expected one")
    sensitive = tuple(name for name, role in roles.items() if role == "sensitive")
    constraints = read_constraints(content.get("constraints") or [], file)
    return Wishes(file, targets[0] if targets else None, read, sensitive, constraints)


def read_constraints(entries: Any, where: str) -> tuple[Constraint, ...]:
    """Constraints from a list of entries, as a schema file has them.

    Raises:
        SynthgenError: `where`, the number of the entry, and what is wrong with it.
    """
    if not isinstance(entries, list | tuple):
        raise SynthgenError(f"{where}: constraints: found {entries!r}, expected a list, as `- unique: id`")
    return tuple(read_constraint(entry, f"{where}: constraints: entry {i}") for i, entry in enumerate(entries, 1))


def plain(said: Any) -> Any:
    """What a person wrote in Python as a file would have it: dicts, lists, text and numbers.

    >>> plain({"age": (np.int64(0), 120), "day": [datetime.date(2020, 1, 31), None]})
    {'age': [0, 120], 'day': ['2020-01-31', None]}
    """
    if isinstance(said, Mapping):
        return {key: plain(value) for key, value in said.items()}
    if isinstance(said, list | tuple):
        return [plain(value) for value in said]
    if isinstance(said, datetime.date):
        return said.isoformat()
    return said.item() if isinstance(said, np.generic) else said


def schema_text(schema: TableSchema, left_out: Mapping[str, str], offered: Sequence[Mapping[str, Any]] = ()) -> str:
    """A schema file that says what was inferred.

    Args:
        schema: As inferred.
        left_out: By name, why a column is not learned.
        offered: Entries of constraints that the data obeys: they are comments until a person wants them.
    """
    lines = [
        "# What the columns are. Change a line, then train with data.schema=THIS FILE. What is not here is inferred.",
        f"# kind: {', '.join([*Kind, DROP])}; role: {', '.join(_ROLES)}.",
        "columns:",
    ]
    people = [column for column in schema if column.kind is Kind.PERSONAL]
    if people:
        lines.insert(
            -1,
            "# locale: language and country of what is invented, such as de_DE. Columns that name none have the first "
            "one's.",
        )
    for column in schema:
        lines.append(f"  {_yaml(column.name)}: {_yaml(_described(column, schema.target, people))}")
    lines += [f"  {_yaml(name)}: {_yaml({'kind': DROP})}  # {reason}" for name, reason in left_out.items()]
    if not offered:
        return "\n".join([*lines, "constraints: []", ""])
    lines += ["# All rows obey these. Remove the # before those that samples shall obey.", "constraints:"]
    return "\n".join([*lines, *(f"#  - {entry_text(entry)}" for entry in offered), ""])


def entry_text(entry: Mapping[str, Any]) -> str:
    """A constraint as one line of a schema file."""
    return _yaml(dict(entry)).removeprefix("{").removesuffix("}")


def _loaded(file: Path) -> tuple[str, Any]:
    """The name of a schema file and what it holds."""
    if not file.is_file():
        raise SynthgenError(f"{file}: no such schema file; synthgen inspect writes one")
    try:
        return str(file), yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SynthgenError(f"{file}: not YAML: {' '.join(str(error).split())}") from None


def _checked(said: dict[str, Any], where: str) -> dict[str, Any]:
    for key in said:
        if key not in _KEYS:
            raise SynthgenError(f"{where}: key {key!r}: {nearest(key, _KEYS)}")
    kinds = [*map(str, Kind), DROP]
    if "kind" in said and said["kind"] not in kinds:
        raise SynthgenError(f"{where}: kind: found {said['kind']!r}; {nearest(said['kind'], kinds)}")
    if "role" in said and said["role"] not in _ROLES:
        raise SynthgenError(f"{where}: role: found {said['role']!r}; {nearest(said['role'], _ROLES)}")
    decimals = said.get("decimals", 0)
    if type(decimals) is not int or not 0 <= decimals <= _MAX_DECIMALS:
        raise SynthgenError(f"{where}: decimals: found {decimals!r}, expected a whole number to {_MAX_DECIMALS}")
    if "range" in said:
        said = {**said, "range": _limits(said["range"], where)}
    if not isinstance(said.get("format", ""), str):
        raise SynthgenError(
            f"{where}: format: found {said['format']!r}, expected text such as '%d.%m.%Y' or '#,##0.00'"
        )
    personal = said.get("kind", "personal") == Kind.PERSONAL
    if "locale" in said:
        if not personal:
            raise SynthgenError(f"{where}: locale: is for personal text, found kind {said['kind']!r}")
        check_locale(said["locale"], where)
    if said.get("format") in FORMATS:
        said = {"kind": str(Kind.PERSONAL), **said}
    if said.get("kind") == Kind.PERSONAL and said.get("format", FORMATS[0]) not in FORMATS:
        raise SynthgenError(f"{where}: format: found {said['format']!r}; {nearest(said['format'], FORMATS)}")
    kept = {key: value for key, value in said.items() if key != "role"}
    if said.get("role") == "identifier" and kept.setdefault("kind", str(Kind.IDENTIFIER)) != Kind.IDENTIFIER:
        raise SynthgenError(f"{where}: role: an identifier cannot be of kind {kept['kind']!r}")
    return kept


def _limits(said: Any, where: str) -> list[Any]:
    # YAML reads dates by itself.
    ends = [end.isoformat() if isinstance(end, datetime.date) else end for end in said] if type(said) is list else []
    kinds = {str if type(end) is str else float for end in ends if type(end) in (str, int, float)}
    ordered = kinds == {str} or (kinds == {float} and len(ends) == 2 and ends[0] <= ends[1])
    if len(ends) != 2 or not ordered or any(type(end) not in (str, int, float) for end in ends):
        raise SynthgenError(f"{where}: range: found {said!r}, expected [smallest, largest]")
    return ends


def _described(column: Column, target: str | None, people: Sequence[Column]) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": str(column.kind)}
    if column.name == target:
        said["role"] = "target"
    if column.kind is Kind.NUMERICAL:
        said |= {} if column.format is None else {"format": column.format}
        if column.decimals is not None:
            said["decimals"] = column.decimals
        said["range"] = limits_of(column)
    elif column.kind is Kind.PERSONAL:
        said["format"] = column.format
        if column is people[0] or column.locale != people[0].locale:  # the first one's holds for those that name none
            said["locale"] = column.locale
    elif column.kind.moment or column.kind is Kind.DURATION:
        said |= {} if column.format is None else {"format": column.format}
        limits = limits_of(column)
        with suppress(SynthgenError):  # lengths of more than 292 years have no text that reads back
            with_range(column, limits, "")
            said["range"] = limits
    return said


def _yaml(value: Any) -> str:
    """One line."""
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value, ensure_ascii=False)
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")
