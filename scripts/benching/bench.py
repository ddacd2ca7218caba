"""Fills in the rows that are missing: trains, samples and judges one trial after the other."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from scripts.benching import judge_images, judge_tables
from scripts.benching.datasets import Dataset
from scripts.benching.methods import Method
from scripts.benching.record import Record
from scripts.benching.trial import ROOT, Trial, cpu_name

__all__ = ["REDO", "Bench"]

REDO = ("failed", "spoiled", "judgement", "outdated")
# What synthgen's own models are made of: a row of other code is of another method.
CODE = ("synthgen/models", "synthgen/networks", "synthgen/diffusion", "synthgen/data", "synthgen/training", "configs")


@dataclass(frozen=True)
class Bench:
    """What shall be there, and where.

    Attributes:
        methods: What is trained, in this order, in turn.
        datasets: What it is trained on.
        seeds: One round of all methods each.
        record: Where rows go.
        work: Folder for what trials make.
        threads: Of every trial.
        redo: Rows to make again although they are there: "failed" ones, "spoiled" ones, "outdated" ones, of code that
            has changed since, of other versions of packages or of another CPU, and of all the "judgement", where what
            was made is still in `work`.
        tell: Called with a line before each part.
    """

    methods: Sequence[Method]
    datasets: Sequence[Dataset]
    seeds: Sequence[int]
    record: Record
    work: Path
    threads: int = 2
    redo: Sequence[str] = ()
    tell: Callable[[str], None] = print

    def run(self) -> None:
        """Goes on where it was cut: what was trained is not trained again, what was judged is not judged again."""
        handed: dict[str, dict[str, Any]] = {}
        for trial, dataset in self.trials():
            known = self.record.row(trial.method.name, trial.data, trial.seed)
            if known is not None and not self._again(known, trial, dataset):
                continue
            if dataset.name not in handed:
                handed[dataset.name] = dataset.hand_over(self.work.resolve() / "data")
            row = self._trained(trial, handed[dataset.name])
            if row["status"] == "done":
                try:
                    row |= self._judged(trial, dataset)
                except Exception as error:  # of what one method made: the others are judged all the same
                    row |= {"status": "failed", "error": f"cannot be judged: {type(error).__name__}: {error}"}
            if row["status"] != "done":
                self.tell(f"  failed: {row['error']}")
            self.record.put(row)

    def trials(self) -> Iterator[tuple[Trial, Dataset]]:
        """Methods in turn, so that whatever changes with time does not meet one of them alone."""
        for seed in self.seeds:
            for dataset in self.datasets:
                for method in self.methods:
                    folder = self.work.resolve() / f"{dataset.name}-{method.name}-seed{seed}"
                    yield Trial(method, dataset.name, seed, self.threads, folder), dataset

    def _again(self, row: dict[str, Any], trial: Trial, dataset: Dataset) -> bool:
        if not self._asked_for(row, trial.method):
            return True
        if row["status"] == "failed":
            return "failed" in self.redo
        if row["judge"] != _judge(dataset).VERSION:
            return True
        return (
            ("spoiled" in self.redo and row["spoiled"])
            or ("outdated" in self.redo and _outdated(row, trial.method))
            or ("judgement" in self.redo and trial.synthetic.is_file())
        )

    def _asked_for(self, row: dict[str, Any], method: Method) -> bool:
        """Whether a row is of these settings, threads and, of images, as many samples."""
        held = row["settings"], row["threads"], row.get("samples", method.samples)
        # Through JSON, which has no tuples.
        settings = json.loads(json.dumps(dict(method.settings)))
        return held == (settings, self.threads, method.samples or held[2])

    def _trained(self, trial: Trial, handed: dict[str, Any]) -> dict[str, Any]:
        """The row of a trial that has been made and not judged, or else of a new one."""
        if trial.row_file.is_file() and trial.synthetic.is_file():
            row = json.loads(trial.row_file.read_text())
            wanted = row["status"] == "done" and self._asked_for(row, trial.method)
            spoiled = "spoiled" in self.redo and row["spoiled"]
            outdated = "outdated" in self.redo and _outdated(row, trial.method)
            if wanted and not spoiled and not outdated:
                return row
        self.tell(f"{trial.data}, seed {trial.seed}: {trial.method.title}")
        row = trial.run(handed)
        if row["status"] == "done":
            remark = f", spoiled: others used {row['others']} cores" if row["spoiled"] else ""
            self.tell(f"  fit {row['fit_seconds']:,.1f} s, sampled {row['sample_seconds']:,.1f} s{remark}")
        return row

    def _judged(self, trial: Trial, dataset: Dataset) -> dict[str, Any]:
        begun = time.monotonic()
        judge = _judge(dataset)
        by = {"judge": judge.VERSION, "judged by": judge.made_of(dataset)}
        if any(self.record.floors.get(dataset.name, {}).get(key) != value for key, value in by.items()):
            self.tell(f"{dataset.name}: figures of real data")
            self.record.put_floor(dataset.name, {**by, **judge.floor(dataset)})
        figures = judge.figures(dataset, trial.synthetic)
        self.tell(f"  judged in {time.monotonic() - begun:,.0f} s")
        return {**by, "figures": figures}


def _judge(dataset: Dataset) -> ModuleType:
    return judge_tables if dataset.kind == "tables" else judge_images


def _outdated(row: dict[str, Any], method: Method) -> bool:
    """Whether what it is made by or on has changed since its commit, or was not committed."""
    paths = [f"{method.fitting.replace('.', '/')}.py", *(CODE if method.own else ())]
    if row["commit"].endswith("+") or row["cpu"] != cpu_name():
        return True
    if row["status"] == "done" and row["versions"] != _versions(method.python(ROOT), method.packages):
        return True
    return (
        subprocess.run(["git", "diff", "--quiet", row["commit"], "--", *paths], cwd=ROOT, check=False).returncode != 0
    )


@cache
def _versions(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    """Of an environment, as a trial in it would note them."""
    program = "import sys; from importlib import metadata; print(*map(metadata.version, sys.argv[1:]))"
    asked = subprocess.run([python, "-c", program, *packages], capture_output=True, text=True, check=True)
    return dict(zip(packages, asked.stdout.split(), strict=True))
