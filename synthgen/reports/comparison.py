"""Several reports side by side: one table of their figures, and quality against the seconds that it took."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from rich.markup import escape as markup
from rich.table import Table

from synthgen.errors import SynthgenError
from synthgen.files import replacing
from synthgen.reports.gates import loss
from synthgen.reports.page.render import page_html
from synthgen.reports.report import FORMAT, VERSION, Figure, Section

__all__ = ["Comparison", "compare", "read_report"]

_NUMBERS = ("low", "high", "floor", "floor_low", "floor_high", "reference")


@dataclass
class Comparison:
    """Figures of several synthetic data sets.

    Attributes:
        names: One a report.
        figures: Those that any report has, in the first one's order: one a report, None where it lacks it.
        seconds: Of training, one a report; None where its report does not say.
        notes: What makes them hard to compare.
        kind: "table" or "images".
    """

    names: list[str]
    figures: dict[str, list[Figure | None]]
    seconds: list[float | None]
    kind: str
    notes: list[str] = field(default_factory=list)

    def best(self, name: str) -> set[int]:
        """Which reports are best in a figure; none where it cannot be told."""
        figures = self.figures[name]
        losses = [
            math.inf if one is None else loss(one.better, one.value, one.reference if one.floor is None else one.floor)
            for one in figures
        ]
        known = [one for one in losses if math.isfinite(one)]
        return {number for number, one in enumerate(losses) if one == min(known)} if len(known) > 1 else set()

    def table(self) -> Table:
        """For a terminal: one row a figure, one column a report, the best in bold."""
        table = Table(title="Comparison", title_justify="left", header_style="bold")
        table.add_column("Figure", no_wrap=True)
        for name in self.names:
            table.add_column(markup(name), justify="right")
        table.add_column("Real", justify="right")
        table.add_column("Better")
        for name, figures in self.figures.items():
            best = self.best(name)
            cells = ["—" if one is None else one.shown() for one in figures]
            cells = [f"[bold]{cell}[/bold]" if number in best else cell for number, cell in enumerate(cells)]
            first = next(one for one in figures if one is not None)
            table.add_row(markup(name), *cells, _real(figures), first.better)
        table.add_section()
        table.add_row("training seconds", *("—" if s is None else f"{s:,.0f}" for s in self.seconds), "", "lower")
        return table

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page: one file that asks no network for anything."""
        section = self._plots()
        rows = []
        for name, figures in self.figures.items():
            best = self.best(name)
            cells = [
                (one.shown() if one else "—", one.interval() if one else "", n in best) for n, one in enumerate(figures)
            ]
            rows.append((next(one for one in figures if one is not None), cells, _real(figures)))
        page = page_html(
            "comparison.html.j2", "Comparison", section.plots, comparison=self, rows=rows, plots_html=section.html
        )
        with replacing(Path(path)) as partial:
            partial.write_text(page, encoding="utf-8")
        return Path(path)

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Writes names, seconds, notes and values; an undefined value is null."""
        content = {
            "format": "synthgen-comparison",
            "version": VERSION,
            "kind": self.kind,
            "names": self.names,
            "training_seconds": self.seconds,
            "notes": self.notes,
            "figures": {
                name: [one.value if one is not None and math.isfinite(one.value) else None for one in figures]
                for name, figures in self.figures.items()
            },
        }
        with replacing(Path(path)) as partial:
            partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return Path(path)

    def _plots(self) -> Section:
        """One chart a figure that is looked at first, over all reports that say how long training took."""
        timed = [number for number, spent in enumerate(self.seconds) if spent]
        plots, cards = {}, []
        for position, (name, figures) in enumerate(self.figures.items()):
            shown = [number for number in timed if figures[number] is not None and math.isfinite(figures[number].value)]  # type: ignore[union-attr]
            first = next(one for one in figures if one is not None)
            if not first.key or not shown:
                continue
            key = f"quality-{position}"
            plots[key] = self._plot(first, figures, shown)
            cards.append(
                f'<article class="plot"><h3>{escape(name)}</h3><small>{escape(first.better)}</small>'
                f'<div class="chart" data-plot="{key}" style="height:260px" role="img" '
                f'aria-label="{escape(name)} against seconds of training; the table below has the numbers"></div>'
                "</article>"
            )
        return Section("Quality against seconds", f'<div class="plots">{"".join(cards)}</div>' if cards else "", plots)

    def _plot(self, first: Figure, figures: Sequence[Figure | None], shown: Sequence[int]) -> dict[str, Any]:
        seconds = [float(self.seconds[number] or 0.0) for number in shown]
        known = [one for one in (figures[number] for number in shown) if one is not None]
        points = {
            "type": "scatter",
            "mode": "markers+text",
            "meta": "synthetic",
            "x": seconds,
            "y": [one.value for one in known],
            "text": [escape(_short(self.names[number])) for number in shown],  # plotly reads tags
            "textposition": "top center",
            "cliponaxis": False,
            "marker": {"size": 9},
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": [max((one.high if one.high is not None else one.value) - one.value, 0) for one in known],
                "arrayminus": [max(one.value - (one.low if one.low is not None else one.value), 0) for one in known],
                "thickness": 1,
            },
        }
        data = [points]
        others = {one.floor if one.floor is not None else one.reference for one in known}
        other = others.pop() if len(others) == 1 else None  # several would be lines that belong to nothing
        if other is not None and math.isfinite(other):
            span = [min(seconds) / 1.5, max(seconds) * 1.5]
            line = {"type": "scatter", "mode": "lines", "meta": "real", "x": span, "y": [other, other]}
            data.insert(0, {**line, "line": {"dash": "dash", "width": 2}, "hovertemplate": "real: %{y}<extra></extra>"})
        ticks = [lead * 10**power for power in range(-1, 7) for lead in (1, 2, 5)]
        layout = {
            "xaxis": {
                "type": "log",
                "title": {"text": "seconds of training"},
                "tickvals": ticks,
                "ticktext": [f"{tick:,g}" for tick in ticks],
            },
            "yaxis": {"tickformat": ".1%" if first.percent else ""},
            "margin": {"l": 48, "r": 24, "t": 20, "b": 40},
        }
        return {"data": data, "layout": layout}


def compare(runs: Sequence[str | os.PathLike[str]]) -> Comparison:
    """Puts reports side by side.

    Args:
        runs: For each its run folder, the folder of its report, or its report.json.

    Raises:
        SynthgenError: Fewer than two, one that is not there or cannot be read, or reports of tables and of images.
    """
    if isinstance(runs, str) or len(runs) < 2:
        raise SynthgenError(f"runs: found {runs!r}, expected two reports or more: runs=[A,B]")
    files = [_file(Path(str(run))) for run in runs]
    reports = [read_report(file) for file in files]
    kinds = sorted({report["kind"] for report in reports})
    if len(kinds) > 1:
        raise SynthgenError(f"runs: found reports of {' and of '.join(kinds)}, which do not compare")
    notes = []
    real = {json.dumps({k: v for k, v in _hashes(report).items() if k != "synthetic"}) for report in reports}
    if len(real) > 1:
        notes.append("The reports are of different real data: their figures do not compare.")
    sizes = {json.dumps([value for key, value in report["facts"].items() if "synthetic" in key]) for report in reports}
    if len(sizes) > 1:
        notes.append("The reports are of different numbers of synthetic rows or images: errors grow as they shrink.")
    for fact, what in (
        ("target", "Utility is that of different targets"),
        ("sensitive", "Fairness is that of different columns"),
        ("features", "Distances are over different features"),
        *([("seed", "Features come from classifiers of different seeds")] if kinds == ["images"] else []),
    ):
        said = list(dict.fromkeys(str(report["facts"].get(fact, "none")) for report in reports))
        if len(said) > 1:
            notes.append(f"{what}, which do not compare: {', '.join(said)}.")
    by_name = [
        {figure.name: figure for figure in (_figure(one, file) for one in report["figures"])}
        for report, file in zip(reports, files)
    ]
    names = list(dict.fromkeys(name for figures in by_name for name in figures))
    return Comparison(
        _names(reports, files),
        {name: [figures.get(name) for figures in by_name] for name in names},
        [_seconds(report, file) for report, file in zip(reports, files)],
        kinds[0],
        notes,
    )


def read_report(file: Path) -> dict[str, Any]:
    """The content of a report.json.

    Raises:
        SynthgenError: It is not there, damaged, or of another version.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SynthgenError(f"{file}: no such report; synthgen evaluate makes one") from None
    except (ValueError, RecursionError) as error:
        raise SynthgenError(f"{file}: cannot be read as a report: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SynthgenError(f"{file}: is not a report of synthgen: it lacks format={FORMAT!r}")
    if content.get("version") != VERSION:
        raise SynthgenError(f"{file}: is of version {content.get('version')!r}, expected {VERSION}; evaluate again")
    for key, kind in (("kind", str), ("facts", dict), ("made", dict), ("figures", list)):
        if not isinstance(content.get(key), kind):
            raise SynthgenError(
                f"{file}: damaged: {key!r} is {type(content.get(key)).__name__}, expected {kind.__name__}"
            )
    return content


def _file(run: Path) -> Path:
    for file in (run / "report" / "report.json", run / "report.json"):
        if file.is_file():
            return file
    return run if run.suffix == ".json" else run / "report" / "report.json"


def _names(reports: Sequence[dict[str, Any]], files: Sequence[Path]) -> list[str]:
    """Of what made each; the folder's name where two have the same, or none."""
    names = [str(report["made"].get("model") or "") for report in reports]
    folders = [
        (file.parent.parent if file.parent.name == "report" else file.parent).name or str(file) for file in files
    ]
    named = [name if name and names.count(name) == 1 else folder for name, folder in zip(names, folders)]
    return [name if named.count(name) == 1 else str(file) for name, file in zip(named, files)]


def _hashes(report: dict[str, Any]) -> dict[str, Any]:
    found = report["made"].get("data (SHA-256)")
    return found if isinstance(found, dict) else {}


def _figure(stored: dict[str, Any], file: Path) -> Figure:
    try:
        figure = Figure(**{**stored, "value": math.nan if stored["value"] is None else stored["value"]})
        for name in ("name", "face", "better"):
            if not isinstance(getattr(figure, name), str):
                raise TypeError(f"{name} is {getattr(figure, name)!r}")
        for name in ("value", *_NUMBERS):
            number = getattr(figure, name)
            if isinstance(number, bool) or not isinstance(number, int | float | None):
                raise TypeError(f"{name} is {number!r}")
    except (TypeError, KeyError) as error:
        raise SynthgenError(f"{file}: damaged: a figure cannot be read: {error}") from None
    return figure


def _seconds(report: dict[str, Any], file: Path) -> float | None:
    spent = report["made"].get("training_seconds")
    if isinstance(spent, bool) or not isinstance(spent, int | float | None):
        raise SynthgenError(f"{file}: damaged: training_seconds is {spent!r}, expected a number")
    return spent


def _real(figures: Sequence[Figure | None]) -> str:
    """What real data reaches, which differs between reports of different sizes."""
    said = list(dict.fromkeys(one.beside() for one in figures if one is not None))
    return said[0] if len(said) == 1 else " / ".join(said)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"
