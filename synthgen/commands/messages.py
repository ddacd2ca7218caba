"""One line for what a person got wrong; None for what is a bug."""

import errno

from synthgen.configuration import config_fault
from synthgen.errors import SynthgenError, chain, out_of_memory

__all__ = ["explain"]

# What a disk or its rights may refuse at any write, however sound the code that asks.
_FILE_SYSTEM = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENAMETOOLONG}

# What to ask less of where memory does not suffice.
_LESS = {
    "train": "lower data.batch_size, then the network's width",
    "sample": "draw fewer at a time: n=1000 start=0, then start=1000",
    "evaluate": "give fewer rows",
}


def explain(error: Exception, command: str) -> str | None:
    """What was found, what was expected, and the nearest valid name; None if no person is to blame."""
    for cause in chain(error):
        if isinstance(cause, SynthgenError):
            return str(cause)
        if found := out_of_memory(cause):
            return f"{found}; {_LESS[command]}" if command in _LESS else found
        if isinstance(cause, OSError) and cause.errno in _FILE_SYSTEM:
            return f"{cause.filename}: {cause.strerror}" if cause.filename else str(cause.strerror)
    return config_fault(error, command)
