"""Groups against fairlearn and hand-worked shares."""

import math

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import accuracy_score, mean_absolute_error, roc_auc_score

from synthgen.data.tables.schema import infer_schema
from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind, TableSchema
from synthgen.metrics.table.fairness import group_scores, representation
from synthgen.metrics.table.scores import Predictions
from synthgen.metrics.table.utility import utility
from tests.tables import people, schema_of

REAL = pd.DataFrame({"sex": ["f", "f", "m", None], "x": [1, 2, 3, 4]})


def test_the_largest_gap_counts():
    fake = pd.DataFrame({"sex": ["f", "m", "m", "m"], "x": [1, 2, 3, 4]})
    assert representation(REAL, fake, infer_schema(REAL), ["sex"]).largest_gap.value == pytest.approx(0.5)


def test_equal_shares_have_no_gap_whatever_the_size():
    assert representation(REAL, pd.concat([REAL, REAL]), infer_schema(REAL), ["sex"]).largest_gap.value == 0


def test_an_unknown_column_is_named():
    with pytest.raises(SynthgenError, match="did you mean 'sex'"):
        representation(REAL, REAL, infer_schema(REAL), ["sexx"])


def test_intersections_by_hand():
    real = pd.DataFrame({"sex": list("ffmm") * 10, "old": [True, False] * 20})
    made = pd.DataFrame({"sex": list("ffff") * 10, "old": [True, False, False, False] * 10})
    found = representation(real, made, schema_of(real), ["sex", "old"])
    assert found.shares["real"].to_dict() == {
        "sex f, old False": 0.25,
        "sex f, old True": 0.25,
        "sex m, old False": 0.25,
        "sex m, old True": 0.25,
    }
    assert found.shares["gap"].tolist() == [0.5, 0, -0.25, -0.25]
    assert found.largest_gap.value == 0.5
    assert 0.25 < found.largest_gap.low < 0.5 < found.largest_gap.high < 0.75
    assert found.vanished == ("sex m, old False", "sex m, old True")
    # Of ten rows 2½ were to be expected, and none is no wonder.
    assert representation(real, made[:10], schema_of(real), ["sex", "old"]).vanished == ()


def test_one_column_has_the_gap_of_its_categories():
    real, made = people(500, 0), people(400, 1)
    schema = schema_of(real)
    found = representation(real, made, schema, ["job"])
    shares = [side["job"].value_counts(normalize=True) for side in (real, made)]
    assert found.largest_gap.value == pytest.approx((shares[0] - shares[1]).abs().max())
    again = representation(real, made, schema, ["job"])
    assert again.largest_gap == found.largest_gap


def test_the_interval_of_the_gap_is_that_of_resampled_rows():
    real, made = people(300, 0), people(300, 1)
    schema = schema_of(real)
    random = np.random.default_rng(0)

    def drawn(side: pd.DataFrame) -> pd.Series:
        return side["job"].iloc[random.integers(300, size=300)].value_counts(normalize=True)

    gaps = [drawn(real).sub(drawn(made), fill_value=0).abs().max() for _ in range(200)]
    found = representation(real, made, schema, ["job"], resamples=2000).largest_gap
    assert found.high - found.value == pytest.approx(1.96 * np.std(gaps), rel=0.2)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (np.arange(8.0), ["x up to 1", "x over 1 to 3", "x over 3 to 5", "x over 5"]),
        ([0.0, 0.0, 1.0], ["x up to 0", "x over 0"]),
        ([0.0] * 90 + [1.0, 2, 3, 4, 5], ["x up to 0", "x over 0"]),
        ([0.0, 1.0, 2, 3, 4] + [5.0] * 90, ["x up to 4", "x over 4"]),
        ([1.0, np.nan, np.inf], ["x present", "x missing"]),
        ([np.nan], ["x missing"]),
    ],
)
def test_numbers_are_cut_at_real_quartiles(values, names):
    real = pd.DataFrame({"x": values})
    schema = TableSchema((Column("x", Kind.NUMERICAL, "float64"),))
    found = representation(real, real, schema, ["x"])
    assert found.shares.index.tolist() == names
    assert found.shares["real"].sum() == pytest.approx(1)


