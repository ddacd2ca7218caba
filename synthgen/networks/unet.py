"""A U-Net for images of any number of channels and any size."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthgen.networks.embeddings import AttributeEmbedding, FourierFeatures
from synthgen.networks.residual import Downsample, ResidualBlock, Upsample, group_norm

__all__ = ["UNet"]


class UNet(nn.Module):
    """Residual U-Net with modulation by noise level and class, and attention at chosen levels.

    Images are padded at their lower and right edges, by reflection's simpler sister replication, to a multiple of the
    coarsest level's stride, and cropped back.

    Args:
        channels: Of the image, in and out.
        classes: Number of class labels; label `classes` stands for "no label". 0 for an unlabelled model.
        width: Features at the finest level.
        multipliers: Features of each level, as multiples of `width`; every level after the first halves the size.
        blocks: Residual blocks a level.
        attention: Levels, counted from 0 at the finest, that attend over all positions after each block.
        patch_size: Pixels a side that the finest level takes as one position; "auto" is 2 where images are
            larger than 16 pixels a side and 1 else.
        size: Larger side of the images, in pixels: what "auto" goes by.
        dropout: Share of features dropped within blocks while training.
        attributes: Number of attributes that are told besides the class.
    """

    def __init__(
        self,
        channels: int,
        classes: int = 0,
        size: int = 32,
        width: int = 64,
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 2,
        attention: Sequence[int] = (),
        patch_size: int | str = "auto",
        dropout: float = 0.0,
        attributes: int = 0,
    ) -> None:
        super().__init__()
        patch = (2 if size > 16 else 1) if patch_size == "auto" else int(patch_size)
        features = 4 * width
        self.patch = patch
        self.stride = patch * 2 ** (len(multipliers) - 1)
        self.noise = nn.Sequential(FourierFeatures(64, 0.05, 2.0), nn.Linear(64, features))
        self.label = nn.Embedding(classes + 1, features) if classes else None
        self.attributes = AttributeEmbedding(attributes, features) if attributes else None
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(features, features), nn.SiLU())
        self.into = nn.Conv2d(channels * patch**2, width, 3, padding=1)

        widths = [width * multiplier for multiplier in multipliers]
        self.down = nn.ModuleList()
        skips, current = [width], width
        for level, wide in enumerate(widths):
            if level:
                self.down.append(Downsample(current))
                skips.append(current)
            for _ in range(blocks):
                self.down.append(ResidualBlock(current, wide, features, dropout, level in attention))
                skips.append(current := wide)
        self.middle = nn.ModuleList(ResidualBlock(current, current, features, dropout, i == 0) for i in range(2))
        self.up = nn.ModuleList()
        for level, wide in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(ResidualBlock(current + skips.pop(), wide, features, dropout, level in attention))
                current = wide
            if level:
                self.up.append(Upsample(current))
        self.norm = group_norm(current)
        self.out = nn.Conv2d(current, channels * patch**2, 3, padding=1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, x: Tensor, noise: Tensor, label: Tensor | None = None, attributes: Tensor | None = None
    ) -> Tensor:
        """One pass over images.

        Args:
            x: (batch, channels, height, width), of unit variance.
            noise: (batch,) the noise level as a number of order 1, such as ln(sigma) / 4.
            label: (batch,) class labels, `classes` for none; None for none anywhere.
            attributes: (batch, 2 × attributes): their values, 0 where they are not known, and then 1 where they are
                known and 0 else; None for none anywhere.

        Returns:
            A tensor of the shape of `x`.
        """
        height, width = x.shape[2:]
        pad = (-width % self.stride, -height % self.stride)
        hidden = functional.pad(x, (0, pad[0], 0, pad[1]), mode="replicate") if any(pad) else x
        hidden = self.into(functional.pixel_unshuffle(hidden, self.patch))
        context = self.noise(noise)
        if self.label is not None:
            none = self.label.num_embeddings - 1
            context = context + self.label(torch.full_like(noise, none).long() if label is None else label)
        if self.attributes is not None and attributes is not None:
            context = context + self.attributes(attributes)
        context = self.mix(context)

        skips = [hidden]
        for layer in self.down:
            hidden = layer(hidden, context)
            skips.append(hidden)
        for layer in self.middle:
            hidden = layer(hidden, context)
        for layer in self.up:
            joined = hidden if isinstance(layer, Upsample) else torch.cat([hidden, skips.pop()], dim=1)
            hidden = layer(joined, context)
        output = self.out(functional.silu(self.norm(hidden)))
        return functional.pixel_shuffle(output, self.patch)[:, :, :height, :width]
