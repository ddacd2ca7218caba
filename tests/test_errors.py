import numpy as np
import pytest
import torch

from synthgen.errors import SynthgenError, nearest, out_of_memory


def test_the_user_error_is_a_value_error():
    assert issubclass(SynthgenError, ValueError)


@pytest.mark.parametrize(
    ("name", "valid", "expected"),
    [
        ("incme", ["age", "income"], "did you mean 'income'?"),
        ("zzz", ["age", "income"], "choose from 'age', 'income'"),
        (7, [70, 8], "did you mean '70'?"),
        ("x", [], "choose from "),
    ],
)
def test_nearest_names_the_closest_or_all(name, valid, expected):
    assert nearest(name, valid) == expected


def test_nearest_lists_at_most_twelve_and_counts_the_rest():
    hint = nearest("zzz", [f"column {i}" for i in range(15)], what="columns are")
    assert hint.startswith("columns are 'column 0', 'column 1'")
    assert "'column 11' and 3 more" in hint
    assert "column 12" not in hint
    assert "more" not in nearest("zzz", [f"column {i}" for i in range(12)])


@pytest.mark.parametrize("allocate", [np.empty, torch.empty])
def test_what_could_not_be_allocated_is_said_by_whatever_library_wanted_it(allocate):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate(10**15)
    assert out_of_memory(caught.value).startswith("out of memory: ")
    assert "allocate" in out_of_memory(caught.value)


def test_an_error_about_something_else_is_not_one_about_memory():
    assert out_of_memory(RuntimeError("shapes differ")) is None
    assert out_of_memory(ValueError("out of memory")) is None
    assert out_of_memory(MemoryError()) == "out of memory: no more to be had"
