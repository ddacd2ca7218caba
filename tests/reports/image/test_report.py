import numpy as np
import pytest

from synthgen.errors import SynthgenError
from synthgen.metrics.image.fidelity import frechet_distance
from synthgen.metrics.image.memorisation import memorisation
from synthgen.metrics.image.utility import DownstreamAccuracy
from synthgen.metrics.intervals import Estimate
from synthgen.reports.image.fidelity import _kernel, add_features
from synthgen.reports.image.pictures import channels_shown, picture
from synthgen.reports.image.report import image_report
from synthgen.reports.image.verdicts import _fidelity, _utility
from synthgen.reports.report import Report
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


def test_noise_is_worse_than_its_floor(report):
    for name in ("FD-cnn-digits", "KD-cnn-digits"):
        assert report[name] > 2 * abs(report.figure(name).floor)
    assert not report.figure("FD-cnn-digits").as_real
    assert report["Precision-cnn-digits"] < report.figure("Precision-cnn-digits").floor
    assert report["Recognised as its class"] < report.figure("Recognised as its class").floor
    assert 0.5 < report["TSTR accuracy"] < report.figure("TSTR accuracy").reference
    assert report.figure("TRTR + synthetic accuracy").reference == report.figure("TSTR accuracy").reference
    assert not any("FID" in one.name for one in report.figures)


def test_figures_are_those_of_the_metrics(report, classifier, noisy):
    (train, _), (holdout, _) = digits()
    known = classifier.features(train).astype(np.float32)
    expected = frechet_distance(classifier.features(holdout).astype(np.float32), known)
    assert report.figure("FD-cnn-digits").floor == pytest.approx(expected, rel=1e-5)
    found = memorisation(train, holdout, noisy[0])
    assert report["Memorisation ratio"] == found.ratio.value
    assert report["Memorisation test p"] == found.p_value


def test_what_is_wrong_is_said(report):
    levels = {one.face: one.level for one in report.verdicts}
    assert levels["fidelity"] in ("mixed", "poor")
    assert levels["privacy"] == "poor"  # noise on training images
    assert levels["fairness"] == "unknown"
    assert report.findings[0].text.startswith("Synthetic images lean towards training images")
    classes = [one for one in report.findings if one.subject]
    assert classes
    for one in classes:
        row = next(row for row in report.details["classes"] if row["class"] == one.subject[0])
        assert one.severity == pytest.approx(row["real"] - row["synthetic"])


def test_held_out_images_are_as_they_should_be(classifier):
    (images, labels), _ = digits()
    parts = [(images[part], labels[part]) for part in (slice(0, 800), slice(800, 1100), slice(1100, 1400))]
    report = image_report(*parts, classes=CLASSES, name="digits", classifier=classifier)
    assert report.verdicts[0].level == report.verdicts[2].level == "good"
    assert report.figure("FD-cnn-digits").as_real


def test_copies_show(classifier):
    train, holdout = digits()
    copies = (train[0][:400], None)
    report = image_report(train, holdout, copies, classes=CLASSES, name="digits", classifier=classifier)
    assert report["Memorisation ratio"] == 0
    assert report["Memorisation test p"] < 0.01
    assert report.sections[1].html.count("exact copy") == 16
    assert any("Synthetic images carry no labels" in note for note in report.notes)
    assert "Recognised as its class" not in [one.name for one in report.figures]


def test_without_labels_and_holdout():
    (images, _), _ = digits()
    parts = []
    report = image_report(
        (images[:300], None), None, (images[300:400], None), name="digits", progress=lambda *part: parts.append(part)
    )
    assert "FD-cnn-rotations-digits" in [one.name for one in report.figures]
    assert all(one.floor is None for one in report.figures)
    assert any("No holdout" in note for note in report.notes)
    assert any("tells rotations" in note for note in report.notes)
    assert {one.level for one in report.verdicts} == {"unknown"}
    assert parts[0] == ("training a classifier of the real images", 0.0)


def test_pictures_of_other_channels():
    images = np.zeros((2, 5, 8, 8), np.uint8)
    assert "first three" in channels_shown(5)
    assert "first one" in channels_shown(2)
    assert channels_shown(3) is None
    assert 'width="98" height="48"' in picture(images, "two")
    assert 'width="98"' in picture(images[:, :2], "two")


