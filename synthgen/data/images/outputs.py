"""Files that images are written to: in parts, so that there may be more than memory holds, and in one move."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from synthgen.data.images.images import Images, image_grid, joined
from synthgen.data.images.metadata import FILE, LABEL, OWN
from synthgen.errors import SynthgenError
from synthgen.files import replacing, replacing_folder

__all__ = ["check_image_output", "image_writer", "write_images"]

_SUFFIXES = (".png", ".npz", ".zip", ".tar", ".parquet")
# Of these, a picture is not one that a file of one or three channels holds.
_OF_ARRAYS = (".png", ".npz")

Write = Callable[[Images, int], None]
Add = Callable[[str, bytes], None]


def check_image_output(output: str, channels: int) -> None:
    """Makes sure that images can be written to `output`, before there are any.

    Raises:
        SynthgenError: A suffix that is none of images, a file or a folder that is not empty in the place of a new
            folder, or image files for images that have neither 1 nor 3 channels.
    """
    target = Path(output)
    if target.suffix and target.suffix not in _SUFFIXES:
        expected = f"{', '.join(_SUFFIXES)}, or a folder"
        raise SynthgenError(f"output={output}: found {target.suffix!r}; expected {expected}")
    if target.suffix not in _OF_ARRAYS and channels not in (1, 3):
        raise SynthgenError(f"output={output}: image files hold 1 or 3 channels, found {channels}; expected a .npz")
    if not target.suffix and target.is_file():
        raise SynthgenError(f"output={output}: found a file, expected a new folder, or {', '.join(_SUFFIXES)}")
    if not target.suffix and target.is_dir() and any(target.iterdir()):
        raise SynthgenError(f"output={output}: the folder is not empty; expected a new one")


def write_images(images: Images, output: str) -> None:
    """Writes images in one move; see `image_writer`."""
    check_image_output(output, images.pixels.shape[1])
    with image_writer(output, images.classes) as write:
        write(images, 0)


@contextmanager
def image_writer(output: str, classes: tuple[str, ...] = (), facts: dict[str, Any] | None = None) -> Iterator[Write]:
    """A function that adds images to a file or folder, which is there when the block ends without an error.

    - a folder, or a `.zip` of one: PNG files in one sub-folder a class, and `metadata.csv` with label, attributes and
      facts, as `data=image_folder` and Hugging Face's `imagefolder` read them;
    - `.tar`: a WebDataset shard, of each image `.png`, `.cls` with the index of its class, and `.json` with the rest;
    - `.parquet`: encoded images beside their labels, as Hugging Face data sets store them;
    - `.npz`: arrays; `.png`: one grid. These two are written when all images are there.

    Files are named by the images' numbers. The same images are the same bytes.

    Args:
        output: Path, whose suffix says its form.
        classes: Names of the classes.
        facts: What else is told of all images, such as the seed and the checkpoint that made them.

    Yields:
        (images, number of the first of them) to nothing.

    Raises:
        SynthgenError: A class whose name cannot be that of a sub-folder.
    """
    target, told = Path(output), {f"{OWN}{name}": value for name, value in (facts or {}).items()}
    if target.suffix in _OF_ARRAYS:
        with _kept(target) as write:
            yield write
    elif target.suffix == ".parquet":
        with replacing(target) as partial, _parquet(partial, classes, told) as write:
            yield write
    elif target.suffix == ".tar":
        with replacing(target) as partial, tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as shard:
            yield _shard(shard, told)
    else:
        for name in classes:
            # A checkpoint folder from elsewhere may bring any names.
            if name in ("", "..") or Path(name).name != name:
                raise SynthgenError(f"class {name!r} cannot be the name of a folder; write to a .npz instead")
        if target.suffix == ".zip":
            # Encoded images do not pack any further.
            with (
                replacing(target) as partial,
                zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as packed,
                _files(lambda name, content: packed.writestr(zipfile.ZipInfo(name), content), told) as write,
            ):
                yield write
        else:
            with replacing_folder(target) as partial, _files(_into(partial), told) as write:
                yield write


def _into(folder: Path) -> Add:
    def add(name: str, content: bytes) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return add


@contextmanager
def _files(add: Add, facts: dict[str, Any]) -> Iterator[Write]:
    """Pictures and, at the end, the table of what is told of them."""
    tables = []

    def write(images: Images, first: int) -> None:
        names = []
        for i, pixels in enumerate(images.pixels):
            folder = "" if images.labels is None else f"{images.classes[int(images.labels[i])]}/"
            names.append(f"{folder}{first + i:07}.png")
            add(names[-1], _encoded(pixels))
        tables.append(_told(images, first, facts).assign(**{FILE: names}))

    yield write
    if tables:
        table = pd.concat(tables)
        table.insert(0, FILE, table.pop(FILE))
        add("metadata.csv", table.to_csv(index=False, float_format="%.9g").encode())


def _shard(shard: tarfile.TarFile, facts: dict[str, Any]) -> Write:
    def add(name: str, content: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        shard.addfile(entry, io.BytesIO(content))

    def write(images: Images, first: int) -> None:
        rows = _told(images, first, facts).to_dict("records")
        for i, (pixels, row) in enumerate(zip(images.pixels, rows)):
            add(f"{first + i:07}.png", _encoded(pixels))
            if images.labels is not None:
                add(f"{first + i:07}.cls", str(int(images.labels[i])).encode())
            known = {name: value for name, value in row.items() if not pd.isna(value)}
            add(f"{first + i:07}.json", json.dumps(known, ensure_ascii=False).encode())

    return write


@contextmanager
def _parquet(file: Path, classes: tuple[str, ...], facts: dict[str, Any]) -> Iterator[Write]:
    writer: Any = None

    def write(images: Images, first: int) -> None:
        nonlocal writer
        table = _told(images, first, facts)
        pictures = [{"bytes": _encoded(pixels), "path": None} for pixels in images.pixels]
        columns = {"image": pa.array(pictures, pa.struct({"bytes": pa.binary(), "path": pa.string()}))}
        features: dict[str, Any] = {"image": {"_type": "Image"}}
        if images.labels is not None:
            columns[LABEL] = pa.array(images.labels, pa.int64())
            features[LABEL] = {"names": list(classes or images.classes), "_type": "ClassLabel"}
        for name in table.columns.drop(LABEL, errors="ignore"):
            columns[name] = pa.array(table[name], from_pandas=True)
            features[name] = {"dtype": str(columns[name].type).replace("double", "float64"), "_type": "Value"}
        made = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        writer = writer or pa.parquet.ParquetWriter(file, made.schema)
        writer.write_table(made.cast(writer.schema))

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


@contextmanager
def _kept(target: Path) -> Iterator[Write]:
    """Arrays, or a grid, of all images."""
    parts: list[Images] = []
    yield lambda images, _: parts.append(images)
    images = joined(parts)
    with replacing(target) as partial, partial.open("wb") as file:
        if target.suffix == ".png":
            image_grid(images.pixels).save(file, format="png")
            return
        held: dict[str, Any] = {"images": images.pixels}
        if images.labels is not None:
            held |= {"labels": images.labels, "classes": np.array(images.classes)}
        if images.attributes is not None:
            held |= {"attributes": images.attributes, "names": np.array(images.names)}
        np.savez_compressed(file, **held)


def _told(images: Images, first: int, facts: dict[str, Any]) -> pd.DataFrame:
    """A row an image: its label, its attributes, its number and the facts."""
    table = pd.DataFrame(index=range(len(images)))
    if images.labels is not None:
        table[LABEL] = np.array(images.classes, dtype=object)[images.labels]
    if images.attributes is not None:
        table[list(images.names)] = images.attributes.astype(float)
    table[f"{OWN}number"] = np.arange(first, first + len(images))
    return table.assign(**facts)


def _encoded(pixels: np.ndarray) -> bytes:
    """A PNG file of (channels, height, width)."""
    file = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(file, format="png")
    return file.getvalue()
