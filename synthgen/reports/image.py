"""The report of a set of synthetic images."""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import SynthgenError
from synthgen.metrics.image.classifier import DomainClassifier, train_classifier
from synthgen.metrics.image.fidelity import (
    frechet_distance,
    kernel_distance,
    recognised,
)
from synthgen.metrics.neighbours import nearest_neighbours, prdc
from synthgen.reports.pictures import channels_shown, picture, strips
from synthgen.reports.report import Figure, Progress, Report, Section

__all__ = ["Images", "image_report"]

Images = tuple[NDArray[np.uint8], NDArray[np.integer] | None]
"""Images, shape (N, C, H, W), and their labels, shape (N,), or None."""

MANIFOLD = 5_000  # images a side for precision and recall, whose cost is quadratic
QUERIES = 1_000  # images whose nearest training image is sought
PAIRS = 16


def image_report(
    train: Images,
    holdout: Images | None,
    synthetic: Images,
    *,
    classes: Sequence[str] = (),
    name: str = "images",
    seed: int = 0,
    progress: Progress | None = None,
    classifier: DomainClassifier | None = None,
) -> Report:
    """Measures synthetic images against the real ones that they were made from, and real ones that they have not seen.

    Features are those of a `DomainClassifier` trained on the training images, and every figure over them carries its
    name. The Fréchet and kernel distances compare n synthetic images with all training images, beside n holdout images
    with all training images, where n is the smaller of the two sets' sizes: both depend on it. Precision and recall
    take as many training images as synthetic ones, 5,000 at most. Distances to training images are Euclidean, in grey
    levels, for 1,000 images at most. TSTR and TRTR are the same small classifier.

    Without a holdout there are no floors, no memorisation ratio and no utility, and a note says so. Without labels,
    features come from telling rotations.

    Args:
        train: Real images that the generator learned from.
        holdout: Real images that it has not seen, or None.
        synthetic: Its images, of the same shape; labels are the classes that it was asked for.
        classes: Name of each class, where images carry labels 0 .. len(classes) − 1.
        name: Of the data, for the title and the features.
        seed: Of subsamples and of the classifier.
        progress: Called before each part.
        classifier: A `train_classifier` of the training images, where several reports share one; else it is trained.

    Raises:
        SynthgenError: When images differ in shape, there are fewer than 5 in a set, or labels and classes do not agree.
    """
    tell = progress or (lambda _: None)
    _checked({"training": train, "holdout": holdout, "synthetic": synthetic}, classes)
    facts = {"training images": len(train[0]), "synthetic images": len(synthetic[0])}
    if holdout is not None:
        facts["holdout images"] = len(holdout[0])
    shape = "×".join(map(str, train[0].shape[1:]))
    report = Report(f"Synthetic image report: {name}", facts={**facts, "shape": shape, "seed": seed})

    if classifier is None:
        tell("training a classifier of the real images")
        classifier = train_classifier(train[0], train[1], len(classes), seed, name=name)
    report.facts["features"] = classifier.name
    tell("comparing features")
    report.figures += _fidelity(classifier, train[0], holdout, synthetic[0], seed)
    labelled = train[1] is not None and synthetic[1] is not None and classifier.classes > 0
    if labelled:
        report.figures.append(_recognition(classifier, holdout, synthetic))
    if labelled and holdout is not None and holdout[1] is not None:
        tell("training a classifier of the synthetic images")
        report.figures.append(_utility(classifier, holdout, synthetic, seed))
    tell("looking for copies")
    random = np.random.default_rng(seed)
    queries = synthetic[0][random.permutation(len(synthetic[0]))[:QUERIES]]
    distances, neighbours = nearest_neighbours(queries, train[0])
    report.figures += _memorisation(distances, train[0], holdout, random)
    report.notes = _notes(train, holdout, synthetic)

    tell("drawing")
    report.sections = [
        Section("Real and synthetic", strips(train, synthetic, classes, seed)),
        Section("Nearest training images", _pairs(queries, train[0], distances[:, 0], neighbours[:, 0])),
    ]
    return report


def _fidelity(
    classifier: DomainClassifier,
    train: NDArray[np.uint8],
    holdout: Images | None,
    synthetic: NDArray[np.uint8],
    seed: int,
) -> list[Figure]:
    random = np.random.default_rng(seed)
    count = len(synthetic) if holdout is None else min(len(synthetic), len(holdout[0]))
    known = classifier.features(train)
    sides = [classifier.features(_some(synthetic, count, random))]
    if holdout is not None:
        sides.append(classifier.features(_some(holdout[0], count, random)))
    manifold = _some(known, min(count, MANIFOLD), random)

    frechet = [frechet_distance(side, known) for side in sides]
    kernel = [kernel_distance(side, known, seed=seed)[0] for side in sides]
    shares = [prdc(manifold, _some(side, len(manifold), random)) for side in sides]

    over = f"over {classifier.name} features, {count:,} images. Compares only with figures over the same features"
    described: list[tuple[str, str, list[float], str]] = [
        ("FD", "lower", frechet, f"Fréchet distance {over} and as many images; blind beyond mean and covariance."),
        ("KD", "lower", kernel, f"Kernel distance (unbiased) {over}; around 0 when there is no difference."),
        (
            "Precision",
            "higher",
            [share.precision for share in shares],
            "Share of synthetic images that lie among real ones. Copies of a few good images score well.",
        ),
        (
            "Recall",
            "higher",
            [share.recall for share in shares],
            "Share of real images that lie among synthetic ones. Falls when kinds of images are missing.",
        ),
        (
            "Density",
            "closer to real",
            [share.density for share in shares],
            "Real images that each synthetic one lies near, over how many that would be for a real one. "
            "Above that, images crowd where real ones are most alike.",
        ),
        (
            "Coverage",
            "higher",
            [share.coverage for share in shares],
            "Share of real images that have a synthetic one near them. Unlike recall it is not fooled by odd images.",
        ),
    ]
    return [
        Figure(f"{short}-{classifier.name}", found[0], "fidelity", better, text, found[1] if holdout else None)
        for short, better, found, text in described
    ]


