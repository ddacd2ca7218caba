"""synthgen's own models, by `synthgen.fit`: the clock includes the schema, the codec and the export."""

from typing import Any

# What `synthgen.fit` would import while the clock runs.
import diffusers  # noqa: F401
import hydra  # noqa: F401
import pandas as pd
import torch

from scripts.benching.handed import Pictures, Task
from synthgen import api
from synthgen.models.base import bf16_pays
from synthgen.synthesizer import Synthesizer

# Nothing that looks, draws or evaluates while the clock runs, whatever the defaults come to hold; and no callback that
# ends training. A model that watches for a plateau does that by itself. Of validated models the best weights are kept.
FAIR = ("callbacks=none", "trainer=cpu")
# Of the seconds that a method gets: the schema, the codec and the export are on the clock, too, and the number of
# examples is fixed by the speed of the first three tenths.
SHARE = 0.96


def fit(task: Task) -> tuple[Synthesizer, dict[str, Any]]:
    """With the settings `model`, and if given `seconds` or `epochs`, `batch_size`, `labels` and `overrides`."""
    settings = dict(task.settings)
    labelled = settings.pop("labels", True)
    if seconds := settings.pop("seconds", None):
        settings["max_time"] = SHARE * seconds
    if epochs := settings.pop("epochs", None):
        settings["max_samples"] = epochs * len(task.data)
    overrides = [*FAIR, *settings.pop("overrides", [])]
    data, options = task.data, {"target": task.target}
    if isinstance(data, Pictures):
        data, options = task.data.pixels, {"labels": task.data.labels} if labelled else {}
    fitted = api.fit(data, seed=task.seed, overrides=overrides, **options, **settings)
    precision = "bf16-mixed" if bf16_pays(torch.device("cpu")) else "32-true"
    return fitted, {"samples_seen": fitted.facts["examples_seen"], "precision": precision}


def sample(model: Synthesizer, n: int, seed: int) -> pd.DataFrame | Pictures:
    """Images come with the labels that they were made for."""
    made = model.sample(n, seed=seed)
    return made if isinstance(made, pd.DataFrame) else Pictures(made.pixels, made.labels)
