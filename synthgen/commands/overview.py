"""Help, read from the configs themselves: a choice is described by the first comment of its file."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from synthgen.configuration import config_folder

__all__ = ["print_command_help", "print_overview"]

_EXAMPLES = {
    "train": [
        "synthgen train data=csv data.path=people.csv data.target=income max_time=00:10:00",
        "synthgen train experiment=demo_images",
        "synthgen train run=outputs/RUN          # goes on where it was interrupted",
    ],
    "sample": [
        "synthgen sample checkpoint=people n=100000 output=people.parquet condition.income='>50K'",
        "synthgen sample checkpoint=digits-edm n=64 output=grid.png condition.label=3 sampler=dpmpp_2m",
    ],
    "evaluate": [
        "synthgen evaluate real=train.csv holdout=test.csv synthetic=people.parquet target=income output=report/",
        "synthgen evaluate run=outputs/RUN synthetic=people.parquet gates=gates.yaml",
    ],
    "compare": ["synthgen compare runs=[outputs/RUN_A,outputs/RUN_B] output=compare/"],
    "inspect": ["synthgen inspect data.path=people.csv", "synthgen inspect data=digits"],
    "verify": ["synthgen verify checkpoint=people", "synthgen verify checkpoint=outputs/RUN"],
}

_EXIT_CODES = {
    "train": [
        ("  0", "the run is finished"),
        ("  2", "something to put right, named in one line; the checkpoints are intact"),
        (
            "  130, 143, 138",
            "unfinished: Ctrl-C, SIGTERM or SIGUSR1 came, and the state is saved; the same command goes on",
        ),
    ],
    "evaluate": [
        ("  0", "the report is written, and every gate passed"),
        ("  2", "something to put right, named in one line"),
        ("  3", "the report is written, and a threshold of gates= is not kept"),
    ],
}


def print_overview(commands: Sequence[str]) -> None:
    """Commands and models, one line each."""
    console = Console(highlight=False)
    folder = config_folder()
    console.print("synthgen: synthetic images and tables, measured and trusted\n")
    _print_rows(
        console, "synthgen COMMAND key=value ...", [(f"  {c}", _purpose(folder / f"{c}.yaml")) for c in commands]
    )
    models = [(f"  {name}", _purpose(file)) for name, file in _choices(folder / "model")]
    _print_rows(console, "model=", models)
    console.print("synthgen COMMAND --help describes a command and its arguments.")


def print_command_help(command: str) -> None:
    """Usage, examples, arguments and choices of one command."""
    console = Console(highlight=False)
    folder = config_folder()
    primary = folder / f"{command}.yaml"
    console.print(f"synthgen {command}: {_purpose(primary)}\n")
    console.print("Examples", style="bold")
    for example in _EXAMPLES[command]:
        console.print(f"  {example}", markup=False, soft_wrap=True)
    console.print()
    lines = primary.read_text().splitlines()
    groups = [line.split("- ")[1].split(":")[0] for line in lines if line.startswith("  - ") and ":" in line]
    body = [line for line in lines[lines.index("  - _self_") + 1 :] if line and not line.startswith("  - ")]
    arguments, of = [], ""
    for line in body:
        setting, _, comment = line.partition("#")
        key, _, value = setting.strip().partition(":")
        if not line.startswith(" "):
            of = "" if value else f"{key}."
        if value:
            arguments.append((f"  {of}{key}={value.strip()}".replace("=???", "=… (needed)"), comment.strip()))
    _print_rows(console, "Arguments and their defaults", arguments)
    for group in groups:
        if not group.startswith(("override", "hydra")):
            rows = [(f"  {name}", _purpose(file)) for name, file in _choices(folder / group)]
            _print_rows(console, f"{group}=", rows)
    _print_rows(console, "Exit codes", _EXIT_CODES.get(command, []))
    console.print("--cfg job prints the composed config; --config-dir DIR adds your own; -m sweeps over a,b,c.")


def _choices(group: Path) -> list[tuple[str, Path]]:
    return [(str(file.relative_to(group).with_suffix("")), file) for file in sorted(group.rglob("[!_]*.yaml"))]


def _purpose(file: Path) -> str:
    first = file.read_text().splitlines()[0]
    if first.startswith("# @package"):
        first = file.read_text().splitlines()[1]
    text = first.removeprefix("# ")
    return text.partition(": ")[2] if text.startswith("synthgen ") else text


def _print_rows(console: Console, title: str, rows: list[tuple[str, str]]) -> None:
    if not rows:
        return
    console.print(title, style="bold", markup=False)
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    console.print(table, markup=False)
    console.print()
