"""Flow matching: a velocity that leads from noise to images (Lipman et al., 2023; Liu et al., 2023)."""

import math
from collections.abc import Callable
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from synthgen.diffusion.flow import SOLVERS, flow_times, logit_normal_times, paired_noise
from synthgen.diffusion.samplers import sampler_named
from synthgen.diffusion.schedules import check_positive
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import ImageLayout
from synthgen.models.image.denoising import DenoisingModel, image_network
from synthgen.models.image.encoding import NOTHING, Told, from_pixels
from synthgen.models.stages import EMA, Batch, GradientStage, Optimization

__all__ = ["Flow"]

# Times at which the network is told apart 0 from 1: ln(t / (1 − t)) has no ends.
_ENDS = 1e-4


class Flow(DenoisingModel):
    """Learns the velocity of straight paths between images and noise, and follows it back, as told of each image.

    Conditions on class and attributes are exact as far as the network has learned them: they are inputs. What a
    condition leaves free is drawn from the training distribution.

    Args:
        layout: What an image is.
        network: (channels, classes, attributes, size) to a network such as `UNet`.
        optimization: How its weights are fitted.
        ema: The average that sampling uses.
        time_mean: Mean of ln(t / (1 − t)) in training (Esser et al., 2024).
        time_std: Its standard deviation.
        pairing: "independent" noise, or "optimal_transport": the order of a batch's noise in which it lies nearest to
            the batch's images of the same class (Tong et al., 2024), found on the host; not for images with attributes.
        label_dropout: Share of training images of which nothing is told, which guidance needs.
        sampler: "euler", "heun" or "dopri5" over the velocity, the last with steps of its own; another one of
            `SAMPLERS`, or a scheduler of diffusers by its name, over the denoiser.
        steps: Its number of steps.
        guidance: Classifier-free guidance: 1 is none, more makes what is told plainer and images less diverse (Ho and
            Salimans, 2022).
        guidance_interval: Noise levels t / (1 − t) between which there is guidance (Kynkäänniemi et al., 2024).

    Raises:
        SynthgenError: A share, a spread, an interval or the number of steps is out of range, or a sampler or a pairing
            that does not exist.
    """

    preview: ClassVar[dict[str, Any]] = {"sampler": "heun", "steps": 5}

    def __init__(
        self,
        layout: ImageLayout,
        network: Callable[..., nn.Module],
        optimization: Optimization,
        ema: EMA,
        time_mean: float = 0.0,
        time_std: float = 1.0,
        pairing: str = "independent",
        label_dropout: float = 0.1,
        sampler: str = "heun",
        steps: int = 20,
        guidance: float = 1.0,
        guidance_interval: tuple[float, float] = (0.0, math.inf),
    ) -> None:
        check_positive(time_std=time_std)
        pairings = ("independent", "optimal_transport")
        if pairing not in pairings:
            raise SynthgenError(f"pairing: unknown {pairing!r}: {nearest(pairing, pairings, what='pairings are')}")
        if pairing != "independent" and layout.attributes:
            raise SynthgenError(f"pairing: {pairing!r} is for images without attributes; expected 'independent'")
        velocity = ImageVelocity(image_network(network, layout), layout.sigma_data)
        stage = GradientStage(velocity, self._loss, optimization, ema)
        super().__init__([stage], layout, label_dropout, sampler, steps, guidance, guidance_interval)
        self.time_mean, self.time_std = time_mean, time_std
        self.pairing = pairing

    def denoised(self, x: Tensor, sigma: Tensor, given: Told) -> Tensor:
        """See `DenoisingModel.denoised`."""
        t = sigma / (1 + sigma)
        wide = t[:, None, None, None]
        along = (1 - wide) * x
        return along - wide * self._velocity(along, t, given)

    def sigmas(self, steps: int) -> Tensor:
        """See `DenoisingModel.sigmas`: of even times, the first one just short of 1."""
        times = flow_times(steps).clamp(max=1 - _ENDS * 10)
        return times / (1 - times)

    def check_sampler(self, name: str) -> None:
        """See `DenoisingModel.check_sampler`."""
        if name not in SOLVERS:
            sampler_named(name, SOLVERS)

    def draw(
        self,
        given: Told,
        size: int,
        generator: torch.Generator,
        sampler: str,
        steps: int,
        guidance: float,
        interval: tuple[float, float],
    ) -> Tensor:
        """See `DenoisingModel.draw`."""
        if sampler not in SOLVERS:
            return super().draw(given, size, generator, sampler, steps, guidance, interval)
        ends = tuple(1.0 if end == math.inf else end / (1 + end) for end in interval)
        velocity = self.guided(self._velocity, given, guidance, (ends[0], ends[1]))
        noise = torch.randn(size, *self.layout.shape, generator=generator, device=generator.device)
        return SOLVERS[sampler](velocity, noise, flow_times(steps))

    def _velocity(self, x: Tensor, t: Tensor, given: Told) -> Tensor:
        return cast(ImageVelocity, self.stages[0].trained)(x, t, given)

    def _loss(self, velocity: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        clean = from_pixels(batch["image"])
        t = logit_normal_times(len(clean), self.time_mean, self.time_std, generator)
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        if self.pairing == "optimal_transport":
            noise = paired_noise(clean, noise, batch.get("label"))
        along = torch.lerp(clean, noise, t[:, None, None, None])
        found = velocity(along, t, self.told_in_training(batch, generator))
        return (found - (noise - clean)).square().mean()


class ImageVelocity(nn.Module):
    """v(x, t, told): the network, with inputs of unit variance.

    Args:
        network: (x, noise, label, attributes) to a tensor of the shape of x.
        sigma_data: Standard deviation of clean images.
    """

    def __init__(self, network: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, t: Tensor, given: Told = NOTHING) -> Tensor:
        """(batch, channels, height, width) images on their way and (batch,) times to expected eps − x0."""
        wide = t[:, None, None, None]
        spread = ((1 - wide).square() * self.sigma_data**2 + wide.square()).sqrt()
        inputs = (x / spread).contiguous(memory_format=torch.channels_last)
        return self.network(inputs, t.clamp(_ENDS, 1 - _ENDS).logit() / 4, *given).float()
