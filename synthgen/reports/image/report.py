"""The report of a set of synthetic images."""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from synthgen.metrics.image.classifier import DomainClassifier
from synthgen.metrics.image.extractors import Extractor
from synthgen.metrics.image.memorisation import Memorisation, memorisation, thumbnails
from synthgen.metrics.image.reference import domain_classifier
from synthgen.metrics.image.utility import DownstreamAccuracy, downstream_accuracy
from synthgen.metrics.neighbours import nearest_neighbours
from synthgen.reports.image.fidelity import add_features, add_recognition
from synthgen.reports.image.pictures import channels_shown, picture, strips
from synthgen.reports.image.sides import Images, check_sides
from synthgen.reports.image.verdicts import add_findings, add_verdicts
from synthgen.reports.report import Figure, Progress, Report, Section

__all__ = ["image_report"]

QUERIES = 2_000  # images whose nearest training image is sought, among all of them
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
    extractor: Extractor | None = None,
) -> Report:
    """Measures synthetic images against the real ones that they were made from, and real ones that they have not seen.

    Features are those of a `DomainClassifier` trained on the training images, or of a given extractor, and every figure
    over them carries its name. The Fréchet and kernel distances compare n synthetic images with all training images,
    beside n holdout images with all training images, where n is the smaller of the two sets' sizes: both depend on it.
    Precision and recall take as many training images as synthetic ones, 5,000 at most. Distances to training images are
    Euclidean, in grey levels, for 2,000 images at most and among all training images. TSTR and TRTR are the same small
    classifier.

    The classifier has seen the training images and not the holdout, which makes features of the former a little more
    alike: floors are a little high, and copies of training images look a little better than fresh images.

    Without a holdout there are no floors, no test of memorisation and no utility, and a note says so. Without labels,
    features come from telling rotations.

    Args:
        train: Real images that the generator learned from.
        holdout: Real images that it has not seen, or None.
        synthetic: Its images, of the same shape; labels are the classes that it was asked for.
        classes: Name of each class, where images carry labels 0 .. len(classes) − 1.
        name: Of the data, for the title and the features.
        seed: Of subsamples and of the classifier.
        progress: Called before each part.
        classifier: A classifier of the training images; by default the one that is kept for them, or trained now.
        extractor: Features to use in place of the classifier's: Inception, DINOv2 or CLIP from a local weights file.

    Raises:
        SynthgenError: When images differ in shape, there are fewer than 5 in a set, or labels and classes do not agree.
    """
    tell = progress or (lambda _part, _share: None)
    check_sides({"training": train, "holdout": holdout, "synthetic": synthetic}, classes)
    facts: dict[str, object] = {"training images": len(train[0]), "synthetic images": len(synthetic[0])}
    if holdout is not None:
        facts["holdout images"] = len(holdout[0])
    shape = "×".join(map(str, train[0].shape[1:]))
    report = Report(f"Synthetic image report: {name}", "images", facts={**facts, "shape": shape, "seed": seed})
    labelled = train[1] is not None and synthetic[1] is not None
    judged: list[DomainClassifier] = [] if classifier is None else [classifier]
    signs: list[Memorisation] = []
    uses: list[DownstreamAccuracy] = []

    def learn() -> None:
        if not judged:
            judged.append(domain_classifier(train[0], train[1], len(classes), seed=seed, name=name))
        report.facts["features"] = (extractor or judged[0]).name

    def compare() -> None:
        add_features(report, extractor or judged[0], train[0], holdout, synthetic[0], seed)
        if labelled and judged[0].classes:
            assert train[1] is not None
            add_recognition(report, judged[0], train[1], holdout, synthetic, list(classes))

    def use() -> None:
        if labelled and judged[0].classes and holdout is not None and holdout[1] is not None:
            uses.append(_add_utility(report, judged[0], train, holdout, synthetic, seed))

    def copies() -> None:
        pictures = _add_privacy(report, train[0], holdout, synthetic[0], seed, signs)
        report.sections.append(pictures)

    def conclude() -> None:
        report.notes = _notes(train, holdout, synthetic, extractor is None and not judged[0].classes)
        add_findings(report, signs, uses)
        add_verdicts(report, signs, uses)
        report.sections = [Section("Real and synthetic", strips(train, synthetic, classes, seed)), *report.sections]
        if "classes" in report.details:
            report.sections.append(_classes(report))

    steps = [
        ("training a classifier of the real images", learn),
        ("comparing features", compare),
        ("training a classifier of the synthetic images", use),
        ("looking for copies", copies),
        ("concluding", conclude),
    ]
    for number, (part, step) in enumerate(steps):
        tell(part, number / len(steps))
        step()
    return report


