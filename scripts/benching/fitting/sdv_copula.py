"""SDV's Gaussian copula with its defaults; metadata says which columns hold categories."""

from typing import Any

import numpy as np
import pandas as pd
from sdv.metadata import Metadata
from sdv.single_table import GaussianCopulaSynthesizer

from scripts.benching.handed import Task


def fit(task: Task) -> tuple[GaussianCopulaSynthesizer, dict[str, Any]]:
    """Takes no settings."""
    kinds = {name: "categorical" if name in task.words else "numerical" for name in task.frame}
    columns = {name: {"sdtype": kind} for name, kind in kinds.items()}
    model = GaussianCopulaSynthesizer(Metadata.load_from_dict({"tables": {"table": {"columns": columns}}}))
    np.random.seed(task.seed)  # noqa: NPY002  # what it draws from
    model.fit({"table": task.frame})
    return model, {}


def sample(model: GaussianCopulaSynthesizer, n: int, seed: int) -> pd.DataFrame:
    """It resets its own random state: fitted to the same rows it makes the same ones, whatever the seed."""
    return model.sample(n)["table"]
