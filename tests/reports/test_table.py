import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_wine

from synthgen.errors import SynthgenError
from synthgen.metrics.table.detection import detector_auc
from synthgen.metrics.table.fidelity import shape_error, trend_error
from synthgen.reports.table import table_report
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
    return table_report(train, holdout, synthetic, schema_of(train, target="rich"), name="people")


def figure(report, name):
    return next(one for one in report.figures if one.name == name)


def test_figures_are_those_of_the_metrics_at_the_documented_sizes(tables, report):
    train, holdout, synthetic = tables
    schema = schema_of(train)
    assert report["Shape error"] == pytest.approx(shape_error(train, synthetic, schema)) == 0
    assert report["Trend error"] == pytest.approx(trend_error(train, synthetic, schema))
    few = synthetic.sample(300, random_state=0)
    assert report["Shape error at holdout size"] == pytest.approx(shape_error(train, few, schema))
    assert figure(report, "Shape error at holdout size").floor == pytest.approx(shape_error(train, holdout, schema))
    assert figure(report, "Trend error at holdout size").floor == pytest.approx(trend_error(train, holdout, schema))
    assert report["Detector AUC"] == detector_auc(holdout, few, schema)
    some = train.sample(300, random_state=0)
    assert figure(report, "Detector AUC").floor == detector_auc(holdout, some, schema)


def test_shuffled_columns_lose_trend_and_utility(report):
    assert report["Trend error at holdout size"] > 1.5 * figure(report, "Trend error at holdout size").floor
    assert report["Detector AUC"] > 0.7
    utility = figure(report, "TSTR AUC")
    assert utility.value < 0.65
    assert utility.reference > 0.8
    assert utility.reference_name == "TRTR"


def test_copies_show(tables):
    train, holdout, _ = tables
    report = table_report(train, holdout, train, schema_of(train))
    assert report["Copied rows"] == 1
    assert figure(report, "Copied rows").floor < 0.05


def test_without_holdout_there_is_no_floor_and_it_is_said(tables):
    train, _, synthetic = tables
    parts = []
    report = table_report(train, None, synthetic, schema_of(train), target="pay", progress=parts.append)
    assert all(one.floor is None and one.reference is None for one in report.figures)
    assert "TSTR R2" in [one.name for one in report.figures]
    assert any("No holdout was given" in note for note in report.notes)
    assert "predicting pay" in parts
    assert parts[-1] == "drawing"


def test_columns_that_are_furthest_off_are_shown_when_there_are_many():
    random = np.random.default_rng(0)
    train = pd.DataFrame(random.normal(size=(60, 45)), columns=[f"x{i}" for i in range(45)])
    synthetic = train.assign(x44=99.0)
    report = table_report(train, None, synthetic, schema_of(train))
    assert report.sections[0].html.count("<h3>") == 40
    assert "<h3>x44</h3>" in report.sections[0].html


def test_a_single_column_has_no_trend(tables):
    train, holdout, synthetic = (side[["age"]] for side in tables)
    report = table_report(train, holdout, synthetic, schema_of(train))
    assert "Trend error" not in [one.name for one in report.figures]
    assert len(report.sections) == 1


def test_the_same_seed_gives_the_same_page(tables, tmp_path):
    train, holdout, synthetic = (side[["age", "job"]] for side in tables)
    pages = [
        table_report(train, holdout, synthetic, schema_of(train)).to_html(tmp_path / f"{i}.html").read_bytes()
        for i in range(2)
    ]
    assert pages[0] == pages[1]


def test_unknown_target(tables):
    train, holdout, synthetic = tables
    with pytest.raises(SynthgenError, match=r"did you mean 'rich'\?"):
        table_report(train, holdout, synthetic, schema_of(train), target="ritch")


@needs_chromium
@pytest.mark.parametrize("data", ["wine", "diabetes", "hostile"])
def test_the_page_draws_itself_in_a_browser_and_asks_no_network(tmp_path, data):
    frame = _embedded(data)
    frame = frame.sample(frac=1, random_state=0)
    half = len(frame) // 2
    report = table_report(frame[:half], frame[half:], frame[:half], schema_of(frame), name=data)
    dom, console, asked = opened(report.to_html(tmp_path / "report.html"), tmp_path)
    assert console == []
    assert asked == []
    assert dom.count('class="main-svg"') >= frame.shape[1] + 1
    assert "Detector AUC" in dom


def _embedded(name: str) -> pd.DataFrame:
    if name == "hostile":  # names and values that would break a page that does not escape them
        frame = people(200, 0)
        frame["</script><b>"] = np.where(frame["age"] > 40, "</div>", "<img src=http://example.org/x.png>")
        return frame
    data = load_wine(as_frame=True) if name == "wine" else load_diabetes(as_frame=True, scaled=False)
    frame = data.frame.astype(float)
    category = "target" if name == "wine" else "sex"
    return frame.assign(**{category: frame[category].map(lambda value: f"kind {value:.0f}")})
