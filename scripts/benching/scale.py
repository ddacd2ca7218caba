"""How fitting grows with the size of a table: seconds and memory by rows and columns, each in a process of its own.

The clock times two fits of few examples, of which the longer one tells by how much it is longer what an example costs;
the rest is what the table costs before training: its schema, its codec and its codes.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scripts.benching.child import peak_memory
from scripts.benching.trial import ROOT, cpu_name
from synthgen.files import replacing

__all__ = ["measure_all", "scale_page", "table"]

RESULTS = ROOT / "docs/benchmarks/results/scale.json"
ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
COLUMNS = (10, 100, 500)
MODELS = ("argn", "tabdiff")
# Cells of the largest table: more of them, as 64-bit numbers and words, are not for the memory of small machines.
MOST = 100_000_000
# Of the first fit, and of the second one besides, divided by the number of columns; of few rows twenty epochs. Where
# that takes less than half of the first one's time, which chance may change by as much, four times as many.
FIRST, MORE = 20_480, 2_048_000
# Different words of a column, in its own rows of the page.
WORDS = (1_000, 10_000, 100_000, 1_000_000)


def table(rows: int, columns: int) -> pd.DataFrame:
    """Of three columns in ten words, of the others numbers, one in ten with missing cells; all of them dependent."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=rows)
    frame: dict[str, Any] = {}
    for i in range(columns):
        noisy = hidden + random.normal(size=rows)
        if i % 10 < 3:
            words = np.array([f"word {k}" for k in range(2 + 4 * (i % 10))])
            frame[f"word {i}"] = words[np.clip((noisy + 3) / 6 * len(words), 0, len(words) - 1).astype(int)]
        else:
            frame[f"number {i}"] = np.where(random.random(rows) < 0.1, np.nan, noisy) if i % 10 == 9 else noisy
    return pd.DataFrame(frame)


def with_words(rows: int, words: int) -> pd.DataFrame:
    """Ten columns, of which one has so many different words."""
    frame = table(rows, 10)
    codes = np.concatenate([np.arange(words), np.random.default_rng(1).integers(0, words, rows - words)])
    return frame.assign(code=pd.Series(np.array([f"code {k:07}" for k in range(words)], dtype=object)[codes]))


def measure_all(models: Sequence[str] = MODELS, rows: Sequence[int] = ROWS, tell: Any = print) -> None:
    """Measures what is not there yet, a process after the other, and keeps every result."""
    sizes = [(model, n, columns, 0) for n in rows for columns in COLUMNS for model in models if n * columns <= MOST]
    sizes += [("argn", 2_000_000, 10, words) for words in WORDS if 2_000_000 in rows or rows == ROWS]
    for model, n, columns, words in sizes:
        held = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
        key = {"model": model, "rows": n, "columns": columns, "words": words}
        if any(key.items() <= one.items() for one in held):
            continue
        command = [sys.executable, "-m", "scripts.benching.scale", json.dumps(key)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            tell(f"{key}: failed: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
            continue
        found = json.loads(done.stdout.strip().splitlines()[-1])
        tell(f"{model}, {n:,} × {columns}, {words:,} words: {found}")
        with replacing(RESULTS) as partial:
            partial.write_text(json.dumps([*held, {**key, **found, "cpu": cpu_name()}], indent=1) + "\n")


def measure(model: str, rows: int, columns: int, words: int) -> dict[str, Any]:
    """Fits twice, and says what an example and the table cost."""
    import torch

    from synthgen import api

    torch.set_num_threads(2)
    frame = with_words(rows, words) if words else table(rows, columns)
    before = peak_memory()
    overrides = ["callbacks=none", "trainer=cpu", "data.validation=0", "model.optimization.patience=null"]
    if model != "argn":
        overrides.pop()

    def fit(examples: int) -> float:
        begun = time.perf_counter()
        api.fit(frame, f"table/{model}", max_samples=examples, overrides=overrides)
        return time.perf_counter() - begun

    # A first fit, of few rows: what a process does once is not the table's.
    api.fit(frame[:2000], f"table/{model}", max_samples=2000, overrides=overrides)
    first, more = fit(FIRST), min(MORE // columns, 20 * rows)
    while (longer := fit(FIRST + more) - first) < first / 2:
        more *= 4
    cost = longer / more
    return {
        "seconds before training": round(max(first - cost * FIRST, 0.0), 2),
        "examples a second": round(1 / cost),
        "seconds an epoch": round(cost * rows, 1),
        "memory before, MiB": before,
        "peak memory, MiB": peak_memory(),
    }


def scale_page() -> list[str]:
    """Lines of the page, of what has been measured."""
    held: list[Mapping[str, Any]] = json.loads(RESULTS.read_text())
    held = sorted(held, key=lambda one: (one["model"], one["words"], one["columns"], one["rows"]))
    figures = ("seconds before training", "examples a second", "seconds an epoch", "memory before, MiB")
    headings = ["model", "rows", "columns", "words", *figures, "peak memory, MiB"]
    lines = [(ROOT / "scripts/benching/about_scale.md").read_text(), f"| {' | '.join(headings)} |"]
    lines.append("| --- |" + " ---: |" * (len(headings) - 1))
    for one in held:
        cells = [one["model"], *("" if key == "words" and not one[key] else f"{one[key]:,}" for key in headings[1:])]
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    cpus = sorted({one["cpu"] for one in held})
    return [*lines, "", f"Measured on {'; '.join(cpus)}.", ""]


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
