"""The Python API: `synthgen.fit` and `synthgen.load`."""

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from synthgen.configuration import compose
from synthgen.data.images.images import Images
from synthgen.data.images.module import ImageDataModule
from synthgen.data.images.sources import from_array, image_folder
from synthgen.data.module import DataModule
from synthgen.data.tables.module import TableDataModule
from synthgen.data.tables.sources import is_table_folder, reader_of, to_frame
from synthgen.data.tables.wishes import plain
from synthgen.errors import SynthgenError
from synthgen.run import train
from synthgen.synthesizer import Synthesizer
from synthgen.training.run_folder import find_checkpoint

__all__ = ["fit", "load"]

# What a train config says of its data that `fit` is handed instead.
_OWN_DATA = ("data=", "data.path=", "data.source", "data.name=", "data._target_=")


def fit(
    data: pd.DataFrame | np.ndarray | Images | str | Path,
    model: str | None = None,
    *,
    labels: Sequence[Any] | np.ndarray | None = None,
    target: str | None = None,
    schema: str | Path | Mapping[str, Any] | None = None,
    constraints: Sequence[Mapping[str, Any]] = (),
    max_time: str | float | None = None,
    max_samples: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    run: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Synthesizer:
    """Fits a synthesizer to real data. Ctrl-C ends training early and gives back the best so far.

    Args:
        data: A table, of pandas, polars or pyarrow or as the path of delimited text or Parquet; or images, as an array
            (see `synthgen.data.images.sources.from_array`), as `Images`, or as the path of a folder.
        model: A config under `model/`: "table/tabdiff", "image/vae"; by default "table/argn" or "image/edm".
        labels: For an array of images, one label an image.
        target: For a table, the column that a downstream model would predict.
        schema: For a table, what some columns are: a schema file, as `synthgen inspect` writes it, or a mapping with
            its keys, as `{"columns": {"code": "categorical", "age": {"range": [0, 120]}}}`.
        constraints: For a table, what its rows obey and samples shall: `[{"inequality": ["start", "end"]}]`, each as in
            a schema file.
        max_time: Time of training, "HH:MM:SS" or seconds.
        max_samples: Training examples, where no time is given.
        batch_size: Examples a step.
        seed: Of everything drawn.
        run: A run folder to keep; training goes on there if it is unfinished. By default nothing is kept on disk.
        overrides: More of the config, as on the command line: "model.optimization.lr=1e-4", "data.split_by=person".

    Raises:
        SynthgenError: The data or a setting is at fault.
    """
    if refused := [override for override in overrides if override.lstrip("+").startswith(_OWN_DATA)]:
        raise SynthgenError(f"overrides: found {refused[0]!r}, but the data is what `fit` is given")
    data = to_frame(data)
    path = Path(data) if isinstance(data, str | Path) else None
    is_table = isinstance(data, pd.DataFrame) or (path is not None and _holds_table(path))
    model = model or ("table/argn" if is_table else "image/edm")
    with TemporaryDirectory() as scratch:
        given = [f"data={'csv' if is_table else 'arrays'}", "data.path=memory", f"model={model}", f"seed={seed}"]
        given += ["logger=csv", *overrides]
        given += [f"max_time='{max_time}'"] if max_time is not None else []
        given += [f"max_samples={max_samples}"] if max_samples is not None else []
        config = compose("train", given)
        config |= {"run": str(run or scratch), "checkpoint_dir": str(Path(run or scratch) / "exported")}
        settings = _data_settings(overrides, config["data"], target, schema, constraints, batch_size)
        module = _data_module(data, labels, {"seed": seed, "name": path.stem if path else "data", **settings})
        module.load()
        config["data"] = {"name": module.name, **settings}
        ended = train(config, module)
    received = None if ended.fitted is None else ended.fitted.signal or ended.fitted.late_signal
    if received is not None and received != signal.SIGINT:
        # Whoever sent it wants the process to end: what was to happen then now happens.
        signal.raise_signal(received)
    return ended.synthesizer


def load(checkpoint: str | Path) -> Synthesizer:
    """Loads a checkpoint folder, by its path, its bare name under `checkpoints/`, or its run folder."""
    return Synthesizer.load(find_checkpoint(str(checkpoint)))


def _data_settings(
    overrides: Sequence[str],
    composed: dict[str, Any],
    target: str | None,
    schema: str | Path | Mapping[str, Any] | None,
    constraints: Sequence[Mapping[str, Any]],
    batch_size: int | None,
) -> dict[str, Any]:
    """What a person has said of how the data is split and read; by default all of it is learned."""
    keys = [override.partition("=")[0].lstrip("+").partition(".") for override in overrides]
    settings = {"holdout": 0.0, **{key: composed[key] for group, _, key in keys if group == "data"}}
    schema = str(schema) if isinstance(schema, Path) else plain(schema)
    said = {"target": target, "schema": schema, "constraints": plain(constraints) or None, "batch_size": batch_size}
    return settings | {key: value for key, value in said.items() if value is not None}


def _data_module(
    data: pd.DataFrame | np.ndarray | Images | str | Path,
    labels: Sequence[Any] | np.ndarray | None,
    settings: dict[str, Any],
) -> DataModule:
    path = str(data) if isinstance(data, str | Path) else None
    of_array = not isinstance(data, pd.DataFrame | Images) and path is None
    if labels is not None and not of_array:
        raise SynthgenError("labels: are for an array of images; this data brings its own")
    if isinstance(data, pd.DataFrame) or (path and _holds_table(Path(path))):
        source: Callable[..., Any] = reader_of(path) if path is not None else lambda: data
        return TableDataModule(source, path, **settings)
    for key in ("target", "schema", "constraints"):
        if key in settings:
            raise SynthgenError(f"{key}={settings[key]!r}: images have no columns; give labels instead")
    if path:
        return ImageDataModule(lambda: image_folder(path), **settings)
    if isinstance(data, Images):
        return ImageDataModule(lambda: data, **settings)
    return ImageDataModule(lambda: from_array(np.asarray(data), labels), **settings)


def _holds_table(path: Path) -> bool:
    return not path.is_dir() or is_table_folder(path)
