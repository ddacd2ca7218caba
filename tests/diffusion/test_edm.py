import math

import pytest
import torch

from synthgen.diffusion.edm import EDMDiffusion
from synthgen.diffusion.samplers import SAMPLERS
from synthgen.errors import SynthgenError

SETTINGS = {
    "noise_mean": -1.2,
    "noise_std": 1.2,
    "sigma_min": 0.002,
    "sigma_max": 80.0,
    "rho": 7.0,
    "sampler": "heun",
    "steps": 40,
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_training_noise_is_normal_at_log_normal_levels():
    clean = torch.full((4000, 2, 3, 3), 5.0)
    noisy, sigma = EDMDiffusion(**SETTINGS).noisy(clean, seeded())
    assert sigma.shape == (4000,)
    assert sigma.log().mean().item() == pytest.approx(-1.2, abs=0.02)
    assert sigma.log().std().item() == pytest.approx(1.2, abs=0.02)
    noise = (noisy - clean) / sigma[:, None, None, None]
    assert noise.mean().item() == pytest.approx(0, abs=5 / math.sqrt(noise.numel()))
    assert noise.std().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_exact_denoiser_of_a_normal_distribution_samples_it(sampler):
    def denoise(x, sigma):  # of N(3, 0.5²)
        return 3 + 0.25 / (0.25 + sigma**2) * (x - 3)

    drawn = EDMDiffusion(**SETTINGS).sample(denoise, (20_000, 1), seeded(), sampler=sampler, steps=400)
    assert drawn.mean().item() == pytest.approx(3, abs=0.03)
    assert drawn.std().item() == pytest.approx(0.5, abs=0.02)


def test_the_number_of_steps_is_the_own_or_another():
    asked = []
    diffusion = EDMDiffusion(**{**SETTINGS, "sampler": "euler"})
    for steps in (None, 3):
        asked.append(0)

        def denoise(x, sigma):
            asked[-1] += 1
            return x

        diffusion.sample(denoise, (1, 1), seeded(), steps=steps)
    assert asked == [40, 3]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("noise_std", 0.0, "noise_std: found 0.0, expected more than 0"),
        ("rho", -1.0, "rho: found -1.0, expected more than 0"),
        ("steps", 0, "steps: found 0, expected more than 0"),
        ("sigma_min", 0.0, "sigma_min: found 0.0, expected more than 0"),
        ("sigma_min", math.nan, "sigma_min: found nan"),
        ("sigma_max", 0.001, "sigma_max: found 0.001, expected more than sigma_min=0.002"),
        ("sampler", "huen", "sampler: unknown 'huen'.*'heun'"),
    ],
)
def test_settings_that_cannot_be_are_refused(name, value, message):
    with pytest.raises(SynthgenError, match=message):
        EDMDiffusion(**{**SETTINGS, name: value})
    if name in ("sampler", "steps"):
        with pytest.raises(SynthgenError, match=message):
            EDMDiffusion(**SETTINGS).sample(lambda x, sigma: x, (1, 1), seeded(), **{name: value})
