import numpy as np
import pytest
import torch

from synthgen.errors import SynthgenError
from synthgen.metrics.image.classifier import DomainClassifier, train_classifier
from synthgen.metrics.image.fidelity import frechet_distance, recognised
from tests.images import digits, digits_classifier


@pytest.fixture(scope="module")
def classifier():
    return digits_classifier()


def test_recognises_digits_that_it_has_not_seen(classifier):
    _, (images, labels) = digits()
    assert classifier.name == "cnn-digits"
    found = recognised(classifier, images, labels)
    assert found.low < (classifier.predict(images) == labels).mean() == found.value < found.high
    assert found.value >= 0.98
    assert recognised(classifier, images, (labels + 1) % 10).value < 0.02
    with pytest.raises(SynthgenError, match="no images to recognise"):
        recognised(classifier, images[:0], labels[:0])


def test_features_tell_real_from_broken(classifier):
    (train, _), (holdout, _) = digits()
    features = classifier.features(train)
    assert features.shape == (len(train), 64)
    assert features.dtype == np.float64
    floor = frechet_distance(classifier.features(holdout), features)
    noisy = np.clip(holdout + np.random.default_rng(0).normal(0, 60, holdout.shape), 0, 255).astype(np.uint8)
    assert frechet_distance(classifier.features(noisy), features) > 4 * floor


def test_the_same_arguments_give_the_same_classifier(monkeypatch):
    (images, labels), _ = digits()
    # Generators of other devices are not its own; nothing puts them back.
    monkeypatch.setattr(torch, "manual_seed", None)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    first, second = (train_classifier(images, labels, 10, seed=1, budget=1000) for _ in range(2))
    torch.testing.assert_close(torch.get_rng_state(), before, rtol=0, atol=0)
    assert torch.get_num_threads() == threads
    np.testing.assert_array_equal(first.features(images[:50]), second.features(images[:50]))
    other = train_classifier(images, labels, 10, seed=2, budget=1000)
    assert (other.features(images[:50]) != first.features(images[:50])).any()
    assert first.digest == second.digest != other.digest
    assert first.name == other.name


def test_features_do_not_depend_on_the_other_images(classifier):
    (images, _), _ = digits()
    np.testing.assert_allclose(classifier.features(images)[700:710], classifier.features(images[700:710]), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 17, 40), (2, 64, 64)])
def test_any_channels_and_sizes(shape):
    images = np.random.default_rng(0).integers(0, 256, (20, *shape)).astype(np.uint8)
    images.flags.writeable = False
    for labels in (np.arange(20) % 2, None):
        trained = train_classifier(images, labels, 2, budget=64)
        assert trained.features(images).shape == (20, 64)
        assert np.isfinite(trained.features(images)).all()


def test_without_labels_it_learns_rotations():
    (images, _), _ = digits()
    trained = train_classifier(images, None, 0, budget=10_000, name="digits")
    assert trained.name == "cnn-rotations-digits"
    turned = np.concatenate([np.rot90(images[:200], turn, (2, 3)) for turn in range(4)])
    with torch.inference_mode():
        logits = trained.network(torch.from_numpy(turned.copy()).float() / 127.5 - 1)
    assert (logits.argmax(1).numpy() == np.repeat(np.arange(4), 200)).mean() > 0.9
    with pytest.raises(SynthgenError, match="recognises no classes"):
        trained.predict(images)


def test_progress_ends_at_one():
    (images, labels), _ = digits()
    seen = []
    train_classifier(images, labels, 10, budget=640, progress=seen.append)
    assert len(seen) == 10
    assert seen[-1] == 1


def test_errors(classifier):
    (images, labels), _ = digits()
    with pytest.raises(SynthgenError, match="expected uint8 images"):
        train_classifier(images / 255, labels, 10)
    with pytest.raises(SynthgenError, match="expected labels 0 to 4, found 0 to 9"):
        train_classifier(images, labels, 5)
    with pytest.raises(SynthgenError, match="expected one label an image"):
        train_classifier(images, labels[:5], 10)
    with pytest.raises(SynthgenError, match=r"cnn-digits reads images of shape \(1, 8, 8\)"):
        classifier.predict(images[:, :, :7])


def test_labels_of_one_class_teach_nothing_however_many_classes_have_names():
    (images, labels), _ = digits()
    zeros = images[labels == 0][:60]
    trained = train_classifier(zeros, np.zeros(60, np.int64), 10, budget=128)
    assert (trained.name, trained.classes) == ("cnn-rotations-images", 0)


@pytest.mark.parametrize("count", range(15, 21))
def test_few_images(count):
    (images, labels), _ = digits()
    assert train_classifier(images[:count], labels[:count], 10).features(images[:3]).shape == (3, 64)


def test_large_images_are_averaged_down():
    (images, labels), _ = digits()
    small = np.repeat(np.repeat(images[:300], 6, 2), 6, 3)
    large = np.repeat(np.repeat(small, 3, 2), 3, 3)
    assert large.shape[2:] == (144, 144)
    learned = train_classifier(large, labels[:300], 10, budget=640)
    same = DomainClassifier.of_state(learned.state, "small", 10, small.shape[1:])
    np.testing.assert_allclose(learned.features(large[:20]), same.features(small[:20]), atol=1e-3)
