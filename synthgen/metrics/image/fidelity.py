"""Do synthetic images look real, as a whole: distances between two clouds of feature vectors, and their neighbours.

Features come from any network (`DomainClassifier.features`, or Inception), and a figure only compares with figures
over the same features and the same numbers of images: the Fréchet distance of a smaller sample is larger, of real
images too.
"""

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import SynthgenError
from synthgen.metrics.image.classifier import DomainClassifier

__all__ = ["frechet_distance", "kernel_distance", "nearest_neighbours", "precision_recall", "recognised"]

CHUNK = 2**24  # distances held at once


def frechet_distance(features_a: NDArray[np.floating], features_b: NDArray[np.floating]) -> float:
    """|μ_a − μ_b|² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½) of two feature clouds, each of shape (N, D); 0 is best.

    The Fréchet distance between Gaussians with the clouds' moments (Heusel et al., 2017), which is called FID for one
    Inception network only. Blind to anything but mean and covariance, and biased upwards for few images.

    Raises:
        SynthgenError: When the clouds differ in D, or one has fewer than 2 images.
    """
    a, b = _clouds(features_a, features_b, least=2)
    mean_a, mean_b = a.mean(0), b.mean(0)
    # With Σ = RᵀR, the trace of (Σ_a Σ_b)^½ is the sum of the singular values of R_a R_bᵀ: neither a covariance nor the
    # root of a non-symmetric product is ever formed, so that a singular Σ costs no digits.
    root_a = np.linalg.qr(a - mean_a, mode="r") / np.sqrt(len(a) - 1)
    root_b = np.linalg.qr(b - mean_b, mode="r") / np.sqrt(len(b) - 1)
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    distance = ((mean_a - mean_b) ** 2).sum() + (root_a**2).sum() + (root_b**2).sum() - 2 * cross
    return float(max(distance, 0.0))


