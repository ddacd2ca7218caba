"""Figures of images' fidelity over features, each beside the same figure of held-out images."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from synthgen.metrics.image.classifier import DomainClassifier
from synthgen.metrics.image.extractors import Extractor, extracted
from synthgen.metrics.image.fidelity import SUBSETS, frechet_distance, kernel_distance, recognised
from synthgen.metrics.image.reference import reference_features
from synthgen.metrics.intervals import LEVEL, Estimate, bootstrapped, proportion
from synthgen.metrics.neighbours import prdc
from synthgen.reports.image.sides import Images, some
from synthgen.reports.report import Figure, Report

__all__ = ["add_features", "add_recognition"]

MANIFOLD = 5_000  # images a side for precision and recall, whose cost is quadratic
RESAMPLED, RESAMPLES, HALVES = 2_000, 20, 20
NARROW = 256  # features up to which the Fréchet distance is resampled: its cost grows with their cube


def add_features(
    report: Report,
    extractor: Extractor,
    train: NDArray[np.uint8],
    holdout: Images | None,
    synthetic: NDArray[np.uint8],
    seed: int,
) -> None:
    """Distances between clouds of features, and how they lie within each other."""
    random = np.random.default_rng(seed)
    count = len(synthetic) if holdout is None else min(len(synthetic), len(holdout[0]))
    known = reference_features(extractor, train)
    sides = [extracted(extractor, some(synthetic, count, random))]
    if holdout is not None:
        sides.append(extracted(extractor, some(holdout[0], count, random)))
    manifold = some(known, min(count, MANIFOLD), random)

    over = f"over {extractor.name} features, {count:,} images. Compares only with figures over the same features"

    def add(short: str, better: str, about: str, found: list[Estimate], key: bool = False) -> None:
        figure = Figure(f"{short}-{extractor.name}", np.nan, "fidelity", better, about, key=key)
        report.figures.append(figure.measured(*found))

    frechet = [_frechet(side, known, seed) for side in sides]
    about = f"Fréchet distance {over} and as many images; blind beyond mean and covariance."
    add("FD", "lower", about, frechet, key=True)
    kernel = [_kernel(side, known, seed) for side in sides]
    add("KD", "lower", f"Kernel distance (unbiased) {over}; around 0 when there is no difference.", kernel)
    clouds = [prdc(manifold, some(side, len(manifold), random)) for side in sides]
    for name, better, about in (
        (
            "Precision",
            "higher",
            "Share of synthetic images that lie among real ones. Copies of a few good ones score well.",
        ),
        (
            "Recall",
            "higher",
            "Share of real images that lie among synthetic ones. Falls when kinds of images are missing.",
        ),
        (
            "Density",
            "closer to real",
            "Real images that each synthetic one lies near, over how many that would be for a real one. Above that, "
            "images crowd where real ones are most alike.",
        ),
        (
            "Coverage",
            "higher",
            "Share of real images that have a synthetic one near them. Unlike recall it is not fooled by odd images.",
        ),
    ):
        values = [getattr(cloud, name.lower()) for cloud in clouds]
        if name == "Density":  # no share: an image may lie near many
            found = [Estimate(value, np.nan, np.nan) for value in values]
        else:
            found = [proportion(round(value * len(manifold)), len(manifold)) for value in values]
        add(name, better, about, found, key=name == "Recall")


def add_recognition(
    report: Report,
    classifier: DomainClassifier,
    trained: NDArray[np.integer],
    holdout: Images | None,
    synthetic: Images,
    classes: list[str],
) -> None:
    """Whether synthetic images show the class that they were made for, over all and of each class."""
    assert synthetic[1] is not None
    floor = None if holdout is None or holdout[1] is None else recognised(classifier, holdout[0], holdout[1])
    figure = Figure(
        "Recognised as its class",
        np.nan,
        "fidelity",
        "as high as real",
        f"Share of synthetic images that {classifier.name} takes for the class they were made for. More than real "
        "images reach means that hard cases are missing.",
        percent=True,
        key=True,
    )
    report.figures.append(figure.measured(recognised(classifier, synthetic[0], synthetic[1]), floor))
    report.details["classes"] = [
        {
            "class": name,
            "synthetic": _share(classifier, synthetic, label),
            "real": None if floor is None or holdout is None else _share(classifier, holdout, label),
            "images": int((synthetic[1] == label).sum()),
            "share": float((trained == label).mean()),
            "real_images": None if floor is None or holdout is None else int(np.sum(holdout[1] == label)),
        }
        for label, name in enumerate(classes)
    ]


def _share(classifier: DomainClassifier, images: Images, label: int) -> float | None:
    assert images[1] is not None
    own = images[1] == label
    return recognised(classifier, images[0][own], images[1][own]).value if own.any() else None


def _frechet(side: NDArray[np.float32], known: NDArray[np.float32], seed: int) -> Estimate:
    value = frechet_distance(side, known)
    if side.shape[1] > NARROW:
        return Estimate(value, np.nan, np.nan)
    few = some(known, RESAMPLED, np.random.default_rng(seed))
    found = bootstrapped(
        lambda rows: frechet_distance(side[rows], few), len(side), seed=seed, resamples=RESAMPLES, most=RESAMPLED
    )
    moved = value - found.value
    return Estimate(value, max(found.low + moved, 0.0), found.high + moved)


def _kernel(side: NDArray[np.float32], known: NDArray[np.float32], seed: int) -> Estimate:
    """The spread over random halves of both sides, drawn without replacement (a delete-half jackknife, Shao and Wu).

    Halves of a sample differ from each other by as much as samples of its size do. With it the error of an average over
    subsets, where there are too many images to take at once.
    """
    value, spread = kernel_distance(side, known, seed=seed)
    random = np.random.default_rng(seed)
    a, b = some(side, RESAMPLED, random), some(known, RESAMPLED, random)
    if min(len(a), len(b)) < 4:
        return Estimate(value, np.nan, np.nan)
    halves = [
        kernel_distance(some(a, len(a) // 2, random), some(b, len(b) // 2, random), subset_size=None)[0]
        for _ in range(HALVES)
    ]
    error = np.hypot(np.std(halves, ddof=1) * np.sqrt(len(a) / len(side)), spread / np.sqrt(SUBSETS))
    reach = stats.norm.ppf((1 + LEVEL) / 2) * error
    return Estimate(value, value - reach, value + reach)
