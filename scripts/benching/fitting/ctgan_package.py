"""CTGAN and TVAE of the `ctgan` package with its defaults."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import ctgan.synthesizers.ctgan
import ctgan.synthesizers.tvae
import numpy as np
import pandas as pd
import torch

from scripts.benching.handed import Task

MODELS = {"CTGAN": ctgan.synthesizers.ctgan.CTGAN, "TVAE": ctgan.synthesizers.tvae.TVAE}
MISSING = "<missing>"  # it takes no missing cells; a word that no column holds, as "?" is a value like any other


def fit(task: Task) -> tuple[Any, dict[str, Any]]:
    """With the settings `model`, `epochs` and `seconds`, after which it begins no further epoch."""
    torch.manual_seed(task.seed)
    np.random.seed(task.seed)  # noqa: NPY002  # what it draws its cells from
    begun = time.perf_counter()
    done = [0]

    class Epochs:
        """Stands for the progress bar around its epochs."""

        def __init__(self, epochs: range, **_: Any) -> None:
            self.epochs = epochs

        def __iter__(self) -> Iterator[int]:
            for epoch in self.epochs:
                if time.perf_counter() - begun > task.settings["seconds"]:
                    return
                yield epoch
                done[0] += 1

        def set_description(self, _: str) -> None:
            """Says nothing."""

    kind = MODELS[task.settings["model"]]
    sys.modules[kind.__module__].tqdm = Epochs  # type: ignore[attr-defined]
    words = list(task.words)
    if task.frame[words].eq(MISSING).to_numpy().any():
        raise ValueError(f"a column holds {MISSING!r}, which stands for missing cells here")
    frame = task.frame.assign(**{name: task.frame[name].astype(object).fillna(MISSING) for name in words})
    model = kind(epochs=task.settings["epochs"])
    model.fit(frame, words)
    return model, {"epochs": done[0]}


def sample(model: Any, n: int, seed: int) -> pd.DataFrame:
    """The rows that it makes, with missing cells where it wrote the mark of one."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    return model.sample(n).replace(MISSING, None)
