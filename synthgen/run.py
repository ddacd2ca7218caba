"""One training run, from a config to an exported checkpoint folder."""

import secrets
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn

from synthgen import __version__
from synthgen.callbacks.look import Look
from synthgen.configuration import build, check_targets
from synthgen.data.module import DataModule
from synthgen.errors import SynthgenError
from synthgen.files import sha256
from synthgen.models.base import Model, bf16_pays
from synthgen.models.stages import EMA, Optimization
from synthgen.synthesizer import Synthesizer
from synthgen.training.budget import Budget, parse_time
from synthgen.training.checkpoints import Saving
from synthgen.training.fit import Fitted, fit_model
from synthgen.training.lock import locked
from synthgen.training.run_folder import RunFolder, find_checkpoint, run_hash

__all__ = ["Plan", "Run", "check_config", "load_data", "plan", "train"]

_PLAN_STEPS = 12


@dataclass(frozen=True)
class Run:
    """A training run that has ended, now or before.

    Attributes:
        synthesizer: The best of it.
        folder: The run folder.
        checkpoint: The exported checkpoint folder.
        fitted: How training ended; None if the run was finished before.
    """

    synthesizer: Synthesizer
    folder: RunFolder
    checkpoint: Path
    fitted: Fitted | None


@dataclass(frozen=True)
class Plan:
    """What a run would take.

    Attributes:
        parameters: Trained ones.
        training_bytes: Of weights, gradients, optimizer moments, average and resident data.
        samples_per_second: Measured over a few steps; 0 for a model that is fitted in closed form.
        seconds: Estimated time of training.
        folder: Where the run would live.
    """

    parameters: int
    training_bytes: int
    samples_per_second: float
    seconds: float
    folder: Path


def load_data(config: dict[str, Any]) -> DataModule:
    """Builds and loads the data module of a config."""
    data = build(config["data"])
    data.load()
    return data


def train(config: dict[str, Any], data: DataModule | None = None) -> Run:
    """Trains, or goes on, or finds that there is nothing left to do; then exports the best.

    Args:
        config: The resolved train config.
        data: Loaded data, where it does not come from the config.

    Raises:
        SynthgenError: Bad data or settings; nothing is written then.
    """
    data = data or load_data(config)
    max_time = parse_time(config["max_time"])
    for key, least in (("max_samples", 1), ("validate_every", 1), ("seed", 0)):
        if key == "validate_every" and config[key] is None:
            continue
        if not isinstance(config[key], int) or config[key] < least:
            raise SynthgenError(f"{key}: found {config[key]!r}, expected at least {least}, a whole number")
    if config["name"] and (config["name"] in (".", "..") or Path(config["name"]).name != config["name"]):
        raise SynthgenError(f"name: found {config['name']!r}, expected a bare name; checkpoint_dir says where it lies")
    folder = run_folder(config, data)
    if not config["resume"] and folder.path.exists():
        folder = folder.sibling()
    checkpoint = Path(config["checkpoint_dir"]) / (config["name"] or folder.path.name)
    if checkpoint.resolve() == folder.path.resolve():
        raise SynthgenError(f"{checkpoint}: is to be both run folder and checkpoint folder; give another name")
    Synthesizer.check_target(checkpoint)
    _check_unchanged(folder, config, data)
    if folder.finished and folder.exported(checkpoint):
        return Run(Synthesizer.load(checkpoint), folder, checkpoint, None)

    with isolate_rng():
        seed_everything(config["seed"], workers=True, verbose=False)
        # Whatever may be wrong with the settings shows before anything is written.
        synthesizer = _build(config, data)
        follows = bool(getattr(rank_zero_only, "rank", 0))  # a process that serves the first one of this run
        callbacks = [build(callback) for callback in (config["callbacks"] or {}).values() if callback]
        saving = Saving(
            config["save_every"],
            config["save_every_samples"],
            config["keep_best"],
            config["best_by"],
            config["best_mode"],
        )
        budget = Budget(config["max_samples"], max_time)
        trainer = _trainer(config, synthesizer.model)
        with nullcontext() if follows else locked(folder.path):
            if not follows:
                _begin(folder, config, data)
            with _loggers({**config, "logger": None} if follows else config, folder) as loggers:
                fitted = fit_model(
                    synthesizer.model,
                    data,
                    trainer,
                    folder,
                    budget,
                    callbacks=callbacks,
                    loggers=loggers,
                    validate_every=config["validate_every"],
                    saving=saving,
                    resume=config["resume"],
                )
            synthesizer.facts |= {"examples_seen": fitted.samples_seen, "training_seconds": round(fitted.seconds, 1)}
            synthesizer.model.to("cpu").eval()
            if follows:
                return Run(synthesizer, folder, checkpoint, fitted)
            synthesizer.save(checkpoint)
            folder.record(
                status="interrupted" if fitted.interrupted else "finished",
                samples_seen=fitted.samples_seen,
                budget=fitted.budget,
                seconds=round(fitted.seconds, 1),
                best={config["best_by"]: fitted.best},
                checkpoint=str(checkpoint),
                manifest=sha256(checkpoint / "manifest.json"),
            )
    return Run(synthesizer, folder, checkpoint, fitted)


