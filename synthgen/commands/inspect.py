"""`synthgen inspect`: say what is in a data file or folder."""

import warnings
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from synthgen.configuration import build, to_plain
from synthgen.errors import SynthgenError

__all__ = ["run"]

# Share of a column's cells from which one number is worth a word.
_FREQUENT = 0.05


def run(config: DictConfig) -> None:
    """Prints columns and their kinds, and writes a schema file; of images, their sizes, channels and classes."""
    import pandas as pd
    from rich.console import Console

    from synthgen.data.files import read_data
    from synthgen.data.tables.constraints.search import found_constraints
    from synthgen.data.tables.schema import infer_schema
    from synthgen.data.tables.wishes import entry_text, schema_text

    plain = to_plain(config)
    settings, console = plain["data"], Console()
    if "_target_" in settings:
        # Keys of any data that this one has not are not given either.
        data = build({key: value for key, value in settings.items() if value is not None}).read()
    elif settings["path"]:
        data = read_data(settings["path"], settings["limit"], settings["seed"])
    else:
        raise SynthgenError("data.path is missing: give data.path=FILE, or choose data=...")
    if not isinstance(data, pd.DataFrame):
        console.print(_images(data))
        return
    data = data.rename(columns=str).reset_index(drop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what is left out has a line of the table
        schema = infer_schema(data, settings.get("target"))
    left_out = {name: "free text" for name in data.columns if name not in schema.names}
    console.print(_table(data, schema))
    notable = {column.name: _notable(data[column.name], column) for column in schema}
    for name, said in {**notable, **{name: f"{why}: left out" for name, why in left_out.items()}}.items():
        if said:
            console.print(f"- {name}: {said}", markup=False, soft_wrap=True)
    offered = found_constraints(data, schema)
    for entry in offered:
        console.print(f"- all rows obey {entry_text(entry)}", markup=False, soft_wrap=True)
    if plain["output"]:
        _write(Path(plain["output"]), schema_text(schema, left_out, offered), console)


def _write(file: Path, text: str, console: Any) -> None:
    from synthgen.files import replacing

    if file.exists() and file.read_text(encoding="utf-8") != text:
        said = f"{file} is there and says something else: left as it is; remove it, or choose another output="
        console.print(said, markup=False, soft_wrap=True)
        return
    with replacing(file) as partial:
        partial.write_text(text, encoding="utf-8")
    console.print(f"wrote {file}: change it and train with data.schema={file}", markup=False, soft_wrap=True)


def _table(frame: Any, schema: Any) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{len(frame):,} rows, {frame.shape[1]} columns", title_justify="left")
    for heading in ("column", "kind", "dtype", "distinct", "missing", "values"):
        numbers = heading in ("distinct", "missing")
        table.add_column(heading, justify="right" if numbers else "left", no_wrap=heading == "kind")
    columns = {column.name: column for column in schema}
    for name in frame.columns:
        values, column = frame[name], columns.get(name)
        missing = f"{100 * values.isna().mean():.1f} %" if values.isna().any() else "–"
        kind, shown = (str(column.kind), _values(values, column)) if column else ("drop", "")
        row = (name, kind, str(values.dtype), f"{values.nunique():,}", missing, shown)
        table.add_row(*map(escape, row))
    return table


def _values(values: Any, column: Any) -> str:
    from synthgen.layout import Kind

    if column.numerical:
        precision = "full precision" if column.decimals is None else f"{column.decimals} decimals"
        ends = [f"{end:,}" if isinstance(end, int) else f"{end:g}" for end in (column.minimum, column.maximum)]
        written = f", written {column.format}" if column.format else ""
        return f"{ends[0]} .. {ends[1]}, {precision}{written}"
    if column.kind.moment or column.kind is Kind.DURATION:
        present = values.dropna()
        if column.format is None:
            return f"{present.min()} .. {present.max()}"
        return f"{present.iloc[0]}, written {column.format}"
    if column.kind is Kind.IDENTIFIER:
        return f"{values.dropna().iloc[0]}, …"
    if column.kind is Kind.PERSONAL:
        return f"{column.format}, {column.locale}"
    frequent = values.value_counts().index[:4]
    return ", ".join(map(str, frequent)) + (", …" if len(column.categories) > 4 else "")


def _notable(values: Any, column: Any) -> str:
    from synthgen.data.tables.cells import Cells
    from synthgen.data.tables.forms import MANY
    from synthgen.data.tables.number_formats import numbers_of
    from synthgen.data.tables.schema import names_rows
    from synthgen.layout import Kind

    if column.kind.invented:
        return "made anew, not learned"
    written = (column.format or "").replace("%-", "%")
    if column.kind.moment and ("%m/%d" in written or "%d/%m" in written):
        return f"is the day first? taken as {column.format}"
    if column.kind is Kind.CATEGORICAL and names_rows(Cells(column.name, values)):
        return "names or keys? samples repeat them as they are: identifier, personal or drop keeps them back"
    if len(column.categories) > MANY:
        return "very many words: two digits of a code"
    if isinstance(column.minimum, int) and column.numerical:
        return "beyond 2^53: every digit is kept"
    if column.numerical:
        shares = numbers_of(values, column).value_counts(normalize=True)
        if len(shares) > 20 and shares.iloc[0] >= _FREQUENT:
            return f"{100 * shares.iloc[0]:.0f} % are {shares.index[0]:g}"
    return ""


def _images(images: Any) -> Any:
    from rich.table import Table

    from synthgen.data.images.codec import ImageCodec

    codec = ImageCodec.fit(images)
    layout = codec.layout
    table = Table(title=f"{len(images):,} images", title_justify="left", show_header=False)
    table.add_row("size", f"{layout.width} × {layout.height} pixels")
    table.add_row("channels", str(layout.channels))
    table.add_row("sigma_data", f"{layout.sigma_data:.3f}, of pixels scaled to −1 .. 1")
    table.add_row("classes", str(layout.classes or "none"))
    for name, share in zip(codec.classes, layout.class_shares):
        table.add_row(f"  {name}", f"{100 * share:.1f} %")
    return table
