"""Does a GAN's generator repeat itself, and does its discriminator know the training examples by heart."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from synthgen.callbacks.look import Drawn, Found, Look, Real, check_policy, some
from synthgen.errors import SynthgenError
from synthgen.metrics.table.distances import RowEmbedding
from synthgen.metrics.table.support import category_coverage, duplicate_rows
from synthgen.models.adversarial import AdversarialStage
from synthgen.models.base import Model

__all__ = ["CollapseMonitor"]

# Examples whose distances are all taken: their number grows with its square.
_PAIRED = 500
# Examples of each kind that the discriminator scores.
_SCORED = 1024
_FEWEST = 20


class CollapseMonitor(Look):
    """Warns, or stops training, when a GAN's samples lose their diversity; says nothing of other models.

    Diversity is measured against as many real examples, 1 is as diverse as they are:

    - "diversity": mean distance of two samples over that of two real examples, in [0, …); of images over the features
      of a small classifier and within a class where there are labels, as labels alone keep classes apart; of rows by
      `RowEmbedding`;
    - images: "coverage", the share of real images' surroundings with a sample in them (Naeem et al., 2020), in [0, 1];
    - tables: "distinct_rows", share of rows that equal no earlier one over the same share of real rows, and
      "category_coverage", share of the categories that occur over the same share among other real rows.

    It alarms when one of them is below `least` at two looks running, as a generator that has barely begun is at one:
    coverage below `least` times the best of the run, the others below `least`. There is one alarm a collapse.

    "discriminator_overfitting" is r_v = (E[D(train)] − E[D(validation)]) / (E[D(train)] − E[D(samples)]) of Karras et
    al. (2020, equation 1): 0 where the discriminator takes validation examples for training ones, 1 where it takes them
    for samples. Above `most` at two looks running, and with the first difference more than three standard errors, it
    warns: more data, or augmentation, would help. It is logged where a model says how its discriminator scores, and
    there are validation examples.

    Args:
        policy: What follows a collapse: "warn", or "stop" to end training.
        least: Share of real diversity below which samples have collapsed, over 0 and below 1.
        most: r_v above which the discriminator has learned training examples by heart.

    Raises:
        SynthgenError: A setting that cannot be.
    """

    def __init__(self, policy: str = "warn", least: float = 0.5, most: float = 0.8) -> None:
        check_policy("collapse", policy)
        if not 0 < least < 1 or not 0 < most <= 1:
            raise SynthgenError(
                f"collapse: found least={least} and most={most}, expected more than 0, and less than 1 or at most 1"
            )
        self.policy = policy
        self.least = least
        self.most = most
        self.best = 0.0  # coverage
        self.low = 0  # looks running at which diversity was low
        self.high = 0  # looks running at which r_v was high
        self._real_diversity = 1.0
        self._embedding: RowEmbedding | None = None
        self._covered = 1.0

    def prepare(self, real: Real, model: Model) -> None:
        """Measures the diversity of real examples."""
        stage = model.stages[-1]
        if not isinstance(stage, AdversarialStage) or len(real.compared) < _FEWEST:
            return
        self.aims = {"coverage": math.inf, "discriminator_overfitting": 0.0}
        self.aims |= dict.fromkeys(("diversity", "distinct_rows", "category_coverage"), 1.0)
        held = real.data.validation
        scores = stage.score is not None and held is not None and len(held) >= _FEWEST
        ratio = ("discriminator_overfitting",) if scores else ()
        if real.images:
            images = some(real.data.train, _PAIRED)
            self._real_diversity = _mean_distance(real.classifier.features(images.pixels), images.labels)
            self.names = ("diversity", "coverage", *ratio)
            return
        schema = real.data.codec.schema.measured
        self._embedding = RowEmbedding([real.measured(real.data.train)], schema)
        self._real_diversity = _mean_distance(self._embedding.transform(some(real.compared, _PAIRED)), None)
        categories = category_coverage(real.data.train, real.compared, schema)
        self._covered = float(categories.mean()) if len(categories) else 1.0
        self.names = ("diversity", "distinct_rows", *(("category_coverage",) if len(categories) else ()), *ratio)

    def look(self, drawn: Drawn) -> Found:
        """Measures, and alarms where something stays wrong."""
        if not self.names:
            return Found()
        figures = self._images(drawn) if drawn.real.images else self._rows(drawn)
        self.best = max(self.best, figures.get("coverage", 0.0))
        floors = {name: self.least * (self.best if name == "coverage" else 1.0) for name in figures}
        lost = {name: value for name, value in figures.items() if value < floors[name]}  # NaN is not known to be
        ratio, sure = 0.0, False
        if "discriminator_overfitting" in self.names:
            ratio, sure = _overfitting(drawn)
            figures["discriminator_overfitting"] = ratio
        self.low = self.low + 1 if lost else 0
        self.high = self.high + 1 if sure and ratio > self.most else 0
        found = Found(figures)
        if self.low == 2:
            what = ", ".join(f"{name} {value:.2f}" for name, value in lost.items())
            found.alarm = f"the generator repeats itself ({what}; real examples have 1)"
        if self.high == 2:
            found.note = (
                "the discriminator tells training from validation examples "
                f"(r_v = {ratio:.2f}): augmentation or more data would help"
            )
        return found

    def state_dict(self) -> dict[str, Any]:
        """What earlier looks have found."""
        return {"best": self.best, "low": self.low, "high": self.high}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on with it."""
        self.best, self.low, self.high = state["best"], state["low"], state["high"]

    def _images(self, drawn: Drawn) -> dict[str, float]:
        labels = drawn.synthetic.labels
        distance = _mean_distance(drawn.features[:_PAIRED], None if labels is None else labels[:_PAIRED])
        return {"diversity": distance / max(self._real_diversity, 1e-12), "coverage": drawn.prdc.coverage}

    def _rows(self, drawn: Drawn) -> dict[str, float]:
        real, schema = drawn.real, drawn.real.data.codec.schema.measured
        assert self._embedding is not None
        rows = drawn.synthetic.iloc[: len(real.compared)]
        distance = _mean_distance(self._embedding.transform(rows.iloc[:_PAIRED]), None)
        repeated = duplicate_rows(real.compared, rows, schema)
        figures = {
            "diversity": distance / max(self._real_diversity, 1e-12),
            "distinct_rows": (1 - repeated.synthetic) / (1 - repeated.real),
        }
        if "category_coverage" in self.names:
            found = float(category_coverage(real.data.train, rows, schema).mean())
            figures["category_coverage"] = found / max(self._covered, 1e-12)
        return figures


