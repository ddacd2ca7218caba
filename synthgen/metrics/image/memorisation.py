"""Do synthetic images repeat training images.

Nearness by itself says little: images of one kind lie near each other without anybody copying. All figures here hold
the distance to training images against the distance to, or of, holdout images, which nobody can have copied.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from synthgen.errors import SynthgenError
from synthgen.metrics.intervals import LEVEL, Estimate, proportion
from synthgen.metrics.neighbours import chunks, nearest_neighbours

__all__ = ["Memorisation", "exchange_test", "leaning", "memorisation", "reach_of_real", "thumbnails"]

NEIGHBOURS = 8
QUANTILE = 0.01
LARGEST = 64  # pixels a side that are compared


@dataclass(frozen=True)
class Memorisation:
    """What the distances to training images say; see `memorisation`.

    Attributes:
        ratio: Median distance of a synthetic image to the nearest training image, over that of a holdout image; 1 is
            best, far below it the images as a whole repeat training images. Blurred images lie near without copying,
            and a few copies do not move a median.
        copied: Share of synthetic images that are as near to a training image as the nearest 1 % of the holdout images
            are; `copied_real` is best, much more is copying. Its interval covers both sides' sampling.
        copied_real: The same share of the holdout images: 0.01, and more where real images repeat each other, or where
            the holdout has fewer than a hundred.
        p_value: Of `exchange_test`: how probable at least as much leaning towards training images would be, had they
            been exchangeable with the holdout. Small is bad; a large one proves nothing.
        synthetic: Indices of the synthetic images that come nearest to a training image, nearest first, shape (pairs,).
        training: Index of each one's nearest training image, shape (pairs,).
        distances: Between the two as they are, shape (pairs,); 0 is an exact copy.
    """

    ratio: Estimate
    copied: Estimate
    copied_real: float
    p_value: float
    synthetic: NDArray[np.int64]
    training: NDArray[np.int64]
    distances: NDArray[np.float64]


def memorisation(
    train: NDArray,
    holdout: NDArray,
    synthetic: NDArray,
    *,
    queries: int | None = 2_000,
    references: int | None = None,
    resamples: int = 999,
    pairs: int = 16,
    seed: int = 0,
    real: NDArray[np.float64] | None = None,
) -> Memorisation:
    """Holds synthetic images' distances to training images against those of holdout images.

    Give it images for Euclidean distances in grey levels, which see exact and faint copies, or features of them, which
    see copies that were moved or recoloured. Images of more than 64 pixels a side are compared as `thumbnails`. For the
    test, training images are subsampled to as many as the holdout has: of copies it can notice only those of images in
    that sample, so that a small holdout makes it blind. None of this proves privacy.

    Args:
        train: Images or features that the generator learned from, shape (N, ...).
        holdout: Real ones that it has not seen, from the same distribution, shape (M, ...).
        synthetic: Its own, shape (K, ...).
        queries: Synthetic images, and holdout images, whose neighbours are sought; None for all.
        references: Training images that are searched; None for all, which takes time in proportion. Of fewer, copies of
            the others are not seen.
        resamples: Of the test.
        pairs: How many of the nearest pairs are given.
        seed: Of all subsamples and resamples.
        real: What `reach_of_real` gives for the same real sides and arguments, where it is known already.

    Raises:
        SynthgenError: When shapes differ, or a side has fewer than 5 entries.
    """
    for side, given in (("training", train), ("holdout", holdout), ("synthetic", synthetic)):
        if len(given) < 5:
            raise SynthgenError(f"expected at least 5 {side} images, found {len(given)}")
        if given.shape[1:] != train.shape[1:]:
            raise SynthgenError(f"{side} images have shape {given.shape[1:]}, training images {train.shape[1:]}")
    floor = reach_of_real(train, holdout, queries=queries, references=references, seed=seed) if real is None else real
    random = np.random.default_rng(seed)
    known, asked = _chosen(len(train), references, seed), _chosen(len(synthetic), queries, seed)
    searched, tested = thumbnails(_taken(train, known)), thumbnails(_taken(synthetic, asked))
    reached, neighbours = nearest_neighbours(tested, searched)
    distances = reached[:, 0]
    copied = _resampled(_share_within, (distances, floor), random, limit=1.0)
    # Resamples of no copies have none either, where Wilson's interval knows better.
    alone = proportion(round(copied.value * len(distances)), len(distances))
    nearest = np.argsort(distances, kind="stable")[:pairs]

    training = known[neighbours[nearest, 0]]

    size = min(len(known), len(holdout))
    sides = (searched[random.permutation(len(searched))[:size]], holdout[random.permutation(len(holdout))[:size]])
    pool = np.concatenate([sides[0], thumbnails(sides[1])])
    around = nearest_neighbours(tested, pool, min(NEIGHBOURS, len(pool)))
    return Memorisation(
        ratio=_resampled(_ratio_of_medians, (distances, floor), random),
        copied=Estimate(copied.value, min(copied.low, alone.low), max(copied.high, alone.high)),
        copied_real=_share_within(floor, floor),
        p_value=exchange_test(*around, np.arange(len(pool)) < size, resamples=resamples, seed=seed),
        synthetic=asked[nearest],
        training=training,
        distances=_apart(synthetic[asked[nearest]], train[training]),
    )


def reach_of_real(
    train: NDArray, holdout: NDArray, *, queries: int | None = 2_000, references: int | None = None, seed: int = 0
) -> NDArray[np.float64]:
    """Distances of holdout images to their nearest training images, which `memorisation` holds the others against.

    Arguments are those of `memorisation`: they stay the same while a model trains.

    Returns:
        Shape (M,), or (queries,) where that is less.
    """
    known, control = _chosen(len(train), references, seed), _chosen(len(holdout), queries, seed)
    return nearest_neighbours(thumbnails(_taken(holdout, control)), thumbnails(_taken(train, known)))[0][:, 0]


def thumbnails(images: NDArray) -> NDArray:
    """Images of shape (N, C, H, W) averaged over squares to 64 pixels a side at most; all else as it is.

    What tells copies from neighbours is coarse, and the cost of comparing grows with the pixels.
    """
    if images.ndim != 4 or max(images.shape[2:]) <= LARGEST:
        return images
    side = -(-max(images.shape[2:]) // LARGEST)
    height, width = (pixels // side for pixels in images.shape[2:])
    small = np.empty((*images.shape[:2], height, width), images.dtype)
    for rows in chunks(len(images), images[0].size):
        part = images[rows, :, : height * side, : width * side]
        means = part.reshape(*part.shape[:2], height, side, width, side).mean((3, 5))
        small[rows] = means.round() if images.dtype == np.uint8 else means
    return small


def _chosen(count: int, limit: int | None, seed: int) -> NDArray[np.int64]:
    """Ascending indices of at most so many of `count`, drawn at random."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:limit])


