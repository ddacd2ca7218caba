"""Features of real images, kept on disk: they stay the same for every model that is measured against them."""

import hashlib
import os
import re
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from synthgen.errors import SynthgenError
from synthgen.metrics.image.extractors import Extractor, extracted

__all__ = ["cache_folder", "data_digest", "reference_features"]

VERSION = "1"  # of what is computed and stored; another one finds no older file


def reference_features(
    extractor: Extractor,
    images: NDArray[np.uint8],
    *,
    split: str = "train",
    cache: str | Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> NDArray[np.float32]:
    """`extracted(extractor, images)`, read from the cache where the same was computed before.

    A file is found by the SHA-256 of the images, the split's name, the extractor's name (which says how it resizes)
    and the SHA-256 of its weights; it is one safetensors file, which appears whole or not at all. One that is damaged
    is computed again, with a warning; a folder that cannot be written costs a warning and nothing else.

    Args:
        extractor: Any.
        images: Shape (N, C, H, W), uint8: the images that are compared with, after any subsampling.
        split: Which part of the data they are, for the file's name: letters, digits, "-" and "_".
        cache: Folder; None for `cache_folder()`.
        progress: Called with the share that is done, up to 1; not at all where the cache knows.

    Returns:
        Shape (N, D).

    Raises:
        SynthgenError: As `extracted` does, or when the split's name has other characters.
    """
    if not re.fullmatch(r"[\w-]+", split):
        raise SynthgenError(f"expected a split's name of letters, digits, '-' and '_', found {split!r}")
    key = {
        "version": VERSION,
        "data": data_digest(images),
        "split": split,
        "extractor": extractor.name,
        "weights": extractor.digest,
    }
    short = hashlib.sha256("\n".join(key.values()).encode()).hexdigest()[:16]
    folder = cache_folder() if cache is None else Path(cache).expanduser()
    plain = re.sub(r"[^\w.-]", "_", extractor.name)
    file = folder / "features" / f"{split}-{plain}-{short}.safetensors"
    if file.exists():
        try:
            return _read(file, key, len(images))
        except (OSError, SafetensorError, ValueError) as error:
            warnings.warn(f"{file}: damaged, features are computed again: {error}", stacklevel=2)
    features = extracted(extractor, images, progress)
    try:
        _write(file, features, key)
    except (OSError, SafetensorError) as error:
        warnings.warn(f"{file}: features cannot be kept: {error}", stacklevel=2)
    return features


def cache_folder() -> Path:
    """Where things that can be computed again are kept: $SYNTHGEN_CACHE, else the user's cache folder (XDG)."""
    if own := os.environ.get("SYNTHGEN_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "synthgen"


def data_digest(images: NDArray) -> str:
    """Hexadecimal SHA-256 of an array: its type, its shape and its values in order."""
    found = hashlib.sha256(f"{images.dtype.str} {images.shape} ".encode())
    found.update(np.ascontiguousarray(images).data)
    return found.hexdigest()


def _read(file: Path, key: dict[str, str], rows: int) -> NDArray[np.float32]:
    with safe_open(file, framework="numpy") as opened:
        known = opened.metadata() or {}
        features = opened.get_tensor("features")
    if {name: known.get(name) for name in key} != key:
        raise ValueError("it was made from something else")
    if features.dtype != np.float32 or features.ndim != 2 or len(features) != rows:
        raise ValueError(f"expected {rows} rows of float32, found {features.dtype} of shape {features.shape}")
    if known.get("sha256") != data_digest(features):
        raise ValueError("its content is not what was written")
    return features


def _write(file: Path, features: NDArray[np.float32], key: dict[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own, so that two processes that compute the same do not write into each other's file.
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex}.partial")
    try:
        save_file({"features": features}, partial, metadata={**key, "sha256": data_digest(features)})
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
