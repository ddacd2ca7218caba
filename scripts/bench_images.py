"""The image models on Fashion-MNIST: trains, samples and evaluates each by the commands that a person would type."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

import synthgen
from synthgen.commands import run_command
from synthgen.models.image.vae import VAE
from synthgen.run import load_data
from synthgen.training.run_folder import RunFolder

MODELS = ("edm", "dcgan", "vae")
SAMPLES = 6000  # as many as the holdout has


def main() -> None:
    """Prints one column of figures a model; `seed=1` takes another seed, into folders of its own; names narrow it."""
    console = Console(highlight=False, soft_wrap=True)
    seed = next((int(a.removeprefix("seed=")) for a in sys.argv[1:] if a.startswith("seed=")), 0)
    models = [model for model in MODELS if model in sys.argv[1:]] or MODELS
    rows: dict[str, dict[str, str]] = {}
    for model in models:
        name = f"fashion_{model}-seed{seed}"
        folder = Path("outputs/bench") / name
        step(console, "train", f"experiment=fashion_{model}", f"run={folder}/run", f"name={name}", f"seed={seed}")
        for n, output in ((SAMPLES, "synthetic.npz"), (100, "grid.png")):
            step(console, "sample", f"checkpoint={name}", f"n={n}", f"output={folder}/{output}", f"seed={seed}")
        step(console, "evaluate", f"run={folder}/run", f"synthetic={folder}/synthetic.npz", f"output={folder}/report")
        for figure, value, floor in measured(folder, name):
            rows.setdefault(figure, {})[model] = value
            if floor:
                rows[figure]["real"] = floor
    table = Table(title=f"Fashion-MNIST, seed {seed}", title_justify="left")
    for heading in ("figure", *models, "real against real"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for name, cells in rows.items():
        table.add_row(name, *(cells.get(column, "") for column in (*models, "real")))
    console.print(table)


def measured(folder: Path, name: str) -> Iterator[tuple[str, str, str]]:
    """Figures of a run, their values, and those of real images where there are any."""
    run = RunFolder(folder / "run")
    yield "training seconds", f"{run.state['seconds']:,.0f}", ""
    yield "examples seen", f"{run.state['samples_seen']:,}", ""
    for figure in json.loads((folder / "report/report.json").read_text())["figures"]:
        floor = figure["floor"] if figure["floor"] is not None else figure["reference"]
        yield figure["name"], f"{figure['value']:.4f}", "" if floor is None else f"{floor:.4f}"
    synthesizer = synthgen.load(name)
    if isinstance(synthesizer.model, VAE):
        holdout = synthesizer.codec.encode(load_data(run.config()).holdout)
        yield "bits/dim of the holdout", f"{float(synthesizer.model.bits_per_dim(holdout).mean()):.4f}", ""


def step(console: Console, *arguments: str) -> None:
    """Runs one synthgen command and shows it; ends where it fails."""
    console.print(f"\n$ synthgen {' '.join(arguments)}", style="bold", markup=False)
    if code := run_command(list(arguments)):
        sys.exit(code)


if __name__ == "__main__":
    main()