def plan(config: dict[str, Any], data: DataModule | None = None) -> Plan:
    """Measures a few steps of a run and writes nothing."""
    from tempfile import TemporaryDirectory

    data = data or load_data(config)
    max_time = parse_time(config["max_time"])
    with isolate_rng(), TemporaryDirectory() as scratch:
        seed_everything(config["seed"], workers=True, verbose=False)
        model = _build(config, data).model
        takes_examples = any(stage.share for stage in model.stages)
        steps = Budget(data.batch_size * _PLAN_STEPS)
        begun = time.monotonic()
        fit_model(model, data, _trainer(config, model), RunFolder(Path(scratch)), steps, validate_every=10**15)
        spent = time.monotonic() - begun
        rate = model.samples_seen / max(steps.seconds or spent, 1e-9)
    weights = [p for p in model.parameters() if p.requires_grad]
    parameters = sum(p.numel() for p in weights)
    copies = sum(p.numel() * p.element_size() for p in model.parameters()) + 3 * sum(
        p.numel() * p.element_size() for p in weights
    )
    resident = sum(tensor.nbytes for tensor in data.training_tensors().values())
    seconds = spent
    if takes_examples:
        seconds = max_time if max_time is not None else config["max_samples"] / rate
    return Plan(parameters, copies + resident, rate, seconds, run_folder(config, data).path)


def check_config(config: dict[str, Any], where: str) -> None:
    """Makes sure that a config found in a run folder can only build what a train config of synthgen builds.

    Raises:
        SynthgenError: It names anything else; nothing of it has been run.
    """
    bases = (Model, nn.Module, Optimization, EMA, DataModule, Trainer, Callback, Logger, Look)
    check_targets(config, bases, where, packages=("synthgen", "pytorch_lightning"), sources=True)


def run_folder(config: dict[str, Any], data: DataModule) -> RunFolder:
    """The folder of a config's run: `run`, or a name made of the data, the model and a hash."""
    if config["run"]:
        return RunFolder(Path(config["run"]))
    model = config["model"]["_target_"].rsplit(".", 1)[-1].lower()
    return RunFolder(Path(config["output_dir"]) / f"{data.name}-{model}-{run_hash(config, data.fingerprint)}")


def _check_unchanged(folder: RunFolder, config: dict[str, Any], data: DataModule) -> None:
    """Makes sure that a run that is there is of this data, and a finished one of these settings.

    An unfinished one may go on with others, as long as its checkpoint fits the model.

    Raises:
        SynthgenError: It is not.
    """
    folder.check_data(data.fingerprint)
    if not folder.finished:
        return
    stored = folder.config()
    # What came with a newer version is not in it.
    known = {key: value for key, value in config.items() if key in stored and key not in ("trainer", "callbacks")}
    before = {key: value for key, value in stored.items() if key in known}
    if run_hash(known, "") != run_hash(before, ""):
        key = next(key for key in known if run_hash({key: known[key]}, "") != run_hash({key: before[key]}, ""))
        raise SynthgenError(
            f"{folder.path}: this run is finished, of another {key}; give it as it was, or choose another run folder"
        )


