"""TabularARGN of `mostlyai-engine` with its defaults, protection of rare values among them."""

from typing import Any

import pandas as pd
from mostlyai import engine

from scripts.benching.handed import Task


def fit(task: Task) -> tuple[engine.TabularARGN, dict[str, Any]]:
    """With the setting `seconds`; it ends earlier by itself when its validation no longer improves."""
    model = engine.TabularARGN(max_training_time=task.settings["seconds"] / 60, random_state=task.seed)
    return model.fit(task.frame), {}


def sample(model: engine.TabularARGN, n: int, seed: int) -> pd.DataFrame:
    """It goes on with the random state of its fit."""
    return model.sample(n)
