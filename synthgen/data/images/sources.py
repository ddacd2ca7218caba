"""Where real images come from. A source is a function that returns one `Images`."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthgen.data.images.images import Images
from synthgen.data.images.metadata import metadata_of
from synthgen.errors import SynthgenError, nearest
from synthgen.files import existing_file

__all__ = ["arrays", "digits", "fashion_mnist", "image_folder"]

_ARRAYS = ("images", "labels", "classes", "attributes", "names")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


def digits() -> Images:
    """1,797 handwritten digits of 8 × 8 grey pixels, embedded in scikit-learn (Alpaydin and Kaynak, 1998)."""
    from sklearn.datasets import load_digits

    embedded = load_digits()
    pixels = np.round(embedded.images * (255 / 16)).astype(np.uint8)
    return Images(pixels[:, None], embedded.target.astype(np.int64), tuple(str(digit) for digit in range(10)))


def fashion_mnist(path: str) -> Images:
    """The 60,000 training images of Fashion-MNIST, 28 × 28 grey, as torchvision keeps them; nothing is downloaded.

    Args:
        path: The folder that contains `FashionMNIST/raw`.
    """
    from torchvision.datasets import FashionMNIST

    try:
        found = FashionMNIST(path, train=True, download=False)
    except RuntimeError:
        raise SynthgenError(
            f"{path}: expected a folder that contains FashionMNIST/raw with the four idx files"
        ) from None
    names = tuple(name.replace("/", " or ") for name in found.classes)
    return Images(found.data.numpy()[:, None], found.targets.numpy().astype(np.int64), names)


def arrays(path: str) -> Images:
    """A `.npz` file with `images` and, if they are there, `labels` and `classes`; or a `.npy` file of images.

    Attributes are `attributes`, (images, attributes), numbers with NaN where one is not known, and their `names`.
    Images are uint8 of shape (images, height, width), (images, channels, height, width) or (images, height, width,
    channels); see `from_array`.
    """
    file = existing_file(path)
    try:
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            content = {"images": content}
        held = {name: content[name] for name in _ARRAYS if name in content}
    except Exception as error:  # NumPy, zipfile and zlib each have their own for one and the same fault
        raise SynthgenError(f"{file}: not a NumPy file without pickled objects: {error}") from None
    if "images" not in held:
        raise SynthgenError(f"{file}: lacks an array named 'images'; {nearest('images', content, what='it has')}")
    images = from_array(held["images"], held.get("labels"), tuple(str(name) for name in held.get("classes", ())))
    if "attributes" not in held:
        return images
    names = tuple(str(name) for name in held.get("names", ()))
    return replace(images, attributes=held["attributes"].astype(np.float32), names=names)


def from_array(
    images: np.ndarray, labels: Sequence[Any] | np.ndarray | None = None, classes: tuple[str, ...] = ()
) -> Images:
    """Images from an array in any of the usual orders.

    Args:
        images: uint8, or floats within 0 .. 1; (images, height, width), (images, channels, height, width) or (images,
            height, width, channels). The channel axis is the shorter of the first and last after the images' own.
        labels: One label an image: any values that can be sorted.
        classes: Names of integer labels.

    Raises:
        SynthgenError: Another type, range or shape.
    """
    images = np.asarray(images)
    if np.issubdtype(images.dtype, np.floating) and images.size and images.min() >= 0 and images.max() <= 1:
        images = np.round(images * 255).astype(np.uint8)
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[3] < images.shape[1]:
        images = images.transpose(0, 3, 1, 2)
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise SynthgenError(
            f"images: found {images.dtype} of shape {images.shape}; expected uint8, or floats within 0 .. 1, of shape "
            "(images, height, width) with one axis more for channels"
        )
    if labels is None:
        return Images(np.ascontiguousarray(images))
    names, indices = np.unique(np.asarray(labels), return_inverse=True)
    if classes and np.issubdtype(names.dtype, np.integer) and names.min() >= 0 and names.max() < len(classes):
        return Images(np.ascontiguousarray(images), np.asarray(labels, dtype=np.int64), classes)
    return Images(np.ascontiguousarray(images), indices.astype(np.int64), tuple(str(name) for name in names))


def image_folder(path: str) -> Images:
    """Images in a folder: one sub-folder a class, or all in the folder itself without labels.

    Where there is a `metadata.csv` or `metadata.jsonl` with a row an image, the images are those of its column
    `file_name`; its column `label` says their class, by default that of their sub-folder, and every other column is an
    attribute. All images must be of one size and mode: grey ("L") or RGB; a palette counts as RGB.

    Raises:
        SynthgenError: No folder, no image, a corrupt file, one of another size or mode, or one that metadata names and
            that is not there; the message names the file.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise SynthgenError(f"{folder}: no such folder")
    told = metadata_of(folder)
    classes = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and any(_image_files(entry))))
    if classes:
        files = [file for name in classes for file in _image_files(folder / name)]
    else:
        files = list(_image_files(folder))
    if told is not None:
        for name in told.files:
            if not (folder / name).is_file():
                there = [file.relative_to(folder).as_posix() for file in files]
                raise SynthgenError(f"{told.where}: {name}: no such image; {nearest(name, there, what='there are')}")
        files = [folder / name for name in told.files]
    if not files:
        raise SynthgenError(f"{folder}: found no image; expected files such as .png or .jpg, or one sub-folder a class")
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(_read_image, files))
    first = read[0].shape
    for file, pixels in zip(files, read, strict=True):
        if pixels.shape != first:
            raise SynthgenError(
                f"{file}: found {_describe(pixels.shape)}; expected {_describe(first)} as in {files[0].name}"
            )
    names = None
    if told is not None and told.labels is not None:
        names = told.labels
    elif classes:
        names = [file.relative_to(folder).parts[0] for file in files]
        if stray := [name for name, file in zip(names, files) if file.parent == folder]:
            raise SynthgenError(f"{folder / stray[0]}: lies in no class beside {classes[0]!r}; expected a label for it")
    labels = None
    if names is not None:
        classes = tuple(sorted(set(names)))
        labels = np.array([classes.index(name) for name in names], dtype=np.int64)
    attributes = told.attributes if told is not None and told.names else None
    return Images(np.stack(read), labels, classes, attributes, told.names if attributes is not None and told else ())


def _image_files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.iterdir()) if file.suffix.lower() in _SUFFIXES)


def _read_image(file: Path) -> np.ndarray:
    try:
        with Image.open(file) as opened:
            image = opened.convert("RGB") if opened.mode == "P" else opened
            if image.mode not in ("L", "RGB"):
                raise SynthgenError(f"{file}: found mode {image.mode!r}; expected grey ('L') or 'RGB'")
            pixels = np.asarray(image)
    except SynthgenError:
        raise
    except (
        Exception
    ) as error:  # of a damaged file Pillow raises OSError, SyntaxError, ValueError, TypeError and its own
        raise SynthgenError(f"{file}: not a readable image: {str(error).split(' <')[0]}") from None
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _describe(shape: tuple[int, ...]) -> str:
    return f"{shape[2]} × {shape[1]} pixels with {shape[0]} channel{'s' if shape[0] > 1 else ''}"
