"""Adversarial random forests of `arfpy` with its defaults, on as many threads as all others have."""

import os
from typing import Any

import numpy as np
import pandas as pd
from arfpy import arf

from scripts.benching.handed import Task


def fit(task: Task) -> tuple[arf.arf, dict[str, Any]]:
    """Takes no settings."""
    np.random.seed(task.seed)  # noqa: NPY002  # what it draws from
    frame = task.frame.assign(**{name: task.frame[name].astype("category") for name in task.words})
    threads = int(os.environ["OMP_NUM_THREADS"])
    model = arf.arf(frame, verbose=False, random_state=task.seed, n_jobs=threads)
    model.forde()
    return model, {"iterations": len(model.acc) - 1}


def sample(model: arf.arf, n: int, seed: int) -> pd.DataFrame:
    """Categories come back as plain values."""
    np.random.seed(seed)  # noqa: NPY002
    made = model.forge(n)
    words = made.select_dtypes("category").columns
    return made.assign(**{name: made[name].astype(object) for name in words})
