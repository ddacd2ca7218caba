"""A schema for a test's own table, without the data room that metrics and reports do not need."""

import numpy as np
import pandas as pd

from synthgen.layout import Column, Kind, TableSchema


def schema_of(frame: pd.DataFrame, target: str | None = None) -> TableSchema:
    """Floats are numerical, everything else is categorical, boolean or constant."""
    return TableSchema(tuple(_column(frame[name]) for name in frame.columns), target)


def people(rows: int, seed: int) -> pd.DataFrame:
    """A small census: numbers that depend on categories, a missing rate, a rare class and a constant."""
    random = np.random.default_rng(seed)
    job = random.choice(["farm", "office", "shop"], rows, p=[0.2, 0.5, 0.3])
    age = random.gamma(8, 5, rows) + 10 * (job == "farm")
    pay = 1000 * np.exp(0.02 * age + 0.5 * (job == "office") + 0.3 * random.normal(size=rows))
    return pd.DataFrame(
        {
            "age": age.round(),
            "job": job,
            "pay": np.where(random.random(rows) < 0.1, np.nan, pay.round(2)),
            "married": random.random(rows) < age / 100,
            "rich": np.where(pay > 4000, "yes", "no"),
            "country": "here",
        }
    )


def _column(series: pd.Series) -> Column:
    values = series.dropna().unique()
    common = {"name": str(series.name), "dtype": str(series.dtype), "missing_rate": float(series.isna().mean())}
    if len(values) < 2:
        return Column(kind=Kind.CONSTANT, categories=tuple(values.tolist()), **common)
    if series.dtype.kind == "f":
        return Column(kind=Kind.NUMERICAL, minimum=float(values.min()), maximum=float(values.max()), **common)
    kind = Kind.BOOLEAN if series.dtype.kind == "b" else Kind.CATEGORICAL
    return Column(kind=kind, categories=tuple(sorted(values.tolist())), **common)
