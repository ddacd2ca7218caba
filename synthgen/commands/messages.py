"""One line for what a person got wrong; None for what is a bug."""

import errno
import re
from collections.abc import Iterator
from typing import Any

from synthgen.errors import SynthgenError, nearest, out_of_memory

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
    from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
    from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException

    for cause in _chain(error):
        if isinstance(cause, SynthgenError):
            return str(cause)
        if found := out_of_memory(cause):
            return f"{found}; {_LESS[command]}" if command in _LESS else found
        if isinstance(cause, OSError) and cause.errno in _FILE_SYSTEM:
            return f"{cause.filename}: {cause.strerror}" if cause.filename else str(cause.strerror)
        if isinstance(cause, MissingConfigException) and cause.missing_cfg_file:
            return _unknown_choice(cause)
        if isinstance(cause, MissingMandatoryValue):
            key = str(cause).rpartition(": ")[2].split()[0]
            return f"{key} is missing: give {key}=VALUE; see synthgen {command} --help"
        if isinstance(cause, OverrideParseException):
            return f"cannot read the argument {cause.override!r}: {str(cause).splitlines()[0]}"
    text = str(error)
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(match.group(1), command)
    if isinstance(error, ConfigCompositionException | InterpolationResolutionError | OmegaConfBaseException):
        return text.split("\n\n")[0]
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _unknown_choice(error: Any) -> str:
    group, _, choice = error.missing_cfg_file.rpartition("/")
    options = [f"{group.partition('/')[2]}/{option}".lstrip("/") for option in error.options or []]
    top = group.partition("/")[0]
    wanted = error.missing_cfg_file.partition("/")[2] or choice
    return f"{top}={wanted}: unknown choice: {nearest(wanted, _choices(top) or options)}"


def _choices(group: str) -> list[str]:
    from synthgen.configuration import config_folder

    folder = config_folder() / group
    return sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("[!_]*.yaml"))


def _unknown_key(key: str, command: str) -> str:
    from synthgen.configuration import compose_unresolved

    keys = list(_flatten(compose_unresolved(command)))
    # A key that is only known within a group that another choice would bring is still close to one of this one.
    return f"unknown key {key!r}: {nearest(key, keys, what='keys are')}"


def _flatten(config: Any, prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
