import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors
from torch import from_numpy
from torchmetrics.image.kid import poly_mmd

from synthgen.errors import SynthgenError
from synthgen.metrics.image import fidelity
from synthgen.metrics.image.fidelity import (
    frechet_distance,
    kernel_distance,
    nearest_neighbours,
    precision_recall,
)


def clouds(rows=(400, 300), dimensions=12, seed=0):
    random = np.random.default_rng(seed)
    mix = random.normal(size=(dimensions, dimensions))
    return random.normal(size=(rows[0], dimensions)), random.normal(0.3, 1, (rows[1], dimensions)) @ mix / 3


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


def test_precision_and_recall_by_loops():
    real, synthetic = clouds(rows=(60, 40), dimensions=3)
    synthetic = synthetic * 2 + 1

    def share(query, cloud, k):
        distances = np.linalg.norm(cloud[:, None] - cloud[None], axis=2)
        radii = np.sort(distances, axis=1)[:, k]
        return np.mean([(np.linalg.norm(cloud - one, axis=1) <= radii).any() for one in query])

    for k in (1, 3, 5):
        assert precision_recall(real, synthetic, k) == (share(synthetic, real, k), share(real, synthetic, k))
    assert all(0 < share < 1 for share in precision_recall(real, synthetic))


def test_precision_and_recall_tell_bad_from_missing():
    random = np.random.default_rng(0)
    real = np.concatenate([random.normal(size=(200, 2)), random.normal(50, 1, (200, 2))])
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real, real + 500) == (0, 0)
    one_mode = random.normal(size=(400, 2))
    precision, recall = precision_recall(real, one_mode)
    assert precision > 0.9
    assert recall == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("chunk", [2**24, 64])
def test_neighbours_against_sklearn(monkeypatch, chunk):
    monkeypatch.setattr(fidelity, "CHUNK", chunk)
    a, b = clouds(rows=(50, 80))
    expected = NearestNeighbors(n_neighbors=3).fit(b).kneighbors(a)
    distances, indices = nearest_neighbours(a, b, 3)
    np.testing.assert_allclose(distances, expected[0], rtol=1e-10)
    np.testing.assert_array_equal(indices, expected[1])


def test_copies_of_images_are_at_distance_zero():
    images = np.random.default_rng(0).integers(0, 256, (300, 3, 32, 32)).astype(np.uint8)
    distances, indices = nearest_neighbours(images[[7, 250]], images)
    assert (distances == 0).all()
    assert indices[:, 0].tolist() == [7, 250]
    changed = images[7:8].copy()
    changed[0, 0, 0, 0] ^= 3  # one pixel by up to three grey levels
    assert 0 < nearest_neighbours(changed, images)[0][0, 0] <= 3


def test_errors():
    a, b = clouds()
    with pytest.raises(SynthgenError, match=r"shapes \(N, D\)"):
        frechet_distance(a, b[:, :5])
    with pytest.raises(SynthgenError, match="at least 2 images"):
        kernel_distance(a, b[:1])
    with pytest.raises(SynthgenError, match="at least 4 images"):
        precision_recall(a[:3], b)
    with pytest.raises(SynthgenError, match="5 neighbours were asked for among 3"):
        nearest_neighbours(a, b[:3], 5)
