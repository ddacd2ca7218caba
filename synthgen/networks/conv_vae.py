"""A residual convolutional encoder and decoder for images of any number of channels and any size."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthgen.networks.residual import Downsample, ResidualBlock, Upsample, group_norm, halvings

__all__ = ["ConvDecoder", "ConvEncoder"]


class ConvEncoder(nn.Module):
    """Says where the latent of an image lies: residual blocks modulated by the class, halving the image at each level.

    Images are padded at their lower and right edges, by replication, to a multiple of the coarsest level's stride. The
    first halving moves pixels into channels.

    Args:
        channels: Of the image.
        height: Of the image, in pixels.
        image_width: Its width.
        latent: Dimensions of the latent.
        classes: Number of class labels; 0 for an unlabelled encoder.
        width: Features at half the image's size; each coarser level has twice as many, four times at most.
        blocks: Residual blocks a level.
        dropout: Share of features dropped within blocks while training.
    """

    def __init__(
        self,
        channels: int,
        height: int,
        image_width: int,
        latent: int,
        classes: int = 0,
        width: int = 32,
        blocks: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.plan = plan = _Plan(height, image_width, width)
        features = 4 * width
        self.label = nn.Embedding(max(classes, 1), features)
        self.into = nn.Conv2d(channels * plan.patch**2, width, 3, padding=1)
        self.layers = nn.ModuleList()
        current = width
        for level, wide in enumerate(plan.widths):
            if level:
                self.layers.append(Downsample(current))
            for _ in range(blocks):
                self.layers.append(ResidualBlock(current, wide, features, dropout))
                current = wide
        self.norm = group_norm(current)
        self.out = nn.Linear(current * plan.grid[0] * plan.grid[1], 2 * latent)
        # Every posterior begins as the prior: a bound that starts high rather than unbounded.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The posterior of each image.

        Args:
            x: (batch, channels, height, width) in [−1, 1].
            label: (batch,) class labels; None for an unlabelled encoder.

        Returns:
            Mean and ln(variance), each (batch, latent).
        """
        context = _context(self.label, x, label)
        pad = (0, self.plan.padded[1] - x.shape[3], 0, self.plan.padded[0] - x.shape[2])
        hidden = functional.pad(x, pad, mode="replicate") if any(pad) else x
        hidden = functional.pixel_unshuffle(hidden, self.plan.patch).contiguous(memory_format=torch.channels_last)
        hidden = self.into(hidden)
        for layer in self.layers:
            hidden = layer(hidden, context)
        mean, logvar = self.out(functional.silu(self.norm(hidden)).flatten(1)).float().chunk(2, dim=1)
        return mean, logvar


class ConvDecoder(nn.Module):
    """Says what the pixels of a latent are: the encoder's mirror, each block modulated by latent and class.

    Args:
        channels: Of the output: parameters of the pixels' distribution, for all channels of the image.
        height: Of the image, in pixels.
        image_width: Its width.
        latent: Dimensions of the latent.
        classes: Number of class labels; 0 for an unlabelled decoder.
        width: Features at half the image's size; each coarser level has twice as many, four times at most.
        blocks: Residual blocks a level.
        dropout: Share of features dropped within blocks while training.
    """

    def __init__(
        self,
        channels: int,
        height: int,
        image_width: int,
        latent: int,
        classes: int = 0,
        width: int = 32,
        blocks: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.plan = plan = _Plan(height, image_width, width)
        self.size = height, image_width
        features = 4 * width
        self.label = nn.Embedding(max(classes, 1), features)
        self.latent = nn.Linear(latent, features)
        current = plan.widths[-1]
        self.base = nn.Linear(features, current * plan.grid[0] * plan.grid[1])
        self.layers = nn.ModuleList()
        for level, wide in reversed(list(enumerate(plan.widths))):
            for _ in range(blocks):
                self.layers.append(ResidualBlock(current, wide, features, dropout))
                current = wide
            if level:
                self.layers.append(Upsample(current))
        self.norm = group_norm(current)
        self.out = nn.Conv2d(current, channels * plan.patch**2, 3, padding=1)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Parameters of the pixels' distribution.

        Args:
            latent: (batch, latent).
            label: (batch,) class labels; None for an unlabelled decoder.

        Returns:
            (batch, channels, height, width).
        """
        context = functional.silu(self.latent(latent) + _context(self.label, latent, label))
        hidden = self.base(context).reshape(len(latent), -1, *self.plan.grid)
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            hidden = layer(hidden, context)
        output = functional.pixel_shuffle(self.out(functional.silu(self.norm(hidden))), self.plan.patch)
        return output[:, :, : self.size[0], : self.size[1]].float()


class _Plan:
    """Sides, grid and features of the levels, the same for encoder and decoder."""

    def __init__(self, height: int, image_width: int, width: int) -> None:
        levels = halvings(height, image_width)
        self.patch = 2 if levels else 1
        self.grid = -(-height // 2**levels), -(-image_width // 2**levels)
        self.padded = self.grid[0] * 2**levels, self.grid[1] * 2**levels
        self.widths = [width * 2 ** min(level, 2) for level in range(max(levels, 1))]


def _context(embedding: nn.Embedding, x: Tensor, label: Tensor | None) -> Tensor:
    """What is known of the class; without labels, all examples are of one."""
    return embedding(torch.zeros(len(x), dtype=torch.long, device=x.device) if label is None else label)
