"""The map between real images and tensors."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from synthgen.data.images.images import Images
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import Attribute, ImageLayout

__all__ = ["ImageCodec"]

# What a stored codec may claim: more than any image set that trains, and less than memory.
_MAX_SIDE = 65_536
_MAX_VALUES = 2**28
# Training images whose attributes are kept, from which free ones are drawn together.
_DESCRIBED = 4096


def _parts(pixels: np.ndarray, size: int = 1024) -> Iterator[np.ndarray]:
    return (pixels[first : first + size] for first in range(0, len(pixels), size))


class ImageCodec:
    """What a model must know of an image set, and the names of its classes.

    Encoded images are a dict of `image`, uint8 of shape (images, channels, height, width); `label`, int64 of shape
    (images,), where there are labels; and `attributes`, float32 of shape (images, attributes), standardised and NaN
    where they are not known, where there are any. Models scale pixels to [−1, 1] on the device.
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
        values = np.empty((len(images), 0)) if images.attributes is None else images.attributes
        attributes = tuple(_attribute(name, column) for name, column in zip(images.names, values.T))
        layout = ImageLayout(
            *(channels, height, width, len(images.classes), shares, max(sigma_data, 1e-3)),
            attributes=attributes,
            described=_described(images, attributes),
        )
        return cls(layout, images.classes)

    def encode(self, images: Images) -> dict[str, Tensor]:
        """Images as tensors."""
        encoded = {"image": torch.from_numpy(images.pixels)}
        if images.labels is not None:
            encoded["label"] = torch.from_numpy(images.labels)
        if images.attributes is not None:
            encoded["attributes"] = torch.from_numpy(_standardised(images.attributes, self.layout.attributes))
        return encoded

    def decode(self, encoded: dict[str, Tensor]) -> Images:
        """Tensors as images."""
        labels = encoded["label"].cpu().numpy() if "label" in encoded else None
        attributes, told = None, self.layout.attributes
        if "attributes" in encoded:
            attributes = encoded["attributes"].cpu().double().numpy()
            attributes = attributes * [one.std for one in told] + [one.mean for one in told]
            flags = [one.flag for one in told]
            attributes[:, flags] = attributes[:, flags].round()
            attributes = attributes.astype(np.float32)
        names = tuple(one.name for one in told) if attributes is not None else ()
        return Images(encoded["image"].cpu().numpy(), labels, self.classes, attributes, names)

    def encode_condition(self, condition: dict[str, Any] | pd.DataFrame, n: int) -> dict[str, Tensor]:
        """What is wanted of images as tensors.

        Args:
            condition: By `label` the name of a class, and by the name of an attribute its value: one for all images, or
                one an image, with None or NaN where it is free; or a frame with one row an image.
            n: Number of images.

        Returns:
            `label`, (n,), and `label_known`, booleans, (n,), where there are classes; `attributes`, (n, attributes),
            standardised, and NaN where they are free, where there are any.

        Raises:
            SynthgenError: A key that is neither, a class that training never saw, a value that is no number or of a
                flag neither 0 nor 1, or another number of values than images.
        """
        columns = self.each(condition, n)
        told = {one.name: one for one in self.layout.attributes}
        encoded: dict[str, Tensor] = {}
        if self.classes:
            index = {name: i for i, name in enumerate(self.classes)}
            # A column of numbers with free cells holds floats.
            cells = [int(cell) if isinstance(cell, float) and cell.is_integer() else cell for cell in columns["label"]]
            for cell in cells:
                if cell is not None and str(cell) not in index:
                    raise SynthgenError(
                        f"condition.label: unknown class {cell!r}: {nearest(cell, index, what='classes are')}"
                    )
            encoded["label"] = torch.tensor([0 if cell is None else index[str(cell)] for cell in cells])
            encoded["label_known"] = torch.tensor([cell is not None for cell in cells])
        if told:
            values = np.stack([_numbers(one, columns[name]) for name, one in told.items()], axis=1)
            encoded["attributes"] = torch.from_numpy(_standardised(values, tuple(told.values())))
        return encoded

    def each(self, condition: dict[str, Any] | pd.DataFrame, n: int) -> dict[str, list[Any]]:
        """By label and attribute, what a condition wants of each of n images; None where that is free.

        Raises:
            SynthgenError: A key that is neither, or another number of values than images.
        """
        if isinstance(condition, pd.DataFrame):
            condition = {str(name): condition[name].tolist() for name in condition}
        keys = [*(["label"] if self.classes else []), *(one.name for one in self.layout.attributes)]
        for key in condition:
            if key not in keys:
                expected = nearest(key, keys) if keys else "these images have no labels"
                raise SynthgenError(f"condition.{key}: unknown: {expected}")
        return {key: _cells(key, condition.get(key), n) for key in keys}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` reads it back."""
        return {"kind": self.kind, "layout": asdict(self.layout), "classes": list(self.classes)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ImageCodec":
        """Reads what `to_dict` wrote.

        Raises:
            SynthgenError: Sizes, classes or shares that no image set has.
        """
        stored = data["layout"]
        layout = ImageLayout(
            **{
                **stored,
                "class_shares": tuple(stored["class_shares"]),
                "attributes": tuple(Attribute(**one) for one in stored.get("attributes", ())),
                "described": tuple(map(tuple, stored.get("described", ()))),
            }
        )
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
        _check_attributes(layout)
        return cls(layout, classes)


def _attribute(name: str, values: np.ndarray) -> Attribute:
    known = values[~np.isnan(values)].astype(float)
    if not len(known):
        return Attribute(name, False, 0.0, 1.0)
    return Attribute(name, bool(np.isin(known, (0, 1)).all()), float(known.mean()), float(known.std()) or 1.0)


def _standardised(values: np.ndarray, attributes: tuple[Attribute, ...]) -> np.ndarray:
    means, stds = ([getattr(one, key) for one in attributes] for key in ("mean", "std"))
    return ((values - means) / stds).astype(np.float32)


def _described(images: Images, attributes: tuple[Attribute, ...]) -> tuple[tuple[float, ...], ...]:
    """Class and attributes of some images, as `ImageLayout.described` has them; where one is not known, another's."""
    if images.attributes is None or not attributes:
        return ()
    random = np.random.default_rng(0)
    rows = np.sort(random.permutation(len(images))[:_DESCRIBED])
    values = _standardised(images.attributes[rows], attributes)
    for column in values.T:
        free = np.isnan(column)
        column[free] = random.choice(column[~free], free.sum()) if not free.all() else 0.0
    labels = np.zeros(len(rows)) if images.labels is None else images.labels[rows]
    return tuple(map(tuple, np.column_stack([labels, values]).round(2).tolist()))


def _cells(key: str, wanted: Any, n: int) -> list[Any]:
    """One value an image, None where it is free."""
    cells = list(wanted) if isinstance(wanted, list | tuple | np.ndarray) else [wanted] * n
    if len(cells) != n:
        raise SynthgenError(f"condition.{key}: found {len(cells)} values for {n} images; expected one each")
    return [None if cell is None or (isinstance(cell, float) and math.isnan(cell)) else cell for cell in cells]


def _numbers(attribute: Attribute, cells: list[Any]) -> np.ndarray:
    """Values of an attribute, NaN where they are free."""
    values = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        if cell is not None:
            try:
                values[i] = float(cell)
            except (TypeError, ValueError):
                values[i] = math.inf
            if not math.isfinite(values[i]) or (attribute.flag and values[i] not in (0, 1)):
                expected = "0 or 1" if attribute.flag else "a number"
                raise SynthgenError(f"condition.{attribute.name}: found {cell!r}, expected {expected}")
    return values


def _check_attributes(layout: ImageLayout) -> None:
    """Makes sure that a stored codec tells of attributes what `ImageCodec.fit` can have found."""

    def number(value: Any) -> bool:
        return isinstance(value, int | float) and math.isfinite(value)

    for one in layout.attributes:
        sound = isinstance(one.name, str) and isinstance(one.flag, bool) and number(one.mean)
        if not sound or not number(one.std) or one.std <= 0:
            raise SynthgenError(f"attributes: found {one}, expected a name, a mean and a spread above 0")
    classes = max(layout.classes, 1)
    for row in layout.described:
        if len(row) != 1 + len(layout.attributes) or not all(map(number, row)) or row[0] not in range(classes):
            raise SynthgenError(f"described: found {row}, expected a class and {len(layout.attributes)} attributes")
