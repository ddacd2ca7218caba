"""DDPM: diffusion over pixels in discrete time (Ho et al., 2020)."""

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from synthgen.diffusion.discrete import PREDICTIONS, DiscreteSchedule, clean_from, min_snr_weight, prediction_target
from synthgen.diffusion.schedules import check_positive, stratified_uniform
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import ImageLayout
from synthgen.models.image.denoising import DenoisingModel, image_network
from synthgen.models.image.encoding import NOTHING, Told, from_pixels
from synthgen.models.stages import EMA, Batch, GradientStage, Optimization

__all__ = ["DDPM"]


class DDPM(DenoisingModel):
    """Predicts noise, image or velocity at one of T noise levels, and samples by any sampler, as told of each image.

    Conditions on class and attributes are exact as far as the network has learned them: they are inputs. What a
    condition leaves free is drawn from the training distribution. Between two levels of training, the network is told
    a step between theirs.

    Args:
        layout: What an image is.
        network: (channels, classes, attributes, size) to a network such as `UNet`.
        optimization: How its weights are fitted.
        ema: The average that sampling uses.
        prediction: "epsilon", "x0" or "v" (Salimans and Ho, 2022).
        schedule: "cosine" (Nichol and Dhariwal, 2021) or "linear".
        train_steps: T.
        min_snr: Gamma of min-SNR weighting (Hang et al., 2023); None weighs all steps alike.
        label_dropout: Share of training images of which nothing is told, which guidance needs.
        sampler: One of `SAMPLERS`, "ddim" among them and "euler_ancestral", which is DDPM's own; or a scheduler of
            diffusers by its name.
        steps: Its number of steps, T at most.
        guidance: Classifier-free guidance: 1 is none, more makes what is told plainer and images less diverse (Ho and
            Salimans, 2022).
        guidance_interval: Noise levels between which there is guidance (Kynkäänniemi et al., 2024).

    Raises:
        SynthgenError: A share, an interval or a number of steps is out of range, or a sampler, a schedule or a
            prediction that does not exist.
    """

    def __init__(
        self,
        layout: ImageLayout,
        network: Callable[..., nn.Module],
        optimization: Optimization,
        ema: EMA,
        prediction: str = "v",
        schedule: str = "cosine",
        train_steps: int = 1000,
        min_snr: float | None = 5.0,
        label_dropout: float = 0.1,
        sampler: str = "ddim",
        steps: int = 50,
        guidance: float = 1.0,
        guidance_interval: tuple[float, float] = (0.0, math.inf),
    ) -> None:
        if prediction not in PREDICTIONS:
            known = nearest(prediction, PREDICTIONS, what="predictions are")
            raise SynthgenError(f"prediction: unknown {prediction!r}: {known}")
        if min_snr is not None:
            check_positive(min_snr=min_snr)
        network_of_steps = ImagePredictor(
            image_network(network, layout), DiscreteSchedule(schedule, train_steps), prediction
        )
        stage = GradientStage(network_of_steps, self._loss, optimization, ema)
        super().__init__([stage], layout, label_dropout, sampler, steps, guidance, guidance_interval)
        self.min_snr = min_snr

    def denoised(self, x: Tensor, sigma: Tensor, given: Told) -> Tensor:
        """See `DenoisingModel.denoised`."""
        return cast(ImagePredictor, self.stages[0].trained).denoised(x, sigma, given)

    def sigmas(self, steps: int) -> Tensor:
        """See `DenoisingModel.sigmas`: of even steps of training."""
        return cast(ImagePredictor, self.stages[0].trained).schedule.sigmas(steps)

    def _loss(self, predictor: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        predictor = cast(ImagePredictor, predictor)
        clean, schedule = from_pixels(batch["image"]), predictor.schedule
        drawn = stratified_uniform(len(clean), generator) * len(schedule)
        step = drawn.ceil().long().sub(1).clamp(0, len(schedule) - 1)
        alpha_bar = schedule.alpha_bar[step][:, None, None, None]
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        noisy = alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise
        found = predictor(noisy, step.float(), self.told_in_training(batch, generator))
        error = (found - prediction_target(predictor.prediction, clean, noise, alpha_bar)).square()
        if self.min_snr is not None:
            error = error * min_snr_weight(predictor.prediction, alpha_bar, self.min_snr)
        return error.mean()


class ImagePredictor(nn.Module):
    """The network at steps of a schedule, and the denoiser that it is.

    Args:
        network: (x, noise, label, attributes) to a tensor of the shape of x.
        schedule: Noise levels of the steps.
        prediction: What the network predicts.
    """

    def __init__(self, network: nn.Module, schedule: DiscreteSchedule, prediction: str) -> None:
        super().__init__()
        self.network = network
        self.schedule = schedule
        self.prediction = prediction

    def forward(self, noisy: Tensor, step: Tensor, given: Told = NOTHING) -> Tensor:
        """(batch, channels, height, width) x_t and (batch,) steps, whole or between two, to what is predicted."""
        # Of order 1, as other models tell the network ln(sigma) / 4.
        level = 4 * step / len(self.schedule) - 2
        return self.network(noisy.contiguous(memory_format=torch.channels_last), level, *given).float()

    def denoised(self, x: Tensor, sigma: Tensor, given: Told) -> Tensor:
        """(batch, channels, height, width) x0 + sigma · eps and (batch,) noise levels to expected clean images."""
        alpha_bar = (1 / (1 + sigma.square()))[:, None, None, None]
        noisy = alpha_bar.sqrt() * x
        predicted = self.forward(noisy, self.schedule.step_of(sigma), given)
        return clean_from(self.prediction, predicted, noisy, alpha_bar)
