"""A hash of real or synthetic data's content: the same data, wherever it lies, has the same one."""

import hashlib

import numpy as np
import pandas as pd

from synthgen.data.images.images import Images

__all__ = ["fingerprint"]


def fingerprint(*parts: pd.DataFrame | Images | None) -> str:
    """Hexadecimal SHA-256 of rows, their order and index included, or of images and their labels; None adds nothing."""
    digest = hashlib.sha256()
    tables = [part for part in parts if isinstance(part, pd.DataFrame)]
    if tables:
        seen = pd.concat(tables) if len(tables) > 1 else tables[0]
        digest.update("\x1f".join(map(str, seen.columns)).encode())
        digest.update(pd.util.hash_pandas_object(seen, index=True).to_numpy().tobytes())
    for part in parts:
        if isinstance(part, Images):
            digest.update(np.ascontiguousarray(part.pixels).data)
            digest.update(b"" if part.labels is None else part.labels.tobytes())
    return digest.hexdigest()
