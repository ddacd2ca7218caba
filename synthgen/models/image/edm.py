"""EDM: a diffusion model over pixels (Karras et al., 2022)."""

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from synthgen.diffusion.edm import EDMDiffusion
from synthgen.diffusion.preconditioning import edm_loss, edm_preconditioning
from synthgen.layout import ImageLayout
from synthgen.models.image.denoising import DenoisingModel, image_network
from synthgen.models.image.encoding import NOTHING, Told, from_pixels
from synthgen.models.stages import EMA, Batch, GradientStage, Optimization

__all__ = ["EDM"]


class EDM(DenoisingModel):
    """Denoises images at log-normal noise levels, and samples by an ODE solver, as told of class and attributes.

    Conditions on them are exact as far as the network has learned them: they are inputs. What a condition leaves free
    is drawn from the training distribution.

    Args:
        layout: What an image is.
        network: (channels, classes, attributes, size) to a network such as `UNet`.
        optimization: How its weights are fitted.
        ema: The average that sampling uses.
        noise_mean: Mean of ln(sigma) in training, P_mean of the paper.
        noise_std: Its standard deviation, P_std of the paper.
        label_dropout: Share of training images of which nothing is told, which guidance needs.
        sigma_min: Lowest noise level of sampling.
        sigma_max: Highest one.
        rho: Spacing of the levels between.
        sampler: One of `SAMPLERS`, or a scheduler of diffusers by its name.
        steps: Its number of steps.
        guidance: Classifier-free guidance: 1 is none, more makes what is told plainer and images less diverse (Ho and
            Salimans, 2022).
        guidance_interval: Noise levels between which there is guidance (Kynkäänniemi et al., 2024).

    Raises:
        SynthgenError: A share, a noise level, its spread or spacing, an interval or the number of steps is out of
            range, or a sampler that does not exist.
    """

    def __init__(
        self,
        layout: ImageLayout,
        network: Callable[..., nn.Module],
        optimization: Optimization,
        ema: EMA,
        noise_mean: float = -1.2,
        noise_std: float = 1.2,
        label_dropout: float = 0.1,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        rho: float = 7.0,
        sampler: str = "heun",
        steps: int = 18,
        guidance: float = 1.0,
        guidance_interval: tuple[float, float] = (0.0, math.inf),
    ) -> None:
        denoiser = ImageDenoiser(image_network(network, layout), layout.sigma_data)
        stage = GradientStage(denoiser, self._loss, optimization, ema)
        super().__init__([stage], layout, label_dropout, sampler, steps, guidance, guidance_interval)
        self.diffusion = EDMDiffusion(noise_mean, noise_std, sigma_min, sigma_max, rho, sampler, steps)

    def denoised(self, x: Tensor, sigma: Tensor, given: Told) -> Tensor:
        """See `DenoisingModel.denoised`."""
        return cast(ImageDenoiser, self.stages[0].trained)(x, sigma, given)

    def sigmas(self, steps: int) -> Tensor:
        """See `DenoisingModel.sigmas`."""
        return self.diffusion.sigmas(steps)

    def _loss(self, denoiser: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        clean = from_pixels(batch["image"])
        noisy, sigma = self.diffusion.noisy(clean, generator)
        denoised = denoiser(noisy, sigma, self.told_in_training(batch, generator))
        return edm_loss(denoised, clean, sigma[:, None, None, None], self.layout.sigma_data).mean()


class ImageDenoiser(nn.Module):
    """D(x, sigma, told): the network with EDM's preconditioning.

    Args:
        network: (x, noise, label, attributes) to a tensor of the shape of x.
        sigma_data: Standard deviation of clean images.
    """

    def __init__(self, network: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor, given: Told = NOTHING) -> Tensor:
        """(batch, channels, height, width) noisy images and (batch,) noise levels to expected clean images."""
        wide = sigma[:, None, None, None]
        scale = edm_preconditioning(wide, self.sigma_data)
        inputs = (scale.into * x).contiguous(memory_format=torch.channels_last)
        output = self.network(inputs, sigma.log() / 4, *given)
        return scale.skip * x + scale.out * output.float()
