"""DCGAN: a convolutional GAN, class by class where there are labels (Radford et al., 2016; Miyato and Koyama, 2018)."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from synthgen.errors import SynthgenError, nearest
from synthgen.layout import ImageLayout
from synthgen.models.adversarial import ADVERSARIAL_LOSSES, AdversarialStage, r1_penalty
from synthgen.models.base import Model
from synthgen.models.image.diffaugment import AUGMENTATIONS, diff_augment
from synthgen.models.image.encoding import from_pixels, sampled_label, to_batch
from synthgen.models.stages import EMA, Batch, Optimization, StepContext

__all__ = ["DCGAN"]


class DCGAN(Model):
    """A generator of images and a discriminator that tells them from real ones.

    Conditions on the class are exact as far as the generator has learned the class: it is an input. Labels are drawn
    from the training distribution where a condition leaves them free. Sampling uses the generator's average alone, with
    the running statistics of the generator itself: as the rate falls to zero, weights and statistics belong together.

    Args:
        layout: What an image is.
        generator: (channels, height, image_width, classes) to a network such as `DCGANGenerator`.
        discriminator: The same to a network such as `DCGANDiscriminator`.
        generator_optimization: How the generator's weights are fitted.
        discriminator_optimization: How the discriminator's are.
        ema: The average of the generator that sampling uses.
        loss: "non_saturating" or "hinge".
        augment: Changes through which the discriminator sees all images: "color", "translation", "cutout" (Zhao et
            al., 2020). They help where there are fewer than some ten thousand images, and slow learning down where
            there are more.
        r1: Weight γ of the penalty γ / 2 · ‖∇D‖² on real images (Mescheder et al., 2018); 0 leaves it out.

    Raises:
        SynthgenError: A loss or an augmentation that does not exist.
    """

    conditioning = "exact"
    block_size = 64

    def __init__(
        self,
        layout: ImageLayout,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        generator_optimization: Optimization,
        discriminator_optimization: Optimization,
        ema: EMA,
        loss: str = "hinge",
        augment: Sequence[str] = (),
        r1: float = 0.0,
    ) -> None:
        losses = ("non_saturating", "hinge")
        if loss not in losses:
            raise SynthgenError(f"model.loss: unknown {loss!r}: {nearest(loss, losses, what='losses are')}")
        for name in augment:
            if name not in AUGMENTATIONS:
                known = nearest(name, AUGMENTATIONS, what="augmentations are")
                raise SynthgenError(f"model.augment: unknown {name!r}: {known}")
        facts = {"channels": layout.channels, "height": layout.height, "image_width": layout.width}
        stage = AdversarialStage(
            generator(**facts, classes=layout.classes).to(memory_format=torch.channels_last),
            discriminator(**facts, classes=layout.classes).to(memory_format=torch.channels_last),
            self._generate,
            self._discriminator_loss,
            self._generator_loss,
            generator_optimization,
            discriminator_optimization,
            ema,
            score=self._score,
        )
        super().__init__([stage])
        self.layout = layout
        self.loss = ADVERSARIAL_LOSSES[loss]
        self.augment = tuple(augment)
        self.r1 = r1

    def sample_block(self, size: int, condition: Batch | None, generator: torch.Generator, **_: Any) -> Batch:
        """Images and labels; see `Model.sample_block`.

        Args:
            size: Number of images.
            condition: `label` and `label_known`, (size,).
            generator: Source of latents and free labels.
        """
        drawn = sampled_label(self.layout, size, condition, generator)
        return to_batch(_generated(self.stages[0].trained, size, drawn.get("label"), generator), drawn)

    def _generate(self, generator: nn.Module, batch: Batch, context: StepContext) -> Batch:
        # Labels of generated images are those of the batch: a draw of the training distribution as good as any.
        return {"image": _generated(generator, len(batch["image"]), batch.get("label"), context.generator)}

    def _discriminator_loss(
        self, discriminator: nn.Module, batch: Batch, generated: Batch, context: StepContext
    ) -> Tensor:
        real, label = from_pixels(batch["image"]), batch.get("label")
        both = diff_augment(torch.cat([real, generated["image"]]), self.augment, context.generator)
        scores = discriminator(both, None if label is None else label.repeat(2))
        loss = self.loss.discriminator(*scores.chunk(2))
        if self.r1:
            loss = loss + self.r1 / 2 * r1_penalty(lambda images: discriminator(images, label), both[: len(real)])
        return loss

    def _generator_loss(self, discriminator: nn.Module, batch: Batch, generated: Batch, context: StepContext) -> Tensor:
        augmented = diff_augment(generated["image"], self.augment, context.generator)
        return self.loss.generator(discriminator(augmented, batch.get("label")))

    def _score(self, discriminator: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        return discriminator(from_pixels(batch["image"]), batch.get("label"))


def _generated(network: nn.Module, size: int, label: Tensor | None, generator: torch.Generator) -> Tensor:
    latent = torch.randn(size, cast(int, network.latent), generator=generator, device=generator.device)
    return network(latent, label)
