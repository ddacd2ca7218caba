"""One trial in its own process, by the interpreter of the method's environment: `-m scripts.benching.child TASK`.

The clock runs while the method fits, from data in memory to a fitted model, and again while it samples. Importing,
reading and writing are not counted. Peak memory is the kernel's high-water mark of this process: `ru_maxrss` would
start from that of the process that started this one.
"""

import json
import sys
import time
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scripts.benching.handed import Pictures, Task
from scripts.benching.watch import Watch

FEW = 16


def main(file: Path) -> None:
    """Reads the task, runs it, and writes synthetic data and `result.json` beside it."""
    given = json.loads(file.read_text())
    method = import_module(given["fitting"])
    _limit_threads(given["threads"])
    task = _task(given)
    before = peak_memory()
    with Watch() as fitting:
        begun = time.perf_counter()
        model, facts = method.fit(task)
        fitted, peak = time.perf_counter(), peak_memory()
    method.sample(model, min(FEW, given["samples"]), given["seed"])  # what a first draw sets up is no rate
    with Watch() as sampling:
        ready = time.perf_counter()
        made = method.sample(model, given["samples"], given["seed"])
        sampled = time.perf_counter()
    _write(made, file.parent)
    result = {
        "fit_seconds": round(fitted - begun, 3),
        "sample_seconds": round(sampled - ready, 3),
        "samples": given["samples"],
        "others": max(fitting.others, sampling.others),
        "spoiled": fitting.spoiled or sampling.spoiled,
        "memory_mib": {"before": before, "fit": peak, "sample": peak_memory()},
        "facts": facts,
        "versions": {name: metadata.version(name) for name in given["packages"]},
    }
    (file.parent / "result.json").write_text(json.dumps(result))


def _task(given: dict[str, Any]) -> Task:
    data: Any
    if given["data"].endswith(".parquet"):
        data = pd.read_parquet(given["data"])
    else:
        with np.load(given["data"]) as held:
            data = Pictures(held["images"], held["labels"])
    return Task(data, given["settings"], given["seed"], tuple(given["words"]), given["target"])


def _write(made: pd.DataFrame | Pictures, folder: Path) -> None:
    if isinstance(made, pd.DataFrame):
        made.to_parquet(folder / "synthetic.parquet", index=False)
        return
    labels = {} if made.labels is None else {"labels": made.labels}
    np.savez_compressed(folder / "synthetic.npz", images=made.pixels, **labels)


def _limit_threads(threads: int) -> None:
    # The environment has limited OpenMP and BLAS; PyTorch would count the cores again.
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


def peak_memory() -> int:
    """MiB."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]))
