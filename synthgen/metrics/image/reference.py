"""What is known of real images, kept on disk: it stays the same for every model that is measured against them."""

import hashlib
import os
import re
import tempfile
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from synthgen.errors import SynthgenError
from synthgen.metrics.image.classifier import DomainClassifier, telling, train_classifier
from synthgen.metrics.image.extractors import Extractor, extracted

__all__ = ["cache_folder", "data_digest", "domain_classifier", "reference_features"]

VERSION = "2"  # of what is computed and stored; another one finds no older file


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
    file = _file(cache, "features", f"{split}-{extractor.name}", key)
    if (known := _read(file, key)) is not None:
        features = known.get("features", np.empty(0))
        if features.dtype == np.float32 and features.ndim == 2 and len(features) == len(images):
            return features
        warnings.warn(f"{file}: damaged, it is computed again: expected {len(images)} rows of float32", stacklevel=2)
    features = extracted(extractor, images, progress)
    _keep(file, {"features": features}, key)
    return features


def domain_classifier(
    images: NDArray[np.uint8],
    labels: NDArray[np.integer] | None,
    classes: int,
    *,
    name: str = "images",
    seed: int = 0,
    cache: str | Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> DomainClassifier:
    """`train_classifier` with its own budget, read from the cache where the same was trained before.

    Args:
        images: Shape (N, C, H, W), uint8.
        labels: Shape (N,), 0 .. classes − 1, or None.
        classes: Number of classes; of no meaning without labels.
        name: Of the data set, for `DomainClassifier.name`.
        seed: Of the training.
        cache: Folder; None for `cache_folder()`.
        progress: Called with the share that is done, up to 1; not at all where the cache knows.

    Raises:
        SynthgenError: As `train_classifier` does.
    """
    labels = telling(labels)
    key = {
        "version": VERSION,
        "torch": torch.__version__,
        "data": data_digest(images),
        "labels": "" if labels is None else data_digest(labels),
        "classes": str(classes),
        "name": name,
        "seed": str(seed),
    }
    file = _file(cache, "classifiers", name, key)
    if (known := _read(file, key)) is not None:
        try:
            return DomainClassifier.of_state(known, name, classes if labels is not None else 0, images.shape[1:])
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            warnings.warn(f"{file}: damaged, it is computed again: {reason}", stacklevel=2)
    classifier = train_classifier(images, labels, classes, seed, name=name, progress=progress)
    _keep(file, classifier.state, key)
    return classifier


def cache_folder() -> Path:
    """Where things that can be computed again are kept: $SYNTHGEN_CACHE, else the user's cache folder (XDG)."""
    if own := os.environ.get("SYNTHGEN_CACHE"):
        return Path(own).expanduser()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "synthgen"
    except RuntimeError:  # a user without a home
        return Path(tempfile.gettempdir()) / "synthgen"


def data_digest(images: NDArray) -> str:
    """Hexadecimal SHA-256 of an array: its type, its shape and its values in order."""
    found = hashlib.sha256(f"{images.dtype.str} {images.shape} ".encode())
    found.update(np.ascontiguousarray(images).data)
    return found.hexdigest()


def _file(cache: str | Path | None, kind: str, name: str, key: dict[str, str]) -> Path:
    short = hashlib.sha256("\n".join(key.values()).encode()).hexdigest()[:16]
    folder = cache_folder() if cache is None else Path(cache).expanduser()
    plain = re.sub(r"[^\w.-]", "_", name)[:80]  # a file's name may not be longer than 255 bytes
    return folder / kind / f"{plain}-{short}.safetensors"


def _read(file: Path, key: dict[str, str]) -> dict[str, NDArray] | None:
    """What `_keep` wrote under the same key; None, with a warning, where it is damaged, and where there is nothing."""
    try:
        if not file.exists():
            return None
        with safe_open(file, framework="numpy") as opened:
            known = opened.metadata() or {}
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # no dictionary
        if {name: known.get(name) for name in key} != key:
            raise ValueError("it was made from something else")
        if known.get("sha256") != _digest(arrays):
            raise ValueError("its content is not what was written")
    except (OSError, SafetensorError, ValueError) as error:
        warnings.warn(f"{file}: damaged, it is computed again: {error}", stacklevel=3)
        return None
    return arrays


def _keep(file: Path, arrays: dict[str, NDArray], key: dict[str, str]) -> None:
    """Writes arrays, which appear whole or not at all; a folder that cannot be written costs a warning."""
    # A name of its own, so that two processes that compute the same do not write into each other's file.
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(arrays, partial, metadata={**key, "sha256": _digest(arrays)})
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        warnings.warn(f"{file}: cannot be kept: {error}", stacklevel=3)


def _digest(arrays: dict[str, NDArray]) -> str:
    if len(arrays) == 1:
        return data_digest(*arrays.values())
    found = hashlib.sha256()
    for name in sorted(arrays):
        found.update(f"{name} {data_digest(arrays[name])} ".encode())
    return found.hexdigest()
