"""Neighbours, and what balls around points say, against loops and scikit-learn."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from synthgen.errors import SynthgenError
from synthgen.metrics import neighbours
from synthgen.metrics.neighbours import nearest_neighbours, prdc


def clouds(rows=(400, 300), dimensions=12, seed=0):
    random = np.random.default_rng(seed)
    mix = random.normal(size=(dimensions, dimensions))
    return random.normal(size=(rows[0], dimensions)), random.normal(0.3, 1, (rows[1], dimensions)) @ mix / 3


def test_balls_by_loops():
    real, synthetic = clouds(rows=(60, 40), dimensions=3)
    synthetic = synthetic * 2 + 1

    def inside(query, cloud, k):
        """(query, cloud): whether a point lies in the ball around another."""
        distances = np.linalg.norm(cloud[:, None] - cloud[None], axis=2)
        radii = np.sort(distances, axis=1)[:, k]
        return np.array([np.linalg.norm(cloud - one, axis=1) <= radii for one in query])

    for k in (1, 3, 5):
        of_synthetic, of_real = inside(synthetic, real, k), inside(real, synthetic, k)
        found = prdc(real, synthetic, k)
        assert found.precision == of_synthetic.any(axis=1).mean()
        assert found.recall == of_real.any(axis=1).mean()
        assert found.density == pytest.approx(of_synthetic.sum() / (k * len(synthetic)))
        assert found.coverage == of_synthetic.any(axis=0).mean()
        assert all(0 < figure < 1 for figure in found)


def test_balls_tell_bad_from_missing():
    random = np.random.default_rng(0)
    real = np.concatenate([random.normal(size=(200, 2)), random.normal(50, 1, (200, 2))])
    assert prdc(real, real)[:2] == (1, 1)
    assert prdc(real, real).coverage == 1
    assert prdc(real, real + 500) == (0, 0, 0, 0)
    one_mode = prdc(real, random.normal(size=(400, 2)))
    assert one_mode.precision > 0.9
    assert one_mode.recall == pytest.approx(0.5, abs=0.05)
    assert one_mode.coverage == pytest.approx(0.5, abs=0.05)


def test_a_sample_of_the_same_distribution_has_density_one():
    random = np.random.default_rng(1)
    found = prdc(random.normal(size=(2000, 4)), random.normal(size=(2000, 4)), k=5)
    assert found.density == pytest.approx(1, abs=0.05)
    assert found.coverage == pytest.approx(1 - 0.5**5, abs=0.02)  # lemma 2 of Naeem et al.: 1 − (1/2)^k at equal sizes


def test_one_outlier_fools_recall_and_not_coverage():
    random = np.random.default_rng(2)
    real = random.normal(size=(300, 2))
    narrow = np.concatenate([0.01 * random.normal(size=(299, 2)), [[30.0, 30.0]]])
    found = prdc(real, narrow)
    assert found.recall > 0.4  # of the points on its side
    assert found.coverage < 0.1


@pytest.mark.parametrize("chunk", [2**24, 64])
def test_neighbours_against_sklearn(monkeypatch, chunk):
    monkeypatch.setattr(neighbours, "CHUNK", chunk)
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
    with pytest.raises(SynthgenError, match="at least 4 points"):
        prdc(a[:3], b)
    with pytest.raises(SynthgenError, match=r"shapes \(N, D\)"):
        prdc(a, b[:, :5])
    with pytest.raises(SynthgenError, match="5 neighbours were asked for among 3"):
        nearest_neighbours(a, b[:3], 5)


def test_a_point_very_far_off_does_not_blur_the_others():
    random = np.random.default_rng(0)
    query, reference = random.random((200, 4)), random.random((1000, 4))
    reference[7, 2] = 1e12
    expected = np.linalg.norm(query[:, None] - reference, axis=2).argmin(1)
    assert (nearest_neighbours(query, reference)[1][:, 0] == expected).all()
