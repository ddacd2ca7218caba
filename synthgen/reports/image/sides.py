"""The sets of images that a report compares."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import SynthgenError

__all__ = ["Images", "check_sides", "some"]

Images = tuple[NDArray[np.uint8], NDArray[np.integer] | None]
"""Images, shape (N, C, H, W), and their labels, shape (N,), or None."""


def some(values: NDArray, count: int, random: np.random.Generator) -> NDArray:
    """At most so many of them, drawn at random."""
    return values if len(values) <= count else values[random.permutation(len(values))[:count]]


def check_sides(sides: dict[str, Images | None], classes: Sequence[str]) -> None:
    """Makes sure that sets of images can be compared.

    Raises:
        SynthgenError: When images differ in shape, there are fewer than 5 in a set, or labels and classes do not agree.
    """
    shape = None
    for side, given in sides.items():
        if given is None:
            continue
        images, labels = given
        if images.dtype != np.uint8 or images.ndim != 4:
            raise SynthgenError(
                f"{side} images: expected uint8 of shape (N, C, H, W), found {images.dtype} of {images.shape}"
            )
        shape = shape or images.shape[1:]
        if images.shape[1:] != shape:
            raise SynthgenError(f"{side} images have shape {images.shape[1:]}, training images {shape}")
        if len(images) < 5:
            raise SynthgenError(f"expected at least 5 {side} images, found {len(images)}")
        if labels is None:
            continue
        if len(labels) != len(images):
            raise SynthgenError(f"{side} images: found {len(labels)} labels for {len(images)} images")
        if labels.min() < 0 or labels.max() >= len(classes):
            raise SynthgenError(
                f"{side} labels: expected 0 to {len(classes) - 1} for {len(classes)} classes, found {labels.min()} "
                f"to {labels.max()}"
            )
