"""Synthetic images and tables by deep generative models, measured for fidelity, utility, privacy and fairness.

>>> import synthgen                                                                    # doctest: +SKIP
>>> people = synthgen.fit(df, target="income")
>>> fake = people.sample(100_000, condition={"income": ">50K"})
>>> people.save("checkpoints/people"); people = synthgen.load("checkpoints/people")
>>> synthgen.evaluate(real=df, holdout=test, synthetic=fake, target="income").to_html("report.html")
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["MISSING", "Images", "Synthesizer", "SynthgenError", "evaluate", "fit", "load"]

# Torch and Lightning take seconds to import: each name is fetched when it is first used.
_HOME = {
    "MISSING": "synthgen.data.tables.codec",
    "Images": "synthgen.data.images.images",
    "Synthesizer": "synthgen.synthesizer",
    "SynthgenError": "synthgen.errors",
    "evaluate": "synthgen.evaluation",
    "fit": "synthgen.api",
    "load": "synthgen.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'synthgen' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
