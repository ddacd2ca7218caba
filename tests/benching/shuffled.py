"""A method that learns each column by itself, within a second: what a trial trains where it matters not what."""

import os
from pathlib import Path

import numpy as np


def fit(task):
    if gate := task.settings.get("fails_while"):
        assert not Path(gate).exists(), "the gate is there"
    with Path(task.settings["log"]).open("a") as log:
        log.write(f"{task.seed}\n")
    return task, {"threads": int(os.environ["OMP_NUM_THREADS"])}


def sample(model, n, seed):
    random = np.random.default_rng(seed)
    return model.frame.apply(lambda column: column.iloc[random.integers(len(column), size=n)].to_numpy())
