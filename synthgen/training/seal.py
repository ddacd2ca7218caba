"""A checksum within a checkpoint file, so that the two can never part.

PyTorch's file format is a zip archive, and a zip archive ends with a comment. The seal is that comment: the SHA-256 of
every byte before it. A sealed file is read by `torch.load` as any other.
"""

import re
import struct
from pathlib import Path

from synthgen.files import sha256

__all__ = ["fault_of", "seal"]

# The last record of a zip archive: its signature, 16 bytes of counts and offsets, and the length of the comment.
_END = b"PK\x05\x06"
_END_BYTES = 22
_LENGTH_BYTES = 2
_COMMENT = b"sha256:%s"
_COMMENT_BYTES = len(_COMMENT % (b"0" * 64))


def seal(file: Path) -> None:
    """Adds to a zip archive without a comment the checksum of its content.

    Raises:
        ValueError: The file is not such an archive.
    """
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(max(0, size - _END_BYTES))
        end = opened.read()
        if end[: len(_END)] != _END or end[-_LENGTH_BYTES:] != b"\0\0":
            raise ValueError(f"{file}: not a zip archive without a comment")
        digest = sha256(file, size - _LENGTH_BYTES)
        opened.seek(size - _LENGTH_BYTES)
        opened.write(struct.pack("<H", _COMMENT_BYTES) + _COMMENT % digest.encode())


def fault_of(file: Path) -> str | None:
    """What is wrong with a sealed file, in a few words; None when every byte is as it was written.

    Nothing of the content is interpreted.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            opened.seek(max(0, size - _COMMENT_BYTES))
            comment = opened.read()
        if not re.fullmatch(rb"sha256:[0-9a-f]{64}", comment):
            return "truncated, or written by an older synthgen"
        found = sha256(file, size - _COMMENT_BYTES - _LENGTH_BYTES)
    except OSError as error:
        return error.strerror or str(error)
    return None if _COMMENT % found.encode() == comment else "damaged: its content is not what was written"
