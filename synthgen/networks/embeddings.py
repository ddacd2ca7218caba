"""What networks share: features of a noise level or a time, and of numbers that are told of an example."""

import math

import torch
from torch import Tensor, nn

__all__ = ["AttributeEmbedding", "FourierFeatures"]


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


class AttributeEmbedding(nn.Module):
    """What numbers and flags that are told of an example say, as one vector; nothing told is the zero vector.

    Beside the number itself, sines and cosines of it tell apart what lies near each other.

    Args:
        attributes: How many can be told.
        features: Of the vector.
        waves: Frequencies, from one cycle in sixteen standard deviations to one in two.
    """

    def __init__(self, attributes: int, features: int, waves: int = 4) -> None:
        super().__init__()
        self.waves = FourierFeatures(2 * waves, 1 / 16, 1 / 2)
        inputs = attributes * (2 + 2 * waves)
        self.linear = nn.Linear(inputs, features, bias=False)
        # About half of the inputs' squares are 1: the vector begins as large as an embedding of a class.
        nn.init.normal_(self.linear.weight, std=(inputs / 2) ** -0.5)

    def forward(self, told: Tensor) -> Tensor:
        """Embeds what is told.

        Args:
            told: (batch, 2 × attributes): standardised values, and then 1 where they are known and 0 else.

        Returns:
            (batch, features).
        """
        values, known = told.float().chunk(2, dim=1)
        waves = self.waves(values.flatten()).reshape(*values.shape, -1)
        each = torch.cat([torch.stack([values, torch.ones_like(values)], dim=2), waves], dim=2)
        return self.linear((each * known[:, :, None]).flatten(1))
