"""Finding files, writing files and folders in one move, and the hashes that tell whether they are as written."""

import fcntl
import glob
import hashlib
import json
import os
import platform
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from synthgen.errors import SynthgenError, nearest

__all__ = [
    "existing_file",
    "manifest_faults",
    "no_space",
    "replacing",
    "replacing_folder",
    "sha256",
    "sync",
    "write_manifest",
]

_MANIFEST = "manifest.json"
_BLOCK = 1 << 20

# With less than this left, a write that failed did so for want of space.
_FULL = 1 << 20


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to that becomes `target`, synced to disk, when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(target)
    try:
        yield partial
        sync(partial)
        partial.replace(target)
        sync(target.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """An empty folder to fill that becomes `target`, and replaces it, when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, old = _partial(target), target.with_name(f".{target.name}.old")
    with _one_at_a_time(target.parent):
        _put_back(old, target)
        shutil.rmtree(old, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for file in partial.rglob("*"):
            sync(file)
        with _one_at_a_time(target.parent):
            try:
                if target.exists():
                    target.replace(old)
                partial.replace(target)
                sync(target.parent)
            finally:
                _put_back(old, target)
                shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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


def write_manifest(folder: Path) -> None:
    """Writes the SHA-256 of every file of a folder into its `manifest.json`."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name != _MANIFEST)
    hashes = {file.name: sha256(file) for file in files}
    (folder / _MANIFEST).write_text(json.dumps({"sha256": hashes}, indent=2))


def manifest_faults(folder: Path) -> dict[str, str | None] | None:
    """What is wrong with each file that `manifest.json` names, None where nothing is; None for all without a manifest.

    Raises:
        SynthgenError: The manifest is damaged.
    """
    manifest = folder / _MANIFEST
    if not manifest.is_file():
        return None
    try:
        hashes = {str(name): str(digest) for name, digest in json.loads(manifest.read_text())["sha256"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SynthgenError(f"{manifest}: damaged: {type(error).__name__}: {error}") from None
    faults: dict[str, str | None] = {}
    for name, digest in hashes.items():
        # A name that leads out of the folder is one that no synthgen wrote.
        if Path(name).name != name or not (folder / name).is_file():
            faults[name] = "not there"
        else:
            faults[name] = None if sha256(folder / name) == digest else "damaged: its content is not what was written"
    return faults


def sha256(file: Path, size: int | None = None) -> str:
    """Hexadecimal SHA-256 of a file, or of its first `size` bytes."""
    digest = hashlib.sha256()
    left = file.stat().st_size if size is None else size
    with file.open("rb") as opened:
        while left > 0 and (block := opened.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def no_space(folder: Path) -> str | None:
    """Says how little space is left where a write failed; None when there is enough of it."""
    free = shutil.disk_usage(folder).free if folder.is_dir() else _FULL
    return f"no space left on the disk ({free / 2**20:.1f} MiB free)" if free < _FULL else None


def sync(path: Path) -> None:
    """Makes sure that a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _partial(target: Path) -> Path:
    """A hidden name beside `target` that no other process writes to; what dead ones left of theirs is removed."""
    # A file's name may not be longer than 255 bytes.
    begin, here = (
        f".{target.name.encode()[:100].decode(errors='ignore')}.{platform.node()[:60]}-",
        f"{os.getpid()}-{uuid.uuid4().hex[:8]}.partial",
    )
    for leftover in target.parent.glob(f"{glob.escape(begin)}*.partial"):
        process = leftover.name.removeprefix(begin).partition("-")[0]
        if process.isdigit() and not _runs(int(process)):
            with suppress(OSError):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    return target.with_name(begin + here)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Waits until no other process moves folders within `folder`, where its file system has locks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _put_back(old: Path, target: Path) -> None:
    """Undoes the first of two moves where the second never came."""
    if old.exists() and not target.exists():
        old.replace(target)
