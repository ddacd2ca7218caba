from itertools import combinations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from synthgen.errors import SynthgenError
from synthgen.metrics.image.memorisation import (
    exchange_test,
    leaning,
    memorisation,
    reach_of_real,
    thumbnails,
)
from synthgen.metrics.neighbours import nearest_neighbours


def pictures(count, random, size=8):
    """Smooth images with a shape of their own."""
    noise = gaussian_filter(random.normal(size=(count, 1, size, size)), (0, 0, 1, 1), mode="wrap")
    return np.clip(128 + 250 * noise, 0, 255).astype(np.uint8)


def test_leaning():
    found = leaning(np.array([0.0, 3.0, 2.0, 0.0, 5.0]), np.array([4.0, 1.0, 2.0, 0.0, 0.0]))
    np.testing.assert_allclose(found, [1, -0.5, 0, 0, -1])


def test_the_test_against_all_exchanges():
    random = np.random.default_rng(0)
    for bias in (0.0, 0.8):
        pool = random.normal(size=(10, 2))
        synthetic = random.normal(size=(6, 2))
        synthetic[:3] = synthetic[:3] * (1 - bias) + pool[:3] * bias
        distances = cdist(synthetic, pool)

        def statistic(chosen, distances=distances):
            mask = np.zeros(10, bool)
            mask[list(chosen)] = True
            near, far = distances[:, mask].min(1), distances[:, ~mask].min(1)
            return (((far - near) / (far + near)) ** 3).sum()

        everything = np.array([statistic(chosen) for chosen in combinations(range(10), 5)])
        expected = (everything >= statistic(range(5)) - 1e-12).mean()
        found = exchange_test(*nearest_neighbours(synthetic, pool, 10), np.arange(10) < 5, resamples=4000)
        assert found == pytest.approx(expected, abs=4 * np.sqrt(expected / 4000) + 1 / 4000)
        assert found == exchange_test(*nearest_neighbours(synthetic, pool, 10), np.arange(10) < 5, resamples=4000)


@pytest.mark.parametrize("change", [0, 6])
def test_copies_of_two_in_a_hundred_are_caught(change):
    random = np.random.default_rng(1)
    train, holdout, synthetic = pictures(400, random), pictures(400, random), pictures(500, random)
    planted = np.sort(random.permutation(500)[:10])
    sources = random.permutation(400)[:10]
    faint = np.clip(train[sources] + random.normal(0, change, (10, 1, 8, 8)), 0, 255)
    clean = memorisation(train, holdout, synthetic)
    synthetic[planted] = faint.astype(np.uint8)
    found = memorisation(train, holdout, synthetic, pairs=10)
    assert found.p_value < 0.01 < clean.p_value
    assert found.copied.value >= 0.02 > clean.copied.value
    assert found.copied_real == pytest.approx(0.01)
    assert sorted(found.synthetic) == planted.tolist()
    assert dict(zip(found.synthetic, found.training)) == dict(zip(planted, sources))
    assert (np.diff(found.distances) >= 0).all()
    assert (found.distances == 0).all() == (change == 0)
    # A median does not see them.
    assert found.ratio.low < 1 < found.ratio.high


def test_an_independent_sample_is_seldom_flagged():
    random = np.random.default_rng(2)
    everything = pictures(2000, random)
    values = []
    for seed in range(100):
        train, holdout, synthetic = np.split(random.permutation(everything)[:600], 3)
        values.append(memorisation(train, holdout, synthetic, resamples=199, seed=seed).p_value)
    flagged = np.array(values)
    assert (flagged < 0.01).sum() <= 5
    assert (flagged < 0.1).sum() <= 20
    assert 0.4 < flagged.mean() < 0.6


def test_a_collapsed_sample_is_seldom_flagged():
    """Synthetic images share the same few neighbours: a sign test would count each by itself."""
    random = np.random.default_rng(3)
    values = []
    for seed in range(100):
        train, holdout, few = random.normal(size=(60, 6)), random.normal(size=(60, 6)), random.normal(size=(3, 6))
        synthetic = np.repeat(few, 100, 0) + 0.01 * random.normal(size=(300, 6))
        values.append(memorisation(train, holdout, synthetic, resamples=199, seed=seed).p_value)
    assert (np.array(values) < 0.01).sum() <= 5


def test_blurred_images_are_near_but_no_copies():
    random = np.random.default_rng(4)
    train, holdout = pictures(400, random), pictures(400, random)
    blurred = gaussian_filter(pictures(400, random).astype(float), (0, 0, 2, 2), mode="wrap").astype(np.uint8)
    found = memorisation(train, holdout, blurred)
    assert found.ratio.high < 0.9
    assert found.p_value > 0.01
    copies = memorisation(train, holdout, train[::-1])
    assert copies.ratio.value == copies.ratio.high == 0
    assert copies.copied.value == 1
    assert copies.p_value == 1 / 1000


