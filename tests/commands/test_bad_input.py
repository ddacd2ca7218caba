"""Everything that a person can get wrong gets one line that names it, exit code 2, and leaves nothing behind."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from synthgen.commands import main
from synthgen.files import write_manifest


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; gives back its one line of error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        before = {path for path in tmp_path.rglob("*") if "given" not in path.parts}
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        assert ended.value.code == 2
        after = {path for path in tmp_path.rglob("*") if "given" not in path.parts}
        assert after == before, f"left behind: {after - before}"
        lines = [line for line in capsys.readouterr().err.splitlines() if "warning:" not in line]
        assert len(lines) == 1, lines
        assert "Traceback" not in lines[0]
        return lines[0]

    return run


@pytest.fixture
def given(tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    return folder


def train_csv(refused, path, *more):
    return refused("train", "data=csv", f"data.path={path}", "max_samples=256", "trainer=cpu", *more)


def test_unknown_command_names_the_nearest(refused):
    assert "did you mean 'train'?" in refused("trian")


def test_unknown_choice_names_the_nearest(refused):
    assert "did you mean 'table/tabdiff'?" in refused("train", "model=table/tabdif")


def test_unknown_group_names_the_nearest(refused):
    assert "did you mean 'model'?" in refused("train", "modle=table/tabdiff")


def test_unknown_key_names_the_nearest(refused):
    assert "did you mean 'max_time'?" in refused("train", "max_tme=3")
    assert "did you mean 'model.optimization.lr'?" in refused("train", "model.optimisation.lr=3")


def test_needed_key_that_is_not_given(refused):
    assert "data.path" in refused("train", "data=csv")
    assert "output" in refused("sample", "checkpoint=x", "n=3")
    assert "n: is missing" in refused("sample", "checkpoint=x", "output=x.csv", "condition.a=1")


def test_missing_file_names_the_nearest_beside_it(refused, given):
    pd.DataFrame({"a": [1]}).to_csv(given / "people.csv", index=False)
    assert "did you mean 'people.csv'?" in train_csv(refused, given / "peeple.csv")


def test_empty_csv(refused, given):
    (given / "x.csv").write_text("")
    assert "is empty" in train_csv(refused, given / "x.csv")


def test_csv_with_a_header_alone(refused, given):
    (given / "x.csv").write_text("a,b\n")
    assert "no row" in train_csv(refused, given / "x.csv")


def test_column_named_twice(refused, given):
    (given / "x.csv").write_text("a,b,a\n1,2,3\n")
    assert "column 'a' occurs 2 times" in train_csv(refused, given / "x.csv")


def test_target_that_is_no_column(refused, given):
    pd.DataFrame({"age": [1, 2, 3], "income": ["a", "b", "a"]}).to_csv(given / "x.csv", index=False)
    assert "did you mean 'income'?" in train_csv(refused, given / "x.csv", "data.target=incme")


def test_time_that_is_none(refused, given):
    pd.DataFrame({"age": [1, 2, 3]}).to_csv(given / "x.csv", index=False)
    assert "max_time" in train_csv(refused, given / "x.csv", "max_time=soon")


def test_a_network_that_no_memory_holds_says_what_to_lower(refused):
    message = refused("train", "data=digits", "model=image/edm", "network.width=100000000")
    assert "out of memory: " in message
    assert "width" in message


def test_images_for_a_table_model(refused):
    assert "images" in refused("train", "data=digits", "model=table/tabdiff", "trainer=cpu")


def test_corrupt_image_is_named(refused, given):
    for name in ("a", "b"):
        Image.new("L", (8, 8)).save(given / f"{name}.png")
    (given / "b.png").write_bytes((given / "b.png").read_bytes()[:40])
    error = refused("train", "data=image_folder", f"data.path={given}", "model=image/edm", "trainer=cpu")
    assert "b.png" in error


def test_image_of_another_size_is_named(refused, given):
    Image.new("L", (8, 8)).save(given / "a.png")
    Image.new("L", (9, 8)).save(given / "b.png")
    error = refused("train", "data=image_folder", f"data.path={given}", "model=image/edm", "trainer=cpu")
    assert "b.png" in error
    assert "9 × 8" in error


def test_image_of_another_mode_is_named(refused, given):
    Image.new("L", (8, 8)).save(given / "a.png")
    Image.new("RGB", (8, 8)).save(given / "b.png")
    error = refused("train", "data=image_folder", f"data.path={given}", "model=image/edm", "trainer=cpu")
    assert "b.png" in error


def test_a_condition_that_is_no_json(refused, table_checkpoint):
    given = ("sample", f"checkpoint={table_checkpoint}", "n=3", "output=x.csv")
    assert "not JSON" in refused(*given, "condition='{income: 1, x.y}'")


@pytest.mark.parametrize("n", [0, -1])
def test_n_below_one(refused, table_checkpoint, n):
    assert "expected at least 1" in refused("sample", f"checkpoint={table_checkpoint}", f"n={n}", "output=x.csv")


def test_condition_on_an_unknown_column(refused, table_checkpoint):
    error = refused("sample", f"checkpoint={table_checkpoint}", "n=3", "output=x.csv", "condition.incme=>50K")
    assert "did you mean 'income'?" in error


def test_condition_on_a_value_never_seen(refused, table_checkpoint):
    error = refused("sample", f"checkpoint={table_checkpoint}", "n=3", "output=x.csv", "condition.income=>60K")
    assert "did you mean '>50K'?" in error


def test_shares_that_are_none(refused, table_checkpoint):
    given = ("sample", f"checkpoint={table_checkpoint}", "n=3", "output=x.csv")
    assert "rebalance.town: found 'half', expected shares by value" in refused(*given, "rebalance.town=half")
    assert "rebalance.town: found 'Bon'; did you mean 'Bonn'" in refused(*given, 'rebalance.town={"Bon": 0.5}')


def test_condition_that_is_no_number(refused, table_checkpoint):
    message = refused("sample", f"checkpoint={table_checkpoint}", "n=3", "output=x.csv", "condition.age=abc")
    assert "condition age: found 'abc', expected a number from 18 to 89" in message


def test_condition_outside_the_range(refused, table_checkpoint):
    error = refused("sample", f"checkpoint={table_checkpoint}", "n=3", "output=x.csv", "condition.weight=1e9")
    assert "outside" in error


def test_output_in_an_unknown_format(refused, table_checkpoint):
    assert ".parquet" in refused("sample", f"checkpoint={table_checkpoint}", "n=3", "output=x.docx")


def test_unknown_sampler(refused, image_checkpoint):
    error = refused("sample", f"checkpoint={image_checkpoint}", "n=3", "output=x.npz", "sampler=heune")
    assert "did you mean 'heun'?" in error


def test_unknown_checkpoint_names_the_nearest(refused, given, table_checkpoint):
    shutil.copytree(table_checkpoint, given / "people")
    error = refused("sample", "checkpoint=peeple", f"checkpoint_dir={given}", "n=3", "output=x.csv")
    assert "did you mean 'people'?" in error


@pytest.fixture
def damaged(given, table_checkpoint):
    return shutil.copytree(table_checkpoint, given / "damaged")


@pytest.mark.parametrize("file", ["model.safetensors", "codec.json", "config.yaml"])
def test_checkpoint_that_lacks_a_file(refused, damaged, file):
    (damaged / file).unlink()
    assert f"lacks {file}" in refused("sample", f"checkpoint={damaged}", "n=3", "output=x.csv")


def test_truncated_weights(refused, damaged):
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "truncated" in refused("sample", f"checkpoint={damaged}", "n=3", "output=x.csv")


def test_weights_of_another_model(refused, damaged):
    weights = load_file(damaged / "model.safetensors")
    save_file(dict(list(weights.items())[1:]), damaged / "model.safetensors")
    write_manifest(damaged)
    assert "does not fit" in refused("sample", f"checkpoint={damaged}", "n=3", "output=x.csv")


@pytest.mark.parametrize("file", ["model.safetensors", "codec.json"])
def test_a_flipped_bit(refused, damaged, file):
    content = bytearray((damaged / file).read_bytes())
    content[-20] ^= 1
    (damaged / file).write_bytes(content)
    assert f"{file}: damaged" in refused("sample", f"checkpoint={damaged}", "n=3", "output=x.csv")
    assert f"{file}: damaged" in refused("verify", f"checkpoint={damaged}")


def test_damaged_codec(refused, damaged):
    (damaged / "codec.json").write_text((damaged / "codec.json").read_text()[:-10])
    assert "codec.json" in refused("sample", f"checkpoint={damaged}", "n=3", "output=x.csv")


def edit_config(folder, change):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    change(config)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize("target", ["os.system", "synthgen.run.time.sleep", "synthgen.run.train", "builtins.eval"])
def test_foreign_target_is_refused_and_not_run(refused, damaged, target):
    edit_config(damaged, lambda config: config["model"]["network"].update(_target_=target))
    assert "nothing was run" in refused("sample", f"checkpoint={damaged}", "n=3", "output=x.csv")


def test_newer_format_is_refused(refused, damaged):
    edit_config(damaged, lambda config: config.update(format_version=2))
    assert "upgrade" in refused("sample", f"checkpoint={damaged}", "n=3", "output=x.csv")


def test_run_folder_that_is_none(refused, given):
    assert "not a run folder" in refused("train", f"run={given}")


def test_synthetic_table_that_lacks_a_column(refused, given):
    frame = pd.DataFrame({"a": [1, 2, 3, 4], "b": list("xyxy")})
    frame.to_csv(given / "real.csv", index=False)
    frame[["a"]].to_csv(given / "fake.csv", index=False)
    error = refused("evaluate", f"real={given}/real.csv", f"synthetic={given}/fake.csv", "output=r")
    assert "has no column 'b'" in error


def test_evaluate_without_data_or_with_gates_and_weights_that_are_none(refused, given):
    pd.DataFrame({"a": [1, 2, 3, 4]}).to_csv(given / "real.csv", index=False)
    sides = [f"real={given}/real.csv", f"synthetic={given}/real.csv"]
    assert "real is missing: give real=FILE, or run=RUN_DIR" in refused("evaluate")
    assert "synthetic is missing" in refused("evaluate", f"real={given}/real.csv")
    assert "gates.yml: no such file of gates" in refused("evaluate", *sides, "gates=gates.yml")
    assert "no such file of gates" in refused("evaluate", *sides, "gates=''")
    assert "leave entity= out" in refused("evaluate", f"run={given}", "entity=a")
    assert "extractor.weights is missing" in refused("evaluate", *sides, "extractor=inception")
    assert "w.pth: no such weights file" in refused("evaluate", *sides, "extractor=dinov2", "extractor.weights=w.pth")
    assert "extractor=inceptoin: unknown choice: did you mean 'inception'?" in refused(
        "evaluate", *sides, "extractor=inceptoin"
    )
    assert "entity=b: the real data has no such column: its columns are 'a'" in refused("evaluate", *sides, "entity=b")
    assert "expected two reports or more" in refused("compare", f"runs=[{given}]")
    assert "no such report" in refused("compare", f"runs=[{given},{given}]")


def test_arrays_without_images(refused, given):
    np.savez(given / "x.npz", pictures=np.zeros((3, 8, 8), np.uint8))
    assert "'images'" in refused("inspect", f"data.path={given}/x.npz")


def test_codec_json_is_json(table_checkpoint):
    assert json.loads((table_checkpoint / "codec.json").read_text())["kind"] == "table"


def test_a_sampling_option_of_another_kind_of_model(refused, table_checkpoint):
    message = refused("sample", f"checkpoint={table_checkpoint}", "n=3", "output=x.csv", "sampler=heun")
    assert "sampler: ARGN has no such option" in message


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there(refused, table_checkpoint, device):
    message = refused("sample", f"checkpoint={table_checkpoint}", "n=3", "output=x.csv", f"device={device}")
    assert f"device: found {device!r}" in message
