"""What image models share: how pixels become numbers and numbers samples, and which class a sample is of."""

import torch
from torch import Tensor

from synthgen.layout import ImageLayout
from synthgen.models.stages import Batch

__all__ = ["from_pixels", "sampled_label", "to_batch"]


def from_pixels(pixels: Tensor) -> Tensor:
    """uint8 grey levels to floats in [−1, 1]."""
    return pixels.float() / 127.5 - 1


def to_batch(image: Tensor, label: Tensor | None) -> Batch:
    """Samples as the codec encodes them.

    Args:
        image: Floats, 0 to 255 in steps from −1 to 1; they become the nearest uint8 grey levels, and what lies beyond
            is cut off.
        label: (samples,) their classes; None where images carry none.
    """
    pixels = ((image.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return {"image": pixels} if label is None else {"image": pixels, "label": label}


def sampled_label(layout: ImageLayout, size: int, condition: Batch | None, generator: torch.Generator) -> Tensor | None:
    """The class of each sample: the condition's where it is known, else drawn as often as in training.

    Args:
        layout: Classes, and their shares.
        size: Number of samples.
        condition: `label` and `label_known`, (size,), or None.
        generator: Source of the labels that are free.

    Returns:
        (size,) labels on the generator's device; None where images carry none.
    """
    if not layout.classes:
        return None
    shares = torch.tensor(layout.class_shares or (1.0,) * layout.classes, device=generator.device)
    label = torch.multinomial(shares, size, replacement=True, generator=generator)
    return label if condition is None else torch.where(condition["label_known"], condition["label"], label)
