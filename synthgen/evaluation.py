"""The Python API: `synthgen.evaluate`."""

import platform
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from synthgen.data.fingerprint import fingerprint
from synthgen.data.images.images import Images
from synthgen.data.tables.moments import UNITS, recognise, ticks_of
from synthgen.data.tables.number_formats import numbers_of
from synthgen.data.tables.schema import measured_schema, moment_column, number_format, unmeasured
from synthgen.data.tables.sources import to_frame
from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind, TableSchema
from synthgen.metrics.image.extractors import Extractor
from synthgen.reports.image.report import image_report
from synthgen.reports.report import Progress, Report
from synthgen.reports.table.report import table_report

__all__ = ["evaluate"]

PACKAGES = ("synthgen", "torch", "numpy", "pandas", "scikit-learn", "fairlearn", "xgboost")


def evaluate(
    real: pd.DataFrame | Images,
    synthetic: pd.DataFrame | Images,
    holdout: pd.DataFrame | Images | None = None,
    target: str | None = None,
    sensitive: Sequence[str] = (),
    name: str = "data",
    seed: int = 0,
    progress: Progress | None = None,
    extractor: Extractor | None = None,
    made: Mapping[str, Any] | None = None,
    entities: tuple[Sequence[Any], Sequence[Any]] | None = None,
    invented: Mapping[str, str] | None = None,
    formats: Mapping[str, str] | None = None,
) -> Report:
    """Measures synthetic data, from any tool, against real data that it was learned from and real data it never saw.

    A table's columns of dates are measured as numbers, as are those of text such as "25%" or "$1,200.00"; columns that
    nothing can be measured of, such as identifiers, personal text and free text, are left out, and a note says so.

    Args:
        real: Real data that training saw: images, or a table of pandas, polars or pyarrow.
        synthetic: Synthetic data.
        holdout: Real data that training did not see; without it there are no floors, and a note says what cannot be
            concluded.
        target: For tables, the column that utility figures predict.
        sensitive: For tables, columns whose groups shall be as frequent as in the real data, and be treated as there.
        name: Of the data, in the report.
        seed: Of all subsampling.
        progress: Called with a word, and the share that is done, before each part.
        extractor: For images, features in place of those of a classifier of the real images.
        made: More of how the synthetic data was made, for the report: model, seconds of training, command.
        entities: For tables, the entity, such as a person, of each real row and of each holdout row, where whole
            entities were held out: the test of copying takes rows for independent otherwise.
        invented: For tables, columns that were made anew and not learned, besides those that are recognised: by name,
            the kind.
        formats: For tables, columns of text that are numbers, besides those that are recognised: by name, the format.

    Raises:
        SynthgenError: Data of different kinds, tables that lack a column, or images of a class that real ones have not.
    """
    real, synthetic, holdout = to_frame(real), to_frame(synthetic), to_frame(holdout)
    if holdout is not None and not isinstance(holdout, type(real)):
        raise SynthgenError(
            f"evaluate: found {type(holdout).__name__} as holdout, expected {type(real).__name__} as the real data"
        )
    hashes = {
        side: fingerprint(data)
        for side, data in (("real", real), ("holdout", holdout), ("synthetic", synthetic))
        if data is not None
    }
    if isinstance(real, pd.DataFrame) and isinstance(synthetic, pd.DataFrame):
        # As in training, a column's name is a text.
        tables = [
            side.rename(columns=str) if isinstance(side, pd.DataFrame) else None for side in (real, synthetic, holdout)
        ]
        tables, dressed = _without_dress(tables, target, formats or {})
        (train, fake, held), dates = _without_dates(tables, target)
        assert train is not None
        assert fake is not None
        schema, left_out = _measurable(train, target, invented or {})
        train = train[schema.names]
        report = table_report(
            train,
            held,
            fake,
            schema,
            sensitive=[sensitive] if isinstance(sensitive, str) else sensitive,
            name=name,
            seed=seed,
            progress=progress,
            entities=entities,
            dates=dates,
        )
        if dates:
            report.notes.append(f"Dates were measured as seconds since 1970: {', '.join(dates)}.")
        if dressed:
            said = ", ".join(f"{name} ({written})" for name, written in dressed.items())
            report.notes.append(f"Text was measured as the numbers that it is: {said}.")
        report.notes += left_out
    elif isinstance(real, Images) and isinstance(synthetic, Images):
        report = image_report(
            (real.pixels, real.labels),
            (holdout.pixels, holdout.labels_among(real.classes, "holdout")) if isinstance(holdout, Images) else None,
            (synthetic.pixels, synthetic.labels_among(real.classes, "synthetic")),
            classes=list(real.classes),
            name=name,
            seed=seed,
            progress=progress,
            extractor=extractor,
        )
    else:
        raise SynthgenError(
            f"evaluate: found {type(real).__name__} as real and {type(synthetic).__name__} as synthetic; "
            "expected two tables or two sets of images"
        )
    report.made = {**(made or {}), "data (SHA-256)": hashes, "seed": seed, "versions": _versions()}
    return report


