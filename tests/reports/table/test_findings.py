"""Planted faults, and the sentences that they must become."""

import numpy as np
import pandas as pd
import pytest

from synthgen.metrics.intervals import Estimate
from synthgen.metrics.table.scores import Predictions
from synthgen.metrics.table.utility import Scores
from synthgen.reports.report import Report
from synthgen.reports.table.fairness import add_fairness
from synthgen.reports.table.fidelity import add_details, add_support
from synthgen.reports.table.findings import _pairs, _together, add_findings
from synthgen.reports.table.privacy import add_privacy
from synthgen.reports.table.sides import Sides
from tests.tables import people, schema_of


@pytest.fixture(scope="module")
def sound():
    return people(3000, 0), people(1000, 1), people(3000, 2)


def findings(given, synthetic, sensitive=(), predictions=None):
    """All of a report's findings, without the figures that take long."""
    train, holdout, _ = given
    sides = Sides(train, holdout, synthetic, schema_of(train))
    report = Report("people", facts={"synthetic rows": len(synthetic)})
    add_details(report, sides)
    add_support(report, sides)
    records = add_privacy(report, sides)
    groups = add_fairness(report, sides, sensitive, {}, None)
    add_findings(report, sides, records, predictions or {}, groups)
    return report.findings


def worst(given, synthetic, **settings):
    return findings(given, synthetic, **settings)[0]


def test_a_value_that_is_too_rare(sound):
    train, holdout, synthetic = (
        side.assign(gain=np.where(np.arange(len(side)) % 10, 0.0, side["age"])) for side in sound
    )
    broken = synthetic["gain"].to_numpy().copy()
    broken[np.flatnonzero(broken == 0)[:300]] = np.linspace(1, 60, 300)
    finding = worst((train, holdout, None), synthetic.assign(gain=broken))
    assert finding.text == "gain: zeros are 10.0 points too rare (80.0 % instead of 90.0 %)."
    assert finding.subject == ("gain",)
    assert finding.severity == pytest.approx(0.1, abs=0.03)


def test_a_distribution_that_is_moved(sound):
    finding = worst(sound, sound[2].assign(age=sound[2]["age"] + 6))
    assert finding.text.startswith("age: values ")
    assert "too rare" in finding.text or "too common" in finding.text


def test_a_category_and_missing_cells(sound):
    synthetic = sound[2].copy()
    rows = synthetic.index[synthetic["job"] == "shop"][:450]
    synthetic.loc[rows, "job"] = "farm"
    assert "job: “farm” is" in worst(sound, synthetic).text or "job: “shop” is" in worst(sound, synthetic).text
    synthetic = sound[2].copy()
    synthetic.loc[synthetic.index[:900], "pay"] = np.nan
    assert worst(sound, synthetic).text.startswith("pay: missing cells are 2")


def test_a_pair_that_came_apart_and_one_column_told_once(sound):
    synthetic = sound[2].copy()
    synthetic["rich"] = synthetic["rich"].sample(frac=1, random_state=0).to_numpy()
    finding = worst(sound, synthetic)
    assert finding.subject == ("pay", "rich")
    assert "“yes” is" in finding.text or "“no” is" in finding.text


def test_what_only_few_held_out_rows_show_is_not_told_first(sound):
    def row(names, error, sized, floor):
        return {"columns": names, "error": error, "error_at_holdout_size": sized, "floor": floor}

    sides = Sides(*sound, schema_of(sound[0]))
    report = Report("people", details={"columns": [], "pairs": []})
    add_details(report, sides)
    first, second = ["pay", "rich"], ["age", "job"]
    report.details["pairs"] = [row(first, 0.001, 0.2, 0.05), row(second, 0.14, 0.12, 0.01)]
    assert [one.subject for one in _pairs(report, sides)] == [tuple(second)]


