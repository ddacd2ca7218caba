"""The configs are found from a clone, an editable install, and a wheel in an environment of its own."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*arguments, **options):
    return subprocess.run([str(a) for a in arguments], capture_output=True, text=True, check=True, **options).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_the_top_level_is_as_planned():
    listed = run("git", "ls-files", cwd=ROOT).splitlines()
    top = {path.split("/")[0] for path in listed if not path.startswith(".")}
    top_level = "pyproject.toml README.md LICENSE CHANGELOG.md synthgen configs scripts tests checkpoints docs"
    assert top == {*top_level.split()}


def test_the_wheel_holds_configs_and_templates(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"synthgen/configs/{file.relative_to(ROOT / 'configs')}" for file in (ROOT / "configs").rglob("*.yaml")}
    assert configs <= names
    page = ("base.html.j2", "report.html.j2", "figures.html.j2", "comparison.html.j2", "style.css", "page.js")
    assert {f"synthgen/reports/page/{file}" for file in page} <= names
    assert "synthgen/reports/report.schema.json" in names
    assert "synthgen/py.typed" in names
    assert not any(name.startswith(("tests/", "scripts/")) for name in names)


def test_a_wheel_in_an_empty_environment_finds_its_configs(wheel, tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    # What the command line needs before it imports PyTorch; the rest would take gigabytes and prove nothing more.
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    run(python, "-m", "pip", "install", "--quiet", "hydra-core", "rich")
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    printed = run(tmp_path / "env" / "bin" / "synthgen", "train", "--cfg", "job", cwd=empty, env={})
    assert "synthgen.models.table.argn.ARGN" in printed
    found = run(
        python, "-c", "from synthgen.configuration import config_folder; print(config_folder())", cwd=empty, env={}
    )
    assert Path(found.strip()).is_relative_to(tmp_path / "env")


def test_a_clone_finds_its_configs_without_an_install(tmp_path):
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", ROOT, clone)
    code = "from synthgen.configuration import config_folder; print(config_folder())"
    found = run(sys.executable, "-c", code, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(clone)})
    assert Path(found.strip()) == clone / "configs"


def test_an_editable_install_finds_the_configs_of_its_clone(tmp_path):
    code = (
        "import synthgen; from synthgen.configuration import config_folder; print(synthgen.__file__, config_folder())"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    package, configs = run(sys.executable, "-c", code, cwd=tmp_path, env=environment).split()
    assert Path(configs) == Path(package).parent.parent / "configs"
