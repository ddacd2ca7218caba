"""A run that was interrupted ends with the bytes of one that was not: whatever interrupts it, and wherever."""

import random
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import EarlyStopping
from torch import nn

from synthgen.callbacks.progress import MetricsLog
from synthgen.errors import SynthgenError
from synthgen.models.stages import GradientStage, Optimization
from synthgen.training.checkpoint_io import AtomicCheckpointIO
from synthgen.training.checkpoints import Saving, newest_checkpoint
from synthgen.training.csv_logger import CSVLogger
from synthgen.training.seal import fault_of
from tests.faults.workplace import NOT_COMPUTED
from tests.tiny import AdversarialStage, Mean, Numbers, Stop, Tiny, averaged, fit, gradient_stage, same, weights

FALLING = Optimization(lr=0.02, warmup=100, cooldown=0.5, clip=1e9)


class Dropping(nn.Module):
    """Predicts one number through dropout, which draws from PyTorch's global generator."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.ones(8))
        self.dropout = nn.Dropout(0.5)

    def forward(self):
        return self.dropout(self.value).mean()


def dropped_error(module, batch, generator):
    # All the generators that somebody's loss may draw from.
    noise = 0.01 * (random.random() + float(np.random.standard_normal()))  # noqa: NPY002
    return (batch["x"] + noise - module()).square().mean()


MODELS = {
    "a stage with an average": lambda: Tiny([gradient_stage(optimization=FALLING, ema=averaged())]),
    "two stages": lambda: Tiny([gradient_stage(optimization=FALLING, ema=averaged()) for _ in range(2)]),
    "adversarial": lambda: Tiny([AdversarialStage()]),
    "dropout": lambda: Tiny([GradientStage(Dropping(), dropped_error, FALLING, averaged())]),
}
OPTIONS = {"validate_every": 64}


def data():
    return Numbers(validation=60)


def loggers(folder):
    return [CSVLogger(str(folder))]


def seeded_fit(model, folder, callbacks=(), **options):
    """As `synthgen train` does, which seeds every process alike."""
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    given = {"data": data(), "loggers": loggers(folder), **OPTIONS, **options}
    return fit(model, folder, callbacks=[MetricsLog(every=3), *callbacks], **given)


def history(folder):
    return pd.read_csv(folder / "metrics.csv").drop(columns=NOT_COMPUTED, errors="ignore")


@pytest.fixture(scope="module", params=MODELS)
def whole(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    model = MODELS[request.param]()
    return request.param, seeded_fit(model, folder), weights(model), history(folder)


@pytest.mark.parametrize("stop", [16, 112, 128, 208])
def test_interrupted_and_uninterrupted_runs_end_equal(whole, tmp_path, stop):
    name, fitted, expected, rows = whole
    first = seeded_fit(MODELS[name](), tmp_path, callbacks=[Stop(stop)])
    assert (first.signal, first.samples_seen) == (signal.SIGINT, stop)
    model = MODELS[name]()
    second = seeded_fit(model, tmp_path)
    assert same(weights(model), expected)
    assert second.best == fitted.best
    pd.testing.assert_frame_equal(history(tmp_path), rows, check_exact=True)


class Crash(Callback):
    """Ends training as a crash does: nothing is saved."""

    class Error(Exception):
        pass

    def __init__(self, seen):
        self.seen = seen

    def on_train_batch_end(self, trainer, pl_module, *_):
        if pl_module.samples_seen >= self.seen:
            raise self.Error


@pytest.mark.parametrize("every", [16, 64, 80])
def test_a_crash_goes_back_to_the_last_checkpoint_and_ends_equal(whole, tmp_path, every):
    name, _, expected, rows = whole
    for crash in (112, 208):
        with pytest.raises(Crash.Error):
            seeded_fit(MODELS[name](), tmp_path, callbacks=[Crash(crash)], saving=Saving(samples=every))
    model = MODELS[name]()
    seeded_fit(model, tmp_path, saving=Saving(samples=every))
    assert same(weights(model), expected)
    pd.testing.assert_frame_equal(history(tmp_path), rows, check_exact=True)


class SignalInValidation(Callback):
    def __init__(self, seen):
        self.seen = seen
        self.batches = []

    def on_validation_batch_start(self, trainer, pl_module, *_):
        self.batches.append(pl_module.samples_seen)
        if pl_module.samples_seen == self.seen and self.batches.count(self.seen) == 2:
            signal.raise_signal(signal.SIGTERM)


def test_a_signal_ends_a_validation_which_is_then_done_again(whole, tmp_path):
    name, fitted, expected, rows = whole
    if name == "adversarial":
        pytest.skip("its figures say nothing, but it is validated all the same by the others")
    first = seeded_fit(MODELS[name](), tmp_path, callbacks=[watch := SignalInValidation(128)])
    assert (first.signal, first.samples_seen, watch.batches.count(128)) == (signal.SIGTERM, 128, 2)
    model, again = MODELS[name](), SignalInValidation(None)
    second = seeded_fit(model, tmp_path, callbacks=[again])
    assert [seen for seen in (64, 128, 192) if seen in again.batches] == [128, 192]
    assert second.best == fitted.best
    assert same(weights(model), expected)
    pd.testing.assert_frame_equal(history(tmp_path), rows, check_exact=True)
    # Checkpoints that are saved later are those of a run that was never interrupted in a validation.
    assert (tmp_path / "last.ckpt").is_file()


def test_a_signal_in_the_last_validation_lets_the_run_end(tmp_path):
    fitted = seeded_fit(MODELS["dropout"](), tmp_path, callbacks=[SignalInValidation(320)])
    assert (fitted.signal, fitted.samples_seen) == (None, 320)


def test_a_run_that_early_stopping_ended_stays_ended(tmp_path):
    def stopping():
        return [EarlyStopping("val/loss", patience=1, min_delta=1e9)]

    first = seeded_fit(MODELS["dropout"](), tmp_path, callbacks=stopping())
    assert first.samples_seen == 128
    model = MODELS["dropout"]()
    again = seeded_fit(model, tmp_path, callbacks=stopping())
    assert (again.signal, again.samples_seen) == (None, 128)


# Which checkpoint


def test_the_newest_checkpoint_that_is_whole_is_taken(whole, tmp_path):
    name, _, expected, _ = whole
    seeded_fit(MODELS[name](), tmp_path / "cut", callbacks=[Stop(208)], saving=Saving(samples=64))
    last, before = tmp_path / "cut" / "last.ckpt", tmp_path / "cut" / "last-1.ckpt"
    for content in (last.read_bytes()[:-1], last.read_bytes()[:1000], b"", flipped(last.read_bytes())):
        folder = shutil.copytree(tmp_path / "cut", tmp_path / str(len(content)), dirs_exist_ok=True)
        (folder / "last.ckpt").write_bytes(content)
        with pytest.warns(UserWarning, match=r"last\.ckpt: .*(truncated|damaged).*goes on from last-1\.ckpt"):
            assert newest_checkpoint(folder) == folder / "last-1.ckpt"
        model = MODELS[name]()
        with pytest.warns(UserWarning, match="goes on from"):
            seeded_fit(model, folder)
        assert same(weights(model), expected)
    assert before.is_file()


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


def test_a_damaged_checkpoint_does_not_take_the_place_of_the_sound_one(tmp_path):
    seeded_fit(MODELS["two stages"](), tmp_path, callbacks=[Stop(208)], saving=Saving(samples=64))
    last, before = tmp_path / "last.ckpt", tmp_path / "last-1.ckpt"
    last.write_bytes(last.read_bytes()[:-10])
    with pytest.warns(UserWarning, match="goes on from"):
        seeded_fit(MODELS["two stages"](), tmp_path, callbacks=[Stop(224)])
    assert fault_of(last) is None
    assert fault_of(before) is None


def test_a_run_whose_checkpoints_are_all_damaged_is_refused(tmp_path):
    fit(MODELS["two stages"](), tmp_path, callbacks=[Stop(208)], saving=Saving(samples=64))
    for name in ("last.ckpt", "last-1.ckpt"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-10])
    with pytest.raises(SynthgenError, match=r"last\.ckpt: truncated.*no older checkpoint is whole.*resume=false"):
        fit(MODELS["two stages"](), tmp_path)


def test_a_save_that_was_cut_between_its_two_renames_counts(tmp_path):
    fit(MODELS["two stages"](), tmp_path, callbacks=[Stop(208)], saving=Saving(samples=64))
    (tmp_path / "last.ckpt").rename(tmp_path / "next.ckpt")
    assert newest_checkpoint(tmp_path) == tmp_path / "next.ckpt"


def test_checkpoints_of_another_model_are_refused(tmp_path):
    fit(Tiny([gradient_stage()]), tmp_path, callbacks=[Stop(208)])
    with pytest.raises(SynthgenError, match=r"last\.ckpt: does not fit the run's config\.yaml: .*"):
        fit(Tiny([GradientStage(Dropping(), dropped_error, FALLING)]), tmp_path)


def test_optimizers_of_other_groups_are_refused(tmp_path):
    def decaying(weight_decay):
        how = Optimization(0.02, warmup=0, weight_decay=weight_decay)
        return Tiny([GradientStage(nn.Linear(1, 1), lambda module, batch, _: module(batch["x"]).square().mean(), how)])

    fit(decaying(0.0), tmp_path, callbacks=[Stop(208)])
    with pytest.raises(SynthgenError, match=r"last\.ckpt: its optimizers do not fit the run's config\.yaml"):
        fit(decaying(0.1), tmp_path)


def test_a_run_of_another_device_goes_on_with_other_noise(tmp_path):
    fit(MODELS["two stages"](), tmp_path, callbacks=[Stop(208)])
    io = AtomicCheckpointIO()
    state = io.load_checkpoint(tmp_path / "last.ckpt")
    state["synthgen"] |= {"device": "cuda", "noise": torch.zeros(16, dtype=torch.uint8)}
    io.save_checkpoint(state, tmp_path / "last.ckpt")
    with pytest.warns(UserWarning, match="saved on cuda and the run goes on on cpu"):
        assert fit(MODELS["two stages"](), tmp_path).signal is None


def test_state_of_another_format_is_refused(tmp_path):
    fit(MODELS["two stages"](), tmp_path, callbacks=[Stop(208)])
    io = AtomicCheckpointIO()
    state = io.load_checkpoint(tmp_path / "last.ckpt")
    del state["synthgen"]["format"]
    io.save_checkpoint(state, tmp_path / "last.ckpt")
    with pytest.raises(SynthgenError, match="another version of synthgen wrote it"):
        fit(MODELS["two stages"](), tmp_path)


@pytest.mark.parametrize("keep", [1, 3])
def test_the_best_checkpoints_are_kept_and_hold_the_best_weights(tmp_path, keep):
    class Losses(Callback):
        def __init__(self):
            self.losses = {}

        def on_validation_end(self, trainer, pl_module):
            self.losses[f"best-{pl_module.samples_seen}.ckpt"] = float(trainer.callback_metrics["val/loss"])

    watch = Losses()
    model = Tiny([GradientStage(Mean(3.0), lambda m, b, g: (b["x"] - m.value).square().mean(), FALLING)])
    fit(model, tmp_path, data=data(), validate_every=16, callbacks=[watch], saving=Saving(samples=16, keep_best=keep))
    expected = sorted(sorted(watch.losses, key=lambda name: watch.losses[name])[:keep])
    assert sorted(file.name for file in tmp_path.glob("best-*")) == expected
    best = min(watch.losses, key=lambda name: watch.losses[name])
    held = AtomicCheckpointIO().load_checkpoint(tmp_path / best)
    assert same(weights(model), held["state_dict"])
    assert "optimizer_states" not in held


def test_a_damaged_best_checkpoint_is_not_loaded(tmp_path):
    fit(MODELS["two stages"](), tmp_path, data=data(), validate_every=64)
    (best,) = tmp_path.glob("best-*")
    best.write_bytes(best.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="weights that are not the best are used"):
        fit(MODELS["two stages"](), tmp_path, data=data(), validate_every=64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": -1}, "save_every"),
        ({"seconds": "soon"}, "save_every"),
        ({"samples": 0.5}, "save_every_samples"),
        ({"samples": 0}, "save_every_samples"),
        ({"keep_best": 0}, "keep_best"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(SynthgenError, match=message):
        Saving(**options)
