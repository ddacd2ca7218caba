import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_wine

from synthgen.errors import SynthgenError
from synthgen.metrics.intervals import Estimate
from synthgen.metrics.table.detection import detector_auc
from synthgen.metrics.table.fairness import representation
from synthgen.metrics.table.fidelity import column_shapes, pair_trends, shape_error, trend_error
from synthgen.metrics.table.marginals import triple_marginals
from synthgen.metrics.table.privacy import closest_records
from synthgen.metrics.table.scores import Predictions
from synthgen.metrics.table.utility import Scores, utility
from synthgen.reports.report import Report, Verdict
from synthgen.reports.table import verdicts
from synthgen.reports.table.fidelity import add_marginals
from synthgen.reports.table.privacy import add_privacy
from synthgen.reports.table.report import table_report
from synthgen.reports.table.sides import Sides
from tests.browser import needs_chromium, opened
from tests.tables import people, schema_of


@pytest.fixture(scope="module")
def tables():
    train, holdout = people(900, 0), people(300, 1)
    shuffled = {name: train[name].sample(frac=1, random_state=i).to_numpy() for i, name in enumerate(train)}
    return train, holdout, pd.DataFrame(shuffled)


@pytest.fixture(scope="module")
def report(tables):
    train, holdout, synthetic = tables
    schema = schema_of(train, target="rich")
    return table_report(train, holdout, synthetic, schema, sensitive=["job", "married"], name="people")


def verdict(report, face):
    return next(one for one in report.verdicts if one.face == face)


def test_figures_are_those_of_the_metrics_at_the_documented_sizes(tables, report):
    train, holdout, synthetic = tables
    schema = schema_of(train)
    assert report["Shape error"] == pytest.approx(shape_error(train, synthetic, schema)) == 0
    assert report["Trend error"] == pytest.approx(trend_error(train, synthetic, schema))
    few = synthetic.sample(300, random_state=0)
    assert report["Shape error at holdout size"] == pytest.approx(shape_error(train, few, schema))
    assert report.figure("Shape error at holdout size").floor == pytest.approx(shape_error(train, holdout, schema))
    assert report.figure("Trend error at holdout size").floor == pytest.approx(trend_error(train, holdout, schema))
    assert report["Triples error at holdout size"] == pytest.approx(triple_marginals(train, few, schema).error)
    assert report["Detector AUC"] == detector_auc(holdout, few, schema)
    some = train.sample(300, random_state=0)
    assert report.figure("Detector AUC").floor == detector_auc(holdout, some, schema)
    gap = representation(train, synthetic, schema, ["job", "married"]).largest_gap.value
    assert report["Representation gap (job × married)"] == gap


@pytest.mark.parametrize("overlap", [1.0, 0.5])
def test_a_holdout_of_training_rows_is_said(tables, overlap):
    train, holdout, synthetic = tables
    shared = int(300 * overlap)
    held = pd.concat([train.sample(shared, random_state=0), holdout[shared:]])
    with pytest.warns(UserWarning, match=r"The holdout was not held out: (100|5\d) % of its rows"):
        report = table_report(train, held, synthetic, schema_of(train))
    assert report.notes[0].startswith("The holdout was not held out")
    assert verdict(report, "privacy").level == "unknown"
    assert "Floors, utility and all figures of privacy then say nothing" in verdict(report, "privacy").text


def test_figures_have_intervals_around_them(report):
    without = {"Density", "Rare categories absent", "Categories covered", "Range covered", "Repeated rows"}
    without |= {"Missing pattern error", "Shape error", "Trend error", "Copying test p", "Rare category error"}
    for one in report.figures:
        if one.name not in without:
            assert one.low <= one.value <= one.high, one.name
            assert one.low < one.high, one.name


def test_intervals_hold_what_other_samples_of_the_source_reach():
    train, holdout = people(1500, 0), people(500, 1)
    found = []
    for seed in range(8):
        report = Report("people")
        add_marginals(report, Sides(train, holdout, people(500, 10 + seed), schema_of(train)))
        found.append(report.figure("Trend error at holdout size"))
    values = [one.value for one in found]
    assert sum(one.low <= np.mean(values) <= one.high for one in found) >= 5
    assert np.mean([one.high - one.low for one in found]) / (2 * 1.96 * np.std(values, ddof=1)) == pytest.approx(
        1, abs=0.5
    )


