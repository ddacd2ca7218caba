import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback
from torch.utils.data import DataLoader, IterableDataset

from synthgen.errors import SynthgenError
from synthgen.models.stages import Optimization
from synthgen.training.checkpoints import Saving, newest_checkpoint
from tests.tiny import (
    Numbers,
    Stop,
    Tiny,
    averaged,
    closed_form_stage,
    fit,
    gradient_stage,
    one_stage,
    same,
    squared_error,
    weights,
)

FALLING = Optimization(lr=0.02, warmup=100, cooldown=0.5, clip=1e9)


class Raise(Callback):
    """Raises an error after a number of examples."""

    def __init__(self, seen, error):
        self.seen = seen
        self.error = error

    def on_train_batch_end(self, trainer, pl_module, *_):
        if pl_module.samples_seen >= self.seen:
            raise self.error


def new_model(stages=1):
    return Tiny([gradient_stage(optimization=FALLING, ema=averaged()) for _ in range(stages)])


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("stop", [16, 96, 128, 160, 240, 304])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path, stages, stop):
    whole = new_model(stages)
    fit(whole, tmp_path / "whole", data=Numbers(validation=60), validate_every=64)
    begun = new_model(stages)
    first = fit(begun, tmp_path / "run", data=Numbers(validation=60), validate_every=64, callbacks=[Stop(stop)])
    assert first.interrupted
    assert first.samples_seen == stop
    resumed = new_model(stages)
    second = fit(resumed, tmp_path / "run", data=Numbers(validation=60), validate_every=64)
    assert (second.interrupted, second.samples_seen, second.budget) == (False, 320, 320)
    assert same(weights(resumed), weights(whole))


def test_the_batch_in_flight_ends_and_the_one_that_was_fetched_comes_again(tmp_path):
    calls = []

    def interrupted_loss(module, batch, generator):
        calls.append(batch)
        if len(calls) == 8:
            signal.raise_signal(signal.SIGINT)
        return squared_error(module, batch, generator)

    whole, resumed = new_model(), new_model()
    fit(whole, tmp_path / "whole")
    begun = Tiny([gradient_stage(loss=interrupted_loss, optimization=FALLING, ema=averaged())])
    assert fit(begun, tmp_path / "run").samples_seen == 8 * 16
    fit(resumed, tmp_path / "run")
    assert same(weights(resumed), weights(whole))


def test_a_run_may_be_interrupted_many_times(tmp_path):
    whole = new_model()
    fit(whole, tmp_path / "whole")
    for stop in (48, 96, 208, 304):
        assert fit(new_model(), tmp_path / "run", callbacks=[Stop(stop)]).samples_seen == stop
    resumed = new_model()
    assert fit(resumed, tmp_path / "run").samples_seen == 320
    assert same(weights(resumed), weights(whole))


def test_an_interrupted_run_leaves_the_best_so_far_in_the_model(tmp_path):
    class BestLoss(Callback):
        def __init__(self):
            self.values = []

        def on_validation_end(self, trainer, pl_module):
            self.values.append(pl_module.stages[0].trained.value.clone())

    model, watch = new_model(), BestLoss()
    fit(model, tmp_path, data=Numbers(validation=60), validate_every=64, callbacks=[watch, Stop(160)])
    assert len(watch.values) == 2
    assert torch.equal(model.stages[0].trained.value, watch.values[-1])


def test_a_closed_form_is_not_fitted_again_when_a_run_goes_on(tmp_path):
    def stages():
        return [closed_form_stage(), gradient_stage()]

    fit(Tiny(stages()), tmp_path, callbacks=[Stop(160)])
    resumed = Tiny(stages())
    solved = []
    resumed.stages[0].solve = lambda module, data: solved.append(data)
    fit(resumed, tmp_path)
    assert solved == []
    torch.testing.assert_close(resumed.stages[0].trained.value.data, Numbers().train.mean(dim=0))


def test_a_run_that_is_not_resumed_starts_from_the_beginning(tmp_path):
    fit(new_model(), tmp_path, callbacks=[Stop(160)])
    model = new_model()
    fit(model, tmp_path, resume=False)
    assert [context.seen for context in model.stages[0].contexts] == [16 * i for i in range(20)]


def test_a_bug_is_raised_as_it_is_and_the_run_can_go_on(tmp_path):
    class Bug(Exception):
        pass

    with pytest.raises(Bug):
        fit(new_model(), tmp_path, callbacks=[Raise(96, Bug)])
    assert fit(new_model(), tmp_path).samples_seen == 320


