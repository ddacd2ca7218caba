"""Time and peak memory of fitting, encoding and decoding a table of 30 columns; called by scripts/bench_codec."""

import resource
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pandas as pd

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
    """Prints one line, of a process of its own, whose peak is then that of these rows."""
    from synthgen.data.tables.codec import TableCodec
    from synthgen.data.tables.schema import infer_schema

    frame = table(rows)
    before = _peak()
    marks = [time.perf_counter()]
    schema = infer_schema(frame)
    marks.append(time.perf_counter())
    codec = TableCodec.fit(frame, schema)
    marks.append(time.perf_counter())
    encoded = codec.encode(frame)
    marks.append(time.perf_counter())
    at_encode = _peak()
    if rows <= 1_000_000:  # what is sampled is decoded block by block
        codec.decode(encoded)
    marks.append(time.perf_counter())
    spent = " ".join(f"{b - a:9.2f}" for a, b in pairwise(marks))
    print(f"{rows:>11,} {spent}   {before:8.2f} {at_encode:8.2f}", flush=True)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    if len(sys.argv) > 2:
        measure(int(sys.argv[2]))
    else:
        most = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS[-1]
        print("       rows     infer       fit    encode    decode (s)  table, peak (GiB)")
        for rows in (rows for rows in ROWS if rows <= most):
            subprocess.run([sys.executable, __file__, "one", str(rows)], check=True)