def _begin(folder: RunFolder, config: dict[str, Any], data: DataModule) -> None:
    """Writes what a run begins with; one that goes on is held against it."""
    now = {"threads": torch.get_num_threads(), "synthgen_version": __version__, "data": data.fingerprint}
    before = folder.state
    for key in ("threads", "synthgen_version"):
        if before.get(key, now[key]) != now[key]:
            warnings.warn(
                f"{folder.path}: this run began with {key.replace('_', ' ')} {before[key]} and goes on with "
                f"{now[key]}: its bytes may differ from those of a run that was not interrupted",
                stacklevel=3,
            )
    folder.begin(config, **now)


@contextmanager
def _loggers(config: dict[str, Any], folder: RunFolder) -> Iterator[list[Logger]]:
    """Loggers in the run folder.

    What they begin at Weights & Biases ends with them: the next run of this process, as in a sweep, would be logged
    into it. A run there that was begun before by others is theirs to end.
    """
    loggers = [_logger(logger, folder) for logger in (config["logger"] or {}).values() if logger]
    if not any(isinstance(logger, WandbLogger) for logger in loggers):
        yield loggers
        return
    import wandb

    theirs, failed = wandb.run is not None, True
    try:
        yield loggers
        failed = False
    finally:
        if not theirs:
            wandb.finish(exit_code=int(failed))


def _logger(config: dict[str, Any], folder: RunFolder) -> Logger:
    """A logger in the run folder; Weights & Biases goes on with the run's own id."""
    given = {"save_dir": str(folder.path)}
    if config["_target_"].endswith(".WandbLogger"):
        identifier = folder.state.get("wandb_id") or secrets.token_hex(4)
        folder.record(wandb_id=identifier)
        given |= {"id": identifier, "resume": "allow"}
    return build(config, **given)


def _build(config: dict[str, Any], data: DataModule) -> Synthesizer:
    synthesizer = Synthesizer.build(config["model"], data)
    synthesizer.model.seed = config["seed"]
    if config["start_from"]:
        start = Synthesizer.load(find_checkpoint(config["start_from"], config["checkpoint_dir"]))
        try:
            synthesizer.model.load_trained_state(start.model.trained_state())
        except RuntimeError as error:
            raise SynthgenError(
                f"start_from={config['start_from']}: its weights do not fit this model: "
                f"{str(error).splitlines()[-1].strip()}"
            ) from None
    return synthesizer


def _trainer(config: dict[str, Any], model: Model) -> partial:
    settings = dict(config["trainer"])
    if not any(parameter.requires_grad for parameter in model.parameters()):
        settings |= {"devices": 1, "strategy": "auto"}  # a closed form sees all data at once: nothing can be shared
    if settings["accelerator"] in ("gpu", "cuda") and not torch.cuda.is_available():
        raise SynthgenError(f"trainer.accelerator: found {settings['accelerator']!r}, but this machine has no GPU")
    if str(settings.get("precision")) in ("16", "16-mixed", "16-true"):
        raise SynthgenError(
            f"trainer.precision: found {settings['precision']!r}, expected auto, bf16-mixed or 32-true: "
            "gradients are not scaled, and fp16 would lose them"
        )
    if settings.get("precision") == "auto":
        uses_gpu = settings["accelerator"] in ("gpu", "cuda", "auto") and torch.cuda.is_available()
        settings["precision"] = "bf16-mixed" if bf16_pays(torch.device("cuda" if uses_gpu else "cpu")) else "32-true"
    trainer = build(settings, _partial_=True)
    if torch.get_float32_matmul_precision() == "highest":
        torch.set_float32_matmul_precision("high")  # tensor cores for what bf16 leaves in fp32
    return trainer
