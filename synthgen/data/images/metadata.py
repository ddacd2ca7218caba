"""What a folder tells of its images in `metadata.csv` or `metadata.jsonl`: a label, and attributes."""

from pathlib import Path

import numpy as np
import pandas as pd

from synthgen.errors import SynthgenError, nearest

__all__ = ["FILE", "LABEL", "OWN", "Metadata", "metadata_of"]

#: The column that names an image's file, relative to the folder, and the one that names its class.
FILE, LABEL = "file_name", "label"
#: What columns begin with that say how an image was made: no attributes.
OWN = "synthgen_"


class Metadata:
    """A table with a row an image, as Hugging Face's `imagefolder` reads it.

    Every other column is an attribute, numbers, or what is true or false, but for those that say how samples were made.

    Args:
        table: Its rows.
        where: Its path, for messages.

    Raises:
        SynthgenError: No column of files, a file that is named twice or lies outside of the folder, a label that is
            missing, or an attribute that is no number.
    """

    def __init__(self, table: pd.DataFrame, where: Path) -> None:
        table = table.rename(columns=str)
        if FILE not in table:
            expected = nearest(FILE, table.columns, what="it has")
            raise SynthgenError(f"{where}: lacks a column {FILE!r}, which names an image's file; {expected}")
        files = table.pop(FILE).astype(str)
        for file in files:
            if Path(file).is_absolute() or ".." in Path(file).parts:
                raise SynthgenError(f"{where}: {file!r} leads out of the folder; expected a path within it")
        if files.duplicated().any():
            twice = files[files.duplicated()].iloc[0]
            raise SynthgenError(f"{where}: {twice!r} is named twice; expected a row an image")
        self.files = files.tolist()
        self.where = where
        self.labels: list[str] | None = None
        if LABEL in table:
            labels = table.pop(LABEL)
            if labels.isna().any():
                without = files[labels.isna()].iloc[0]
                raise SynthgenError(f"{where}: {without!r} has no label; expected one for each image")
            self.labels = labels.astype(str).tolist()
        self.names = tuple(name for name in table.columns if not name.startswith(OWN))
        self.attributes = np.empty((len(files), len(self.names)), dtype=np.float32)
        for i, name in enumerate(self.names):
            self.attributes[:, i] = _numbers(table[name], f"{where}: column {name!r}")


def metadata_of(folder: Path) -> Metadata | None:
    """What a folder's `metadata.csv` or `metadata.jsonl` says; None where there is neither.

    Raises:
        SynthgenError: Both are there, or it is damaged; see `Metadata`.
    """
    found = [file for file in (folder / "metadata.csv", folder / "metadata.jsonl") if file.is_file()]
    if len(found) > 1:
        raise SynthgenError(f"{folder}: found metadata.csv and metadata.jsonl; expected one of them")
    if not found:
        return None
    try:
        if found[0].suffix == ".csv":
            table = pd.read_csv(found[0], dtype={FILE: str, LABEL: str}, keep_default_na=False, na_values=[""])
        else:
            table = pd.read_json(found[0], lines=True, dtype={FILE: str, LABEL: str})
    except (ValueError, UnicodeDecodeError) as error:
        raise SynthgenError(f"{found[0]}: not readable: {error}") from None
    return Metadata(table, found[0])


def _numbers(values: pd.Series, where: str) -> np.ndarray:
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(dtype=np.float32, na_value=np.nan)
    words = values.map({"true": 1.0, "false": 0.0, "True": 1.0, "False": 0.0, True: 1.0, False: 0.0})
    if (strange := words.isna() & values.notna()).any():
        raise SynthgenError(
            f"{where}: found {values[strange].iloc[0]!r}; an attribute is a number, or true or false; a word is a label"
        )
    return words.to_numpy(dtype=np.float32)