def test_groups_have_names_of_their_own():
    odd = pd.DataFrame({"x": pd.Series([1, "1", "missing", None], dtype=object)})
    schema = TableSchema((Column("x", Kind.CATEGORICAL, "object"),))
    assert representation(odd, odd, schema, ["x"]).shares.index.tolist() == [
        "x 1",
        "x '1'",
        "x 'missing'",
        "x missing",
    ]
    dates = pd.DataFrame({"d": pd.to_datetime(["2020-01-01", "2021-01-01"])})
    schema = TableSchema((Column("d", Kind.NUMERICAL, "datetime64[ns]"),))
    assert representation(dates, dates, schema, ["d"]).shares.index[0] == "d up to 2020-01-01 00:00:00"
    many = pd.DataFrame({"id": [f"id {i}" for i in range(100_000)]})
    assert representation(many, many, schema_of(many), ["id"], resamples=2).largest_gap.value == 0


@pytest.fixture(scope="module")
def scored():
    train, holdout = people(1500, 0), people(1200, 1)
    holdout.loc[::17, "job"] = None
    schema = schema_of(train)
    learned = utility(train, holdout, train, schema, "rich")["TRTR"].predictions
    return train, holdout, schema, learned


def test_two_classes_are_fairlearns_figures(scored):
    train, holdout, schema, predictions = scored
    found = group_scores(predictions, holdout, train, schema, ["job"])
    truth = (predictions.truth == predictions.positive).astype(int)
    chosen = (predictions.chosen == predictions.positive).astype(int)
    jobs = "job " + holdout["job"].fillna("missing")
    expected = MetricFrame(
        metrics={
            "accuracy": accuracy_score,
            "selection rate": selection_rate,
            "true positive rate": true_positive_rate,
            "false positive rate": false_positive_rate,
        },
        y_true=truth,
        y_pred=chosen,
        sensitive_features=jobs,
    ).by_group
    assert found.rows == jobs.value_counts().to_dict()
    for name in expected:
        assert {group: one.value for group, one in found.by_group[name].items()} == pytest.approx(
            expected[name].to_dict()
        )
    score = predictions.predicted[:, predictions.positive]
    areas = {job: roc_auc_score(truth[jobs == job], score[jobs == job]) for job in jobs.unique()}
    assert {group: one.value for group, one in found.by_group["AUC"].items()} == pytest.approx(areas)
    parity = demographic_parity_difference(truth, chosen, sensitive_features=jobs)
    assert found.differences["demographic parity difference"].value == pytest.approx(parity)
    odds = equalized_odds_difference(truth, chosen, sensitive_features=jobs)
    assert found.differences["equalized odds difference"].value == pytest.approx(odds)
    assert found.differences["AUC difference"].value == pytest.approx(max(areas.values()) - min(areas.values()))
    assert list(found.differences) == [
        "accuracy difference",
        "demographic parity difference",
        "equalized odds difference",
        "AUC difference",
    ]


def test_intervals_are_those_of_resampled_rows(scored):
    train, holdout, schema, predictions = scored
    found = group_scores(predictions, holdout, train, schema, ["married"], resamples=1000)
    chosen = (predictions.chosen == predictions.positive).astype(int)
    random = np.random.default_rng(0)
    married = holdout["married"].to_numpy()
    gaps = []
    for _ in range(500):
        rows = random.integers(len(married), size=len(married))
        gaps.append(abs(chosen[rows][married[rows]].mean() - chosen[rows][~married[rows]].mean()))
    parity = found.differences["demographic parity difference"]
    assert parity.high - parity.value == pytest.approx(1.96 * np.std(gaps), rel=0.15)
    rate = found.by_group["selection rate"]["married True"]
    share = chosen[married].mean()
    assert rate.high - rate.value == pytest.approx(1.96 * np.sqrt(share * (1 - share) / married.sum()), rel=0.15)


def test_synthetic_rows_that_are_unjust_make_an_unjust_model(scored):
    train, holdout, schema, _ = scored
    unjust = train.assign(rich=np.where(train["job"] == "farm", "no", train["rich"]))
    learned = utility(train, holdout, unjust, schema, "rich")
    found = {
        name: group_scores(learned[name].predictions, holdout, train, schema, ["job"]).differences
        for name in ("TSTR", "TRTR")
    }
    odds = "equalized odds difference"
    assert found["TSTR"][odds].low > found["TRTR"][odds].high


