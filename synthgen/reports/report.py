"""What people look at: figures with their meaning, and pictures, as one HTML file and one JSON file."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from rich.markup import escape
from rich.table import Table

from synthgen.errors import SynthgenError, nearest

__all__ = ["FACES", "Figure", "Progress", "Report", "Section"]

Progress = Callable[[str], None]
"""Called before each part of a report with what comes next."""

FACES = {
    "fidelity": "Does it look real?",
    "utility": "Does a model trained on it work on real data?",
    "privacy": "Does it give away training records?",
    "fairness": "Does it treat groups as the real data does, or better?",
}


@dataclass(frozen=True)
class Figure:
    """One number of a report, with what it takes to read it.

    Attributes:
        name: What `Report.__getitem__` finds it by.
        value: Of the synthetic data; NaN where undefined.
        face: "fidelity", "utility", "privacy" or "fairness".
        better: Which way is better: "lower", "higher", "closer to 0.5" ...
        description: What it measures and what it cannot tell.
        floor: The same figure for held-out real data in the place of the synthetic data.
        reference: Another number to hold it against, such as what real training data reaches.
        reference_name: What that number is: "TRTR".
        percent: Whether it is a share that people read as a percentage.
    """

    name: str
    value: float
    face: str
    better: str
    description: str
    floor: float | None = None
    reference: float | None = None
    reference_name: str = ""
    percent: bool = False

    def __post_init__(self) -> None:
        if self.face not in FACES:
            raise SynthgenError(f"figure {self.name!r} has face {self.face!r}: {nearest(self.face, FACES)}")

    def shown(self) -> str:
        """The value as people read it."""
        return self._written(self.value)

    def beside(self) -> str:
        """The floor or the reference as people read it, with its name; a dash when there is neither."""
        parts = []
        if self.floor is not None:
            parts.append(self._written(self.floor))
        if self.reference is not None:
            parts.append(f"{self.reference_name} {self._written(self.reference)}".strip())
        return ", ".join(parts) or "—"

    def _written(self, number: float) -> str:
        if not math.isfinite(number):
            return "undefined"
        return f"{100 * number:.2f} %" if self.percent else f"{number:.4g}"


@dataclass(frozen=True)
class Section:
    """A part of the HTML report: a heading and an HTML fragment, which is trusted as it is."""

    title: str
    html: str


@dataclass
class Report:
    """Figures and pictures of one synthetic data set.

    `report["Shape error"]` is a figure's value; a notebook shows the figures' table.

    Attributes:
        title: Of the page.
        figures: In the order they are shown within each face.
        sections: Pictures, in order; on the HTML page only.
        facts: What was compared: rows, columns, seed.
        notes: What a reader must know, such as figures that are absent and why.
    """

    title: str
    figures: list[Figure] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> float:
        for figure in self.figures:
            if figure.name == name:
                return figure.value
        names = [figure.name for figure in self.figures]
        raise SynthgenError(f"the report has no figure {name!r}: {nearest(name, names, what='its figures are')}")

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page: one file that asks no network for anything, and is never seen half written."""
        drawn = any("Plotly.newPlot" in section.html for section in self.sections)
        page = _template("report.html.j2").render(
            report=self,
            faces=self._faces(),
            sections=[(section.title, Markup(section.html)) for section in self.sections],
            plotly=Markup(get_plotlyjs()) if drawn else None,
        )
        return _written(page, Path(path))

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Writes title, facts, notes and figures; an undefined value is null."""
        figures = [
            {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in row.items()
            }
            for row in map(asdict, self.figures)
        ]
        content = {"title": self.title, "facts": self.facts, "notes": self.notes, "figures": figures}
        return _written(json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n", Path(path))

    def table(self) -> Table:
        """The figures for a terminal, grouped by face."""
        table = Table(title=escape(self.title), title_justify="left", header_style="bold")
        table.add_column("Figure", no_wrap=True)
        table.add_column("Synthetic", justify="right")
        table.add_column("Real", justify="right")
        table.add_column("Better")
        for face, _, figures in self._faces():
            table.add_section()
            table.add_row(f"[bold]{face.capitalize()}[/bold]")
            for figure in figures:
                table.add_row(f"  {escape(figure.name)}", figure.shown(), figure.beside(), figure.better)
        return table

    def __repr__(self) -> str:
        width = max((len(figure.name) for figure in self.figures), default=0)
        lines = [
            f"  {figure.name:<{width}}  {figure.shown():>10}   real {figure.beside():<12} ({figure.better})"
            for _, _, figures in self._faces()
            for figure in figures
        ]
        return "\n".join([self.title, *lines, *(f"  Note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return _template("figures.html.j2").render(report=self, faces=self._faces())

    def _faces(self) -> list[tuple[str, str, list[Figure]]]:
        grouped = [(face, asked, [one for one in self.figures if one.face == face]) for face, asked in FACES.items()]
        return [group for group in grouped if group[2]]


def _template(name: str) -> Any:
    return Environment(loader=PackageLoader("synthgen.reports", "."), autoescape=True, trim_blocks=True).get_template(
        name
    )


def _written(text: str, path: Path) -> Path:
    """Writes beside `path` and moves over it: a reader, or a machine that stops, never meets half a report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path
