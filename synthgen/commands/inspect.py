"""`synthgen inspect`: say what is in a data file or folder."""

from typing import Any

from omegaconf import DictConfig

from synthgen.configuration import build, to_plain
from synthgen.errors import SynthgenError

__all__ = ["run"]


def run(config: DictConfig) -> None:
    """Prints columns and their kinds, or sizes, channels and classes."""
    import pandas as pd
    from rich.console import Console

    from synthgen.data.files import read_data

    settings = to_plain(config)["data"]
    if "_target_" in settings:
        data = build(settings).read()
    elif settings.get("path"):
        data = read_data(settings["path"])
    else:
        raise SynthgenError("data.path is missing: give data.path=FILE, or choose data=...")
    Console().print(_table(data) if isinstance(data, pd.DataFrame) else _images(data))


def _table(frame: Any) -> Any:
    from rich.table import Table

    from synthgen.data.tables.schema import infer_schema

    table = Table(title=f"{len(frame):,} rows, {frame.shape[1]} columns", title_justify="left")
    for heading in ("column", "kind", "dtype", "distinct", "missing", "values"):
        table.add_column(heading, justify="right" if heading in ("distinct", "missing") else "left")
    for column in infer_schema(frame):
        if column.numerical:
            precision = "full precision" if column.decimals is None else f"{column.decimals} decimals"
            values = f"{column.minimum:g} .. {column.maximum:g}, {precision}"
        else:
            frequent = frame[column.name].value_counts().index[:4]
            values = ", ".join(map(str, frequent)) + (", …" if len(column.categories) > 4 else "")
        missing = f"{100 * column.missing_rate:.1f} %" if column.missing_rate else "–"
        distinct = f"{frame[column.name].nunique():,}"
        table.add_row(column.name, str(column.kind), column.dtype, distinct, missing, values)
    return table


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
