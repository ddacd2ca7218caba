"""Time and peak memory of fitting, encoding and decoding a table of 30 columns, and of learning from a folder of it.

Called by scripts/bench_codec.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

HEADS = "    infer      fit   encode   decode"
FOLDER_HEADS = "    load encode   peak"
ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
FILE_ROWS = 1_000_000


def table(rows: int, seed: int = 0) -> pd.DataFrame:
    """10 numbers, 5 discrete numbers, 10 columns of words, 2 of dates, 2 more numbers and 1 boolean; cells missing."""
    rng = np.random.default_rng(seed)
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


def folder(path: Path, rows: int) -> None:
    """Writes the table as Parquet files of a million rows."""
    for i, begin in enumerate(range(0, rows, FILE_ROWS)):
        table(min(FILE_ROWS, rows - begin), i).to_parquet(path / f"part-{i:04d}.parquet")


def measure_folder(path: str, streamed: bool) -> None:
    """Prints half a line, of a process of its own: how the table of a folder comes to be codes."""
    from synthgen.data.tables.module import TableDataModule
    from synthgen.data.tables.sources import read_parquet

    before, begun = _memory("VmRSS"), time.process_time()
    data = TableDataModule(read_parquet, path, streamed=streamed)
    data.load()
    assert data.fingerprint
    loaded = time.process_time()
    data.training_tensors()
    encoded = time.process_time()
    print(
        f"{loaded - begun:8.1f} {encoded - loaded:6.1f} {_memory('VmHWM') - before:6.2f}",
        end="\n" if streamed else "   ",
        flush=True,
    )


def _memory(which: str) -> float:
    """GiB of this process: `VmRSS` now, `VmHWM` at most."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return int(line.split()[1]) / 2**20


def main() -> None:
    """Every measurement in a process of its own, so that none begins with what another has left."""
    if len(sys.argv) > 3:
        measure_folder(sys.argv[2], sys.argv[3] == "streamed")
        return
    if len(sys.argv) > 2:
        measure(int(sys.argv[2]))
        return
    sizes = [rows for rows in ROWS if rows <= (int(sys.argv[1]) if len(sys.argv) > 1 else ROWS[-1])]
    print("            s" + 34 * " " + "GiB beyond what was there before")
    print(f"{'rows':>11}{HEADS}   {HEADS}      table  tensors")
    for rows in sizes:
        subprocess.run([sys.executable, __file__, "one", str(rows)], check=True)
    print("a folder of Parquet files on its way into training: seconds of processor time, twice, and GiB at most")
    print(f"{'':>11}    {'read whole':<20}     {'in its files':<20}")
    print(f"{'rows':>11}{FOLDER_HEADS}   {FOLDER_HEADS}")
    for rows in sizes:
        with TemporaryDirectory() as path:
            folder(Path(path), rows)
            print(f"{rows:>11,}", end="", flush=True)
            for how in ("whole", "streamed"):
                subprocess.run([sys.executable, "-W", "ignore", __file__, "folder", path, how], check=True)


if __name__ == "__main__":
    main()
