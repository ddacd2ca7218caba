"""Judging rows: what was unique so far is looked up fast, however much there is."""

import time

import numpy as np
import pandas as pd
import torch

from synthgen.data.tables.constraints.given import Given
from synthgen.data.tables.constraints.keeping import RowKeeping
from synthgen.data.tables.constraints.kinds import read_constraint
from synthgen.data.tables.schema import infer_schema


def keeping():
    unique = read_constraint({"unique": "x"}, "here")
    unique.bind(infer_schema(pd.DataFrame({"x": np.arange(100)})))
    return RowKeeping(
        lambda rows, _: (pd.DataFrame({"x": rows["categorical"][:, 0].numpy()}), []), [unique], Given.nothing(1), True
    )


def take(judging, numbers):
    kept = judging.judge({"categorical": torch.as_tensor(numbers)[:, None]}, None)
    judging.take(np.flatnonzero(kept))
    return kept


def test_what_was_taken_does_not_come_again():
    judging, seen = keeping(), set()
    rng = np.random.default_rng(0)
    for size in (5, 1, 300, 0, 40, 40, 700):
        numbers = rng.integers(0, 900, size)
        expected = []
        for number in numbers.tolist():
            expected.append(number not in seen)
            seen.add(number)
        assert take(judging, numbers).tolist() == expected


def test_a_million_rows_take_seconds():
    judging, begun = keeping(), time.monotonic()
    for block in range(500):
        assert take(judging, np.arange(block * 2048, (block + 1) * 2048)).all()
    assert time.monotonic() - begun < 10
