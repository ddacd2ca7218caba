import io
import json

import pytest
from rich.console import Console

from synthgen.errors import SynthgenError
from synthgen.reports.report import Figure, Report, Section
from tests.browser import needs_chromium, opened


@pytest.fixture
def report():
    return Report(
        "A <b>report</b> [bold]",
        [
            Figure("Copied rows", 0.0, "privacy", "lower", "Copies.", 0.0014, percent=True),
            Figure("Shape error", 0.01234, "fidelity", "lower", "Columns & shapes.", percent=True),
            Figure("TSTR AUC", 0.91, "utility", "higher", "Use.", reference=0.93, reference_name="TRTR"),
            Figure("Undefined", float("nan"), "fidelity", "lower", "Nothing."),
        ],
        [Section("Pictures", "<p id='here'>picture</p>")],
        {"training rows": 12345},
        ["No target."],
    )


def test_figures_are_found_by_name(report):
    assert report["Shape error"] == 0.01234
    with pytest.raises(SynthgenError, match=r"no figure 'Shape eror': did you mean 'Shape error'\?"):
        report["Shape eror"]
    with pytest.raises(SynthgenError, match=r"face 'fidelty': did you mean 'fidelity'\?"):
        Figure("x", 1.0, "fidelty", "lower", "")


def test_json_reads_back(report, tmp_path):
    content = json.loads(report.to_json(tmp_path / "new" / "report.json").read_text())
    assert content["facts"] == {"training rows": 12345}
    assert content["figures"][1]["value"] == 0.01234
    assert content["figures"][2]["reference"] == 0.93
    assert content["figures"][3]["value"] is None
    assert content["notes"] == ["No target."]


def test_html_is_escaped_grouped_and_whole(report, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("older")
    html = report.to_html(path).read_text()
    assert "<title>A &lt;b&gt;report&lt;/b&gt; [bold]</title>" in html
    assert "Columns &amp; shapes." in html
    assert "<p id='here'>picture</p>" in html
    assert html.index("Does it look real?") < html.index("Does a model trained") < html.index("give away training")
    assert "Does it treat groups" not in html
    assert "1.23 %" in html
    assert "12,345" in html
    assert "Plotly" not in html
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_plotly_is_inlined_once(report, tmp_path):
    report.sections = [Section(str(i), "<script>Plotly.newPlot('x')</script>") for i in range(3)]
    assert report.to_html(tmp_path / "report.html").read_text().count("* plotly.js v") == 1


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


@needs_chromium
def test_the_browser_helper_sees_errors_and_requests(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text("<img src='https://example.org/x.png'><script>undefinedFunction()</script>")
    _, console, asked = opened(page, tmp_path)
    assert any("undefinedFunction" in line for line in console)
    assert any("example.org" in address for address in asked)
