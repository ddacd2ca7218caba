import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind, TableSchema
from synthgen.metrics.table.trees import boosted_classifier, one_thread
from synthgen.metrics.table.utility import Score, downstream_score, utility
from tests.tables import people, schema_of


@pytest.fixture(scope="module")
def tables():
    return people(2000, 0), people(1000, 1)


def test_binary_target_against_the_same_trees_by_hand(tables):
    train, holdout = tables
    features = ["age", "pay"]
    schema = schema_of(train[[*features, "married"]])
    trees = HistGradientBoostingClassifier(max_iter=200, max_depth=6, early_stopping=False)
    with one_thread():
        trees.fit(train[features], train["married"])
    expected = roc_auc_score(holdout["married"], trees.predict_proba(holdout[features])[:, 1])
    score = downstream_score(train, holdout, schema, "married")
    assert score == Score("AUC", pytest.approx(expected, abs=1e-9))


def test_many_classes_are_each_scored_against_the_rest(tables):
    train, holdout = tables
    schema = schema_of(train)
    score = downstream_score(train, holdout, schema, "job")
    assert score.name == "AUC (one-vs-rest)"
    assert 0.6 < score.value < 1
    broken = train.assign(job=train["job"].sample(frac=1, random_state=0).to_numpy())
    assert downstream_score(broken, holdout, schema, "job").value == pytest.approx(0.5, abs=0.06)


def test_a_class_that_training_lacks_scores_as_guessing(tables):
    train, holdout = tables
    schema = schema_of(train)
    without = downstream_score(train[train["job"] != "farm"], holdout, schema, "job")
    assert without.name == "AUC (one-vs-rest)"
    assert 0.5 < without.value < downstream_score(train, holdout, schema, "job").value
    assert downstream_score(train[train["job"] == "shop"], holdout, schema, "job").value == 0.5


def test_numerical_target_is_regressed(tables):
    train, holdout = tables
    score = downstream_score(train, holdout, schema_of(train), "pay")
    assert score.name == "R2"
    # log pay = .02 age + .5 office + .3 noise: most, not all, of the variance can be explained.
    assert 0.3 < score.value < 0.9
    mean = train.assign(pay=train["pay"].sample(frac=1, random_state=0).to_numpy())
    assert downstream_score(mean, holdout, schema_of(train), "pay").value < 0.1


def test_rows_without_a_target_are_left_out(tables):
    train, holdout = tables
    schema = schema_of(train)
    extra = pd.concat([train, train[:50].assign(rich=None, age=-1e9)], ignore_index=True)
    assert downstream_score(extra, holdout, schema, "rich") == downstream_score(train, holdout, schema, "rich")
    with pytest.raises(SynthgenError, match="target 'rich' has no value in the holdout table"):
        downstream_score(train, holdout.assign(rich=np.nan), schema, "rich")


def test_errors_name_the_target(tables):
    train, holdout = tables
    schema = schema_of(train)
    with pytest.raises(SynthgenError, match=r"unknown column 'ritch': did you mean 'rich'\?"):
        downstream_score(train, holdout, schema, "ritch")
    with pytest.raises(SynthgenError, match="'country' has one class only in the holdout, 'here'"):
        downstream_score(train, holdout, schema, "country")
    with pytest.raises(SynthgenError, match="nothing to predict it from"):
        downstream_score(train[["rich"]], holdout, schema_of(train[["rich"]]), "rich")


def test_utility_is_one_fit_for_all_figures(tables):
    train, holdout = tables
    schema = schema_of(train)
    broken = train.assign(rich=train["rich"].sample(frac=1, random_state=0).to_numpy())
    found = utility(train, holdout, broken, schema, "rich")
    assert list(found) == ["TSTR", "TRTR", "TRTR + synthetic"]
    for name, learned in {"TSTR": broken, "TRTR": train}.items():
        quoted = next(iter(found[name].estimates.items()))
        assert Score(quoted[0], quoted[1].value) == downstream_score(learned, holdout, schema, "rich")
    assert found["TSTR"].estimates["AUC"].high < found["TRTR + synthetic"].estimates["AUC"].low
    assert found["TRTR"].estimates["AUC"].value > 0.9
    assert found["TRTR"].estimates["calibration error"].value < 0.1
    # What is judged can be looked up in the holdout.
    predictions = found["TRTR"].predictions
    truth = np.array(predictions.classes)[predictions.truth]
    assert (holdout["rich"].to_numpy()[predictions.rows] == truth).all()


def test_real_and_synthetic_rows_together_are_both_learned_from(tables):
    train, holdout = tables
    schema = schema_of(train)
    young, old = train[train["age"] < 40], train[train["age"] >= 40]
    found = utility(young, holdout, old, schema, "pay")
    together = downstream_score(pd.concat([young, old]), holdout, schema, "pay")
    assert found["TRTR + synthetic"].estimates["R2"].value == pytest.approx(together.value, abs=0.02)
    assert together.value > max(found[name].estimates["R2"].value for name in ("TSTR", "TRTR"))


