"""The Fréchet distance of images that come batch by batch, on any number of processes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from synthgen.errors import SynthgenError

__all__ = ["FrechetDistance"]


class FrechetDistance(Metric):
    """`frechet_distance(all features seen, reference)`, in D² memory however many images pass; 0 is best.

    Heusel et al. (2017): |μ_a − μ_b|² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½). Count, sum and outer products are kept in
    double precision around the reference's mean, so that a mean that is large beside the spread costs no digits, and
    add up over processes. Equal to the function to about 1e-7 of tr Σ_b, or 1e-4 of it where a covariance is singular:
    roots of eigenvalues that should be 0 are not. Blind to anything but mean and covariance, and biased upwards for
    few images. It needs a device that knows double precision (not Apple's).

    Args:
        reference: Features of the real images, shape (N, D), N at least 2; the same on every process.

    Raises:
        SynthgenError: When the reference has another shape; from `update` when features have another D; from `compute`
            when fewer than 2 images were seen.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    count: Tensor
    total: Tensor
    outer: Tensor
    centre: Tensor
    root: Tensor

    def __init__(self, reference: NDArray[np.floating], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if reference.ndim != 2 or len(reference) < 2:
            raise SynthgenError(f"expected a reference of shape (N, D) with at least 2 images, found {reference.shape}")
        values = reference.astype(np.float64)
        centre = values.mean(0)
        root = np.linalg.qr(values - centre, mode="r") / np.sqrt(len(values) - 1)  # Σ_b = RᵀR
        self.register_buffer("centre", torch.from_numpy(centre), persistent=False)
        self.register_buffer("root", torch.from_numpy(root), persistent=False)
        width = len(centre)
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(width, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("outer", torch.zeros(width, width, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, features: Tensor) -> None:
        """Takes features of more images, shape (n, D), of any floating type."""
        if features.ndim != 2 or features.shape[1] != len(self.centre):
            raise SynthgenError(f"expected features of shape (n, {len(self.centre)}), found {tuple(features.shape)}")
        moved = features.to(self.centre) - self.centre
        self.count += len(moved)
        self.total += moved.sum(0)
        self.outer += moved.mT @ moved

    def compute(self) -> Tensor:
        """The distance, a double of no dimensions."""
        if self.count < 2:
            raise SynthgenError(f"expected at least 2 images, found {int(self.count)}")
        mean = self.total / self.count
        covariance = (self.outer - self.count * torch.outer(mean, mean)) / (self.count - 1)
        # (Σ_a Σ_b)^½ has the trace of (R Σ_a Rᵀ)^½, which is symmetric.
        cross = torch.linalg.eigvalsh(self.root @ covariance @ self.root.mT).clamp(min=0).sqrt().sum()
        distance = mean.square().sum() + covariance.trace() + self.root.square().sum() - 2 * cross
        return distance.clamp(min=0)
