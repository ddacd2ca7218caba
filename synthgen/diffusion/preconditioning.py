"""What turns a network into a denoiser D(x, sigma) -> x0, and the loss that trains it (Karras et al., 2022)."""

from typing import NamedTuple

from torch import Tensor

__all__ = ["Preconditioning", "edm_loss", "edm_preconditioning"]


class Preconditioning(NamedTuple):
    """The scalings of D(x, sigma) = skip · x + out · F(into · x): tensors of the shape of sigma."""

    skip: Tensor
    out: Tensor
    into: Tensor


def edm_preconditioning(sigma: Tensor, sigma_data: float | Tensor) -> Preconditioning:
    """Scalings that give the network inputs and targets of unit variance at every noise level (table 1).

    Args:
        sigma: Noise levels, any shape.
        sigma_data: Standard deviation of the data.
    """
    total = (sigma**2 + sigma_data**2).sqrt()
    return Preconditioning(skip=(sigma_data / total) ** 2, out=sigma * sigma_data / total, into=1 / total)


def edm_loss(denoised: Tensor, clean: Tensor, sigma: Tensor, sigma_data: float | Tensor) -> Tensor:
    """Squared error of the denoiser, weighted so that it starts near 1 at every noise level (equation 8).

    Args:
        denoised: D(x, sigma).
        clean: x0, of the same shape.
        sigma: Noise levels, broadcastable to it.
        sigma_data: Standard deviation of the data.

    Returns:
        The loss of every element.
    """
    weight = (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
    return weight * (denoised.float() - clean) ** 2
