"""`synthgen evaluate`: measure synthetic data against real data."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from synthgen.configuration import to_plain
from synthgen.errors import SynthgenError

__all__ = ["run"]


def run(config: DictConfig) -> None:
    """Writes report.html and report.json, and prints the figures."""
    from rich.console import Console

    from synthgen.api import evaluate
    from synthgen.data.files import read_data

    console = Console(highlight=False, soft_wrap=True)
    settings = to_plain(config)
    real, holdout = settings["real"], settings["holdout"]
    target, name = settings["target"], settings["name"]
    with console.status("reading the data") as status:
        synthetic = read_data(settings["synthetic"])
        if settings["run"]:
            if real or holdout:
                raise SynthgenError("run= brings its own real data and holdout; leave real= and holdout= out")
            real, holdout, target, name = _parts_of_run(settings["run"], target, name)
        elif real:
            name = name or Path(real).stem
            real, holdout = read_data(real), read_data(holdout) if holdout else None
        else:
            raise SynthgenError("real is missing: give real=FILE, or run=RUN_DIR")
        report = evaluate(
            real=real,
            holdout=holdout,
            synthetic=synthetic,
            target=target,
            sensitive=settings["sensitive"],
            name=name,
            seed=settings["seed"],
            progress=lambda part: status.update(f"evaluating: {part}"),
        )
        folder = Path(settings["output"])
        report.to_html(folder / "report.html")
        report.to_json(folder / "report.json")
    console.print(report.table())
    console.print(f"report: {folder / 'report.html'}")


def _parts_of_run(path: str, target: str | None, name: str | None) -> tuple[Any, Any, str | None, str]:
    """Training and holdout data as the run split them."""
    from synthgen.run import check_config, load_data
    from synthgen.training.run_folder import RunFolder

    stored = RunFolder(Path(path)).config()
    if "_target_" not in stored.get("data", {}):
        raise SynthgenError(f"run={path}: it was trained on data in memory, which is gone; give real= and holdout=")
    check_config(stored, str(Path(path) / "config.yaml"))
    data = load_data(stored)
    RunFolder(Path(path)).check_data(data.fingerprint)
    return data.train, data.holdout, target or getattr(data, "target", None), name or data.name
