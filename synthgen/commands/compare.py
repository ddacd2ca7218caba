"""`synthgen compare`: several reports side by side."""

from pathlib import Path

from omegaconf import DictConfig

from synthgen.configuration import to_plain

__all__ = ["run"]


def run(config: DictConfig) -> None:
    """Writes comparison.html and comparison.json, and prints the table."""
    from rich.console import Console

    from synthgen.reports.comparison import compare

    settings = to_plain(config)
    compared = compare(settings["runs"])
    folder = Path(settings["output"])
    compared.to_html(folder / "comparison.html")
    compared.to_json(folder / "comparison.json")
    console = Console(highlight=False, soft_wrap=True)
    console.print(compared.table())
    for note in compared.notes:
        console.print(f"note: {note}", markup=False)
    console.print(f"comparison: {folder / 'comparison.html'}", markup=False)
