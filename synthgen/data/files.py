"""Real or synthetic data from a file or folder, whatever it holds."""

from pathlib import Path

import pandas as pd

from synthgen.data.images.images import Images
from synthgen.data.images.sources import arrays, image_folder
from synthgen.data.module import limited_rows
from synthgen.data.tables.sources import is_table_folder, read_table

__all__ = ["read_data"]


def read_data(path: str, limit: int | None = None, seed: int = 0) -> pd.DataFrame | Images:
    """A table from delimited text or Parquet, or images from .npz, .npy or a folder; or `limit` of it, drawn by `seed`.

    Raises:
        SynthgenError: The file is missing or no data, or the limit is below 1.
    """
    if Path(path).is_dir() and not is_table_folder(path):
        images = image_folder(path)
    elif Path(path).suffix in (".npz", ".npy"):
        images = arrays(path)
    else:
        return read_table(path, limit, seed)
    return images[limited_rows(len(images), limit, seed)]
