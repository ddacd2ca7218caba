"""EDM's diffusion of numbers: the noise that training draws, and the ODE that sampling solves.

Images and latents share it (Karras et al., 2022, with sigma(t) = t).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synthgen.diffusion.samplers import Denoise, sampler_named
from synthgen.diffusion.schedules import check_positive, check_sigmas, karras_sigmas, lognormal_sigmas

__all__ = ["EDMDiffusion"]


@dataclass(frozen=True)
class EDMDiffusion:
    """Settings of training noise and of sampling, which a model takes by the same names.

    Attributes:
        noise_mean: Mean of ln(sigma) in training, P_mean of the paper.
        noise_std: Its standard deviation, P_std of the paper.
        sigma_min: Lowest noise level of sampling.
        sigma_max: Highest one.
        rho: Spacing of the levels between.
        sampler: One of `SAMPLERS`, or a scheduler of diffusers by its name.
        steps: Its number of steps.

    Raises:
        SynthgenError: A noise level, its spread or spacing, or the number of steps is out of range, or a sampler that
            does not exist.
    """

    noise_mean: float
    noise_std: float
    sigma_min: float
    sigma_max: float
    rho: float
    sampler: str
    steps: int

    def __post_init__(self) -> None:
        check_positive(noise_std=self.noise_std, rho=self.rho, steps=self.steps)
        check_sigmas(self.sigma_min, self.sigma_max)
        sampler_named(self.sampler)

    def noisy(self, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noisy examples of training, of the shape of (batch, …) clean ones, and their noise levels, (batch,)."""
        sigma = lognormal_sigmas(len(clean), self.noise_mean, self.noise_std, generator)
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        return clean + sigma.view(-1, *(1,) * (clean.ndim - 1)) * noise, sigma

    def sample(
        self,
        denoise: Denoise,
        shape: Sequence[int],
        generator: torch.Generator,
        sampler: str | None = None,
        steps: int | None = None,
    ) -> Tensor:
        """Examples of so many shapes, on the generator's device, from noise.

        Args:
            denoise: (x, sigma) to the expected clean data; sigma is a scalar tensor.
            shape: Of what is drawn.
            generator: Source of the noise.
            sampler: Another sampler than the own.
            steps: Another number of steps.

        Raises:
            SynthgenError: A sampler that does not exist, or fewer steps than one.
        """
        solve, sigmas = sampler_named(sampler or self.sampler), self.sigmas(steps, generator.device)
        noise = torch.randn(*shape, generator=generator, device=generator.device)
        return solve(denoise, sigmas[0] * noise, sigmas, generator)

    def sigmas(self, steps: int | None = None, device: torch.device | str = "cpu") -> Tensor:
        """(steps + 1,) noise levels of sampling, decreasing to 0; of the own number of steps, or of another.

        Raises:
            SynthgenError: Fewer steps than one.
        """
        steps = self.steps if steps is None else steps
        check_positive(steps=steps)
        return karras_sigmas(steps, self.sigma_min, self.sigma_max, self.rho, device)
