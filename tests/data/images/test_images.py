from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from synthgen.data.images.images import Images, check_output, image_grid, write_images
from synthgen.data.images.sources import arrays, image_folder
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


# Files


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [(), ("a", "b"), ("10", "9", "T-shirt or top")])
def test_a_written_folder_reads_back_as_it_was(tmp_path, channels, classes):
    images = some(12, channels, classes)
    write_images(images, str(tmp_path / "out" / "samples"))
    again = image_folder(str(tmp_path / "out" / "samples"))
    if not classes:
        assert again.labels is None
        np.testing.assert_array_equal(again.pixels, images.pixels)
        return
    assert again.classes == tuple(sorted(classes))
    order = sorted(range(12), key=lambda i: (classes[images.labels[i]], i))
    np.testing.assert_array_equal(again.pixels, images.pixels[order])
    assert [again.classes[label] for label in again.labels] == [classes[images.labels[i]] for i in order]


def test_files_of_a_folder_are_numbered_so_that_they_sort(tmp_path):
    write_images(Images(noise(3, 1, 2, 2)), str(tmp_path / "few"))
    assert sorted(file.name for file in (tmp_path / "few").iterdir()) == ["00000.png", "00001.png", "00002.png"]


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("classes", [(), ("a", "b")])
def test_a_written_npz_reads_back_as_it_was(tmp_path, channels, classes):
    images = some(7, channels, classes)
    write_images(images, str(tmp_path / "new" / "samples.npz"))
    again = arrays(str(tmp_path / "new" / "samples.npz"))
    np.testing.assert_array_equal(again.pixels, images.pixels)
    assert again.classes == images.classes
    assert (again.labels is None) == (images.labels is None)
    if classes:
        np.testing.assert_array_equal(again.labels, images.labels)


def test_a_written_png_is_the_grid(tmp_path):
    images = some()
    write_images(images, str(tmp_path / "samples.png"))
    written = np.asarray(Image.open(tmp_path / "samples.png"))
    np.testing.assert_array_equal(written, np.asarray(image_grid(images.pixels)))


@pytest.mark.parametrize("output", ["samples.jpg", "samples.zip", "samples.PNG"])
def test_other_suffixes_are_refused(tmp_path, output):
    for write in (lambda path: check_output(path, 3), lambda path: write_images(some(), path)):
        with pytest.raises(SynthgenError, match=r"expected \.png, \.npz, or a folder"):
            write(str(tmp_path / output))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_images_of_other_channels_do_not_go_to_a_folder(tmp_path, channels):
    for write in (lambda path: check_output(path, channels), lambda path: write_images(some(channels=channels), path)):
        with pytest.raises(SynthgenError, match=rf"hold 1 or 3 channels, found {channels}; expected a \.npz"):
            write(str(tmp_path / "samples"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_never_replaced(tmp_path):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "thesis.doc").write_text("years of work")
    with pytest.raises(SynthgenError, match="the folder is not empty; expected a new one"):
        write_images(some(), str(tmp_path / "samples"))
    assert (tmp_path / "samples" / "thesis.doc").read_text() == "years of work"


def test_a_file_is_never_replaced_by_a_folder(tmp_path):
    (tmp_path / "samples").write_text("years of work")
    with pytest.raises(SynthgenError, match=r"output=.*samples: found a file, expected a new folder"):
        write_images(some(), str(tmp_path / "samples"))
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("samples", "years of work")]


@pytest.mark.parametrize("name", ["../outside", "a/b", "..", ".", "", "/absolute"])
def test_a_class_name_never_leads_out_of_the_folder(tmp_path, name):
    name = str(tmp_path / "absolute") if name == "/absolute" else name
    with pytest.raises(SynthgenError, match="cannot be the name of a folder"):
        write_images(some(classes=("a", name)), str(tmp_path / "deep" / "samples"))
    assert [file for file in tmp_path.rglob("*") if file.name != "deep"] == []


@pytest.mark.parametrize(("labels", "classes"), [([0, 1, 2], ("a", "b")), ([0, -1, 1], ("a", "b")), ([0, 0, 0], ())])
def test_labels_are_indices_of_classes(labels, classes):
    with pytest.raises(SynthgenError, match=r"labels: found .* classes"):
        Images(noise(3, 1, 2, 2), np.array(labels), classes)


def test_labels_that_are_no_indices_are_refused():
    with pytest.raises(SynthgenError, match="expected indices of classes"):
        Images(noise(2, 1, 2, 2), np.array([0.5, 1.0]), ("a", "b"))