def _add_utility(
    report: Report, classifier: DomainClassifier, train: Images, holdout: Images, synthetic: Images, seed: int
) -> DownstreamAccuracy:
    assert train[1] is not None
    assert holdout[1] is not None
    assert synthetic[1] is not None
    found = downstream_accuracy(
        (train[0], train[1]),
        (holdout[0], holdout[1]),
        (synthetic[0], synthetic[1]),
        classifier.classes,
        seed=seed,
        classifier=classifier,
    )
    figure = Figure(
        "TSTR accuracy",
        np.nan,
        "utility",
        "higher",
        "Share of holdout images that a small classifier recognises when it learned from synthetic images; TRTR "
        "learned from real ones. A larger network may use the data better.",
        reference=found.trtr.value,
        reference_name="TRTR",
        percent=True,
        key=True,
    )
    both = Figure(
        "TRTR + synthetic accuracy",
        np.nan,
        "utility",
        "higher",
        "It learned from real and synthetic images together, as many steps. Over TRTR, the synthetic ones add "
        "something.",
        reference=found.trtr.value,
        reference_name="TRTR",
        percent=True,
    )
    report.figures += [figure.measured(found.tstr), both.measured(found.both)]
    return found


def _add_privacy(
    report: Report,
    train: NDArray[np.uint8],
    holdout: Images | None,
    synthetic: NDArray[np.uint8],
    seed: int,
    signs: list[Memorisation],
) -> Section:
    if holdout is None:
        random = np.random.default_rng(seed)
        asked = random.permutation(len(synthetic))[:QUERIES]
        distances, nearest = nearest_neighbours(thumbnails(synthetic[asked]), thumbnails(train))
        reached, neighbours = distances[:, 0], nearest[:, 0]
        report.figures.append(
            Figure(
                "Distance to training",
                float(np.median(reached)),
                "privacy",
                "as far as real",
                "Median distance of a synthetic image to the nearest training image, in grey levels over all "
                "pixels. It means nothing without the same distance of images that training has not seen.",
            )
        )
        closest = np.argsort(reached, kind="stable")[:PAIRS]
        pictures = synthetic[asked[closest]], train[neighbours[closest]]
        return _pairs(*pictures, reached[closest], min(QUERIES, len(synthetic)))
    found = memorisation(train, holdout[0], synthetic, queries=QUERIES, pairs=PAIRS, seed=seed)
    signs.append(found)
    report.figures += [
        Figure(
            "Memorisation ratio",
            np.nan,
            "privacy",
            "closer to 1",
            "Median distance of a synthetic image to the nearest training image, over a holdout image’s: far below "
            "1, synthetic images repeat training images. Blurred ones come near without copying, and a few copies "
            "do not move a median.",
            floor=1.0,
            key=True,
        ).measured(found.ratio),
        Figure(
            "Near copies",
            np.nan,
            "privacy",
            "no more than real",
            "Share of synthetic images as near to a training image as only 1 % of holdout images are.",
            floor=found.copied_real,
            percent=True,
            key=True,
        ).measured(found.copied),
        Figure(
            "Memorisation test p",
            found.p_value,
            "privacy",
            "not small",
            "How often chance alone would make synthetic images lean so much towards training images, had they been "
            "interchangeable with the holdout. Under 0.01 is a sign of copying; a large one proves nothing.",
            key=True,
        ),
    ]
    return _pairs(synthetic[found.synthetic], train[found.training], found.distances, min(QUERIES, len(synthetic)))


def _notes(train: Images, holdout: Images | None, synthetic: Images, rotations: bool) -> list[str]:
    notes = []
    if holdout is None:
        notes.append(
            "No holdout was given: there are no real figures to hold these against, no test of memorisation and no "
            "utility. A generator that copies its training images looks best here."
        )
    if rotations:
        notes.append(
            "Images carry no labels of two classes or more: features come from a network that tells rotations."
        )
    elif synthetic[1] is None:
        notes.append("Synthetic images carry no labels: whether they show their class was not measured.")
    shown = channels_shown(train[0].shape[1])
    return [*notes, shown] if shown else notes


def _pairs(
    synthetic: NDArray[np.uint8], training: NDArray[np.uint8], distances: NDArray[np.float64], asked: int
) -> Section:
    figures = [
        f"<figure>{picture(np.stack(pair), 'synthetic image and its neighbour')}"
        f"<figcaption>{'exact copy' if distance == 0 else f'distance {distance:.0f}'}</figcaption></figure>"
        for *pair, distance in zip(synthetic, training, distances)
    ]
    said = (
        f"The {len(figures)} of {asked:,} synthetic images that come closest to a training image: synthetic on the "
        "left, its nearest training image on the right."
    )
    html = f'<p>{escape(said)}</p><div class="pairs">{"".join(figures)}</div>'
    return Section("Nearest training images", html)


def _classes(report: Report) -> Section:
    def percent(share: float | None) -> str:
        return "—" if share is None else f"{100 * share:.1f} %"

    rows = "".join(
        f'<tr><td>{escape(str(row["class"]))}</td><td class="number">{row["images"]:,}</td>'
        f'<td class="number">{percent(row["synthetic"])}</td><td class="number">{percent(row["real"])}</td></tr>'
        for row in report.details["classes"]
    )
    head = (
        '<tr><th>class</th><th class="number">synthetic images</th><th class="number">recognised</th>'
        '<th class="number">real ones</th></tr>'
    )
    return Section("Classes", f'<div class="wide"><table class="rows"><thead>{head}</thead>{rows}</table></div>')
