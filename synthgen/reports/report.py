"""What people look at: figures with their meaning, what is wrong in sentences, and pictures."""

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from synthgen.errors import SynthgenError, nearest
from synthgen.files import replacing
from synthgen.metrics.intervals import Estimate
from synthgen.reports.faces import FACES, MARKS
from synthgen.reports.gates import failures, read_gates
from synthgen.reports.page.render import figures_html, report_html

__all__ = ["FORMAT", "VERSION", "Figure", "Finding", "Progress", "Report", "Section", "Verdict"]

FORMAT, VERSION = "synthgen-report", 1

Progress = Callable[[str, float], None]
"""Called before each part of a report with what comes next, and the share of the work that is done, 0 to 1."""

SHOWN_FINDINGS = 3


@dataclass(frozen=True)
class Figure:
    """One number of a report, with what it takes to read it.

    Attributes:
        name: What `Report.__getitem__` finds it by.
        value: Of the synthetic data; NaN where undefined.
        face: "fidelity", "utility", "privacy" or "fairness".
        better: Which way is better: "lower", "higher", "closer to 0.5" ...
        description: What it measures and what it cannot tell.
        low: Lower end of the value's interval at level 0.95, or None.
        high: Its upper end.
        floor: The same figure for held-out real data in the place of the synthetic data.
        floor_low: Lower end of the floor's interval, or None.
        floor_high: Its upper end.
        reference: Another number to hold it against, such as what real training data reaches.
        reference_name: What that number is: "TRTR".
        percent: Whether it is a share that people read as a percentage.
        key: Whether it is one of the few to look at first.
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
    key: bool = False
    low: float | None = None
    high: float | None = None
    floor_low: float | None = None
    floor_high: float | None = None

    def __post_init__(self) -> None:
        if self.face not in FACES:
            raise SynthgenError(f"figure {self.name!r} has face {self.face!r}: {nearest(self.face, FACES)}")

    def measured(self, found: Estimate, floor: Estimate | None = None) -> "Figure":
        """This figure with the value and interval of `found`, and those of its floor."""
        low, high = _ends(found)
        own = replace(self, value=found.value, low=low, high=high)
        if floor is None:
            return own
        low, high = _ends(floor)
        return replace(own, floor=floor.value, floor_low=low, floor_high=high)

    @property
    def as_real(self) -> bool:
        """Whether value and floor may be the same number, for all that their intervals say."""
        if self.floor is None or self.low is None or self.high is None:
            return False
        low = self.floor if self.floor_low is None else self.floor_low
        high = self.floor if self.floor_high is None else self.floor_high
        return self.low <= high and low <= self.high

    def shown(self) -> str:
        """The value as people read it."""
        return self._written(self.value)

    def interval(self) -> str:
        """The value's interval as people read it; empty where there is none."""
        if self.low is None or self.high is None or not math.isfinite(self.value):
            return ""
        infinite = {math.inf: "∞", -math.inf: "−∞"}
        ends = [infinite.get(end) or self._written(end) for end in (self.low, self.high)]
        return f"{ends[0].removesuffix(' %')} to {ends[1]}"

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
class Finding:
    """Something that is wrong with the synthetic data, in a sentence.

    Attributes:
        face: Which face it belongs to.
        text: The sentence.
        severity: How bad, comparable between findings: of rows and columns the share of rows that would have to
            change, beyond what held-out real data differs by; 1 and more for training records given away.
        subject: The column, or columns, that it is about.
    """

    face: str
    text: str
    severity: float
    subject: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """One face in plain words.

    Attributes:
        face: Which.
        level: "good", "mixed", "poor" or "unknown".
        text: A sentence or two.
    """

    face: str
    level: str
    text: str

    def __post_init__(self) -> None:
        if self.face not in FACES or self.level not in MARKS:
            raise SynthgenError(f"verdict: found face {self.face!r} with level {self.level!r}")


@dataclass(frozen=True)
class Section:
    """A part of the HTML report.

    Attributes:
        title: Its heading.
        html: A fragment, which is trusted as it is.
        plots: Plotly figures as plain data and layout, by the name that an element of class "chart" asks for in its
            attribute `data-plot`. A trace whose `meta` is "real" or "synthetic" gets that side's colour.
    """

    title: str
    html: str
    plots: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass
