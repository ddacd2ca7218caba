import numpy as np
import pytest

from scripts.benching import judge_images
from scripts.benching.datasets import ImageSet
from synthgen.data.images.images import Images
from tests.images import digits

CLASSES = tuple("0123456789")


@pytest.fixture(scope="module")
def data():
    return ImageSet("digits", lambda: tuple(Images(pixels, labels, CLASSES) for pixels, labels in digits()))


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    monkeypatch.setattr(judge_images, "SIZES", (100, 360))


def written(file, images, labels=None):
    np.savez(file, images=images, **({} if labels is None else {"labels": labels}))
    return file


def test_real_images_in_the_place_of_synthetic_ones_are_at_the_floor(data, tmp_path):
    floor = judge_images.floor(data)
    found = judge_images.figures(data, written(tmp_path / "a.npz", data.holdout.pixels, data.holdout.labels))
    for size in ("n=100", "n=360"):
        assert found[size] == pytest.approx(floor[size], rel=1e-4)
    assert found["all"]["recognised"] == floor["all"]["recognised"] > 0.95
    assert found["all"]["memorisation ratio"] == pytest.approx(1)
    assert "FD-cnn-digits" in found["n=360"]
    ((name, digest),) = judge_images.made_of(data).items()
    assert name == "cnn-digits"
    assert len(digest) == 12


def test_copies_and_noise_are_seen_and_images_without_labels_have_no_figure_of_classes(data, tmp_path):
    copies = judge_images.figures(data, written(tmp_path / "a.npz", data.train.pixels[:360]))["all"]
    assert copies["memorisation ratio"] == 0
    assert copies["memorisation p"] < 0.01
    assert not {"recognised", "TSTR accuracy"} & set(copies)
    noise = np.random.default_rng(0).integers(0, 256, (100, 1, 8, 8), dtype=np.uint8)
    found = judge_images.figures(data, written(tmp_path / "b.npz", noise))
    assert found["n=100"]["precision"] < 0.2
    assert found["n=100"]["FD-cnn-digits"] > 5 * judge_images.floor(data)["n=100"]["FD-cnn-digits"]
    assert "n=360" not in found
