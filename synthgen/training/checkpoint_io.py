"""Checkpoint files that are whole or not there."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from synthgen.files import replacing

__all__ = ["AtomicCheckpointIO"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, syncs to disk, and renames.

    Lightning stages in the temporary directory, which may be another file system, and does not sync.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Saves training state; an interruption leaves the previous file."""
        with replacing(Path(path)) as partial:
            torch.save(checkpoint, partial)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Loads training state: tensors and plain values, nothing executable."""
        return super().load_checkpoint(os.fspath(path), map_location=map_location, weights_only=True)
