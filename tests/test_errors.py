import pytest

from synthgen.errors import SynthgenError, nearest


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
