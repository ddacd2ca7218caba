"""The Python API in notebooks and in other people's programs."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import synthgen
from synthgen.data.images.images import Images
from tests.conftest import TINY_IMAGES, TINY_TABLE


def test_fit_reads_files_by_path(people, tmp_path):
    people.to_parquet(tmp_path / "people.parquet")
    synthesizer = synthgen.fit(tmp_path / "people.parquet", max_samples=128, overrides=TINY_TABLE)
    assert synthesizer.facts["data"] == "people"


def test_fit_reads_an_image_folder(tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.fromarray(np.full((8, 8), 40 * i, np.uint8)).save(tmp_path / name / f"{i}.png")
    drawn = synthgen.fit(tmp_path, max_samples=64, batch_size=8, overrides=TINY_IMAGES).sample(4)
    assert drawn.classes == ("cats", "dogs")


def test_fit_leaves_nothing_behind_unless_asked(people, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    synthgen.fit(people, max_samples=128, overrides=TINY_TABLE)
    assert not any(tmp_path.iterdir())


def test_fit_in_a_run_folder_is_recognised_when_it_is_done(people, tmp_path):
    kept = {"max_samples": 256, "batch_size": 128, "run": tmp_path / "run", "overrides": TINY_TABLE}
    first = synthgen.fit(people, **kept)
    weights = (tmp_path / "run" / "exported" / "run" / "model.safetensors").stat().st_mtime_ns
    again = synthgen.fit(people, **kept)
    assert (tmp_path / "run" / "exported" / "run" / "model.safetensors").stat().st_mtime_ns == weights
    assert again.sample(20).equals(first.sample(20))


def test_fit_leaves_a_folder_of_parquet_files_where_it_is_if_asked(people, tmp_path):
    folder = tmp_path / "people"
    folder.mkdir()
    people.to_parquet(folder / "part.parquet")
    with pytest.warns(UserWarning, match="people: the table stays in its files"):
        streamed = synthgen.fit(folder, max_samples=128, overrides=[*TINY_TABLE, "data.streamed=true"])
    whole = synthgen.fit(people, max_samples=128, overrides=TINY_TABLE)
    assert streamed.facts["rows"] == whole.facts["rows"] == 380
    pd.testing.assert_frame_equal(streamed.sample(50), whole.sample(50))


def test_fit_does_not_touch_the_global_random_state(people):
    import torch

    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002  # the global state is the point
    wanted = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    synthgen.fit(people, max_samples=128, overrides=TINY_TABLE)
    assert torch.equal(torch.rand(3), wanted[0])
    assert np.array_equal(np.random.rand(3), wanted[1])  # noqa: NPY002


def test_fit_works_inside_a_hydra_application(people, tmp_path):
    (tmp_path / "own.yaml").write_text("answer: 42\n")
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        synthgen.fit(people, max_samples=128, overrides=TINY_TABLE)
        assert compose("own").answer == 42


def test_evaluate_gives_a_report(people):
    report = synthgen.evaluate(real=people[:200], holdout=people[200:], synthetic=people[200:], target="income")
    assert report["Shape error at holdout size"] == pytest.approx(report.figure("Shape error at holdout size").floor)
    assert set(report.made["data (SHA-256)"]) == {"real", "holdout", "synthetic"}
    assert report.made["data (SHA-256)"]["holdout"] == report.made["data (SHA-256)"]["synthetic"]
    assert report.made["versions"]["synthgen"] == synthgen.__version__
    assert report.passes({"fidelity": {"Shape error": {"max": 1.0}}})


def test_evaluate_refuses_a_table_against_images(people, image_synthesizer):
    with pytest.raises(synthgen.SynthgenError, match="two tables or two sets of images"):
        synthgen.evaluate(real=people, synthetic=image_synthesizer.sample(3))


def test_errors_are_value_errors():
    with pytest.raises(ValueError, match="expected some of both"):
        synthgen.fit(pd.DataFrame())


TERMINATED = """
import signal, synthgen, pandas as pd, numpy as np
from synthgen.training.checkpoints import Checkpoints

