"""What only a GPU can show: steps that nothing waits for, random states of the device, runs that go on."""

import os
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning import Callback, Trainer, seed_everything

import synthgen
from synthgen.callbacks.evaluation import Evaluation
from synthgen.commands import run_command
from synthgen.models.stages import ClosedFormStage
from synthgen.synthesizer import Synthesizer
from synthgen.training.budget import Budget
from synthgen.training.fit import fit_model
from synthgen.training.run_folder import RunFolder
from tests.callbacks.runs import all_looks, config_of, data_for
from tests.faults.workplace import FAMILIES
from tests.tiny import Stop, same, weights

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
LEARNED = [family for family in FAMILIES if family != "table/copula"] + ["table/argn network=any_order_transformer"]


@pytest.fixture(autouse=True)
def repeatable(monkeypatch):
    """Kernels that add in the same order every time, where there are such."""
    monkeypatch.setitem(os.environ, "CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have a deterministic implementation.*")
        yield
    torch.use_deterministic_algorithms(False)


def train(family, folder, steps=24, callbacks=(), precision="bf16-mixed"):
    data = data_for(family)
    seed_everything(1, workers=True, verbose=False)
    model = Synthesizer.build(config_of(family)["model"], data).model
    trainer = partial(Trainer, accelerator="gpu", devices=1, precision=precision)
    ended = fit_model(
        model,
        data,
        trainer,
        RunFolder(folder),
        Budget(steps * data.batch_size),
        callbacks=callbacks,
        validate_every=6 * data.batch_size,
    )
    return model, ended


class NeverWaiting(Callback):
    """Makes an error of every operation within a step for which the host waits for the device."""

    def __init__(self):
        self.steps = 0

    def on_train_batch_start(self, trainer, pl_module, *_):
        if self.steps >= 3:  # the first ones make optimizer states and choose kernels
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, *_):
        torch.cuda.set_sync_debug_mode("default")
        self.steps += 1

    def on_exception(self, *_):
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
@pytest.mark.parametrize("family", LEARNED)
def test_no_step_waits_for_the_device(family, precision, tmp_path):
    watch = NeverWaiting()
    model, _ = train(family, tmp_path, steps=12, callbacks=[watch], precision=precision)
    assert watch.steps == 12
    assert all(torch.isfinite(value).all() for value in weights(model).values() if value.is_floating_point())


@pytest.mark.parametrize("family", LEARNED)
def test_an_interrupted_run_ends_equal(family, tmp_path):
    whole, _ = train(family, tmp_path / "whole")
    batch = data_for(family).batch_size
    _, stopped = train(family, tmp_path / "parts", callbacks=[Stop(10 * batch)])
    assert stopped.samples_seen == 10 * batch
    again, _ = train(family, tmp_path / "parts")
    assert same(weights(again), weights(whole))


@pytest.mark.parametrize("family", LEARNED)
def test_training_is_the_same_with_and_without_looks(family, tmp_path):
    batch = data_for(family).batch_size
    looks = Evaluation(every=6 * batch, samples=64, share=None, looks=all_looks())
    watched, _ = train(family, tmp_path / "watched", callbacks=[looks])
    alone, _ = train(family, tmp_path / "alone")
    assert looks.count == 4
    assert same(weights(watched), weights(alone))


@pytest.mark.parametrize("family", [*LEARNED, "table/copula"])
def test_it_samples_the_same_bytes_again_and_leaves_random_states_alone(family, tmp_path):
    model, _ = train(family, tmp_path)
    model.to("cuda")
    before = torch.cuda.get_rng_state()
    one, other = (model.sample(300, seed=5) for _ in range(2))
    assert torch.equal(torch.cuda.get_rng_state(), before)
    parts = [model.sample(150, seed=5, start=start) for start in (0, 150)]
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name])
        assert torch.equal(tensor, torch.cat([part[name] for part in parts]))


@pytest.mark.parametrize("family", [family for family in LEARNED if family.startswith("table/")])
def test_rows_that_do_not_obey_are_drawn_again_on_the_device(family, people):
    """A formula that no transform keeps, and a condition: rejected rows are replaced, in any part of the sequence."""
    model, *more = family.split()
    more += ["max_samples=4000", "data.batch_size=100", "callbacks=none", "trainer=gpu"]
    constraints = [{"formula": "income == '<=50K' or age > 30"}]
    people = people[(people["income"] == "<=50K") | (people["age"] > 30)]
    fitted = synthgen.fit(people, model, constraints=constraints, overrides=more).to("cuda")
    for condition in (None, {"member": True}):
        whole = fitted.sample(600, condition=condition, seed=3)
        assert ((whole["income"] == "<=50K") | (whole["age"] > 30)).all()
        assert condition is None or whole["member"].all()
        parts = [fitted.sample(300, condition=condition, seed=3, start=start) for start in (0, 300)]
        pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)
    assert 0 < fitted.model.kept.rate <= 1


def test_a_closed_form_is_solved_on_the_device(tmp_path):
    """The same as on the CPU, up to the order in which numbers are added."""
    model, _ = train("table/copula", tmp_path, precision="32-true")
    (stage,) = model.stages
    assert isinstance(stage, ClosedFormStage)
    data = data_for("table/copula")
    on_cpu = Synthesizer.build(config_of("table/copula")["model"], data).model
    on_cpu.stages[0].fit(data.tensors(data.train))
    for name, value in on_cpu.trained_state().items():
        torch.testing.assert_close(model.trained_state()[name].cpu().float(), value.float(), rtol=1e-2, atol=1e-2)


def test_commands_on_a_gpu(tmp_path):
    """Trained, sampled and measured by the commands; the device's samples are as good as the CPU's."""
    folder = [f"checkpoint_dir={tmp_path}/checkpoints", f"output_dir={tmp_path}/runs"]
    trained = ["train", "data=randhie", "model=table/tvae", "max_samples=200000", "name=one", "trainer=gpu", *folder]
    assert run_command([*trained, "logger=csv"]) == 0
    made = {}
    for device in ("cuda", "cpu"):
        output = tmp_path / f"{device}.parquet"
        argument = [f"checkpoint={tmp_path}/checkpoints/one", "n=4000", f"device={device}", f"output={output}"]
        assert run_command(["sample", *argument]) == 0
        made[device] = pd.read_parquet(output)
    for name in made["cpu"].select_dtypes("number"):
        one, other = (made[device][name].dropna() for device in ("cuda", "cpu"))
        spread = np.sqrt((one.var() + other.var()) / 4000)
        assert abs(one.mean() - other.mean()) < 5 * spread + 1e-9, name
