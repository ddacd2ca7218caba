import importlib
import subprocess
import sys

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import InstantiationException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue
from torch import nn

from synthgen.configuration import build, check_targets, compose, compose_unresolved, config_folder, to_plain
from synthgen.errors import SynthgenError
from synthgen.models.base import Model
from synthgen.models.stages import EMA, Optimization

BASES = (Model, nn.Module, Optimization, EMA)
TABDIFF = {
    "_target_": "synthgen.models.table.tabdiff.TabDiff",
    "_partial_": True,
    "network": {"_target_": "synthgen.networks.table_mlp.TableMLP", "_partial_": True, "width": 32},
    "optimization": {"_target_": "synthgen.models.stages.Optimization", "betas": [0.9, 0.99]},
    "ema": {"_target_": "synthgen.models.stages.EMA"},
}


def changed(path, value):
    """TABDIFF with one value, by its path, set to another."""
    config = {key: dict(part) if isinstance(part, dict) else part for key, part in TABDIFF.items()}
    inner = config
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return config


def test_what_a_checkpoint_folder_holds_is_allowed():
    check_targets(TABDIFF, BASES, "config.yaml")
    check_targets(changed(["network", "_target_"], "diffusers.UNet2DModel"), BASES, "config.yaml")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "torch.load",
        "torch.nn.Linear",
        "diffusers.UNet2DModel.from_pretrained",
        "synthgen",
        "synthgen.",
        "synthgen..os.system",
        "synthgen.configuration.os.system",  # begins well
        "synthgen.files.shutil.rmtree",
        "synthgen.files.shutil",
        "synthgen.files.Path",  # a class, but of another package
        "synthgen.configuration.import_module",
        "synthgen.configuration.check_targets",  # a function
        "synthgen.synthesizer.Synthesizer.load",
        "synthgen.models.base.bf16_pays",
        "synthgen.layout.ImageLayout",  # a class that is not derived from the bases
        "synthgen.training.budget.Budget",
        "synthgen.synthesizer.Model",  # an allowed class by another module's name
        "synthgen.models.base.nn.Linear",
        "synthgen.models.base.NoSuchModel",
        "synthgen.no_such_module.Model",
        "synthgen.__main__.Model",  # whose import runs the command line
        "${oc.env:HOME}",
        "",
        None,
        7,
        ["os.system"],
        {"_target_": "os.system"},
    ],
)
@pytest.mark.parametrize("path", [["_target_"], ["network", "_target_"]])
def test_any_other_target_is_refused(target, path):
    with pytest.raises(SynthgenError, match=r"folder/config\.yaml: _target_ .* is not a class of synthgen"):
        check_targets(changed(path, target), BASES, "folder/config.yaml")


def test_targets_are_found_however_deep_they_lie():
    for config in ([{"a": [{"_target_": "os.system"}]}], {"a": {"b": [0, {"c": {"_target_": "os.system"}}]}}):
        with pytest.raises(SynthgenError, match=r"os\.system"):
            check_targets(config, BASES, "config.yaml")


@pytest.mark.parametrize("key", ["_args_", "_recursive_", "_convert_", "_method_"])
def test_other_keys_that_hydra_understands_are_refused(key):
    with pytest.raises(SynthgenError, match=key):
        check_targets(changed(["network", key], []), BASES, "config.yaml")


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "a ${oc.decode:x} b", "${model.width}"])
@pytest.mark.parametrize("path", [["network", "width"], ["optimization", "betas"], ["_partial_"]])
def test_interpolations_are_refused(text, path):
    for value in (text, [text]):
        with pytest.raises(SynthgenError, match="interpolation"):
            check_targets(changed(path, value), BASES, "config.yaml")


