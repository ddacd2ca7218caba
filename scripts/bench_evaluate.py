"""Seconds of each part of a report, and its peak memory, on a million rows of 30 columns against a million.

The rows are Adult's, drawn with replacement, numbers shaken a little, with every column a second time in another order:
15 columns that belong together, and 15 that belong to none of these. Arguments: rows=1000000 holdout=100000.
"""

import os
import resource
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from synthgen.evaluation import evaluate


def drawn(source: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """So many rows of 30 columns."""
    random = np.random.default_rng(seed)
    halves = []
    for suffix in ("", "_2"):
        frame = source.iloc[random.integers(len(source), size=rows)].reset_index(drop=True)
        for name in frame.columns:
            if pd.api.types.is_numeric_dtype(frame[name]):
                frame[name] = (frame[name] * random.normal(1, 0.01, rows)).round(1)
        halves.append(frame.add_suffix(suffix))
    return pd.concat(halves, axis=1)


def main() -> None:
    """Runs the report once and prints what it took."""
    given = dict(argument.split("=") for argument in sys.argv[1:])
    rows, holdout = int(given.get("rows", 1_000_000)), int(given.get("holdout", 100_000))
    source = pd.read_csv(Path(os.environ["SYNTHGEN_DATA"]) / "tables" / "adult" / "train.csv")
    sides = [drawn(source, count, seed) for seed, count in enumerate((rows, rows, holdout))]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    parts: list[tuple[str, float]] = []
    begun = time.monotonic()
    report = evaluate(
        real=sides[0],
        synthetic=sides[1],
        holdout=sides[2],
        target="income",
        sensitive=["sex", "race"],
        progress=lambda part, _: parts.append((part, time.monotonic())),
    )
    report.to_html("outputs/bench_evaluate.html")
    ended = time.monotonic()
    table = Table(title=f"a report on {rows:,} × 30 against {rows:,}, holdout {holdout:,}", title_justify="left")
    table.add_column("part")
    table.add_column("seconds", justify="right")
    for (part, at), (_, after) in pairwise([*parts, ("", ended)]):
        table.add_row(part, f"{after - at:.1f}")
    table.add_section()
    table.add_row("all, hashes of the data included", f"{ended - begun:.1f}")
    console = Console(highlight=False)
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    console.print(f"peak memory {peak / 2**20:.1f} GiB, {before / 2**20:.1f} of them the tables before it began")


if __name__ == "__main__":
    main()
