"""Group shares against hand-worked ones."""

import pandas as pd
import pytest

from synthgen.data.tables.schema import infer_schema
from synthgen.errors import SynthgenError
from synthgen.metrics.table.fairness import representation_gap

REAL = pd.DataFrame({"sex": ["f", "f", "m", None], "x": [1, 2, 3, 4]})


def test_the_largest_gap_counts():
    fake = pd.DataFrame({"sex": ["f", "m", "m", "m"], "x": [1, 2, 3, 4]})
    assert representation_gap(REAL, fake, infer_schema(REAL), "sex") == pytest.approx(0.5)


def test_equal_shares_have_no_gap_whatever_the_size():
    assert representation_gap(REAL, pd.concat([REAL, REAL]), infer_schema(REAL), "sex") == 0


def test_an_unknown_column_is_named():
    with pytest.raises(SynthgenError, match="did you mean 'sex'"):
        representation_gap(REAL, REAL, infer_schema(REAL), "sexx")
