import numpy as np
import pytest
from PIL import Image

from synthgen.data.images.images import Images
from synthgen.data.images.sources import arrays, digits, fashion_mnist, from_array, image_folder
from synthgen.errors import SynthgenError


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(folder, name, pixels, **options):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name, **options)


# Folders


def test_sub_folders_are_classes_in_the_order_of_their_names(tmp_path):
    pixels = noise(5, 6, 9, 3)
    for i, place in enumerate(["dogs/b.png", "cats/b.png", "cats/a.png", "10/x.PNG", "dogs/a.bmp"]):
        save(tmp_path / place.split("/")[0], place.split("/")[1], pixels[i])
    (tmp_path / "empty").mkdir()
    (tmp_path / "cats" / "notes.txt").write_text("no image")
    images = image_folder(str(tmp_path))
    assert images.classes == ("10", "cats", "dogs")
    assert images.labels.tolist() == [0, 1, 1, 2, 2]
    assert images.labels.dtype == np.int64
    np.testing.assert_array_equal(images.pixels, pixels[[3, 2, 1, 4, 0]].transpose(0, 3, 1, 2))


def test_images_in_the_folder_itself_have_no_labels(tmp_path):
    pixels = noise(3, 7, 5)
    for i in (2, 0, 1):
        save(tmp_path, f"{i}.png", pixels[i])
    images = image_folder(str(tmp_path))
    assert images.labels is None
    assert images.classes == ()
    np.testing.assert_array_equal(images.pixels, pixels[:, None])


def test_a_palette_counts_as_rgb(tmp_path):
    pixels = noise(4, 4, 3)
    save(tmp_path, "a.png", pixels)
    indices = np.arange(16, dtype=np.uint8).reshape(4, 4)
    palette = Image.fromarray(indices, mode="P")
    palette.putpalette(pixels.reshape(-1).tolist())
    palette.save(tmp_path / "b.png")
    assert Image.open(tmp_path / "b.png").mode == "P"
    images = image_folder(str(tmp_path)).pixels
    np.testing.assert_array_equal(images[0], images[1])


def test_metadata_says_which_images_there_are_their_labels_and_attributes(tmp_path):
    pixels = noise(3, 4, 4)
    for name, one in zip(["a.png", "b.png", "unnamed.png"], pixels):
        save(tmp_path, name, one)
    (tmp_path / "metadata.csv").write_text("file_name,label,age,smiles\nb.png,cat,3.5,true\na.png,007,,false\n")
    images = image_folder(str(tmp_path))
    np.testing.assert_array_equal(images.pixels[:, 0], pixels[[1, 0]])
    assert images.classes == ("007", "cat")
    assert images.labels.tolist() == [1, 0]
    assert images.names == ("age", "smiles")
    np.testing.assert_array_equal(images.attributes, np.array([[3.5, 1], [np.nan, 0]], dtype=np.float32))


def test_metadata_in_json_lines_stands_beside_sub_folders_of_classes(tmp_path):
    for i, name in enumerate(["cats", "dogs"]):
        save(tmp_path / name, "x.png", noise(4, 4, seed=i))
    lines = ['{"file_name": "dogs/x.png", "age": 2}', '{"file_name": "cats/x.png", "age": null}']
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    images = image_folder(str(tmp_path))
    assert [images.classes[label] for label in images.labels] == ["dogs", "cats"]
    np.testing.assert_array_equal(images.attributes, np.array([[2], [np.nan]], dtype=np.float32))


def test_an_image_outside_of_the_classes_is_named(tmp_path):
    save(tmp_path / "cats", "x.png", noise(4, 4))
    save(tmp_path, "y.png", noise(4, 4))
    (tmp_path / "metadata.csv").write_text("file_name,age\ncats/x.png,1\ny.png,2\n")
    with pytest.raises(SynthgenError, match=r"y.png: lies in no class beside 'cats'"):
        image_folder(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,age\na.png,3\n", r"metadata.csv: lacks a column 'file_name'"),
        ("file_name,age\nb.png,3\n", r"metadata.csv: b.png: no such image.*a.png"),
        ("file_name,age\na.png,3\na.png,4\n", r"'a.png' is named twice"),
        ("file_name,age\n../a.png,3\n", r"'../a.png' leads out of the folder"),
        ("file_name,label\na.png,\n", r"'a.png' has no label"),
        ("file_name,colour\na.png,red\n", r"column 'colour': found 'red'; an attribute is a number"),
    ],
)
def test_metadata_that_cannot_be_is_named(tmp_path, content, message):
    save(tmp_path, "a.png", noise(4, 4))
    (tmp_path / "metadata.csv").write_text(content)
    with pytest.raises(SynthgenError, match=message):
        image_folder(str(tmp_path))


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 4), ("LA", 2), ("CMYK", 4)])
def test_other_modes_are_refused_by_name(tmp_path, mode, channels):
    save(tmp_path, "a.png", noise(4, 4, 3))
    picture = Image.fromarray(noise(4, 4, channels), mode=mode)
    picture.save(tmp_path / ("odd.tif" if mode == "CMYK" else "odd.png"))
    with pytest.raises(SynthgenError, match=rf"odd\..*: found mode '{mode}'; expected grey \('L'\) or 'RGB'"):
        image_folder(str(tmp_path))


