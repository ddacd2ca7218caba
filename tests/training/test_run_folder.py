import copy
import json

import pytest
import yaml

from synthgen.configuration import compose
from synthgen.errors import SynthgenError
from synthgen.training.run_folder import RunFolder, run_hash

CONFIG = {"data": {"name": "Köln"}, "seed": 3, "nothing": None}


def test_a_new_folder_is_not_there_and_not_finished(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert folder.state == {}
    assert not folder.finished
    assert not folder.path.exists()
    with pytest.raises(SynthgenError, match=r"not a run folder: it lacks config\.yaml"):
        folder.config()


def test_a_run_begins_with_its_config_and_ends_finished(tmp_path):
    folder = RunFolder(tmp_path / "deep" / "run")
    folder.begin(CONFIG)
    assert folder.config() == yaml.safe_load((folder.path / "config.yaml").read_text()) == CONFIG
    assert folder.state == {"status": "running"}
    folder.record(status="interrupted", samples_seen=10)
    assert not folder.finished
    folder.record(status="finished", budget=20)
    assert folder.finished
    assert folder.state == {"status": "finished", "samples_seen": 10, "budget": 20}
    assert json.loads((folder.path / "run.json").read_text()) == folder.state
    assert sorted(file.name for file in folder.path.iterdir()) == ["config.yaml", "run.json"]


def test_beginning_again_keeps_what_was_recorded(tmp_path):
    RunFolder(tmp_path).begin(CONFIG)
    RunFolder(tmp_path).record(status="interrupted", samples_seen=10)
    RunFolder(tmp_path).begin({**CONFIG, "seed": 4})
    assert RunFolder(tmp_path).state == {"status": "interrupted", "samples_seen": 10}
    assert RunFolder(tmp_path).config()["seed"] == 4


def test_siblings_are_numbered(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert folder.sibling().path == tmp_path / "run-2"
    for name in ("run", "run-2", "run-4"):
        (tmp_path / name).mkdir()
    assert folder.sibling().path == tmp_path / "run-3"


# The hash


def changed(path, value):
    config = copy.deepcopy(compose("train", ["data=randhie", "model=table/tabdiff", "trainer=cpu"]))
    inner = config
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return config


@pytest.fixture(scope="module")
def unchanged():
    return run_hash(changed(["seed"], 0), "data")


def test_the_hash_is_eight_digits_and_always_the_same(unchanged):
    assert len(unchanged) == 8
    assert int(unchanged, 16) >= 0
    assert run_hash(changed(["seed"], 0), "data") == unchanged
    reordered = dict(reversed(changed(["seed"], 0).items()))
    assert run_hash(reordered, "data") == unchanged


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["trainer", "accelerator"], "gpu"),
        (["trainer", "devices"], 8),
        (["trainer", "num_nodes"], 4),
        (["trainer", "strategy"], "ddp"),
        (["trainer", "log_every_n_steps"], 1),
        (["trainer", "enable_progress_bar"], False),
        (["logger"], {"wandb": {"project": "x"}}),
        (["callbacks", "progress"], None),
        (["run"], "somewhere/else"),
        (["output_dir"], "elsewhere"),
        (["checkpoint_dir"], "elsewhere"),
        (["name"], "best"),
        (["resume"], False),
        (["dry_run"], True),
        (["data", "path"], "moved/people.csv"),
        (["data", "name"], "people"),
    ],
)
def test_where_and_how_loudly_a_run_computes_does_not_change_its_hash(unchanged, path, value):
    assert run_hash(changed(path, value), "data") == unchanged


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["trainer", "precision"], "64-true"),
        (["max_samples"], 7),
        (["max_time"], "00:02:00"),
        (["seed"], 1),
        (["start_from"], "checkpoints/other"),
        (["validate_every"], 7),
        (["data", "batch_size"], 7),
        (["data", "holdout"], 0.5),
        (["data", "target"], "visits"),
        (["model", "optimization", "lr"], 7.0),
        (["model", "network", "width"], 7),
        (["callbacks", "early_stopping"], None),
    ],
)
def test_what_a_run_computes_changes_its_hash(unchanged, path, value):
    assert run_hash(changed(path, value), "data") != unchanged


def test_other_data_changes_the_hash(unchanged):
    assert run_hash(changed(["seed"], 0), "other data") != unchanged
