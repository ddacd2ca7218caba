"""On a mixture of Gaussians, whose denoiser is known, against an ODE solver of SciPy."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import kstest, norm

from synthgen.diffusion.samplers import SAMPLERS, ddim, dpmpp_2m, euler, euler_ancestral, heun, unipc
from synthgen.diffusion.schedules import karras_sigmas

WEIGHTS = torch.tensor([0.3, 0.7], dtype=torch.float64)
MEANS = torch.tensor([-1.0, 0.8], dtype=torch.float64)
STDS = torch.tensor([0.3, 0.5], dtype=torch.float64)


def mixture_denoiser(x, sigma):
    """E[x0 | x]: each component's own posterior mean, weighted by how likely the component is."""
    variance = STDS**2 + sigma**2
    x = x[..., None]
    log_likelihood = WEIGHTS.log() - (x - MEANS) ** 2 / (2 * variance) - variance.log() / 2
    component = log_likelihood.softmax(dim=-1)
    return (component * (MEANS * sigma**2 + x * STDS**2) / variance).sum(dim=-1)


def distribution(x):
    """Of the mixture, cumulative."""
    return norm.cdf(x[:, None], MEANS.numpy(), STDS.numpy()) @ WEIGHTS.numpy()


def seeded():
    return torch.Generator().manual_seed(0)


def grid(steps, first=10.0, last=0.1):
    """Noise levels as of Karras et al., but in double precision and without the step to 0."""
    return torch.linspace(first ** (1 / 7), last ** (1 / 7), steps + 1, dtype=torch.float64) ** 7


@pytest.fixture(scope="module")
def start():
    return torch.linspace(-15, 15, 7, dtype=torch.float64)


@pytest.fixture(scope="module")
def exact(start):
    def slope(sigma, x):
        return ((torch.from_numpy(x) - mixture_denoiser(torch.from_numpy(x), torch.tensor(sigma))) / sigma).numpy()

    solved = solve_ivp(slope, (10.0, 0.1), start.numpy(), method="DOP853", rtol=1e-12, atol=1e-12)
    return torch.from_numpy(solved.y[:, -1])


@pytest.mark.parametrize(("sampler", "order"), [(euler, 1), (ddim, 1), (heun, 2), (dpmpp_2m, 2), (unipc, 3)])
def test_order_of_convergence_is_the_one_documented(sampler, order, start, exact):
    errors = [(sampler(mixture_denoiser, start, grid(steps)) - exact).abs().mean() for steps in (128, 256, 512)]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)
    assert errors[-1] < 0.02


def test_dpmpp_2m_takes_the_steps_of_its_paper(start):
    """Lu et al. (2022), algorithm 2, as printed: lambda = −ln sigma, r = h_{i-1} / h_i; first and last step of order 1.

    The order of convergence does not see a wrong r: the errors of a step and of the next one cancel.
    """
    sigmas = [10.0, 4.0, 3.5, 1.0, 0.2, 0.15, 0.0]
    x, data = start.numpy(), []
    for i in range(1, 7):
        data.append(mixture_denoiser(torch.from_numpy(x), torch.tensor(sigmas[i - 1])).numpy())
        if sigmas[i] == 0:
            x = data[-1]
            break
        h = math.log(sigmas[i - 1] / sigmas[i])
        extrapolated = data[-1]
        if i > 1:
            r = math.log(sigmas[i - 2] / sigmas[i - 1]) / h
            extrapolated = (1 + 1 / (2 * r)) * data[-1] - 1 / (2 * r) * data[-2]
        x = sigmas[i] / sigmas[i - 1] * x - (math.exp(-h) - 1) * extrapolated
    drawn = dpmpp_2m(mixture_denoiser, start, torch.tensor(sigmas, dtype=torch.float64))
    np.testing.assert_allclose(drawn.numpy(), x, rtol=1e-6)


def test_ddim_is_euler_on_the_path_with_another_alpha(start):
    """Song et al. (2021), equation 12 as printed, over x / sqrt(1 + sigma²), alpha² = 1 / (1 + sigma²)."""
    sigmas = grid(12)
    x = start / (1 + sigmas[0] ** 2).sqrt()
    for sigma, sigma_next in pairwise(sigmas):
        alpha, alpha_next = (1 / (1 + level**2) for level in (sigma, sigma_next))  # their alpha is squared
        predicted = mixture_denoiser(x / alpha.sqrt(), sigma)
        noise = (x - alpha.sqrt() * predicted) / (1 - alpha).sqrt()
        x = alpha_next.sqrt() * predicted + (1 - alpha_next).sqrt() * noise
    torch.testing.assert_close(ddim(mixture_denoiser, start, sigmas), x * (1 + sigmas[-1] ** 2).sqrt())


