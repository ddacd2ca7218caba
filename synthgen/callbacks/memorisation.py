"""Do samples come closer to training examples than to validation examples, while a model trains."""

import math
from typing import Any

import numpy as np
import pandas as pd

from synthgen.callbacks.look import Drawn, Found, Look, Real, check_policy, some
from synthgen.errors import SynthgenError
from synthgen.metrics.image.memorisation import exchange_test, memorisation, reach_of_real
from synthgen.metrics.neighbours import nearest_neighbours
from synthgen.metrics.table.distances import RowEmbedding
from synthgen.metrics.table.privacy import closest_records
from synthgen.models.base import Model

__all__ = ["MemorisationWatch"]

# Validation examples with which the test can notice anything.
_FEWEST = 50
# Examples after which the next test is worth its share of the level: copies are learned over epochs.
_GROWTH = 1.25
# Random exchanges of a first look at images; more are made where these are not enough to tell.
_RESAMPLES = 999
# Rows among which a sample's nearest ones are sought, or on each side of them.
_REFERENCES = 5_000
# Training images that are searched.
_IMAGES = 50_000
# Of a sample among real rows.
_NEIGHBOURS = 8


class MemorisationWatch(Look):
    """Warns, or stops training, when samples lie closer to training examples than chance lets them.

    Training and validation examples were split at random, so that a model which has learned the distribution, and not
    the examples, comes as close to the one as to the other. Tables are tested by `closest_records`, images by
    `exchange_test` in grey levels. Rows of one person are no independent witnesses: where a table was split by an
    entity, figures look at one row of each, and entities with all their rows are what `exchange_test` exchanges.

    The figures are "copied", the share of samples as near to a training example as the nearest 1 % of validation
    examples are, beside "copied_real", 0.01 or more where real examples repeat themselves; "memorisation_ratio", the
    median distance to training over that to, or of, validation examples, 1 is best, less is copying; and
    "memorisation_p", the p-value of the one look.

    Repeated looks: the k-th test of a run is held against level / (k (k + 1)). These sum to `level`, so that a model
    that copies nothing is flagged in a run with probability `level` at most, however often it is looked at (a
    Bonferroni correction with unequal weights). A test is made once a quarter more training examples have been seen
    than at the one before, and at the end, so that k stays small. There is one alarm a run.

    No alarm is no proof of privacy; see both functions for what they cannot tell. A model that is chosen by its figures
    on validation examples leans towards these, which hides a little.

    Args:
        policy: "warn", or "stop" to end training.
        level: Largest probability of a false alarm in a run.

    Raises:
        SynthgenError: A policy or a level that cannot be.
    """

    def __init__(self, policy: str = "warn", level: float = 0.01) -> None:
        check_policy("memorisation", policy)
        if not 0 < level < 1:
            raise SynthgenError(f"memorisation.level: found {level}, expected a probability between 0 and 1")
        self.policy = policy
        self.level = level
        self.tests = 0
        self.alarmed = False
        self._tested = 0  # examples at the latest test
        self._reach: np.ndarray | None = None  # of validation images

    def prepare(self, real: Real, model: Model) -> None:
        """How near real images come; without enough validation examples there is nothing to find."""
        held = real.data.validation
        if held is not None and len(_independent(real, held)) >= _FEWEST:
            self.names = ("copied", "copied_real", "memorisation_ratio", "memorisation_p")
            self.aims = {"copied": -math.inf, "memorisation_ratio": 1.0, "memorisation_p": math.inf}
            if real.images:
                self._reach = reach_of_real(real.data.train.pixels, held.pixels, references=_IMAGES)

    def look(self, drawn: Drawn) -> Found:
        """Measures, and tests if it is time."""
        if not self.names:
            return Found()
        figures, exact = _closeness(drawn, _RESAMPLES, self._reach)
        found = Found(figures)
        if self.alarmed or not (drawn.last or drawn.seen >= _GROWTH * self._tested):
            return found
        self.tests, self._tested = self.tests + 1, drawn.seen
        least = self.level / (self.tests * (self.tests + 1))
        p_value = figures["memorisation_p"]
        if not exact and p_value <= 2 * self.level and least < 1 / (1 + _RESAMPLES):
            # So small a probability takes more exchanges to see; the first ones only say whether that is worth it.
            p_value = _closeness(drawn, math.ceil(1 / least), self._reach)[0]["memorisation_p"]
        if p_value <= least:
            self.alarmed = True
            found.alarm = (
                f"samples lie closer to training than to validation examples (p = {p_value:.1g}, test {self.tests}): "
                f"{figures['copied']:.1%} are as near to one as {figures['copied_real']:.1%} of real ones are, "
                f"median distance {figures['memorisation_ratio']:.2f} times as large"
            )
        return found

    def state_dict(self) -> dict[str, Any]:
        """Tests so far."""
        return {"tests": self.tests, "tested": self._tested, "alarmed": self.alarmed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on counting."""
        self.tests, self._tested, self.alarmed = state["tests"], state["tested"], state["alarmed"]


def _closeness(drawn: Drawn, resamples: int, reach: np.ndarray | None) -> tuple[dict[str, float], bool]:
    """The figures of one look, and whether their p-value is exact and not one of random exchanges.

    Args:
        drawn: Samples and the real examples.
        resamples: Random exchanges.
        reach: Of images, what `reach_of_real` gives.
    """
    data = drawn.real.data
    if drawn.real.images:
        sides = data.train.pixels, data.validation.pixels, drawn.synthetic.pixels
        found = memorisation(*sides, references=_IMAGES, resamples=resamples, pairs=1, real=reach)
        return _figures(found.copied.value, found.copied_real, found.ratio.value, found.p_value), False
    train, held = (drawn.real.measured(_independent(drawn.real, part)) for part in (data.train, data.validation))
    rows = closest_records(train, held, drawn.synthetic, data.codec.schema.measured, references=_REFERENCES)
    exact = data.entities is None
    p_value = rows.p_value if exact else _entity_test(drawn, resamples)
    return _figures(rows.near_copies.value, rows.near_real.value, rows.ratio.value, p_value), exact


def _figures(copied: float, copied_real: float, ratio: float, p_value: float) -> dict[str, float]:
    return {"copied": copied, "copied_real": copied_real, "memorisation_ratio": ratio, "memorisation_p": p_value}


def _entity_test(drawn: Drawn, resamples: int) -> float:
    """`exchange_test` of whole entities: which of them are for training was drawn, and not which rows."""
    data = drawn.real.data
    # In random order, as the first of equally near rows is taken.
    pool = drawn.real.measured(some(pd.concat([data.train, data.validation]), _REFERENCES))
    embedding = RowEmbedding([pool], data.codec.schema.measured)
    distances, rows = nearest_neighbours(
        embedding.transform(drawn.synthetic), embedding.transform(pool), min(_NEIGHBOURS, len(pool))
    )
    numbers, names = pd.factorize(data.entities[pool.index])
    training = np.isin(names, data.entities[data.train.index])
    return exchange_test(distances, numbers[rows], training, resamples=resamples)


def _independent(real: Real, part: Any) -> Any:
    """One row of each entity, drawn at random; all rows, and all images, where no entity was named."""
    if real.images or real.data.entities is None:
        return part
    shuffled = part.sample(frac=1, random_state=0)
    return shuffled[~real.data.entities[shuffled.index].duplicated()]
