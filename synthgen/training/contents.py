"""What is inside checkpoints, and whether it is as it was written; nothing of them is loaded."""

import json
import struct
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from synthgen.errors import SynthgenError

__all__ = ["TensorEntry", "archive_records", "read_tensor_entries"]

# The format's own limit on its header (safetensors 0.4).
_MAX_HEADER = 100_000_000


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a safetensors file.

    Attributes:
        name: As in the model's state.
        dtype: As the format writes it: "F32", "BF16", "I64".
        shape: Its size.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of them."""
        return prod(self.shape)


def read_tensor_entries(file: Path) -> list[TensorEntry]:
    """Names, types and shapes from the header of a safetensors file, which is JSON; the tensors are not read.

    Raises:
        SynthgenError: The file is no such file, or is truncated.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > min(size, _MAX_HEADER):
                raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
            header: dict[str, Any] = json.loads(opened.read(length))
        entries = [
            TensorEntry(str(name), str(entry["dtype"]), tuple(int(n) for n in entry["shape"]))
            for name, entry in header.items()
            if name != "__metadata__"
        ]
        end = max(
            (int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"), default=0
        )
    except (struct.error, ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError) as error:
        raise SynthgenError(f"{file}: not a safetensors file, or damaged: {error}") from None
    if 8 + length + end != size:
        raise SynthgenError(f"{file}: truncated: found {size:,} bytes, its header says {8 + length + end:,}")
    return entries


def archive_records(file: Path) -> list[tuple[str, int]]:
    """Names and sizes of the records of a training checkpoint, from its zip directory; none is unpacked or unpickled.

    Raises:
        SynthgenError: The file is no such archive.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return [(record.filename, record.file_size) for record in archive.infolist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise SynthgenError(f"{file}: not a training checkpoint, or truncated: {error}") from None