def test_shuffled_columns_lose_trend_and_utility(report):
    assert report["Trend error at holdout size"] > 1.5 * report.figure("Trend error at holdout size").floor
    assert report["Detector AUC"] > 0.7
    one = report.figure("TSTR AUC")
    assert one.value < 0.65
    assert one.reference > 0.8
    assert one.reference_name == "TRTR"


def test_all_scores_of_the_downstream_models_are_there(tables, report):
    train, holdout, synthetic = tables
    found = utility(train, holdout, synthetic, schema_of(train), "rich")
    for name, estimate in found["TSTR"].estimates.items():
        one = report.figure(f"TSTR {name}")
        assert (one.value, one.low, one.high) == (estimate.value, estimate.low, estimate.high)
        assert one.reference == found["TRTR"].estimates[name].value
    assert report["TRTR + synthetic AUC"] == found["TRTR + synthetic"].estimates["AUC"].value


def test_fewer_rows_to_learn_from_are_said_to_be_fewer(report, tables):
    train, holdout, synthetic = tables
    few = table_report(train, holdout, synthetic[:300], schema_of(train, target="rich"))
    assert f"It had 300 rows to learn from instead of {len(train):,}" in verdict(few, "utility").text
    assert "to learn from" not in verdict(report, "utility").text


def test_a_face_that_is_bad_is_said_to_be(report):
    assert verdict(report, "fidelity").level == "mixed"
    assert "tell a part of the synthetic rows" in verdict(report, "fidelity").text
    assert verdict(report, "utility").level == "poor"
    assert verdict(report, "privacy").level == "good"
    assert "proves no privacy" in verdict(report, "privacy").text


def test_a_target_that_real_rows_predict_by_chance_alone_says_nothing_of_use():
    nobody = Predictions(np.zeros(0, int), np.zeros(0), np.zeros(0))

    def said(real, low):
        ends = {"TSTR": Estimate(0.43, 0.3, 0.56), "TRTR": Estimate(real, low, 2 * real - low)}
        scores = {side: Scores({"AUC": one}, nobody) for side, one in ends.items()}
        return verdicts._utility(Report("coins", facts={"synthetic rows": 9, "training rows": 9}), "coin", scores)

    nothing = "Not even real rows let a model predict coin"
    assert said(0.49, 0.4).text == f"{nothing} (AUC 0.430 beside 0.490)."
    assert said(0.53, 0.4).text == f"{nothing} better than chance would have it (AUC 0.430 beside 0.530)."
    assert said(0.53, 0.4).level == "unknown"
    assert said(0.53, 0.51).level == "poor"


def test_a_resample_of_the_source_is_as_it_should_be():
    train, holdout, synthetic = people(2000, 0), people(800, 1), people(2000, 2)
    report = table_report(train, holdout, synthetic, schema_of(train, target="rich"), sensitive=["job"])
    assert {one.face: one.level for one in report.verdicts} == dict.fromkeys(
        ("fidelity", "utility", "privacy", "fairness"), "good"
    )
    assert all(finding.severity < 0.05 for finding in report.findings)


def test_copies_show(tables):
    train, holdout, _ = tables
    report = table_report(train, holdout, train, schema_of(train))
    assert report["Copied rows"] == 1
    assert report.figure("Copied rows").floor < 0.05
    assert report["Copying test p"] < 1e-6
    assert verdict(report, "privacy").level == "poor"
    assert report.findings[0].face == "privacy"


def test_the_test_of_copying_looks_at_one_row_a_person():
    train, holdout, synthetic = people(900, 0), people(300, 1), people(500, 2)
    owners, others = np.arange(900) // 9, np.arange(300) // 3
    schema = schema_of(train)
    sides = Sides(train, holdout, synthetic, schema, 0, (owners, others))
    some, few = sides.independent()
    assert len(some) == len(few) == 100
    assert len(np.unique(owners[some.index])) == len(np.unique(others[few.index])) == 100
    found = closest_records(some, few, synthetic, schema)
    assert add_privacy(Report("people"), sides) == found
    assert found != closest_records(train, holdout, synthetic, schema)


