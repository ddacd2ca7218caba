import subprocess
import sys
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from synthgen.data.fingerprint import fingerprint
from synthgen.data.tables.module import TableDataModule
from synthgen.data.tables.outputs import write_table
from synthgen.data.tables.sources import read_parquet
from synthgen.data.tables.streamed import StreamedTable
from synthgen.errors import SynthgenError
from tests.data.tables.test_outputs import kinds

ROWS = 4000


def orders():
    """One column of every kind; the last of four parts brings words, missing cells and fractions that no other has."""
    rng = np.random.default_rng(0)
    part = np.arange(ROWS) // (ROWS // 4)
    last = part == 3
    towns = rng.choice(["Bonn", "Köln", "Ulm"], ROWS).astype(object)
    towns[-1] = "Zwiesel"
    day = pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, ROWS), unit="D"))
    start = rng.integers(0, 50, ROWS)
    return pd.DataFrame(
        {
            "order_id": rng.permutation(ROWS) + 10**6,
            "token": [str(uuid.UUID(int=int(a), version=4)) for a in rng.integers(2**63, size=ROWS)],
            "email": [f"person{i}@example.org" for i in rng.permutation(ROWS)],
            "remark": [f"the parcel of {i} was left beside the door {i % 7}" for i in rng.permutation(ROWS)],
            "town": towns,
            "street": [f"street {i}" for i in rng.integers(0, 1500, ROWS)],
            "size": pd.Series(rng.choice(list("SML"), ROWS), dtype=pd.CategoricalDtype(list("SMLX"), ordered=True)),
            "pieces": pd.Series(rng.integers(1, 9, ROWS), dtype="Int64").mask(last & (rng.random(ROWS) < 0.2)),
            "ratio": pd.Series(rng.normal(size=ROWS).round(3)).mask(rng.random(ROWS) < 0.1),
            "price": [Decimal(int(cents)) / 100 for cents in rng.integers(1, 10**5, ROWS)],
            "serial": rng.integers(2**60, 2**61, ROWS),
            "paid": np.where(last & (rng.random(ROWS) < 0.3), None, rng.random(ROWS) < 0.5),
            "day": day.where(~last | (rng.random(ROWS) < 0.9)),
            "written": day.dt.strftime("%d.%m.%Y"),
            "start": start,
            "end": start + rng.integers(0, 30, ROWS),
            "currency": "EUR",
            "customer": rng.integers(0, 500, ROWS),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The orders as four files of several row groups, in two folders of a year each."""
    folder = tmp_path_factory.mktemp("data") / "orders"
    # As other tools write it, without a word of pandas dtypes: whole numbers become floats where one is missing.
    table = pa.Table.from_pandas(orders(), preserve_index=False).replace_schema_metadata(None)
    for i in range(4):
        year = folder / f"year={2023 + i // 2}"
        year.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.slice(i * ROWS // 4, ROWS // 4), year / f"part-{i}.parquet", row_group_size=300)
    return str(folder)


def loaded(path, streamed, **settings):
    module = TableDataModule(read_parquet, path, streamed=streamed, **settings)
    with pytest.warns() if streamed else pytest.warns(UserWarning, match="free text"):
        module.load()
    return module


SETTINGS = [
    {},
    {"limit": 900, "seed": 5, "holdout": 0.3},
    {"split_by": "customer", "rare_below": 5, "target": "town"},
    {"constraints": [{"inequality": ["start", "end"]}, {"formula": "price > 0"}], "validation": 0.0},
    {"constraints": [{"fixed_combinations": ["town", "size"]}, {"not_null": "town"}, {"unique": "serial"}]},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: " ".join(settings) or "plain")
def test_a_table_that_stays_in_its_files_is_learned_as_in_memory_to_the_bit(folder, settings):
    whole, streamed = (loaded(folder, stays, **settings) for stays in (False, True))
    assert streamed.codec.schema == whole.codec.schema
    assert streamed.codec.to_dict() == whole.codec.to_dict()
    assert streamed.training_rows == whole.training_rows == len(whole.train)
    for name, codes in whole.training_tensors().items():
        assert torch.equal(streamed.training_tensors()[name], codes)
    assert streamed.fingerprint == whole.fingerprint
    for part in ("train", "validation", "holdout"):
        if getattr(whole, part) is not None:
            pd.testing.assert_frame_equal(getattr(streamed, part), getattr(whole, part))
    if "split_by" in settings:
        pd.testing.assert_series_equal(streamed.entities, whole.entities)