def test_large_images_are_shrunk_and_keep_their_shape():
    images = np.zeros((3, 3, 200, 400), np.uint8)
    images[:, 1] = 130
    shown = picture(images, "three")
    assert 'width="292" height="48"' in shown  # three of 96 pixels, and two gaps
    noise = np.random.default_rng(0).integers(0, 256, (8, 3, 256, 256), np.uint8)
    # Of the worst images there are, ten rows of eight on both sides and 16 pairs leave room for the rest of the page.
    assert len(picture(noise, "noise")) / 8 * (2 * 80 + 32) < 8e6


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
    with opened(report.to_html(tmp_path / "report.html"), width=390, dark=True) as browser:
        browser.scroll_through()
        assert browser.complaints == []
        assert browser.asked == []
        assert browser.page.locator("img").count() == 2 * 10 + 16
        assert browser.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert "digit 7" in browser.page.inner_text("body")


def test_a_few_images_that_are_copied_again_and_again_are_no_good_sign(classifier):
    (train, labels), (holdout, others) = digits()
    again = np.arange(200) % 20
    report = image_report(
        (train, labels),
        (holdout[:60], others[:60]),
        (train[again], labels[again]),
        classes=CLASSES,
        name="digits",
        classifier=classifier,
    )
    privacy = next(one for one in report.verdicts if one.face == "privacy")
    assert privacy.level == "poor"
    assert "100.0 % of synthetic images are near copies" in privacy.text
    assert any(one.face == "privacy" for one in report.findings)


def test_images_of_one_class_are_images_without_labels():
    (train, labels), (holdout, others) = digits()
    zeros = [(images[own == 0], own[own == 0]) for images, own in ((train, labels), (holdout, others))]
    report = image_report(zeros[0], zeros[1], zeros[1], classes=["digit 0"], name="zeros")
    assert "FD-cnn-rotations-zeros" in [one.name for one in report.figures]
    assert any("tells rotations" in note for note in report.notes)
    assert next(one for one in report.verdicts if one.face == "utility").level == "unknown"


def test_guessing_the_largest_class_is_of_no_use():
    def uses(tstr, trtr, guessing=0.9, reach=0.01):
        estimates = (Estimate(value, value - reach, value + reach) for value in (trtr, tstr, trtr))
        return _utility([DownstreamAccuracy(*estimates, guessing)])

    assert uses(0.90, 0.94).level == "poor"
    assert uses(0.94, 0.94).level == "good"
    assert uses(0.90, 0.90).level == "unknown"
    assert "too small to tell them apart" in uses(0.91, 0.94, reach=0.05).text


def test_classes_that_real_images_do_not_have_are_not_missed(classifier):
    few = [(images[own < 2], own[own < 2]) for images, own in digits()]
    report = image_report(few[0], few[1], few[1], classes=CLASSES, name="two", classifier=classifier)
    assert not any("no synthetic image" in one.text for one in report.findings)
    ones = few[1][0][few[1][1] == 1], few[1][1][few[1][1] == 1]
    report = image_report(few[0], few[1], ones, classes=CLASSES, name="two", classifier=classifier)
    assert [one.text for one in report.findings if "image was made" in one.text] == [
        "digit 0: no synthetic image was made for it."
    ]


def test_a_small_holdout_tells_nothing_apart(classifier):
    (train, _), (holdout, _) = digits()
    levels = set()
    for start in range(0, 120, 12):
        report = Report("real images in the place of synthetic ones", "images")
        fresh = holdout[start + 150 : start + 162]
        add_features(report, classifier, train, (holdout[start : start + 12], None), fresh, 0)
        verdict = _fidelity(report)
        levels.add(verdict.level)
        if verdict.level != "good":
            assert "too small to tell them apart" in verdict.text
    assert len(levels) > 1


@pytest.mark.parametrize(("count", "shift"), [(100, 0.0), (100, 0.5)])
def test_the_kernel_distances_interval_is_as_wide_as_sides_differ(count, shift):
    random = np.random.default_rng(1)
    known = random.normal(size=(4000, 8)).astype(np.float32)
    found = [_kernel(random.normal(shift, 1, size=(count, 8)).astype(np.float32), known, seed) for seed in range(40)]
    spread = np.std([one.value for one in found], ddof=1)
    claimed = np.median([(one.high - one.low) / 2 / 1.96 for one in found])
    assert 0.6 < claimed / spread < 1.7
