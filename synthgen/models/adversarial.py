"""What GANs share: losses, gradient penalties, and a stage of two networks with an optimizer each."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from synthgen.models.stages import EMA, Batch, Optimization, Stage, StepContext

__all__ = [
    "ADVERSARIAL_LOSSES",
    "AdversarialLoss",
    "AdversarialStage",
    "gradient_penalty",
    "input_gradient_of",
    "r1_penalty",
]

Score = Callable[[Tensor], Tensor]
Gradient = Callable[[Tensor], Tensor]  # of scores, with respect to examples


class AdversarialLoss(NamedTuple):
    """The two sides of a GAN's objective, both to be minimised.

    Attributes:
        discriminator: (scores of real, scores of fake examples) to a scalar.
        generator: Scores of fake examples to a scalar.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


ADVERSARIAL_LOSSES = {
    # Goodfellow et al., 2014, section 3: the generator ascends log D instead of descending log(1 − D).
    "non_saturating": AdversarialLoss(
        lambda real, fake: softplus(-real).mean() + softplus(fake).mean(), lambda fake: softplus(-fake).mean()
    ),
    # Lim and Ye, 2017.
    "hinge": AdversarialLoss(
        lambda real, fake: (1 - real).relu().mean() + (1 + fake).relu().mean(), lambda fake: -fake.mean()
    ),
    # Arjovsky et al., 2017; the critic needs a penalty that bounds its slope.
    "wasserstein": AdversarialLoss(lambda real, fake: fake.mean() - real.mean(), lambda fake: -fake.mean()),
}


class AdversarialStage(Stage):
    """A generator and a discriminator that learn against each other, one step each for every batch.

    Both steps look at the same generated examples: the discriminator learns from them, then the generator from what the
    discriminator now says of them.

    A loss of either says how the two compare and not how good samples are, so there is no validation figure, and the
    generator's average at the end is what is kept.

    Args:
        generator: What sampling uses.
        discriminator: Scores examples; higher is more real.
        generate: (generator, batch, context) to generated examples, and to what else both losses shall see.
        discriminator_loss: (discriminator, batch, generated, context) to a scalar, penalties included.
        generator_loss: The same for the generator, which is reached through `generated`.
        generator_optimization: How the generator is fitted.
        discriminator_optimization: How the discriminator is.
        ema: Average of the generator that sampling uses, or None for the generator itself.
        share: Share of the model's budget.
        score: (discriminator, encoded examples, generator) to scores, higher for more real, where these can be had of
            examples by themselves.
    """

    optimizer_count = 2
    validates = False

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        generate: Callable[[Any, Batch, StepContext], Batch],
        discriminator_loss: Callable[[Any, Batch, Batch, StepContext], Tensor],
        generator_loss: Callable[[Any, Batch, Batch, StepContext], Tensor],
        generator_optimization: Optimization,
        discriminator_optimization: Optimization,
        ema: EMA | None = None,
        share: float = 1.0,
        score: Callable[[Any, Batch, torch.Generator], Tensor] | None = None,
    ) -> None:
        super().__init__(share)
        self.generator = generator
        self.discriminator = discriminator
        self.generate = generate
        self.discriminator_loss = discriminator_loss
        self.generator_loss = generator_loss
        self.generator_optimization = generator_optimization
        self.discriminator_optimization = discriminator_optimization
        self.score = score
        self.ema = ema
        self.average = deepcopy(generator).requires_grad_(False).eval() if ema else None

    @property
    def trained(self) -> nn.Module:
        """The generator's average where there is one, else the generator."""
        return self.generator if self.average is None else self.average

    def load_trained(self, state: dict[str, Tensor]) -> None:
        """Both the generator and its average; the discriminator starts anew."""
        super().load_trained(state)
        self.generator.load_state_dict(state)

    def scores(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """What the discriminator says of encoded examples, real or sampled; higher is more real.

        Raises:
            NotImplementedError: The stage was made without `score`.
        """
        if self.score is None:
            raise NotImplementedError("the stage was made without `score`")
        return self.score(self.discriminator, batch, generator)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """The generator's, then the discriminator's."""
        return [
            self.generator_optimization.optimizer(self.generator),
            self.discriminator_optimization.optimizer(self.discriminator),
        ]

    def training_step(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """One step of the discriminator, one of the generator, then the average."""
        generator_optimizer, discriminator_optimizer = context.optimizers
        generated = self.generate(self.generator, batch, context)
        seen = {name: value.detach() for name, value in generated.items()}
        discriminator_loss = self.discriminator_loss(self.discriminator, batch, seen, context)
        self.discriminator_optimization.step(context, discriminator_optimizer, discriminator_loss)
        # Under mixed precision both halves lie in one autocast region, whose copies of the weights are now stale.
        torch.clear_autocast_cache()

        # The discriminator's weights take no gradient now: that saves a third of the backward pass.
        self.discriminator.requires_grad_(False)
        generator_loss = self.generator_loss(self.discriminator, batch, generated, context)
        self.generator_optimization.step(context, generator_optimizer, generator_loss)
        self.discriminator.requires_grad_(True)
        torch.clear_autocast_cache()
        if self.ema and self.average is not None:
            self.ema.update(self.average, self.generator, context.examples, context.seen + context.examples)
        return {"generator_loss": generator_loss.detach(), "discriminator_loss": discriminator_loss.detach()}


def gradient_penalty(gradient: Gradient, real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """Mean of (‖∇ score(x)‖ − 1)² at points drawn evenly between pairs of real and fake examples.

    WGAN-GP (Gulrajani et al., 2017, equation 3), without its factor λ.

    Args:
        gradient: Examples to gradients of their scores, as `input_gradient_of(score)` or in closed form.
        real: (batch, …).
        fake: Of the same shape.
        generator: Source of the points.
    """
    place = torch.rand(len(real), *(1,) * (real.ndim - 1), generator=generator, device=real.device)
    found = gradient(torch.lerp(real, fake, place)).flatten(1).float()
    return (found.norm(dim=1) - 1).square().mean()


def r1_penalty(score: Score, real: Tensor) -> Tensor:
    """Mean of ‖∇ score(x)‖² at real examples (Mescheder et al., 2018, equation 9), without its factor γ / 2.

    Args:
        score: Examples to scores.
        real: (batch, …).
    """
    return input_gradient_of(score)(real).flatten(1).float().square().sum(dim=1).mean()


def input_gradient_of(score: Score) -> Gradient:
    """What takes examples to the gradients of their scores, themselves differentiable, by autograd."""

    def gradient(points: Tensor) -> Tensor:
        points = points.detach().requires_grad_()
        (found,) = torch.autograd.grad(score(points).sum(), points, create_graph=True)
        return found

    return gradient
