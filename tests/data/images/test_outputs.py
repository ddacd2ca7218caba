"""Images in files of every form, written and read back."""

import json
import tarfile
import zipfile
from io import BytesIO

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from PIL import Image

from synthgen.data.images.images import Images, image_grid
from synthgen.data.images.outputs import check_image_output, image_writer, write_images
from synthgen.data.images.sources import arrays, image_folder
from synthgen.errors import SynthgenError
from tests.data.images.test_images import noise, some

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
    np.testing.assert_array_equal(again.pixels, images.pixels)
    assert [again.classes[label] for label in again.labels] == [classes[label] for label in images.labels]


def test_files_of_a_folder_are_numbered_so_that_they_sort(tmp_path):
    write_images(Images(noise(3, 1, 2, 2)), str(tmp_path / "few"))
    assert sorted(file.name for file in (tmp_path / "few").iterdir()) == [
        "0000000.png",
        "0000001.png",
        "0000002.png",
        "metadata.csv",
    ]


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


@pytest.mark.parametrize("output", ["samples.jpg", "samples.gz", "samples.PNG"])
def test_other_suffixes_are_refused(tmp_path, output):
    for write in (lambda path: check_image_output(path, 3), lambda path: write_images(some(), path)):
        with pytest.raises(SynthgenError, match=r"expected \.png, \.npz, \.zip, \.tar, \.parquet, or a folder"):
            write(str(tmp_path / output))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_images_of_other_channels_do_not_go_to_a_folder(tmp_path, channels):
    for write in (
        lambda path: check_image_output(path, channels),
        lambda path: write_images(some(channels=channels), path),
    ):
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


# Attributes


def told(n=4):
    attributes = np.stack([np.arange(n) % 2, np.linspace(20, 60, n)], axis=1).astype(np.float32)
    attributes[1, 1] = np.nan
    return Images(noise(n, 1, 5, 7), np.arange(n) % 2, ("a", "b"), attributes, ("glasses", "age"))


@pytest.mark.parametrize("name", ["told", "told.npz"])
def test_attributes_are_written_and_read_back(tmp_path, name):
    write_images(told(), str(tmp_path / name))
    back = arrays(str(tmp_path / name)) if name.endswith("npz") else image_folder(str(tmp_path / name))
    original = told()
    np.testing.assert_allclose(back.attributes, original.attributes)
    np.testing.assert_array_equal(back.pixels, original.pixels)
    np.testing.assert_array_equal(back.labels, original.labels)
    assert back.names == ("glasses", "age")


def test_attributes_are_selected_with_their_images_and_must_fit():
    part = told()[np.array([3, 0])]
    np.testing.assert_array_equal(part.attributes[:, 1], [60, 20])
    with pytest.raises(SynthgenError, match=r"attributes: found an array of shape \(3, 2\) for 4 images and 2 names"):
        Images(noise(4, 1, 5, 5), None, (), np.zeros((3, 2), dtype=np.float32), ("a", "b"))
    for names in (("a", "a"), ("a", "label")):
        with pytest.raises(SynthgenError, match=r"expected different names, none of them 'label'"):
            Images(noise(4, 1, 5, 5), None, (), np.zeros((4, 2), dtype=np.float32), names)
    with pytest.raises(SynthgenError, match="attribute 'b': found an infinite value"):
        Images(noise(1, 1, 5, 5), None, (), np.array([[0, np.inf]], dtype=np.float32), ("a", "b"))


# In parts


def in_parts(images, output, facts=None):
    with image_writer(str(output), images.classes, facts) as write:
        for first in range(0, len(images), 3):
            write(images[first : first + 3], first)


@pytest.mark.parametrize("name", ["out", "out.zip", "out.tar", "out.parquet", "out.npz", "out.png"])
def test_parts_are_what_all_at_once_is_to_the_byte(tmp_path, name):
    images, facts = told(8), {"seed": 3, "checkpoint": "abc"}
    (tmp_path / "parts").mkdir()
    in_parts(images, tmp_path / "parts" / name, facts)
    with image_writer(str(tmp_path / name), images.classes, facts) as write:
        write(images, 0)
    if name == "out.parquet":  # a group of rows a part
        assert pd.read_parquet(tmp_path / name).equals(pd.read_parquet(tmp_path / "parts" / name))
        return
    for file in [tmp_path / name, *(tmp_path / name).rglob("*")]:
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "parts" / file.relative_to(tmp_path)).read_bytes()


def test_a_folder_says_of_each_image_what_it_is_and_how_it_was_made(tmp_path):
    in_parts(told(), tmp_path / "out", {"seed": 3, "checkpoint": "abc"})
    table = pd.read_csv(tmp_path / "out" / "metadata.csv")
    assert table.columns.tolist() == [
        *("file_name", "label", "glasses", "age", "synthgen_number", "synthgen_seed", "synthgen_checkpoint")
    ]
    assert table.file_name.tolist() == ["a/0000000.png", "b/0000001.png", "a/0000002.png", "b/0000003.png"]
    assert table.label.tolist() == list("abab")
    assert table.synthgen_number.tolist() == [0, 1, 2, 3]
    assert set(table.synthgen_checkpoint) == {"abc"}
    assert image_folder(str(tmp_path / "out")).names == ("glasses", "age")


def test_a_zip_holds_what_the_folder_does(tmp_path):
    for name in ("out", "out.zip"):
        in_parts(told(), tmp_path / name)
    with zipfile.ZipFile(tmp_path / "out.zip") as packed:
        files = {file.relative_to(tmp_path / "out").as_posix(): file for file in (tmp_path / "out").rglob("*.*")}
        assert sorted(packed.namelist()) == sorted(files)
        assert all(packed.read(name) == file.read_bytes() for name, file in files.items())


def test_a_webdataset_shard_has_the_files_of_an_image_one_after_another(tmp_path):
    images = told()
    in_parts(images, tmp_path / "out.tar", {"seed": 3})
    with tarfile.open(tmp_path / "out.tar") as shard:
        entries = [(entry.name, shard.extractfile(entry).read()) for entry in shard]
    keys = [name.split(".")[0] for name, _ in entries]
    assert keys == [f"{i:07}" for i in range(4) for _ in range(3)]
    content = dict(entries)
    assert content["0000001.cls"] == b"1"
    assert json.loads(content["0000001.json"]) == {
        "label": "b",
        "glasses": 1.0,
        "synthgen_number": 1,
        "synthgen_seed": 3,
    }
    pixels = np.asarray(Image.open(BytesIO(content["0000002.png"])))
    np.testing.assert_array_equal(pixels, images.pixels[2, 0])


def test_parquet_holds_encoded_images_as_hugging_face_data_sets_do(tmp_path):
    images = told()
    in_parts(images, tmp_path / "out.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"names": ["a", "b"], "_type": "ClassLabel"}
    rows = table.to_pylist()
    for row, pixels, label in zip(rows, images.pixels, images.labels):
        np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(row["image"]["bytes"]))), pixels[0])
        assert row["label"] == label
    assert [row["age"] for row in rows] == [pytest.approx(20), None, pytest.approx(46.6667), 60]


def write_and_fail(output):
    with image_writer(str(output), ("a", "b")) as write:
        write(told(), 0)
        raise KeyboardInterrupt


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    for name in ("out", "out.zip", "out.tar", "out.parquet", "out.npz"):
        with pytest.raises(KeyboardInterrupt):
            write_and_fail(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
