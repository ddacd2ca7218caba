"""Metrics as one CSV file that restarts append to."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pandas as pd
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from synthgen.files import replacing

__all__ = ["CSVLogger"]


class CSVLogger(Logger):
    """Appends one row a call to `metrics.csv`: `samples_seen`, then one column a metric.

    Lightning's logger of this name deletes the file when a run starts again.

    Args:
        save_dir: The run folder.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__()
        self.path = Path(save_dir) / "metrics.csv"

    @property
    def name(self) -> str:
        """Of the logger."""
        return "csv"

    @property
    def version(self) -> str:
        """One file for all restarts."""
        return ""

    @rank_zero_only
    def rewind(self, samples_seen: int) -> None:
        """Takes back the rows beyond a number of examples, and a last one that was cut while it was written.

        Every other row stays as it is, to the byte.
        """
        if not self.path.exists():
            return
        header, *rows = self.path.read_text().splitlines(keepends=True) or [""]
        kept = [row for row in rows if row.endswith("\n") and int(row.partition(",")[0]) <= samples_seen]
        with replacing(self.path) as partial:
            partial.write_text("".join([header, *kept]))

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder holds the config."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends a row; a metric that is new to the file gets a column."""
        row = pd.DataFrame([{"samples_seen": step, **metrics}])
        if not self.path.exists():
            with replacing(self.path) as partial:
                row.to_csv(partial, index=False)
            return
        header = pd.read_csv(self.path, nrows=0).columns
        if set(row.columns) <= set(header):
            row.reindex(columns=header).to_csv(self.path, mode="a", header=False, index=False)
        else:
            with replacing(self.path) as partial:
                pd.concat([pd.read_csv(self.path, dtype=str, keep_default_na=False), row]).to_csv(partial, index=False)
