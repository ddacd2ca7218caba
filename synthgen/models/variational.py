"""What VAEs share: the divergence of the posterior, free bits, and likelihoods (Kingma and Welling, 2014)."""

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["bernoulli_nll", "discretised_logistic_nll", "free_bits", "gaussian_kl", "gaussian_nll", "reparameterised"]


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
