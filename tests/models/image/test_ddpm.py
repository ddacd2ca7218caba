"""DDPM on images whose distribution is known."""

from functools import partial

import pytest
import torch
from torch import nn

import synthgen
from synthgen.diffusion.discrete import PREDICTIONS, DiscreteSchedule, prediction_target
from synthgen.errors import SynthgenError
from synthgen.layout import ImageLayout
from synthgen.models.image.ddpm import DDPM, ImagePredictor
from synthgen.models.image.encoding import NOTHING
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
    return synthgen.fit(images, "image/ddpm", labels=labels, max_samples=16_000, batch_size=32, overrides=overrides)


def test_each_class_has_its_own_images_as_often_as_in_training(fitted):
    check_greys(fitted)


def test_saved_and_loaded_it_draws_the_same(fitted, tmp_path):
    check_same_after_loading(fitted, tmp_path / "greys")


@pytest.mark.parametrize(
    ("shape", "within", "prediction"), [((3, 20, 28), 30, "v"), ((5, 20, 28), 65, "v"), ((1, 16, 16), 30, "x0")]
)
def test_eight_images_are_learned_by_heart(shape, within, prediction):
    images, labels = eight(*shape)
    overrides = [*SMALL, "model.optimization.lr=0.006", "model.optimization.warmup=1000"]
    overrides += ["model.label_dropout=0", "model.guidance=1", f"model.prediction={prediction}"]
    fitted = synthgen.fit(images, "image/ddpm", labels=labels, max_samples=10_000, batch_size=16, overrides=overrides)
    check_learned_by_heart(fitted, images, within)


def test_images_need_no_labels():
    check_unlabelled("image/ddpm", SMALL)


@pytest.mark.gpu
def test_on_cuda():
    check_on_cuda("image/ddpm", SMALL)


def model(**settings):
    torch.manual_seed(0)
    network = partial(UNet, width=8, blocks=1, multipliers=(1,))
    return DDPM(ImageLayout(1, 4, 4), network, Optimization(), EMA(), **settings)


class Normal(nn.Module):
    """What is predicted of images whose pixels are N(mean, std²), in the place of a network that was learned."""

    def __init__(self, prediction, schedule, mean, std):
        super().__init__()
        self.prediction, self.schedule, self.mean, self.std = prediction, schedule, mean, std

    def forward(self, x, level, *given):
        step = (level + 2) / 4 * len(self.schedule)
        low = step.floor().long().clamp(max=len(self.schedule) - 2)
        log_sigma = torch.lerp(self.schedule.log_sigma[low], self.schedule.log_sigma[low + 1], step - low)
        alpha_bar = (1 / (1 + (2 * log_sigma).exp()))[:, None, None, None]
        off = (x - alpha_bar.sqrt() * self.mean) / (alpha_bar * self.std**2 + 1 - alpha_bar)
        clean = self.mean + alpha_bar.sqrt() * self.std**2 * off
        return prediction_target(self.prediction, clean, (1 - alpha_bar).sqrt() * off, alpha_bar)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_as_a_denoiser_it_finds_the_expected_clean_image(prediction):
    schedule = DiscreteSchedule("cosine", 1000)
    predictor = ImagePredictor(Normal(prediction, schedule, 0.2, 0.1), schedule, prediction)
    x, sigma = torch.tensor([0.5, -3.0, 0.1]).reshape(3, 1, 1, 1), torch.tensor([0.3, 5.0, 0.05])
    wide = sigma[:, None, None, None]
    expected = (0.2 * wide**2 + x * 0.1**2) / (wide**2 + 0.1**2)
    torch.testing.assert_close(predictor.denoised(x, sigma, NOTHING), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("sampler", ["ddim", "euler_ancestral", "dpmpp_2m", "unipc", "heun", "DDIMScheduler"])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_exact_prediction_of_a_normal_distribution_draws_it(sampler, schedule):
    steps = 1000 if sampler == "euler_ancestral" else 200  # which is of first order
    ddpm = model(guidance=1.0, schedule=schedule)
    trained = ddpm.stages[0].trained
    trained.network = Normal("v", trained.schedule, 0.2, 0.1)
    images = ddpm.sample(256, seed=1, sampler=sampler, steps=steps)["image"].float() / 127.5 - 1
    assert images.mean().item() == pytest.approx(0.2, abs=0.01)
    assert images.std().item() == pytest.approx(0.1, abs=0.01)


def test_all_of_its_own_steps_may_be_taken_and_no_more():
    ddpm = model(train_steps=20, sampler="euler_ancestral", steps=20)
    assert ddpm.sample(4)["image"].shape == (4, 1, 4, 4)
    with pytest.raises(SynthgenError, match="steps: found 21, expected at most the 20 of training"):
        ddpm.sample(4, steps=21)


@pytest.mark.parametrize(("min_snr", "expected"), [(None, 1.0), (5.0, None)])
def test_min_snr_weighs_the_loss(min_snr, expected):
    """A new network says 0 of images that are 0: what is left of v is alpha_bar eps²."""
    ddpm = model(min_snr=min_snr)
    batch = {"image": torch.full((4096, 1, 4, 4), 127, dtype=torch.uint8)}
    loss = ddpm._loss(ddpm.stages[0].module, batch, torch.Generator().manual_seed(1)).item()
    alpha_bar = ddpm.stages[0].module.schedule.alpha_bar.double()
    weight = 1 if expected else (alpha_bar / (1 - alpha_bar)).clamp(max=5) * (1 - alpha_bar)
    assert loss == pytest.approx(float((alpha_bar * weight).mean()), rel=0.03)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prediction": "eps"}, "prediction: unknown 'eps'.*'epsilon'"),
        ({"schedule": "cos"}, "schedule: unknown 'cos'"),
        ({"min_snr": 0.0}, "min_snr: found 0.0, expected more than 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(SynthgenError, match=message):
        model(**settings)
