"""Schedulers of diffusers as samplers over a denoiser D(x, sigma) -> x0."""

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from synthgen.diffusion.samplers import Denoise, Sampler
from synthgen.errors import SynthgenError, nearest

__all__ = ["scheduler_named"]

# Those that turn data into noise, are for distilled models, or ask for more than noise.
_FOR_OTHER_USES = ("Inverse", "LCM", "UnCLIP", "CogVideoXDPM")


def scheduler_named(name: str) -> Sampler:
    """A scheduler of diffusers that draws by the noise that a denoiser finds, over the noise levels of DDPM.

    It takes as many steps as there are noise levels to come down, at levels of its own: those of 1,000 steps of linear
    variances (Ho et al., 2020), from sigma = 157 down.

    Raises:
        SynthgenError: diffusers has none of this name, or one that is for other paths than that of DDPM.
    """
    import diffusers

    known = {entry for entry in dir(diffusers) if entry.endswith("Scheduler") and "Flax" not in entry}
    if name not in known:
        raise SynthgenError(f"sampler: unknown {name!r}: {nearest(name, known, what='schedulers are')}")
    made_by: Callable[..., Any] = getattr(diffusers, name)
    taken = signature(made_by).parameters
    for_this = {"prediction_type", "beta_schedule"} <= taken.keys()
    if not for_this or any(other in name for other in _FOR_OTHER_USES):
        raise SynthgenError(f"sampler: {name} does not draw by the noise that a denoiser finds over DDPM's levels")
    plain = {"clip_sample": False, "thresholding": False}
    scheduler = made_by(prediction_type="epsilon", **{key: value for key, value in plain.items() if key in taken})
    return partial(_run, scheduler)


def _run(scheduler: Any, denoise: Denoise, x: Tensor, sigmas: Tensor, generator: torch.Generator) -> Tensor:
    scheduler.set_timesteps(len(sigmas) - 1, device=x.device)
    levels = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod).sqrt().to(x.device)
    noisy = x / sigmas[0] * scheduler.init_noise_sigma
    options = {"generator": generator} if "generator" in signature(scheduler.step).parameters else {}
    for i, t in enumerate(scheduler.timesteps):
        # Some hold levels between those of the table, one for every call.
        own = getattr(scheduler, "sigmas", None)
        sigma = own[i].to(x.device) if own is not None and len(own) > i else levels[t.long()]
        scaled = scheduler.scale_model_input(noisy, t)
        with_noise = scaled * (1 + sigma**2).sqrt()
        noise = (with_noise - denoise(with_noise, sigma)) / sigma
        noisy = scheduler.step(noise.to(noisy.dtype), t, noisy, **options).prev_sample
    return noisy
