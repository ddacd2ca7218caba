"""Makes what people type fit Hydra's grammar."""

import json
import re

__all__ = ["escape"]

_GATHERED = re.compile(
    r"""\+*(?P<of>condition|rebalance)\.(?P<column>"[^"]*"|'[^']*'|[^=]*)=(?P<value>.*)""", re.DOTALL
)


def escape(arguments: list[str]) -> list[str]:
    """Quotes what Hydra would refuse, and gathers `condition.COLUMN=VALUE` and `rebalance.COLUMN=SHARES` into one each.

    A value that is no word of Hydra's grammar, such as `>50K`, is taken as text. Columns of a condition need not be in
    any config, and their names may hold anything, "=" between quotation marks: all of them travel as one JSON text.

    >>> escape(["n=3", "condition.income=>50K", "data.path=my (file).csv"])
    ['n=3', "data.path='my (file).csv'", 'condition=\\'{"income": ">50K"}\\'']
    >>> escape(['condition."a=b"=x=1'])
    ['condition=\\'{"a=b": "x=1"}\\'']
    """
    escaped: list[str] = []
    gathered: dict[str, dict[str, str | None]] = {"condition": {}, "rebalance": {}}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if found := _GATHERED.fullmatch(argument):
            gathered[found["of"]][_unquote(found["column"])] = _cell(found["value"])
        elif equals and not key.startswith("-") and not _parses(argument):
            escaped.append(f"{key}={quote(value)}")
        else:
            escaped.append(argument)
    texts = ((of, json.dumps(cells, ensure_ascii=False)) for of, cells in gathered.items() if cells)
    return [*escaped, *(f"{of}={quote(text)}" for of, text in texts)]


def quote(value: str) -> str:
    """Text as one quoted value of Hydra's grammar."""
    # Backslashes are literal in it, but for those before a quote.
    out, slashes = [], 0
    for character in value:
        if character == "'":
            out.append("\\" * (slashes + 1))
        out.append(character)
        slashes = slashes + 1 if character == "\\" else 0
    return "'" + "".join(out) + "\\" * slashes + "'"


def _cell(value: str) -> str | None:
    """A cell of a condition as text; None, for `null`, asks for a missing cell."""
    return None if value == "null" else _unquote(value)


def _unquote(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _parses(argument: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True
