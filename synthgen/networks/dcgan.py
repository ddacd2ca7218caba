"""A convolutional generator and a convolutional discriminator for images of any number of channels and any size."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from synthgen.networks.residual import halvings

__all__ = ["DCGANDiscriminator", "DCGANGenerator"]


class DCGANGenerator(nn.Module):
    """Grows an image from a latent by transposed convolutions (Radford et al., 2016), modulated by latent and class.

    The base grid is the image's size halved until its shorter side has 4 to 7 positions, rounded up; what is too much
    at the lower and right edges is cropped. After each convolution, features are batch-normalised, and scaled and
    shifted by what the latent and the class say (Dumoulin et al., 2017; Chen et al., 2019, "self-modulation").

    Args:
        channels: Of the image.
        height: Of the image, in pixels.
        image_width: Its width.
        classes: Number of class labels; 0 for an unlabelled generator.
        latent: Dimensions of the latent.
        width: Features before the last convolution; each coarser level has twice as many, four times at most.
    """

    def __init__(
        self, channels: int, height: int, image_width: int, classes: int = 0, latent: int = 64, width: int = 64
    ) -> None:
        super().__init__()
        levels = halvings(height, image_width)
        widths = [width * 2 ** min(level, 2) for level in reversed(range(max(levels, 1)))]
        self.latent = latent
        self.size = height, image_width
        self.grid = -(-height // 2**levels), -(-image_width // 2**levels)
        self.label = nn.Embedding(max(classes, 1), latent)
        self.base = nn.Linear(2 * latent, widths[0] * self.grid[0] * self.grid[1])
        self.norms = nn.ModuleList(_Modulated(wide, 2 * latent) for wide in widths)
        growing = [nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in zip(widths, [*widths[1:], channels])]
        self.convs = nn.ModuleList(growing if levels else [nn.Conv2d(width, channels, 3, padding=1)])
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Images from noise.

        Args:
            latent: (batch, latent), standard normal.
            label: (batch,) class labels; None for an unlabelled generator.

        Returns:
            (batch, channels, height, width) in [−1, 1].
        """
        label = torch.zeros(len(latent), dtype=torch.long, device=latent.device) if label is None else label
        context = torch.cat([latent, self.label(label)], dim=1)
        hidden = self.base(context).reshape(len(latent), -1, *self.grid)
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        for norm, conv in zip(self.norms, self.convs):
            hidden = conv(functional.relu(norm(hidden, context)))
        return hidden.float().tanh()[:, :, : self.size[0], : self.size[1]]


class _Modulated(nn.Module):
    """Batch normalisation whose scale and shift depend on a context."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.context = nn.Linear(features, 2 * channels)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        scale, shift = self.context(context)[:, :, None, None].chunk(2, dim=1)
        return self.norm(x) * (1 + scale) + shift


class DCGANDiscriminator(nn.Module):
    """Scores images by strided convolutions with spectral normalisation and a projection on the class.

    Every weight is divided by its largest singular value (Miyato et al., 2018), of which each pass in training takes
    one more step of power iteration. The score is ψ · φ(x) + e(class) · φ(x), with φ the features summed over all
    positions (Miyato and Koyama, 2018, equation 3).

    Args:
        channels: Of the image.
        height: Of the image, in pixels.
        image_width: Its width.
        classes: Number of class labels; 0 for an unlabelled discriminator.
        width: Features at half the image's size; each coarser level has twice as many, four times at most.
    """

    def __init__(self, channels: int, height: int, image_width: int, classes: int = 0, width: int = 64) -> None:
        super().__init__()
        levels = halvings(height, image_width)
        widths = [width * 2 ** min(level, 2) for level in range(max(levels, 1))]
        stride = 2 if levels else 1
        down = [nn.Conv2d(a, b, 2 + stride, stride, 1) for a, b in zip([channels, *widths], widths)]
        self.convs = nn.ModuleList(spectral_norm(c) for c in [*down, nn.Conv2d(widths[-1], widths[-1], 3, padding=1)])
        self.score = spectral_norm(nn.Linear(widths[-1], 1))
        self.label = spectral_norm(nn.Embedding(classes, widths[-1])) if classes else None

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """How real images are, for their class.

        Args:
            x: (batch, channels, height, width) in [−1, 1].
            label: (batch,) class labels; None for an unlabelled discriminator.

        Returns:
            (batch,) scores, higher is more real.
        """
        hidden = x.contiguous(memory_format=torch.channels_last)
        with parametrize.cached():
            # Singular values in full precision: in bf16, power iteration would be off by more than it corrects.
            with torch.autocast(x.device.type, enabled=False):
                for layer in (*self.convs, self.score, self.label):
                    _ = None if layer is None else layer.weight
            for conv in self.convs:
                hidden = functional.leaky_relu(conv(hidden), 0.2)
            features = hidden.float().sum(dim=(2, 3))
            score = self.score(features).squeeze(1).float()
            return score if self.label is None else score + (self.label(label) * features).sum(dim=1)
