"""`synthgen train trainer=ddp` on two processes of the CPU, the second of which it starts itself."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

import synthgen
from synthgen.configuration import compose
from synthgen.files import sha256
from synthgen.run import load_data, run_folder

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch lacks distributed")

BOTH = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "callbacks.evaluation=null"]


@pytest.fixture
def start(tmp_path):
    """Starts `synthgen train` in an empty folder."""
    local = {"GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0", "OMP_NUM_THREADS": "1"}

    def begin(*arguments):
        command = [sys.executable, "-m", "synthgen", "train", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **local}, **pipes)

    return begin


def ended(process, code=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    return out


def test_a_table_is_stopped_and_goes_on(start, people, tmp_path):
    people.to_csv(tmp_path / "people.csv", index=False)
    model = ["model=table/tvae", "network.widths=[16]", "model.latent=4", "data.batch_size=20", "max_samples=40000"]
    process = start("data=csv", "data.path=people.csv", "run=run", "name=people", *model, *BOTH)
    while process.poll() is None and not (tmp_path / "run" / "metrics.csv").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert ended(process, 143).count("interrupted; goes on with") == 1
    state = json.loads((tmp_path / "run" / "run.json").read_text())
    assert state["status"] == "interrupted"
    assert 0 < state["samples_seen"] < 40_000
    assert state["samples_seen"] % 40 == 0

    out = ended(start("run=run", *BOTH[:3]))
    assert out.count("trained on 40,000 examples") == 1
    state = json.loads((tmp_path / "run" / "run.json").read_text())
    assert state["status"] == "finished"
    assert state["manifest"] == sha256(tmp_path / "checkpoints" / "people" / "manifest.json")
    seen = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert seen["samples_seen"].is_monotonic_increasing
    assert not seen.loc[seen["train/loss"].notna(), "samples_seen"].duplicated().any()
    assert list(synthgen.load(tmp_path / "checkpoints" / "people").sample(20).columns) == list(people.columns)


def test_images_of_a_gan_are_trained_beside_an_older_run(start, tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (120, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "images.npz", images=pixels, labels=np.arange(120) % 2)
    given = ["data=arrays", "data.path=images.npz", "data.batch_size=16", "max_samples=320", "model=image/dcgan"]
    given += ["network.generator.width=8", "network.discriminator.width=8", "name=noise", "resume=false", *BOTH]
    monkeypatch.chdir(tmp_path)
    config = compose("train", given)
    older = run_folder(config, load_data(config)).path
    older.mkdir(parents=True)
    (older / "kept").touch()
    out = ended(start(*given))
    assert out.count("trained on 320 examples") == out.count("checkpoint: ") == 1
    assert [entry.name for entry in older.iterdir()] == ["kept"]
    assert sorted(entry.name for entry in older.parent.iterdir()) == [older.name, f"{older.name}-2"]
    assert (older.with_name(f"{older.name}-2") / "last.ckpt").is_file()
    assert synthgen.load(tmp_path / "checkpoints" / "noise").sample(4).pixels.shape == (4, 1, 8, 8)
