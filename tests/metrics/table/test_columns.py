import numpy as np
import pandas as pd
import pytest

from synthgen.errors import SynthgenError
from synthgen.metrics.table.columns import checked, joint_codes, numbers, value_codes
from tests.tables import schema_of


def test_values_count_by_what_they_equal():
    stored = [
        pd.Series([1, 0, 1]),
        pd.Series([1.0, 0.0, np.nan]),
        pd.Series([True, False, True]),
        pd.Series(pd.Categorical([1, 0, 1], categories=[1, 0])),
        pd.Series([1, 0, None], dtype="Int64"),
    ]
    codes, values = value_codes(stored, known=(0, 1))
    assert values == [0, 1]
    assert [list(part) for part in codes] == [[1, 0, 1], [1, 0, 2], [1, 0, 1], [1, 0, 1], [1, 0, 2]]


def test_a_new_value_gets_a_code_of_its_own():
    codes, values = value_codes([pd.Series(["a", "b"]), pd.Series(["b", "z", None])], known=("a", "b"))
    assert values == ["a", "b", "z"]
    assert list(codes[1]) == [1, 2, 3]


def test_dates_are_seconds_whatever_their_unit():
    dates = pd.Series(pd.to_datetime(["1970-01-02", None]))
    for series in (dates.astype("datetime64[s]"), dates.astype("datetime64[ns]"), dates.dt.tz_localize("UTC")):
        np.testing.assert_array_equal(numbers(series), [86400, np.nan])


def test_infinite_counts_as_missing_and_text_is_refused():
    np.testing.assert_array_equal(numbers(pd.Series([1.0, np.inf])), [1, np.nan])
    with pytest.raises(SynthgenError, match="column 'age' is numerical"):
        numbers(pd.Series(["old"], name="age"))


def test_huge_columns_do_not_make_huge_tables():
    first, second = [np.array([0, 10**6]), np.array([0, 5])], [np.array([7, 10**6]), np.array([7, 5])]
    (a, b), cells = joint_codes(first, second, (10**7, 10**7))
    assert cells == 3
    assert a[0] == b[0]
    assert len({a[0], a[1], b[1]}) == 3


def test_numbers_among_words_are_words():
    schema = schema_of(pd.DataFrame({"code": ["1", "2", "x"]}))
    found = checked(pd.DataFrame({"code": pd.Series([1, 2, "x"], dtype=object)}), schema, "synthetic")
    assert found["code"].tolist() == ["1", "2", "x"]
    large = checked(pd.DataFrame({"code": [1e20, np.nan]}), schema, "synthetic")
    assert large["code"].tolist()[0] == "1e+20"
