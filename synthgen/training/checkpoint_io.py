"""Checkpoint files that are whole or not there."""

import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from synthgen.errors import SynthgenError
from synthgen.files import no_space, replacing
from synthgen.training.seal import seal

__all__ = ["AtomicCheckpointIO"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, adds a checksum, syncs to disk, and renames.

    Lightning stages in the temporary directory, which may be another file system, and does not sync.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Saves training state; an interruption leaves the previous file.

        Raises:
            SynthgenError: The disk is full, or the folder cannot be written to.
        """
        try:
            with replacing(Path(path)) as partial:
                _write(checkpoint, partial)
        except OSError as error:
            raise _unsaved(path, error.strerror or str(error)) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Loads training state: tensors and plain values, nothing executable.

        Raises:
            SynthgenError: The file holds something else, or is damaged.
        """
        try:
            return super().load_checkpoint(os.fspath(path), map_location=map_location, weights_only=True)
        except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            raise SynthgenError(
                f"{path}: not a checkpoint of tensors and plain values; nothing was run: {lines[0]}"
            ) from error


def _write(checkpoint: dict[str, Any], partial: Path) -> None:
    try:
        torch.save(checkpoint, partial)
        seal(partial)
    except (OSError, RuntimeError) as error:
        # PyTorch's writer tells of a full disk by a RuntimeError without a number. What is left must be looked at here,
        # while the file that did not fit is still there.
        if isinstance(error, RuntimeError) and "inline_container" not in str(error):
            raise
        raise _unsaved(partial, no_space(partial.parent) or str(error).splitlines()[0]) from error


def _unsaved(path: str | Path, reason: str) -> SynthgenError:
    return SynthgenError(f"{path}: cannot be saved: {reason}; the checkpoint before it is intact")
