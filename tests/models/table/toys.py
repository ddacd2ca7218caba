"""A small table whose joint distribution is known, and what models of tables learn of it."""

import numpy as np
import pandas as pd
import pytest

# Of the words a (rows) and b (columns).
JOINT = np.array([[0.30, 0.10, 0.05], [0.02, 0.08, 0.45]])
A, B = np.array(["low", "high"]), np.array(list("pqr"))
# Of the number x under each a, with a standard deviation of 1.
MEANS = {"low": 0.0, "high": 3.0}


def two_words_and_a_number():
    """6,000 rows of two words by `JOINT`, and a number that follows the first."""
    rng = np.random.default_rng(0)
    a, b = np.unravel_index(rng.choice(6, size=6000, p=JOINT.ravel()), JOINT.shape)
    return pd.DataFrame({"a": A[a], "b": B[b], "x": rng.normal(3.0 * a, 1.0)})


def check_joint(fitted, within):
    """The total variation distance between what was learned of the words and `JOINT`."""
    fake = fitted.sample(8000)
    learned = pd.crosstab(fake["a"], fake["b"], normalize=True).loc[A, B].to_numpy()
    assert np.abs(learned - JOINT).sum() / 2 < within


def check_number(fitted, mean_within, std=(0.0, np.inf)):
    """The mean of the number under each word, within so much, and its standard deviation, between two ends."""
    fake = fitted.sample(8000)
    for word, mean in MEANS.items():
        x = fake.loc[fake["a"] == word, "x"]
        assert abs(x.mean() - mean) < mean_within
        assert std[0] < x.std() < std[1]


def check_rejection(fitted, rate_within, mean_within):
    """A condition on both words is met by rejection, which is counted, and the number follows it."""
    fake = fitted.sample(3000, condition={"a": "low", "b": "p"})
    assert (fake["a"] == "low").all()
    assert (fake["b"] == "p").all()
    assert abs(fake["x"].mean()) < mean_within
    assert fitted.model.acceptance.rate == pytest.approx(JOINT[0, 0], abs=rate_within)
