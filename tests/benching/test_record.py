import json

import pytest

from scripts.benching.record import Record
from synthgen.errors import SynthgenError


def row(method="copula", data="adult", seed=0, **others):
    return {"method": method, "data": data, "seed": seed, **others}


def test_a_row_replaces_the_one_of_its_method_data_and_seed_alone(tmp_path):
    record = Record(tmp_path / "rows.json")
    for one in (row(seed=1), row(), row("arf"), row(data="a"), row(fit=2.0)):
        record.put(one)
    keys = [(one["data"], one["method"], one["seed"]) for one in record.rows]
    assert keys == [("a", "copula", 0), ("adult", "arf", 0), ("adult", "copula", 0), ("adult", "copula", 1)]
    assert record.row("copula", "adult", 0) == row(fit=2.0)
    assert record.row("copula", "adult", 2) is None


def test_floors_stand_beside_rows(tmp_path):
    record = Record(tmp_path / "rows.json")
    record.put(row())
    record.put_floor("magic", {"shape error": 0.1})
    record.put_floor("adult", {"shape error": float("nan")})
    assert record.floors == {"adult": {"shape error": None}, "magic": {"shape error": 0.1}}
    assert len(record.rows) == 1


def test_a_write_that_fails_leaves_the_rows_that_were_there(tmp_path):
    record = Record(tmp_path / "rows.json")
    record.put(row())
    with pytest.raises(TypeError):
        record.put(row(seed=1, fit=object()))
    assert [one["seed"] for one in record.rows] == [0]
    assert [file.name for file in tmp_path.iterdir()] == ["rows.json"]
    json.loads(record.file.read_text())


def test_a_damaged_file_is_named(tmp_path):
    record = Record(tmp_path / "rows.json")
    record.file.write_text('{"rows": [')
    with pytest.raises(SynthgenError, match=r"rows\.json: damaged"):
        record.put(row())
