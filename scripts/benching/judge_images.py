"""Every figure of synthetic images, the same for all methods, by `synthgen.metrics` alone.

Features are those of one classifier a data set, trained on its real training images and named in the figures. Distances
and manifolds are taken at one number of images for all methods, and again at a larger one where a method made as many.
"""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.benching.datasets import ImageSet
from synthgen.metrics.image.classifier import DomainClassifier, train_classifier
from synthgen.metrics.image.fidelity import frechet_distance, kernel_distance, recognised
from synthgen.metrics.image.memorisation import memorisation
from synthgen.metrics.image.utility import downstream_accuracy
from synthgen.metrics.neighbours import prdc

__all__ = ["SIZES", "VERSION", "figures", "floor", "made_of"]

VERSION = 1  # of what is measured; figures of another one are measured anew
SEED = 0
SIZES = (1_000, 10_000)  # images; every method makes the first number, fast ones the second
MANIFOLD = 5_000  # images a side, as the cost is quadratic

Figures = dict[str, dict[str, float]]


def figures(data: ImageSet, synthetic: Path) -> Figures:
    """By the number of images: "n=1000", "n=10000"; and "all" of what needs no equal number."""
    with np.load(synthetic) as held:
        images, labels = held["images"], held.get("labels")
    found = _by_size(data, images)
    copies = memorisation(data.train.pixels, data.holdout.pixels, images, seed=SEED)
    found["all"] = {
        "images": len(images),
        "memorisation ratio": copies.ratio.value,
        "memorisation p": copies.p_value,
        "near copies": copies.copied.value,
    }
    if labels is not None:
        classifier = _classifier(data)
        learned = downstream_accuracy(
            (data.train.pixels, _labels(data.train)),
            (data.holdout.pixels, _labels(data.holdout)),
            (images, labels),
            classifier.classes,
            seed=SEED,
            classifier=classifier,
        )
        found["all"]["recognised"] = recognised(classifier, images, labels).value
        found["all"]["TSTR accuracy"] = learned.tstr.value
    return found


def floor(data: ImageSet) -> Figures:
    """The same of holdout images."""
    classifier = _classifier(data)
    accuracy = recognised(classifier, data.holdout.pixels, _labels(data.holdout)).value
    return {
        **_by_size(data, data.holdout.pixels),
        "all": {
            "memorisation ratio": 1.0,
            "near copies": 0.01,
            "recognised": accuracy,
            "TSTR accuracy": accuracy,
        },
    }


def made_of(data: ImageSet) -> dict[str, str]:
    """The classifier's digest: figures over another one do not compare."""
    classifier = _classifier(data)
    return {classifier.name: classifier.digest[:12]}


def _by_size(data: ImageSet, images: NDArray[np.uint8]) -> Figures:
    classifier = _classifier(data)
    made = classifier.features(images)
    return {f"n={size}": _closeness(classifier, data, made[:size]) for size in SIZES if len(made) >= size}


def _closeness(classifier: DomainClassifier, data: ImageSet, made: NDArray[np.float64]) -> dict[str, float]:
    real = _features(data)
    some = real[np.random.default_rng(SEED).permutation(len(real))[: min(len(made), MANIFOLD)]]
    clouds = prdc(some, made[: len(some)])
    return {
        f"FD-{classifier.name}": frechet_distance(made, real),
        f"KD-{classifier.name}": kernel_distance(made, real, seed=SEED)[0],
        "precision": clouds.precision,
        "recall": clouds.recall,
        "density": clouds.density,
        "coverage": clouds.coverage,
    }


@cache
def _classifier(data: ImageSet) -> DomainClassifier:
    """The same one every time: its training is reproducible, a minute on one core."""
    return train_classifier(data.train.pixels, _labels(data.train), len(data.train.classes), SEED, name=data.name)


@cache
def _features(data: ImageSet) -> NDArray[np.float64]:
    return _classifier(data).features(data.train.pixels)


def _labels(images) -> NDArray[np.integer]:  # type: ignore[no-untyped-def]
    assert images.labels is not None
    return images.labels
