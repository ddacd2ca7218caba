"""How much others disturb what is timed. Peers' environments import this: it needs nothing but Python."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["SPOILED", "Watch"]

SPOILED = 0.2  # cores that other processes used meanwhile, on average
TICKS = 0.05  # core-seconds by which the kernel's two counts may differ of themselves


class Watch:
    """The cores that all but this session's processes use, and that the hypervisor takes away, while it is entered.

    Attributes:
        others: Cores, on average.
        spoiled: Whether that is more than `SPOILED`.
    """

    others: float
    spoiled: bool

    def __init__(self, busy: Callable[[], float] | None = None) -> None:
        self._busy = busy or _busy_seconds

    def __enter__(self) -> "Watch":
        self._begun = time.monotonic(), self._busy(), _own_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        begun, busy, own = self._begun
        elapsed = max(time.monotonic() - begun, 1e-3)
        others = max(0.0, self._busy() - busy - (_own_seconds() - own))
        self.others = round(others / elapsed, 2)
        self.spoiled = others > SPOILED * elapsed + TICKS


def _busy_seconds() -> float:
    """Core-seconds that this machine was not idle since it started, those that its host took away included."""
    _, *ticks = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, ticks)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Core-seconds of all processes of this session, workers among them, and of those that they have waited for."""
    session, ticks = os.getsid(0), 0
    for process in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            # Behind the name, which may hold anything: state, parent, group, session; four times from the twelfth on.
            _, _, _, of, *counts = process.read_text().rpartition(")")[2].split()
            if int(of) == session:
                ticks += sum(map(int, counts[7:11]))
    return ticks / os.sysconf("SC_CLK_TCK")
