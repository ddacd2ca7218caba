import pytest
import torch

from synthgen.diffusion.discrete import (
    PREDICTIONS,
    SCHEDULES,
    DiscreteSchedule,
    clean_from,
    min_snr_weight,
    prediction_target,
)
from synthgen.errors import SynthgenError


@pytest.mark.parametrize(("name", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_noise_levels_are_those_of_diffusers(name, theirs):
    from diffusers import DDPMScheduler

    schedule = DiscreteSchedule(name, 1000)
    torch.testing.assert_close(schedule.alpha_bar, DDPMScheduler(beta_schedule=theirs).alphas_cumprod)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [20, 100, 1000])
def test_noise_grows_with_the_steps_whatever_their_number(name, steps):
    schedule = DiscreteSchedule(name, steps)
    assert len(schedule) == steps
    assert (schedule.alpha_bar.diff() < 0).all()
    assert schedule.alpha_bar[-1] < 1e-3


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_noise_level_is_met_at_its_step_and_between_two_between(name):
    schedule = DiscreteSchedule(name, 1000)
    steps = torch.tensor([0, 1, 500, 998, 999])
    torch.testing.assert_close(schedule.step_of(schedule.log_sigma[steps].exp()), steps.float(), atol=2e-3, rtol=0)
    between = schedule.log_sigma[[499, 500]].mean().exp()
    assert schedule.step_of(between[None]).item() == pytest.approx(499.5, abs=1e-2)
    assert schedule.step_of(torch.tensor([1e-9, 1e9])).tolist() == [0, 999]


@pytest.mark.parametrize("steps", [1, 7, 50, 1000])
def test_sampling_begins_at_the_last_step_and_ends_at_no_noise(steps):
    schedule = DiscreteSchedule("cosine", 1000)
    sigmas = schedule.sigmas(steps)
    assert sigmas.shape == (steps + 1,)
    assert (sigmas.diff() < 0).all()
    assert sigmas[0] == schedule.log_sigma[-1].exp()
    assert sigmas[-1] == 0
    used = schedule.step_of(sigmas[:-1])
    torch.testing.assert_close(used.diff(), torch.full((steps - 1,), -1000.0 / steps), atol=1.01, rtol=0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_what_is_predicted_says_what_the_clean_image_is(prediction):
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 50, 3, generator=generator)
    alpha_bar = torch.rand(50, 1, generator=generator).clamp(0.01, 0.99)
    noisy = alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise
    target = prediction_target(prediction, clean, noise, alpha_bar)
    torch.testing.assert_close(clean_from(prediction, target, noisy, alpha_bar), clean, atol=1e-4, rtol=0)


def test_v_is_the_velocity_on_the_circle():
    """d/dphi of cos(phi) x0 + sin(phi) eps (Salimans and Ho, 2022, appendix D)."""
    clean, noise, phi = torch.tensor(0.3), torch.tensor(-1.1), torch.tensor(0.7, requires_grad=True)
    (phi.cos() * clean + phi.sin() * noise).backward()
    torch.testing.assert_close(prediction_target("v", clean, noise, phi.detach().cos() ** 2), phi.grad)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_whatever_is_predicted_an_error_of_the_image_costs_as_much(prediction):
    """min(SNR, gamma) times its square (Hang et al., 2023, section 3.3)."""
    alpha_bar = torch.tensor([0.999, 0.9, 0.5, 0.05])
    clean, noise, off, gamma = torch.tensor(0.3), torch.tensor(-1.1), 0.01, 5.0
    noisy = alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise
    # What would have to be said for the image to be off by so much.
    wrong_noise = (noisy - alpha_bar.sqrt() * (clean + off)) / (1 - alpha_bar).sqrt()
    said = prediction_target(prediction, clean + off, wrong_noise, alpha_bar)
    right = prediction_target(prediction, clean, noise, alpha_bar)
    loss = min_snr_weight(prediction, alpha_bar, gamma) * (said - right) ** 2
    snr = alpha_bar / (1 - alpha_bar)
    torch.testing.assert_close(loss, snr.clamp(max=gamma) * off**2, rtol=2e-2, atol=0)


@pytest.mark.parametrize(
    ("name", "steps", "message"),
    [("cosin", 10, "schedule: unknown 'cosin'.*'cosine'"), ("linear", 0, "steps: found 0, expected more than 0")],
)
def test_schedules_that_cannot_be_are_refused(name, steps, message):
    with pytest.raises(SynthgenError, match=message):
        DiscreteSchedule(name, steps)


def test_more_steps_of_sampling_than_of_training_are_refused():
    with pytest.raises(SynthgenError, match="steps: found 11, expected at most the 10 of training"):
        DiscreteSchedule("linear", 10).sigmas(11)
