"""Rows of Adult drawn under conditions, against the real rows that meet them; called by scripts/bench_conditions.

For each condition, two distances from the training rows that meet it: the mean total variation of the other columns,
and of their pairs. "real" is what as many holdout rows that meet it are away: the floor. "none" is what the training
rows are away that do not have to meet it: what a model that ignores the condition comes to.
"""

import os
import sys
import time
from itertools import combinations

import numpy as np
import pandas as pd

import synthgen
from synthgen.data.tables.delimited import read_csv
from synthgen.data.tables.schema import infer_schema
from synthgen.layout import TableSchema
from synthgen.metrics.table.columns import joint_codes
from synthgen.metrics.table.marginals import cell_codes, total_variation

CONDITIONS = (
    {"native_country": "Mexico"},
    {"occupation": "Priv-house-serv"},
    {"age": 39},
    {"hours_per_week": 60},
    {"education": "Masters", "sex": "Female"},
    {"income": ">50K", "age": 30},
)
SETTINGS = {"seconds": "120", "models": "argn,argn+model.in_order=0,tabdiff", "seed": "0"}


def main(arguments: list[str]) -> None:
    """Prints a table, a line a condition and a model."""
    settings = SETTINGS | dict(argument.split("=", 1) for argument in arguments)
    if unknown := settings.keys() - SETTINGS.keys():
        sys.exit(f"unknown {', '.join(sorted(unknown))}: settings are {', '.join(SETTINGS)}")
    folder = f"{os.environ['SYNTHGEN_DATA']}/tables/adult"
    train, holdout = (read_csv(f"{folder}/{part}.csv") for part in ("train", "test"))
    schema = infer_schema(train, "income")
    fitted = {name: fit(train, name, float(settings["seconds"]), int(settings["seed"])) for name in models(settings)}
    print(f"{'condition':<36} {'rows':>6} {'':<24} {'columns':>8} {'pairs':>8} {'rows/s':>9}")
    for condition in CONDITIONS:
        meeting, unseen = (meets(frame, condition) for frame in (train, holdout))
        others = TableSchema(tuple(column for column in schema if column.name not in condition))
        name = ", ".join(f"{column}={value}" for column, value in condition.items())

        def line(who: str, rows: pd.DataFrame, rate: str = "") -> None:
            columns, pairs = distances(meeting, rows, others)  # noqa: B023
            print(f"{name:<36} {len(unseen):>6,} {who:<24} {columns:8.2%} {pairs:8.2%} {rate:>9}")  # noqa: B023

        line("real", unseen)
        line("none", train.sample(len(unseen), random_state=0))
        for model, synthesizer in fitted.items():
            begun = time.perf_counter()
            drawn = synthesizer.sample(len(unseen), condition=condition)
            rate = len(unseen) / (time.perf_counter() - begun)
            assert len(meets(drawn, condition)) == len(drawn)
            line(model, drawn, f"{rate:,.0f}")


def models(settings: dict[str, str]) -> list[str]:
    """Names of the models that are held against each other."""
    return settings["models"].split(",")


def fit(train: pd.DataFrame, model: str, seconds: float, seed: int) -> synthgen.Synthesizer:
    """One trained model, named with what is overridden of its config; nothing looks at it meanwhile."""
    begun = time.perf_counter()
    name, *overrides = model.split("+")
    overrides += ["callbacks=none"]
    fitted = synthgen.fit(train, f"table/{name}", target="income", max_time=seconds, seed=seed, overrides=overrides)
    print(f"{model}: {time.perf_counter() - begun:.0f} s, conditions are {fitted.model.conditioning}")
    return fitted


def meets(frame: pd.DataFrame, condition: dict[str, object]) -> pd.DataFrame:
    """The rows that do."""
    return frame[np.logical_and.reduce([frame[name] == value for name, value in condition.items()])]


def distances(real: pd.DataFrame, other: pd.DataFrame, schema: TableSchema) -> tuple[float, float]:
    """Mean total variation over columns, and over pairs of them; numbers in 10 bins of the real range."""
    cells = [cell_codes([real, other], column) for column in schema]
    columns = [total_variation(*codes, size) for codes, size in cells]
    pairs = []
    for (first, size), (second, sizes) in combinations(cells, 2):
        codes, total = joint_codes(first, second, (size, sizes))
        pairs.append(total_variation(*codes, total))
    return float(np.mean(columns)), float(np.mean(pairs))


if __name__ == "__main__":
    main(sys.argv[1:])
