"""`synthgen evaluate`: measure synthetic data against real data."""

import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from synthgen.configuration import build, to_plain
from synthgen.errors import SynthgenError, nearest

__all__ = ["GATES_FAILED", "run"]

GATES_FAILED = 3
"""Exit code when a threshold is not kept."""


@dataclass
class _Asked:
    """What is to be measured: data, and what is known of it."""

    real: Any
    holdout: Any
    synthetic: Any
    target: str | None
    name: str
    made: dict[str, Any]
    entities: tuple[Any, Any] | None = None
    sensitive: tuple[str, ...] = ()
    invented: dict[str, str] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def run(config: DictConfig) -> None:
    """Writes report.html and report.json, prints the figures, and ends with code 3 where a gate is not passed."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from synthgen.evaluation import evaluate
    from synthgen.reports.gates import read_gates

    console = Console(highlight=False, soft_wrap=True)
    settings = to_plain(config)
    if settings["run"] and (settings["real"] or settings["holdout"]):
        raise SynthgenError("run= brings its own real data and holdout; leave real= and holdout= out")
    if not settings["run"] and not (settings["real"] and settings["synthetic"]):
        missing = "synthetic" if settings["real"] else "real"
        raise SynthgenError(f"{missing} is missing: give {missing}=FILE, or run=RUN_DIR")
    if settings["run"] and settings["entity"]:
        raise SynthgenError("run= knows the entities that it split its rows by; leave entity= out")
    gates = (
        None if settings["gates"] is None else read_gates(settings["gates"])
    )  # a mistake in it shows before the work
    extractor = build(settings["extractor"]) if settings["extractor"] else None
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("reading the data", total=1.0)
        asked = _of_run(settings) if settings["run"] else _of_files(settings)
        report = evaluate(
            real=asked.real,
            holdout=asked.holdout,
            synthetic=asked.synthetic,
            target=asked.target,
            sensitive=settings["sensitive"] or asked.sensitive,
            name=asked.name,
            seed=settings["seed"],
            progress=lambda part, share: progress.update(task, description=f"evaluating: {part}", completed=share),
            extractor=extractor,
            made={**asked.made, **_how(settings)},
            entities=asked.entities,
            invented=asked.invented,
            formats=asked.formats,
        )
    report.notes += asked.notes
    drawn = settings["run"] and not settings["synthetic"]
    folder = Path(settings["output"] or (Path(settings["run"]) / "report" if drawn else "report"))
    report.to_html(folder / "report.html")
    report.to_json(folder / "report.json")
    console.print(report.table())
    for finding in report.worst():
        console.print(f"- {finding.text}", markup=False)
    console.print(f"report: {folder / 'report.html'}", markup=False)
    if gates is not None:
        failed = report.failures(gates)
        for said in failed:
            print(f"synthgen: gate not passed: {said}", file=sys.stderr)
        if failed:
            raise SystemExit(GATES_FAILED)
        console.print("gates: passed")


def _of_files(settings: dict[str, Any]) -> _Asked:
    from synthgen.data.files import read_data

    real, holdout, synthetic = (
        read_data(settings[side]) if settings[side] else None for side in ("real", "holdout", "synthetic")
    )
    name = settings["name"] or Path(settings["real"]).stem
    entities = None
    if entity := settings["entity"]:
        real_owners, real = _without(real, entity, "real")
        if holdout is not None:
            owners, holdout = _without(holdout, entity, "holdout")
            entities = (real_owners, owners)
    return _Asked(real, holdout, synthetic, settings["target"], name, {}, entities)


def _without(table: Any, entity: str, side: str) -> tuple[Any, Any]:
    """The column that names entities, and the table without it: who somebody is is no value to compare."""
    columns = getattr(table, "columns", ())
    if entity not in columns:
        raise SynthgenError(
            f"entity={entity}: the {side} data has no such column: {nearest(entity, columns, what='its columns are')}"
        )
    return table[entity], table.drop(columns=entity)


def _of_run(settings: dict[str, Any]) -> _Asked:
    """Training and holdout data as the run split them, and what it made, or as much as it learned from."""
    from synthgen.data.files import read_data
    from synthgen.data.tables.number_formats import dressed
    from synthgen.run import check_config, load_data
    from synthgen.synthesizer import Synthesizer
    from synthgen.training.run_folder import RunFolder, find_checkpoint

    path = settings["run"]
    folder = RunFolder(Path(path))
    stored = folder.config()
    if "_target_" not in stored.get("data", {}):
        raise SynthgenError(f"run={path}: it was trained on data in memory, which is gone; give real= and holdout=")
    check_config(stored, str(Path(path) / "config.yaml"))
    data = load_data(stored)
    folder.check_data(data.fingerprint)
    if settings["synthetic"]:
        # From whatever tool: of the run only the split is used.
        synthetic = read_data(settings["synthetic"])
        made: dict[str, Any] = {"split of": str(path)}
    else:
        synthesizer, state = Synthesizer.load(find_checkpoint(path)), folder.state
        synthetic = synthesizer.sample(len(data.train), seed=settings["seed"])
        made = {
            "model": str(stored.get("model", {}).get("_target_", "")).rpartition(".")[2],
            "training_seconds": state.get("seconds"),
            "examples_seen": state.get("samples_seen"),
            "checkpoint (SHA-256)": state.get("manifest"),
            "synthgen of the run": state.get("synthgen_version"),
            "drawn": f"n={len(data.train)} seed={settings['seed']}",
        }
    target = settings["target"] or getattr(data, "target", None)
    made = {key: value for key, value in made.items() if value is not None}
    name = settings["name"] or data.name
    columns = getattr(data.codec, "schema", ())
    invented = {column.name: f"{column.kind}, as the run's schema has it" for column in columns if column.kind.invented}
    formats = {column.name: str(column.format) for column in columns if dressed(column)}
    sensitive, entities, notes = getattr(data, "sensitive", ()), _entities(data), []
    if data.training_rows > len(data.train):
        made |= {"training rows": data.training_rows, "training rows compared": len(data.train)}
        notes = [
            f"Training learned from {data.training_rows:,} rows, of which {len(data.train):,}, drawn at random, are "
            "compared here: a copy of another one would not be seen."
        ]
    return _Asked(
        data.train, data.holdout, synthetic, target, name, made, entities, sensitive, invented, formats, notes
    )


def _entities(data: Any) -> tuple[Any, Any] | None:
    """The entities that a run split its rows by; None where it split rows, or where its holdout is a file."""
    known = getattr(data, "entities", None)
    if known is None or data.holdout is None or data.holdout.index.isin(data.train.index).any():
        return None
    return known[data.train.index], known[data.holdout.index]


def _how(settings: dict[str, Any]) -> dict[str, Any]:
    """What a person said of its making, and the command."""
    said = {"model": settings["made_by"], "training_seconds": settings["seconds"]}
    return {
        **{key: value for key, value in said.items() if value is not None},
        "command": " ".join(["synthgen", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
