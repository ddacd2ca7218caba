"""The one error that a person causes, and the nearest valid name that goes with it."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

__all__ = ["SynthgenError", "chain", "nearest", "out_of_memory", "rows_named"]


class SynthgenError(ValueError):
    """Bad input: the message names the file, column or key, what was found, and what was expected.

    The command line prints it as one line without a traceback and exits with code 2.
    """


def nearest(name: object, valid: Iterable[object], *, what: str = "choose from") -> str:
    """Ends an error message with the valid name that comes closest, or with all of them when none is close.

    >>> nearest("incme", ["age", "income"])
    "did you mean 'income'?"
    >>> nearest("zzz", ["age", "income"], what="columns are")
    "columns are 'age', 'income'"
    """
    options = [str(option) for option in valid]
    close = get_close_matches(str(name), options, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    shown = ", ".join(repr(option) for option in options[:12])
    return f"{what} {shown}" + (f" and {len(options) - 12} more" if len(options) > 12 else "")


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised for, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def rows_named(rows: Sequence[int]) -> str:
    """Rows by their numbers from 1, as a person counts them.

    >>> rows_named([4])
    'row 5'
    >>> rows_named([0, 1, 4, 7])
    'rows 1, 2, 5 and 1 more'
    """
    if len(rows) == 1:
        return f"row {rows[0] + 1}"
    shown = ", ".join(str(row + 1) for row in rows[:3])
    return f"rows {shown}" + (f" and {len(rows) - 3:,} more" if len(rows) > 3 else "")


def out_of_memory(error: BaseException) -> str | None:
    """What could not be allocated; None if an error is about something else.

    PyTorch tells of a device's memory by an error of its own and of the machine's by a `RuntimeError`.
    """
    text = str(error)
    signs = ("DefaultCPUAllocator", "not enough memory", "out of memory")
    if not isinstance(error, MemoryError) and not (isinstance(error, RuntimeError) and any(s in text for s in signs)):
        return None
    return f"out of memory: {text.splitlines()[0] if text else 'no more to be had'}"
