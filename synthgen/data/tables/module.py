"""A real table on its way into training."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.fingerprint import fingerprint
from synthgen.data.module import DataModule, limited_rows, split_rows
from synthgen.data.tables.codec import TableCodec
from synthgen.data.tables.schema import infer_schema
from synthgen.data.tables.sources import read_table
from synthgen.data.tables.wishes import Wishes, read_constraints, read_schema
from synthgen.errors import SynthgenError, nearest

__all__ = ["TableDataModule"]


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
        self.entities: pd.Series | None = None
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
        frame = self.read()
        groups = np.arange(len(frame))
        if self.split_by is not None:
            if self.split_by not in frame.columns:
                raise SynthgenError(
                    f"data.split_by: {self.split_by!r} is not a column: "
                    f"{nearest(self.split_by, frame.columns, what='columns are')}"
                )
            groups = pd.factorize(frame[self.split_by], use_na_sentinel=False)[0]
            frame = frame.drop(columns=self.split_by)
            self.entities = pd.Series(groups)
        frame = frame.rename(columns=str).reset_index(drop=True)
        separate = isinstance(self.holdout_share, str)
        share = 0.0 if isinstance(self.holdout_share, str) else self.holdout_share
        train, validation, holdout = split_rows(groups, share, self.validation_share, self.seed)
        seen = frame.iloc[np.sort(np.concatenate([train, validation]))]
        learned = infer_schema(seen, self.target, self._wishes, self.rare_below)
        self.target, self.sensitive = learned.target, self._wishes.sensitive
        self.codec = TableCodec.fit(seen, learned, self.rare_below, self._constraints)
        frame = frame[learned.names]
        self.train = frame.iloc[train]
        self.validation = frame.iloc[validation] if len(validation) else None
        self.holdout = frame.iloc[holdout] if len(holdout) else None
        if separate:
            self.holdout = read_table(str(self.holdout_share))
            for name in self.codec.schema.names:
                if name not in self.holdout.columns:
                    raise SynthgenError(
                        f"{self.holdout_share}: lacks column {name!r}; "
                        f"{nearest(name, self.holdout.columns, what='it has')}"
                    )
            self.holdout = self.holdout[self.codec.schema.names]
        self._loaded = True

    @property
    def fingerprint(self) -> str:
        """A hash of the rows that training may see, their order included, and of what a schema file says of them."""
        content = fingerprint(self.train, self.validation)
        said: list[Any] = []
        if self._wishes.columns:
            said = [self._wishes.target, dict(self._wishes.columns)]
        if self._constraints:
            said.append([str(constraint) for constraint in self._constraints])
        if not said:
            return content
        return hashlib.sha256(f"{content} {json.dumps(said, sort_keys=True)}".encode()).hexdigest()
