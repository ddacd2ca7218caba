"""Schedulers of diffusers on a mixture of Gaussians whose denoiser is known."""

import pytest
import torch
from scipy.stats import kstest

from synthgen.diffusion.samplers import euler, sampler_named
from synthgen.errors import SynthgenError
from tests.diffusion.test_samplers import distribution, grid, mixture_denoiser, seeded

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

NAMES = (
    *("DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler"),
    *("EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2DiscreteScheduler"),
    *("LMSDiscreteScheduler", "PNDMScheduler", "UniPCMultistepScheduler"),
)


def denoise(x, sigma):
    return mixture_denoiser(x.double(), sigma.double()).float()


@pytest.mark.parametrize("name", NAMES)
def test_a_scheduler_by_its_name_draws_the_distribution_of_the_data(name):
    noise = 80 * torch.randn(2000, 1, 1, 1, generator=seeded())
    drawn = sampler_named(name)(denoise, noise, grid(50, first=80.0).float(), seeded())
    assert drawn.shape == noise.shape
    assert kstest(drawn.flatten().numpy(), distribution).statistic < 0.04


def test_ddim_of_diffusers_goes_where_eulers_method_goes():
    noise = torch.randn(50, 1, 1, 1, generator=seeded())
    theirs = sampler_named("DDIMScheduler")(denoise, 80 * noise, grid(200, first=80.0).float(), seeded())
    ours = euler(denoise, 80 * noise, torch.cat([grid(200, first=80.0, last=0.01).float(), torch.zeros(1)]))
    assert (theirs - ours).abs().mean() < 0.03


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("DDIMSchedule", r"sampler: unknown 'DDIMSchedule'.*diffusers' schedulers by name"),
        ("EulerDiscretScheduler", r"sampler: unknown 'EulerDiscretScheduler'.*EulerDiscreteScheduler"),
        ("FlowMatchEulerDiscreteScheduler", r"FlowMatchEulerDiscreteScheduler does not draw by the noise"),
        ("DDIMInverseScheduler", r"DDIMInverseScheduler does not draw by the noise"),
    ],
)
def test_names_that_cannot_be_are_refused(name, message):
    with pytest.raises(SynthgenError, match=message):
        sampler_named(name)
