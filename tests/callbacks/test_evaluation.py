"""Looks at samples while a model trains: when, at what cost to training, and who is told."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger

from synthgen.callbacks import evaluation
from synthgen.callbacks.evaluation import Evaluation
from synthgen.callbacks.look import draw
from synthgen.callbacks.progress import MetricsLog
from synthgen.errors import SynthgenError
from synthgen.training.checkpoint_io import AtomicCheckpointIO
from synthgen.training.checkpoints import Saving
from synthgen.training.csv_logger import CSVLogger
from tests.callbacks.runs import Says, all_looks, data_for, history, looked_at, looking, numbers, train
from tests.faults.workplace import assert_same
from tests.tiny import Stop, averaged, fit, one_stage, same, slow_squared_error, weights

FAMILIES = [
    *("table/argn", "table/tabdiff", "table/tabsyn", "table/ctgan", "table/tvae"),
    *("image/edm", "image/flow", "image/ddpm", "image/dcgan", "image/vae"),
]


def run(folder, callbacks, budget=320, model=None, **options):
    model = model or one_stage(ema=averaged())
    loggers = [CSVLogger(str(folder))]
    return model, fit(model, folder, budget, numbers(), callbacks=callbacks, loggers=loggers, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_is_the_same_with_and_without_it(family, tmp_path):
    batch = 250 if family == "table/ctgan" else 256 if family.startswith("table") else 64
    looks = Evaluation(every=4 * batch, samples=64, share=None, looks=all_looks())
    watched, _ = train(family, tmp_path / "watched", [looks])
    alone, _ = train(family, tmp_path / "alone")
    assert looks.count == 3
    assert looks.names
    assert same(weights(watched), weights(alone))
    ends = [AtomicCheckpointIO().load_checkpoint(tmp_path / name / "last.ckpt") for name in ("watched", "alone")]
    for key in ("state_dict", "optimizer_states", "synthgen"):
        assert_same(ends[0][key], ends[1][key])
    assert_same(ends[0]["callbacks"]["RandomState"], ends[1]["callbacks"]["RandomState"])
    found = history(tmp_path / "watched").dropna(subset="eval/" + next(iter(looks.looks.values())).names[0])
    assert found["samples_seen"].tolist() == [4 * batch, 8 * batch, 12 * batch]
    assert set(looks.names) <= set(found.columns)
    assert len(list((tmp_path / "watched" / "samples").glob("*.png"))) == 3


def test_samples_are_those_of_the_average_and_of_the_same_noise(tmp_path):
    model, _ = run(tmp_path, [looking(says := Says())])
    shown = says.drawn.synthetic["x"]
    torch.testing.assert_close(shown, model.sample(16, seed=1_000_003)["x"], rtol=0, atol=0)
    assert (shown - model.stages[0].average.value).abs().mean() < (
        shown - model.stages[0].module.value
    ).abs().mean() + 1


def test_it_looks_every_so_many_examples_and_at_the_end(tmp_path):
    run(tmp_path, [looking(Says())], budget=304)
    assert looked_at(tmp_path)[0] == [64, 128, 192, 256, 304]


def test_looks_stay_within_their_share_of_the_time(tmp_path, monkeypatch):
    class Slow(Says):
        def look(self, drawn):
            time.sleep(0.05)
            return super().look(drawn)

    monkeypatch.setattr(evaluation, "_ASSUMED", 0.015)  # the first one after 0.3 s
    watch = looking(Slow(), every=16, share=0.1)
    _, ended = run(tmp_path, [watch], budget=16 * 600, model=one_stage(loss=slow_squared_error))
    assert watch.count >= 3
    assert watch.spent / ended.seconds < 0.15  # the machine may be slower later than when the first one was timed
    rows = pd.read_csv(tmp_path / "metrics.csv").dropna(subset="eval/seconds")
    assert rows["eval/seconds"].sum() == pytest.approx(watch.spent)
    assert rows["eval/share"].iloc[-1] == pytest.approx(watch.spent / ended.seconds, rel=0.2)


def test_only_as_many_samples_are_drawn_as_fit(tmp_path, monkeypatch):
    class SlowToSample(type(one_stage())):
        def sample_block(self, *arguments, **options):
            time.sleep(0.02)
            return super().sample_block(*arguments, **options)

    monkeypatch.setattr(evaluation, "_ASSUMED", 0.025)  # the first look after 0.5 s
    model = SlowToSample(list(one_stage(loss=slow_squared_error).stages))
    watch = looking(says := Says(), every=16, share=0.1, samples=1000)
    run(tmp_path, [watch], budget=16 * 150, model=model)
    # Half a twentieth of a second at the first look, blocks of 8 in 0.02 s: one of them, or two where it came late.
    assert watch.drawn in (8, 16)
    assert len(says.drawn.synthetic["x"]) == watch.drawn


def test_a_run_that_goes_on_looks_where_it_would_have(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "time", SimpleNamespace(monotonic=lambda: 0.0))  # no look is the slowest

    def watch():
        found = looking(Says([3, 1, 2, 5, 4]), share=0.1)
        found.cost, found.drawn = 6.0, 16  # as if a first look had been timed
        return found

    run(tmp_path / "whole", [watch()], budget=640)
    assert looked_at(tmp_path / "whole")[0] == [128, 192, 256, 320, 384, 448, 512, 576, 640]
    for stop in (200, 400):
        run(tmp_path / "parts", [watch(), Stop(stop)], budget=640)
    # What was measured is saved with the run: a new measurement would not be asked for.
    resumed = looking(Says([3, 1, 2, 5, 4]), share=0.1)
    run(tmp_path / "parts", [resumed], budget=640)
    assert (resumed.cost, resumed.drawn) == (6.0, 16)
    pd.testing.assert_frame_equal(history(tmp_path / "parts"), history(tmp_path / "whole"), check_exact=True)


@pytest.mark.parametrize("family", ["table/ctgan", "image/vae"])
def test_an_interrupted_run_ends_with_the_same_figures(family, tmp_path):
    batch = 250 if family == "table/ctgan" else 64

    def watched(folder, *more, samples=None):
        looks = Evaluation(every=3 * batch, samples=64, share=None, looks=all_looks())
        stopping = EarlyStopping(monitor=f"eval/{'shape_error' if batch == 250 else 'kd_cnn-digits'}", patience=20)
        saving = Saving(samples=2 * batch, best_by=stopping.monitor)
        return train(family, folder, [MetricsLog(3), looks, stopping, *more], saving=saving)

    whole, ended = watched(tmp_path / "whole")
    for step in (3, 5, 9):
        assert watched(tmp_path / "parts", Stop(step * batch))[1].signal
    parts, resumed = watched(tmp_path / "parts")
    assert same(weights(parts), weights(whole))
    assert resumed.best == ended.best
    pd.testing.assert_frame_equal(history(tmp_path / "parts"), history(tmp_path / "whole"), check_exact=True)


def test_early_stopping_counts_a_figure_once(tmp_path):
    stopping = EarlyStopping(monitor="eval/figure", patience=2)
    # Validations between the looks have no new figure to count.
    fit(
        one_stage(),
        tmp_path,
        6400,
        numbers(validation=60),
        callbacks=[looking(Says([3, 2, 5, 4, 1])), stopping],
        loggers=[CSVLogger(str(tmp_path))],
        validate_every=16,
    )
    assert looked_at(tmp_path) == ([64, 128, 192, 256], [3, 2, 5, 4])


@pytest.mark.parametrize(("mode", "best"), [("min", 128), ("max", 192)])
def test_the_weights_that_are_best_by_a_figure_are_left(mode, best, tmp_path):
    class Kept(Says):
        seen: dict = {}  # noqa: RUF012

        def look(self, drawn):
            self.seen[drawn.seen] = weights(drawn.model)
            return super().look(drawn)

    look = Kept([3, 1, 5, 2])
    saving = Saving(samples=16, best_by="eval/figure", best_mode=mode)
    model, ended = run(tmp_path, [looking(look)], saving=saving)
    assert ended.best == {"min": 1, "max": 5}[mode]
    assert [file.name for file in tmp_path.glob("best-*.ckpt")] == [f"best-{best}.ckpt"]
    assert same(weights(model), look.seen[best])


def test_a_figure_that_is_best_at_a_number_is_chosen_by_its_distance(tmp_path):
    look = Says([3, 0.9, 0.45, -2])
    look.aims = {"figure": 0.5}
    saving = Saving(samples=16, best_by="eval/figure")
    stopping = EarlyStopping(monitor="eval/figure", patience=2)
    _, ended = run(tmp_path, [looking(look), stopping], budget=6400, saving=saving)
    assert ended.best == pytest.approx(0.45)
    assert looked_at(tmp_path) == ([64, 128, 192, 256, 320], [3, 0.9, 0.45, -2, -2])


def test_a_mode_that_would_take_the_worst_is_refused(tmp_path):
    look = Says()
    look.aims = {"figure": math.inf}
    with pytest.raises(SynthgenError, match="best_mode: found 'min', expected 'max': of eval/figure is the higher the"):
        run(tmp_path, [looking(look)], saving=Saving(best_by="eval/figure"))
    with pytest.raises(SynthgenError, match=r"early_stopping\.mode: found 'min', expected 'max'"):
        run(tmp_path, [looking(look), EarlyStopping(monitor="eval/figure")])


def test_a_look_that_fails_is_said_and_training_goes_on(tmp_path):
    class Broken(Says):
        def look(self, drawn):
            raise ValueError("window shape")

    with pytest.warns(UserWarning, match=r"evaluation\.looks\.says failed at 64 examples: ValueError: window shape"):
        _, ended = run(tmp_path, [looking(Broken())])
    assert ended.samples_seen == 320


def test_bests_by_another_figure_do_not_count(tmp_path):
    run(tmp_path, [looking(Says([-9])), Stop(160)], saving=Saving(samples=16, best_by="eval/figure"))
    ended = fit(one_stage(ema=averaged()), tmp_path, data=numbers(validation=60), validate_every=64)
    assert ended.best > 0


@pytest.mark.parametrize(
    ("saving", "monitor", "message"),
    [
        (
            {"best_by": "eval/figur"},
            "eval/figure",
            r"best_by: nothing measures 'eval/figur': did you mean 'eval/figure'",
        ),
        ({}, "eval/figures", r"early_stopping\.monitor: nothing measures 'eval/figures': did you mean 'eval/figure'"),
    ],
)
def test_a_figure_that_nothing_measures_is_one_line_with_the_nearest(saving, monitor, message, tmp_path):
    callbacks = [looking(Says()), EarlyStopping(monitor=monitor)]
    with pytest.raises(SynthgenError, match=message):
        run(tmp_path, callbacks, saving=Saving(**saving))


def test_an_alarm_warns_or_stops(tmp_path):
    with pytest.warns(UserWarning, match="all is lost at 128 examples: going on"):
        run(tmp_path / "on", [looking(Says([1, -1, 1], "all is lost"))])
    assert looked_at(tmp_path / "on")[0][-1] == 320
    with pytest.warns(UserWarning, match="all is lost at 128 examples: training stops"):
        _, ended = run(tmp_path / "stopped", [looking(Says([1, -1, 1], "all is lost", "stop"))])
    assert (ended.samples_seen, ended.signal) == (128, None)


def test_samples_that_are_no_numbers_are_said(tmp_path):
    model = one_stage(start=float("nan"))
    with pytest.warns(UserWarning, match="samples are not finite"):
        fit(model, tmp_path, 320, numbers(), callbacks=[looking(Says())], loggers=[CSVLogger(str(tmp_path))])


def test_all_loggers_are_told_the_same(tmp_path, monkeypatch):
    import wandb
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("WANDB_SILENT", "true")
    board = TensorBoardLogger(tmp_path, name=None, version="tensorboard")
    online = WandbLogger(project="synthgen", save_dir=tmp_path, offline=True)
    loggers = [CSVLogger(str(tmp_path)), board, online]
    watch = Evaluation(every=5 * 64, samples=64, share=None, looks=all_looks())
    train("image/vae", tmp_path, [watch], steps=10, loggers=loggers)
    summary = {name: online.experiment.summary.get(name) for name in watch.names}
    wandb.finish()
    rows = pd.read_csv(tmp_path / "metrics.csv").dropna(subset="eval/seconds")
    events = EventAccumulator(str(board.log_dir)).Reload()
    for name in watch.names:
        assert [event.step for event in events.Scalars(name)] == rows["samples_seen"].tolist() == [320, 640]
        assert [event.value for event in events.Scalars(name)] == pytest.approx(rows[name].tolist(), rel=1e-6)
        assert summary[name] == pytest.approx(rows[name].iloc[-1])
    assert [event.step for event in events.Images("eval/samples")] == [320, 640]
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/media/images/eval/*.png"))) == 2


PROGRAM = """
import sys
from functools import partial
from pathlib import Path
import torch
from pytorch_lightning import Trainer, seed_everything
from synthgen.callbacks.evaluation import Evaluation
from synthgen.synthesizer import Synthesizer
from synthgen.training.budget import Budget
from synthgen.training.csv_logger import CSVLogger
from synthgen.training.fit import fit_model
from synthgen.training.run_folder import RunFolder
from tests.callbacks.runs import all_looks, config_of, data_for


