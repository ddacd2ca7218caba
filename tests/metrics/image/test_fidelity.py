import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors
from torch import from_numpy
from torchmetrics.image.kid import poly_mmd

from synthgen.errors import SynthgenError
from synthgen.metrics.image.fidelity import (
    frechet_distance,
    kernel_distance,
)
from synthgen.metrics.neighbours import prdc
from tests.metrics.test_neighbours import clouds


def by_matrix_root(a, b):
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    root = sqrtm(cov_a @ cov_b).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)


def whitened(values):
    """The same cloud with mean 0 and covariance 1 exactly."""
    centred = values - values.mean(0)
    return np.linalg.solve(np.linalg.cholesky(np.cov(centred.T)), centred.T).T


def test_frechet_distance_against_the_matrix_root():
    a, b = clouds()
    assert frechet_distance(a, b) == pytest.approx(by_matrix_root(a, b), rel=1e-8)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-10)


def test_frechet_distance_of_gaussians_in_closed_form():
    a, b = (whitened(cloud) for cloud in clouds())
    scale, shift = np.linspace(0.2, 3, 12), np.linspace(-1, 1, 12)
    # Covariances that commute: |μ|² + Σ (σ_a − σ_b)².
    expected = (shift**2).sum() + ((scale - 1) ** 2).sum()
    assert frechet_distance(a, b * scale + shift) == pytest.approx(expected, rel=1e-10)


def test_frechet_distance_of_fewer_images_than_dimensions():
    a, b = clouds(rows=(8, 6))
    assert frechet_distance(a, b) == pytest.approx(by_matrix_root(a, b), rel=1e-4)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-10)


def test_kernel_distance_against_torchmetrics():
    a, b = clouds(rows=(300, 300))
    expected = float(poly_mmd(from_numpy(a), from_numpy(b)))
    assert kernel_distance(a, b) == (pytest.approx(expected, rel=1e-9), 0.0)
    mean, deviation = kernel_distance(a, b, subset_size=100, seed=3)
    assert abs(mean - expected) < 4 * deviation / np.sqrt(100) + 0.05 * expected
    assert (mean, deviation) == kernel_distance(a, b, subset_size=100, seed=3)
    assert kernel_distance(a, b, subset_size=100, seed=4) != (mean, deviation)


def test_kernel_distance_is_unbiased():
    random = np.random.default_rng(0)
    estimates = [kernel_distance(random.normal(size=(20, 4)), random.normal(size=(30, 4)))[0] for _ in range(400)]
    # A biased estimate would be near E k(x, x) / n = 0.2 off.
    assert abs(np.mean(estimates)) < 4 * np.std(estimates) / 20


def test_precision_recall_density_coverage_of_features_against_scikit_learn():
    a, b = (whitened(cloud) for cloud in clouds(rows=(300, 260)))
    b = b * 1.1 + 0.2

    def counts(query, cloud, k=5):
        """Balls of `cloud` around each point of `query`, and whether each ball holds any."""
        radii = NearestNeighbors(n_neighbors=k + 1).fit(cloud).kneighbors(cloud)[0][:, k]
        inside = pairwise_distances(query, cloud) <= radii
        return inside.sum(1), inside.any(0)

    of_real, covered = counts(b, a)
    of_synthetic, _ = counts(a, b)
    expected = (of_real > 0).mean(), (of_synthetic > 0).mean(), of_real.mean() / 5, covered.mean()
    assert prdc(a, b, k=5) == pytest.approx(expected, abs=1e-12)


def test_errors():
    a, b = clouds()
    with pytest.raises(SynthgenError, match=r"shapes \(N, D\)"):
        frechet_distance(a, b[:, :5])
    with pytest.raises(SynthgenError, match="at least 2 images"):
        kernel_distance(a, b[:1])


def test_a_million_features_are_taken_in_blocks():
    random = np.random.default_rng(3)
    a, b = random.normal(size=(20_000, 5)), random.normal(0.1, 1.2, size=(9_000, 5))
    assert frechet_distance(a, b) == pytest.approx(by_matrix_root(a, b), abs=1e-9)
    assert frechet_distance(a.astype(np.float32), b) == pytest.approx(by_matrix_root(a, b), abs=1e-5)
