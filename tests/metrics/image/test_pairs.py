import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from synthgen.errors import SynthgenError
from synthgen.metrics.image.pairs import psnr, ssim


def pictures(channels=1, size=(24, 20), count=30, seed=0):
    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=(count, channels, *size)), (0, 0, 2, 2))
    return np.clip(128 + 300 * smooth, 0, 255).astype(np.uint8)


def noisy(images, deviation, seed=1):
    noise = np.random.default_rng(seed).normal(0, deviation, images.shape)
    return np.clip(images + noise, 0, 255).round().astype(np.uint8)


def ssim_by_scipy(a, b):
    """Wang et al.'s equation 13 written out, one channel of one image."""
    a, b = a.astype(float), b.astype(float)

    def local(values):
        return gaussian_filter(values, 1.5, mode="mirror", radius=5)

    mean_a, mean_b = local(a), local(b)
    var_a, var_b, both = local(a * a) - mean_a**2, local(b * b) - mean_b**2, local(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (
        ((2 * mean_a * mean_b + c1) * (2 * both + c2)) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    ).mean()


@pytest.mark.parametrize("channels", [1, 2, 3, 16])
def test_against_formulas_for_any_number_of_channels(channels):
    images = pictures(channels)
    broken = noisy(images, 12)
    error = ((images.astype(float) - broken) ** 2).mean()
    assert psnr(images, broken).value == pytest.approx(10 * np.log10(255**2 / error), abs=1e-4)
    expected = np.mean([ssim_by_scipy(a, b) for a, b in zip(images.reshape(-1, 24, 20), broken.reshape(-1, 24, 20))])
    assert ssim(images, broken).value == pytest.approx(expected, abs=1e-4)


def test_more_noise_is_worse_and_intervals_hold_the_value():
    images = pictures(3)
    for measure in (psnr, ssim):
        little, much = measure(images, noisy(images, 4)), measure(images, noisy(images, 25))
        assert little.low < little.value < little.high
        assert much.high < little.low
        assert measure(images, noisy(images, 4)) == little


def test_equal_images():
    images = pictures()
    assert psnr(images, images).value == np.inf
    assert ssim(images, images).value == pytest.approx(1)
    # One that is exact among others does not hide them.
    broken = np.concatenate([images[:1], noisy(images[1:], 12)])
    assert psnr(images, broken).value == pytest.approx(
        psnr(images[1:], broken[1:]).value + 10 * np.log10(30 / 29), abs=1e-4
    )
    assert psnr(np.zeros((1, 1, 4, 4), np.uint8), np.full((1, 1, 4, 4), 255, np.uint8)).value == pytest.approx(
        0, abs=1e-6
    )


def test_a_single_image_has_no_known_spread():
    images = pictures(count=1)
    assert (ssim(images, noisy(images, 9)).low, ssim(images, noisy(images, 9)).high) == (-1, 1)
    assert (psnr(images, noisy(images, 9)).low, psnr(images, noisy(images, 9)).high) == (0, np.inf)
    two = np.concatenate([images, images])
    half = psnr(two, np.concatenate([images, noisy(images, 9)]))
    assert half.low < half.value < half.high == np.inf


def test_batches_do_not_matter(monkeypatch):
    images = pictures()
    whole = psnr(images, noisy(images, 9)), ssim(images, noisy(images, 9))
    monkeypatch.setattr("synthgen.metrics.image.pairs.BATCH", 7)
    parts = psnr(images, noisy(images, 9)), ssim(images, noisy(images, 9))
    for one, other in zip(whole, parts):
        assert one.value == pytest.approx(other.value, rel=1e-6)


def test_errors():
    images = pictures()
    with pytest.raises(SynthgenError, match="images of 11 pixels a side, its window, found 24×10"):
        ssim(images[:, :, :, :10], images[:, :, :, :10])
    with pytest.raises(SynthgenError, match="expected uint8"):
        psnr(images, images / 255)
    with pytest.raises(SynthgenError, match="have shape"):
        psnr(images, images[:-1])
    with pytest.raises(SynthgenError, match="no images"):
        ssim(images[:0], images[:0])
