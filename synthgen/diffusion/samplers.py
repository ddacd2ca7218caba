"""Samplers: flat functions that turn noise into data by a denoiser D(x, sigma) -> x0.

All of them integrate the probability-flow ODE dx/dsigma = (x − D(x, sigma)) / sigma over given noise levels (Karras et
al., 2022, equation 1 with alpha = 1), from x ~ N(0, sigmas[0]² I) down to sigma = 0. They are defined for every
noise level above 0; a path whose alpha reaches 0 starts just short of it.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

__all__ = ["SAMPLERS", "Denoise", "dpmpp_2m", "euler", "heun"]

Denoise = Callable[[Tensor, Tensor], Tensor]


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """Euler's method, of first order, one evaluation a step; the same as DDIM (Song et al., 2021).

    Args:
        denoise: (x, sigma) to the expected clean data; sigma is a scalar tensor.
        x: Noise at level `sigmas[0]`, any shape.
        sigmas: (steps + 1,) decreasing noise levels.
    """
    for sigma, sigma_next in pairwise(sigmas):
        slope = (x - denoise(x, sigma)) / sigma
        x = x + (sigma_next - sigma) * slope
    return x


def heun(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
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


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
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


SAMPLERS: dict[str, Callable[[Denoise, Tensor, Tensor], Tensor]] = {
    function.__name__: function for function in (euler, heun, dpmpp_2m)
}
