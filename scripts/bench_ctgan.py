"""Speed of CTGAN and TVAE beside the `ctgan` package: the same data, batches, widths and optimizer steps an epoch."""

import os
import sys
import time
import warnings
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import ctgan.synthesizers.ctgan
import ctgan.synthesizers.tvae
import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from synthgen.configuration import compose
from synthgen.data.module import DataModule
from synthgen.data.tables.delimited import read_csv
from synthgen.run import load_data, train

MISSING = "<missing>"  # the package takes no missing cells; a word that no column holds
ADULT = Path(os.environ["SYNTHGEN_DATA"]) / "tables/adult"
BATCH = 500
MODELS = {
    "ctgan": (ctgan.synthesizers.ctgan.CTGAN, ["network.widths=[256,256]"]),
    "tvae": (ctgan.synthesizers.tvae.TVAE, ["network.widths=[128,128]"]),
}


def main() -> None:
    """Measures and prints; arguments are `epochs=` and `seeds=`."""
    warnings.filterwarnings("ignore")
    given = dict(argument.split("=") for argument in sys.argv[1:])
    epochs, seeds = int(given.get("epochs", 30)), range(int(given.get("seeds", 3)))
    console = Console(highlight=False)
    console.print(f"Adult, {epochs} epochs of batches of {BATCH}, {torch.get_num_threads()} threads")
    table = Table(title="median of the seeds, and their range", title_justify="left")
    for heading in ("model", "of", "epochs/s", "seconds before"):
        table.add_column(heading, justify="left" if heading in ("model", "of") else "right")
    data = load_data(_config("ctgan", 1, 0))
    for name in MODELS:
        runs: dict[str, list[tuple[float, ...]]] = {"ctgan package": [], "synthgen": []}
        for seed in seeds:
            for of, run in (("ctgan package", _peer), ("synthgen", _own)):
                console.print(f"{name}, seed {seed}, {of}")
                runs[of].append(run(name, epochs, seed, data))
        for of, found in runs.items():
            table.add_row(name, of, *(_range(values) for values in zip(*found)))
        ratios = [own[0] / peer[0] for peer, own in zip(*runs.values())]
        console.print(f"{name}: epochs a second, synthgen over package: {_range(ratios)}")
    console.print(table)


def _peer(name: str, epochs: int, seed: int, data: DataModule) -> tuple[float, float]:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # what the package draws its cells from
    frame = read_csv(str(ADULT / "train.csv"))
    words = [column for column in frame if not pd.api.types.is_numeric_dtype(frame[column])]
    frame = frame.fillna(MISSING)
    model = MODELS[name][0](epochs=epochs, batch_size=BATCH, verbose=True)
    stamps: list[float] = []

    class Clock:
        """Stands for the progress bar around its epochs, and notes when each begins."""

        def __init__(self, epochs: range, **_: object) -> None:
            self.epochs = epochs

        def __iter__(self):
            for epoch in self.epochs:
                stamps.append(time.perf_counter())
                yield epoch
            stamps.append(time.perf_counter())

        def set_description(self, _: str) -> None:
            """Says nothing."""

    module = sys.modules[MODELS[name][0].__module__]
    module.tqdm = Clock
    begun = time.perf_counter()
    model.fit(frame, words)
    return epochs / (stamps[-1] - stamps[0]), stamps[0] - begun


def _own(name: str, epochs: int, seed: int, data: DataModule) -> tuple[float, float]:
    begun = time.perf_counter()
    with TemporaryDirectory() as folder:
        config = _config(name, epochs * len(data.train), seed) | {
            "run": f"{folder}/run",
            "checkpoint_dir": f"{folder}/checkpoints",
        }
        run = train(config, data)
        before = time.perf_counter() - begun - run.fitted.seconds
        return epochs / run.fitted.seconds, before


def _config(name: str, examples: int, seed: int) -> dict:
    overrides = ["data=csv", f"data.path={ADULT / 'train.csv'}", f"data.holdout={ADULT / 'test.csv'}"]
    overrides += ["data.target=income", "data.validation=0", f"data.batch_size={BATCH}", f"model=table/{name}"]
    overrides += [*MODELS[name][1], f"max_samples={examples}", f"seed={seed}", "callbacks=none", "logger=csv"]
    return compose("train", overrides)


def _range(values: tuple[float, ...] | list[float]) -> str:
    middle = median(values)
    digits = 2 if middle >= 0.5 else 4
    if len(values) == 1:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
