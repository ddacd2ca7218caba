"""What a run begins with, and what it is held against when it goes on."""

import json
from typing import ClassVar

import pytest
import torch
from pytorch_lightning.loggers.logger import DummyLogger
from safetensors.torch import load_file

from synthgen.configuration import compose
from synthgen.data.tables.module import TableDataModule
from synthgen.errors import SynthgenError
from synthgen.run import check_config, plan, train
from synthgen.training.run_folder import find_checkpoint
from tests.conftest import TINY_TABLE
from tests.tiny import Stop


class WandbLogger(DummyLogger):
    """Notes what it was built with."""

    built: ClassVar[list] = []

    def __init__(self, **given):
        super().__init__()
        self.built.append(given)


class StopEarly(Stop):
    def __init__(self):
        super().__init__(64)


LOGGER = "{logger: {w: {_target_: tests.test_run.WandbLogger}}}"


@pytest.fixture
def config(people, tmp_path):
    people.to_csv(tmp_path / "people.csv", index=False)
    return compose(
        "train",
        [
            *("data=csv", f"data.path={tmp_path}/people.csv", "data.batch_size=32", "max_samples=128"),
            *(f"run={tmp_path}/run", f"checkpoint_dir={tmp_path}/checkpoints", "logger=csv", *TINY_TABLE),
            "save_every_samples=32",
        ],
    )


def stopped(config):
    return {**config, "callbacks": {"stop": {"_target_": "tests.test_run.StopEarly"}}}


def test_a_run_records_what_it_began_with(config):
    ended = train(stopped(config))
    state = ended.folder.state
    assert (state["status"], state["threads"]) == ("interrupted", torch.get_num_threads())
    assert {"synthgen_version", "data", "checkpoint", "seconds"} <= set(state)
    assert train(config).folder.state["status"] == "finished"


def test_another_number_of_threads_or_version_is_said(config):
    folder = train(stopped(config)).folder
    folder.record(threads=99, synthgen_version="0.0.1")
    with pytest.warns(UserWarning, match="began with") as warned:
        assert train(config).folder.finished
    said = " ".join(str(warning.message) for warning in warned)
    assert "began with threads 99" in said
    assert "began with synthgen version 0.0.1" in said


def test_other_data_is_refused(config, people, tmp_path):
    train(stopped(config))
    people.iloc[1:].to_csv(tmp_path / "people.csv", index=False)
    with pytest.raises(SynthgenError, match="the data has changed since this run began"):
        train(config)


def test_another_batch_size_goes_on(config):
    assert train(stopped(config)).fitted.samples_seen == 64
    config["data"]["batch_size"] = 16
    assert train(config).fitted.samples_seen == 128


def test_a_streamed_run_goes_on_in_memory_and_ends_with_the_same_bytes(config, people, tmp_path):
    (tmp_path / "people").mkdir()
    for i in range(3):
        people.iloc[i::3].to_parquet(tmp_path / "people" / f"{i}.parquet")
    parquet = compose("train", ["data=parquet", f"data.path={tmp_path}/people", "data.batch_size=32"])["data"]
    ended = {}
    for name, (first, then) in {"stopped": (True, None), "whole": (False, False)}.items():
        one = {**config, "data": {**parquet, "streamed": first}, "run": None, "output_dir": str(tmp_path / name)}
        if first:
            with pytest.warns(UserWarning, match="stays in its files"):
                assert train(stopped(one)).fitted.interrupted
        ended[name] = train({**one, "data": {**parquet, "streamed": then}})
    assert ended["stopped"].fitted.samples_seen == ended["whole"].fitted.samples_seen == 128
    weights = [load_file(end.checkpoint / "model.safetensors") for end in ended.values()]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[1])


def test_weights_and_biases_goes_on_with_the_runs_own_id(config):
    WandbLogger.built.clear()
    config["logger"] = {"wandb": {"_target_": "tests.test_run.WandbLogger"}}
    folder = train(stopped(config)).folder
    train(config)
    first, second = WandbLogger.built
    assert first == second == {"save_dir": str(folder.path), "id": folder.state["wandb_id"], "resume": "allow"}


def test_offline_too_both_halves_of_a_run_are_one_at_weights_and_biases(config, monkeypatch):
    import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    offline = {"_target_": "pytorch_lightning.loggers.WandbLogger", "project": "synthgen", "offline": True}
    config["logger"] = {"wandb": offline}
    for half in (stopped(config), config):
        folder = train(half).folder
        assert wandb.run is None, "the next run of this process would be logged into this one"
    written = [entry.name for entry in (folder.path / "wandb").glob("offline-run-*")]
    assert written
    assert {name.rpartition("-")[2] for name in written} == {folder.state["wandb_id"]}


def test_a_run_at_weights_and_biases_that_was_begun_before_stays_open(config, monkeypatch, tmp_path):
    import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    offline = {"_target_": "pytorch_lightning.loggers.WandbLogger", "project": "synthgen", "offline": True}
    config["logger"] = {"wandb": offline}
    with wandb.init(mode="offline", dir=tmp_path) as before:
        train(config)
        assert wandb.run is before


