"""Fast figures of how real samples look, while a model trains."""

import math
import re

from synthgen.callbacks.look import Drawn, Found, Look, Real
from synthgen.metrics.image.fidelity import frechet_distance, kernel_distance, recognised
from synthgen.metrics.table.detection import detector_auc
from synthgen.metrics.table.fidelity import shape_error, trend_error
from synthgen.models.base import Model

__all__ = ["Fidelity"]

# Real rows with which a detector, or an image's neighbours, still say something.
_FEWEST = 20


class Fidelity(Look):
    """Fidelity of samples; compare its figures within a run, as they depend on the number of samples.

    Tables, against as many validation rows (training rows where these are fewer than 100): "shape_error" and
    "trend_error", in [0, 1], 0 is best; "detector_auc" of boosted trees, 0.5 is best, 1 is worst.

    Images, over features of a small classifier of the training images, which figures are named after, and against at
    most 5,000 of these: "fd_NAME", a Fréchet distance, and "kd_NAME", a kernel distance, 0 is best; "precision_NAME"
    and "recall_NAME", in [0, 1], 1 is best; with labels, "recognised_NAME", the share of images that are taken for
    their class, in [0, 1].

    Args:
        detector_rows: Rows of each side that the detector learns from, at most: it takes most of the time.
    """

    def __init__(self, detector_rows: int = 1000) -> None:
        self.detector_rows = detector_rows
        self._over = ""

    def prepare(self, real: Real, model: Model) -> None:
        """Trains the classifier of images, or finds it on disk."""
        if not real.images:
            schema = real.data.codec.schema.measured
            pairs = ("trend_error",) if len(schema) > 1 else ()
            detector = ("detector_auc",) if len(real.compared) >= _FEWEST else ()
            self.names = ("shape_error", *pairs, *detector)
            self.aims = {"shape_error": -math.inf, "trend_error": -math.inf, "detector_auc": 0.5}
            return
        self._over = re.sub(r"[^\w.-]", "_", real.classifier.name)
        shares = ("precision", "recall") if len(real.features) >= _FEWEST else ()
        known = ("recognised",) if real.classifier.classes else ()
        self.names = tuple(f"{name}_{self._over}" for name in ("fd", "kd", *shares, *known))
        self.aims = {name: -math.inf if name.startswith(("fd_", "kd_")) else math.inf for name in self.names}

    def look(self, drawn: Drawn) -> Found:
        """All figures that are named."""
        found = self._images(drawn) if drawn.real.images else self._table(drawn)
        return Found({name: found[name] for name in self.names})

    def _table(self, drawn: Drawn) -> dict[str, float]:
        sides = drawn.real.compared, drawn.synthetic, drawn.real.data.codec.schema.measured
        found = {"shape_error": shape_error(*sides)}
        if "trend_error" in self.names:
            found["trend_error"] = trend_error(*sides)
        if "detector_auc" in self.names:
            found["detector_auc"] = detector_auc(*sides, rows=self.detector_rows)
        return found

    def _images(self, drawn: Drawn) -> dict[str, float]:
        features, known = drawn.features, drawn.real.features
        found = {"fd": frechet_distance(features, known), "kd": kernel_distance(features, known, subsets=10)[0]}
        if f"precision_{self._over}" in self.names:
            found |= {"precision": drawn.prdc.precision, "recall": drawn.prdc.recall}
        if drawn.real.classifier.classes:
            pixels, labels = drawn.synthetic.pixels, drawn.synthetic.labels
            found["recognised"] = recognised(drawn.real.classifier, pixels, labels).value
        return {f"{name}_{self._over}": value for name, value in found.items()}