end = Checkpoints.end

def signalled_end(*arguments):
    signal.raise_signal(signal.SIGTERM)
    end(*arguments)

Checkpoints.end = signalled_end
frame = pd.DataFrame({"x": np.arange(500) % 7})
synthgen.fit(frame, max_samples=640, batch_size=64, overrides=["trainer=cpu", "network.width=16"])
print("still here")
"""


def test_a_program_that_is_told_to_end_during_the_last_save_ends():
    ended = subprocess.run([sys.executable, "-c", TERMINATED], capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGTERM, ended.stderr
    assert "still here" not in ended.stdout


INTERRUPTED = """
import sys, synthgen, pandas as pd, numpy as np
frame = pd.DataFrame({"x": np.arange(500) % 7, "y": np.arange(500) % 3})
print("begin", flush=True)
fitted = synthgen.fit(
    frame, run=sys.argv[1], max_samples=10**9, batch_size=64,
    overrides=["trainer=cpu", "network.width=16", "model.optimization.patience=null"],
)
print("rows", len(fitted.sample(10)), flush=True)
"""


def test_ctrl_c_keeps_the_best_so_far_and_the_run_unfinished(tmp_path):
    from synthgen.training.run_folder import RunFolder

    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    deadline = time.monotonic() + 120
    metrics = tmp_path / "run" / "metrics.csv"
    while not metrics.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "rows 10" in output
    folder = RunFolder(tmp_path / "run")
    assert folder.state["status"] == "interrupted"
    assert folder.state["samples_seen"] > 0
    assert (folder.path / "last.ckpt").is_file()


def test_fit_hands_what_is_said_of_the_data_to_it(people):
    frame = people.assign(person=np.arange(len(people)) // 4)
    given = [*TINY_TABLE, "data.split_by=person", "data.holdout=0.5", "data.batch_size=64"]
    drawn = synthgen.fit(frame, max_samples=128, overrides=given)
    assert "person" not in drawn.sample(3).columns
    assert drawn.facts["rows"] < 210


def test_fit_takes_a_schema_as_a_mapping(people, tmp_path):
    said = {"columns": {"age": {"range": (0, 120)}, "town": "drop"}, "constraints": ({"not_null": "age"},)}
    kept = {"max_samples": 128, "run": tmp_path / "run", "overrides": TINY_TABLE}
    fitted = synthgen.fit(people, schema=said, **kept)
    assert (fitted.codec.schema["age"].minimum, fitted.codec.schema["age"].maximum) == (0, 120)
    assert "town" not in fitted.codec.schema.names
    assert [str(constraint) for constraint in fitted.codec.obeyed.constraints] == ["not_null: age"]
    assert synthgen.fit(people, schema=said, **kept).sample(5).equals(fitted.sample(5))  # the run is found again
    with pytest.raises(synthgen.SynthgenError, match=r"schema: column 'age': key 'knd': did you mean 'kind'"):
        synthgen.fit(people, schema={"columns": {"age": {"knd": "numerical"}}}, max_samples=128, overrides=TINY_TABLE)


@pytest.mark.parametrize("override", ["data=digits", "data.path=x.csv", "data.name=x"])
def test_fit_is_handed_its_data_and_no_other(people, override):
    with pytest.raises(synthgen.SynthgenError, match="the data is what `fit` is given"):
        synthgen.fit(people, max_samples=128, overrides=[*TINY_TABLE, override])


@pytest.mark.parametrize(
    ("model", "overrides", "message"),
    [
        ("table/agrn", (), "^model=table/agrn: unknown choice: did you mean 'table/argn'"),
        ("argn", (), "^model=argn: unknown choice: did you mean 'table/argn'"),
        (None, ("network=any_order_mpl",), "^network=any_order_mpl: unknown choice: did you mean 'any_order_mlp'"),
        (None, ("trainer=gpuu",), "^trainer=gpuu: unknown choice: did you mean 'gpu'"),
        (None, ("network.wdith=3",), "^unknown key 'network.wdith': did you mean 'network.width'"),
        (
            "table/copula",
            ("network.width=3",),
            "^unknown key 'network.width': what was chosen as 'network' has",
        ),
        (None, ("data.splitby=age",), "^unknown key 'data.splitby': did you mean 'data.split_by'"),
        (None, ("max_samples=[1",), r"^cannot read the argument 'max_samples=\[1'"),
    ],
)
def test_fit_names_the_choice_or_the_key_that_was_meant(people, model, overrides, message):
    with pytest.raises(synthgen.SynthgenError, match=message):
        synthgen.fit(people, model, max_samples=128, overrides=overrides)


def test_fit_keeps_a_run_in_a_folder_of_any_name(people, tmp_path):
    folder = tmp_path / "it's {mine}"
    synthgen.fit(people, max_samples=128, run=folder, overrides=TINY_TABLE)
    assert (folder / "run.json").is_file()


def test_labels_beside_data_that_brings_its_own_are_refused(tmp_path, people):
    for data in (people, tmp_path, Images(np.zeros((4, 1, 8, 8), np.uint8))):
        with pytest.raises(synthgen.SynthgenError, match="labels: are for an array of images"):
            synthgen.fit(data, labels=[0, 1, 0, 1], max_samples=64)


def test_a_finished_run_is_not_taken_for_that_of_other_data_or_settings(people, tmp_path):
    kept = {"max_samples": 256, "batch_size": 128, "run": tmp_path / "run", "overrides": TINY_TABLE}
    synthgen.fit(people, **kept)
    with pytest.raises(synthgen.SynthgenError, match="the data has changed"):
        synthgen.fit(people[:300], **kept)
    with pytest.raises(synthgen.SynthgenError, match="this run is finished, of another network"):
        synthgen.fit(people, **{**kept, "overrides": [*TINY_TABLE, "network.width=16"]})
    with pytest.raises(synthgen.SynthgenError, match="this run is finished, of another max_samples"):
        synthgen.fit(people, **{**kept, "max_samples": 512})
    with pytest.raises(synthgen.SynthgenError, match="this run is finished, of another"):
        synthgen.fit(people, "table/copula", **{**kept, "overrides": ["callbacks=none", "trainer=cpu"]})


def test_evaluate_maps_classes_by_their_names():
    rng = np.random.default_rng(0)

    def pictures(n, classes):
        labels = rng.integers(0, len(classes), n)
        values = np.array([{"dark": 20, "light": 200}[name] for name in classes])[labels]
        pixels = (values[:, None, None, None] + rng.integers(0, 30, (n, 1, 8, 8))).astype(np.uint8)
        return Images(pixels, labels, classes)

    real, holdout = pictures(300, ("dark", "light")), pictures(120, ("light", "dark"))
    report = synthgen.evaluate(real, pictures(120, ("light", "dark")), holdout)
    assert report["Recognised as its class"] > 0.95
    with pytest.raises(synthgen.SynthgenError, match="synthetic images: found the class 'lihgt'; did you mean 'light'"):
        synthgen.evaluate(real, Images(holdout.pixels, holdout.labels, ("lihgt", "dark")))


def test_evaluate_knows_text_that_looks_like_numbers(tmp_path):
    rng = np.random.default_rng(0)
    real = pd.DataFrame({"zip": rng.choice(["10115", "53111", "50667"], 300), "x": rng.normal(size=300)})
    real.loc[::10, "zip"] = None
    real.to_csv(tmp_path / "copy.csv", index=False)
    copy = pd.read_csv(tmp_path / "copy.csv")
    assert copy["zip"].dtype == float
    report = synthgen.evaluate(real, copy)
    assert report["Copied rows"] == 1
    assert report["Shape error"] == pytest.approx(0)


def test_evaluate_takes_one_sensitive_column_and_names_that_are_numbers(people):
    frame = people.rename(columns={"income": 0})
    report = synthgen.evaluate(frame, frame, sensitive="0")
    assert any("0" in figure.name for figure in report.figures)


def test_evaluate_refuses_a_holdout_of_another_kind(people):
    with pytest.raises(synthgen.SynthgenError, match="found str as holdout, expected DataFrame"):
        synthgen.evaluate(people, people, holdout="test.csv")


def test_evaluate_shows_nothing_of_who_somebody_is(people, tmp_path):
    real = people.assign(
        email=[f"ann{i}lee@example.com" for i in range(len(people))],
        nick=[f"ann{chr(97 + i % 26)}{i % 7}" for i in range(len(people))],
    )
    report = synthgen.evaluate(real, real, invented={"nick": "personal"})
    assert "Not measured: column 'email': personal text." in report.notes
    assert "Not measured: column 'nick': personal." in report.notes
    report.to_html(tmp_path / "report.html")
    report.to_json(tmp_path / "report.json")
    for name in ("report.html", "report.json"):
        text = (tmp_path / name).read_text()
        assert "lee@example" not in text
        assert "anna0" not in text


@pytest.mark.parametrize("written", ["%d.%m.%Y", "%Y-%m-%d %H:%M"])
def test_evaluate_measures_dates_in_text(written):
    rng = np.random.default_rng(0)
    moments = pd.Timestamp("1950-01-01") + pd.to_timedelta(rng.integers(0, 10**6, 6000), unit="h")
    rows = pd.DataFrame({"born": moments.strftime(written), "x": rng.normal(size=6000)})
    report = synthgen.evaluate(rows[:2000], rows[2000:4000], rows[4000:].reset_index(drop=True))
    born = report.details["columns"][0]
    assert born["error"] < 0.06
    figures = {figure.name: figure.value for figure in report.figures}
    assert figures["Detector AUC"] == pytest.approx(0.5, abs=0.05)
    assert any("Dates were measured as seconds" in note and "born" in note for note in report.notes)
    with pytest.raises(synthgen.SynthgenError, match=f"column 'born': holds .* written as {written} in the real table"):
        synthgen.evaluate(rows[:2000], rows[2000:].assign(born="soon"))


def test_evaluate_measures_dates_and_leaves_out_what_it_cannot(tmp_path):
    rng = np.random.default_rng(0)
    real = pd.DataFrame(
        {
            "seen": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 365, 12_000), unit="D"),
            "key": [f"id-{number}" for number in range(12_000)],
            "x": rng.normal(size=12_000),
        }
    )
    late = real.assign(seen=(real["seen"] + pd.Timedelta(days=200)).astype(str))
    report = synthgen.evaluate(real, late[::-1])
    assert [row["name"] for row in report.details["columns"]] == ["seen", "x"]
    assert report.details["columns"][0]["error"] == pytest.approx(200 / 365, abs=0.03)
    assert any("Dates were measured as seconds" in note and "seen" in note for note in report.notes)
    assert "Not measured: column 'key': identifiers." in report.notes
    with pytest.raises(synthgen.SynthgenError, match="column 'seen': holds dates in the real table, found something"):
        synthgen.evaluate(real, late.assign(seen="long ago"))
    with pytest.raises(synthgen.SynthgenError, match="column 'seen': holds dates in the real table, found numbers"):
        synthgen.evaluate(real, late.assign(seen=1_577_836_800.0))
    with pytest.raises(synthgen.SynthgenError, match="column 'key': found 12,000 different words"):
        synthgen.evaluate(real, late, target="key")
    with pytest.raises(synthgen.SynthgenError, match="no column can be measured"):
        synthgen.evaluate(real[["key"]], late[["key"]])
