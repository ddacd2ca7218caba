import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from synthgen.errors import SynthgenError
from synthgen.metrics.table.trees import one_thread
from synthgen.metrics.table.utility import Score, downstream_score
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