def test_sixteen_bits_are_refused(tmp_path):
    Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4)).save(tmp_path / "deep.png")
    with pytest.raises(SynthgenError, match=r"deep\.png: found mode 'I;16'"):
        image_folder(str(tmp_path))


def test_another_size_or_channel_is_refused_by_the_files_name(tmp_path):
    save(tmp_path, "a.png", noise(4, 6, 3))
    save(tmp_path, "b.png", noise(6, 4, 3))
    with pytest.raises(
        SynthgenError, match=r"b\.png: found 4 × 6 pixels with 3 channels; expected 6 × 4 .* as in a\.png"
    ):
        image_folder(str(tmp_path))
    save(tmp_path, "b.png", noise(4, 6))
    with pytest.raises(SynthgenError, match=r"b\.png: found 6 × 4 pixels with 1 channel; expected .* 3 channels"):
        image_folder(str(tmp_path))


def test_a_corrupt_file_is_refused_by_its_name(tmp_path):
    save(tmp_path, "a.png", noise(16, 16, 3))
    whole = (tmp_path / "a.png").read_bytes()
    for content in (b"", b"no image at all", whole[:8], whole[:100], whole[: len(whole) // 2]):
        (tmp_path / "bad.png").write_bytes(content)
        with pytest.raises(SynthgenError, match=r"bad\.png: not a readable image") as raised:
            image_folder(str(tmp_path))
        assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "tif", "jpg", "webp"])
def test_whatever_byte_is_damaged_there_is_no_traceback(tmp_path, suffix):
    rng = np.random.default_rng(0)
    file = tmp_path / f"a.{suffix}"
    Image.fromarray(noise(5, 5, 3)).save(file)
    whole = file.read_bytes()
    refused = 0
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] = rng.integers(256)
        file.write_bytes(bytes(damaged))
        try:
            image_folder(str(tmp_path))
        except SynthgenError:
            refused += 1
    assert refused > 0


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(SynthgenError, match="found no image"):
        image_folder(str(tmp_path))
    with pytest.raises(SynthgenError, match="nowhere: no such folder"):
        image_folder(str(tmp_path / "nowhere"))


# Arrays


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((5, 6, 9), None),
        ((5, 3, 6, 9), (0, 1, 2, 3)),
        ((5, 6, 9, 3), (0, 3, 1, 2)),
        ((5, 1, 8, 8), (0, 1, 2, 3)),
        ((5, 8, 8, 1), (0, 3, 1, 2)),
        ((5, 7, 8, 9), (0, 1, 2, 3)),
        ((1, 17, 23, 3), (0, 3, 1, 2)),
    ],
)
def test_arrays_come_in_any_of_the_usual_orders(tmp_path, shape, axes):
    pixels = noise(*shape)
    np.save(tmp_path / "a.npy", pixels)
    np.savez(tmp_path / "a.npz", images=pixels)
    expected = pixels[:, None] if axes is None else pixels.transpose(axes)
    for name in ("a.npy", "a.npz"):
        images = arrays(str(tmp_path / name))
        np.testing.assert_array_equal(images.pixels, expected)
        assert images.pixels.flags.c_contiguous
        assert images.labels is None


def test_labels_and_class_names_come_with_an_npz(tmp_path):
    np.savez(tmp_path / "a.npz", images=noise(4, 5, 5), labels=[2, 0, 0, 2], classes=["a", "b", "c"])
    images = arrays(str(tmp_path / "a.npz"))
    assert images.labels.tolist() == [2, 0, 0, 2]
    assert images.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("labels", "indices", "names"),
    [
        ([7, 3, 7], [1, 0, 1], ("3", "7")),
        (["dog", "cat", "dog"], [1, 0, 1], ("cat", "dog")),
        ([-1, 0, 1], [0, 1, 2], ("-1", "0", "1")),
        ([True, False, True], [1, 0, 1], ("False", "True")),
    ],
)
def test_labels_without_names_are_named_by_themselves(labels, indices, names):
    images = from_array(noise(3, 4, 4), labels)
    assert images.labels.tolist() == indices
    assert images.classes == names


