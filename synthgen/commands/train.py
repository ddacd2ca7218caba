"""`synthgen train`: fit a generative model to real data."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from synthgen.configuration import to_plain
from synthgen.errors import SynthgenError

__all__ = ["run"]


# What may be given beside a run that goes on with its own config.
_CHANGEABLE = ("run", "resume", "trainer", "logger")


def run(config: DictConfig) -> None:
    """Trains one run, or goes on with it, and says where its checkpoint folder is."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from pytorch_lightning.utilities import rank_zero_only
    from rich.console import Console

    from synthgen import run as runs
    from synthgen.training.signals import exit_code

    follows = bool(getattr(rank_zero_only, "rank", 0))  # the first process of the run speaks for all
    console = Console(highlight=False, soft_wrap=True, quiet=follows)
    settings = _settings(config)
    strategy = settings["trainer"].get("strategy", "auto")
    if HydraConfig.get().mode == RunMode.MULTIRUN and strategy != "auto":
        raise SynthgenError(
            f"trainer.strategy: found {strategy!r}, but the runs of a sweep take one device each: trainer=gpu"
        )
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
    if ended.fitted is not None and ended.fitted.signal is not None and not follows:
        raise SystemExit(exit_code(ended.fitted.signal))


def _settings(config: DictConfig) -> dict[str, Any]:
    """The config as given; of an existing run folder its own, so that it goes on as it began."""
    from hydra.core.hydra_config import HydraConfig

    from synthgen.run import check_config
    from synthgen.training.run_folder import RunFolder

    if config.run is None or not Path(config.run).exists() or _has_not_begun(Path(config.run)):
        return to_plain(config)
    stored, typed = RunFolder(Path(config.run)).config(), to_plain(config)
    given = HydraConfig.get().overrides.task
    keys = [override.partition("=")[0] for override in given]
    # Of a trainer or a logger that is given anew, details may be given, too.
    changes = [override for override, key in zip(given, keys) if _root(key, keys) not in _CHANGEABLE]
    if changes and (different := [key for key in stored if key not in _CHANGEABLE and typed.get(key) != stored[key]]):
        if not config.resume:
            return typed
        raise SynthgenError(
            f"run={config.run} is there and goes on with its own config, but with {' '.join(changes)} its "
            f"{different[0]} would be another; leave that out, choose another run folder, or start anew beside it with "
            "resume=false"
        )
    if not changes:  # else it is what was typed, and so are the classes that it names
        check_config(stored, str(Path(config.run) / "config.yaml"))
    # A run that an older version began lacks the settings that have come since.
    settings = {**typed, **stored, "run": config.run, "resume": typed["resume"]}
    for key in ("trainer", "logger"):
        if key in keys:
            settings[key] = typed[key]
    return settings


def _root(key: str, given: list[str]) -> str:
    """The group of a detail such as `trainer.devices`, where that is given beside it; else the key itself."""
    group = key.lstrip("+").partition(".")[0]
    return group if group in given else key


def _has_not_begun(run: Path) -> bool:
    """Whether a process took this folder for a run and ended before it wrote anything into it."""
    names = {entry.name for entry in run.iterdir()} if run.is_dir() else set()
    return ".lock" in names and all(name == ".lock" or name.startswith(".config.yaml.") for name in names)
