"""One process a run folder."""

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synthgen.errors import SynthgenError

__all__ = ["locked"]

_NAME = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a run folder for this process; the operating system lets go of it however the process ends.

    Raises:
        SynthgenError: Another process holds it, which the message names.
    """
    import fcntl  # not on Windows, where nothing else needs to fail for it

    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            raise SynthgenError(
                f"{folder}: {holder} is training in this run folder; wait for it, or choose another one with run="
            ) from None
        except OSError as error:
            warnings.warn(
                f"{folder}: this file system has no locks ({error.strerror}): start one process", stacklevel=4
            )
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
