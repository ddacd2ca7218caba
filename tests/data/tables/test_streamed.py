import os
import subprocess
import sys
import uuid
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from synthgen.data.fingerprint import fingerprint
from synthgen.data.tables import streamed
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
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


def test_what_pandas_has_written_keeps_its_dtypes(tmp_path):
    path = str(tmp_path / "table.parquet")
    write_table(kinds(), path)
    streamed = read_parquet(path, streamed=True)
    assert isinstance(streamed, StreamedTable)
    pd.testing.assert_frame_equal(streamed[streamed.columns], read_parquet(path))
    assert fingerprint(streamed) == fingerprint(read_parquet(path))
    kinds().set_index(kinds().columns[0]).to_parquet(path)
    assert read_parquet(path, streamed=True).columns == list(read_parquet(path).columns)


def test_evaluation_compares_some_of_the_rows_that_training_learns_from(folder, monkeypatch):
    monkeypatch.setattr("synthgen.data.tables.module._COMPARED", 150)
    module = TableDataModule(read_parquet, folder, streamed=True, holdout=0.2, validation=0.1)
    with (
        pytest.warns(UserWarning, match="free text"),
        pytest.warns(UserWarning, match=r"training learns from 2,880 rows, of which evaluation compares 150$"),
    ):
        module.load()
    whole = loaded(folder, streamed=False, holdout=0.2, validation=0.1)
    assert module.training_rows == 2880
    assert [len(part) for part in (module.train, module.validation, module.holdout)] == [150, 150, 150]
    for part in ("train", "validation", "holdout"):
        some = getattr(module, part)
        pd.testing.assert_frame_equal(some, getattr(whole, part).loc[some.index])
    assert torch.equal(module.training_tensors()["categorical"], whole.training_tensors()["categorical"])
    assert module.fingerprint == whole.fingerprint


def test_a_holdout_of_its_own_is_some_rows_of_its_file(folder, monkeypatch):
    monkeypatch.setattr("synthgen.data.tables.module._COMPARED", 150)
    assert len(loaded(folder, streamed=True, holdout=folder).holdout) == 150
    assert len(loaded(folder, streamed=False, holdout=folder).holdout) == ROWS


def test_only_what_memory_does_not_hold_is_streamed(folder, monkeypatch):
    assert isinstance(read_parquet(folder, streamed=None), pd.DataFrame)
    assert isinstance(read_parquet(folder, streamed=True), StreamedTable)
    monkeypatch.setattr("synthgen.data.tables.sources.memory", lambda: 2_000_000)
    assert isinstance(read_parquet(folder, streamed=None), StreamedTable)
    assert isinstance(read_parquet(folder, limit=400, streamed=None), pd.DataFrame)
    assert isinstance(read_parquet(folder, streamed=False), pd.DataFrame)


def test_codes_that_memory_does_not_hold_are_refused_with_a_number_that_fits(folder, monkeypatch):
    for there in (450_000, 750_000):  # too little for a column; too little for the codes
        monkeypatch.setattr("synthgen.data.tables.streamed.memory", lambda there=there: there)
        with pytest.raises(SynthgenError, match=r"orders: found 4,000 rows, .*; data\.limit=(\d+) learns") as raised:
            loaded(folder, streamed=True)
        limit = int(str(raised.value).partition("data.limit=")[2].split()[0])
        assert 1000 < limit < 4000
        loaded(folder, streamed=True, limit=limit)


def test_a_source_that_reads_all_is_not_streamed():
    module = TableDataModule(orders, streamed=True)
    with pytest.raises(SynthgenError, match=r"data\.streamed: this source reads a table whole; expected data=parquet"):
        module.load()


def test_a_file_that_is_damaged_within_is_named(tmp_path):
    path = tmp_path / "table.parquet"
    pd.DataFrame({"x": np.arange(5000.0), "y": np.arange(5000.0)}).to_parquet(path, compression="snappy")
    content = bytearray(path.read_bytes())
    content[100:20_000] = bytes(19_900)
    path.write_bytes(content)
    module = TableDataModule(read_parquet, str(path), streamed=True)
    with pytest.raises(SynthgenError, match=r"table\.parquet: not a Parquet file"):
        module.load()


PEAKS = """
import sys
from pathlib import Path
from synthgen.data.tables import module
from synthgen.data.tables.sources import read_parquet

def memory(which):
    return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith(which))

def peak(streamed):
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    data = module.TableDataModule(read_parquet, sys.argv[1], streamed=streamed)
    data.load()
    assert data.fingerprint
    codes = sum(tensor.nbytes for tensor in data.training_tensors().values())
    return memory("VmHWM") - before, codes // 1024

module._COMPARED = 1000
(streamed, codes), (whole, _) = peak(True), peak(False)
print(streamed, whole, codes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_holds_the_codes_and_little_more(tmp_path):
    rows, rng = 1_000_000, np.random.default_rng(0)
    table = pa.table({f"count {i}": rng.integers(0, 10 + i, rows) for i in range(20)})
    for i in range(2):
        pq.write_table(table.slice(i * rows // 2, rows // 2), tmp_path / f"{i}.parquet", row_group_size=100_000)
    command = [sys.executable, "-W", "ignore", "-c", PEAKS, str(tmp_path)]
    streamed, whole, codes = map(
        int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    )
    assert streamed < codes + 150 * rows // 1024, "150 bytes a row of one column while it is fitted"
    assert whole > 3 * streamed


@pytest.mark.parametrize(
    ("line", "file", "expected"),
    [
        ("0::/job/step", "job/memory.max", [5000]),
        ("0::/elsewhere", "memory.max", [5000]),
        ("3:cpu:/\n4:memory:/job/step", "memory/job/memory.limit_in_bytes", [5000]),
        ("3:cpu:/job", "job/memory.max", []),
    ],
)
def test_memory_is_that_of_the_container_or_job(tmp_path, line, file, expected):
    (tmp_path / "own").write_text(line)
    limit = tmp_path / "groups" / file
    limit.parent.mkdir(parents=True)
    limit.write_text("5000\n")
    (tmp_path / "groups" / "job" / "step").mkdir(parents=True, exist_ok=True)
    (tmp_path / "groups" / "job" / "step" / "memory.max").write_text("max\n")
    assert streamed._limits(tmp_path / "own", tmp_path / "groups") == expected
    assert streamed._limits(tmp_path / "none", tmp_path / "groups") == []
    assert 0 < streamed.memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
