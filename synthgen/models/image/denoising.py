"""What diffusion models over images share: sampling through a denoiser, guidance, and what is hidden in training."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from synthgen.diffusion.samplers import Denoise, sampler_named
from synthgen.diffusion.schedules import check_positive
from synthgen.errors import SynthgenError
from synthgen.layout import ImageLayout
from synthgen.models.base import Model
from synthgen.models.image.encoding import NOTHING, Told, sampled_told, to_batch, told
from synthgen.models.stages import Batch, Stage

__all__ = ["DenoisingModel", "image_network"]


class DenoisingModel(Model):
    """A model that finds clean images in noisy ones, and draws by a sampler over that.

    Whatever its path is in training, to samplers it shows x = x0 + sigma · eps: a path with another alpha enters
    divided by it.

    Args:
        stages: Its fits.
        layout: What an image is.
        label_dropout: Share of training images of which nothing is told, which guidance needs.
        sampler: One of `SAMPLERS`, or a scheduler of diffusers by its name.
        steps: Its number of steps.
        guidance: Classifier-free guidance: 1 is none, more makes what is told plainer and images less diverse (Ho and
            Salimans, 2022).
        guidance_interval: Noise levels between which there is guidance (Kynkäänniemi et al., 2024).

    Raises:
        SynthgenError: A share, an interval or the number of steps is out of range, or a sampler that does not exist.
    """

    conditioning = "exact"
    block_size = 64
    preview: ClassVar[dict[str, Any]] = {"sampler": "dpmpp_2m", "steps": 10}

    def __init__(
        self,
        stages: list[Stage],
        layout: ImageLayout,
        label_dropout: float,
        sampler: str,
        steps: int,
        guidance: float,
        guidance_interval: tuple[float, float],
    ) -> None:
        super().__init__(stages)
        if not 0 <= label_dropout <= 1:
            raise SynthgenError(f"label_dropout: found {label_dropout}, expected a share from 0 to 1")
        check_positive(steps=steps)
        self.check_sampler(sampler)
        self.layout = layout
        self.label_dropout = label_dropout
        self.sampler, self.steps = sampler, steps
        self.guidance, self.guidance_interval = guidance, _interval(guidance_interval)

    @abstractmethod
    def denoised(self, x: Tensor, sigma: Tensor, given: Told) -> Tensor:
        """Expected clean images of (batch, channels, height, width) noisy ones at (batch,) noise levels, as told."""

    @abstractmethod
    def sigmas(self, steps: int) -> Tensor:
        """(steps + 1,) noise levels of sampling, decreasing to 0, on the host, which decides by them."""

    def check_sampler(self, name: str) -> None:
        """Makes sure that there is a sampler of this name.

        Raises:
            SynthgenError: There is none.
        """
        sampler_named(name)

    def sample_block(
        self,
        size: int,
        condition: Batch | None,
        generator: torch.Generator,
        sampler: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        guidance_interval: tuple[float, float] | None = None,
        **_: Any,
    ) -> Batch:
        """Images and what they were told to be; see `Model.sample_block`.

        Args:
            size: Number of images.
            condition: What `ImageCodec.encode_condition` gives.
            generator: Source of noise, and of what the condition leaves free.
            sampler: Another sampler than the model's own.
            steps: Another number of steps.
            guidance: Another strength of guidance.
            guidance_interval: Other noise levels between which there is guidance.

        Raises:
            SynthgenError: A sampler that does not exist, fewer steps than one, or an interval that is none.
        """
        drawn = sampled_told(self.layout, size, condition, generator)
        sampler, steps = sampler or self.sampler, self.steps if steps is None else steps
        self.check_sampler(sampler)
        check_positive(steps=steps)
        strength = self.guidance if guidance is None else guidance
        interval = self.guidance_interval if guidance_interval is None else _interval(guidance_interval)
        image = self.draw(told(self.layout, drawn), size, generator, sampler, steps, strength, interval)
        return to_batch(image, drawn)

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
        """(size, channels, height, width) images in [−1, 1] from noise, as told."""
        denoise, sigmas = self.guided(self.denoised, given, guidance, interval), self.sigmas(steps)
        noise = torch.randn(size, *self.layout.shape, generator=generator, device=generator.device)
        return sampler_named(sampler)(denoise, sigmas[0] * noise, sigmas, generator)

    def guided(
        self,
        predict: Callable[[Tensor, Tensor, Told], Tensor],
        given: Told,
        guidance: float,
        interval: tuple[float, float],
    ) -> Denoise:
        """What a network predicts of images as told, away from what it would if nothing were told.

        Args:
            predict: (x, levels, told) to what the network says; levels are (batch,) noise levels, or times.
            given: What is told of each image.
            guidance: Strength; 1 is none.
            interval: Levels between which there is guidance.

        Returns:
            (x, level) to the guided prediction; the level is a scalar tensor.
        """
        low, high = interval

        def denoise(x: Tensor, level: Tensor) -> Tensor:
            levels = torch.full((len(x),), float(level), device=x.device)
            predicted = predict(x, levels, given)
            if given == NOTHING or guidance == 1 or not low <= level <= high:
                return predicted
            free = predict(x, levels, NOTHING)
            return free + guidance * (predicted - free)

        return denoise

    def told_in_training(self, batch: Batch, generator: torch.Generator) -> Told:
        """What is told of the images of a batch, nothing of some of them."""
        hidden = None
        if self.layout.classes or self.layout.attributes:
            size, device = len(batch["image"]), batch["image"].device
            hidden = torch.rand(size, generator=generator, device=device) < self.label_dropout
        return told(self.layout, batch, hidden)


def image_network(network: Callable[..., nn.Module], layout: ImageLayout) -> nn.Module:
    """The network for images of a layout, in channels-last order.

    Args:
        network: (channels, classes, attributes, size) to a network such as `UNet`.
        layout: What an image is.
    """
    return network(
        channels=layout.channels,
        classes=layout.classes,
        attributes=len(layout.attributes),
        size=max(layout.height, layout.width),
    ).to(memory_format=torch.channels_last)


def _interval(given: tuple[float, float]) -> tuple[float, float]:
    low, high = given
    if not 0 <= low <= high:
        raise SynthgenError(f"guidance_interval: found [{low}, {high}], expected two noise levels in order")
    return float(low), float(high)
