import numpy as np
import pandas as pd
import pytest
from scipy import stats

from synthgen.errors import SynthgenError
from synthgen.metrics.table.fidelity import (
    column_shapes,
    correlation_matrix,
    pair_trends,
    shape_error,
    trend_error,
)
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


def _shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    """Every column by itself: the same shapes, no trends."""
    return pd.DataFrame({name: frame[name].sample(frac=1, random_state=i).to_numpy() for i, name in enumerate(frame)})
