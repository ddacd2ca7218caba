from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from synthgen.data.images.images import Images, image_grid
from synthgen.errors import SynthgenError


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def some(n=6, channels=3, classes=("a", "b")):
    labels = np.arange(n, dtype=np.int64)[::-1] % len(classes) if classes else None
    return Images(noise(n, channels, 5, 7), labels, classes)


def test_images_are_selected_with_their_labels():
    images = some()
    assert len(images) == 6
    part = images[np.array([4, 1])]
    np.testing.assert_array_equal(part.pixels, images.pixels[[4, 1]])
    np.testing.assert_array_equal(part.labels, images.labels[[4, 1]])
    assert part.classes == ("a", "b")
    assert len(some(classes=())[2:4]) == 2


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (noise(4, 5, 5), None, r"found uint8 of shape \(4, 5, 5\); expected uint8 of shape"),
        (noise(4, 1, 5, 5) / 255, None, "found float64"),
        (noise(4, 1, 5, 5), np.zeros(3, dtype=int), r"labels: found an array of shape \(3,\) for 4 images"),
        (noise(4, 1, 5, 5), np.eye(4, dtype=int), r"labels: found an array of shape \(4, 4\) for 4 images"),
    ],
)
def test_other_arrays_are_no_images(pixels, labels, message):
    with pytest.raises(SynthgenError, match=message):
        Images(pixels, labels)


# The grid


def cell(grid, row, column, height, width):
    """One image of a grid whose images are a pixel apart."""
    top, left = row * (height + 1), column * (width + 1)
    return np.asarray(grid)[top : top + height, left : left + width]


def test_a_grid_is_square_and_shows_images_row_by_row():
    pixels = noise(5, 3, 40, 33)
    grid = image_grid(pixels)
    assert grid.size == (3 * 34 - 1, 2 * 41 - 1)
    for i in range(5):
        np.testing.assert_array_equal(cell(grid, i // 3, i % 3, 40, 33), pixels[i].transpose(1, 2, 0))
    white = np.asarray(grid).copy()
    for i in range(5):
        cell(white, i // 3, i % 3, 40, 33)[:] = 255
    assert (white == 255).all(), "white between the images and where there is none"


def test_a_grid_takes_a_number_of_columns():
    pixels = noise(5, 3, 40, 33)
    grid = image_grid(pixels, columns=1)
    assert grid.size == (33, 5 * 41 - 1)
    np.testing.assert_array_equal(cell(grid, 4, 0, 40, 33), pixels[4].transpose(1, 2, 0))


def test_small_images_are_enlarged_by_a_whole_factor():
    pixels = noise(1, 1, 8, 12)
    grid = np.asarray(image_grid(pixels, min_side=30))
    assert grid.shape == (32, 48, 3)
    np.testing.assert_array_equal(grid, np.kron(pixels[0, 0], np.ones((4, 4), dtype=np.uint8))[:, :, None].repeat(3, 2))


def test_of_channels_that_are_no_colours_the_first_is_shown():
    pixels = noise(1, 5, 40, 40)
    grid = np.asarray(image_grid(pixels))
    np.testing.assert_array_equal(grid, pixels[0, :1].transpose(1, 2, 0).repeat(3, axis=2))


def test_a_notebook_shows_the_first_64_as_a_grid():
    images = Images(noise(70, 3, 32, 32))
    shown = Image.open(BytesIO(images._repr_png_()))
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(image_grid(images.pixels[:64])))
