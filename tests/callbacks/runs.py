"""Real models on real data that train within a second or two, and looks that say what a test wants to hear."""

from functools import cache

import pandas as pd
from pytorch_lightning import seed_everything

from synthgen.callbacks.collapse import CollapseMonitor
from synthgen.callbacks.evaluation import Evaluation
from synthgen.callbacks.fidelity import Fidelity
from synthgen.callbacks.look import Found, Look
from synthgen.callbacks.memorisation import MemorisationWatch
from synthgen.callbacks.samples import Samples
from synthgen.configuration import compose
from synthgen.run import load_data
from synthgen.synthesizer import Synthesizer
from synthgen.training.csv_logger import CSVLogger
from tests.faults.workplace import FAMILIES, NOT_COMPUTED
from tests.tiny import Numbers, fit


@cache
def config_of(family):
    """Of a family, or of one with settings of its own: "table/argn network=any_order_transformer"."""
    model, *more = family.split()
    return compose("train", [*FAMILIES[model], f"model={model}", *more])


def data_for(family):
    return load_data(config_of(family))


def all_looks(**options):
    return {
        "fidelity": Fidelity(detector_rows=64),
        "samples": Samples(images=16),
        "memorisation": MemorisationWatch(**options),
        "collapse": CollapseMonitor(),
    }


def train(family, folder, callbacks=(), steps=12, model=None, **options):
    """Trains a family, or a model in its place, as `synthgen train` would; the model and how it ended."""
    data = data_for(family)
    seed_everything(1, workers=True, verbose=False)
    model = model or Synthesizer.build(config_of(family)["model"], data).model
    given = {"loggers": [CSVLogger(str(folder))], **options}
    return model, fit(model, folder, steps * data.batch_size, data=data, callbacks=callbacks, **given)


def history(folder):
    return pd.read_csv(folder / "metrics.csv").drop(columns=NOT_COMPUTED, errors="ignore")


def looked_at(folder, column="eval/figure"):
    """Examples at which there are figures, and these."""
    rows = pd.read_csv(folder / "metrics.csv")
    rows = rows[rows[column].notna()]
    return rows["samples_seen"].tolist(), rows[column].tolist()


class Says(Look):
    """Finds the figures that it is given, one after another; the last one again and again."""

    names = ("figure",)

    def __init__(self, figures=(0.0,), alarm=None, policy="warn"):
        self.figures = list(figures)
        self.alarm = alarm
        self.policy = policy
        self.told = 0

    def prepare(self, real, model):
        pass

    def look(self, drawn):
        self.drawn = drawn
        figure = self.figures[min(self.told, len(self.figures) - 1)]
        self.told += 1
        return Found({"figure": figure}, alarm=self.alarm if figure < 0 else None)

    def state_dict(self):
        return {"told": self.told}

    def load_state_dict(self, state):
        self.told = state["told"]


class Plain:
    """A codec of numbers."""

    def decode(self, encoded):
        return encoded


def numbers(**options):
    data = Numbers(**options)
    data.codec = Plain()
    return data


def looking(look, **options):
    return Evaluation(**{"every": 64, "samples": 16, "share": None, "looks": {"says": look}, **options})
