"""What networks share: features of a noise level or a time."""

import math

import torch
from torch import Tensor, nn

__all__ = ["FourierFeatures"]


class FourierFeatures(nn.Module):
    """Sines and cosines of a scalar at geometrically spaced frequencies (Vaswani et al., 2017, section 3.5).

    Args:
        features: Number of features, even.
        lowest: Lowest frequency, in cycles a unit.
        highest: Highest frequency.
    """

    frequencies: Tensor

    def __init__(self, features: int, lowest: float, highest: float) -> None:
        super().__init__()
        spaced = torch.logspace(math.log10(lowest), math.log10(highest), features // 2)
        self.register_buffer("frequencies", 2 * math.pi * spaced, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch,) to (batch, features)."""
        angles = x[:, None].float() * self.frequencies
        return torch.cat([angles.cos(), angles.sin()], dim=1)
