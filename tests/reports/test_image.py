import numpy as np
import pytest

from synthgen.errors import SynthgenError
from synthgen.metrics.image.fidelity import frechet_distance
from synthgen.reports.image import image_report
from synthgen.reports.pictures import channels_shown, picture
from tests.browser import needs_chromium, opened
from tests.images import digits, digits_classifier

CLASSES = [f"digit {i}" for i in range(10)]


@pytest.fixture(scope="module")
def classifier():
    return digits_classifier()


@pytest.fixture(scope="module")
def noisy():
    (images, labels), _ = digits()
    random = np.random.default_rng(0)
    return np.clip(images[:500] + random.normal(0, 60, (500, 1, 8, 8)), 0, 255).astype(np.uint8), labels[:500]


@pytest.fixture(scope="module")
def report(classifier, noisy):
    train, holdout = digits()
    return image_report(train, holdout, noisy, classes=CLASSES, name="digits", classifier=classifier)


def figure(report, name):
    return next(one for one in report.figures if one.name == name)


def test_noise_is_worse_than_its_floor(report):
    for name in ("FD-cnn-digits", "KD-cnn-digits"):
        assert report[name] > 2 * abs(figure(report, name).floor)
    assert report["Precision-cnn-digits"] < figure(report, "Precision-cnn-digits").floor
    assert report["Recognised as its class"] < figure(report, "Recognised as its class").floor
    assert 0.5 < report["TSTR accuracy"] < figure(report, "TSTR accuracy").reference
    assert not any("FID" in one.name for one in report.figures)


def test_the_floor_is_the_holdout_against_training(report, classifier):
    (train, _), (holdout, _) = digits()
    expected = frechet_distance(classifier.features(holdout), classifier.features(train))
    assert figure(report, "FD-cnn-digits").floor == pytest.approx(expected, rel=1e-6)


def test_copies_show(classifier):
    train, holdout = digits()
    copies = (train[0][:400], None)
    report = image_report(train, holdout, copies, classes=CLASSES, name="digits", classifier=classifier)
    assert report["Distance to training"] == report["Memorisation ratio"] == 0
    assert report.sections[1].html.count("exact copy") == 16
    assert any("Synthetic images carry no labels" in note for note in report.notes)
    assert "Recognised as its class" not in [one.name for one in report.figures]


def test_without_labels_and_holdout():
    (images, _), _ = digits()
    parts = []
    report = image_report((images[:300], None), None, (images[300:400], None), name="digits", progress=parts.append)
    assert "FD-cnn-rotations-digits" in [one.name for one in report.figures]
    assert all(one.floor is None for one in report.figures)
    assert any("No holdout" in note for note in report.notes)
    assert any("tells rotations" in note for note in report.notes)
    assert parts[0] == "training a classifier of the real images"


def test_pictures_of_other_channels():
    images = np.zeros((2, 5, 8, 8), np.uint8)
    assert "first three" in channels_shown(5)
    assert "first one" in channels_shown(2)
    assert channels_shown(3) is None
    assert 'width="98" height="48"' in picture(images, "two")
    assert 'width="98"' in picture(images[:, :2], "two")


def test_errors():
    (images, labels), _ = digits()
    with pytest.raises(SynthgenError, match=r"synthetic images have shape \(1, 8, 7\), training images \(1, 8, 8\)"):
        image_report((images, None), None, (images[..., :7], None))
    with pytest.raises(SynthgenError, match="training labels: expected 0 to 1 for 2 classes, found 0 to 9"):
        image_report((images, labels), None, (images, labels), classes=["a", "b"])
    with pytest.raises(SynthgenError, match="at least 5 synthetic images, found 2"):
        image_report((images, None), None, (images[:2], None))


@needs_chromium
def test_the_page_shows_pictures_in_a_browser_and_asks_no_network(report, tmp_path):
    dom, console, asked = opened(report.to_html(tmp_path / "report.html"), tmp_path)
    assert console == []
    assert asked == []
    assert dom.count("<img") == 2 * 10 + 16
    assert "digit 7" in dom