def test_correlations_that_round_to_the_same_are_told_with_more_digits():
    random = np.random.default_rng(0)
    x, noise = random.normal(size=(2, 4000))
    made = [pd.DataFrame({"a": x, "b": slope * x + noise}) for slope in (0.1, 0.1, 0.104)]
    sides = Sides(*made, schema_of(made[0]))
    rho = [np.corrcoef(one["a"], one["b"])[0, 1] for one in made]
    assert f"{rho[0]:.2f}" == f"{rho[2]:.2f}"
    assert _together(sides, *sides.schema) == f"their correlation is {rho[2]:.3f} instead of {rho[0]:.3f}"


def test_a_rare_category_that_vanished(sound):
    def rare(side):
        return side.assign(kind=np.where(np.arange(len(side)) % 40, "usual", "odd"))

    synthetic = rare(sound[2]).replace({"kind": {"odd": "usual"}})
    found = findings([*map(rare, sound)], synthetic)
    assert any("1 of 1 rare categories never occur, such as kind “odd”, which 2.5 %" in one.text for one in found)


def test_a_group_that_is_gone(sound):
    synthetic = sound[2][sound[2]["job"] != "shop"]
    found = [one.text for one in findings(sound, synthetic, sensitive=["job"]) if one.face == "fairness"]
    assert any("The group job shop, " in text and text.endswith("% of real rows, is gone.") for text in found)


def test_a_model_that_learns_less(sound):
    nobody = Predictions(np.zeros(0, int), np.zeros(0), np.zeros(0))
    scores = {
        side: Scores({"AUC": Estimate(value, value - 0.01, value + 0.01)}, nobody)
        for side, value in (("TSTR", 0.7), ("TRTR", 0.9))
    }
    found = [one for one in findings(sound, sound[2], predictions=scores) if one.face == "utility"]
    assert found[0].text == "A model that learned from synthetic rows reaches AUC 0.700 on real ones, instead of 0.900."
    assert found[0].severity == pytest.approx(0.5)


def test_sound_rows_have_nothing_to_tell_of(sound):
    assert all(one.severity < 0.03 for one in findings(sound, sound[2], sensitive=["job"]))


def test_copies(sound):
    found = findings(sound, sound[0])
    assert found[0].face == "privacy"
    assert found[0].text.startswith("Training rows came through: of the ")
    assert found[0].text.endswith("100.0 % of synthetic rows are exact copies.")


def test_a_rare_category_that_only_a_subsample_lacks_is_none(sound):
    def many(side):
        return side.assign(code=[f"r{number % 400}" if number % 10 == 0 else "usual" for number in range(len(side))])

    train, holdout, synthetic = map(many, sound)
    few = holdout.iloc[:100]  # of so many synthetic rows most codes are absent
    assert not any("rare categories never occur" in one.text for one in findings((train, few, None), synthetic))


def test_a_pair_without_a_row_that_has_both_numbers_is_undefined():
    random = np.random.default_rng(0)
    train, holdout = (pd.DataFrame({"a": (x := random.normal(size=800)), "b": x}) for _ in range(2))
    synthetic = train.assign(a=train["a"].where(np.arange(800) % 2 == 0), b=train["b"].where(np.arange(800) % 2 == 1))
    sides = Sides(train, holdout, synthetic, schema_of(train))
    assert _together(sides, *sides.schema) == "their correlation is undefined instead of 1.00"


def test_thresholds_on_dates_are_dates():
    seconds = np.arange(1000) * 86_400.0
    train, holdout, synthetic = (pd.DataFrame({"seen": seconds + shift}) for shift in (0, 0, 86_400 * 300))
    sides = Sides(train, holdout, synthetic, schema_of(train), dates=["seen"])
    report = Report("visits", facts={"synthetic rows": 1000})
    add_details(report, sides)
    add_support(report, sides)
    add_findings(report, sides, None, {}, {})
    assert report.findings[0].text.startswith("seen: values up to 1971-03-01 are 30.0 points too rare")
