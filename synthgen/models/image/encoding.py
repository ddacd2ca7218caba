"""What image models share: how pixels become numbers and numbers samples, and what is told of each of them."""

from typing import NamedTuple

import torch
from torch import Tensor

from synthgen.errors import SynthgenError
from synthgen.layout import ImageLayout
from synthgen.models.stages import Batch

__all__ = ["NOTHING", "Told", "from_pixels", "sampled_label", "sampled_told", "to_batch", "told"]

# Weights of described images, in logarithms: an attribute that differs, and the width, in standard deviations, within
# which a number is the same.
_OTHER, _WIDTH = -100.0, 0.1


class Told(NamedTuple):
    """What networks are told of images: their further arguments, in this order.

    Attributes:
        label: (images,) class indices, as many as there are classes for none; None without classes.
        attributes: (images, 2 × attributes): standardised ones, 0 where they are not known, and then whether they are;
            None without attributes.
    """

    label: Tensor | None = None
    attributes: Tensor | None = None


NOTHING = Told()


def from_pixels(pixels: Tensor) -> Tensor:
    """uint8 grey levels to floats in [−1, 1]."""
    return pixels.float() / 127.5 - 1


def told(layout: ImageLayout, batch: Batch, hidden: Tensor | None = None) -> Told:
    """What a batch tells of its images.

    Args:
        layout: Classes and attributes.
        batch: `label` and `attributes`, as `ImageCodec.encode` gives them.
        hidden: (images,) booleans: of which images nothing is told.
    """
    label, attributes = batch.get("label"), batch.get("attributes")
    if label is not None and hidden is not None:
        label = label.long().masked_fill(hidden, layout.classes)
    if attributes is not None:
        known = attributes.isnan().logical_not()
        if hidden is not None:
            known = known & ~hidden[:, None]
        attributes = torch.cat([attributes.nan_to_num().where(known, 0.0), known.float()], dim=1)
    return Told(label, attributes)


def to_batch(image: Tensor, drawn: Batch) -> Batch:
    """Samples as the codec encodes them.

    Args:
        image: Floats, 0 to 255 in steps from −1 to 1; they become the nearest uint8 grey levels, and what lies beyond
            is cut off.
        drawn: What else is told of the samples.
    """
    return {"image": ((image.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8), **drawn}


def sampled_label(layout: ImageLayout, size: int, condition: Batch | None, generator: torch.Generator) -> Batch:
    """The class of each sample, for models that know nothing else: the condition's, or drawn as often as in training.

    Args:
        layout: Classes, and their shares.
        size: Number of samples.
        condition: `label` and `label_known`, (size,), or None.
        generator: Source of the labels that are free.

    Returns:
        `label`, (size,), on the generator's device; nothing where images carry none.

    Raises:
        SynthgenError: The condition wants an attribute.
    """
    wanted = condition["attributes"].isfinite().any(dim=0) if condition and "attributes" in condition else None
    if wanted is not None and wanted.any():
        name = layout.attributes[int(wanted.nonzero()[0])].name
        raise SynthgenError(f"condition.{name}: this model knows classes alone; image/edm knows attributes")
    if not layout.classes:
        return {}
    shares = torch.tensor(layout.class_shares or (1.0,) * layout.classes, device=generator.device)
    label = torch.multinomial(shares, size, replacement=True, generator=generator)
    if condition is not None:
        label = torch.where(condition["label_known"], condition["label"], label)
    return {"label": label}


def sampled_told(layout: ImageLayout, size: int, condition: Batch | None, generator: torch.Generator) -> Batch:
    """What is told of each sample: what the condition wants, and of the rest what training images have together.

    Classes are as frequent as in training. Attributes are those of a described image of the class, the more likely the
    nearer it is in the attributes that are wanted.

    Args:
        layout: Classes, their shares, attributes and described images.
        size: Number of samples.
        condition: What `ImageCodec.encode_condition` gives, or None.
        generator: Source of what is free.

    Returns:
        `label`, (size,), and `attributes`, (size, attributes), standardised, where there are any.
    """
    condition = condition or {}
    classes = {name: value for name, value in condition.items() if name != "attributes"}
    drawn = sampled_label(layout, size, classes or None, generator)
    if not layout.attributes:
        return drawn
    rows = torch.tensor(layout.described, device=generator.device)
    free = torch.full((size, len(layout.attributes)), torch.nan, device=generator.device)
    wanted = condition.get("attributes", free)
    apart = (wanted[:, None] - rows[None, :, 1:]) / _WIDTH
    likely = (-apart.square() / 2).clamp(min=_OTHER).nan_to_num().sum(dim=2)
    if layout.classes:
        # Where attributes are wanted and the class is not, they say more of it than how frequent it is.
        certain = condition.get("label_known", wanted.isnan().all(dim=1)) | wanted.isnan().all(dim=1)
        other = (rows[:, 0] != drawn["label"][:, None]) & certain[:, None]
        likely = likely + 2 * len(layout.attributes) * _OTHER * other
    chosen = torch.multinomial((likely - likely.amax(dim=1, keepdim=True)).exp(), 1, generator=generator)[:, 0]
    if layout.classes:
        drawn["label"] = torch.where(certain, drawn["label"], rows[chosen, 0].long())
    return {**drawn, "attributes": torch.where(wanted.isnan(), rows[chosen, 1:], wanted)}
