"""The commands as a person types them."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from synthgen.commands import COMMANDS, main
from synthgen.commands.arguments import escape, quote
from synthgen.commands.overview import print_command_help


@pytest.fixture
def synthgen(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert not ended.value.code, printed.err
        return printed.out

    return run


SMALL = ["trainer=cpu", "callbacks=none", "network.width=16", "max_samples=512"]


def test_without_a_command_lists_commands_and_models(synthgen):
    printed = synthgen()
    for word in ("train", "sample", "evaluate", "compare", "inspect", "verify", "table/tabdiff", "image/edm"):
        assert word in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_argument(synthgen, command):
    from synthgen.configuration import compose_unresolved

    printed = synthgen(command, "--help")
    own = [
        key for key in compose_unresolved(command) if key not in ("model", "network", "trainer", "data", "callbacks")
    ]
    assert all(key in printed for key in own)
    assert "Traceback" not in printed


def test_help_is_quick():
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "synthgen", "--help"], check=True, capture_output=True)
    assert time.perf_counter() - begun < 1.0


def test_help_follows_the_configs(capsys):
    print_command_help("train")
    assert "Handwritten digits" in capsys.readouterr().out


def test_help_names_keys_as_they_are_typed(capsys):
    print_command_help("inspect")
    shown = capsys.readouterr().out
    assert "  data.path=null" in shown
    assert "  path=null" not in shown


def test_cfg_job_prints_the_config(synthgen):
    assert "in_order: 0.5" in synthgen("train", "--cfg", "job")


def test_config_dir_adds_a_persons_own(synthgen, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "own.yaml").write_text("# @package _global_\nmax_samples: 77\n")
    assert "max_samples: 77" in synthgen("train", "--config-dir", "mine", "experiment=own", "--cfg", "job")


@pytest.mark.parametrize(
    "value", [">50K", "a b", "(x)", "it's", "50%", "a,b", "{}", "[", "back\\slash'", "ü&ö", "x=y", "\\", "$"]
)
def test_quoted_values_arrive_as_typed(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    assert OverridesParser.create().parse_override(f"key={quote(value)}").value() == value


def test_shares_travel_as_typed():
    assert escape(['rebalance.income={">50K": 0.3}']) == ['rebalance=\'{"income": "{\\">50K\\": 0.3}"}\'']
    assert escape(["rebalance=income"]) == ["rebalance=income"]


@pytest.mark.parametrize("quote_mark", ["'", '"'])
def test_a_column_with_an_equals_sign_stands_between_quotation_marks(quote_mark):
    name = f"{quote_mark}a=b{quote_mark}"
    assert escape([f"condition.{name}=x=1", f'rebalance.{name}={{"x=1": 0.5}}']) == [
        'condition=\'{"a=b": "x=1"}\'',
        'rebalance=\'{"a=b": "{\\"x=1\\": 0.5}"}\'',
    ]
    assert escape(["condition.a=b=x"]) == ['condition=\'{"a": "b=x"}\'']


def test_conditions_travel_as_typed():
    arguments = escape(["condition.income=>50K", "condition.hours per week=40", "condition.town=null"])
    assert arguments == ['condition=\'{"income": ">50K", "hours per week": "40", "town": null}\'']


def test_train_sample_evaluate_a_persons_own_table(synthgen, people, tmp_path):
    people.to_csv("my people (1).csv", index=False)
    printed = synthgen("train", "data=csv", "data.path=my people (1).csv", "data.target=income", "name=people", *SMALL)
    assert "checkpoint: checkpoints/people" in printed
    assert "already finished" in synthgen(
        "train", "data=csv", "data.path=my people (1).csv", "data.target=income", "name=people", *SMALL
    )
    synthgen(
        "sample", "checkpoint=people", "n=200", "output=fake.parquet", "condition.income=>50K", "condition.town=null"
    )
    fake = pd.read_parquet("fake.parquet")
    assert (fake["income"] == ">50K").all()
    assert fake["town"].isna().all()
    drawn = ("sample", "checkpoint=people", "n=400", "output=even.csv")
    synthgen(*drawn, 'rebalance.town={"Bonn": 1.0}')
    assert (pd.read_csv("even.csv")["town"] == "Bonn").all()
    synthgen(*drawn, "rebalance=income", "temperature=0.9", "top_p=0.9")
    assert pd.read_csv("even.csv")["income"].value_counts()[">50K"] == pytest.approx(200, abs=40)
    (run,) = (tmp_path / "outputs").iterdir()
    synthgen("sample", f"checkpoint={run}", "n=200", "output=fake.csv")
    printed = synthgen("evaluate", f"run={run}", "synthetic=fake.csv", "output=report")
    assert "Detector AUC" in printed
    assert "TSTR" in printed
    assert (tmp_path / "report" / "report.html").stat().st_size > 1_000_000
    assert (tmp_path / "report" / "report.json").is_file()
    # By default what its checkpoint draws is measured, and the report lies with the run.
    synthgen("evaluate", f"run={run}", "sensitive=[town]")
    stored = json.loads((run / "report" / "report.json").read_text())
    assert stored["facts"]["synthetic rows"] == stored["facts"]["training rows"]
    assert stored["made"]["model"] == "ARGN"
    assert stored["made"]["training_seconds"] >= 0
    assert stored["made"]["examples_seen"] == json.loads((run / "run.json").read_text())["samples_seen"] > 0
    assert stored["made"]["command"].startswith("synthgen evaluate run=")
    assert any(figure["name"] == "Representation gap (town)" for figure in stored["figures"])
    # Rows of another tool are not said to be the run's.
    assert "training_seconds" not in json.loads((tmp_path / "report" / "report.json").read_text())["made"]
    printed = synthgen("compare", f"runs=['{run}',report]")
    assert "training seconds" in printed
    assert "different numbers of synthetic rows" in printed
    assert (tmp_path / "compare" / "comparison.html").is_file()


def test_a_table_that_stays_in_its_files_is_trained_on_and_measured(synthgen, people, tmp_path, monkeypatch):
    monkeypatch.setattr("synthgen.data.tables.module._COMPARED", 100)
    (tmp_path / "people").mkdir()
    for i in range(3):
        people.iloc[i::3].to_parquet(tmp_path / "people" / f"{i}.parquet")
    data = ("data=parquet", "data.path=people", "data.target=income", "data.streamed=true")
    assert "checkpoint: checkpoints/people" in synthgen("train", *data, "name=people", *SMALL)
    (run,) = (tmp_path / "outputs").iterdir()
    synthgen("evaluate", f"run={run}")
    stored = json.loads((run / "report" / "report.json").read_text())
    assert stored["facts"]["training rows"] == stored["made"]["training rows compared"] == 100
    assert stored["made"]["training rows"] == pytest.approx(0.9 * 0.95 * len(people), abs=2)
    assert any("of which 100, drawn at random, are compared here" in note for note in stored["notes"])
    card = (tmp_path / "checkpoints" / "people" / "card.md").read_text()
    assert f"{stored['made']['training rows']:,}" in card


def test_gates_end_with_code_3_and_say_which(tmp_path, monkeypatch, capsys, people):
    monkeypatch.chdir(tmp_path)
    people.to_csv("real.csv", index=False)
    people.sample(frac=1, random_state=0).to_csv("fake.csv", index=False)
    (tmp_path / "gates.yaml").write_text("privacy:\n  Copied rows: {max: 0.5}\nfidelity:\n  Shape error: {max: 0.1}\n")
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "real=real.csv", "holdout=real.csv", "synthetic=fake.csv", "gates=gates.yaml"])
    assert ended.value.code == 3
    warned, failed = capsys.readouterr().err.strip().splitlines()
    assert warned.startswith("synthgen: warning: The holdout was not held out: 100 % of its rows are rows of the real")
    assert failed == "synthgen: gate not passed: privacy: Copied rows is 1, over 0.5"
    assert (tmp_path / "report" / "report.json").is_file()
    (tmp_path / "gates.yaml").write_text("privacy:\n  Copied rows: {max: 1}\n")
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "real=real.csv", "synthetic=fake.csv", "gates=gates.yaml"])
    assert not ended.value.code
    assert "gates: passed" in capsys.readouterr().out


def test_names_with_brackets_are_no_markup(synthgen, people):
    people.rename(columns={"income": "income [/k]"}).to_csv("real[1].csv", index=False)
    printed = synthgen(
        "evaluate", "real='real[1].csv'", "synthetic='real[1].csv'", "target='income [/k]'", "output='[r]'"
    )
    assert "report: [r]/report.html" in printed


def test_imputation_from_a_file(synthgen, table_checkpoint, people):
    holes = people.head(20).assign(town="Bonn")
    holes.loc[::2, "income"] = None
    holes.to_csv("holes.csv", index=False)
    synthgen("sample", f"checkpoint={table_checkpoint}", "n=20", "output=full.csv", "condition=holes.csv")
    assert pd.read_csv("full.csv")["income"].notna().all()
    synthgen("sample", f"checkpoint={table_checkpoint}", "output=as-many.csv", "condition=holes.csv")
    pd.testing.assert_frame_equal(pd.read_csv("as-many.csv"), pd.read_csv("full.csv"))


def test_train_and_sample_a_persons_own_images(synthgen, tmp_path):
    rng = np.random.default_rng(0)
    np.savez("own.npz", images=rng.integers(0, 255, (60, 9, 7), dtype=np.uint8), labels=rng.integers(0, 3, 60))
    small = ["trainer=cpu", "callbacks=none", "network.width=8", "network.blocks=1", "max_samples=128", "model.steps=2"]
    synthgen("train", "data=arrays", "data.path=own.npz", "model=image/edm", "name=own", *small)
    synthgen("sample", "checkpoint=own", "n=5", "output=drawn/", "condition.label=2", "sampler=dpmpp_2m", "guidance=2")
    assert len(list((tmp_path / "drawn" / "2").glob("*.png"))) == 5
    synthgen("sample", "checkpoint=own", "n=9", "output=grid.png")
    synthgen("sample", "checkpoint=own", "n=30", "output=drawn.npz")
    assert "9 pixels" in synthgen("inspect", "data.path=drawn.npz")
    assert "FD-cnn" in synthgen("evaluate", "real=own.npz", "holdout=own.npz", "synthetic=drawn.npz", "output=report")


def test_dry_run_says_what_it_would_take_and_writes_nothing(synthgen, tmp_path):
    printed = synthgen("train", "dry_run=true", "trainer=cpu", "network.width=16")
    for word in ("parameters", "memory", "examples/s", "estimated time"):
        assert word in printed
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("debug", ["smoke", "overfit", "profiler"])
def test_debug_runs(synthgen, debug, tmp_path):
    synthgen("train", f"debug={debug}", *SMALL)
    assert (tmp_path / "outputs" / "debug" / "checkpoints").is_dir()


def test_inspect_shows_columns_and_kinds(synthgen, people):
    people.to_csv("people.csv", index=False)
    printed = synthgen("inspect", "data.path=people.csv")
    for word in ("400 rows", "numerical", "categorical", "boolean", "constant", "1 decimals"):
        assert word in printed


def test_inspect_looks_at_as_much_as_it_is_told(synthgen, people, tmp_path):
    people.to_csv(tmp_path / "people.csv", index=False)
    people.to_parquet(tmp_path / "people.parquet")
    for file in ("people.csv", "people.parquet"):
        for data in ((), (f"data={file.partition('.')[2]}",)):
            given = (*data, f"data.path={file}", "data.limit=60", "data.target=income", "output=null")
            assert synthgen("inspect", *given).startswith("60 rows, 7 columns"), given
    assert synthgen("inspect", "data=digits", "data.limit=20", "output=null").startswith("20 images")
    synthgen("inspect", "data.path=people.csv", "data.target=income", "output=told.yaml")
    assert "income: {kind: categorical, role: target}" in (tmp_path / "told.yaml").read_text()


def test_inspect_writes_a_schema_file_that_training_obeys(synthgen, people, tmp_path):
    days = pd.date_range("2024-01-01", periods=len(people)).strftime("%d.%m.%Y")
    emails = [f"ann{i}lee@example.com" for i in range(len(people))]
    more = {"customer_id": np.arange(len(people)) + 1000, "since": days, "email": emails}
    people.assign(**more).to_csv("people.csv", index=False)
    printed = synthgen("inspect", "data.path=people.csv")
    assert "email, en_US" in printed
    assert "@example" not in printed
    assert "wrote schema.yaml" in printed
    assert "made anew" in printed
    file = tmp_path / "schema.yaml"
    said = yaml.safe_load(file.read_text())
    assert said["columns"]["customer_id"] == {"kind": "identifier"}
    assert said["columns"]["since"] == {
        "kind": "date",
        "format": "%d.%m.%Y",
        "range": ["2024-01-01", str(pd.Timestamp("2024-01-01") + pd.Timedelta(len(people) - 1, "D"))[:10]],
    }
    assert said["columns"]["email"] == {"kind": "personal", "format": "email", "locale": "en_US"}
    edited = file.read_text().replace("customer_id: {kind: identifier}", "customer_id: drop")
    assert edited != file.read_text()
    file.write_text(edited)
    assert "schema.yaml is there and says something else: left as it is" in synthgen("inspect", "data.path=people.csv")
    assert file.read_text() == edited
    synthgen("train", "data=csv", "data.path=people.csv", "data.schema=schema.yaml", "run=r", "name=p", *SMALL)
    codec = json.loads((tmp_path / "checkpoints" / "p" / "codec.json").read_text())
    kinds = {column["name"]: column["kind"] for column in codec["schema"]["columns"]}
    assert "customer_id" not in kinds
    assert kinds["since"] == "date"
    assert kinds["email"] == "personal"
    made = [file for folder in ("r", "checkpoints") for file in (tmp_path / folder).rglob("*") if file.is_file()]
    assert not any(b"lee@example" in file.read_bytes() for file in made)


def test_wandb_logs_offline(synthgen, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    synthgen(
        "train", "logger=wandb", "logger.wandb.offline=true", *SMALL, "callbacks=default", "callbacks.metrics.every=1"
    )
    assert list(tmp_path.rglob("offline-run-*"))


def test_a_sweep_is_a_multirun(synthgen, tmp_path):
    synthgen("train", "-m", "seed=1,2", *SMALL)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_python_dash_m_runs_the_same_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "synthgen", "trian"], capture_output=True, text=True, env=os.environ, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.strip() == "synthgen: unknown command 'trian': did you mean 'train'?"


def test_a_run_that_is_there_may_start_anew_beside_it(synthgen, people, tmp_path):
    people.to_csv("people.csv", index=False)
    typed = ["train", "data=csv", "data.path=people.csv", "run=runs/p", *SMALL]
    synthgen(*typed)
    assert "already finished" in synthgen(*typed, "logger=csv")
    assert "runs/p-2" in synthgen("train", "run=runs/p", "resume=false")
    assert "runs/p-3" in synthgen(*typed, "resume=false", "seed=1")


def test_a_folder_that_a_killed_process_has_just_begun_is_taken(synthgen, people, tmp_path):
    people.to_csv("people.csv", index=False)
    (tmp_path / "run").mkdir()
    for name in (".lock", ".config.yaml.node-1-ab.partial"):
        (tmp_path / "run" / name).touch()
    assert "trained on" in synthgen("train", "data=csv", "data.path=people.csv", "run=run", *SMALL)


def test_a_german_csv_gives_german_samples_that_evaluate_reads_back(synthgen, tmp_path):
    from synthgen.data.tables.sources import read_table

    random = np.random.default_rng(0)
    real = pd.DataFrame({"Größe": random.normal(170, 10, 400).round(1), "Straße": random.choice(["Köln", "Bonn"], 400)})
    real.to_csv("leute.csv", sep=";", decimal=",", index=False, encoding="cp1252")
    synthgen("train", "data=csv", "data.path=leute.csv", "name=leute", *SMALL)
    synthgen("sample", "checkpoint=leute", "n=300", "output=neu.csv")
    synthgen("sample", "checkpoint=leute", "n=300", "output=new.csv", "separator=,")
    synthgen("sample", "checkpoint=leute", "n=300", "output=points.csv", "decimal=.")
    text = (tmp_path / "neu.csv").read_bytes()
    assert text.startswith("Größe;Straße\n".encode())
    assert all(re.fullmatch(r"\d+,\d;(Köln|Bonn)", line) for line in text.decode().splitlines()[1:])
    assert all(
        re.fullmatch(r"\d+\.\d,(Köln|Bonn)", line) for line in (tmp_path / "new.csv").read_text().splitlines()[1:]
    )
    german, *others = (read_table(name) for name in ("neu.csv", "new.csv", "points.csv"))
    assert all(german.equals(other) for other in others)
    synthgen("evaluate", "real=leute.csv", "synthetic=neu.csv", "output=report")
    kinds = {
        column["name"]: column["kind"]
        for column in json.loads(Path("report/report.json").read_text())["details"]["columns"]
    }
    assert kinds == {"Größe": "numerical", "Straße": "categorical"}


def test_what_a_separator_cannot_be_is_told_before_a_row_is_drawn():
    from synthgen.data.tables.delimited import Dialect
    from synthgen.errors import SynthgenError
    from synthgen.synthesizer import _dialect

    for asked, message in (
        (("a.parquet", ";", None), "separator: is for CSV files, found output=a.parquet"),
        (("a.csv", ";;", None), "separator: found ';;', expected one character"),
        (("a.csv", None, ","), "decimal: found ',', which is the separator, too; say separator=';'"),
        (("a.csv", None, ";"), "decimal: found ';', expected '.' or ','"),
    ):
        with pytest.raises(SynthgenError, match=re.escape(message)):
            _dialect(Dialect(), *asked)
