"""EDM: a diffusion model over pixels (Karras et al., 2022)."""

from collections.abc import Callable
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from synthgen.diffusion.edm import EDMDiffusion
from synthgen.diffusion.preconditioning import edm_loss, edm_preconditioning
from synthgen.layout import ImageLayout
from synthgen.models.base import Model
from synthgen.models.image.encoding import from_pixels, sampled_label, to_batch
from synthgen.models.stages import EMA, Batch, GradientStage, Optimization

__all__ = ["EDM"]


class EDM(Model):
    """Denoises images at log-normal noise levels, and samples by an ODE solver, class by class where there are labels.

    Conditions on the class are exact as far as the network has learned the class: it is an input. Labels are drawn from
    the training distribution where a condition leaves them free.

    Args:
        layout: What an image is.
        network: (channels, classes, size) to a network such as `UNet`.
        optimization: How its weights are fitted.
        ema: The average that sampling uses.
        noise_mean: Mean of ln(sigma) in training, P_mean of the paper.
        noise_std: Its standard deviation, P_std of the paper.
        label_dropout: Share of labels hidden in training, which guidance needs.
        sigma_min: Lowest noise level of sampling.
        sigma_max: Highest one.
        rho: Spacing of the levels between.
        sampler: "euler", "heun" or "dpmpp_2m".
        steps: Its number of steps.
        guidance: Classifier-free guidance: 1 is none, more makes classes plainer and less diverse (Ho and Salimans,
            2022).

    Raises:
        SynthgenError: A noise level, its spread or spacing, or the number of steps is out of range, or a sampler that
            does not exist.
    """

    conditioning = "exact"
    block_size = 64
    preview: ClassVar[dict[str, Any]] = {"sampler": "dpmpp_2m", "steps": 10}

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
    ) -> None:
        backbone = network(channels=layout.channels, classes=layout.classes, size=max(layout.height, layout.width))
        denoiser = ImageDenoiser(backbone, layout.sigma_data)
        super().__init__([GradientStage(denoiser, self._loss, optimization, ema)])
        self.layout = layout
        self.diffusion = EDMDiffusion(noise_mean, noise_std, sigma_min, sigma_max, rho, sampler, steps)
        self.label_dropout = label_dropout
        self.guidance = guidance

    def sample_block(
        self,
        size: int,
        condition: Batch | None,
        generator: torch.Generator,
        sampler: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        **_: Any,
    ) -> Batch:
        """Images and labels; see `Model.sample_block`.

        Args:
            size: Number of images.
            condition: `label` and `label_known`, (size,).
            generator: Source of noise and free labels.
            sampler: Another sampler than the model's own.
            steps: Another number of steps.
            guidance: Another strength of guidance.

        Raises:
            SynthgenError: A sampler that does not exist, or fewer steps than one.
        """
        guidance = self.guidance if guidance is None else guidance
        denoiser = cast(ImageDenoiser, self.stages[0].trained)
        label = sampled_label(self.layout, size, condition, generator)

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            sigma = sigma.expand(len(x))
            denoised = denoiser(x, sigma, label)
            if label is None or guidance == 1:
                return denoised
            free = denoiser(x, sigma, None)
            return free + guidance * (denoised - free)

        image = self.diffusion.sample(denoise, (size, *self.layout.shape), generator, sampler, steps)
        return to_batch(image, label)

    def _loss(self, denoiser: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        clean = from_pixels(batch["image"])
        noisy, sigma = self.diffusion.noisy(clean, generator)
        label = batch.get("label")
        if label is not None:
            hidden = torch.rand(len(clean), generator=generator, device=clean.device) < self.label_dropout
            label = label.long().masked_fill(hidden, self.layout.classes)
        denoised = denoiser(noisy, sigma, label)
        return edm_loss(denoised, clean, sigma[:, None, None, None], self.layout.sigma_data).mean()


class ImageDenoiser(nn.Module):
    """D(x, sigma, label): the network with EDM's preconditioning.

    Args:
        network: (x, noise, label) to a tensor of the shape of x.
        sigma_data: Standard deviation of clean images.
    """

    def __init__(self, network: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """(batch, channels, height, width) noisy images and (batch,) noise levels to expected clean images."""
        wide = sigma[:, None, None, None]
        scale = edm_preconditioning(wide, self.sigma_data)
        inputs = (scale.into * x).contiguous(memory_format=torch.channels_last)
        output = self.network(inputs, sigma.log() / 4, label)
        return scale.skip * x + scale.out * output.float()
