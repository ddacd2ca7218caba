"""DiffAugment: random changes of images that gradients pass through (Zhao et al., 2020)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["AUGMENTATIONS", "diff_augment"]


def diff_augment(images: Tensor, names: Sequence[str], generator: torch.Generator) -> Tensor:
    """Changes every image by its own draw of each augmentation, one after another, so that a GAN may learn from few.

    A discriminator that sees real and generated images through the same augmentations cannot learn the real ones by
    heart, and cannot teach the generator the augmentations, as their gradients lead through them.

    Args:
        images: (batch, channels, height, width) in [−1, 1].
        names: Keys of `AUGMENTATIONS`.
        generator: Source of the draws, on the images' device.

    Returns:
        A tensor of the shape of `images`; colours may leave [−1, 1].
    """
    for name in names:
        images = AUGMENTATIONS[name](images, generator)
    return images


def _color(images: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness ± 1/2, saturation × 0 to 2 where there are three channels, contrast × 1/2 to 3/2."""
    brightness, saturation, contrast = _uniform(images, 3, generator)[..., None, None, None]
    images = images + brightness - 0.5
    if images.shape[1] == 3:
        grey = images.mean(dim=1, keepdim=True)
        images = grey + 2 * saturation * (images - grey)
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return level + (contrast + 0.5) * (images - level)


def _translation(images: Tensor, generator: torch.Generator) -> Tensor:
    """Moved by whole pixels, up to an eighth of a side each way; zero moves in."""
    down, right = _uniform(images, 2, generator)

    def moved(side: int, draw: Tensor) -> Tensor:
        """(batch, side, side) matrices with a one where a pixel comes from: exact, and its gradient a product too."""
        reach = round(side / 8)
        shift = (draw * (2 * reach + 1)).floor() - reach
        place = torch.arange(side, device=images.device)
        return (place[:, None] - shift[:, None, None] == place[None, :]).to(images.dtype)

    rows, columns = moved(images.shape[2], down), moved(images.shape[3], right)
    with torch.autocast(images.device.type, enabled=False):  # or pixels would be rounded to bf16
        return torch.einsum("bhi,bcij,bwj->bchw", rows, images, columns)


def _cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    """A box of half of each side, its middle anywhere, becomes zero."""
    top, left = _uniform(images, 2, generator)

    def inside(side: int, draw: Tensor) -> Tensor:
        """(batch, side): whether a row or column meets the box."""
        half = max(1, round(side / 4))
        middle = (draw * side).floor()[:, None]
        place = torch.arange(side, device=images.device)
        return (place >= middle - half) & (place < middle + half)

    box = inside(images.shape[2], top)[:, :, None] & inside(images.shape[3], left)[:, None, :]
    return images.masked_fill(box[:, None], 0.0)


def _uniform(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, len(images), generator=generator, device=images.device)


AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "color": _color,
    "translation": _translation,
    "cutout": _cutout,
}
