"""Do synthetic images look real, as a whole: distances between two clouds of feature vectors.

Features come from any network (see `extractors.py`), and a figure only compares with figures
over the same features and the same numbers of images: the Fréchet distance of a smaller sample is larger, of real
images too.
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import SynthgenError
from synthgen.metrics.image.classifier import DomainClassifier
from synthgen.metrics.intervals import Estimate, proportion
from synthgen.metrics.neighbours import chunks

__all__ = ["SUBSETS", "frechet_distance", "kernel_distance", "recognised"]

SUBSETS = 100
"""Pairs of subsets that a kernel distance of many images is averaged over."""


def frechet_distance(features_a: NDArray[np.floating], features_b: NDArray[np.floating]) -> float:
    """|μ_a − μ_b|² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½) of two feature clouds, each of shape (N, D); 0 is best.

    The Fréchet distance between Gaussians with the clouds' moments (Heusel et al., 2017), which is called FID for one
    Inception network only. Blind to anything but mean and covariance, and biased upwards for few images.

    Raises:
        SynthgenError: When the clouds differ in D, or one has fewer than 2 images.
    """
    _check_clouds(features_a, features_b, least=2)
    # With Σ = RᵀR, the trace of (Σ_a Σ_b)^½ is the sum of the singular values of R_a R_bᵀ: neither a covariance nor the
    # root of a non-symmetric product is ever formed, so that a singular Σ costs no digits.
    (mean_a, root_a), (mean_b, root_b) = _moments(features_a), _moments(features_b)
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    distance = ((mean_a - mean_b) ** 2).sum() + (root_a**2).sum() + (root_b**2).sum() - 2 * cross
    return float(max(distance, 0.0))


def kernel_distance(
    features_a: NDArray[np.floating],
    features_b: NDArray[np.floating],
    subsets: int = SUBSETS,
    subset_size: int | None = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Squared maximum mean discrepancy of two feature clouds under the kernel (x·y / D + 1)³; 0 is best.

    The unbiased estimate of Bińkowski et al. (2018), "kernel inception distance" for Inception features: unlike the
    Fréchet distance it does not grow for few images, and may fall a little under 0.

    Args:
        features_a: Shape (N, D).
        features_b: Shape (M, D).
        subsets: How many random pairs of subsets are averaged.
        subset_size: Images in each subset, without replacement; None takes all images once. So do clouds that are no
            larger than a subset.
        seed: Of the subsets.

    Returns:
        Mean and standard deviation over the subsets; the deviation is 0 where all images were taken at once.

    Raises:
        SynthgenError: When the clouds differ in D, or one has fewer than 2 images.
    """
    _check_clouds(features_a, features_b, least=2)
    a, b = features_a.astype(np.float64), features_b.astype(np.float64)
    if subset_size is None or max(len(a), len(b)) <= subset_size:
        return _squared_discrepancy(a, b), 0.0
    random = np.random.default_rng(seed)
    size = min(subset_size, len(a), len(b))
    estimates = [
        _squared_discrepancy(a[random.permutation(len(a))[:size]], b[random.permutation(len(b))[:size]])
        for _ in range(subsets)
    ]
    return float(np.mean(estimates)), float(np.std(estimates))


def recognised(classifier: DomainClassifier, images: NDArray[np.uint8], labels: NDArray[np.integer]) -> Estimate:
    """Share of images that `classifier` takes for their own label, in [0, 1], with Wilson's interval.

    Of synthetic images and a classifier of real ones it is conditional accuracy, the classification accuracy score's
    counterpart (Ravuri and Vinyals, 2019): best is what held-out real images reach. More means that hard cases are
    missing; one perfect image a class, repeated, reaches 1. The interval is over images and leaves the classifier's own
    training out.

    Args:
        classifier: Trained on real images with the same labels.
        images: Shape (N, C, H, W), N at least 1.
        labels: Shape (N,).

    Raises:
        SynthgenError: When the classifier was trained without labels, there is not one label an image, or no image.
    """
    if classifier.classes == 0:
        raise SynthgenError(f"{classifier.name} was trained without labels: it recognises no classes")
    if len(labels) != len(images):
        raise SynthgenError(f"expected one label an image, found {len(labels)} labels for {len(images)} images")
    if not len(images):
        raise SynthgenError(f"{classifier.name} was given no images to recognise")
    return proportion(int((classifier.predict(images) == labels).sum()), len(images))


def _check_clouds(a: NDArray[np.floating], b: NDArray[np.floating], least: int) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise SynthgenError(f"expected features of shapes (N, D) and (M, D), found {a.shape} and {b.shape}")
    if min(len(a), len(b)) < least:
        raise SynthgenError(f"expected at least {least} images a side, found {len(a)} and {len(b)}")


def _moments(features: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean, and R with Σ = RᵀR: a block at a time, so that a million images need no second copy of themselves."""
    mean = features.mean(0, dtype=np.float64)
    root: NDArray[np.float64] = np.empty((0, features.shape[1]))
    rows = max(4 * features.shape[1], 8192)  # many more than R has, which is decomposed again with each block
    for start in range(0, len(features), rows):
        block = features[start : start + rows].astype(np.float64) - mean
        stacked = np.concatenate([root, block])
        root = cast(NDArray[np.float64], np.linalg.qr(stacked, mode="r"))
    return mean, root / np.sqrt(len(features) - 1)


def _squared_discrepancy(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    n, m = len(a), len(b)
    within_a = (_kernel_sum(a, a) - _cubed((a * a).sum(1), a.shape[1])) / (n * (n - 1))
    within_b = (_kernel_sum(b, b) - _cubed((b * b).sum(1), b.shape[1])) / (m * (m - 1))
    return within_a + within_b - 2 * _kernel_sum(a, b) / (n * m)


def _kernel_sum(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return sum(_cubed(a[rows] @ b.T, a.shape[1]) for rows in chunks(len(a), len(b)))


def _cubed(products: NDArray[np.float64], dimensions: int) -> float:
    kernel = products / dimensions + 1
    return float((kernel * kernel * kernel).sum())  # much faster than a power
