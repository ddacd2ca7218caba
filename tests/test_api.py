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
    assert report["Shape error at holdout size"] == pytest.approx(
        next(figure.floor for figure in report.figures if figure.name == "Shape error at holdout size")
    )


def test_evaluate_refuses_a_table_against_images(people, image_synthesizer):
    with pytest.raises(synthgen.SynthgenError, match="two tables or two sets of images"):
        synthgen.evaluate(real=people, synthetic=image_synthesizer.sample(3))


def test_errors_are_value_errors():
    with pytest.raises(ValueError, match="expected some of both"):
        synthgen.fit(pd.DataFrame())


INTERRUPTED = """
import sys, synthgen, pandas as pd, numpy as np
frame = pd.DataFrame({"x": np.arange(500) % 7, "y": np.arange(500) % 3})
print("begin", flush=True)
fitted = synthgen.fit(
    frame, run=sys.argv[1], max_samples=10**9, batch_size=64, overrides=["trainer=cpu", "network.width=16"]
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
    assert folder.last_checkpoint.is_file()
