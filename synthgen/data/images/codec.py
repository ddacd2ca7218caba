"""The map between real images and tensors."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthgen.data.images.images import Images
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import ImageLayout

__all__ = ["ImageCodec"]

# What a stored codec may claim: more than any image set that trains, and less than memory.
_MAX_SIDE = 65_536
_MAX_VALUES = 2**28


def _parts(pixels: np.ndarray, size: int = 1024) -> Iterator[np.ndarray]:
    return (pixels[first : first + size] for first in range(0, len(pixels), size))


class ImageCodec:
    """What a model must know of an image set, and the names of its classes.

    Encoded images are a dict of `image`, uint8 of shape (images, channels, height, width), and `label`, int64 of shape
    (images,), where there are labels. Models scale to [−1, 1] on the device.
    """

    kind = "image"

    def __init__(self, layout: ImageLayout, classes: tuple[str, ...]) -> None:
        self.layout = layout
        self.classes = classes

    @classmethod
    def fit(cls, images: Images) -> "ImageCodec":
        """Measures size, classes and sigma_data of training images."""
        _, channels, height, width = images.pixels.shape
        # From the histogram, a part at a time: exact, and without a copy of the images in eight bytes a pixel.
        counts = np.zeros(256, dtype=np.int64)
        for part in _parts(images.pixels):
            counts += np.bincount(part.ravel(), minlength=256)
        values = np.arange(256) / 127.5 - 1
        mean = float(counts @ values / counts.sum())
        sigma_data = float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))
        shares: tuple[float, ...] = ()
        if images.labels is not None:
            shares = tuple((np.bincount(images.labels, minlength=len(images.classes)) / len(images)).tolist())
        layout = ImageLayout(channels, height, width, len(images.classes), shares, max(sigma_data, 1e-3))
        return cls(layout, images.classes)

    def encode(self, images: Images) -> dict[str, Tensor]:
        """Images as tensors."""
        encoded = {"image": torch.from_numpy(images.pixels)}
        if images.labels is not None:
            encoded["label"] = torch.from_numpy(images.labels)
        return encoded

    def decode(self, encoded: dict[str, Tensor]) -> Images:
        """Tensors as images."""
        labels = encoded["label"].cpu().numpy() if "label" in encoded else None
        return Images(encoded["image"].cpu().numpy(), labels, self.classes)

    def encode_condition(self, condition: dict[str, Any], n: int) -> dict[str, Tensor]:
        """A wanted class as tensors.

        Args:
            condition: `label`: the name of a class, or one name an image with None where it is free.
            n: Number of images.

        Returns:
            `label`, (n,), and `label_known`, booleans, (n,).

        Raises:
            SynthgenError: Another key than `label`, a class that training never saw, or another number of labels.
        """
        for key in condition:
            if key != "label" or not self.classes:
                keys = ["label"] if self.classes else []
                expected = nearest(key, keys) if keys else "these images have no labels"
                raise SynthgenError(f"condition.{key}: unknown: {expected}")
        wanted = condition["label"]
        cells = list(wanted) if isinstance(wanted, list | tuple | np.ndarray) else [wanted] * n
        if len(cells) != n:
            raise SynthgenError(f"condition.label: found {len(cells)} labels for {n} images; expected one each")
        index = {name: i for i, name in enumerate(self.classes)}
        for cell in cells:
            if cell is not None and str(cell) not in index:
                raise SynthgenError(
                    f"condition.label: unknown class {cell!r}: {nearest(cell, index, what='classes are')}"
                )
        return {
            "label": torch.tensor([0 if cell is None else index[str(cell)] for cell in cells]),
            "label_known": torch.tensor([cell is not None for cell in cells]),
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` reads it back."""
        return {"kind": self.kind, "layout": asdict(self.layout), "classes": list(self.classes)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ImageCodec":
        """Reads what `to_dict` wrote.

        Raises:
            SynthgenError: Sizes, classes or shares that no image set has.
        """
        layout = ImageLayout(**{**data["layout"], "class_shares": tuple(data["layout"]["class_shares"])})
        classes, shares = tuple(data["classes"]), layout.class_shares
        sizes = (*layout.shape, 1 + layout.classes)
        if (
            not all(type(size) is int and 0 < size <= _MAX_SIDE for size in sizes)
            or math.prod(layout.shape) > _MAX_VALUES
        ):
            raise SynthgenError(f"layout: found {layout.shape} and {layout.classes} classes, expected sizes of images")
        if len(classes) != layout.classes or not all(isinstance(name, str) for name in classes):
            raise SynthgenError(f"classes: found {classes[:3]}, expected {layout.classes} names")
        fit = all(isinstance(share, int | float) and 0 <= share <= 1 for share in shares)
        if not fit or len(shares) not in (0, layout.classes) or (shares and not sum(shares) > 0):
            raise SynthgenError(
                f"class_shares: found {shares[:3]}, expected a share for each of {layout.classes} classes"
            )
        if not isinstance(layout.sigma_data, int | float) or not 0 < layout.sigma_data < math.inf:
            raise SynthgenError(f"sigma_data: found {layout.sigma_data!r}, expected a number above 0")
        return cls(layout, classes)
