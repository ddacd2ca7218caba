"""Real or synthetic data from a file or folder, whatever it holds."""

from pathlib import Path

import pandas as pd

from synthgen.data.images.images import Images
from synthgen.data.images.sources import arrays, image_folder
from synthgen.data.tables.sources import is_table_folder, read_table

__all__ = ["read_data"]


def read_data(path: str) -> pd.DataFrame | Images:
    """A table from delimited text or Parquet, or images from .npz, .npy or a folder."""
    if Path(path).is_dir() and not is_table_folder(path):
        return image_folder(path)
    return arrays(path) if Path(path).suffix in (".npz", ".npy") else read_table(path)
