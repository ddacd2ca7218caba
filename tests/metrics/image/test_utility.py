import numpy as np
import pytest

from synthgen.errors import SynthgenError
from synthgen.metrics.image.classifier import train_classifier
from synthgen.metrics.image.fidelity import recognised
from synthgen.metrics.image.utility import downstream_accuracy
from synthgen.metrics.intervals import proportion
from tests.images import digits

BUDGET = 4000


def test_good_synthetic_images_are_worth_real_ones_and_bad_ones_are_not():
    (images, labels), holdout = digits()
    real, good = (images[:700], labels[:700]), (images[700:], labels[700:])
    told = []
    found = downstream_accuracy(real, holdout, good, 10, budget=BUDGET, progress=told.append)
    assert found.trtr.value > 0.9
    assert abs(found.tstr.value - found.trtr.value) < 0.05
    assert found.both.value > 0.9
    assert told == sorted(told)
    assert told[-1] == 1
    # Labels that are wrong by one teach to be wrong by one.
    bad = (good[0], (good[1] + 1) % 10)
    misled = downstream_accuracy(real, holdout, bad, 10, budget=BUDGET)
    assert misled.tstr.high < 0.1
    assert misled.tstr.high < misled.both.value < misled.trtr.value
    assert misled.trtr == found.trtr


def test_figures_are_those_of_classifiers_trained_by_hand():
    (images, labels), holdout = digits()
    real, synthetic = (images[:300], labels[:300]), (images[300:900], labels[300:900])
    known = train_classifier(*real, 10, budget=1000)
    found = downstream_accuracy(real, holdout, synthetic, 10, budget=1000, classifier=known)
    assert found.trtr == recognised(known, *holdout)
    alone = train_classifier(*synthetic, 10, budget=1000)
    hits = int((alone.predict(holdout[0]) == holdout[1]).sum())
    assert found.tstr == proportion(hits, len(holdout[0]))
    both = train_classifier(images[:900], labels[:900], 10, budget=1000)
    assert found.both == recognised(both, *holdout)


def test_all_see_as_many_images_however_many_there_are(monkeypatch):
    (images, labels), holdout = digits()
    budgets = []

    def watched(*arguments, **settings):
        budgets.append(arguments[4])
        return train_classifier(*arguments[:4], 64, **settings)

    monkeypatch.setattr("synthgen.metrics.image.utility.train_classifier", watched)
    downstream_accuracy((images[:50], labels[:50]), holdout, (images, labels), 10)
    assert budgets == [1000, 1000, 1000]


def test_images_of_one_class_teach_its_name():
    (images, labels), holdout = digits()
    sevens = images[labels == 7], labels[labels == 7]
    found = downstream_accuracy((images[:300], labels[:300]), holdout, sevens, 10, budget=640)
    assert found.tstr == proportion(int((holdout[1] == 7).sum()), len(holdout[1]))
    assert found.both.value > found.tstr.value


def test_errors():
    (images, labels), holdout = digits()
    with pytest.raises(SynthgenError, match="expected labels 0 to 4, found 0 to 9"):
        downstream_accuracy((images, labels), holdout, (images, labels), 5)
    with pytest.raises(SynthgenError, match="one label an image"):
        downstream_accuracy((images, labels), (holdout[0], holdout[1][:3]), (images, labels), 10, budget=64)
    with pytest.raises(SynthgenError, match="reads images of shape"):
        downstream_accuracy(
            (images, labels), (np.zeros((2, 1, 9, 9), np.uint8), labels[:2]), (images, labels), 10, budget=64
        )
