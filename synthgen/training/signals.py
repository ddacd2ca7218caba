"""Signals that ask a run to stop: noted when they come, acted on when the state is whole."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["STOPPING", "Signals", "exit_code"]

#: Ctrl-C, a scheduler's request to end, and its notice that the machine will be taken away.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Signals:
    """Notes the first of SIGINT, SIGTERM and SIGUSR1 while it is entered; a second one does what it did before.

    A signal that the process was told to ignore stays ignored, and outside the main thread, where Python allows no
    handlers, none are touched.

    Attributes:
        received: Number of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in STOPPING}
            self._before = {number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN}
            self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def install(self) -> None:
        """Takes the signals, again where something else has taken them in between."""
        if self.received is None:
            for number in self._before:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
        else:
            # Whoever asks twice does not want to wait for the batch, the validation or the disk.
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def exit_code(number: int) -> int:
    """128 + the signal's number, as shells and schedulers report it: 130 Ctrl-C, 143 SIGTERM, 138 SIGUSR1 on Linux."""
    return 128 + number