def test_euler_ancestral_draws_from_the_posterior_of_ddpm():
    """Ho et al. (2020), equations 6 and 7, over x / sqrt(1 + sigma²), for a denoiser that always says the same."""
    sigma, sigma_next, clean, x = 2.0, 1.2, 0.5, 3.0
    sigmas = torch.tensor([sigma, sigma_next], dtype=torch.float64)
    drawn = euler_ancestral(
        lambda x, _: torch.full_like(x, clean), torch.full((200_000,), x).double(), sigmas, seeded()
    )
    cumulated, before = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
    beta = 1 - cumulated / before
    mean = before**0.5 * beta / (1 - cumulated) * clean
    mean += (1 - beta) ** 0.5 * (1 - before) / (1 - cumulated) * x * cumulated**0.5
    std = ((1 - before) / (1 - cumulated) * beta) ** 0.5
    scaled = drawn * before**0.5
    assert scaled.mean().item() == pytest.approx(mean, abs=0.005)
    assert scaled.std().item() == pytest.approx(std, rel=0.01)


def test_unipc_takes_the_steps_of_diffusers(start):
    """Its own levels, between sigma = 146 and 0.01, on its variance-preserving path."""
    from diffusers import UniPCMultistepScheduler

    ends = {"final_sigmas_type": "sigma_min", "lower_order_final": False}
    scheduler = UniPCMultistepScheduler(prediction_type="sample", solver_order=2, **ends)
    scheduler.set_timesteps(12)
    x = start.reshape(1, 1, -1)
    sigmas = scheduler.sigmas.double()
    for t, sigma in zip(scheduler.timesteps, sigmas):
        x = scheduler.step(mixture_denoiser(x * (1 + sigma**2).sqrt(), sigma), t, x).prev_sample
    ours = unipc(mixture_denoiser, start * (1 + sigmas[0] ** 2).sqrt(), sigmas)
    torch.testing.assert_close(ours, x.flatten() * (1 + sigmas[-1] ** 2).sqrt(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS.values())
def test_from_noise_to_0_comes_the_distribution_of_the_data(sampler):
    noise = torch.randn(4000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sigmas = torch.cat([grid(200, first=80.0, last=0.002), torch.zeros(1, dtype=torch.float64)])
    drawn = sampler(mixture_denoiser, 80 * noise, sigmas, seeded()).numpy()
    assert kstest(drawn, distribution).pvalue > 0.01


@pytest.mark.parametrize("sampler", SAMPLERS.values())
def test_where_the_data_is_one_point_it_is_reached_exactly(sampler):
    point = torch.tensor([3.0, -2.0])
    drawn = sampler(lambda x, sigma: point, torch.tensor([50.0, 70.0]), karras_sigmas(5, 0.002, 80.0), seeded())
    torch.testing.assert_close(drawn, point)


@pytest.mark.parametrize("sampler", SAMPLERS.values())
def test_one_step_takes_what_the_denoiser_says(sampler):
    x = torch.tensor([50.0, -70.0])
    drawn = sampler(lambda x, sigma: x / sigma, x, karras_sigmas(1, 0.002, 80.0), seeded())
    torch.testing.assert_close(drawn, x / 80)


@pytest.mark.parametrize(
    ("sampler", "evaluations"), [(euler, 9), (euler_ancestral, 9), (heun, 17), (dpmpp_2m, 9), (unipc, 9)]
)
def test_the_denoiser_is_evaluated_as_often_as_documented_and_never_at_0(sampler, evaluations):
    seen = []

    def denoise(x, sigma):
        seen.append(float(sigma))
        return torch.zeros_like(x)

    x = torch.randn(2, 3, 4, 4)
    assert sampler(denoise, x, karras_sigmas(9, 0.002, 80.0), seeded()).shape == x.shape
    assert len(seen) == evaluations
    assert min(seen) == pytest.approx(0.002)


def test_samplers_are_known_by_their_names():
    assert set(SAMPLERS) == {"euler", "ddim", "euler_ancestral", "heun", "dpmpp_2m", "unipc"}
    assert all(function.__name__ == name for name, function in SAMPLERS.items())


def test_a_gaussian_takes_its_closed_course():
    """For data N(m, s²) the course is m + (x − m) · sqrt((s² + sigma²) / (s² + sigma_max²))."""
    mean, std = 0.7, 0.4
    x = torch.linspace(-15, 15, 7, dtype=torch.float64)
    drawn = heun(lambda x, sigma: (mean * sigma**2 + x * std**2) / (std**2 + sigma**2), x, grid(2000))
    expected = mean + (x.numpy() - mean) * np.sqrt((std**2 + 0.1**2) / (std**2 + 10.0**2))
    np.testing.assert_allclose(drawn.numpy(), expected, rtol=1e-5)
