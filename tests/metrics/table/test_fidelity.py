import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from synthgen.data.tables.schema import infer_schema
from synthgen.errors import SynthgenError
from synthgen.metrics.table.fidelity import (
    column_shapes,
    correlation_matrix,
    pair_trends,
    shape_error,
    trend_error,
)
from synthgen.metrics.table.privacy import copied_rows
from tests.tables import people, schema_of


@pytest.fixture(scope="module")
def two_samples():
    return people(3000, 0), people(2500, 1)


def test_numerical_shape_is_scipys_kolmogorov_smirnov(two_samples):
    real, other = two_samples
    shapes = column_shapes(real, other, schema_of(real))
    for name in ("age", "pay"):
        expected = 1 - stats.ks_2samp(real[name].dropna(), other[name].dropna()).statistic
        assert shapes[name] == pytest.approx(expected, abs=1e-12)


def test_categorical_shape_by_hand():
    real = pd.DataFrame({"c": ["a", "a", "b", None]})
    synthetic = pd.DataFrame({"c": ["a", "z", None, None]})
    # Shares: a .50 .25, b .25 0, z 0 .25, missing .25 .50: half of .25 × 4.
    assert column_shapes(real, synthetic, schema_of(real))["c"] == pytest.approx(0.5)


def test_constant_and_empty_columns_count():
    real = pd.DataFrame({"k": ["x", "x"], "n": [1.0, 2.0]})
    synthetic = pd.DataFrame({"k": ["x", "y"], "n": [np.nan, np.nan]})
    shapes = column_shapes(real, synthetic, schema_of(real))
    assert shapes.to_dict() == {"k": 0.5, "n": 0.0}
    assert shape_error(real, synthetic, schema_of(real)) == 0.75


def test_codes_of_a_pandas_categorical_do_not_matter(two_samples):
    real, other = two_samples
    recoded = other.assign(job=pd.Categorical(other["job"], categories=["shop", "office", "farm"]))
    schema = schema_of(real)
    pd.testing.assert_series_equal(column_shapes(real, other, schema), column_shapes(real, recoded, schema))
    pd.testing.assert_frame_equal(pair_trends(real, other, schema), pair_trends(real, recoded, schema))


def test_numerical_trend_is_the_difference_of_pearsons(two_samples):
    real, other = two_samples
    similarity = pair_trends(real, other, schema_of(real))
    # pandas leaves out the rows where either is missing, pair by pair.
    expected = 1 - abs(real["age"].corr(real["pay"]) - other["age"].corr(other["pay"])) / 2
    assert similarity.loc["age", "pay"] == pytest.approx(expected, abs=1e-12)


def test_opposite_correlation_is_the_worst():
    x = np.linspace(-1, 1, 50)
    real = pd.DataFrame({"x": x, "y": 3e9 * x + 5})
    synthetic = pd.DataFrame({"x": x, "y": -2e-9 * x})
    assert pair_trends(real, synthetic, schema_of(real)).loc["x", "y"] == pytest.approx(0)
    assert trend_error(real, synthetic, schema_of(real)) == pytest.approx(1)


def test_correlation_that_is_undefined_is_none():
    real = pd.DataFrame({"x": np.arange(9.0), "y": np.arange(9.0)})
    synthetic = real.assign(y=0.1)
    assert trend_error(real, synthetic, schema_of(real)) == pytest.approx(0.5)


def test_mixed_trend_against_crosstab(two_samples):
    real, other = two_samples
    other = other.assign(age=other["age"] * 1.5)  # beyond the real range
    edges = np.linspace(real["age"].min(), real["age"].max(), 11)
    tables = []
    for side in (real, other):
        bins = pd.cut(side["age"].clip(edges[0], edges[-1]), edges, right=False, labels=False).fillna(9)
        tables.append(pd.crosstab(bins, side["rich"], normalize="all"))
    a, b = tables[0].align(tables[1], fill_value=0)
    expected = 1 - np.abs(a - b).to_numpy().sum() / 2
    similarity = pair_trends(real, other, schema_of(real))
    assert similarity.loc["age", "rich"] == similarity.loc["rich", "age"] == pytest.approx(expected, abs=1e-12)


def test_missing_is_a_bin_of_its_own():
    real = pd.DataFrame({"n": [0.0, 1.0, np.nan, np.nan], "c": list("aabb")})
    synthetic = pd.DataFrame({"n": [0.0, 1.0, 0.0, 1.0], "c": list("aabb")})
    assert pair_trends(real, synthetic, schema_of(real)).loc["n", "c"] == pytest.approx(0.5)


def test_identical_tables_have_no_error_and_single_columns_no_trend(two_samples):
    real, _ = two_samples
    schema = schema_of(real)
    assert shape_error(real, real, schema) == trend_error(real, real, schema) == 0
    assert np.isnan(trend_error(real[["age"]], real[["age"]], schema_of(real[["age"]])))
    trends = pair_trends(real, real, schema)
    assert list(trends.index) == list(trends.columns) == list(real.columns)
    assert np.isnan(np.diag(trends)).all()


def test_shuffled_columns_keep_shapes_and_lose_trends(two_samples):
    real, other = two_samples
    shuffled = _shuffled(other)
    schema = schema_of(real)
    assert shape_error(real, shuffled, schema) == shape_error(real, other, schema)
    assert trend_error(real, shuffled, schema) > 2 * trend_error(real, other, schema)


