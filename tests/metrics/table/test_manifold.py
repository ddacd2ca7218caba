"""Rows as points against distances by hand; alpha-precision and beta-recall against cases worked on paper."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import MinMaxScaler

from synthgen.errors import SynthgenError
from synthgen.metrics.table.manifold import alpha_precision_beta_recall, row_points, row_prdc
from tests.tables import people, schema_of

LINE = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0, 4.0]})


def distances(frame, reference=None, **options):
    (points,) = row_points([frame], schema_of(frame), reference=frame if reference is None else reference, **options)
    return cdist(points, points)


def test_a_mismatch_counts_like_the_ends_of_a_range():
    frame = pd.DataFrame({"x": [0.0, 10.0, 0.0, 5.0], "c": ["a", "a", "b", "c"]})
    expected = [[0, 1, 1, np.sqrt(1.25)], [1, 0, np.sqrt(2), np.sqrt(1.25)]]
    np.testing.assert_allclose(distances(frame, scaling="range")[:2], expected, atol=1e-12)
    np.testing.assert_allclose(distances(frame, scaling="range", mismatch=np.sqrt(2))[0, 2], np.sqrt(2), atol=1e-12)


def test_one_huge_value_neither_squeezes_nor_outweighs():
    frame = pd.DataFrame({"x": np.append(np.linspace(0, 100, 1001), 1e12)})
    apart = distances(frame)
    assert apart[0, 500] == pytest.approx(0.5, abs=0.02)
    assert 1.5 < apart[0, -1] <= 3
    assert distances(frame, scaling="range")[0, 500] < 1e-9


def test_a_number_that_is_nearly_always_zero_is_scaled_by_its_range():
    frame = pd.DataFrame({"x": np.append(np.zeros(999), 8.0)})
    assert distances(frame)[0, -1] == pytest.approx(1)


def test_missing_is_a_value():
    frame = pd.DataFrame({"x": [0.0, 1.0, 2.0, np.nan, np.inf], "c": ["a", None, "b", None, "a"]})
    x, c = distances(frame[["x"]], scaling="range"), distances(frame[["c"]])
    assert x[3, 4] == 0
    np.testing.assert_allclose(x[3, :3], [np.sqrt(1.25), 1, np.sqrt(1.25)])
    np.testing.assert_allclose(c[1], [1, 0, 1, 0, 1], atol=1e-12)


def test_many_values_keep_their_distances_in_few_dimensions():
    frame = pd.DataFrame({"c": [f"id{i}" for i in range(1000)] + ["id7"]})
    (points,) = row_points([frame], schema_of(frame), reference=frame)
    assert points.shape == (1001, 128)
    apart = cdist(points, points)
    assert apart[7, 1000] == 0
    others = apart[np.triu_indices(1000, 1)]
    assert others.mean() == pytest.approx(1, abs=0.01)
    assert others.std() < 0.06


def test_tables_that_differ_in_dtype_and_values_share_dimensions():
    real = pd.DataFrame({"c": ["a", "b"], "d": pd.to_datetime(["2020-01-01", "2020-01-03"])})
    schema = schema_of(real.assign(d=[0.0, 1.0]))
    other = pd.DataFrame({"c": pd.Categorical(["z", "b"]), "d": pd.to_datetime(["2020-01-02", None])})
    a, b = row_points([real, other], schema, reference=real, scaling="range")
    np.testing.assert_allclose(cdist(a, b), [[np.sqrt(1.25), np.sqrt(2.25)], [np.sqrt(1.25), np.sqrt(1.25)]])


def test_a_column_without_a_value_or_of_one_value_is_no_distance():
    frame = pd.DataFrame({"empty": [np.nan, np.nan], "k": ["x", "x"]})
    schema = schema_of(pd.DataFrame({"empty": [0.0, 1.0], "k": ["x", "x"]}))
    (points,) = row_points([frame], schema, reference=frame)
    assert (points[0] == points[1]).all()
    with pytest.raises(SynthgenError, match="unknown scaling 'rank'"):
        row_points([frame], schema, reference=frame, scaling="rank")


@pytest.mark.parametrize(
    ("synthetic", "alpha", "beta"),
    [
        # Copies. Scaled by 4, real points lie 0, ¼, ¼, ½, ½ from their mean: Q(α) < ¼ up to α = 7/29, < ½ up to 21/29,
        # so that P is .2, .6, 1, and Σ |α − P| = (21.2 + 57.4 + 28) / 29. All are covered: R is the same curve.
        ([0.0, 1.0, 2.0, 3.0, 4.0], 1 - 106.6 / 435, 1 - 106.6 / 435),
        # Four lie ½ from the real mean, one .4: P is 0 up to 18/29, .2 up to 21/29, then 1. Of real points the middle
        # one is not covered; nearest synthetic points lie .18, .18, .72, .72, .72 from their mean: R is .4, then .8.
        ([0.0, 0.0, 0.0, 0.0, 3.6], 1 - 241.6 / 435, 1 - 135 / 435),
        # All at the mean: P = 1 everywhere. Only the middle point is covered, by a point at the mean: R = .2.
        ([2.0, 2.0, 2.0, 2.0, 2.0], 0, None),
        # All far away.
        ([99.0, 98.0, 97.0, 96.0, 95.0], 0, 0),
    ],
)
def test_alpha_precision_and_beta_recall_on_paper(synthetic, alpha, beta):
    found = alpha_precision_beta_recall(LINE, pd.DataFrame({"x": synthetic}), schema_of(LINE))
    assert found.alpha_precision.value == pytest.approx(alpha, abs=1e-9)
    if beta is not None:
        assert found.beta_recall.value == pytest.approx(beta, abs=1e-9)


def test_alpha_precision_and_beta_recall_by_their_formula_on_mixed_rows():
    real, other = people(400, 0).dropna()[:300], people(400, 1).dropna()[:300]
    other = other.assign(age=other["age"] * 1.3, job=other["job"].sample(frac=1, random_state=0).to_numpy())
    found = alpha_precision_beta_recall(real, other, schema_of(real))

    one_hot = pd.get_dummies(pd.concat([real, other]).astype({"married": str}), dtype=float)
    scaler = MinMaxScaler().fit(one_hot[:300])
    a, b = scaler.transform(one_hot[:300]), scaler.transform(one_hot[300:])
    alphas = np.linspace(0, 1, 30)
    radii = np.quantile(np.linalg.norm(a - a.mean(0), axis=1), alphas)
    precision = (np.linalg.norm(b - a.mean(0), axis=1)[:, None] <= radii).mean(0)
    own = NearestNeighbors(n_neighbors=2).fit(a).kneighbors(a)[0][:, 1]
    near, which = NearestNeighbors(n_neighbors=1).fit(b).kneighbors(a)
    reached = np.linalg.norm(b[which[:, 0]] - b.mean(0), axis=1)
    recall = ((near <= own[:, None]) & (reached[:, None] <= np.quantile(reached, alphas))).mean(0)
    for estimate, curve in ((found.alpha_precision, precision), (found.beta_recall, recall)):
        assert estimate.value == pytest.approx(1 - np.abs(alphas - curve).sum() / alphas.sum(), abs=1e-9)


def test_another_sample_is_precise_and_covers_one_half():
    found = alpha_precision_beta_recall(people(2000, 0), people(1500, 1), schema_of(people(2000, 0)), rows=1000)
    assert found.alpha_precision.value > 0.95
    assert found.alpha_precision.low < found.alpha_precision.value < found.alpha_precision.high <= 1
    assert found.beta_recall.low < 0.5 < found.beta_recall.high + 0.05


def test_intervals_are_as_wide_as_figures_of_other_samples_spread():
    draws = [people(600, seed) for seed in range(2, 22)]
    found = [alpha_precision_beta_recall(a, b, schema_of(a)) for a, b in zip(draws[::2], draws[1::2])]
    spread = np.std([one.beta_recall.value for one in found], ddof=1)
    reach = np.mean([(one.beta_recall.high - one.beta_recall.low) / (2 * 1.96) for one in found])
    assert 0.5 < reach / spread < 2


def test_rows_are_subsampled_to_equal_sizes_and_by_the_seed():
    real, other = people(500, 0), people(300, 1)
    schema = schema_of(real)
    assert row_prdc(real, other, schema, rows=100, seed=3) == row_prdc(real, other, schema, rows=100, seed=3)
    assert row_prdc(real, other, schema, rows=100, seed=3) != row_prdc(real, other, schema, rows=100, seed=4)
    assert alpha_precision_beta_recall(real, other, schema, rows=None) == alpha_precision_beta_recall(
        real, other, schema, rows=300
    )


def test_prdc_of_rows():
    real, other = people(800, 0), people(800, 1)
    schema = schema_of(real)
    same, half = row_prdc(real, other, schema), row_prdc(real, real[real["age"] < 40], schema)
    assert min(same.precision, same.recall, same.coverage) > 0.9
    assert same.density == pytest.approx(1, abs=0.1)
    assert half.recall < 0.8
    far = row_prdc(real, other.assign(job="never seen", rich="never seen"), schema)
    assert far.precision < 0.2
    with pytest.raises(SynthgenError, match="at least 6 rows"):
        row_prdc(real, other[:5], schema)


def test_one_row_has_no_neighbour():
    with pytest.raises(SynthgenError, match="expected at least 2 rows of each table, found 1"):
        alpha_precision_beta_recall(LINE, LINE[:1], schema_of(LINE))
