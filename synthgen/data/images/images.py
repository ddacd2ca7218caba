"""A set of images in memory, with labels where there are any, and how it is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthgen.errors import SynthgenError, nearest
from synthgen.files import replacing, replacing_folder

__all__ = ["Images", "check_output", "image_grid", "write_images"]


@dataclass(frozen=True)
class Images:
    """Images as people and files have them.

    Attributes:
        pixels: uint8, (images, channels, height, width).
        labels: Class indices, (images,), or None.
        classes: Names of the classes, by index.
    """

    pixels: np.ndarray
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()

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

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: np.ndarray | slice) -> "Images":
        """Some of the images."""
        return Images(self.pixels[rows], None if self.labels is None else self.labels[rows], self.classes)

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


def check_output(output: str, channels: int) -> None:
    """Makes sure that images can be written to `output`, before there are any.

    Raises:
        SynthgenError: A suffix that is none of images, a file or a folder that is not empty in the place of a new
            folder, or a folder for images that have neither 1 nor 3 channels.
    """
    target = Path(output)
    if target.suffix in (".png", ".npz"):
        return
    if target.suffix:
        raise SynthgenError(f"output={output}: found {target.suffix!r}; expected .png, .npz, or a folder")
    if channels not in (1, 3):
        raise SynthgenError(f"output={output}: image files hold 1 or 3 channels, found {channels}; expected a .npz")
    if target.is_file():
        raise SynthgenError(f"output={output}: found a file, expected a new folder, .png or .npz")
    if target.is_dir() and any(target.iterdir()):
        raise SynthgenError(f"output={output}: the folder is not empty; expected a new one")


def write_images(images: Images, output: str) -> None:
    """Writes images in one move: `.png` as one grid, `.npz` as arrays, else a folder with one file an image.

    In a folder, images with labels lie in one sub-folder a class, as `data=image_folder` reads them.

    Raises:
        SynthgenError: As `check_output`, or a class whose name cannot be that of a sub-folder.
    """
    target = Path(output)
    channels = images.pixels.shape[1]
    check_output(output, channels)
    if target.suffix == ".npz":
        labels: dict[str, Any] = (
            {} if images.labels is None else {"labels": images.labels, "classes": np.array(images.classes)}
        )
        with replacing(target) as partial, partial.open("wb") as file:
            np.savez_compressed(file, images=images.pixels, **labels)
    elif target.suffix == ".png":
        with replacing(target) as partial:
            image_grid(images.pixels).save(partial, format="png")
    else:
        for name in images.classes:
            # A checkpoint folder from elsewhere may bring any names.
            if name in ("", "..") or Path(name).name != name:
                raise SynthgenError(f"class {name!r} cannot be the name of a folder; write to a .npz instead")
        digits = max(5, len(str(len(images))))
        with replacing_folder(target) as partial:
            for i, pixels in enumerate(images.pixels):
                folder = partial if images.labels is None else partial / images.classes[int(images.labels[i])]
                folder.mkdir(exist_ok=True)
                picture = Image.fromarray(pixels[0] if channels == 1 else pixels.transpose(1, 2, 0))
                picture.save(folder / f"{i:0{digits}}.png")
