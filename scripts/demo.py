"""The main job on two embedded real data sets: train, sample, evaluate, by the commands that a person would type.

All commands run in this one process, so that PyTorch is imported once. Given `seed=1`, everything is done with another
seed, into folders of its own.
"""

import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from synthgen.commands import run_command

OUTPUT = Path("outputs/demo")


def main() -> None:
    """Runs both demos and prints their figures and paths."""
    console = Console(highlight=False, soft_wrap=True)
    seed = next((int(a.removeprefix("seed=")) for a in sys.argv[1:] if a.startswith("seed=")), 0)
    begun = time.monotonic()
    folders = {}
    for kind, n, output in (("table", 15_345, "synthetic.parquet"), ("images", 800, "synthetic.npz")):
        folder = folders[kind] = OUTPUT / (kind if seed == 0 else f"{kind}-seed{seed}")
        name = f"demo-{kind}" + (f"-seed{seed}" if seed else "")
        synthetic, report = folder / output, folder / "report"
        step(console, "train", f"experiment=demo_{kind}", f"run={folder}/run", f"name={name}", f"seed={seed}")
        if older(synthetic, folder / "run/run.json"):
            step(console, "sample", f"checkpoint={name}", f"n={n}", f"output={synthetic}", f"seed={seed}")
        if kind == "images" and older(folder / "grid.png", folder / "run/run.json"):
            step(console, "sample", f"checkpoint={name}", "n=100", f"output={folder}/grid.png", f"seed={seed}")
        if older(report / "report.json", synthetic):
            step(console, "evaluate", f"run={folder}/run", f"synthetic={synthetic}", f"output={report}")
    table = Table(title=f"synthgen demo, {time.monotonic() - begun:,.0f} s", title_justify="left")
    for heading in ("data", "figure", "value", "real against real"):
        table.add_column(heading, justify="left" if heading in ("data", "figure") else "right")
    for kind, folder in folders.items():
        for figure in json.loads((folder / "report/report.json").read_text())["figures"]:
            reference = figure["floor"] if figure["floor"] is not None else figure["reference"]
            cells = [f"{value:.4f}" if value is not None else "" for value in (figure["value"], reference)]
            table.add_row(kind, figure["name"], *cells)
    console.print(table)
    console.print(f"synthetic table: {folders['table']}/synthetic.parquet")
    console.print(f"sample grid:     {folders['images']}/grid.png")
    for kind, folder in folders.items():
        console.print(f"report:          {folder}/report/report.html ({kind})")


def older(made: Path, source: Path) -> bool:
    """Whether a file is not there yet, or was made before what it is made from."""
    return not made.exists() or made.stat().st_mtime < source.stat().st_mtime


def step(console: Console, *arguments: str) -> None:
    """Runs one synthgen command and shows it; ends the demo where it fails."""
    console.print(f"\n$ synthgen {' '.join(arguments)}", style="bold", markup=False)
    if code := run_command(list(arguments)):
        sys.exit(code)


if __name__ == "__main__":
    main()