def _recognition(classifier: DomainClassifier, holdout: Images | None, synthetic: Images) -> Figure:
    assert synthetic[1] is not None
    floor = None if holdout is None or holdout[1] is None else recognised(classifier, holdout[0], holdout[1]).value
    return Figure(
        "Recognised as its class",
        recognised(classifier, synthetic[0], synthetic[1]).value,
        "fidelity",
        "as high as real",
        f"Share of synthetic images that {classifier.name} takes for the class they were made for. More than real "
        "images reach means that hard cases are missing.",
        floor,
        percent=True,
    )


def _utility(classifier: DomainClassifier, holdout: Images, synthetic: Images, seed: int) -> Figure:
    assert holdout[1] is not None
    learned = train_classifier(synthetic[0], synthetic[1], classifier.classes, seed)
    return Figure(
        "TSTR accuracy",
        recognised(learned, holdout[0], holdout[1]).value,
        "utility",
        "higher",
        "Share of holdout images that a small classifier recognises when it learned from synthetic images; TRTR "
        "learned from real ones. A larger network may use the data better.",
        reference=recognised(classifier, holdout[0], holdout[1]).value,
        reference_name="TRTR",
        percent=True,
    )


def _memorisation(
    distances: NDArray[np.float64], train: NDArray[np.uint8], holdout: Images | None, random: np.random.Generator
) -> list[Figure]:
    middle = float(np.median(distances))
    floor = None
    if holdout is not None:
        floor = float(np.median(nearest_neighbours(_some(holdout[0], QUERIES, random), train)[0]))
    figures = [
        Figure(
            "Distance to training",
            middle,
            "privacy",
            "as far as real",
            "Median distance of a synthetic image to the nearest training image, in grey levels over all pixels. "
            "Blurred images come near without copying, and a few copies do not move a median: look at the pairs below.",
            floor,
        )
    ]
    if floor:
        figures.append(
            Figure(
                "Memorisation ratio",
                middle / floor,
                "privacy",
                "closer to 1",
                "That distance over the holdout's: far below 1, synthetic images repeat training images. "
                "It proves no privacy.",
                1.0,
            )
        )
    return figures


def _notes(train: Images, holdout: Images | None, synthetic: Images) -> list[str]:
    notes = []
    if holdout is None:
        notes.append(
            "No holdout was given: there are no real figures to hold these against, no memorisation ratio and no "
            "utility. A generator that copies its training images looks best here."
        )
    if train[1] is None:
        notes.append("Images carry no labels: features come from a network that tells rotations, not classes.")
    elif synthetic[1] is None:
        notes.append("Synthetic images carry no labels: whether they show their class was not measured.")
    shown = channels_shown(train[0].shape[1])
    return [*notes, shown] if shown else notes


def _pairs(
    queries: NDArray[np.uint8],
    train: NDArray[np.uint8],
    distances: NDArray[np.float64],
    neighbours: NDArray[np.int64],
) -> str:
    closest = np.argsort(distances, kind="stable")[:PAIRS]
    figures = [
        f"<figure>{picture(np.stack([queries[one], train[neighbours[one]]]), 'synthetic image and its neighbour')}"
        f"<figcaption>{'exact copy' if distances[one] == 0 else f'distance {distances[one]:.0f}'}</figcaption></figure>"
        for one in closest
    ]
    said = (
        f"The {len(closest)} of {len(queries):,} synthetic images that come closest to a training image: "
        "synthetic on the left, its nearest training image on the right."
    )
    return f'<p>{escape(said)}</p><div class="pairs">{"".join(figures)}</div>'


def _some(values: NDArray, count: int, random: np.random.Generator) -> NDArray:
    return values if len(values) <= count else values[random.permutation(len(values))[:count]]


def _checked(sides: dict[str, Images | None], classes: Sequence[str]) -> None:
    shape = None
    for side, given in sides.items():
        if given is None:
            continue
        images, labels = given
        if images.dtype != np.uint8 or images.ndim != 4:
            raise SynthgenError(
                f"{side} images: expected uint8 of shape (N, C, H, W), found {images.dtype} of {images.shape}"
            )
        shape = shape or images.shape[1:]
        if images.shape[1:] != shape:
            raise SynthgenError(f"{side} images have shape {images.shape[1:]}, training images {shape}")
        if len(images) < 5:
            raise SynthgenError(f"expected at least 5 {side} images, found {len(images)}")
        if labels is None:
            continue
        if len(labels) != len(images):
            raise SynthgenError(f"{side} images: found {len(labels)} labels for {len(images)} images")
        if labels.min() < 0 or labels.max() >= len(classes):
            raise SynthgenError(
                f"{side} labels: expected 0 to {len(classes) - 1} for {len(classes)} classes, "
                f"found {labels.min()} to {labels.max()}"
            )
