"""Images as PNG within the page."""

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["channels_shown", "picture", "strips"]

ROWS = 10
PER_ROW = 8
SIZE = 48  # pixels on the page that small images are blown up to
MOST = 96  # pixels that large ones are shrunk to: a page of 200 of them stays under 10 MB


def picture(images: NDArray[np.uint8], title: str) -> str:
    """Images of shape (N, C, H, W) in one row, as an `img` element.

    Small ones are enlarged without smoothing, large ones shrunk to 96 pixels on their longer side.
    """
    shown = images if images.shape[1] in (1, 3) else images[:, : 3 if images.shape[1] > 3 else 1]
    if max(shown.shape[2:]) > MOST:
        shown = np.stack([_shrunk(image) for image in shown])
    scale = max(1, round(SIZE / max(shown.shape[2:])))
    shown = shown.repeat(scale, axis=2).repeat(scale, axis=3)
    count, channels, height, width = shown.shape
    gap = 2
    row = np.full((height, count * (width + gap) - gap, channels), 255, np.uint8)
    for position, image in enumerate(shown):
        row[:, position * (width + gap) : position * (width + gap) + width] = image.transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(row[:, :, 0] if channels == 1 else row).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    size = f'width="{row.shape[1]}" height="{height}"'
    return f'<img src="data:image/png;base64,{data}" alt="{escape(str(title))}" {size}>'


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    channels = [Image.fromarray(channel) for channel in image]
    for channel in channels:
        channel.thumbnail((MOST, MOST))
    return np.stack([np.asarray(channel) for channel in channels])


def channels_shown(channels: int) -> str | None:
    """What a reader must know of how `picture` shows images of so many channels, if anything."""
    if channels in (1, 3):
        return None
    return f"Images have {channels} channels; pictures show the first {'three as RGB' if channels > 3 else 'one'}."


def strips(
    real: tuple[NDArray[np.uint8], NDArray[np.integer] | None],
    synthetic: tuple[NDArray[np.uint8], NDArray[np.integer] | None],
    classes: Sequence[str],
    seed: int,
) -> str:
    """Rows of random real images beside random synthetic ones, one row a class where both carry labels."""
    random = np.random.default_rng(seed)
    labelled = real[1] is not None and synthetic[1] is not None
    rows = []
    if labelled:
        for label, name in enumerate(classes[:ROWS]):
            sides = [_strip(images[labels == label], random, name) for images, labels in (real, synthetic)]
            rows.append(f"<tr><th>{escape(str(name))}</th>{''.join(sides)}</tr>")
    else:
        order = [random.permutation(len(images)) for images, _ in (real, synthetic)]
        for start in range(0, ROWS * PER_ROW, PER_ROW):
            parts = [side[0][some[start : start + PER_ROW]] for side, some in zip((real, synthetic), order)]
            if all(len(part) for part in parts):
                rows.append(f"<tr><th></th>{''.join(_strip(part, random, 'images') for part in parts)}</tr>")
    said = "Drawn at random, not chosen." + (
        f" The first {ROWS} of {len(classes)} classes." if labelled and len(classes) > ROWS else ""
    )
    head = "<tr><th></th><th>real (training)</th><th>synthetic</th></tr>"
    return f'<p>{said}</p><div class="wide"><table class="strips">{head}{"".join(rows)}</table></div>'


def _strip(images: NDArray[np.uint8], random: np.random.Generator, title: str) -> str:
    if not len(images):
        return "<td>none</td>"
    return f"<td>{picture(images[random.permutation(len(images))[:PER_ROW]], title)}</td>"