def watched(folder, family, devices):
    given = config_of(family)["model"]
    # The two runs are to have the same weights and statistics, whatever batches they see.
    still = {key: {**value, "lr": 0.0} for key, value in given.items() if key.endswith("optimization")}
    data = data_for(family)
    seed_everything(1, verbose=False)
    model = Synthesizer.build({**given, **still}, data).model
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = 0.0
    # A step of a GAN reaches one of its two networks after the other.
    strategy = "ddp_find_unused_parameters_true" if devices > 1 else "auto"
    trainer = partial(Trainer, accelerator="cpu", devices=devices, strategy=strategy)
    looks = Evaluation(every=4 * data.batch_size, samples=200, share=None, looks=all_looks())
    budget = Budget(8 * data.batch_size)
    fit_model(model, data, trainer, RunFolder(folder), budget, callbacks=[looks], loggers=[CSVLogger(str(folder))])


if __name__ == "__main__":
    for family in sys.argv[2:]:
        watched(Path(sys.argv[1], family), family, 2)
"""


def test_two_processes_find_the_same_figures_as_one(tmp_path):
    families = ["image/vae", "image/dcgan", "table/tabdiff"]
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(tmp_path / "2"), *families]
    place = {"cwd": Path(__file__).parents[2], "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
    scope, threads = {}, torch.get_num_threads()
    exec(PROGRAM, scope)
    torch.set_num_threads(1)  # a sum over other threads is another sum
    try:
        for family in families:
            scope["watched"](tmp_path / "1" / family, family, 1)
    finally:
        torch.set_num_threads(threads)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, **place)
    assert ended.returncode == 0, ended.stderr[-3000:]
    for family in families:
        batch = data_for(family).batch_size
        one, two = (history(tmp_path / devices / family) for devices in "12")
        pd.testing.assert_frame_equal(one, two, check_exact=True)
        assert one["samples_seen"].tolist() == [4 * batch, 8 * batch]


class Shared:
    """What `draw` asks of a trainer, on one of several processes."""

    def __init__(self, rank, processes):
        self.global_rank, self.world_size = rank, processes


@pytest.mark.parametrize("n", [5, 16, 70])
def test_processes_draw_each_sample_once(n, monkeypatch):
    model, gathered = one_stage(), []

    def gather(parts, part):
        gathered.append(part)
        parts[:] = gathered

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    for rank in (1, 2):  # the first one comes last: only it needs what the others have drawn
        assert draw(Shared(rank, 3), model, n, 7) is None
    others = list(gathered)
    gathered.clear()
    monkeypatch.setattr(
        torch.distributed, "all_gather_object", lambda parts, part: parts.__setitem__(slice(None), [part, *others])
    )
    assert torch.equal(draw(Shared(0, 3), model, n, 7)["x"], model.sample(n, seed=7)["x"])


@pytest.mark.parametrize("setting", [{"every": 0}, {"samples": 3}, {"share": 0.0}, {"share": 1.0}])
def test_what_cannot_be_is_refused(setting):
    with pytest.raises(SynthgenError, match="evaluation"):
        Evaluation(**setting)
