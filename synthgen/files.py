"""Finding files, and writing files and folders in one move."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synthgen.errors import SynthgenError, nearest

__all__ = ["existing_file", "replacing", "replacing_folder"]


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to that becomes `target`, synced to disk, when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    try:
        yield partial
        _sync(partial)
        partial.replace(target)
        _sync(target.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """An empty folder to fill that becomes `target`, and replaces it, when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, old = target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.old")
    _put_back(old, target)
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for file in partial.rglob("*"):
            _sync(file)
        if target.exists():
            target.replace(old)
        partial.replace(target)
        _sync(target.parent)
    finally:
        _put_back(old, target)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def existing_file(path: str) -> Path:
    """The path of a file that is there.

    Raises:
        SynthgenError: It is missing or a folder; the message names the nearest file beside it.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise SynthgenError(f"{file}: found a folder, expected a file")
    if not file.is_file():
        beside = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
        hint = f"; {nearest(file.name, beside, what='beside it are')}" if beside else ""
        raise SynthgenError(f"{file}: no such file{hint}")
    return file


def _put_back(old: Path, target: Path) -> None:
    """Undoes the first of two moves where the second never came."""
    if old.exists() and not target.exists():
        old.replace(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