def test_real_images_that_repeat_each_other():
    random = np.random.default_rng(5)
    few = pictures(5, random)
    train, holdout, synthetic = (few[random.integers(0, 5, 100)] for _ in range(3))
    found = memorisation(train, holdout, synthetic)
    assert found.ratio.value == 1
    assert found.copied.value == found.copied_real == 1
    assert found.p_value == 1
    other = memorisation(train, holdout, pictures(100, random))
    assert (other.ratio.value, other.ratio.low, other.ratio.high) == (np.inf, 0, np.inf)
    assert other.copied.value == 0
    assert other.copied.low < 1e-9 < other.copied.high < 0.05


def test_the_share_of_an_independent_sample_is_within_its_interval():
    random = np.random.default_rng(8)
    hits = []
    for seed in range(50):
        train, holdout, synthetic = (random.normal(size=(count, 4)) for count in (300, 400, 400))
        found = memorisation(train, holdout, synthetic, resamples=1, seed=seed)
        hits.append((found.copied.low <= 0.01 <= found.copied.high, found.ratio.low <= 1 <= found.ratio.high))
    assert (np.sum(hits, 0) >= 43).all()


def test_subsamples_are_drawn_by_the_seed():
    random = np.random.default_rng(6)
    train, holdout, synthetic = (random.normal(size=(count, 5)) for count in (500, 90, 300))
    synthetic[250:] = train[250:300]

    def found(**settings):
        return memorisation(train, holdout, synthetic, resamples=99, **settings)

    some = found(queries=120, references=200, seed=1)
    assert len(some.synthetic) == len(some.training) == 16
    expected = np.linalg.norm(synthetic[some.synthetic] - train[some.training], axis=1)
    np.testing.assert_allclose(some.distances, expected)
    again, other = found(queries=120, references=200, seed=1), found(queries=120, references=200, seed=2)
    assert again.synthetic.tolist() == some.synthetic.tolist() != other.synthetic.tolist()
    assert (again.ratio, again.p_value) == (some.ratio, some.p_value)
    everything = found(queries=None, references=None, pairs=50)
    assert sorted(everything.synthetic) == list(range(250, 300))
    assert (everything.distances == 0).all()


def test_errors():
    random = np.random.default_rng(7)
    images = pictures(20, random)
    with pytest.raises(SynthgenError, match="at least 5 holdout images, found 4"):
        memorisation(images, images[:4], images)
    with pytest.raises(SynthgenError, match=r"synthetic images have shape \(1, 8, 4\)"):
        memorisation(images, images, images[..., :4])


def test_all_training_images_are_searched():
    random = np.random.default_rng(9)
    train, holdout, synthetic = pictures(6000, random), pictures(300, random), pictures(400, random)
    synthetic[:80] = train[random.permutation(6000)[:80]]
    found = memorisation(train, holdout, synthetic)
    assert 0.2 <= found.copied.value < 0.25
    assert (found.distances == 0).all()
    few = memorisation(train, holdout, synthetic, references=600)
    assert few.copied.value < 0.1


def test_what_real_images_reach_may_be_known_already():
    random = np.random.default_rng(10)
    train, holdout, synthetic = pictures(200, random), pictures(100, random), pictures(100, random)
    reach = reach_of_real(train, holdout, queries=50, seed=3)
    assert reach.shape == (50,)
    found, again = (memorisation(train, holdout, synthetic, queries=50, seed=3, real=real) for real in (None, reach))
    assert found.copied == again.copied
    assert found.ratio == again.ratio


def test_large_images_are_compared_as_thumbnails():
    random = np.random.default_rng(11)
    train, holdout, synthetic = (
        np.repeat(np.repeat(pictures(count, random, 16), 9, 2), 9, 3) for count in (300, 200, 200)
    )
    assert train.shape[2:] == (144, 144)
    small = thumbnails(train)
    assert small.shape == (300, 1, 48, 48)
    assert small.dtype == np.uint8
    np.testing.assert_array_equal(small[..., ::3, ::3], train[..., ::9, ::9])
    noise = random.integers(-40, 41, (20, 1, 144, 144))
    synthetic[:20] = np.clip(train[:20] + noise, 0, 255)
    found = memorisation(train, holdout, synthetic, pairs=20)
    assert found.p_value < 0.01
    assert sorted(found.synthetic) == list(range(20))
    assert (found.synthetic == found.training).all()
    assert (found.distances > 1000).all()  # at full size, where they are no exact copies
    odd = thumbnails(pictures(2, random, 131))
    assert odd.shape == (2, 1, 43, 43)
