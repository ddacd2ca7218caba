"""Are synthetic images of use: does a classifier that learned from them work on real ones that it has not seen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgen.metrics.image.classifier import DomainClassifier, telling, train_classifier
from synthgen.metrics.image.fidelity import recognised
from synthgen.metrics.intervals import Estimate, proportion

__all__ = ["DownstreamAccuracy", "downstream_accuracy"]


@dataclass(frozen=True)
class DownstreamAccuracy:
    """Shares of real holdout images that a classifier recognises, each in [0, 1], higher is better; with intervals.

    Attributes:
        trtr: Trained on real images: what the others are held against.
        tstr: Trained on synthetic ones.
        both: Trained on real and synthetic ones together; above `trtr` the synthetic ones add something.
        guessing: What naming the holdout's most frequent class each time reaches.
    """

    trtr: Estimate
    tstr: Estimate
    both: Estimate
    guessing: float


def downstream_accuracy(
    train: tuple[NDArray[np.uint8], NDArray[np.integer]],
    holdout: tuple[NDArray[np.uint8], NDArray[np.integer]],
    synthetic: tuple[NDArray[np.uint8], NDArray[np.integer]],
    classes: int,
    *,
    seed: int = 0,
    budget: int | None = None,
    classifier: DomainClassifier | None = None,
    progress: Callable[[float], None] | None = None,
) -> DownstreamAccuracy:
    """Trains the same small classifier on real, on synthetic and on both, and tests each on real holdout images.

    Train on synthetic, test on real (Esteban et al., 2017); for images also "classification accuracy score" (Ravuri and
    Vinyals, 2019). All three see the same number of images in training, so that more synthetic data is more variety and
    not more training. Wilson's intervals are over holdout images: they leave out how much another seed would change,
    and as all three are tested on the same images, intervals that overlap a little may still differ. A larger network
    may use the data better, and copies of the training images reach TRTR.

    Args:
        train: Real images that the generator learned from, shape (N, C, H, W), uint8, and their labels, 0 .. classes−1.
        holdout: Real ones that it has not seen, and theirs.
        synthetic: Its own, and the labels that they were made for.
        classes: Number of classes.
        seed: Of the classifiers.
        budget: Images that each sees in training; None for 20 passes over `train`, but 100,000 at most.
        classifier: The one trained on `train` with the same seed and budget, where it exists already.
        progress: Called with the share of all training that is done, up to 1.

    Raises:
        SynthgenError: As `train_classifier` and `DomainClassifier.predict` do.
    """
    budget = min(20 * len(train[0]), 100_000) if budget is None else budget
    mixed = np.concatenate([train[0], synthetic[0]]), np.concatenate([train[1], synthetic[1]])
    todo = [synthetic, mixed] if classifier else [train, synthetic, mixed]
    reached = [] if classifier is None else [recognised(classifier, *holdout)]
    for number, (images, labels) in enumerate(todo):
        tell = None if progress is None else _part(progress, number, len(todo))
        if telling(labels) is None:  # who has seen one class alone names it each time
            reached.append(proportion(int((holdout[1] == labels[0]).sum()), len(holdout[1])))
        else:
            learned = train_classifier(images, labels, classes, seed, budget, progress=tell)
            reached.append(recognised(learned, *holdout))
    guessing = float(np.bincount(holdout[1]).max() / len(holdout[1]))
    trtr, tstr, both = reached
    return DownstreamAccuracy(trtr, tstr, both, guessing)


def _part(progress: Callable[[float], None], number: int, parts: int) -> Callable[[float], None]:
    return lambda share: progress((number + share) / parts)