def kernel_distance(
    features_a: NDArray[np.floating],
    features_b: NDArray[np.floating],
    subsets: int = 100,
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
    a, b = _clouds(features_a, features_b, least=2)
    if subset_size is None or max(len(a), len(b)) <= subset_size:
        return _squared_discrepancy(a, b), 0.0
    random = np.random.default_rng(seed)
    size = min(subset_size, len(a), len(b))
    estimates = [
        _squared_discrepancy(a[random.permutation(len(a))[:size]], b[random.permutation(len(b))[:size]])
        for _ in range(subsets)
    ]
    return float(np.mean(estimates)), float(np.std(estimates))


def precision_recall(real: NDArray[np.floating], synthetic: NDArray[np.floating], k: int = 3) -> tuple[float, float]:
    """Share of synthetic images that lie among real ones, and of real images that lie among synthetic ones.

    A cloud's manifold is the union of balls around its points, each reaching the point's k-th nearest neighbour in the
    same cloud (Kynkäänniemi et al., 2019, eq. 1 and 2). Precision falls where images look wrong, recall where kinds of
    images are missing. Give clouds of equal size: more points fill more space.

    Args:
        real: Features, shape (N, D).
        synthetic: Features, shape (M, D).
        k: Neighbours that a ball reaches.

    Returns:
        Precision and recall, each in [0, 1]; 1 is best.

    Raises:
        SynthgenError: When the clouds differ in D, or one has k images or fewer.
    """
    real, synthetic = _clouds(real, synthetic, least=k + 1)
    return _share_within(synthetic, real, k), _share_within(real, synthetic, k)


def nearest_neighbours(query: NDArray, reference: NDArray, k: int = 1) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The k entries of `reference` that are nearest to each entry of `query`, by Euclidean distance.

    Args:
        query: Features or images, shape (N, ...); uint8 images are compared in grey levels.
        reference: Shape (M, ...), the same but for the first dimension.
        k: How many.

    Returns:
        Distances, ascending, and indices into `reference`, each of shape (N, k). A copy is at distance 0 exactly.

    Raises:
        SynthgenError: When the shapes differ, or `reference` has fewer than k entries.
    """
    if query.shape[1:] != reference.shape[1:]:
        raise SynthgenError(f"cannot compare shape {query.shape[1:]} with shape {reference.shape[1:]}")
    if len(reference) < k:
        raise SynthgenError(f"{k} neighbours were asked for among {len(reference)} entries")
    query, reference = query.reshape(len(query), -1), reference.reshape(len(reference), -1)
    picked = _candidates(query, reference, min(k + 4, len(reference)))
    distances, indices = np.empty((len(query), k)), np.empty((len(query), k), np.int64)
    for row, found in enumerate(picked):
        exact = np.sqrt(((reference[found].astype(np.float64) - query[row]) ** 2).sum(1))
        order = np.argsort(exact, kind="stable")[:k]
        distances[row], indices[row] = exact[order], found[order]
    return distances, indices


def recognised(classifier: DomainClassifier, images: NDArray[np.uint8], labels: NDArray[np.integer]) -> float:
    """Share of images that `classifier` takes for their own label, in [0, 1]; higher is better.

    Args:
        classifier: Trained on real images with the same labels.
        images: Shape (N, C, H, W).
        labels: Shape (N,).

    Raises:
        SynthgenError: When the classifier was trained without labels, or there is not one label an image.
    """
    if classifier.classes == 0:
        raise SynthgenError(f"{classifier.name} was trained without labels: it recognises no classes")
    if len(labels) != len(images):
        raise SynthgenError(f"expected one label an image, found {len(labels)} labels for {len(images)} images")
    return float((classifier.predict(images) == labels).mean())


def _clouds(
    a: NDArray[np.floating], b: NDArray[np.floating], least: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise SynthgenError(f"expected features of shapes (N, D) and (M, D), found {a.shape} and {b.shape}")
    if min(len(a), len(b)) < least:
        raise SynthgenError(f"expected at least {least} images a side, found {len(a)} and {len(b)}")
    return a.astype(np.float64), b.astype(np.float64)


def _candidates(query: NDArray, reference: NDArray, count: int) -> NDArray[np.int64]:
    """Indices, ascending, of the `count` nearest by |q|² + |r|² − 2 q·r: fast, but inexact where q is near r."""
    dtype = np.float32 if reference.dtype == np.uint8 else np.float64  # enough to rank grey levels
    centre = reference.mean(0, dtype=np.float64).astype(dtype)
    query = query.astype(dtype) - centre
    nearest = np.full((len(query), count), np.inf, dtype)
    indices = np.zeros((len(query), count), np.int64)
    for block in _chunks(len(reference), 4 * reference.shape[1]):
        points = reference[block].astype(dtype) - centre
        norms = (points**2).sum(1)
        numbers = np.arange(block.start, block.stop)
        for rows in _chunks(len(query), len(points)):
            distances = np.hstack([nearest[rows], norms - 2 * query[rows] @ points.T])
            best = np.argpartition(distances, count - 1, axis=1)[:, :count]
            known = np.hstack([indices[rows], np.broadcast_to(numbers, (len(distances), len(numbers)))])
            nearest[rows] = np.take_along_axis(distances, best, 1)
            indices[rows] = np.take_along_axis(known, best, 1)
    return np.sort(indices, axis=1)


def _squared_discrepancy(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    n, m = len(a), len(b)
    within_a = (_kernel_sum(a, a) - _cubed((a * a).sum(1), a.shape[1])) / (n * (n - 1))
    within_b = (_kernel_sum(b, b) - _cubed((b * b).sum(1), b.shape[1])) / (m * (m - 1))
    return within_a + within_b - 2 * _kernel_sum(a, b) / (n * m)


def _kernel_sum(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return sum(_cubed(a[rows] @ b.T, a.shape[1]) for rows in _chunks(len(a), len(b)))


def _cubed(products: NDArray[np.float64], dimensions: int) -> float:
    kernel = products / dimensions + 1
    return float((kernel * kernel * kernel).sum())  # much faster than a power


def _share_within(query: NDArray[np.float64], cloud: NDArray[np.float64], k: int) -> float:
    """Share of `query` inside any ball around a point of `cloud`."""
    radii = nearest_neighbours(cloud, cloud, k + 1)[0][:, -1] ** 2  # the first neighbour is the point itself
    centre = cloud.mean(0)
    points = cloud - centre
    limits = radii - (points**2).sum(1)
    inside = 0
    for rows in _chunks(len(query), len(cloud)):
        moved = query[rows] - centre
        # Rounding must not push a point off its own ball, hence the last term.
        slack = 1e-12 * (moved**2).sum(1, keepdims=True)
        inside += ((moved**2).sum(1, keepdims=True) - 2 * moved @ points.T <= limits + slack).any(1).sum()
    return float(inside / len(query))


def _chunks(rows: int, width: int) -> list[slice]:
    step = max(1, CHUNK // max(width, 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
