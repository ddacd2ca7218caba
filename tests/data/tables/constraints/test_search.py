"""Constraints that are offered: what was planted is found, and nothing that holds by chance."""

import time

import numpy as np
import pandas as pd
import pytest

from synthgen.data.tables.constraints.search import found_constraints
from synthgen.data.tables.schema import infer_schema
from synthgen.data.tables.wishes import read_schema, schema_text


def wide(rows, columns=40):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {f"x{i}": rng.gamma(2, 10, rows).round(2) if i % 2 else rng.integers(0, 50, rows) for i in range(columns)}
    )
    city = rng.integers(0, 60, rows)
    return frame.assign(
        two=(frame.x1 + frame.x3).round(2),
        four=frame.x0 + frame.x2 + frame.x4 + frame.x7,
        run=frame.loc[:, "x10":"x19"].sum(axis=1).round(2),
        above=frame.x5 + rng.integers(0, 5, rows),
        top=lambda t: t.above + rng.integers(0, 9, rows) / 4,
        city=pd.Series(city).map("city {}".format),
        state=pd.Series(city // 6).map("state {}".format),
        code=city % 60 * 10 + 3.5,
        country=pd.Series(city // 12).map("country {}".format),
        key=rng.permutation(rows) + 1000,
    )


def test_what_was_planted_is_found_and_nothing_else():
    frame = wide(5000)
    assert found_constraints(frame, infer_schema(frame)) == [
        {"sum": {"two": ["x1", "x3"]}},
        {"sum": {"four": ["x0", "x2", "x4", "x7"]}},
        {"sum": {"run": [f"x{i}" for i in range(10, 20)]}},
        {"inequality": ["x5", "above", "top"]},
        {"fixed_combinations": ["city", "state", "code", "country"]},
        {"unique": "key"},
    ]


def test_fifty_columns_of_100_000_rows_take_seconds():
    frame = wide(100_000)
    schema = infer_schema(frame)
    begun = time.perf_counter()
    assert len(found_constraints(frame, schema)) == 6
    assert time.perf_counter() - begun < 10


def test_columns_of_which_each_is_beyond_the_last_take_seconds():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((20_000, 150)) * 0.9 + np.arange(150) * 0.5).rename(columns=str)
    frame["begin"] = frame["149"] + rng.random(20_000)
    frame["end"] = frame["begin"] + rng.random(20_000) * rng.integers(0, 2, 20_000)
    schema = infer_schema(frame)
    begun = time.perf_counter()
    assert found_constraints(frame, schema) == [{"inequality": ["149", "begin", "end"]}]
    assert time.perf_counter() - begun < 6


@pytest.mark.parametrize("rows", [1, 3, 30, 400])
def test_few_rows_or_chance_are_no_evidence(rows):
    rng = np.random.default_rng(rows)
    frame = pd.DataFrame(
        {
            "rare": (np.arange(rows) == 2).astype(int),
            "flag": rng.random(rows) < 0.02,
            "many": rng.permutation(rows) // 2,
            "small": rng.integers(0, 5, rows),
            "large": rng.integers(100, 200, rows),
            "word": rng.choice(list("abc"), rows),
            "same": 4,
            "nothing": None,
        }
    )
    assert found_constraints(frame, infer_schema(frame)) == []


def test_dates_and_missing_cells():
    rng = np.random.default_rng(0)
    begin = pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 300, 900), unit="D"))
    end = begin + pd.to_timedelta(rng.integers(0, 9, 900), unit="D")
    part, rest = rng.gamma(2, 5, (2, 900)).round(1)
    frame = pd.DataFrame({"end": end.where(rng.random(900) < 0.7), "begin": begin.dt.strftime("%d.%m.%Y")})
    frame = frame.assign(part=part, rest=rest, total=pd.Series((part + rest).round(1)).where(rng.random(900) < 0.9))
    assert found_constraints(frame, infer_schema(frame)) == [
        {"sum": {"total": ["part", "rest"]}},
        {"inequality": ["begin", "end"]},
    ]


def test_offers_are_comments_that_read_back_once_they_are_wanted(tmp_path):
    frame = wide(3000)
    schema = infer_schema(frame)
    text = schema_text(schema, {}, found_constraints(frame, schema))
    file = tmp_path / "schema.yaml"
    file.write_text(text)
    assert read_schema(file).constraints == ()
    assert infer_schema(frame, wanted=read_schema(file)) == schema
    for uncommented in ("  -", " -", "-"):
        file.write_text(text.replace("#  -", uncommented))
        constraints = read_schema(file).constraints
        assert [constraint.kind for constraint in constraints] == ["sum"] * 3 + [
            "inequality",
            "fixed_combinations",
            "unique",
        ]
        for constraint in constraints:
            constraint.bind(schema)
            constraint.learn(frame, 0)
            assert constraint.check(frame).all()


def test_a_class_of_a_measured_number_is_no_choice_of_combinations():
    random = np.random.default_rng(0)
    score = random.normal(50, 10, 4000).round(1)
    frame = pd.DataFrame({"score": score, "segment": np.where(score > 45, "high", "low")})
    assert found_constraints(frame, infer_schema(frame)) == []


def test_a_counter_is_not_above_a_number_by_rule():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"logarithm": random.uniform(0, 8, 5000), "row": np.arange(5000) + 9.0})
    frame.loc[0, "row"] = 3.0
    frame.loc[0, "logarithm"] = 1.0
    assert found_constraints(frame, infer_schema(frame)) == [{"unique": "row"}]
