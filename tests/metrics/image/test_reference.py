import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from synthgen.errors import SynthgenError
from synthgen.metrics.image.classifier import train_classifier
from synthgen.metrics.image.reference import cache_folder, data_digest, domain_classifier, reference_features
from tests.images import digits


class Counted:
    """An extractor that counts the images that it was given."""

    def __init__(self, name="means-legacy299", digest="a" * 64):
        self.name, self.digest, self.seen = name, digest, 0

    def features(self, images):
        self.seen += len(images)
        return images.mean((2, 3))


def pictures(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (50, 3, 4, 4)).astype(np.uint8)


@pytest.fixture(autouse=True)
def no_warnings_unless_expected():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def files(folder):
    return sorted(file.name for file in folder.rglob("*") if file.is_file())


def test_features_are_computed_once(tmp_path):
    extractor, told = Counted(), []
    first = reference_features(extractor, pictures(), cache=tmp_path, progress=told.append)
    np.testing.assert_allclose(first, pictures().mean((2, 3)), rtol=1e-6)
    assert first.dtype == np.float32
    assert told == [1]
    np.testing.assert_array_equal(
        reference_features(extractor, pictures(), cache=tmp_path, progress=told.append), first
    )
    assert extractor.seen == 50
    assert told == [1]
    assert len(files(tmp_path)) == 1
    assert files(tmp_path)[0].startswith("train-means-legacy299-")


def test_anything_that_matters_makes_another_file(tmp_path):
    reference_features(Counted(), pictures(), cache=tmp_path)
    others = [
        (Counted(), pictures(seed=1), "train"),
        (Counted(), pictures()[::-1], "train"),
        (Counted(), pictures().reshape(50, 3, 2, 8), "train"),
        (Counted(), pictures(), "test"),
        (Counted("means-bilinear299"), pictures(), "train"),
        (Counted(digest="b" * 64), pictures(), "train"),
    ]
    for extractor, images, split in others:
        found = reference_features(extractor, images, split=split, cache=tmp_path)
        assert extractor.seen == 50
        np.testing.assert_allclose(found, images.mean((2, 3)), rtol=1e-6)
    assert len(files(tmp_path)) == 1 + len(others)


def damages(file):
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    tensors = load_file(file)
    yield lambda: file.write_bytes(whole[:-20]), "damaged"
    yield lambda: file.write_bytes(b""), "damaged"
    yield lambda: file.write_bytes(bytes(flipped)), "its content is not what was written"
    yield lambda: save_file(tensors, file), "it was made from something else"
    yield lambda: save_file({"other": np.zeros(3)}, file), "damaged"


def test_damaged_files_are_computed_again(tmp_path):
    expected = reference_features(Counted(), pictures(), cache=tmp_path)
    (file,) = (tmp_path / "features").iterdir()
    for damage, message in damages(file):
        damage()
        extractor = Counted()
        with pytest.warns(UserWarning, match=message):
            found = reference_features(extractor, pictures(), cache=tmp_path)
        np.testing.assert_array_equal(found, expected)
        assert extractor.seen == 50
        np.testing.assert_array_equal(reference_features(extractor, pictures(), cache=tmp_path), expected)
        assert extractor.seen == 50
    assert len(files(tmp_path)) == 1


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match="cannot be kept"):
        found = reference_features(Counted(), pictures(), cache=taken)
    np.testing.assert_allclose(found, pictures().mean((2, 3)), rtol=1e-6)


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    def torn(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr("synthgen.metrics.image.reference.save_file", torn)
    with pytest.warns(UserWarning, match="no space left"):
        reference_features(Counted(), pictures(), cache=tmp_path)
    assert files(tmp_path) == []


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv("SYNTHGEN_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "synthgen"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "synthgen"
    monkeypatch.setenv("SYNTHGEN_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"
    reference_features(Counted("odd/name: ../x"), pictures())
    (file,) = (tmp_path / "own" / "features").iterdir()
    assert os.sep not in file.name
    assert file.name.startswith("train-odd_name__.._x-")


def test_digests_and_errors(tmp_path):
    assert data_digest(pictures()) == data_digest(pictures().copy(order="F"))
    assert data_digest(pictures()) != data_digest(pictures().astype(np.int16))
    with pytest.raises(SynthgenError, match=r"found '\.\./train'"):
        reference_features(Counted(), pictures(), split="../train", cache=tmp_path)
    with pytest.raises(SynthgenError, match="no images"):
        reference_features(Counted(), pictures()[:0], cache=tmp_path)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_classifier_is_trained_once(labelled, tmp_path, monkeypatch):
    (images, labels), _ = digits()
    images, labels = images[:100], labels[:100] if labelled else None
    told = []
    first = domain_classifier(images, labels, 10, name="a/b", cache=tmp_path, progress=told.append)
    assert told[-1] == 1
    (file,) = (tmp_path / "classifiers").iterdir()
    assert file.name.startswith("a_b-")
    monkeypatch.setattr("synthgen.metrics.image.reference.train_classifier", None)
    again = domain_classifier(images, labels, 10, name="a/b", cache=tmp_path)
    trained = train_classifier(images, labels, 10, name="a/b")
    for classifier in (first, again):
        assert (classifier.name, classifier.classes, classifier.shape) == (trained.name, trained.classes, (1, 8, 8))
        assert classifier.digest == trained.digest
        np.testing.assert_array_equal(classifier.features(images), trained.features(images))


def test_anything_that_matters_makes_another_classifier(tmp_path):
    (images, labels), _ = digits()
    images, labels = images[:64], labels[:64]
    made = [
        domain_classifier(images, labels, 10, cache=tmp_path),
        domain_classifier(images, labels, 11, cache=tmp_path),
        domain_classifier(images, labels[::-1].copy(), 10, cache=tmp_path),
        domain_classifier(images[::-1].copy(), labels, 10, cache=tmp_path),
        domain_classifier(images, None, 10, cache=tmp_path),
        domain_classifier(images, labels, 10, seed=1, cache=tmp_path),
    ]
    assert len({classifier.digest for classifier in made}) == len(made) == len(files(tmp_path))


def test_a_damaged_classifier_is_trained_again(tmp_path):
    (images, labels), _ = digits()
    images, labels = images[:64], labels[:64]
    whole = domain_classifier(images, labels, 10, cache=tmp_path)
    (file,) = (tmp_path / "classifiers").iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="damaged"):
        assert domain_classifier(images, labels, 10, cache=tmp_path).digest == whole.digest
    assert domain_classifier(images, labels, 10, cache=tmp_path).digest == whole.digest


def test_names_that_no_file_may_have_and_users_without_a_home(tmp_path, monkeypatch):
    images = pictures()
    for _ in range(2):
        domain_classifier(images, None, 0, name="x" * 300, cache=tmp_path)
    assert len(files(tmp_path)) == 1
    monkeypatch.delenv("SYNTHGEN_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", lambda _: (_ for _ in ()).throw(RuntimeError("no home")))
    assert cache_folder().is_absolute()
