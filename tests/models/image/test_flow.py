"""Flow matching on images whose distribution is known."""

from functools import partial

import pytest
import torch
from torch import nn

import synthgen
from synthgen.errors import SynthgenError
from synthgen.layout import ImageLayout
from synthgen.models.image.encoding import NOTHING
from synthgen.models.image.flow import Flow
from synthgen.models.stages import EMA, Optimization
from synthgen.networks.unet import UNet
from tests.models.image.toys import (
    check_greys,
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
    overrides = [*SMALL, "model.optimization.lr=0.003", "model.guidance=1"]
    return synthgen.fit(images, "image/flow", labels=labels, max_samples=16_000, batch_size=32, overrides=overrides)


def test_each_class_has_its_own_images_as_often_as_in_training(fitted):
    check_greys(fitted)


def test_saved_and_loaded_it_draws_the_same(fitted, tmp_path):
    check_same_after_loading(fitted, tmp_path / "greys")


@pytest.mark.parametrize("options", [{"sampler": "dopri5"}, {"steps": 40}, {"sampler": "unipc", "steps": 40}])
def test_samplers_agree_on_where_the_same_noise_leads(fitted, options):
    """Over the velocity and over the denoiser."""
    fine = fitted.sample(32, sampler="heun", steps=100, seed=1).pixels.astype(float)
    assert abs(fitted.sample(32, seed=1, **options).pixels - fine).mean() < 2.5


@pytest.mark.parametrize(("shape", "within"), [((3, 20, 28), 30), ((5, 20, 28), 65)])
def test_eight_images_are_learned_by_heart(shape, within):
    images, labels = eight(*shape)
    overrides = [*SMALL, "model.optimization.lr=0.006", "model.optimization.warmup=1000"]
    overrides += ["model.label_dropout=0", "model.guidance=1", "model.pairing=optimal_transport"]
    fitted = synthgen.fit(images, "image/flow", labels=labels, max_samples=10_000, batch_size=16, overrides=overrides)
    check_learned_by_heart(fitted, images, within)


def test_images_need_no_labels():
    check_unlabelled("image/flow", SMALL)


@pytest.mark.gpu
def test_on_cuda():
    check_on_cuda("image/flow", SMALL)


def model(**settings):
    torch.manual_seed(0)
    network = partial(UNet, width=8, blocks=1, multipliers=(1,))
    return Flow(ImageLayout(1, 4, 4), network, Optimization(), EMA(), **settings)


class Normal(nn.Module):
    """The velocity of images whose pixels are N(mean, std²), in the place of a network that was learned."""

    def __init__(self, mean, std):
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x, t, given=NOTHING):
        t = t[:, None, None, None]
        off = (x - (1 - t) * self.mean) / ((1 - t) ** 2 * self.std**2 + t**2)
        return t * off - (self.mean + (1 - t) * self.std**2 * off)


@pytest.mark.parametrize("sampler", ["euler", "heun", "dopri5", "dpmpp_2m", "unipc", "euler_ancestral"])
def test_the_velocity_of_a_normal_distribution_draws_it(sampler):
    flow = model(guidance=1.0)
    flow.stages[0].average = Normal(0.2, 0.1)
    assert isinstance(flow.stages[0].trained, Normal)
    images = flow.sample(256, seed=1, sampler=sampler, steps=100)["image"].float() / 127.5 - 1
    assert images.mean().item() == pytest.approx(0.2, abs=0.01)
    assert images.std().item() == pytest.approx(0.1, abs=0.01)


def test_as_a_denoiser_it_finds_the_expected_clean_image():
    flow = model()
    flow.stages[0].average = Normal(0.2, 0.1)
    x, sigma = torch.tensor([0.5, -3.0]).reshape(2, 1, 1, 1), torch.tensor([0.3, 5.0])
    wide = sigma[:, None, None, None]
    expected = (0.2 * wide**2 + x * 0.1**2) / (wide**2 + 0.1**2)
    torch.testing.assert_close(flow.denoised(x, sigma, NOTHING), expected, atol=1e-5, rtol=0)


def test_a_new_network_has_the_loss_of_knowing_nothing():
    """E (eps − x0)² of noise and of images that are half black, half white."""
    flow = model()
    batch = {"image": (torch.rand(512, 1, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.5).byte() * 255}
    loss = flow._loss(flow.stages[0].module, batch, torch.Generator().manual_seed(1))
    assert loss.item() == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"time_std": 0.0}, "time_std: found 0.0, expected more than 0"),
        ({"pairing": "optimal"}, "pairing: unknown 'optimal'.*'optimal_transport'"),
        ({"sampler": "dopri"}, "sampler: unknown 'dopri'.*'dopri5'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(SynthgenError, match=message):
        model(**settings)
