"""synthgen's own models, by `synthgen.fit`: the clock includes the schema, the codec and the export."""

from typing import Any

# What `synthgen.fit` would import while the clock runs.
import diffusers  # noqa: F401
import hydra  # noqa: F401
import pandas as pd

from scripts.benching.handed import Pictures, Task
from synthgen import api
from synthgen.synthesizer import Synthesizer

# Nothing that looks, draws or evaluates while the clock runs, whatever the defaults come to hold; and no early end, so
# that the budget alone rules. Of validated models the best weights are kept all the same.
FAIR = ("callbacks=none", "trainer=cpu")


def fit(task: Task) -> tuple[Synthesizer, dict[str, Any]]:
    """With the settings `model`, and if given `seconds` or `epochs`, `batch_size` and `overrides`."""
    settings = dict(task.settings)
    if epochs := settings.pop("epochs", None):
        settings["max_samples"] = epochs * len(task.data)
    overrides = [*FAIR, *settings.pop("overrides", [])]
    data, options = task.data, {"target": task.target}
    if isinstance(data, Pictures):
        data, options = task.data.pixels, {"labels": task.data.labels}
    fitted = api.fit(
        data, max_time=settings.pop("seconds", None), seed=task.seed, overrides=overrides, **options, **settings
    )
    return fitted, {"samples_seen": fitted.facts["examples_seen"]}


def sample(model: Synthesizer, n: int, seed: int) -> pd.DataFrame | Pictures:
    """Images come with the labels that they were made for."""
    made = model.sample(n, seed=seed)
    return made if isinstance(made, pd.DataFrame) else Pictures(made.pixels, made.labels)