def test_a_damaged_run_folder_is_one_line(config):
    folder = train(stopped(config)).folder
    for content in ("{", "[]", "[" * 100_000):
        (folder.path / "run.json").write_text(content)
        with pytest.raises(SynthgenError, match=r"run\.json: damaged"):
            train(config)
    for content in ("a: [", "- 1", "!!python/object/apply:os.system ['true']"):
        (folder.path / "config.yaml").write_text(content)
        with pytest.raises(SynthgenError, match=r"config\.yaml: damaged"):
            folder.config()
    assert json.dumps(config)


# What a run folder from elsewhere may name

HARMFUL = [
    "os.system",
    "subprocess.run",
    "numpy.load",
    "torch.load",
    "synthgen.run.time.sleep",
    "synthgen.configuration.build",
    "synthgen.commands.run_command",
    "synthgen.api.fit",
    "synthgen.files.replacing_folder",
    "synthgen.data.tables.sources.re.compile",
    "synthgen.data.tables.sources.existing_file",
    "synthgen.data.tables.sources._unique",
    "pytorch_lightning.seed_everything",
    "pytorch_lightning.trainer.trainer.os.system",
    "pytorch_lightning.utilities.rank_zero.rank_zero_only",
    "tests.test_run.WandbLogger",
]


@pytest.mark.parametrize("target", HARMFUL)
@pytest.mark.parametrize("place", ["data", "callbacks", "logger", "trainer", "nested"])
def test_a_run_folder_may_not_name_anything_else(config, target, place):
    harmful = {"_target_": target, "path": "true"}
    changed = {
        "data": {"data": {**config["data"], "source": harmful}},
        "callbacks": {"callbacks": {"x": harmful}},
        "logger": {"logger": {"x": harmful}},
        "trainer": {"trainer": {**config["trainer"], "profiler": harmful}},
        "nested": {"seed": [[{"a": {"_partial_": True, **harmful}}]]},
    }[place]
    with pytest.raises(SynthgenError, match="nothing was run"):
        check_config({**config, **changed}, "config.yaml")


@pytest.mark.parametrize(
    "choice", ["logger=default", "logger=wandb", "callbacks=default", "data=digits", "data=randhie"]
)
def test_a_run_folder_may_name_what_synthgen_itself_does(choice):
    model = ["model=image/edm"] if choice == "data=digits" else []
    check_config(compose("train", [choice, *model]), "config.yaml")


@pytest.mark.parametrize("name", ["/tmp/elsewhere", "../elsewhere", "..", "a/b"])
def test_a_name_leads_nowhere(config, tmp_path, name):
    with pytest.raises(SynthgenError, match="expected a bare name"):
        train({**config, "name": name})
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_folder_that_cannot_be_written_is_known_before_training(config, tmp_path):
    with pytest.raises(SynthgenError, match="both run folder and checkpoint folder"):
        train({**config, "checkpoint_dir": str(tmp_path)})
    (tmp_path / "checkpoints" / "mine").mkdir(parents=True)
    (tmp_path / "checkpoints" / "mine" / "diary.txt").write_text("today")
    with pytest.raises(SynthgenError, match="mine: is there and no checkpoint folder"):
        train({**config, "name": "mine"})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value"), [("max_samples", "abc"), ("max_samples", 0), ("seed", -1), ("validate_every", 0)]
)
def test_numbers_of_a_run_are_numbers(config, tmp_path, key, value):
    with pytest.raises(SynthgenError, match=f"^{key}: found {value!r}, expected"):
        train({**config, key: value})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"precision": "16-mixed"}, "precision: found '16-mixed'"),
        pytest.param(
            {"accelerator": "gpu"},
            "this machine has no GPU",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)
def test_a_trainer_that_cannot_be_is_refused_before_anything_is_written(config, tmp_path, setting, message):
    with pytest.raises(SynthgenError, match=message):
        train({**config, "trainer": {**config["trainer"], **setting}})
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_that_another_run_has_replaced_is_exported_again(config, tmp_path):
    named = {**config, "name": "people"}
    first = train(named)
    wanted = (first.checkpoint / "model.safetensors").read_bytes()
    train({**named, "run": f"{tmp_path}/other", "seed": 1})
    assert (first.checkpoint / "model.safetensors").read_bytes() != wanted
    with pytest.raises(SynthgenError, match="no longer what this run has exported"):
        find_checkpoint(str(first.folder.path))
    train(named)
    assert (first.checkpoint / "model.safetensors").read_bytes() == wanted
    assert find_checkpoint(str(first.folder.path)) == first.checkpoint


def test_a_plan_of_a_closed_form_is_its_fit(people):
    data = TableDataModule(lambda: people)
    data.load()
    drawn = plan(compose("train", ["model=table/copula", "trainer=cpu", "data=csv", "data.path=x"]), data)
    assert drawn.samples_per_second == 0
    assert 0 < drawn.seconds < 60
