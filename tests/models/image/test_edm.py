"""EDM on images whose distribution is known."""

import numpy as np
import pytest
import torch

import synthgen
from synthgen.data.images.images import Images
from synthgen.errors import SynthgenError
from synthgen.models.image.edm import ImageDenoiser
from tests.models.image.toys import (
    check_learned_by_heart,
    check_on_cuda,
    check_same_after_loading,
    check_unlabelled,
    eight,
    two_greys,
)

SMALL = ["network.width=16", "network.blocks=1", "network.dropout=0", "callbacks=none", "trainer=cpu"]


@pytest.fixture(scope="module")
def fitted():
    images, labels = two_greys()
    return synthgen.fit(images, labels=labels, max_samples=24_000, batch_size=64, overrides=SMALL)


def test_each_class_has_its_own_images(fitted):
    for label, grey in (("0", 60), ("1", 190)):
        pixels = fitted.sample(64, condition={"label": label}).pixels
        assert abs(pixels.mean() - grey) < 12
        # Images are flat: the spread lies between images and not within one.
        assert pixels.std(axis=(1, 2, 3)).mean() < 12


def test_free_labels_are_drawn_as_often_as_in_training(fitted):
    assert abs(fitted.sample(1000, steps=1).labels.mean() - 0.25) < 0.05


def test_saved_and_loaded_it_draws_the_same(fitted, tmp_path):
    check_same_after_loading(fitted, tmp_path / "greys")


@pytest.mark.parametrize(("shape", "within"), [((3, 20, 28), 30), ((5, 20, 28), 45)])
def test_eight_images_are_learned_by_heart(shape, within):
    images, labels = eight(*shape)
    overrides = [*SMALL, "model.optimization.lr=0.006", "model.optimization.warmup=1000"]
    overrides += ["model.label_dropout=0", "model.guidance=1"]
    fitted = synthgen.fit(images, labels=labels, max_samples=10_000, batch_size=16, overrides=overrides)
    check_learned_by_heart(fitted, images, within)


def test_images_need_no_labels():
    check_unlabelled("image/edm", SMALL)


def test_attributes_and_numbers_are_conditions(tmp_path):
    """How bright an image is, is told by a number, and by a flag which half of it is."""
    rng = np.random.default_rng(0)
    grey, left = rng.uniform(60, 220, 600), rng.integers(0, 2, 600)
    pixels = np.zeros((600, 1, 8, 8))
    pixels[left == 1, :, :, :4] = grey[left == 1][:, None, None, None]
    pixels[left == 0, :, :, 4:] = grey[left == 0][:, None, None, None]
    told = np.stack([left, grey], axis=1).astype(np.float32)
    told[:60, 1] = np.nan
    images = Images(pixels.astype(np.uint8), None, (), told, ("left", "grey"))
    overrides = [*SMALL, "model.guidance=1", "model.optimization.lr=0.003"]
    fitted = synthgen.fit(images, max_samples=24_000, batch_size=32, overrides=overrides)
    wanted = [80, 140, 200]
    for side in (0, 1):
        drawn = fitted.sample(60, condition={"left": side, "grey": np.repeat(wanted, 20)})
        halves = drawn.pixels[:, 0, :, :4].mean(axis=(1, 2)), drawn.pixels[:, 0, :, 4:].mean(axis=(1, 2))
        bright, dark = halves if side else halves[::-1]
        np.testing.assert_allclose(bright.reshape(3, 20).mean(axis=1), wanted, atol=15)
        assert dark.mean() < 15
        np.testing.assert_allclose(drawn.attributes[:, 1], np.repeat(wanted, 20), rtol=1e-3)
        assert (drawn.attributes[:, 0] == side).all()
    loaded = synthgen.load(fitted.save(tmp_path / "told"))
    again = [one.sample(40, seed=1) for one in (fitted, loaded)]
    np.testing.assert_array_equal(again[0].pixels, again[1].pixels)
    np.testing.assert_array_equal(again[0].attributes, again[1].attributes)
    assert 60 <= again[0].attributes[:, 1].min() < 100 < 180 < again[0].attributes[:, 1].max() <= 220


def test_bf16_learns_too():
    images, labels = two_greys()
    overrides = [*SMALL, "trainer.precision=bf16-mixed", "model.optimization.lr=0.003"]
    fitted = synthgen.fit(images, labels=labels, max_samples=6400, batch_size=32, overrides=overrides)
    dark, light = (fitted.sample(32, condition={"label": label}).pixels.mean() for label in "01")
    assert dark + 60 < light


@pytest.mark.gpu
def test_on_cuda():
    check_on_cuda("image/edm", SMALL)


@pytest.mark.parametrize("options", [{"sampler": "euler", "steps": 30}, {"sampler": "dpmpp_2m", "steps": 20}])
def test_samplers_agree_on_where_the_same_noise_leads(fitted, options):
    heun = fitted.sample(32, seed=1, steps=30).pixels.astype(float)
    other = fitted.sample(32, seed=1, **options).pixels.astype(float)
    assert np.abs(heun - other).mean() < 4


def test_guidance_of_one_is_none(fitted):
    """At 1 the unlabelled pass is left out; just above it, where it is not, the samples must be the same."""
    plain, hardly = (fitted.sample(8, guidance=guidance).pixels.astype(float) for guidance in (1.0, 1.0001))
    assert np.abs(plain - hardly).mean() < 1
    assert np.abs(plain - fitted.sample(8, guidance=4.0).pixels).mean() > 1


def test_a_zero_network_denoises_a_gaussian_as_well_as_is_possible():
    """With F = 0, D(x) = sigma_data² / (sigma² + sigma_data²) · x: the optimal denoiser of N(0, sigma_data²)."""

    class Zero(torch.nn.Module):
        def forward(self, x, noise, label, attributes):
            return torch.zeros_like(x)

    denoiser = ImageDenoiser(Zero(), sigma_data=0.7)
    x, sigma = torch.randn(3, 1, 4, 4), torch.tensor([0.1, 1.0, 10.0])
    expected = (0.49 / (sigma**2 + 0.49))[:, None, None, None] * x
    torch.testing.assert_close(denoiser(x, sigma), expected)


@pytest.mark.parametrize(("setting", "value"), [("rho", 0.0), ("sigma_min", 0.0), ("sigma_max", 0.001), ("steps", 0)])
def test_schedules_that_cannot_be_are_refused(setting, value):
    with pytest.raises(SynthgenError, match=rf"{setting}: found {value}, expected more than"):
        synthgen.fit(two_greys()[0], max_samples=8, overrides=[*SMALL, f"model.{setting}={value}"])