def test_association_against_scipy_and_pandas(two_samples):
    real, _ = two_samples
    matrix = correlation_matrix(real, schema_of(real))
    assert matrix.loc["age", "pay"] == pytest.approx(real["age"].corr(real["pay"]), abs=1e-12)
    crosstab = pd.crosstab(real["job"], real["rich"])
    expected = stats.contingency.association(crosstab, method="cramer")
    assert matrix.loc["rich", "job"] == matrix.loc["job", "rich"] == pytest.approx(expected, abs=1e-12)
    present = real.dropna()
    means = present.groupby("job")["pay"].transform("mean")
    eta = np.sqrt(means.var(ddof=0) / present["pay"].var(ddof=0))
    assert matrix.loc["job", "pay"] == pytest.approx(eta, abs=1e-12)
    assert (np.diag(matrix) == 1).all()
    assert (matrix["country"].drop("country").abs() < 1e-12).all()


def test_association_of_columns_with_many_values():
    values = [f"id{i}" for i in range(500)]
    frame = pd.DataFrame({"a": values, "b": values[::-1]})
    assert correlation_matrix(frame, schema_of(frame)).loc["a", "b"] == pytest.approx(1)


def test_an_absent_column_is_named():
    real = people(20, 0)
    with pytest.raises(SynthgenError, match=r"the synthetic table has no column 'age': did you mean 'aged'\?"):
        column_shapes(real, real.rename(columns={"age": "aged"}), schema_of(real))
    with pytest.raises(SynthgenError, match="the real table has no rows"):
        pair_trends(real[:0], real, schema_of(real))


def assert_sdmetrics_agrees(sdmetrics, kinds, real, synthetic, schema):
    ours, pairs = column_shapes(real, synthetic, schema), pair_trends(real, synthetic, schema)
    errors = shape_error(real, synthetic, schema), trend_error(real, synthetic, schema)
    dates = {name: "int64" for name in schema.names if real[name].dtype.kind == "M"}  # its bins are of numbers alone
    sides = real.astype(dates), synthetic.astype(dates)
    columns = sdmetrics("shapes", *sides, kinds(schema))
    trends = {(first, second): score for first, second, score in sdmetrics("trends", *sides, kinds(schema))}
    assert ours.to_dict() == pytest.approx(columns, abs=1e-6)
    assert {names: pairs.loc[names] for names in trends} == pytest.approx(trends, abs=1e-6)
    assert errors[0] == pytest.approx(1 - np.mean(list(columns.values())), abs=1e-6)
    assert errors[1] == pytest.approx(1 - np.mean(list(trends.values())), abs=1e-6)


def test_shape_and_trend_are_sdmetrics_on_a_mixed_table(two_samples, sdmetrics, kinds):
    # Numbers and dates with missing cells; its TVComplement leaves missing categories out, which ours counts.
    real, other = (
        side.assign(
            born=pd.Timestamp("2024-01-01") - pd.to_timedelta(side["age"] * 365, unit="D"),
            hours=np.random.default_rng(len(side)).integers(1, 100, len(side)).astype(float),
        ).drop(columns="country")
        for side in two_samples
    )
    other = _shuffled(other).assign(age=other["age"] * 1.2)  # beyond the real range too
    schema = schema_of(real.assign(born=0.5 * real["age"]))
    assert schema["born"].numerical
    assert_sdmetrics_agrees(sdmetrics, kinds, real, other, schema)


def test_shape_and_trend_are_sdmetrics_on_adult(sdmetrics, kinds):
    folder = os.environ.get("SYNTHGEN_DATA")
    if not folder:
        pytest.skip("SYNTHGEN_DATA is not set")
    real, other = (pd.read_csv(Path(folder) / f"tables/adult/{split}.csv") for split in ("train", "test"))
    assert_sdmetrics_agrees(sdmetrics, kinds, real, _shuffled(other), infer_schema(real))


def test_the_trend_of_sdmetrics_report_bins_each_side_by_its_own_range(two_samples, sdmetrics, kinds):
    real = two_samples[0][["age", "job"]]
    schema = schema_of(real)
    stretched = real.assign(age=real["age"] * 3)
    # Three times the age, in three times the range.
    assert sdmetrics("report", real, stretched, kinds(schema)) == pytest.approx(1)
    assert pair_trends(real, stretched, schema).loc["age", "job"] < 0.5
    # Clipped to the real range, and with both its ends, both lay the same bins; but that theirs gives the largest value
    # one of its own.
    low, high = real["age"].min(), real["age"].max()
    clipped = stretched.assign(age=stretched["age"].clip(low, high - 0.01))
    clipped.iloc[:2, 0] = low, high
    ours = pair_trends(real, clipped, schema).loc["age", "job"]
    assert sdmetrics("report", real, clipped, kinds(schema)) == pytest.approx(ours, abs=2 / len(real))


def _shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    """Every column by itself: the same shapes, no trends."""
    return pd.DataFrame({name: frame[name].sample(frac=1, random_state=i).to_numpy() for i, name in enumerate(frame)})


@pytest.mark.parametrize("rows", [7, 100, 1000])
def test_a_number_that_does_not_vary_goes_with_nothing(rows):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": np.full(rows, 0.1), "c": random.choice(["a", "b"], rows)})
    schema = schema_of(frame.assign(x=random.random(rows)))
    assert correlation_matrix(frame, schema).loc["x", "c"] == 0


@pytest.mark.parametrize("narrow", ["float32", "Float32"])
def test_narrow_floats_are_the_decimals_that_they_stand_for(narrow):
    wide = pd.DataFrame({"x": np.random.default_rng(0).choice([0, 0.1, 0.2, 0.3], 500)})
    for real, other in ((wide.astype(narrow), wide), (wide, wide.astype(narrow))):
        assert column_shapes(real, other, schema_of(wide))["x"] == 1
        assert copied_rows(real, other).value == 1
