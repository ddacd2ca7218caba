"""Trials are real processes here; what they train takes a second."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts.benching import judge_tables
from scripts.benching.bench import Bench, _outdated
from scripts.benching.methods import METHODS, Method
from scripts.benching.record import Record
from scripts.benching.trial import ROOT, Trial

PEERS = [method for method in METHODS if not method.own and method.kind == "tables"]


class Stopped(BaseException):
    """As Ctrl-C does."""


@pytest.fixture
def bench(adult, tmp_path, monkeypatch):
    """A bench of one quick method whose figures are the rows that were judged."""
    monkeypatch.setattr(
        judge_tables, "figures", lambda data, file: {"protocol": {"rows": float(len(pd.read_parquet(file)))}}
    )
    monkeypatch.setattr(judge_tables, "floor", lambda data: {"protocol": {"rows": 0.0}})
    monkeypatch.setattr(Method, "python", lambda self, root: sys.executable)
    settings = {"log": str(tmp_path / "fitted.txt")}
    method = Method("shuffled", "tables", "tests.benching.shuffled", "Shuffled", settings, packages=("numpy",))
    return Bench([method], [adult], [0, 1], Record(tmp_path / "rows.json"), tmp_path / "work", 1, tell=lambda _: None)


def fitted(bench):
    """Seeds of all fits so far, in order."""
    return [int(line) for line in Path(bench.methods[0].settings["log"]).read_text().split()]


def test_a_row_says_what_was_done_by_what_and_how_long_it_took(bench):
    bench.run()
    row = bench.record.row("shuffled", "adult", 1)
    assert row["status"] == "done"
    assert row["figures"] == {"protocol": {"rows": 2000.0}}
    assert row["facts"] == {"threads": 1}
    assert row["versions"] == {"numpy": np.__version__}
    assert row["samples"] == 2000
    assert 0 <= row["fit_seconds"] < 10
    assert 0 < row["memory_mib"]["before"] <= row["memory_mib"]["fit"] <= row["memory_mib"]["sample"] < 1000
    assert {"commit", "cpu", "date", "judged by", "others", "spoiled", "settings", "threads"} <= set(row)
    assert bench.record.floors["adult"]["protocol"] == {"rows": 0.0}


def test_it_goes_on_with_what_is_missing(bench, monkeypatch):
    put = Record.put

    def cut_after_the_first(record, row):
        put(record, row)
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(Record, "put", cut_after_the_first)
        with pytest.raises(Stopped):
            bench.run()
    assert fitted(bench) == [0]
    bench.run()
    assert fitted(bench) == [0, 1]
    bench.run()
    assert fitted(bench) == [0, 1]


def test_what_was_trained_and_not_judged_is_not_trained_again(bench, monkeypatch):
    def stop(data, file):
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(judge_tables, "figures", stop)
        with pytest.raises(Stopped):
            bench.run()
    assert bench.record.rows == []
    bench.run()
    assert fitted(bench) == [0, 1]
    assert len(bench.record.rows) == 2


def test_what_cannot_be_judged_is_a_failure_and_the_next_is_judged(bench, monkeypatch):
    def judge(data, file):
        if "seed0" in str(file):
            raise ValueError("no row at all")
        return {"protocol": {"rows": 1.0}}

    monkeypatch.setattr(judge_tables, "figures", judge)
    bench.run()
    first, second = bench.record.rows
    assert (first["status"], second["status"]) == ("failed", "done")
    assert first["error"] == "cannot be judged: ValueError: no row at all"


def test_rows_of_other_code_are_made_again_when_asked(bench):
    bench.run()
    for row in bench.record.rows:
        bench.record.put({**row, "commit": f"{row['commit'].removesuffix('+')}+"})
    bench.run()
    assert fitted(bench) == [0, 1]
    for seed in (0, 1):
        shutil.rmtree(next(bench.work.glob(f"*-seed{seed}")))
    replace(bench, redo=["outdated"]).run()
    assert fitted(bench) == [0, 1, 0, 1]


@pytest.mark.parametrize("other", [{"cpu": "8086, 1 cores"}, {"versions": {"numpy": "1.0"}}])
def test_rows_of_other_packages_or_another_cpu_are_outdated(bench, other):
    bench = replace(bench, seeds=[0])
    bench.run()
    (row,) = bench.record.rows
    clean = {**row, "commit": "HEAD"}
    method = bench.methods[0]
    assert not _outdated(clean, method)
    assert _outdated(clean | other, method)


def test_rows_of_fewer_samples_are_not_those_that_are_asked_for(bench):
    few = replace(bench.methods[0], samples=50)
    replace(bench, methods=[few], seeds=[0]).run()
    assert bench.record.rows[0]["samples"] == 50
    replace(bench, methods=[replace(few, samples=60)], seeds=[0]).run()
    assert bench.record.rows[0]["samples"] == 60
    assert fitted(bench) == [0, 0]


def test_other_settings_are_another_row(bench):
    bench.run()
    method = replace(bench.methods[0], settings={**bench.methods[0].settings, "more": 1})
    replace(bench, methods=[method]).run()
    assert fitted(bench) == [0, 1, 0, 1]
    replace(bench, methods=[method], seeds=[0], threads=2).run()
    assert fitted(bench) == [0, 1, 0, 1, 0]


def test_a_method_that_fails_costs_its_row_alone_and_is_tried_again_when_asked(bench, tmp_path):
    gate = tmp_path / "gate"
    gate.touch()
    log = bench.methods[0].settings["log"]
    failing = replace(bench.methods[0], name="failing", settings={"log": log, "fails_while": str(gate)})
    both = replace(bench, methods=[failing, bench.methods[0]], seeds=[0])
    both.run()
    row = both.record.row("failing", "adult", 0)
    assert row["status"] == "failed"
    assert "AssertionError: the gate is there" in row["error"]
    assert both.record.row("shuffled", "adult", 0)["status"] == "done"
    gate.unlink()
    both.run()
    assert both.record.row("failing", "adult", 0)["status"] == "failed"
    replace(both, redo=["failed"]).run()
    assert both.record.row("failing", "adult", 0)["status"] == "done"


def test_a_method_that_takes_too_long_is_ended(bench):
    slow = replace(bench.methods[0], timeout=0.05)
    replace(bench, methods=[slow], seeds=[0]).run()
    assert bench.record.row("shuffled", "adult", 0)["error"] == "gave no result within 0 s"


def test_spoiled_rows_are_made_again_and_judgements_renewed_only_when_asked(bench, monkeypatch):
    bench = replace(bench, seeds=[0])
    bench.run()
    bench.record.put(bench.record.row("shuffled", "adult", 0) | {"spoiled": True})
    bench.run()
    assert fitted(bench) == [0]
    monkeypatch.setattr(judge_tables, "figures", lambda data, file: {"protocol": {"rows": 7.0}})
    replace(bench, redo=["judgement"]).run()
    assert fitted(bench) == [0]
    assert bench.record.rows[0]["figures"] == {"protocol": {"rows": 7.0}}
    bench.record.put(bench.record.rows[0] | {"spoiled": True})
    (trial,) = (trial for trial, _ in bench.trials())
    row = json.loads(trial.row_file.read_text())
    trial.row_file.write_text(json.dumps(row | {"spoiled": True}))
    replace(bench, redo=["spoiled"]).run()
    assert fitted(bench) == [0, 0]
    # A new trial that was calm, and cut before it was judged, is judged and not made again.
    trial.row_file.write_text(json.dumps(row | {"spoiled": False}))
    bench.record.put(bench.record.rows[0] | {"spoiled": True})
    replace(bench, redo=["spoiled"]).run()
    assert fitted(bench) == [0, 0]


def test_another_judge_judges_all_rows_and_the_floor_anew(bench, monkeypatch):
    bench.run()
    monkeypatch.setattr(judge_tables, "VERSION", judge_tables.VERSION + 1)
    monkeypatch.setattr(judge_tables, "figures", lambda data, file: {"protocol": {"rows": 7.0}})
    monkeypatch.setattr(judge_tables, "floor", lambda data: {"protocol": {"rows": 8.0}})
    bench.run()
    assert fitted(bench) == [0, 1]
    assert [row["figures"]["protocol"]["rows"] for row in bench.record.rows] == [7.0, 7.0]
    assert bench.record.floors["adult"]["protocol"]["rows"] == 8.0


def test_methods_take_turns(bench):
    names = [replace(bench.methods[0], name=name) for name in "ab"]
    order = [(trial.seed, trial.method.name) for trial, _ in replace(bench, methods=names).trials()]
    assert order == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]


def test_one_of_synthgens_methods_goes_all_the_way(adult, tmp_path):
    (tvae,) = (method for method in METHODS if method.name == "tvae")
    tiny = {"model": "table/tvae", "epochs": 2, "overrides": ["network.widths=[32]"]}
    record = Record(tmp_path / "rows.json")
    Bench([replace(tvae, settings=tiny)], [adult], [0], record, tmp_path / "work", 2, tell=lambda _: None).run()
    (row,) = record.rows
    assert row["status"] == "done", row
    assert row["facts"]["samples_seen"] == 4096
    assert row["facts"]["precision"] in ("bf16-mixed", "32-true")
    assert 0 < row["figures"]["sized"]["shape error"] < 0.6
    assert record.floors["adult"]["sized"]["shape error"] < 0.05


@pytest.mark.parametrize(
    "method", [method for method in METHODS if not method.own and method.kind == "tables"], ids=str
)
def test_peers_of_tables(method, adult, tmp_path):
    if not method.python(ROOT).exists():
        pytest.skip(f"no .venv-peers/{method.environment}: scripts/bench_peers makes it")
    settings = {**method.settings, **({"seconds": 2.0} if method.settings else {})}
    small = replace(adult, limit=500)
    trial = Trial(replace(method, settings=settings), small.name, 0, 2, tmp_path / "trial")
    row = trial.run(small.hand_over(tmp_path))
    assert row["status"] == "done", row
    made = pd.read_parquet(trial.synthetic)
    assert list(made.columns) == adult.schema.names
    assert len(made) == 500
    assert made.notna().all(axis=None), "Adult has none missing, and its word ? is a word"
