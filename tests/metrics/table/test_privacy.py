import numpy as np
import pandas as pd
import pytest

from synthgen.errors import SynthgenError
from synthgen.metrics.table.privacy import copied_rows
from tests.tables import people


def test_share_of_rows_that_occur_in_training():
    train, fresh = people(500, 0).dropna(), people(400, 1).dropna()[:300]
    other = pd.concat([fresh, train.sample(100, random_state=0)], ignore_index=True)
    assert copied_rows(train, fresh) == 0
    assert copied_rows(train, other) == 0.25
    assert copied_rows(train, train.sample(frac=1, random_state=0)) == 1


def test_rows_are_equal_by_value_not_by_how_they_are_stored():
    train = pd.DataFrame({"n": [1, 2], "c": ["a", "b"], "m": [np.nan, 0.5], "f": [True, False]})
    stored = pd.DataFrame(
        {
            "f": pd.Series([1, 0]),
            "m": [None, 0.5],
            "c": pd.Categorical(["a", "b"], categories=["b", "a"]),
            "n": [1.0, 2.0],
        }
    )
    assert copied_rows(train, stored) == 1
    assert copied_rows(stored, train) == 1
    assert copied_rows(train, stored.astype({"n": "Int64", "m": object})) == 1


def test_zeros_and_nans_have_one_face():
    train = pd.DataFrame({"x": [0.0, np.nan]})
    assert copied_rows(train, pd.DataFrame({"x": [-0.0, -np.nan]})) == 1


def test_one_cell_is_enough_to_differ():
    train = pd.DataFrame({"id": [2**60], "c": ["a"]})
    assert copied_rows(train, pd.DataFrame({"id": [2**60 + 1], "c": ["a"]})) == 0
    assert copied_rows(train, pd.DataFrame({"id": [2**60], "c": [None]})) == 0
    # Codes of two columns must not be exchanged for each other.
    assert copied_rows(pd.DataFrame({"a": ["x", "y"], "b": ["y", "x"]}), pd.DataFrame({"a": ["x"], "b": ["x"]})) == 0


def test_errors():
    train = people(10, 0)
    with pytest.raises(SynthgenError, match="no column 'job'"):
        copied_rows(train, train.drop(columns="job"))
    with pytest.raises(SynthgenError, match="no rows"):
        copied_rows(train, train[:0])