def _mean_distance(points: NDArray[np.floating], labels: NDArray[np.integer] | None) -> float:
    """Of two different points, of one label where there are labels, each label with two points weighing alike.

    NaN where no two are of one label.
    """
    kinds = [points] if labels is None else [points[labels == label] for label in np.unique(labels)]
    found = [float(pdist(kind).mean()) for kind in kinds if len(kind) > 1]
    return float(np.mean(found)) if found else math.nan


@torch.no_grad()
def _overfitting(drawn: Drawn) -> tuple[float, bool]:
    """r_v, within [−1, 1], 0 where the discriminator does not tell samples from training examples; and whether the
    difference between training and validation is more than that of a few scores.
    """
    data, model = drawn.real.data, drawn.model
    stage = model.stages[-1]
    assert isinstance(stage, AdversarialStage)
    stage.eval()
    generator = torch.Generator(model.device).manual_seed(0)
    sides = [data.tensors(some(part, _SCORED)) for part in (data.train, data.validation)]
    sides.append({name: value[:_SCORED] for name, value in drawn.encoded.items()})
    scores = []
    for side in sides:
        batch = {name: value.to(model.device) for name, value in side.items()}
        scores.append(stage.scores(batch, generator).double().flatten().cpu().numpy())
    train, validation, samples = (side.mean() for side in scores)
    if train <= samples:
        return 0.0, False
    error = np.sqrt(sum(side.var() / len(side) for side in scores[:2]))
    return float(np.clip((train - validation) / (train - samples), -1, 1)), bool(train - validation > 3 * error)