class Report:
    """What is known of one synthetic data set.

    `report["Shape error"]` is a figure's value; a notebook shows the figures' table.

    Attributes:
        title: Of the page.
        kind: "table" or "images".
        figures: In the order they are shown within each face.
        verdicts: One a face, in plain words.
        findings: What is wrong, worst first.
        details: Figures of each column, pair or group, by name: each a list of rows.
        sections: Pictures, in order; on the HTML page only.
        facts: What was compared: rows, columns, seed.
        made: How it was made: hashes, versions, command, model.
        notes: What a reader must know, such as figures that are absent and why.
    """

    title: str
    kind: str = "table"
    figures: list[Figure] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    details: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> float:
        return self.figure(name).value

    def figure(self, name: str) -> Figure:
        """The figure of that name.

        Raises:
            SynthgenError: There is none.
        """
        for figure in self.figures:
            if figure.name == name:
                return figure
        names = [figure.name for figure in self.figures]
        raise SynthgenError(f"the report has no figure {name!r}: {nearest(name, names, what='its figures are')}")

    def passes(self, gates: Mapping[str, Any] | str | os.PathLike[str]) -> bool:
        """Whether every threshold is kept; see `failures`."""
        return not self.failures(gates)

    def failures(self, gates: Mapping[str, Any] | str | os.PathLike[str]) -> list[str]:
        """The thresholds that are not kept, a sentence each.

        Args:
            gates: Thresholds by face and figure, or the YAML file that holds them; see `synthgen.reports.gates`.

        Raises:
            SynthgenError: The thresholds cannot be read.
        """
        return failures(read_gates(gates), {figure.name: figure for figure in self.figures})

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page: one file that asks no network for anything, and is never seen half written."""
        return _written(report_html(self, self.faces()), Path(path))

    def to_dict(self) -> dict[str, Any]:
        """What `to_json` writes: plain values, an undefined or infinite number as None."""
        return _plain(
            {
                "format": FORMAT,
                "version": VERSION,
                "title": self.title,
                "kind": self.kind,
                "facts": self.facts,
                "made": self.made,
                "notes": self.notes,
                "verdicts": [asdict(verdict) for verdict in self.verdicts],
                "findings": [asdict(finding) for finding in self.findings],
                "figures": [asdict(figure) for figure in self.figures],
                "details": self.details,
            }
        )

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Writes everything but the pictures, as `docs/report.md` describes it."""
        return _written(json.dumps(self.to_dict(), indent=2, ensure_ascii=False, default=str) + "\n", Path(path))

    def table(self) -> Table:
        """The figures for a terminal, grouped by face."""
        table = Table(title=escape(self.title), title_justify="left", header_style="bold")
        # A narrow terminal breaks words, and never a number.
        table.add_column("Figure", overflow="fold", min_width=14)
        table.add_column("Synthetic", justify="right", no_wrap=True)
        table.add_column("95 % interval", justify="right", no_wrap=True)
        table.add_column("Real", justify="right", no_wrap=True)
        table.add_column("Better", overflow="fold", min_width=8)
        for face, _, figures in self.faces():
            table.add_section()
            table.add_row(f"[bold]{face.capitalize()}[/bold]")
            for one in figures:
                table.add_row(f"  {escape(one.name)}", one.shown(), one.interval(), one.beside(), one.better)
        return table

    def faces(self) -> list[tuple[str, Verdict | None, list[Figure]]]:
        """Each face that has anything: its name, its verdict and its figures."""
        verdicts = {verdict.face: verdict for verdict in self.verdicts}
        grouped = [
            (face, verdicts.get(face), [figure for figure in self.figures if figure.face == face]) for face in FACES
        ]
        return [(face, verdict, figures) for face, verdict, figures in grouped if verdict or figures]

    def nothing_found(self) -> str:
        """What to say where there is no finding: no more than was looked at."""
        table = self.kind == "table"
        if f"holdout {'rows' if table else 'images'}" not in self.facts:
            return "Nothing was compared with held-out data, so that nobody can say what stands out."
        if any(verdict.level in ("mixed", "poor") for verdict in self.verdicts):
            return "No single part explains what is not as it should be."
        if table:
            return "No column, pair, group or record that was compared is further off than held-out real data is."
        return "No class that was compared is further off than held-out real images are, and no copies were noticed."

    def worst(self) -> list[Finding]:
        """The findings to tell first."""
        return self.findings[:SHOWN_FINDINGS]

    def __repr__(self) -> str:
        width = max((len(figure.name) for figure in self.figures), default=0)
        lines = [
            f"  {figure.name:<{width}}  {figure.shown():>10}   real {figure.beside():<12} ({figure.better})"
            for _, _, figures in self.faces()
            for figure in figures
        ]
        found = [f"  {finding.text}" for finding in self.worst()]
        return "\n".join([self.title, *lines, *found, *(f"  Note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return figures_html(self.faces())


def _ends(found: Estimate) -> tuple[float | None, float | None]:
    """The ends of an interval; None of one that is not known."""
    unknown = math.isnan(found.low) or math.isnan(found.high)
    return (None, None) if unknown else (found.low, found.high)


def _plain(value: Any) -> Any:
    """Plain values all the way down; JSON knows neither NaN nor infinity."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _written(text: str, path: Path) -> Path:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path
