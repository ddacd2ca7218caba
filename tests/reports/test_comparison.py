import json
from dataclasses import replace

import pytest

from synthgen.errors import SynthgenError
from synthgen.reports.comparison import compare
from synthgen.reports.report import Figure, Report
from tests.browser import needs_chromium, opened


def report(model, auc, shape, seconds=None, real="a", rows=100):
    made = {"model": model, "data (SHA-256)": {"real": real, "synthetic": model}}
    made |= {} if seconds is None else {"training_seconds": seconds}
    figures = [
        Figure("Detector AUC", auc, "fidelity", "closer to 0.5", "", floor=0.5, key=True, low=auc - 0.01, high=1.0),
        Figure("Shape error", shape, "fidelity", "lower", "", percent=True),
    ]
    return Report("people", figures=figures, facts={"synthetic rows": rows}, made=made)


@pytest.fixture
def runs(tmp_path):
    report("TabDiff", 0.55, 0.01, 600).to_json(tmp_path / "a" / "report" / "report.json")
    report("<script>", 0.47, 0.03, 60).to_json(tmp_path / "b" / "report.json")
    report("CTGAN", 0.95, float("nan"), None).to_json(tmp_path / "c.json")
    return [tmp_path / "a", tmp_path / "b", tmp_path / "c.json"]


def test_run_folders_report_folders_and_files_stand_side_by_side(runs):
    found = compare(runs)
    assert found.names == ["TabDiff", "<script>", "CTGAN"]
    assert [one.value for one in found.figures["Detector AUC"]] == [0.55, 0.47, 0.95]
    assert found.best("Detector AUC") == {1}
    assert found.best("Shape error") == {0}
    assert found.seconds == [600, 60, None]
    assert found.notes == []


def test_equal_ones_are_best_together_and_one_alone_is_not(tmp_path):
    for name in "ab":
        report(name, 0.5, 0.02).to_json(tmp_path / name / "report.json")
    found = compare([tmp_path / "a", tmp_path / "b"])
    assert found.best("Shape error") == {0, 1}
    found.figures["Shape error"][1] = None
    assert found.best("Shape error") == set()


def test_what_does_not_compare_is_said(tmp_path):
    report("a", 0.5, 0.02).to_json(tmp_path / "a" / "report.json")
    report("b", 0.5, 0.02, real="b", rows=50).to_json(tmp_path / "b" / "report.json")
    notes = compare([tmp_path / "a", tmp_path / "b"]).notes
    assert len(notes) == 2
    assert "different real data" in notes[0]
    assert "different numbers of synthetic rows" in notes[1]


def test_utility_of_other_targets_and_p_values_are_not_ranked(tmp_path):
    for name, target, p_value, floor in (("a", "income", 0.4, 0.5), ("b", "sex", 0.9, 0.52)):
        made = report(name, 0.6, 0.02)
        made.facts["target"] = target
        made.figures[0] = replace(made.figures[0], floor=floor)
        made.figures.append(Figure("Copying test p", p_value, "privacy", "not small", "", key=True))
        made.to_json(tmp_path / name / "report.json")
    found = compare([tmp_path / "a", tmp_path / "b"])
    assert found.notes == ["Utility is that of different targets, which do not compare: income, sex."]
    assert found.best("Copying test p") == set()
    assert "0.5 / 0.52" in found.to_html(tmp_path / "comparison.html").read_text()


def test_folders_name_reports_of_one_model(tmp_path):
    for name in ("first", "second"):
        report("TabDiff", 0.5, 0.02).to_json(tmp_path / name / "report" / "report.json")
    assert compare([tmp_path / "first", tmp_path / "second"]).names == ["first", "second"]


def test_errors(runs, tmp_path):
    with pytest.raises(SynthgenError, match="expected two reports or more"):
        compare(runs[:1])
    with pytest.raises(SynthgenError, match="no such report; synthgen evaluate makes one"):
        compare([*runs, tmp_path / "d"])
    for text, said in (
        ("{", "cannot be read as a report"),
        ("[]", "is not a report of synthgen"),
        ('{"format": "synthgen-report", "version": 2}', "is of version 2, expected 1"),
        ('{"format": "synthgen-report", "version": 1}', "damaged: 'kind' is NoneType, expected str"),
    ):
        (tmp_path / "d.json").write_text(text)
        with pytest.raises(SynthgenError, match=said):
            compare([*runs, tmp_path / "d.json"])
    sound = json.loads((tmp_path / "c.json").read_text())
    for broken, said in (
        ({"figures": [1]}, "a figure cannot be read"),
        ({"figures": [{"value": 1}]}, "a figure cannot be read"),
        ({"figures": [{**sound["figures"][0], "value": "high"}]}, "a figure cannot be read: value is 'high'"),
        ({"made": {"training_seconds": "long"}}, "training_seconds is 'long', expected a number"),
    ):
        (tmp_path / "d.json").write_text(json.dumps({**sound, **broken}))
        with pytest.raises(SynthgenError, match=said):
            compare([*runs, tmp_path / "d.json"])
    with pytest.raises(SynthgenError, match="no such report"):
        compare([1, 2])
    images = report("EDM", 0.5, 0.02)
    images.kind = "images"
    with pytest.raises(SynthgenError, match="reports of images and of table, which do not compare"):
        compare([*runs, images.to_json(tmp_path / "images.json")])


def test_json(runs, tmp_path):
    content = json.loads(compare(runs).to_json(tmp_path / "comparison.json").read_text())
    assert content["names"] == ["TabDiff", "<script>", "CTGAN"]
    assert content["figures"]["Shape error"] == [0.01, 0.03, None]


@needs_chromium
def test_the_page_in_a_browser(runs, tmp_path):
    page = compare(runs).to_html(tmp_path / "comparison.html")
    with opened(page, width=390) as browser:
        browser.scroll_through()
        assert browser.complaints == []
        assert browser.asked == []
        assert browser.page.locator(".chart .main-svg").count() > 0
        assert browser.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert browser.page.locator("th", has_text="<script>").count() == 1
