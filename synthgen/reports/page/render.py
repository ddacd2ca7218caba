"""Fills the page's templates: one file that opens offline, with its style, its script and plotly.js inside."""

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from synthgen.reports.faces import FACES, MARKS, in_words

__all__ = ["figures_html", "page_html", "report_html"]


def report_html(report: Any, faces: Iterable[Any]) -> str:
    """The page of one `Report`."""
    return page_html(
        "report.html.j2",
        report.title,
        {name: plot for section in report.sections for name, plot in section.plots.items()},
        report=report,
        faces=list(faces),
        sections=[(section.title, Markup(section.html)) for section in report.sections],
        marks=MARKS,
        in_words=in_words,
        questions=FACES,
    )


def figures_html(faces: Iterable[Any]) -> str:
    """The figures' table alone, as a notebook shows it."""
    return _environment().get_template("figures.html.j2").render(faces=list(faces), questions=FACES)


def page_html(template: str, title: str, plots: Mapping[str, Mapping[str, Any]], **content: Any) -> str:
    """A whole page.

    Args:
        template: Of its body, beside this file.
        title: Of the window.
        plots: Plotly figures by name, as `Section.plots` describes them.
        content: What the template reads.
    """
    return (
        _environment()
        .get_template(template)
        .render(
            title=title,
            style=Markup(_text("style.css")),
            script=Markup(_text("page.js")),
            plotly=Markup(get_plotlyjs()) if plots else None,
            # Text within a script element ends at the first "</script", whatever quotes it stands in.
            plots=Markup(json.dumps(plots, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")),
            **content,
        )
    )


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("synthgen.reports.page", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )


def _text(name: str) -> str:
    return files("synthgen.reports.page").joinpath(name).read_text(encoding="utf-8")
