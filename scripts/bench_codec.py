"""Time and peak memory of fitting, encoding and decoding a table of 30 columns; called by scripts/bench_codec."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HEADS = "    infer      fit   encode   decode"
ROWS = (10_000, 100_000, 1_000_000, 10_000_000)


def table(rows: int) -> pd.DataFrame:
    """10 numbers, 5 discrete numbers, 10 columns of words, 2 of dates, 2 more numbers and 1 boolean; cells missing."""
    rng = np.random.default_rng(0)
    columns: dict[str, pd.Series] = {}
    for i in range(12):
        columns[f"number {i}"] = pd.Series(rng.gamma(2, 10 + i, rows)).round(2).mask(rng.random(rows) < 0.02 * (i % 3))
    for i in range(5):
        columns[f"count {i}"] = pd.Series(rng.integers(0, 10 * (i + 1), rows))
    for i in range(10):
        words = np.array([f"word {k}" for k in range(2 ** (i + 2))])
        columns[f"word {i}"] = pd.Series(rng.choice(words, rows), dtype="category").astype("str")
    for i in range(2):
        seconds = rng.integers(0, 10**8, rows) // (1 if i else 86400) * (1 if i else 86400)
        columns[f"date {i}"] = pd.Series(seconds.astype("datetime64[s]")).mask(rng.random(rows) < 0.01)
    columns["flag"] = pd.Series(rng.random(rows) < 0.3)
    return pd.DataFrame(columns)


def measure(rows: int) -> None:
    """Prints one line, of a process of its own."""
    from synthgen.data.tables.codec import TableCodec
    from synthgen.data.tables.schema import infer_schema

    frame = table(rows)
    size = frame.memory_usage(deep=True).sum() / 2**30
    seconds, beyond = [], []

    def timed(work: Callable[..., Any], *of: Any) -> Any:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        begun, before = time.perf_counter(), _memory("VmRSS")
        made = work(*of)
        seconds.append(time.perf_counter() - begun)
        beyond.append(_memory("VmHWM") - before)
        return made

    schema = timed(infer_schema, frame)
    codec = timed(TableCodec.fit, frame, schema)
    encoded = timed(codec.encode, frame)
    del frame
    timed(codec.decode, encoded)
    tensors = sum(tensor.nbytes for tensor in encoded.values()) / 2**30
    spent, peaks = ("".join(f"{value:9.2f}" for value in values) for values in (seconds, beyond))
    print(f"{rows:>11,}{spent}   {peaks}   {size:8.2f} {tensors:8.2f}", flush=True)


def _memory(which: str) -> float:
    """GiB of this process: `VmRSS` now, `VmHWM` at most."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return int(line.split()[1]) / 2**20


if __name__ == "__main__":
    if len(sys.argv) > 2:
        measure(int(sys.argv[2]))
    else:
        most = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS[-1]
        print("            s" + 34 * " " + "GiB beyond what was there before")
        print(f"{'rows':>11}{HEADS}   {HEADS}      table  tensors")
        for rows in (rows for rows in ROWS if rows <= most):
            subprocess.run([sys.executable, __file__, "one", str(rows)], check=True)