def test_the_rarer_class_is_positive_unless_another_is_asked_for(tables):
    train, holdout = tables
    schema = schema_of(train)
    rarer = holdout["rich"].value_counts().idxmin()
    for positive, expected in ((None, rarer), ("yes", "yes"), ("no", "no")):
        predictions = utility(train, holdout, train, schema, "rich", positive=positive)["TSTR"].predictions
        assert predictions.classes[predictions.positive] == expected
    with pytest.raises(SynthgenError, match=r"positive='yess' is not one of two classes .* did you mean 'yes'"):
        utility(train, holdout, train, schema, "rich", positive="yess")
    with pytest.raises(SynthgenError, match="positive='shop' is not one of two classes of target 'job'"):
        utility(train, holdout, train, schema, "job", positive="shop")
    with pytest.raises(SynthgenError, match="target 'pay' is numerical"):
        utility(train, holdout, train, schema, "pay", positive=1.0)


def test_an_invented_class_does_not_change_what_is_measured(tables):
    train, holdout = tables
    invented = train.assign(rich=np.where(np.arange(len(train)) % 10, train["rich"], "perhaps"))
    found = utility(train, holdout, invented, schema_of(train), "rich")
    assert list(found["TSTR"].estimates) == list(found["TRTR"].estimates)
    assert found["TSTR"].estimates["Brier score"].value > found["TRTR"].estimates["Brier score"].value


def test_a_rare_class_is_found_or_not(tables):
    train, holdout = people(4000, 5), people(2000, 6)
    rare = [frame.assign(rich=np.where(frame["age"] > 75, "yes", "no")) for frame in (train, holdout)]
    blind = rare[0].assign(rich=rare[0]["rich"].sample(frac=1, random_state=0).to_numpy())
    found = utility(rare[0], rare[1], blind, schema_of(rare[0]), "rich")
    share = (rare[1]["rich"] == "yes").mean()
    assert share < 0.05
    assert found["TRTR"].estimates["average precision"].value > 0.95
    assert found["TSTR"].estimates["average precision"].value == pytest.approx(share, abs=0.03)
    assert found["TSTR"].estimates["F1"].value < 0.2 < found["TRTR"].estimates["F1"].value


def test_infinite_targets_and_odd_tables(tables):
    train, holdout = tables
    schema = schema_of(train)
    odd = train.assign(pay=train["pay"].where(train.index % 7 > 0, np.inf))
    clean = odd[np.isfinite(odd["pay"])]
    assert downstream_score(odd, holdout, schema, "pay") == downstream_score(clean, holdout, schema, "pay")
    dated = [
        frame.assign(
            born=pd.Timestamp("2020-01-01") - pd.to_timedelta(frame["age"] * 365, unit="D"),
            job=pd.Categorical(frame["job"]),
            id=[f"{seed} {row}" for row in range(len(frame))],
            age=np.nan,
        )
        for seed, frame in enumerate(tables)
    ]
    schema = TableSchema(
        tuple(
            Column(name, Kind.NUMERICAL if name in ("born", "pay", "age") else Kind.CATEGORICAL, "object")
            for name in dated[0]
        )
    )
    assert downstream_score(*dated, schema, "married").value > 0.6
    with pytest.raises(SynthgenError, match="target 'id' has 3,000 classes: expected 500 or fewer"):
        downstream_score(*dated, schema, "id")


def test_rows_past_the_limits_are_left_out(tables):
    train, holdout = tables
    schema = schema_of(train)
    found = utility(train, holdout, train, schema, "rich", learned=500, judged=300, seed=1)
    predictions = found["TRTR"].predictions
    assert len(predictions.truth) == len(np.unique(predictions.rows)) == 300
    assert (np.array(predictions.classes)[predictions.truth] == holdout["rich"].to_numpy()[predictions.rows]).all()
    whole = utility(train, holdout, train, schema, "rich", seed=1)["TRTR"].estimates["AUC"]
    assert whole.high - whole.low < found["TRTR"].estimates["AUC"].high - found["TRTR"].estimates["AUC"].low
    again = utility(train, holdout, train, schema, "rich", learned=500, judged=300, seed=1)
    assert again["TSTR"].estimates == found["TSTR"].estimates


def test_many_classes_share_a_thousand_trees():
    assert [boosted_classifier(0, classes).max_iter for classes in (2, 5, 10, 50, 500)] == [200, 200, 100, 20, 20]
    assert [boosted_classifier(0, classes).learning_rate for classes in (2, 5, 10)] == [0.1, 0.1, 0.2]
