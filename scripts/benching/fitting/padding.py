"""Images of 28 pixels for networks that halve them more than twice."""

import numpy as np

__all__ = ["cropped", "padded"]

MULTIPLE = 8


def padded(pixels: np.ndarray) -> np.ndarray:
    """With a black frame, as even as it goes, up to the next multiple of 8 pixels; shape (N, C, H, W)."""
    frame = [(0, 0), (0, 0)]
    for side in pixels.shape[2:]:
        missing = -side % MULTIPLE
        frame.append((missing // 2, missing - missing // 2))
    return np.pad(pixels, frame)


def cropped(pixels: np.ndarray, size: int) -> np.ndarray:
    """The middle that `padded` was given."""
    start = (pixels.shape[-1] - size) // 2
    return pixels[..., start : start + size, start : start + size]