def test_without_holdout_there_is_no_floor_and_it_is_said(tables):
    train, _, synthetic = tables
    parts = []
    report = table_report(
        train, None, synthetic, schema_of(train), target="pay", progress=lambda *part: parts.append(part)
    )
    assert all(one.floor is None and one.reference is None for one in report.figures)
    assert "TSTR R2" in [one.name for one in report.figures]
    assert any("No holdout was given" in note for note in report.notes)
    assert verdict(report, "privacy").level == verdict(report, "utility").level == "unknown"
    assert parts[0] == ("predicting pay", 0.0)
    shares = [share for _, share in parts]
    assert shares == sorted(shares)
    assert parts[-1][0] == "drawing"


def test_details_name_every_column_and_pair(tables, report):
    train, holdout, synthetic = tables
    schema = schema_of(train)
    shapes, trends = column_shapes(train, holdout, schema), pair_trends(train, synthetic, schema)
    for row in report.details["columns"]:
        assert row["floor"] == pytest.approx(1 - shapes[row["name"]])
    assert len(report.details["pairs"]) == 15
    for row in report.details["pairs"]:
        a, b = row["columns"]
        assert row["error"] == pytest.approx(1 - trends.loc[a, b])
    groups = [row for row in report.details["groups"] if row["by"] == "job"]
    assert [row["group"] for row in groups] == ["job farm", "job office", "job shop"]
    assert sum(row["real"] for row in groups) == pytest.approx(1)


def test_of_many_pairs_those_furthest_off_are_listed(tables, report, monkeypatch):
    monkeypatch.setattr("synthgen.reports.table.report.PAIRS", 4)
    train, holdout, synthetic = tables
    short = table_report(train, holdout, synthetic, schema_of(train), name="people")
    worst = sorted(report.details["pairs"], key=lambda row: -row["error"])[:4]
    assert short.details["pairs"] == worst
    assert "Of 15 pairs of columns the 4 that are furthest off are listed." in short.notes
    assert short.sections[1] == report.sections[1]  # drawn from all of them


def test_a_single_column_has_no_trend(tables):
    train, holdout, synthetic = (side[["age"]] for side in tables)
    report = table_report(train, holdout, synthetic, schema_of(train))
    assert "Trend error" not in [one.name for one in report.figures]
    assert len(report.sections) == 1


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_few_rows_are_measured_as_far_as_they_go(tables, rows):
    train, holdout, synthetic = tables
    report = table_report(train[:rows], holdout[:rows], synthetic[:rows], schema_of(train))
    assert 0 <= report["Shape error at holdout size"] <= 1


def test_the_same_seed_gives_the_same_page(tables, tmp_path):
    train, holdout, synthetic = (side[["age", "job"]] for side in tables)
    pages = [
        table_report(train, holdout, synthetic, schema_of(train)).to_html(tmp_path / f"{i}.html").read_bytes()
        for i in range(2)
    ]
    assert pages[0] == pages[1]


def test_unknown_names(tables):
    train, holdout, synthetic = tables
    with pytest.raises(SynthgenError, match=r"did you mean 'rich'\?"):
        table_report(train, holdout, synthetic, schema_of(train), target="ritch")
    with pytest.raises(SynthgenError, match=r"did you mean 'married'\?"):
        table_report(train, holdout, synthetic, schema_of(train), sensitive=["maried"])


@needs_chromium
@pytest.mark.parametrize("data", ["wine", "diabetes", "hostile"])
def test_the_page_draws_itself_in_a_browser_and_asks_no_network(tmp_path, data):
    frame = _embedded(data)
    frame = frame.sample(frac=1, random_state=0)
    half = len(frame) // 2
    report = table_report(frame[:half], frame[half:], frame[:half], schema_of(frame), name=data)
    with opened(report.to_html(tmp_path / "report.html")) as browser:
        browser.scroll_through()
        assert browser.page.locator(".chart .main-svg").count() >= frame.shape[1] + 3
        assert browser.complaints == []
        assert browser.asked == []
        assert "Detector AUC" in browser.page.inner_text("body")
        if data == "hostile":
            assert browser.page.locator("h3", has_text="</script><b>").count() == 1
            assert "<script>alert(1)</script>" in browser.page.inner_text("body")


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_a_column_is_found_and_nothing_overflows_at_390_pixels(report, tmp_path, dark):
    page = report.to_html(tmp_path / "report.html")
    assert page.stat().st_size < 10e6
    with opened(page, width=390, dark=dark) as browser:
        browser.scroll_through()
        assert browser.page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.page.fill("input[type=search]", "MARR")
        visible = [one for one in browser.page.locator("#columns article").all() if one.is_visible()]
        assert [one.get_attribute("data-name") for one in visible] == ["married"]
        assert browser.page.inner_text(".finder output") == "1 of 6"
        browser.page.fill("input[type=search]", "")
        browser.page.select_option("select", "worst")
        errors = [float(one.get_attribute("data-error")) for one in browser.page.locator("#columns article").all()]
        assert errors == sorted(errors, reverse=True)
        assert browser.complaints == []
        ink, paper = (
            re.findall(r"\d+", browser.page.evaluate(f"getComputedStyle(document.body).{what}"))
            for what in ("color", "backgroundColor")
        )
        assert (sum(map(int, paper)) < sum(map(int, ink))) is dark


