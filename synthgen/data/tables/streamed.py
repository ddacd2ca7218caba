"""Tables that memory does not hold: they stay in their files, of which a column at a time is read."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import overload

import numpy as np
import pandas as pd

from synthgen.errors import SynthgenError

__all__ = ["StreamedTable", "Table", "memory"]

# Bytes a row beside the codes: of one column while it is fitted, of the split, and of the order of an epoch.
_BESIDE = 150
_CODE = 4
_CGROUPS = Path("/sys/fs/cgroup")


class StreamedTable:
    """Rows of a table that stays in its files.

    It answers as a DataFrame to those who go through a table column by column: schema, codec and constraints. What
    `table[name]` gives is to the bit the column of the same rows of the whole table in memory; it is read anew each
    time, and nothing of it is kept.

    Args:
        where: The file or folder, for messages.
        columns: Names of the columns.
        rows: Places of the rows among all that `read` gives, of which they are the index.
        read: The whole of a column, by its name.
        made: Columns that are none of the files', and are in memory.
    """

    def __init__(
        self,
        where: Path,
        columns: Sequence[str],
        rows: np.ndarray,
        read: Callable[[str], pd.Series],
        made: Mapping[str, pd.Series] | None = None,
    ) -> None:
        self.where = where
        self.columns = list(columns)
        self._rows = rows
        self._read = read
        self._made = dict(made or {})

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def index(self) -> pd.Index:
        """Places of the rows in the whole table."""
        return pd.Index(self._rows)

    @overload
    def __getitem__(self, asked: str) -> pd.Series: ...
    @overload
    def __getitem__(self, asked: list[str]) -> pd.DataFrame: ...
    def __getitem__(self, asked: str | list[str]) -> pd.Series | pd.DataFrame:
        if isinstance(asked, list):
            return pd.DataFrame({name: self[name] for name in asked}, index=self.index)
        return self._made[asked] if asked in self._made else self._read(asked).iloc[self._rows]

    def take(self, rows: np.ndarray) -> "StreamedTable":
        """Some of the rows, by their places among these."""
        made = {name: values.iloc[rows] for name, values in self._made.items()}
        return StreamedTable(self.where, self.columns, self._rows[rows], self._read, made)

    def drop(self, columns: Sequence[str]) -> "StreamedTable":
        """All columns but these."""
        kept = [name for name in self.columns if name not in columns]
        return StreamedTable(self.where, kept, self._rows, self._read, self._made)

    def assign(self, **made: pd.Series) -> "StreamedTable":
        """With further columns, in the order of the rows."""
        return StreamedTable(self.where, [*self.columns, *made], self._rows, self._read, {**self._made, **made})

    def in_memory(self, parts: Sequence[np.ndarray]) -> list[pd.DataFrame]:
        """Some of the rows, by their places among these, in one reading."""
        frame = self.take(np.concatenate(parts))[self.columns]
        return [
            frame.iloc[end - len(part) : end] for part, end in zip(parts, np.cumsum([*map(len, parts)]), strict=True)
        ]

    def check_room(self, codes: float | None = None) -> None:
        """Makes sure that memory holds so many codes a row, and what making them takes besides.

        Args:
            codes: Of all rows, the mean; None while no column has been read, of which each then counts for one.

        Raises:
            SynthgenError: It does not; the message says how many rows it would be enough for.
        """
        needed, there = len(self) * (_CODE * (len(self.columns) if codes is None else codes) + _BESIDE), memory()
        if there < (len(self) * _BESIDE if codes is None else needed):  # who knows what columns are left out
            raise SynthgenError(
                f"{self.where}: found {len(self):,} rows, of which the codes and one column at a time take "
                f"{needed / 2**30:,.1f} GiB, more than this machine's memory of {there / 2**30:,.1f} GiB; "
                f"data.limit={int(0.9 * len(self) * there / needed)} learns from so many, drawn by data.seed"
            )


#: What schema, codec and constraints go through column by column.
Table = pd.DataFrame | StreamedTable


def memory() -> int:
    """Bytes of memory that this process may use: those of the machine, or of its container or batch job if fewer."""
    return min(
        [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_limits(Path("/proc/self/cgroup"), _CGROUPS)]
    )


def _limits(own: Path, cgroups: Path) -> list[int]:
    """Limits of Linux's control groups that this process is in, of either version; none elsewhere.

    Args:
        own: Which groups these are, a line a hierarchy: "0::/job/step", or of version 1 "4:memory:/job/step".
        cgroups: Where groups are folders.
    """
    found = []
    for line in own.read_text().splitlines() if own.is_file() else []:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root, name = (cgroups / "memory", "memory.limit_in_bytes") if controllers else (cgroups, "memory.max")
        # A group has the limits of those that it is in; a container may see its own as the outermost.
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            limit = folder / name
            said = limit.read_text().strip() if limit.is_file() else "max"
            found += [int(said)] if said.isdigit() else []
    return found
