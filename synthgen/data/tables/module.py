"""A real table on its way into training."""

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from synthgen.data.fingerprint import fingerprint
from synthgen.data.module import DataModule, limited_rows, split_rows
from synthgen.data.tables.codec import TableCodec
from synthgen.data.tables.delimited import dialect_of
from synthgen.data.tables.schema import infer_schema
from synthgen.data.tables.sources import reader_of
from synthgen.data.tables.streamed import StreamedTable
from synthgen.data.tables.wishes import Wishes, read_constraints, read_schema
from synthgen.errors import SynthgenError, nearest

__all__ = ["TableDataModule"]

# Rows of each part that are read into memory of a table that stays in its files, for what compares rows.
_COMPARED = 200_000


class TableDataModule(DataModule):
    """A table from any source, split into training, validation and holdout rows.

    Attributes:
        target: The column that a downstream model would predict, which a schema file may name as well.
        sensitive: Columns that a schema file names so.
        entities: Of each row, by its index, the number of the entity that `split_by` names; None without.

    Args:
        source: A function that returns the table; it is handed `path` where that is given.
        path: Where the table is.
        target: The column that a downstream model would predict: the report's utility figures need it.
        holdout: Share of rows kept from training for evaluation, or the path of a table that holds them.
        validation: Share of the other rows that training is watched on.
        split_by: A column that names an entity, such as a patient, whose rows stay on one side of every split. It is an
            identifier and is not learned.
        schema: A schema file, as `synthgen inspect` writes it, or what one says: what the columns are, where inference
            is to be told.
        constraints: What rows obey and samples shall, each as in a schema file, whose own come first.
        rare_below: Values that fewer rows have are not kept: words become "(rare)", numbers the nearest kept one or a
            mean of so many. By default all are kept.
        limit: Number of rows to take, drawn by `seed`; by default all of them.
        streamed: Whether the table stays in its files, where memory holds its codes and a column at a time; None where
            the table takes more memory than there is. Schema, codec and codes are the same to the bit.
        batch_size: Rows a batch, on each device.
        seed: Of the splits and of the order of batches.
        name: In run folders and reports; by default the file's.
    """

    def __init__(
        self,
        source: Callable[..., pd.DataFrame],
        path: str | None = None,
        target: str | None = None,
        schema: str | Path | Mapping[str, Any] | None = None,
        constraints: Sequence[Mapping[str, Any]] = (),
        rare_below: int | None = None,
        holdout: float | str = 0.1,
        validation: float = 0.05,
        limit: int | None = None,
        streamed: bool | None = None,
        split_by: str | None = None,
        batch_size: int = 1024,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(batch_size, seed)
        for key, share in {"holdout": holdout, "validation": validation}.items():
            if not isinstance(share, str) and not 0 <= share < 1:
                raise SynthgenError(f"data.{key}: found {share}, expected a share from 0 to below 1")
        self.source = source
        self.path = path
        self.target = target
        self.schema = schema
        if rare_below is not None and rare_below < 2:
            raise SynthgenError(f"data.rare_below: found {rare_below}, expected a number of rows from 2, or null")
        self.rare_below = rare_below or 0
        self.sensitive: tuple[str, ...] = ()
        self._wishes = Wishes() if schema is None else read_schema(schema)
        self._constraints = (*self._wishes.constraints, *read_constraints(constraints, "data"))
        self.holdout_share = holdout
        self.validation_share = validation
        self.split_by = split_by
        self.name = name or (Path(path).stem if path else str(getattr(source, "__name__", "table")))
        self.limit = limit
        self.streamed = streamed
        self.entities: pd.Series | None = None
        # Of a table that stays in its files: the rows that training learns from, and those that it may see, in order.
        self._streamed: tuple[StreamedTable, StreamedTable] | None = None
        self._loaded = False

    def read(self) -> pd.DataFrame:
        """See `DataModule.read`; a source that can take some of its rows by itself does."""
        if self.limit is not None and self.path is not None and "limit" in signature(self.source).parameters:
            return self.source(self.path, limit=self.limit, seed=self.seed)
        frame = super().read()
        return frame.iloc[limited_rows(len(frame), self.limit, self.seed)]

    def load(self) -> None:
        """Reads the table, splits it, infers its schema and fits the codec to what training may see.

        Raises:
            SynthgenError: The source, the schema, the target or the splitting column is at fault.
        """
        if self._loaded:
            return
        table = self._table()
        if isinstance(table, StreamedTable):
            table.check_room()
        dialect = dialect_of(table)
        groups = np.arange(len(table))
        if self.split_by is not None:
            if self.split_by not in table.columns:
                raise SynthgenError(
                    f"data.split_by: {self.split_by!r} is not a column: "
                    f"{nearest(self.split_by, table.columns, what='columns are')}"
                )
            groups = pd.factorize(table[self.split_by], use_na_sentinel=False)[0]
            table = table.drop(columns=[self.split_by])
            self.entities = pd.Series(groups)
        separate = isinstance(self.holdout_share, str)
        share = 0.0 if isinstance(self.holdout_share, str) else self.holdout_share
        parts = split_rows(groups, share, self.validation_share, self.seed)
        train, validation, _ = parts
        seen = table.take(np.sort(np.concatenate([train, validation])))
        learned = infer_schema(seen, self.target, self._wishes, self.rare_below)
        self.target, self.sensitive = learned.target, self._wishes.sensitive
        self.codec = TableCodec.fit(seen, learned, self.rare_below, self._constraints, dialect)
        table = table.drop(columns=[name for name in table.columns if name not in learned.names])
        if isinstance(table, StreamedTable):
            layout = self.codec.layout
            table.check_room((layout.numerical + layout.categorical) * len(train) / len(table))
            self._streamed = (table.take(train), table.take(np.concatenate([train, validation])))
            compared = table.in_memory([part[limited_rows(len(part), _COMPARED, self.seed)] for part in parts])
            warnings.warn(
                f"{self.path}: the table stays in its files, of which a column at a time is read; training learns from "
                f"{len(train):,} rows, of which evaluation compares {len(compared[0]):,}",
                stacklevel=2,
            )
        else:
            compared = [table.iloc[part] for part in parts]
        self.train = compared[0]
        self.validation, self.holdout = (part if len(part) else None for part in compared[1:])
        if separate:
            self.holdout = self._separate_holdout(str(self.holdout_share))
        self._loaded = True

    @property
    def training_rows(self) -> int:
        """See `DataModule.training_rows`; of a table that stays in its files, `train` is a part of them."""
        return len(self.train) if self._streamed is None else len(self._streamed[0])

    def training_tensors(self) -> dict[str, Tensor]:
        """See `DataModule.training_tensors`."""
        return super().training_tensors() if self._streamed is None else self._codes

    @cached_property
    def _codes(self) -> dict[str, Tensor]:
        """Of all training rows: encoding reads the whole of their files."""
        assert self._streamed is not None
        return self.codec.encode(self._streamed[0])

    def _table(self) -> pd.DataFrame | StreamedTable:
        """The rows that are to be split; a source that can take some of them, or leave them in place, does."""
        can = signature(self.source).parameters if self.path is not None else {}
        if self.streamed and "streamed" not in can:
            raise SynthgenError("data.streamed: this source reads a table whole; expected data=parquet, or null")
        if "streamed" in can:
            table = self.source(self.path, limit=self.limit, seed=self.seed, streamed=self.streamed)
        else:
            table = self.read()
        return table if isinstance(table, StreamedTable) else table.rename(columns=str).reset_index(drop=True)

    def _separate_holdout(self, path: str) -> pd.DataFrame:
        reader = reader_of(path)
        takes_some = self._streamed is not None and "limit" in signature(reader).parameters
        holdout = reader(path, limit=_COMPARED, seed=self.seed) if takes_some else reader(path)
        for name in self.codec.schema.names:
            if name not in holdout.columns:
                raise SynthgenError(f"{path}: lacks column {name!r}; {nearest(name, holdout.columns, what='it has')}")
        return holdout[self.codec.schema.names]

    @property
    def fingerprint(self) -> str:
        """A hash of the rows that training may see, their order included, and of what a schema file says of them."""
        said: list[Any] = []
        if self._wishes.columns:
            said = [self._wishes.target, dict(self._wishes.columns)]
        if self._constraints:
            said.append([str(constraint) for constraint in self._constraints])
        if not said:
            return self._content
        return hashlib.sha256(f"{self._content} {json.dumps(said, sort_keys=True)}".encode()).hexdigest()

    @cached_property
    def _content(self) -> str:
        return fingerprint(self.train, self.validation) if self._streamed is None else fingerprint(self._streamed[1])
