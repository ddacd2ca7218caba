"""Samplers: flat functions that turn noise into data by a denoiser D(x, sigma) -> x0.

All but `euler_ancestral` integrate the probability-flow ODE dx/dsigma = (x − D(x, sigma)) / sigma over given noise
levels (Karras et al., 2022, equation 1 with alpha = 1), from x ~ N(0, sigmas[0]² I) down to the last of them. They are
defined for every noise level above 0; a path whose alpha reaches 0 starts just short of it. Where the last level is 0,
the last step takes what the denoiser says.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from torch import Tensor

from synthgen.errors import SynthgenError, nearest

__all__ = [
    "SAMPLERS",
    "Denoise",
    "Sampler",
    "ddim",
    "dpmpp_2m",
    "euler",
    "euler_ancestral",
    "heun",
    "sampler_named",
    "unipc",
]

Denoise = Callable[[Tensor, Tensor], Tensor]
Sampler = Callable[[Denoise, Tensor, Tensor, torch.Generator], Tensor]


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor, _: torch.Generator | None = None) -> Tensor:
    """Euler's method, of first order, one evaluation a step.

    Args:
        denoise: (x, sigma) to the expected clean data; sigma is a scalar tensor.
        x: Noise at level `sigmas[0]`, any shape.
        sigmas: (steps + 1,) decreasing noise levels.
    """
    for sigma, sigma_next in pairwise(sigmas):
        slope = (x - denoise(x, sigma)) / sigma
        x = x + (sigma_next - sigma) * slope
    return x


def ddim(denoise: Denoise, x: Tensor, sigmas: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """DDIM without noise (Song et al., 2021a, equation 12 with sigma_t = 0): the same as `euler`, whatever alpha is."""
    return euler(denoise, x, sigmas, generator)


def euler_ancestral(denoise: Denoise, x: Tensor, sigmas: Tensor, generator: torch.Generator) -> Tensor:
    """Draws each level from its posterior, one evaluation a step: DDPM's sampling (Ho et al., 2020, algorithm 2).

    Given x0, the next level is normal around x0 + (sigma_next / sigma)² (x − x0), with the variance
    sigma_next² (1 − (sigma_next / sigma)²); it is DDIM's with eta = 1. Of first order in distribution.

    Args:
        denoise: (x, sigma) to the expected clean data; sigma is a scalar tensor.
        x: Noise at level `sigmas[0]`, any shape.
        sigmas: (steps + 1,) decreasing noise levels.
        generator: Source of the noise, on the device of x.
    """
    for sigma, sigma_next in pairwise(sigmas):
        denoised = denoise(x, sigma)
        kept = (sigma_next / sigma) ** 2
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        x = denoised + kept * (x - denoised) + sigma_next * (1 - kept).sqrt() * noise
    return x


def heun(denoise: Denoise, x: Tensor, sigmas: Tensor, _: torch.Generator | None = None) -> Tensor:
    """Heun's method, of second order, two evaluations a step but the last (Karras et al., 2022, algorithm 1).

    Args:
        denoise: (x, sigma) to the expected clean data; sigma is a scalar tensor.
        x: Noise at level `sigmas[0]`, any shape.
        sigmas: (steps + 1,) decreasing noise levels.
    """
    for sigma, sigma_next in pairwise(sigmas):
        slope = (x - denoise(x, sigma)) / sigma
        ahead = x + (sigma_next - sigma) * slope
        if sigma_next > 0:
            slope_ahead = (ahead - denoise(ahead, sigma_next)) / sigma_next
            ahead = x + (sigma_next - sigma) * (slope + slope_ahead) / 2
        x = ahead
    return x


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor, _: torch.Generator | None = None) -> Tensor:
    """DPM-Solver++(2M), of second order, one evaluation a step (Lu et al., 2022, algorithm 2 with alpha = 1).

    The slope of the denoiser in ln sigma comes from the step before. The last step, to sigma = 0, is of first order.

    Args:
        denoise: (x, sigma) to the expected clean data; sigma is a scalar tensor.
        x: Noise at level `sigmas[0]`, any shape.
        sigmas: (steps + 1,) decreasing noise levels.
    """
    previous, previous_step = None, torch.tensor(0.0)
    for sigma, sigma_next in pairwise(sigmas):
        denoised = denoise(x, sigma)
        step = (sigma / sigma_next).log()  # the step in λ = −ln sigma
        target = denoised
        if previous is not None and sigma_next > 0:
            target = denoised + (step / previous_step) / 2 * (denoised - previous)
        x = target + sigma_next / sigma * (x - target)
        previous, previous_step = denoised, step
    return x


def unipc(denoise: Denoise, x: Tensor, sigmas: Tensor, _: torch.Generator | None = None) -> Tensor:
    """UniPC-2, of third order, one evaluation a step (Zhao et al., 2023, algorithms 5 and 6 with alpha = 1).

    A step predicts by the denoiser at this level and the one before. What the denoiser then says at the next level
    corrects the step, and serves as the next one's own. B(h) is e^h − 1, "bh2". The first step has one level less; the
    last one, to sigma = 0, takes what the denoiser says.

    Args:
        denoise: (x, sigma) to the expected clean data; sigma is a scalar tensor.
        x: Noise at level `sigmas[0]`, any shape.
        sigmas: (steps + 1,) decreasing noise levels.
    """
    denoised = denoise(x, sigmas[0])
    change, previous_step = None, torch.tensor(0.0)  # what the denoiser said before this level, less what it says here
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas), start=1):
        if sigma_next == 0:
            return denoised
        step = (sigma / sigma_next).log()  # in λ = −ln sigma
        weight = -torch.expm1(-step)  # of a denoiser that is constant over the step; B(h) of the paper, less its sign
        straight = sigma_next / sigma * x + weight * denoised
        back = -previous_step / step  # where the level before lies, in steps from this one
        ahead = straight if change is None else straight + weight / 2 * change / back
        if i == len(sigmas) - 1:
            return ahead
        denoised_ahead = denoise(ahead, sigma_next)
        gain = denoised_ahead - denoised
        if change is None:
            x = straight + weight / 2 * gain
        else:
            # The step under the parabola, in the share of the step that has been made, through all three levels.
            bend = (gain - change / back) / (1 - back)
            linear = 1 - weight / step
            x = straight + (gain - bend) * linear + bend * (1 - 2 * linear / step)
        change, denoised, previous_step = denoised - denoised_ahead, denoised_ahead, step
    return x


SAMPLERS: dict[str, Sampler] = {
    function.__name__: function for function in (euler, ddim, euler_ancestral, heun, dpmpp_2m, unipc)
}


def sampler_named(name: str, others: Iterable[str] = ()) -> Sampler:
    """A function of this module, or a scheduler of diffusers such as "DEISMultistepScheduler".

    Args:
        name: Which.
        others: What else a message names, where there is none of this name.

    Raises:
        SynthgenError: There is none of this name.
    """
    if name in SAMPLERS:
        return SAMPLERS[name]
    if name.endswith("Scheduler"):
        from synthgen.diffusion.schedulers import scheduler_named

        return scheduler_named(name)
    known = nearest(name, {*others, *SAMPLERS}, what="samplers are")
    raise SynthgenError(f"sampler: unknown {name!r}: {known}, and diffusers' schedulers by name")
