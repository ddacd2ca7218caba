"""What convolutional networks are built of: modulated residual blocks, changes of resolution, normalisation."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Downsample", "GroupNorm", "ResidualBlock", "Upsample", "group_norm", "halvings"]


class ResidualBlock(nn.Module):
    """Two convolutions, the second modulated by a context, around a shortcut; then attention where asked for.

    Args:
        channels: In.
        out: Channels out.
        features: Of the context.
        dropout: Share of features dropped while training.
        attention: Whether all positions attend to each other behind the convolutions.
    """

    def __init__(self, channels: int, out: int, features: int, dropout: float = 0.0, attention: bool = False) -> None:
        super().__init__()
        self.norm1 = group_norm(channels)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.context = nn.Linear(features, 2 * out)
        self.norm2 = group_norm(out)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()
        self.attention = _Attention(out) if attention else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(batch, channels, height, width) and (batch, features) to (batch, out, height, width)."""
        hidden = self.conv1(functional.silu(self.norm1(x)))
        scale, shift = self.context(context)[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm2(hidden) * (1 + scale) + shift
        hidden = self.conv2(self.dropout(functional.silu(hidden)))
        return self.attention(self.shortcut(x) + hidden)


class _Attention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = next(heads for heads in range(max(1, channels // 64), 0, -1) if channels % heads == 0)
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, 3, self.heads, channels // self.heads, height * width)
        q, k, v = qkv.transpose(3, 4).unbind(1)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return x + self.out(mixed.transpose(2, 3).reshape(batch, channels, height, width))


class Downsample(nn.Module):
    """Halves both sides by a convolution; takes a context like a block and does not look at it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        """(batch, channels, height, width) to half of height and width, rounded up."""
        return self.conv(x)


class Upsample(nn.Module):
    """Doubles both sides by repetition and a convolution; takes a context like a block and does not look at it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        """(batch, channels, height, width) to twice the height and width."""
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


class GroupNorm(nn.GroupNorm):
    """Group normalisation that is as quick on a CPU for images in channels-last order as for others.

    PyTorch's own takes several times as long there, in bf16 longer than the convolutions around it: two changes of
    order and its quick form cost a third of that.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same, in the same order in memory."""
        if x.device.type != "cpu" or x.is_contiguous():
            return super().forward(x)
        return super().forward(x.contiguous()).contiguous(memory_format=torch.channels_last)


def group_norm(channels: int) -> GroupNorm:
    """Group normalisation with as many groups as leave at least four channels each, 32 at most (Wu and He, 2018)."""
    groups = next((groups for groups in (32, 16, 8, 4, 2) if channels % groups == 0 and channels >= 4 * groups), 1)
    return GroupNorm(groups, channels)


def halvings(height: int, width: int) -> int:
    """How often an image can be halved so that its shorter side keeps at least 4 pixels; 0 for the smallest."""
    return max(0, (min(height, width) // 4).bit_length() - 1)
