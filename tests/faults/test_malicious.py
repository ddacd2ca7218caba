"""Checkpoint and run folders from somebody who means harm: refused in one line, and nothing of them is run."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from synthgen.commands import main
from synthgen.configuration import compose
from synthgen.training.seal import seal
from tests.conftest import TINY_TABLE

FIXTURE = Path(__file__).parents[1] / "fixtures" / "format-1-table"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(FIXTURE, tmp_path / "harm")


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs a command; gives back its one line, and makes sure that the payload was not run."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        error = capsys.readouterr().err
        assert ended.value.code == 2, error
        assert len(error.strip().splitlines()) == 1, error
        assert not (tmp_path / "was run").exists()
        return error

    return run


def sample(refused, folder):
    return refused("sample", f"checkpoint={folder}", "n=2", "output=x.csv")


class Payload:
    def __reduce__(self):
        return (Path("was run").touch, ())


def edit(folder, change):
    file = folder / "config.yaml"
    config = yaml.safe_load(file.read_text())
    change(config)
    file.write_text(yaml.safe_dump(config))


def test_the_payload_would_leave_a_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Payload()))
    assert (tmp_path / "was run").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "codec.json", "config.yaml", "manifest.json"])
def test_pickles_in_the_place_of_a_file(refused, folder, name):
    torch.save({"model": Payload()}, folder / name)
    assert name in sample(refused, folder)


TARGETS = [
    {"_target_": "os.system", "command": "touch 'was run'"},
    {"_target_": "numpy.load", "file": "payload.npy", "allow_pickle": True},
    {"_target_": "torch.load", "f": "payload.pt", "weights_only": False},
    {"_target_": "synthgen.synthesizer.torch.load", "f": "payload.pt", "weights_only": False},
    {"_target_": "synthgen.files.os.system", "command": "touch 'was run'"},
    {"_target_": "synthgen.files.shutil.rmtree", "path": "."},
    {"_target_": "synthgen.configuration.build", "config": {"a": 1}},
    {"_target_": "synthgen.commands.run_command", "arguments": ["train"]},
    {"_target_": "builtins.eval", "_args_": ["open('was run', 'w')"]},
    {"_target_": "hydra.utils.instantiate", "config": {"_target_": "os.system"}},
    {"_target_": "functools.partial", "_partial_": True},
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target["_target_"])
@pytest.mark.parametrize("place", ["model", "network", "nested"])
def test_targets_that_are_not_models(refused, folder, tmp_path, target, place):
    (tmp_path / "payload.pt").write_bytes(pickle.dumps(Payload()))
    (tmp_path / "payload.npy").write_bytes(pickle.dumps(Payload()))

    def change(config):
        if place == "model":
            config["model"] = {**target, "_partial_": True}
        elif place == "nested":
            config["model"]["steps"] = [{"a": {"_target_": TABDIFF, "_partial_": True, "network": [target]}}]
        else:
            config["model"][place] = target

    edit(folder, change)
    error = sample(refused, folder)
    assert "nothing was run" in error or "may not use" in error


TABDIFF = "synthgen.models.table.tabdiff.TabDiff"


@pytest.mark.parametrize(
    "text",
    [
        "format_version: 1\nmodel: !!python/object/apply:os.system [\"touch 'was run'\"]\n",
        "format_version: 1\nmodel: !!python/object/new:pathlib.Path ['was run']\n",
        "!!python/module:os\n",
        "format_version: 1\nmodel: {_target_: '${oc.env:HOME}'}\n",
        "format_version: 1\nmodel: {_target_: " + TABDIFF + ", network: '${oc.env:HOME}'}\n",
        "format_version: 1\nmodel: &a {_target_: " + TABDIFF + ", network: *a}\n",
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
        + "format_version: 1\nmodel: {_target_: "
        + TABDIFF
        + ", network: *i}\n",
        "format_version: 1\nmodel: " + "[" * 10_000,
    ],
    ids=["apply", "new", "module", "target", "interpolation", "within itself", "billion laughs", "deep"],
)
def test_yaml_that_is_more_than_data(refused, folder, text):
    (folder / "config.yaml").write_text(text)
    sample(refused, folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [("width", 10**9), ("depth", 10**9), ("width", -1), ("width", 1e308), ("expansion", 10**9), ("dropout", 7)],
)
def test_absurd_sizes(refused, folder, key, value):
    edit(folder, lambda config: config["model"]["network"].update({key: value}))
    assert "config.yaml" in sample(refused, folder)


@pytest.mark.parametrize("change", ["shape", "dtype", "more", "fewer", "complex"])
def test_weights_of_wrong_shapes_and_types(refused, folder, change):
    file = folder / "model.safetensors"
    weights = load_file(file)
    name, value = max(weights.items(), key=lambda entry: entry[1].numel())
    weights |= {
        "shape": {name: torch.zeros(3)},
        "dtype": {name: value.to(torch.int8)},
        "more": {"stage0.more": torch.zeros(3)},
        "fewer": {},
        "complex": {name: value.to(torch.complex64)},
    }[change]
    if change == "fewer":
        del weights[name]
    save_file(weights, file)
    assert "model.safetensors" in sample(refused, folder)


def codec_of(folder):
    return json.loads((folder / "codec.json").read_text())


@pytest.mark.parametrize(
    "change",
    [
        lambda codec: codec["schema"]["columns"][0].update(dtype="object; import os"),
        lambda codec: codec["schema"]["columns"][0].update(decimals=10**12),
        lambda codec: codec["encodings"]["age"].update(values=[]),
        lambda codec: codec["encodings"].update(town={"values": [[1]], "missing": "x", "knots": 3, "quantiles": []}),
        lambda codec: codec["encodings"].pop("income"),
        lambda codec: codec.update(kind="../../table"),
    ],
)
def test_codecs_of_wrong_content(refused, folder, change):
    codec = codec_of(folder)
    change(codec)
    (folder / "codec.json").write_text(json.dumps(codec))
    error = sample(refused, folder)
    assert "codec.json" in error or "does not fit" in error


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "..", ""])
def test_class_names_that_lead_out_of_the_folder(refused, tmp_path, name):
    folder = shutil.copytree(FIXTURE.with_name("format-1-images"), tmp_path / "images")
    codec = codec_of(folder)
    codec["classes"] = [name] * len(codec["classes"])
    (folder / "codec.json").write_text(json.dumps(codec))
    error = refused("sample", f"checkpoint={folder}", "n=2", "output=drawn/")
    assert "cannot be the name of a folder" in error or "codec.json" in error
    assert not (tmp_path / "drawn").exists()


def test_a_training_checkpoint_that_carries_a_payload(refused, people, tmp_path):
    people.to_csv(tmp_path / "people.csv", index=False)
    run = tmp_path / "run"
    run.mkdir()
    config = compose("train", ["data=csv", f"data.path={tmp_path}/people.csv", *TINY_TABLE, f"run={run}", "logger=csv"])
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    torch.save({"state_dict": {}, "x": Payload()}, run / "last.ckpt")
    seal(run / "last.ckpt")
    assert "nothing was run" in refused("train", f"run={run}")


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target["_target_"])
def test_a_run_folder_whose_config_names_something_else(refused, tmp_path, target):
    run = tmp_path / "run"
    run.mkdir()
    config = compose("train", [*TINY_TABLE, f"run={run}"])
    config["callbacks"] = {"x": target}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    for command in (["train", f"run={run}"], ["evaluate", f"run={run}", f"synthetic={__file__}"]):
        refused(*command)