def _without_dress(
    tables: Sequence[pd.DataFrame | None], target: str | None, formats: Mapping[str, str]
) -> tuple[list[pd.DataFrame | None], dict[str, str]]:
    """The tables with the first one's columns of numbers in dress as floats, and by name the format that these have.

    Other tables may have more or fewer decimals, or plain numbers: they may be of any tool.
    """
    real = tables[0]
    assert real is not None
    found = {}
    for name in real.columns if real.columns.is_unique else ():
        values = real[name]
        if pd.api.types.is_string_dtype(values) or values.dtype == object:
            try:
                written = formats.get(name) or number_format(name, values, target=name == target)
            except SynthgenError:
                continue  # it has a note of its own
            if written is not None:
                found[name] = str(written)
    turned = []
    for table in tables if found else ():
        if table is not None:
            columns = [Column(name, Kind.NUMERICAL, "object", format=found[name]) for name in found if name in table]
            table = table.assign(**{one.name: numbers_of(table[one.name], one, loosely=True) for one in columns})
        turned.append(table)
    return turned or list(tables), found


def _without_dates(
    tables: Sequence[pd.DataFrame | None], target: str | None
) -> tuple[list[pd.DataFrame | None], list[str]]:
    """The tables with the first one's columns of dates, as text too, as seconds, and these columns' names."""
    real = tables[0]
    assert real is not None
    dates: dict[str, Callable[[pd.Series], pd.Series]] = {}
    for name in real.columns if real.columns.is_unique else ():
        values = real[name]
        if pd.api.types.is_datetime64_any_dtype(values):
            dates[name] = _seconds
        elif name != target and (pd.api.types.is_string_dtype(values) or values.dtype == object):
            different = values.dropna().drop_duplicates()
            found = recognise(different) if len(different) else None
            if found is not None and found[0].moment:
                cells = pd.concat([table[name] for table in tables if table is not None and name in table])
                dates[name] = partial(_seconds_of_text, _moments(name, cells, *found))
    if not dates:
        return list(tables), []
    turned = []
    for table in tables:
        if table is not None:
            table = table.assign(**{name: turn(table[name]) for name, turn in dates.items() if name in table})
        turned.append(table)
    return turned, list(dates)


def _moments(name: str, cells: pd.Series, kind: Kind, written: str | None) -> Column:
    """The column of dates that all sides hold."""
    try:
        bare = Column(name, kind, str(cells.dtype), missing_rate=float(cells.isna().mean()), format=written)
        return moment_column(bare, cells)
    except (SynthgenError, ValueError, TypeError) as error:
        form = f"{kind}s" if written is None else f"{kind}s written as {written}"
        raise SynthgenError(f"column {name!r}: holds {form} in the real table, found others: {error}") from None


def _seconds_of_text(column: Column, values: pd.Series) -> pd.Series:
    ticks, missing = ticks_of(values, column)
    if column.unit == "M":
        seconds = ticks.astype("datetime64[M]").astype("datetime64[s]").astype(float)
    else:
        seconds = ticks * (86400 / UNITS[str(column.unit)])
    return pd.Series(np.where(missing, np.nan, seconds), index=values.index, name=values.name)


def _seconds(values: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values) and values.notna().any():
        raise SynthgenError(
            f"column {values.name!r}: holds dates in the real table, found numbers such as "
            f"{values.dropna().iloc[0]}; give dates"
        )
    try:
        moments = pd.to_datetime(values, utc=True)
    except (ValueError, TypeError) as error:
        raise SynthgenError(
            f"column {values.name!r}: holds dates in the real table, found something else: {error}"
        ) from None
    return (moments - pd.Timestamp(0, tz="UTC")).dt.total_seconds()


def _unmeasured(frame: pd.DataFrame, target: str | None) -> dict[str, str]:
    """By name, of what words a column is that says who somebody is, or nothing that can be counted."""
    found = {}
    for name in frame.columns:
        try:
            words = unmeasured(name, frame[name]) if name != target else None
        except SynthgenError:
            continue  # it has a note of its own
        if words is not None:
            found[name] = words
    return found


def _measurable(frame: pd.DataFrame, target: str | None, invented: Mapping[str, str]) -> tuple[TableSchema, list[str]]:
    """The schema of the columns that can be measured, and notes on those that cannot."""
    if frame.empty or not frame.columns.is_unique:
        return measured_schema(frame, target), []
    words = {**_unmeasured(frame, target), **{name: kind for name, kind in invented.items() if name in frame.columns}}
    notes = [f"Not measured: column {name!r}: {what}." for name, what in words.items()]
    others = [name for name in frame.columns if name not in words]
    try:
        if others:
            return measured_schema(frame[others], target), notes
    except SynthgenError:
        pass  # which of them it is, is looked for
    kept = []
    for name in others:
        try:
            measured_schema(frame[[name]])
        except SynthgenError as error:
            if name == target:
                raise
            notes.append(f"Not measured: {error}.")
        else:
            kept.append(name)
    if not kept:
        raise SynthgenError(f"no column can be measured. {notes[0]}")
    return measured_schema(frame[kept], target), notes


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
