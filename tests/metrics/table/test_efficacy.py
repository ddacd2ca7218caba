import sys

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.metrics import roc_auc_score

from synthgen.errors import SynthgenError
from synthgen.metrics.table.efficacy import learning_efficacy
from tests.tables import people, schema_of


def numbers_and_class(rows, seed, noise=1.0):
    random = np.random.default_rng(seed)
    x, z = random.normal(size=(2, rows))
    return pd.DataFrame({"x": x, "z": z, "y": np.where(x + noise * random.normal(size=rows) > 0, "high", "low")})


def test_it_is_the_best_of_the_grid_as_separate_models_have_it():
    learned, holdout = numbers_and_class(900, 0), numbers_and_class(500, 1)
    found = learning_efficacy(learned, holdout, schema_of(learned, "y"), "y", seed=0)
    order = np.random.default_rng(0).permutation(900)
    validate, learn = learned.iloc[order[:100]], learned.iloc[order[100:]]

    def area(setting, rows):
        trees = xgboost.XGBClassifier(random_state=0, **setting).fit(learn[["x", "z"]], learn["y"] == "low")
        return roc_auc_score(rows["y"] == "low", trees.predict_proba(rows[["x", "z"]])[:, 1])

    grid = [
        {"max_depth": depth, "min_child_weight": weight, "gamma": gamma, "n_estimators": trees}
        for depth in (5, 10, 20)
        for weight in (1, 10)
        for gamma in (0, 1)
        for trees in (10, 50, 100)
    ]
    best = max(grid, key=lambda setting: area(setting, validate))
    assert found.chosen == {**{k: v for k, v in best.items() if k != "n_estimators"}, "trees": best["n_estimators"]}
    assert found.value == pytest.approx(area(best, holdout), abs=1e-9)
    assert found.name == "AUC"


def test_a_number_is_judged_by_the_error_of_its_logarithm():
    random = np.random.default_rng(0)

    def table(rows, scale):
        x = random.uniform(0, 3, rows)
        return pd.DataFrame({"x": x, "y": np.exp(scale * x)})

    holdout = table(500, 1.0)
    right = learning_efficacy(table(2000, 1.0), holdout, schema_of(holdout, "y"), "y")
    wrong = learning_efficacy(table(2000, 2.0), holdout, schema_of(holdout, "y"), "y")
    assert right.name == "RMSE (log)"
    assert right.value < 0.05
    # ln y is wrong by x, whose root mean square over 0 to 3 is √3.
    assert wrong.value == pytest.approx(np.sqrt(3), rel=0.1)


def test_many_classes_are_one_against_the_rest_and_an_absent_one_gets_no_probability():
    random = np.random.default_rng(0)
    x = random.integers(0, 3, 1500)
    frame = pd.DataFrame({"x": x + 0.1 * random.normal(size=1500), "y": np.array(["a", "b", "c"])[x]})
    schema = schema_of(frame, "y")
    learned, holdout = frame[:1000], frame[1000:]
    assert learning_efficacy(learned, holdout, schema, "y").value == pytest.approx(1, abs=1e-3)
    # Without any "c": its own area is one half, and those of the two others lose what they take "c" for.
    without = learning_efficacy(learned[learned["y"] != "c"], holdout, schema, "y").value
    assert 0.6 < without < 0.9


def test_one_class_and_too_few_rows():
    frame = people(200, 0)
    schema = schema_of(frame, "rich")
    poor = frame[frame["rich"] == "no"]
    assert learning_efficacy(poor, frame, schema, "rich").value == 0.5
    with pytest.raises(SynthgenError, match="one class only in the holdout"):
        learning_efficacy(frame, poor, schema, "rich")
    with pytest.raises(SynthgenError, match="expected 10 rows of each table, found 5"):
        learning_efficacy(frame[:5], frame, schema, "rich")


def test_without_xgboost_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    frame = people(50, 0)
    with pytest.raises(SynthgenError, match=r"install synthgen\[protocol\]"):
        learning_efficacy(frame, frame, schema_of(frame, "rich"), "rich")


def test_a_target_whose_logarithm_is_constant_is_refused():
    pytest.importorskip("xgboost", reason="the extra 'protocol' is not installed")
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.random(200), "churn": random.integers(0, 2, 200).astype(float)})
    schema = schema_of(frame, "churn")
    with pytest.raises(SynthgenError, match="target 'churn': its logarithm"):
        learning_efficacy(frame, frame, schema, "churn")
    with pytest.raises(SynthgenError, match="no column beside the target"):
        learning_efficacy(frame[["churn"]], frame[["churn"]], schema_of(frame[["churn"]], "churn"), "churn")
