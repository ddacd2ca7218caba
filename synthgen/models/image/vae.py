"""A convolutional VAE, class by class where there are labels (Kingma and Welling, 2014; Sohn et al., 2015)."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from synthgen.errors import SynthgenError, nearest
from synthgen.layout import ImageLayout
from synthgen.models.base import Model, bf16_pays
from synthgen.models.image.encoding import from_pixels, sampled_label, to_batch
from synthgen.models.stages import EMA, Batch, GradientStage, Optimization
from synthgen.models.variational import (
    bernoulli_nll,
    discretised_logistic_nll,
    free_bits,
    gaussian_kl,
    reparameterised,
)

__all__ = ["VAE"]


class VAE(Model):
    """An encoder of images into a latent vector and a decoder of latents into the distribution of every pixel.

    The class is an input of both, so conditions on it are exact as far as the decoder has learned it. Labels are drawn
    from the training distribution where a condition leaves them free.

    `val/loss` is the negative ELBO in bits a dimension (of channels × height × width), with beta = 1 and without free
    bits whatever training weighs: an upper bound on what the model needs to encode an image without loss. Under the
    Bernoulli likelihood, that holds for images of black and white alone; of grey levels it bounds nothing.

    Samples are the middle of every pixel's distribution and not draws of it: given the latent, pixels are independent,
    and draws would lay noise over every sample that no real image has.

    Args:
        layout: What an image is.
        encoder: (channels, height, image_width, latent, classes) to a network such as `ConvEncoder`.
        decoder: The same to a network such as `ConvDecoder`, whose channels are those of the likelihood.
        optimization: How the weights of both are fitted.
        ema: The average that sampling uses.
        latent: Dimensions of the latent.
        likelihood: "discretised_logistic" (Salimans et al., 2017) or "bernoulli".
        beta: Weight of the divergence in training (Higgins et al., 2017); 1 is the ELBO, more gives plainer images.
        free_bits: Bits that each latent dimension may cost for free in training (Kingma et al., 2016).

    Raises:
        SynthgenError: A likelihood that does not exist.
    """

    conditioning = "exact"
    block_size = 64

    def __init__(
        self,
        layout: ImageLayout,
        encoder: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        optimization: Optimization,
        ema: EMA,
        latent: int = 64,
        likelihood: str = "discretised_logistic",
        beta: float = 1.0,
        free_bits: float = 0.0,
    ) -> None:
        if likelihood not in LIKELIHOODS:
            known = nearest(likelihood, LIKELIHOODS, what="likelihoods are")
            raise SynthgenError(f"model.likelihood: unknown {likelihood!r}: {known}")
        pixels = LIKELIHOODS[likelihood]
        facts = {"height": layout.height, "image_width": layout.width, "latent": latent, "classes": layout.classes}
        networks = ImageVAE(
            encoder(channels=layout.channels, **facts),
            decoder(channels=layout.channels * pixels.parameters, **facts),
        )
        super().__init__([GradientStage(networks, self._loss, optimization, ema, validation=self._validation_loss)])
        self.layout = layout
        self.latent = latent
        self.likelihood = pixels
        self.beta = beta
        self.free_bits = free_bits

    def sample_block(self, size: int, condition: Batch | None, generator: torch.Generator, **_: Any) -> Batch:
        """Images and labels; see `Model.sample_block`.

        Args:
            size: Number of images.
            condition: `label` and `label_known`, (size,).
            generator: Source of latents and free labels.
        """
        drawn = sampled_label(self.layout, size, condition, generator)
        latent = torch.randn(size, self.latent, generator=generator, device=generator.device)
        networks = cast(ImageVAE, self.stages[0].trained)
        return to_batch(self.likelihood.middle(networks.decoder(latent, drawn.get("label"))), drawn)

    @torch.inference_mode()
    def bits_per_dim(self, images: Batch, seed: int = 0) -> Tensor:
        """Negative ELBO of each image, by one draw of its latent.

        Args:
            images: What `codec.encode` gives: `image` and, where there are labels, `label`.
            seed: Of the draws.

        Returns:
            (images,) bits a dimension, on the CPU. Their mean is an unbiased estimate of an upper bound on the model's
            code length, where the likelihood is one of the pixels.
        """
        self.eval()
        generator = torch.Generator(self.device).manual_seed(seed)
        parts = []
        for rows in torch.arange(len(images["image"])).split(self.block_size):
            batch = {name: value[rows].to(self.device) for name, value in images.items()}
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16_pays(self.device)):
                nll, kl = self._bound(self.stages[0].trained, batch, generator)
            parts.append((nll + kl.sum(dim=1)).cpu())
        return torch.cat(parts) * self._bits

    def _loss(self, networks: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        nll, kl = self._bound(networks, batch, generator)
        return (nll.mean() + self.beta * free_bits(kl, self.free_bits * math.log(2))) * self._bits

    def _validation_loss(self, networks: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        nll, kl = self._bound(networks, batch, generator)
        return (nll.mean() + kl.sum(dim=1).mean()) * self._bits

    def _bound(self, networks: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The two parts of the negative ELBO in nats: (batch,) of the pixels, and (batch, latent) of the latent."""
        networks = cast(ImageVAE, networks)
        image, label = from_pixels(batch["image"]), batch.get("label")
        mean, logvar = networks.encoder(image, label)
        output = networks.decoder(reparameterised(mean, logvar, generator), label)
        return self.likelihood.nll(image, output).flatten(1).sum(dim=1), gaussian_kl(mean, logvar)

    @property
    def _bits(self) -> float:
        """Bits a dimension in a nat an image."""
        return 1 / (math.log(2) * math.prod(self.layout.shape))


class ImageVAE(nn.Module):
    """Encoder and decoder, trained as one."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder.to(memory_format=torch.channels_last)
        self.decoder = decoder.to(memory_format=torch.channels_last)


class Likelihood(NamedTuple):
    """A distribution of pixels, independent of each other given the decoder's output.

    Attributes:
        parameters: Outputs of the decoder for each value of a pixel.
        nll: (images in [−1, 1], output) to nats, of the shape of the images.
        middle: Output to the median of the logistic or the mean of the Bernoulli distribution, in [−1, 1].
    """

    parameters: int
    nll: Callable[[Tensor, Tensor], Tensor]
    middle: Callable[[Tensor], Tensor]


def _logistic_nll(image: Tensor, output: Tensor) -> Tensor:
    mean, log_scale = output.chunk(2, dim=1)
    # Far below a grey level's width, a narrower scale says nothing more and only steepens the gradient.
    return discretised_logistic_nll(image, mean, log_scale.clamp(min=-7))


LIKELIHOODS = {
    "discretised_logistic": Likelihood(2, _logistic_nll, lambda output: output.chunk(2, dim=1)[0].clamp(-1, 1)),
    "bernoulli": Likelihood(
        1, lambda image, output: bernoulli_nll((image + 1) / 2, output), lambda output: 2 * output.sigmoid() - 1
    ),
}