def test_a_call_to_exit_is_not_taken_for_ctrl_c(tmp_path):
    with pytest.raises(SystemExit):
        fit(new_model(), tmp_path, callbacks=[Raise(96, SystemExit)])


def test_ctrl_c_works_as_before_when_training_has_ended(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    fit(new_model(), tmp_path, callbacks=[Stop(96)])
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_validation_losses_of_an_interrupted_run_count_after_it(tmp_path):
    whole = fit(new_model(), tmp_path / "a", data=Numbers(validation=60), validate_every=64)
    fit(new_model(), tmp_path / "b", data=Numbers(validation=60), validate_every=64, callbacks=[Stop(160)])
    resumed = fit(new_model(), tmp_path / "b", data=Numbers(validation=60), validate_every=64)
    assert resumed.best == whole.best


def test_a_run_folder_holds_nothing_but_its_checkpoints(tmp_path):
    fit(one_stage(), tmp_path, data=Numbers(validation=60), validate_every=64)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["best-320.ckpt", "last.ckpt"]


PROGRAM = """
import sys
from pathlib import Path
from tests.tiny import fit, one_stage, slow_squared_error
from pytorch_lightning import Callback
from torch.utils.data import DataLoader, IterableDataset

class Tell(Callback):
    def on_train_batch_end(self, trainer, pl_module, *_):
        if pl_module.samples_seen == 160:
            print("training", flush=True)

fitted = fit(one_stage(loss=slow_squared_error), Path(sys.argv[1]), budget=4800, callbacks=[Tell()])
print(fitted.interrupted, fitted.samples_seen, fitted.budget)
"""


def test_a_run_interrupted_by_a_signal_goes_on_to_the_end_of_its_budget(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout.readline() == "training\n"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    interrupted, seen, budget = output.split()[-3:]
    assert interrupted == "True"
    assert 160 <= int(seen) < 4800
    assert budget == "4800"
    model = one_stage()
    fitted = fit(model, tmp_path, budget=4800)
    assert (fitted.interrupted, fitted.samples_seen) == (False, 4800)
    assert model.stages[0].contexts[0].seen == int(seen)


class AtTheEnd(Callback):
    """Sends this process SIGTERM when training has ended and its last state is about to be saved."""

    def on_train_end(self, trainer, pl_module):
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_comes_too_late_to_stop_anything_is_told(tmp_path):
    fitted = fit(new_model(), tmp_path, callbacks=[AtTheEnd()])
    assert (fitted.samples_seen, fitted.interrupted, fitted.late_signal) == (320, False, signal.SIGTERM)
    assert fit(new_model(), tmp_path).late_signal is None


def greedy_loss(module, batch, generator):
    return squared_error(module, batch, generator) + torch.empty(10**15).sum()


def test_out_of_memory_says_which_setting_to_lower(tmp_path):
    with pytest.raises(SynthgenError, match=r"^out of memory: .*allocate.*; lower data\.batch_size") as caught:
        fit(one_stage(loss=greedy_loss), tmp_path)
    assert "\n" not in str(caught.value)


class Stream(IterableDataset):
    """Batches of a loader, read in a process of their own."""

    def __init__(self, loader):
        self.loader = loader
        self.tensors, self.load_state_dict = loader.tensors, loader.load_state_dict

    def __iter__(self):
        return iter(self.loader)


class ByWorker(Numbers):
    """A data module of a person who has data read by another process."""

    def train_dataloader(self):
        stream = Stream(super().train_dataloader())
        loader = DataLoader(stream, batch_size=None, num_workers=1)
        loader.tensors, loader.load_state_dict = stream.tensors, stream.load_state_dict
        return loader


class KillWorker(Callback):
    """Kills the process that reads data, as a system that runs out of memory does."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        if pl_module.samples_seen == 160:
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)


def test_a_killed_data_worker_is_one_message_and_the_run_can_go_on(tmp_path):
    with pytest.raises(SynthgenError, match=r"^a process that reads data has ended: .*; the run can go on$") as caught:
        fit(new_model(), tmp_path / "run", 100_000, ByWorker(), callbacks=[KillWorker()], saving=Saving(samples=64))
    assert "\n" not in str(caught.value)
    assert newest_checkpoint(tmp_path / "run") == tmp_path / "run/last.ckpt"
    resumed = fit(new_model(), tmp_path / "run", 100_000)
    assert resumed.samples_seen == 100_000
