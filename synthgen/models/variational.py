"""What VAEs share: the divergence of the posterior, free bits, and likelihoods (Kingma and Welling, 2014)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "AdaptiveBeta",
    "bernoulli_nll",
    "discretised_logistic_nll",
    "free_bits",
    "gaussian_kl",
    "gaussian_nll",
    "reparameterised",
]


def reparameterised(mean: Tensor, logvar: Tensor, generator: torch.Generator) -> Tensor:
    """A draw of N(mean, exp(logvar)) that gradients pass through."""
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    return mean + (logvar / 2).exp() * noise


def gaussian_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) ‖ N(0, 1)) of every element, in nats (Kingma and Welling, 2014, appendix B)."""
    return (mean.square() + logvar.exp() - 1 - logvar) / 2


def free_bits(kl: Tensor, nats: float) -> Tensor:
    """Divergence a row, in which each latent dimension costs at least `nats`, however little it says.

    A dimension below that has no gradient and is not pushed to say nothing (Kingma et al., 2016, appendix C.8).

    Args:
        kl: (batch, latent).
        nats: Least cost of a dimension, on average over the batch.

    Returns:
        A scalar: the sum over dimensions of the batch's mean.
    """
    return kl.mean(dim=0).clamp(min=nats).sum()


def gaussian_nll(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """−ln N(x; mean, exp(logvar)) of every element, in nats."""
    return ((x - mean).square() * (-logvar).exp() + logvar + math.log(2 * math.pi)) / 2


def bernoulli_nll(x: Tensor, logits: Tensor) -> Tensor:
    """−ln likelihood of every element of `x` in [0, 1] under Bernoulli(sigmoid(logits)), in nats.

    A likelihood of pixels only where they are 0 or 1; of grey values it is a bound on nothing, as usual as it is.
    """
    return functional.binary_cross_entropy_with_logits(logits, x, reduction="none")


def discretised_logistic_nll(x: Tensor, mean: Tensor, log_scale: Tensor, levels: int = 256) -> Tensor:
    """−ln likelihood of every element under a logistic distribution binned to `levels`.

    Salimans et al. (2017), section 2.1, with one component. The first and the last bin take all that lies beyond, so
    that the levels' probabilities sum to 1.

    Args:
        x: Levels scaled evenly to [−1, 1].
        mean: Location of the logistic, on that scale.
        log_scale: ln of its scale.
        levels: Number of levels.

    Returns:
        Nats; / (ln 2) for bits.
    """
    half = 1 / (levels - 1)
    inverse = (-log_scale).exp()
    upper, lower = (x - mean + half) * inverse, (x - mean - half) * inverse
    # ln(σ(u) − σ(l)) = ln σ(u) + ln σ(−l) + ln(1 − exp(l − u)): exact where either σ is within rounding of 0 or 1.
    inside = functional.logsigmoid(upper) + functional.logsigmoid(-lower) + (-torch.expm1(lower - upper)).log()
    first, last = functional.logsigmoid(upper), functional.logsigmoid(-lower)
    return -torch.where(x <= -1 + half, first, torch.where(x >= 1 - half, last, inside))


class AdaptiveBeta(nn.Module):
    """A weight of the divergence that falls whenever reconstruction ceases to (Zhang et al., 2024, section 3.2).

    Latents begin regular, and become as precise as reconstruction takes. All of it stays on the device.

    Args:
        start: The weight at the start, above 0.
        end: The weight below which it never falls.
        decay: What it is multiplied by, below 1.
        every: Examples over which a mean reconstruction loss is taken.
        patience: Such means in a row without a lower one after which the weight falls.

    Attributes:
        value: The weight.
    """

    value: Tensor
    best: Tensor
    stale: Tensor
    total: Tensor
    examples: Tensor

    def __init__(
        self, start: float = 1e-2, end: float = 1e-5, decay: float = 0.7, every: int = 30_000, patience: int = 1
    ) -> None:
        super().__init__()
        self.end = end
        self.decay = decay
        self.every = every
        self.patience = patience
        self.register_buffer("value", torch.tensor(float(start)))
        self.register_buffer("best", torch.tensor(torch.inf))
        self.register_buffer("stale", torch.tensor(0))
        self.register_buffer("total", torch.tensor(0.0))
        self.register_buffer("examples", torch.tensor(0))

    @torch.no_grad()
    def observe(self, reconstruction: Tensor) -> None:
        """Takes note of the reconstruction loss of the examples of one batch, (batch,)."""
        self.total += reconstruction.detach().sum()
        self.examples += len(reconstruction)
        due = self.examples >= self.every
        mean = self.total / self.examples
        lower = mean < self.best
        self.stale.copy_(torch.where(due, torch.where(lower, 0, self.stale + 1), self.stale))
        self.best.copy_(torch.where(due & lower, mean, self.best))
        falls = due & (self.stale >= self.patience)
        self.value.copy_(torch.where(falls, (self.value * self.decay).clamp(min=self.end), self.value))
        self.stale.masked_fill_(falls, 0)
        self.total.masked_fill_(due, 0.0)
        self.examples.masked_fill_(due, 0)
