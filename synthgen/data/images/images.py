"""A set of images in memory, with what is told of them, and the grid that shows some."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from synthgen.errors import SynthgenError, nearest

__all__ = ["Images", "image_grid", "joined"]


@dataclass(frozen=True)
class Images:
    """Images as people and files have them.

    Attributes:
        pixels: uint8, (images, channels, height, width).
        labels: Class indices, (images,), or None.
        classes: Names of the classes, by index.
        attributes: Floats, (images, names): what else is told of each, NaN where it is not known; or None.
        names: Of the attributes, in order.
    """

    pixels: np.ndarray
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    attributes: np.ndarray | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4:
            raise SynthgenError(
                f"images: found {self.pixels.dtype} of shape {self.pixels.shape}; "
                "expected uint8 of shape (images, channels, height, width)"
            )
        if self.labels is not None and self.labels.shape != (len(self.pixels),):
            raise SynthgenError(
                f"labels: found an array of shape {self.labels.shape} for {len(self.pixels)} images; expected one each"
            )
        if self.labels is not None and len(self.labels):
            if not np.issubdtype(self.labels.dtype, np.integer):
                raise SynthgenError(f"labels: found {self.labels.dtype}, expected indices of classes")
            low, high = int(self.labels.min()), int(self.labels.max())
            if low < 0 or high >= len(self.classes):
                raise SynthgenError(
                    f"labels: found {low if low < 0 else high}, but there are {len(self.classes)} classes; "
                    "expected an index of `classes` each"
                )
        if self.attributes is not None and self.attributes.shape != (len(self.pixels), len(self.names)):
            raise SynthgenError(
                f"attributes: found an array of shape {self.attributes.shape} for {len(self.pixels)} images and "
                f"{len(self.names)} names; expected a row an image and a column a name"
            )
        if len(set(self.names)) < len(self.names) or "label" in self.names:
            raise SynthgenError(f"attributes: found {list(self.names)}; expected different names, none of them 'label'")
        if self.attributes is not None and np.isinf(self.attributes).any():
            column = int(np.isinf(self.attributes).any(axis=0).argmax())
            raise SynthgenError(f"attribute {self.names[column]!r}: found an infinite value; expected numbers, or NaN")

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: np.ndarray | slice) -> "Images":
        """Some of the images."""
        labels = None if self.labels is None else self.labels[rows]
        attributes = None if self.attributes is None else self.attributes[rows]
        return Images(self.pixels[rows], labels, self.classes, attributes, self.names)

    def labels_among(self, classes: tuple[str, ...], side: str) -> np.ndarray | None:
        """Labels as indices of other classes, by their names; None without labels or without classes.

        Args:
            classes: What the indices shall be of.
            side: What these images are, for the message.

        Raises:
            SynthgenError: A class is not among them.
        """
        if self.labels is None or not classes:
            return None
        used = np.unique(self.labels)
        for name in (self.classes[i] for i in used):
            if name not in classes:
                raise SynthgenError(f"{side} images: found the class {name!r}; {nearest(name, classes)}")
        index = np.array([classes.index(name) if name in classes else -1 for name in self.classes], dtype=np.int64)
        return index[self.labels]

    def _repr_png_(self) -> bytes:
        """The first 64 as a picture, in a notebook."""
        from io import BytesIO

        buffer = BytesIO()
        image_grid(self.pixels[:64]).save(buffer, format="png")
        return buffer.getvalue()


def image_grid(pixels: np.ndarray, columns: int | None = None, min_side: int = 32) -> Image.Image:
    """Images side by side, each enlarged by a whole factor to at least `min_side` pixels, a pixel apart.

    Args:
        pixels: uint8, (images, channels, height, width); 1 channel is grey, 3 are RGB, of others the first is shown.
        columns: Images a row; by default as many as make the grid square.
        min_side: Smallest side of an image in the grid, in pixels.
    """
    n, channels, height, width = pixels.shape
    shown = pixels if channels == 3 else pixels[:, :1].repeat(3, axis=1)
    factor = max(1, -(-min_side // min(height, width)))
    shown = shown.repeat(factor, axis=2).repeat(factor, axis=3)
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    high, wide = height * factor + 1, width * factor + 1
    canvas = np.full((rows * high - 1, columns * wide - 1, 3), 255, dtype=np.uint8)
    for i, image in enumerate(shown):
        top, left = i // columns * high, i % columns * wide
        canvas[top : top + high - 1, left : left + wide - 1] = image.transpose(1, 2, 0)
    return Image.fromarray(canvas)


def joined(parts: Sequence[Images]) -> Images:
    """Images of the same classes and attributes, one after another."""
    first = parts[0]
    labels = None if first.labels is None else np.concatenate([part.labels for part in parts])
    attributes = None if first.attributes is None else np.concatenate([part.attributes for part in parts])
    return Images(np.concatenate([part.pixels for part in parts]), labels, first.classes, attributes, first.names)
