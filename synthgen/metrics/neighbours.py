"""Neighbours in a cloud of points, of rows or of images, and what they say of two clouds."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import SynthgenError

__all__ = ["PRDC", "chunks", "nearest_neighbours", "prdc"]

CHUNK = 2**24  # distances held at once
SOME = 1000  # points that the middle of a cloud is taken from


class PRDC(NamedTuple):
    """What the balls around real and synthetic points say; see `prdc`.

    Attributes:
        precision: Share of synthetic points inside any real ball, in [0, 1]; falls where points look wrong.
        recall: Share of real points inside any synthetic ball, in [0, 1]; falls where kinds of points are missing.
        density: Real balls that a synthetic point lies in, over k, on average: 1 for the real distribution itself, 0
            far away, above 1 where synthetic points crowd into the densest places.
        coverage: Share of real balls with a synthetic point inside, in [0, 1].
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: NDArray[np.floating], synthetic: NDArray[np.floating], k: int = 3) -> PRDC:
    """How two clouds of points lie within each other.

    Each point has a ball that reaches its k-th nearest neighbour in its own cloud. Precision and recall are those of
    Kynkäänniemi et al. (2019, equations 1 and 2), density and coverage those of Naeem et al. (2020, equations 3 and 4),
    who look at real balls alone, as a single synthetic outlier has a ball that holds everything. Give clouds of equal
    size: more points fill more space. None of the four sees a copy of a real point as one. The cost is quadratic.

    Args:
        real: Shape (N, D).
        synthetic: Shape (M, D).
        k: Neighbours that a ball reaches.

    Raises:
        SynthgenError: When the clouds differ in D, or one has k points or fewer.
    """
    if real.ndim != 2 or synthetic.ndim != 2 or real.shape[1] != synthetic.shape[1]:
        raise SynthgenError(f"expected points of shapes (N, D) and (M, D), found {real.shape} and {synthetic.shape}")
    if min(len(real), len(synthetic)) <= k:
        raise SynthgenError(f"expected at least {k + 1} points a side, found {len(real)} and {len(synthetic)}")
    a, b = real.astype(np.float64), synthetic.astype(np.float64)
    balls, covered = _balls_around(b, a, k)
    recalled, _ = _balls_around(a, b, k)
    return PRDC(float((balls > 0).mean()), float((recalled > 0).mean()), float(balls.mean() / k), float(covered.mean()))


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


def chunks(rows: int, width: int) -> list[slice]:
    """Slices of `rows` rows such that a slice times `width` numbers fits into memory with room to spare."""
    step = max(1, CHUNK // max(width, 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def _candidates(query: NDArray, reference: NDArray, count: int) -> NDArray[np.int64]:
    """Indices, ascending, of the `count` nearest by |q|² + |r|² − 2 q·r: fast, but inexact where q is near r."""
    dtype = np.float32 if reference.dtype == np.uint8 else np.float64  # enough to rank grey levels
    # A median, as a single point that lies very far off would move a mean so far that no digits are left.
    centre = np.median(reference[:: -(-len(reference) // SOME)], axis=0).astype(dtype)
    query = query.astype(dtype) - centre
    nearest = np.full((len(query), count), np.inf, dtype)
    indices = np.zeros((len(query), count), np.int64)
    # Blocks of few points would be bound by memory: each reads all queries again.
    for block in chunks(len(reference), min(4 * reference.shape[1], CHUNK // 512)):
        points = reference[block].astype(dtype) - centre
        norms = (points**2).sum(1)
        numbers = np.arange(block.start, block.stop)
        for rows in chunks(len(query), len(points)):
            distances = np.hstack([nearest[rows], norms - 2 * query[rows] @ points.T])
            best = np.argpartition(distances, count - 1, axis=1)[:, :count]
            known = np.hstack([indices[rows], np.broadcast_to(numbers, (len(distances), len(numbers)))])
            nearest[rows] = np.take_along_axis(distances, best, 1)
            indices[rows] = np.take_along_axis(known, best, 1)
    return np.sort(indices, axis=1)


def _balls_around(
    query: NDArray[np.float64], cloud: NDArray[np.float64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """In how many balls of `cloud` each point of `query` lies, (N,), and which balls have any of them inside, (M,)."""
    radii = nearest_neighbours(cloud, cloud, k + 1)[0][:, -1] ** 2  # the first neighbour is the point itself
    centre = cloud.mean(0)
    points = cloud - centre
    limits = radii - (points**2).sum(1)
    counts, occupied = np.zeros(len(query), np.int64), np.zeros(len(cloud), bool)
    for rows in chunks(len(query), len(cloud)):
        moved = query[rows] - centre
        # Rounding must not push a point off its own ball, hence the last term.
        slack = 1e-12 * (moved**2).sum(1, keepdims=True)
        inside = (moved**2).sum(1, keepdims=True) - 2 * moved @ points.T <= limits + slack
        counts[rows] = inside.sum(1)
        occupied |= inside.any(0)
    return counts, occupied