def test_floats_within_0_and_1_are_scaled_to_bytes():
    pixels = noise(2, 3, 4, 4)
    np.testing.assert_array_equal(from_array(pixels / 255).pixels, pixels)
    np.testing.assert_array_equal(from_array((pixels / 255).astype(np.float32)).pixels, pixels)


@pytest.mark.parametrize(
    "images",
    [
        noise(4, 4),
        noise(2, 2, 2, 2, 2),
        np.zeros((0, 4, 4), dtype=np.uint8),
        np.zeros((0, 4, 4)),
        np.full((2, 4, 4), 1.5),
        np.full((2, 4, 4), -0.1),
        np.full((2, 4, 4), np.nan),
        np.zeros((2, 4, 4), dtype=np.int64),
        np.zeros((2, 4, 4), dtype=bool),
    ],
)
def test_other_types_ranges_and_shapes_are_refused(images):
    with pytest.raises(SynthgenError, match=r"images: found .* expected uint8, or floats within 0 \.\. 1"):
        from_array(images)


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 0, 1], [[1, 0], [0, 1], [1, 0]], 0])
def test_there_must_be_one_label_an_image(labels):
    with pytest.raises(SynthgenError, match="labels: found"):
        from_array(noise(3, 4, 4), labels)


def test_pickled_objects_are_refused_and_never_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (tmp_path.joinpath("was run").touch, ())

    objects = np.array([Harmful()], dtype=object)
    np.save(tmp_path / "a.npy", objects)
    np.savez(tmp_path / "images.npz", images=objects)
    np.savez(tmp_path / "labels.npz", images=noise(1, 4, 4), labels=objects)
    np.savez(tmp_path / "classes.npz", images=noise(1, 4, 4), labels=[0], classes=objects)
    for name in ("a.npy", "images.npz", "labels.npz", "classes.npz"):
        with pytest.raises(SynthgenError, match=rf"{name}: not a NumPy file without pickled objects"):
            arrays(str(tmp_path / name))
    assert not (tmp_path / "was run").exists()


def test_damaged_files_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=noise(4, 5, 5))
    np.save(tmp_path / "a.npy", noise(4, 5, 5))
    for name in ("a.npz", "a.npy"):
        whole = (tmp_path / name).read_bytes()
        flipped = whole[:150] + bytes(255 - byte for byte in whole[150:]) if name == "a.npz" else b"\x00" + whole[1:]
        for content in (b"", b"PK\x03\x04", b"no array", whole[:60], whole[:-30], flipped):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(SynthgenError, match=name):
                arrays(str(tmp_path / name))


def test_an_npz_without_images_says_what_it_has(tmp_path):
    np.savez(tmp_path / "a.npz", image=noise(4, 5, 5))
    with pytest.raises(SynthgenError, match=r"lacks an array named 'images'; did you mean 'image'\?"):
        arrays(str(tmp_path / "a.npz"))


# Data that is there already


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    images, embedded = digits(), load_digits()
    assert isinstance(images, Images)
    assert images.pixels.shape == (1797, 1, 8, 8)
    assert (images.pixels.min(), images.pixels.max()) == (0, 255)
    np.testing.assert_allclose(images.pixels[:, 0] / 255, embedded.images / 16, atol=0.5 / 255 + 1e-9)
    np.testing.assert_array_equal(images.labels, embedded.target)
    assert images.classes == tuple("0123456789")


def idx(array):
    """The idx format of MNIST: two zero bytes, the type, the number of axes, their lengths, the bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes() + array.tobytes()


def test_fashion_mnist_is_read_from_its_idx_files(tmp_path):
    pixels, labels = noise(3, 28, 28), np.array([9, 0, 5], dtype=np.uint8)
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    images = fashion_mnist(str(tmp_path))
    np.testing.assert_array_equal(images.pixels, pixels[:, None])
    assert [images.classes[label] for label in images.labels] == ["Ankle boot", "T-shirt or top", "Sandal"]


def test_fashion_mnist_is_never_downloaded(tmp_path):
    with pytest.raises(SynthgenError, match="expected a folder that contains FashionMNIST/raw"):
        fashion_mnist(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
