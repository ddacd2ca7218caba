"""A hash of real or synthetic data's content: the same data, wherever it lies, has the same one."""

import hashlib

import numpy as np
import pandas as pd

from synthgen.data.images.images import Images
from synthgen.data.tables.streamed import StreamedTable

__all__ = ["fingerprint"]


def fingerprint(*parts: pd.DataFrame | StreamedTable | Images | None) -> str:
    """Hexadecimal SHA-256 of rows, their order and index included, or of images and their labels; None adds nothing.

    Rows that stay in their files have the one that they have in memory.
    """
    digest = hashlib.sha256()
    tables = [part for part in parts if isinstance(part, pd.DataFrame)]
    if tables:
        seen = pd.concat(tables) if len(tables) > 1 else tables[0]
        digest.update("\x1f".join(map(str, seen.columns)).encode())
        digest.update(pd.util.hash_pandas_object(seen, index=True).to_numpy().tobytes())
    for part in parts:
        if isinstance(part, StreamedTable):
            digest.update("\x1f".join(part.columns).encode())
            digest.update(_row_hashes(part).tobytes())
        if isinstance(part, Images):
            digest.update(np.ascontiguousarray(part.pixels).data)
            digest.update(b"" if part.labels is None else part.labels.tobytes())
            digest.update(b"" if part.attributes is None else np.ascontiguousarray(part.attributes).data)
    return digest.hexdigest()


def _row_hashes(table: StreamedTable) -> np.ndarray:
    """(rows,) what `pandas.util.hash_pandas_object` gives of these rows in memory; a column at a time.

    As it mixes columns, so does CPython the items of a tuple (Objects/tupleobject.c of version 3.7).
    """
    hashes, factor, modulus = np.full(len(table), 0x345678, dtype=np.uint64), 1000003, 2**64
    for left in range(len(table.columns), -1, -1):
        values = table[table.columns[-left]] if left else table.index
        hashes ^= pd.util.hash_pandas_object(values, index=False).to_numpy()
        hashes *= np.uint64(factor)
        factor = (factor + 82520 + 2 * (left + 1)) % modulus
    return hashes + np.uint64(97531)