def _taken(side: NDArray, rows: NDArray[np.int64]) -> NDArray:
    """Without a copy where all are taken."""
    return side if len(rows) == len(side) else side[rows]


def _apart(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """Euclidean distances of each entry to its partner."""
    return np.sqrt(((a.astype(np.float64) - b) ** 2).reshape(len(a), -1).sum(1))


def exchange_test(
    distances: NDArray[np.floating],
    neighbours: NDArray[np.integer],
    training: NDArray[np.bool_],
    *,
    resamples: int = 999,
    seed: int = 0,
) -> float:
    """Do synthetic points lean towards training points more than towards as many others that nobody has learned from.

    The statistic is the sum over synthetic points of (their `leaning`)³, so that a few copies outweigh many slight
    preferences. Had the generator not seen the training points, they and the holdout points could be exchanged: the
    statistic is held against those of random exchanges between the two (a permutation test, Fisher, 1935), which is
    exact however many synthetic points share a neighbour. Where all neighbours that are given are on one side, the
    other side counts as being as far as the last of them.

    Args:
        distances: Of the k nearest points in the pool of training and holdout points, ascending, shape (K, k).
        neighbours: Which points of the pool these are, shape (K, k).
        training: Whether each point of the pool is a training point, shape (P,).
        resamples: Random exchanges.
        seed: Of these.

    Returns:
        The one-sided p-value, at least 1 / (resamples + 1). Under the null hypothesis P(p ≤ x) ≤ x.
    """
    random = np.random.default_rng(seed)

    def statistic(of_training: NDArray[np.bool_]) -> float:
        sides = of_training[neighbours]
        return float((leaning(_first(distances, sides), _first(distances, ~sides)) ** 3).sum())

    found = statistic(training)
    # Sums of the same numbers in another order differ in their last digits, and equal ones count as no smaller.
    slack = 1e-9 * max(abs(found), 1)
    exceeding = sum(statistic(random.permutation(training)) >= found - slack for _ in range(resamples))
    return (1 + exceeding) / (1 + resamples)


def leaning(d_to_train: NDArray[np.floating], d_to_holdout: NDArray[np.floating]) -> NDArray[np.float64]:
    """(d_holdout − d_train) / (d_holdout + d_train) of each point, in [−1, 1]: 1 is a copy of a training point.

    0 for points that are as near to the one as to the other, and for those at distance 0 from both.
    """
    total = np.asarray(d_to_train, np.float64) + d_to_holdout
    return np.divide(d_to_holdout - d_to_train, total, out=np.zeros(total.shape), where=total > 0)


def _first(distances: NDArray[np.floating], chosen: NDArray[np.bool_]) -> NDArray[np.floating]:
    """The first chosen distance of each row, the last one where none is."""
    position = np.where(chosen.any(1), chosen.argmax(1), distances.shape[1] - 1)
    return np.take_along_axis(distances, position[:, None], 1)[:, 0]


def _ratio_of_medians(above: NDArray[np.float64], below: NDArray[np.float64]) -> float:
    top, bottom = np.median(above), np.median(below)
    if bottom > 0:
        return float(top / bottom)
    return float("inf") if top > 0 else 1.0  # where real images repeat each other, copies are as near as real ones


def _share_within(above: NDArray[np.float64], below: NDArray[np.float64]) -> float:
    return float((above <= np.quantile(below, QUANTILE)).mean())


def _resampled(
    statistic: Callable[[NDArray[np.float64], NDArray[np.float64]], float],
    sides: tuple[NDArray[np.float64], NDArray[np.float64]],
    random: np.random.Generator,
    limit: float = np.inf,
) -> Estimate:
    """A figure of two samples, with the normal interval by its bootstrap standard error, both sides resampled."""
    value = statistic(*sides)
    found = [statistic(*(side[random.integers(0, len(side), len(side))] for side in sides)) for _ in range(100)]
    if not np.isfinite([value, *found]).all():
        return Estimate(value, 0.0, limit)
    reach = stats.norm.ppf((1 + LEVEL) / 2) * np.std(found, ddof=1)
    return Estimate(value, float(max(value - reach, 0)), float(min(value + reach, limit)))
