"""The Python API: `synthgen.fit`, `synthgen.load`, `synthgen.evaluate`."""

import signal
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synthgen.configuration import compose
from synthgen.data.images.images import Images
from synthgen.data.images.module import ImageDataModule
from synthgen.data.images.sources import from_array, image_folder
from synthgen.data.module import DataModule
from synthgen.data.tables.module import TableDataModule
from synthgen.data.tables.schema import infer_schema
from synthgen.data.tables.sources import read_table
from synthgen.errors import SynthgenError
from synthgen.run import train
from synthgen.synthesizer import Synthesizer
from synthgen.training.run_folder import find_checkpoint

if TYPE_CHECKING:
    from synthgen.reports.report import Report

__all__ = ["evaluate", "fit", "load"]


def fit(
    data: pd.DataFrame | np.ndarray | Images | str | Path,
    model: str | None = None,
    *,
    labels: Sequence[Any] | np.ndarray | None = None,
    target: str | None = None,
    max_time: str | float | None = None,
    max_samples: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    run: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Synthesizer:
    """Fits a synthesizer to real data. Ctrl-C ends training early and gives back the best so far.

    Args:
        data: A table, as a DataFrame or the path of a CSV or Parquet file; or images, as an array (see
            `synthgen.data.images.sources.from_array`), as `Images`, or as the path of a folder.
        model: A config under `model/`: "table/tabdiff", "image/edm"; by default the one for this kind of data.
        labels: For an array of images, one label an image.
        target: For a table, the column that a downstream model would predict.
        max_time: Time of training, "HH:MM:SS" or seconds.
        max_samples: Training examples, where no time is given.
        batch_size: Examples a step.
        seed: Of everything drawn.
        run: A run folder to keep; training goes on there if it is unfinished. By default nothing is kept on disk.
        overrides: More of the config, as on the command line: "model.optimization.lr=1e-4".

    Raises:
        SynthgenError: The data or a setting is at fault.
    """
    module = _data_module(data, labels, target, batch_size, seed)
    module.load()
    model = model or {"table": "table/tabdiff", "image": "image/edm"}[module.codec.kind]
    with TemporaryDirectory() as scratch:
        given = [f"model={model}", f"seed={seed}", "logger=csv", *overrides]
        given += [f"run='{run or scratch}'", f"checkpoint_dir='{Path(run or scratch) / 'exported'}'"]
        given += [f"max_time='{max_time}'"] if max_time is not None else []
        given += [f"max_samples={max_samples}"] if max_samples is not None else []
        config = compose("train", given)
        config["data"] = {"name": module.name}
        ended = train(config, module)
    if ended.fitted is not None and ended.fitted.signal not in (None, signal.SIGINT):
        # Whoever sent it wants the process to end: what was to happen then now happens.
        signal.raise_signal(ended.fitted.signal)
    return ended.synthesizer


def load(checkpoint: str | Path) -> Synthesizer:
    """Loads a checkpoint folder, by its path, its bare name under `checkpoints/`, or its run folder."""
    return Synthesizer.load(find_checkpoint(str(checkpoint)))


def evaluate(
    real: pd.DataFrame | Images,
    synthetic: pd.DataFrame | Images,
    holdout: pd.DataFrame | Images | None = None,
    target: str | None = None,
    sensitive: Sequence[str] = (),
    name: str = "data",
    seed: int = 0,
    progress: Any = None,
) -> "Report":
    """Measures synthetic data against the real data that it was learned from, and against real data it never saw.

    Args:
        real: Real data that training saw.
        synthetic: Synthetic data.
        holdout: Real data that training did not see; without it there are no floors and no utility figures.
        target: For tables, the column that utility figures predict.
        sensitive: For tables, columns whose groups shall be as frequent as in the real data.
        name: Of the data, in the report.
        seed: Of all subsampling.
        progress: Called with a word before each part.
    """
    if isinstance(real, pd.DataFrame) and isinstance(synthetic, pd.DataFrame):
        from synthgen.reports.table import table_report

        schema = infer_schema(real, target)
        held = holdout if isinstance(holdout, pd.DataFrame) else None
        return table_report(
            real,
            held,
            synthetic,
            schema,
            target=target,
            sensitive=sensitive,
            name=name,
            seed=seed,
            progress=progress,
        )
    if isinstance(real, Images) and isinstance(synthetic, Images):
        from synthgen.reports.image import image_report

        held_out = (holdout.pixels, holdout.labels) if isinstance(holdout, Images) else None
        return image_report(
            (real.pixels, real.labels),
            held_out,
            (synthetic.pixels, synthetic.labels),
            classes=list(real.classes),
            name=name,
            seed=seed,
            progress=progress,
        )
    raise SynthgenError(
        f"evaluate: found {type(real).__name__} as real and {type(synthetic).__name__} as synthetic; "
        "expected two tables or two sets of images"
    )


def _data_module(
    data: pd.DataFrame | np.ndarray | Images | str | Path,
    labels: Sequence[Any] | np.ndarray | None,
    target: str | None,
    batch_size: int | None,
    seed: int,
) -> DataModule:
    path = Path(data) if isinstance(data, str | Path) else None
    size = {} if batch_size is None else {"batch_size": batch_size}
    common: dict[str, Any] = {"holdout": 0.0, "seed": seed, "name": path.stem if path else "data", **size}
    if isinstance(data, pd.DataFrame) or (path and not path.is_dir()):
        source = (lambda: data) if isinstance(data, pd.DataFrame) else (lambda: read_table(str(path)))
        return TableDataModule(source, target=target, **common)
    if target is not None:
        raise SynthgenError(f"target={target!r}: images have no columns; give labels instead")
    if path:
        return ImageDataModule(lambda: image_folder(str(path)), **common)
    if isinstance(data, Images):
        return ImageDataModule(lambda: data, **common)
    return ImageDataModule(lambda: from_array(np.asarray(data), labels), **common)
