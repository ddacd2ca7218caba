from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from synthgen.data.tables.schema import infer_schema, measured_schema
from synthgen.data.tables.wishes import read_schema
from synthgen.errors import SynthgenError
from synthgen.layout import MAX_MEASURED, Kind


def column(values, dtype=None):
    return infer_schema(pd.DataFrame({"x": pd.Series(values, dtype=dtype)}))["x"]


@pytest.mark.parametrize(
    ("values", "dtype", "kind"),
    [
        ([1, 2, 3], "int64", Kind.NUMERICAL),
        ([1.5, None, 2], "float32", Kind.NUMERICAL),
        ([1, None, 2], "Int64", Kind.NUMERICAL),
        ([0, 1, 0], "int64", Kind.NUMERICAL),
        ([True, False], "bool", Kind.BOOLEAN),
        ([True, None, False], "boolean", Kind.BOOLEAN),
        ([True, None, False], "object", Kind.BOOLEAN),
        (["a", None, "b"], "str", Kind.CATEGORICAL),
        (["1", "2"], "str", Kind.CATEGORICAL),
        ([3, 1, 3], "category", Kind.CATEGORICAL),
        ([1, "a", 2.5], "object", Kind.CATEGORICAL),
        ([5, 5], "int64", Kind.CONSTANT),
        (["a", "a"], "str", Kind.CONSTANT),
        ([None, None], "object", Kind.CONSTANT),
        ([None, None], "float64", Kind.CONSTANT),
        ([True, True], "bool", Kind.CONSTANT),
        ([5, None], "float64", Kind.NUMERICAL),  # a value and a missing cell are two
        (["a", None], "str", Kind.CATEGORICAL),
    ],
)
def test_kind_follows_from_the_values(values, dtype, kind):
    assert column(values, dtype).kind is kind
    assert column(values, dtype).dtype == dtype


def test_categories_are_sorted_numbers_before_words_and_plain():
    categories = column(["b", 2, "a", 1.5, None, 2], "object").categories
    assert categories == (1.5, 2, "a", "b")
    assert [type(value) for value in categories] == [float, int, str, str]
    assert [type(value) for value in column(np.array([3, 1, 3]), "category").categories] == [int, int]


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([1.0, 250.0], 0),
        ([1.0, 0.5], 1),
        ([0.1 + 0.2, 7.25], 2),
        ([1e9 + 0.01, 2e9], 2),
        ([1.7e9 + 0.125, 1.7e9], 3),
        ([1e-12, 1.0], 12),
        ([1e-13, 1.0], None),
        ([1 / 3, 1.0], None),
        ([1e300, 0.5], 1),
    ],
)
def test_decimals_are_the_fewest_that_write_every_number(values, decimals):
    assert column(values).decimals == decimals


def test_decimals_of_single_precision_are_those_it_was_written_with():
    assert column([0.1, 123.45], "float32").decimals == 2


def test_range_and_missing_rate_are_those_of_the_column():
    age = column([30, None, -5.5, 99], "float64")
    assert (age.minimum, age.maximum, age.missing_rate) == (-5.5, 99, 0.25)
    assert column([1, 2]).missing_rate == 0


def test_infinite_numbers_are_refused_by_the_name_of_their_column():
    with pytest.raises(SynthgenError, match="column 'x': found 2 infinite values, expected numbers; make them missing"):
        column([1.0, np.inf, -np.inf, 3.0])


@pytest.mark.parametrize("said", [{"target": "x"}, {"wanted": read_schema({"columns": {"x": "numerical"}})}])
def test_infinite_numbers_are_refused_of_a_target_and_of_what_a_person_calls_a_number(said):
    with pytest.raises(SynthgenError, match="column 'x': found 1 infinite values"):
        infer_schema(pd.DataFrame({"x": [1.5, np.inf, 2.5, 3.5]}), **said)


def test_metrics_take_infinite_numbers_for_missing_with_a_warning():
    with pytest.warns(UserWarning, match="column 'x': 2 infinite values count as missing"):
        x = measured_schema(pd.DataFrame({"x": [1.0, np.inf, -np.inf, 3.0]}))["x"]
    assert (x.minimum, x.maximum, x.missing_rate) == (1, 3, 0.5)


def test_columns_keep_their_order_and_take_names_that_are_not_text():
    frame = pd.DataFrame([[1, "a", True]] * 2, columns=["b", 7, "a"])
    assert infer_schema(frame, target="7").names == ["b", "7", "a"]
    assert infer_schema(frame, target="7").target == "7"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame(), "the table has 0 rows and 0 columns"),
        (pd.DataFrame({"x": []}), "the table has 0 rows and 1 columns"),
        (pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), "column 'a' occurs 2 times"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "column '1' occurs 2 times"),
        (pd.DataFrame({"x": [Decimal("1.5"), Decimal(2)]}), "column 'x': .* type Decimal"),
        (pd.DataFrame({"x": [b"a", b"b"]}), "column 'x': .* type bytes"),
        (pd.DataFrame({"x": [[1], [2]]}), "column 'x': .* type list; expected text, numbers or booleans"),
        (pd.DataFrame({"x": [{"a": 1}, {"a": 2}]}), "column 'x': .* type dict"),
        (pd.DataFrame({"x": ["a", "b"]}), "target 'y' is not a column"),
    ],
)
def test_tables_that_no_codec_knows_are_refused(frame, message):
    with pytest.raises(SynthgenError, match=message):
        infer_schema(frame, target="y" if "target" in message else None)


def test_metrics_refuse_a_column_of_more_words_than_they_count_and_dates():
    frame = pd.DataFrame({"name": [f"person {i}" for i in range(MAX_MEASURED + 1)]})
    with pytest.raises(SynthgenError, match="column 'name': found 10,001 different words in 10,001 rows"):
        measured_schema(frame)
    assert len(measured_schema(frame[1:])["name"].categories) == MAX_MEASURED
    with pytest.raises(SynthgenError, match="column 'x': found dates"):
        measured_schema(pd.DataFrame({"x": pd.to_datetime(["2020-01-01", None])}))
