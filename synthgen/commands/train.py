"""`synthgen train`: fit a generative model to real data."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from synthgen.configuration import to_plain
from synthgen.errors import SynthgenError

__all__ = ["run"]


def run(config: DictConfig) -> None:
    """Trains one run, or goes on with it, and says where its checkpoint folder is."""
    from rich.console import Console

    from synthgen import run as runs
    from synthgen.training.signals import exit_code

    console = Console(highlight=False, soft_wrap=True)
    settings = _settings(config)
    with console.status("reading the data"):
        data = runs.load_data(settings)
    if settings["dry_run"]:
        plan = runs.plan(settings, data)
        console.print(f"parameters          {plan.parameters:,}")
        console.print(f"memory of training  {plan.training_bytes / 2**20:,.0f} MiB, besides activations")
        console.print(f"speed               {plan.samples_per_second:,.0f} examples/s")
        console.print(f"estimated time      {plan.seconds / 60:,.1f} minutes")
        console.print(f"run folder          {plan.folder}")
        return
    ended = runs.train(settings, data)
    if ended.fitted is None:
        console.print(f"already finished: {ended.folder.path}")
    elif ended.fitted.interrupted:
        console.print(f"interrupted; goes on with: synthgen train run={ended.folder.path}")
    else:
        console.print(f"trained on {ended.fitted.samples_seen:,} examples in {ended.fitted.seconds:,.0f} s")
        console.print(f"run folder: {ended.folder.path}")
    console.print(f"checkpoint: {ended.checkpoint}")
    if ended.fitted is not None and ended.fitted.signal is not None:
        raise SystemExit(exit_code(ended.fitted.signal))


def _settings(config: DictConfig) -> dict[str, Any]:
    """The config as given; of an existing run folder its own, so that it goes on as it began."""
    from hydra.core.hydra_config import HydraConfig

    from synthgen.run import check_config
    from synthgen.training.run_folder import RunFolder

    if config.run is None or not Path(config.run).exists() or _has_not_begun(Path(config.run)):
        return to_plain(config)
    stored = RunFolder(Path(config.run)).config()
    given = HydraConfig.get().overrides.task
    changes = [override for override in given if override.partition("=")[0] not in ("run", "trainer", "logger")]
    if changes and to_plain(config) != stored:
        raise SynthgenError(
            f"run={config.run} is there and goes on with its own config, but {changes[0]!r} was given too; "
            "leave it out, or choose another run folder"
        )
    if not changes:  # else it is what was typed, and so are the classes that it names
        check_config(stored, str(Path(config.run) / "config.yaml"))
    # A run that an older version began lacks the settings that have come since.
    settings = {**to_plain(config), **stored, "run": config.run, "resume": True}
    for key in ("trainer", "logger"):
        if any(override.partition("=")[0] == key for override in given):
            settings[key] = to_plain(config)[key]
    return settings


def _has_not_begun(run: Path) -> bool:
    """Whether a process took this folder for a run and ended before it wrote anything into it."""
    return run.is_dir() and [entry.name for entry in run.iterdir()] == [".lock"]
