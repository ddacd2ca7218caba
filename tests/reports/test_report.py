import io
import json
from dataclasses import replace
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator, ValidationError
from rich.console import Console

from synthgen.errors import SynthgenError
from synthgen.metrics.intervals import Estimate
from synthgen.reports.report import VERSION, Figure, Finding, Report, Section, Verdict
from tests.browser import needs_chromium, opened


@pytest.fixture
def report():
    return Report(
        "A <b>report</b> [bold]",
        figures=[
            Figure("Copied rows", 0.0, "privacy", "lower", "Copies.", 0.0014, percent=True),
            Figure("Shape error", 0.01234, "fidelity", "lower", "Columns & shapes.", percent=True, low=0.01, high=0.02),
            Figure("TSTR AUC", 0.91, "utility", "higher", "Use.", reference=0.93, reference_name="TRTR"),
            Figure("Undefined", float("nan"), "fidelity", "lower", "Nothing."),
        ],
        verdicts=[Verdict("fidelity", "mixed", "Some <i>columns</i> are off.")],
        findings=[Finding("fidelity", f"column {i}: off.", 1 / (i + 1), (f"{i}",)) for i in range(5)],
        sections=[Section("Pictures", "<p id='here'>picture</p>")],
        facts={"training rows": 12345},
        made={"seed": 0, "versions": {"synthgen": "0.1.0"}, "command": "synthgen evaluate <x>"},
        notes=["No target."],
    )


def test_figures_are_found_by_name(report):
    assert report["Shape error"] == 0.01234
    with pytest.raises(SynthgenError, match=r"no figure 'Shape eror': did you mean 'Shape error'\?"):
        report["Shape eror"]
    with pytest.raises(SynthgenError, match=r"face 'fidelty': did you mean 'fidelity'\?"):
        Figure("x", 1.0, "fidelty", "lower", "")
    with pytest.raises(SynthgenError, match="level 'fine'"):
        Verdict("fidelity", "fine", "")


def test_json_reads_back_and_keeps_to_its_schema(report, tmp_path):
    content = json.loads(report.to_json(tmp_path / "new" / "report.json").read_text())
    assert content["facts"] == {"training rows": 12345}
    assert content["figures"][1]["value"] == 0.01234
    assert content["figures"][2]["reference"] == 0.93
    assert content["figures"][3]["value"] is None
    assert content["notes"] == ["No target."]
    schema = json.loads(files("synthgen.reports").joinpath("report.schema.json").read_text())
    assert schema["properties"]["version"]["const"] == VERSION
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(content)
    with pytest.raises(ValidationError):
        Draft202012Validator(schema).validate({**content, "surplus": 1})


def test_a_value_is_as_real_where_intervals_meet():
    one = Figure("x", 0.5, "fidelity", "lower", "", floor=0.4, low=0.42, high=0.58)
    assert not one.as_real
    assert replace(one, floor_low=0.35, floor_high=0.45).as_real
    assert replace(one, floor=0.45).as_real
    assert not replace(one, floor=None).as_real
    assert one.interval() == "0.42 to 0.58"
    assert replace(one, percent=True).interval() == "42.00 to 58.00 %"
    assert replace(one, high=float("inf")).interval() == "0.42 to ∞"
    assert replace(one, low=float("-inf")).interval() == "−∞ to 0.58"
    assert one.measured(Estimate(12.0, float("nan"), float("nan"))).interval() == ""


def test_html_is_escaped_grouped_and_whole(report, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("older")
    html = report.to_html(path).read_text()
    assert "<title>A &lt;b&gt;report&lt;/b&gt; [bold]</title>" in html
    assert "Columns &amp; shapes." in html
    assert "<p id='here'>picture</p>" in html
    assert html.index("Does it look real?") < html.index("Does a model trained") < html.index("give away training")
    assert "Does it treat groups" not in html
    assert "Some &lt;i&gt;columns&lt;/i&gt; are off." in html
    assert "synthgen evaluate &lt;x&gt;" in html
    assert html.index("column 2: off.") < html.index("<summary>2 more</summary>") < html.index("column 3: off.")
    assert "1.23 %" in html
    assert "12,345" in html
    assert "* plotly.js v" not in html
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_plotly_is_inlined_once(report, tmp_path):
    plots = {f"plot-{i}": {"data": [{"name": "</script>"}], "layout": {}} for i in range(3)}
    report.sections = [Section(name, "", {name: plot}) for name, plot in plots.items()]
    html = report.to_html(tmp_path / "report.html").read_text()
    assert html.count("* plotly.js v") == 1
    stored = html.partition('id="plots">')[2].partition("</script>")[0]
    assert json.loads(stored) == plots


def test_an_unfinished_write_leaves_the_older_report(report, tmp_path, monkeypatch):
    path = report.to_html(tmp_path / "report.html")
    before = path.read_text()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    report.title = "newer"
    with pytest.raises(OSError, match="disk full"):
        report.to_html(path)
    assert path.read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_terminal_and_notebook(report):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(report.table())
    shown = console.export_text()
    for text in (shown, repr(report), report._repr_html_()):
        assert "Shape error" in text
        assert "1.23 %" in text
        assert "TRTR 0.93" in text
        assert "undefined" in text
    assert "[bold]" in shown
    assert shown.index("Fidelity") < shown.index("Utility") < shown.index("Privacy")


def test_a_terminal_of_80_columns_shows_every_number_whole(report):
    long = Figure(
        "Demographic parity difference (deductible_plan)", 0.02808, "fairness", "no more than real", "As told."
    )
    report.figures = [
        replace(long, low=0.002981, high=0.05317, reference=0.01559, reference_name="TRTR"),
        replace(long, name="Rare category error", value=1.6728, percent=True, low=1.6363, high=1.7094, floor=0.9982),
    ]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(report.table())
    shown = console.export_text()
    numbers = ["0.02808", "0.002981 to 0.05317", "TRTR 0.01559", "167.28 %", "163.63 to 170.94 %", "99.82 %"]
    assert all(number in shown for number in numbers)
    assert "…" not in shown


@needs_chromium
def test_the_browser_helper_sees_errors_and_requests(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text("<img src='https://example.org/x.png'><script>undefinedFunction()</script>")
    with opened(page) as browser:
        assert any("undefinedFunction" in line for line in browser.complaints)
        assert any("example.org" in address for address in browser.asked)