@pytest.mark.parametrize("name", ["foreign_thing", "synthgen_foreign_thing"])
def test_a_module_of_another_package_is_never_imported(tmp_path, monkeypatch, name):
    (tmp_path / f"{name}.py").write_text(
        "from pathlib import Path\n"
        "from torch import nn\n"
        "Path(__file__).with_name('was imported').touch()\n"
        "class Network(nn.Module): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for target in (f"{name}.Network", f"synthgen.{name}.Network", f"synthgen.configuration.{name}.Network"):
        with pytest.raises(SynthgenError):
            check_targets(changed(["network", "_target_"], target), BASES, "config.yaml")
    assert name not in sys.modules
    assert not (tmp_path / "was imported").exists()
    importlib.import_module(name)
    assert (tmp_path / "was imported").exists(), "the module does leave a trace when it is imported"
    del sys.modules[name]


def test_a_trained_model_is_built_from_its_config():
    config = {"_target_": "synthgen.models.stages.Optimization", "lr": 0.5, "betas": [0.1, 0.2]}
    built = build(config, warmup=7)
    assert built == Optimization(lr=0.5, betas=[0.1, 0.2], warmup=7)
    assert type(built.betas) is list, "plain, not OmegaConf's"


def test_an_unknown_argument_is_the_users_error():
    with pytest.raises(SynthgenError, match=r"Optimization: .*learning_rate"):
        build({"_target_": "synthgen.models.stages.Optimization", "learning_rate": 0.5})


def test_an_error_of_the_object_itself_is_kept():
    module = {
        "_target_": "synthgen.data.tables.module.TableDataModule",
        "source": {"_target_": "synthgen.data.tables.sources.randhie", "_partial_": True},
    }
    with pytest.raises(SynthgenError, match=r"^data\.batch_size: found 0, expected at least 1$"):
        build({**module, "batch_size": 0})
    with pytest.raises(InstantiationException):
        build({"_target_": "synthgen.layout.Kind", "value": "no kind"})


def test_compose_gives_plain_values_with_overrides_applied():
    config = compose("train", ["model=image/edm", "data=digits", "data.batch_size=7", "max_time='00:02:00'"])
    assert config["data"]["batch_size"] == 7
    assert config["max_time"] == "00:02:00"
    assert config["model"]["_target_"] == "synthgen.models.image.edm.EDM"
    assert type(config["model"]["optimization"]) is dict
    assert type(config["model"]["network"]["multipliers"]) is list


def test_what_must_be_given_is_missing_until_it_is():
    assert compose_unresolved("sample")["checkpoint"] == "???"
    with pytest.raises(MissingMandatoryValue):
        to_plain(OmegaConf.create({"a": {"b": "???"}}))


def test_every_command_and_choice_composes(monkeypatch):
    monkeypatch.setenv("SYNTHGEN_DATA", "somewhere")
    for group in ("data", "model", "network", "trainer", "callbacks", "logger", "experiment", "debug"):
        for file in sorted((config_folder() / group).rglob("[!_]*.yaml")):
            choice = file.relative_to(config_folder() / group).with_suffix("")
            # Embedded data sets have no path.
            given = [f"data.{key}=somewhere" for key in ("path", "url") if f"{key}: ???" in file.read_text()]
            assert compose("train", [f"{group}={choice}", *given])["seed"] == 0
    for command in ("train", "sample", "evaluate", "inspect", "verify"):
        assert compose_unresolved(command)


@pytest.fixture
def outer_application(tmp_path):
    (tmp_path / "app.yaml").write_text("who: the outer application\n")
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        yield GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()


def test_compose_leaves_an_application_with_its_own_hydra_as_it_was(outer_application):
    compose("train", [])
    compose_unresolved("train")
    with pytest.raises(Exception, match="no_such_key"):
        compose("train", ["no_such_key=1"])
    assert GlobalHydra.instance().hydra is outer_application
    assert hydra.compose("app") == {"who": "the outer application"}


def test_compose_leaves_hydra_uninitialised_where_it_was():
    GlobalHydra.instance().clear()
    compose("train", [])
    assert not GlobalHydra.instance().is_initialized()


def test_importing_main_runs_nothing_and_running_it_does():
    program = "import synthgen.__main__; print('imported')"
    for arguments in (["-c", program], ["-m", "synthgen", "--version"]):
        ended = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
        assert ended.stdout.split() == (["imported"] if arguments[0] == "-c" else ["0.1.0"])


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [("lr", "fast", "float"), ("warmup", 0.5, "int"), ("cooldown", True, "float"), ("clip", [1.0], "float")],
)
def test_an_argument_of_another_type_is_named(argument, value, expected):
    with pytest.raises(SynthgenError, match=f"Optimization: {argument}: found .*, expected {expected}"):
        build({"_target_": "synthgen.models.stages.Optimization", argument: value})


def test_numbers_that_are_whole_and_arguments_that_are_not_plain_pass():
    built = build({"_target_": "synthgen.models.stages.Optimization", "lr": 1, "betas": [0.1, 0.2]})
    assert built.lr == 1
