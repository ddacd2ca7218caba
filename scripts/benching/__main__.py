"""`python -m scripts.benching tables|images|scale|report [key=value …]`; see scripts/bench."""

import sys
import warnings
from dataclasses import dataclass, fields
from pathlib import Path

from omegaconf import OmegaConf
from rich.console import Console

from scripts.benching.bench import REDO, Bench
from scripts.benching.datasets import DATASETS
from scripts.benching.methods import METHODS
from scripts.benching.pages import write_pages
from scripts.benching.record import Record
from scripts.benching.scale import measure_all
from scripts.benching.trial import ROOT, end_with_the_trial
from synthgen.errors import SynthgenError, nearest

RESULTS = ROOT / "docs/benchmarks/results"
FIRST = {"tables": "magic,adult", "images": "fashion_mnist"}
KINDS = tuple(FIRST)


@dataclass
class Settings:
    """Arguments; several values are separated by commas, and nothing means all.

    Attributes:
        only: Methods.
        data: Data sets.
        seeds: Whole numbers.
        threads: Of every trial.
        redo: "failed", "spoiled", "judgement", "outdated".
        work: Folder for what trials make.
    """

    only: str = ""
    data: str = ""
    seeds: str = "0,1,2"
    threads: int = 2
    redo: str = ""
    work: str = "outputs/bench"


def main(arguments: list[str]) -> None:
    """Runs what is missing, then writes the pages."""
    kind, *given = arguments or [""]
    if kind not in (*KINDS, "scale", "report"):
        raise SynthgenError(f"scripts/bench: found {kind!r}; {nearest(kind, [*KINDS, 'scale', 'report'])}")
    if kind in ("scale", "report") and given:
        raise SynthgenError(f"scripts/bench {kind}: found {given[0]!r}; it takes no settings")
    if kind == "scale":
        measure_all()
    elif kind != "report":
        _bench(kind, _settings(given)).run()
    write_pages({kind: Record(RESULTS / f"{kind}.json") for kind in KINDS}, ROOT / "docs")


def _bench(kind: str, settings: Settings) -> Bench:
    console = Console(highlight=False, soft_wrap=True)
    methods = {method.name: method for method in METHODS if method.kind == kind}
    datasets = {dataset.name: dataset for dataset in DATASETS if dataset.kind == kind}
    chosen = [methods[name] for name in _chosen("only", settings.only, list(methods))]
    absent = [method for method in chosen if not method.python(ROOT).exists()]
    for method in absent:
        console.print(f"left out: {method.name}; scripts/bench_peers {method.environment} makes its environment")
    return Bench(
        [method for method in chosen if method not in absent],
        [datasets[name] for name in _chosen("data", settings.data or FIRST[kind], list(datasets))],
        [int(seed) for seed in str(settings.seeds).split(",")],
        Record(RESULTS / f"{kind}.json"),
        Path(settings.work),
        settings.threads,
        _chosen("redo", settings.redo, REDO) if settings.redo else (),
        lambda line: console.print(line, markup=False),
    )


def _settings(given: list[str]) -> Settings:
    names = [field.name for field in fields(Settings)]
    for argument in given:
        if (name := argument.partition("=")[0]) not in names:
            raise SynthgenError(f"scripts/bench: found {argument!r}; {nearest(name, names)}")
    merged = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Settings), OmegaConf.from_cli(given)))
    assert isinstance(merged, Settings)
    return merged


def _chosen(key: str, text: str, known: list[str] | tuple[str, ...]) -> list[str]:
    names = text.split(",") if text else list(known)
    for name in names:
        if name not in known:
            raise SynthgenError(f"{key}: found {name!r}; {nearest(name, known)}")
    return names


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    end_with_the_trial()
    try:
        main(sys.argv[1:])
    except SynthgenError as error:
        sys.exit(f"error: {error}")