@needs_chromium
def test_it_prints_with_every_plot(report, tmp_path):
    with opened(report.to_html(tmp_path / "report.html"), dark=True) as browser:
        assert browser.page.locator(".chart .main-svg").count() == 0  # none is in view yet
        browser.page.pdf(path=tmp_path / "report.pdf")
        assert browser.page.locator(".chart:not(:has(.main-svg))").count() == 0
        assert (tmp_path / "report.pdf").stat().st_size > 50_000


def test_json_holds_no_nan(report, tmp_path):
    text = report.to_json(tmp_path / "report.json").read_text()
    content = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert content["kind"] == "table"
    assert content["details"]["columns"][0]["name"] == "age"


def _embedded(name: str) -> pd.DataFrame:
    if name == "hostile":  # names and values that would break a page that does not escape them
        frame = people(200, 0)
        frame["</script><b>"] = np.where(frame["age"] > 40, "</div>", "<img src=http://example.org/x.png>")
        frame["job"] = frame["job"].replace("farm", "<script>alert(1)</script>")
        return frame.assign(**{"<script>alert(1)</script>": frame["job"]})
    data = load_wine(as_frame=True) if name == "wine" else load_diabetes(as_frame=True, scaled=False)
    frame = data.frame.astype(float)
    category = "target" if name == "wine" else "sex"
    return frame.assign(**{category: frame[category].map(lambda value: f"kind {value:.0f}")})


def privacy_of(train, holdout, synthetic):
    report = Report("people")
    sides = Sides(train, holdout, synthetic, schema_of(train))
    return verdicts._privacy(report, sides, add_privacy(report, sides))


def test_a_few_records_that_are_copied_a_thousand_times_are_no_good_sign():
    train, holdout = people(2000, 0), people(400, 1)
    few = train.iloc[np.arange(2000) % 5]
    found = privacy_of(train, holdout, few)
    assert found.level == "poor"
    assert "100.00 % of synthetic rows are exact copies of training rows" in found.text
    assert "counts each of training's rows once" in found.text


def test_rows_held_out_that_are_too_few_say_nothing_of_copies():
    found = privacy_of(people(500, 0), people(30, 1), people(500, 2))
    assert found.level == "unknown"
    assert "30 held-out rows are too few" in found.text
    assert privacy_of(people(500, 0), people(300, 1), people(500, 2)).level == "good"


def test_no_more_is_said_of_groups_than_was_measured(tables):
    train, holdout, _ = tables
    synthetic = people(900, 2)
    report = table_report(train, holdout, synthetic, schema_of(train, target="rich"), sensitive=["rich"])
    assert "How models that learn from it treat groups was not measured." in verdict(report, "fairness").text
    gone = synthetic[synthetic["job"] != "farm"]
    report = table_report(train, holdout, gone, schema_of(train), sensitive=["job"])
    assert verdict(report, "fairness").level != "good"
    assert "Gone are: job farm." in verdict(report, "fairness").text


def test_without_findings_no_more_is_said_than_was_compared():
    report = Report("people", facts={"training rows": 5})
    assert report.nothing_found().startswith("Nothing was compared with held-out data")
    report.facts["holdout rows"] = 5
    assert "No column, pair, group or record that was compared" in report.nothing_found()
    report.verdicts = [Verdict("fidelity", "poor", "Told apart.")]
    assert "No single part explains" in report.nothing_found()