def test_many_classes_and_numbers(scored):
    train, holdout, schema, _ = scored
    many = utility(train, holdout, train, schema, "job")["TSTR"].predictions
    kept = holdout.iloc[many.rows]
    found = group_scores(many, holdout, train, schema, ["married", "age"])
    assert found.rows.keys() == {
        f"married {married}, age {age}"
        for married in (True, False)
        for age in [group.removeprefix("age ") for group in representation(train, kept, schema, ["age"]).shares.index]
    }
    assert set(found.by_group) == {"accuracy"} | {f"selection rate ({job})" for job in ("farm", "office", "shop")}
    assert list(found.differences) == ["accuracy difference", "demographic parity difference"]
    rates = [
        [one.value for one in found.by_group[f"selection rate ({job})"].values()] for job in ("farm", "office", "shop")
    ]
    widest = max(max(rate) - min(rate) for rate in rates)
    assert found.differences["demographic parity difference"].value == pytest.approx(widest)

    number = utility(train, holdout, train, schema, "pay")["TSTR"].predictions
    kept = holdout.iloc[number.rows]
    found = group_scores(number, holdout, train, schema, ["married"])
    for married in (True, False):
        rows = (kept["married"] == married).to_numpy()
        error = number.predicted[rows] - number.truth[rows]
        assert found.by_group["mean error"][f"married {married}"].value == pytest.approx(error.mean())
        absolute = mean_absolute_error(number.truth[rows], number.predicted[rows])
        assert found.by_group["MAE"][f"married {married}"].value == pytest.approx(absolute)
    assert list(found.differences) == ["mean error difference", "MAE difference"]


def test_a_rate_without_rows_is_undefined_and_small_groups_are_left_out():
    holdout = pd.DataFrame({"g": list("aaabbbc"), "y": [0, 1, 1, 0, 0, 0, 1]})
    truth = holdout["y"].to_numpy()
    score = np.array([0.1, 0.9, 0.2, 0.3, 0.6, 0.4, 0.1])
    predictions = Predictions(np.arange(7), truth, np.stack([1 - score, score], 1), (0, 1), 1)
    found = group_scores(predictions, holdout, holdout, schema_of(holdout), ["g"], smallest=3)
    assert found.rows == {"g a": 3, "g b": 3, "g c": 1}
    rates = {group: one.value for group, one in found.by_group["true positive rate"].items()}
    assert rates["g a"] == 0.5
    assert math.isnan(rates["g b"])
    # Only the false positive rates of two groups can be compared: 0 and a third.
    assert found.differences["equalized odds difference"].value == pytest.approx(1 / 3)
    with pytest.raises(SynthgenError, match="expected two groups by g of 4 judged rows or more, found 0: the largest"):
        group_scores(predictions, holdout, holdout, schema_of(holdout), ["g"], smallest=4)
    # What only one group has is no difference of 0.
    alone = predictions.truth.copy()
    alone[:3] = 0
    odds = Predictions(predictions.rows, alone, predictions.predicted, (0, 1), 1)
    found = group_scores(odds, holdout, holdout, schema_of(holdout), ["g"], smallest=3)
    assert math.isnan(found.differences["AUC difference"].value)
    one = holdout.assign(g="a")
    with pytest.raises(SynthgenError, match="found 1: the largest has 7"):
        group_scores(predictions, one, one, schema_of(holdout), ["g"], smallest=3)


def test_the_positive_class_does_not_matter_to_the_differences(scored):
    train, holdout, schema, predictions = scored
    other = Predictions(
        predictions.rows, predictions.truth, predictions.predicted, predictions.classes, 1 - predictions.positive
    )
    first, second = (
        group_scores(one, holdout, train, schema, ["job"], seed=1).differences for one in (predictions, other)
    )
    assert {name: one.value for name, one in first.items()} == pytest.approx(
        {name: one.value for name, one in second.items()}
    )


def test_errors_name_what_is_wrong(scored):
    train, holdout, schema, predictions = scored
    with pytest.raises(SynthgenError, match=r"unknown column 'jobb': did you mean 'job'\?"):
        group_scores(predictions, holdout, train, schema, ["jobb"])
    for columns in ([], "job"):
        with pytest.raises(SynthgenError, match="expected a list of one sensitive column or more"):
            representation(train, holdout, schema, columns)
