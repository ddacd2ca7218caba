"""Steps that are not finite, and losses that run away: found, kept from the weights, written out and acted on."""

import json
import math
import warnings

import pytest
import torch
from pytorch_lightning import Callback
from torch import nn

from synthgen.configuration import build, compose
from synthgen.errors import SynthgenError
from synthgen.models.adversarial import AdversarialStage as GanStage
from synthgen.models.stages import GradientStage, Optimization, StepContext
from synthgen.training.checkpoints import Saving
from synthgen.training.stability import Stability
from tests.tiny import STEADY, AdversarialStage, Mean, Numbers, Stop, Tiny, averaged, fit, weights


class Poisoned(Numbers):
    """One row in 200 is not a number."""

    def __init__(self, value=math.nan, **options):
        super().__init__(**options)
        self.train[17] = value


class Spoil(Callback):
    """Makes a step's gradients something else, at some examples."""

    def __init__(self, at, value=math.nan):
        self.at = at
        self.value = value

    def on_train_batch_start(self, trainer, pl_module, *_):
        pl_module.spoiled = self.value if pl_module.samples_seen in self.at else None


class SpoilOnce(Spoil):
    def on_train_batch_start(self, trainer, pl_module, *_):
        super().on_train_batch_start(trainer, pl_module)
        self.at = [] if pl_module.spoiled is not None else self.at


class Spoilable(Tiny):
    spoiled = None


def loss(module, batch, generator):
    noise = 0.1 * torch.randn(batch["x"].shape, generator=generator)
    return (batch["x"] + noise - module.value).square().mean()


def spoilable(ema=None):
    def spoiled_loss(module, batch, generator):
        value = loss(module, batch, generator)
        return value if model.spoiled is None else value * model.spoiled

    model = Spoilable([GradientStage(Mean(), spoiled_loss, Optimization(0.02, warmup=0, cooldown=0.0), ema)])
    return model


def watch(policy="skip", every=5, **options):
    return Stability(policy, every=every, **options)


def bad_steps(folder):
    return [json.loads(line) for line in (folder / "bad_steps.jsonl").read_text().splitlines()]


def finite(model):
    return all(value.isfinite().all() for value in model.state_dict().values())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_bad_step_is_skipped_as_if_its_batch_had_not_been(tmp_path, value):
    spoiled = spoilable(averaged())
    with pytest.warns(UserWarning, match=r"loss is .* at 96 examples, and 1 of 5 steps are not finite: going on"):
        fit(spoiled, tmp_path, callbacks=[Spoil([80], value), watch()])
    assert finite(spoiled)
    clean = spoilable(averaged())
    fit(clean, tmp_path / "clean")
    # All steps but the sixth are those of the other run, up to what the sixth would have moved.
    assert 0 < (weights(spoiled)["stages.0.module.value"] - weights(clean)["stages.0.module.value"]).abs() < 0.03


def test_neither_moments_nor_weights_take_part_in_a_bad_step():
    module = nn.Linear(3, 2)
    how = Optimization(0.1, warmup=0, cooldown=0.0)
    optimizer = how.optimizer(module)
    context = StepContext([optimizer], torch.Tensor.backward, torch.Generator(), 0, None, 1, {})
    how.step(context, optimizer, module(torch.ones(1, 3)).sum())
    before = [p.clone() for p in module.parameters()]
    moments = [value.clone() for state in optimizer.state.values() for value in state.values()]
    how.step(context, optimizer, module(torch.full((1, 3), math.nan)).sum())
    assert all(map(torch.equal, before, module.parameters()))
    assert all(map(torch.equal, moments, [value for state in optimizer.state.values() for value in state.values()]))
    how.step(context, optimizer, module(torch.ones(1, 3)).sum())
    assert not any(map(torch.equal, before, module.parameters()))
    assert [bool(norm.isfinite()) for norm in context.norms] == [True, False, True]


@pytest.mark.parametrize("fused", [True, False])
def test_gradients_are_clipped_to_their_largest_norm(fused):
    """Adam does not care for a gradient's size, but its moments show it."""
    module, how = nn.Linear(3, 1, bias=False), Optimization(betas=(0.0, 0.0), warmup=0, clip=0.5)
    optimizer = how.optimizer(module) if fused else torch.optim.AdamW(module.parameters(), betas=(0.0, 0.0))
    for scale, expected in ((0.1, 0.3), (100.0, 0.5)):  # the gradient is `scale` times (1, 2, 2)
        context = StepContext([optimizer], torch.Tensor.backward, torch.Generator(), 0, None, 1, {})
        how.step(context, optimizer, scale * module(torch.tensor([[1.0, 2.0, 2.0]])).sum())
        assert float(context.norms[0]) == pytest.approx(3 * scale)
        assert float(optimizer.state[module.weight]["exp_avg"].norm()) == pytest.approx(expected)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator to look for")
def test_a_step_on_the_cpu_does_not_look_for_an_accelerator(monkeypatch):
    module = nn.Linear(3, 1)
    optimizer = STEADY.optimizer(module)
    module(torch.ones(1, 3)).sum().backward()
    monkeypatch.setattr(torch.accelerator, "current_accelerator", None)
    optimizer.step()


def test_an_optimizer_that_is_not_fused_sees_no_gradient_of_a_bad_step():
    module = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    context = StepContext([optimizer], torch.Tensor.backward, torch.Generator(), 0, None, 1, {})
    before = [p.clone() for p in module.parameters()]
    STEADY.step(context, optimizer, module(torch.full((1, 3), math.nan)).sum())
    assert all(map(torch.equal, before, module.parameters()))


def test_rows_and_seeds_of_a_bad_batch_are_written_out(tmp_path):
    data = Poisoned(seed=3)
    model = spoilable()
    model.seed = 11
    with pytest.warns(UserWarning, match="not finite"):
        fit(model, tmp_path, data=data, callbacks=[watch()])
    lines = bad_steps(tmp_path)
    assert lines
    for line in lines:
        assert 17 in line["rows"]
        assert len(line["rows"]) == 16
        assert (line["seed"], line["data_seed"], line["policy"]) == (11, 3, "skip")
        assert line["samples_seen"] % 16 == 0
        assert line["found"]["loss"] == "nan"
    assert finite(model)


def test_stop_ends_the_run_and_leaves_the_checkpoint_before(tmp_path):
    with pytest.raises(SynthgenError, match=r"loss is nan at 176 examples.*see bad_steps\.jsonl.*lr"):
        fit(spoilable(), tmp_path, callbacks=[Spoil([160]), watch("stop")], saving=Saving(samples=64))
    assert (tmp_path / "last.ckpt").is_file()
    # The batch was not at fault, only that one step: the run goes on where it was.
    assert fit(spoilable(), tmp_path, callbacks=[watch("stop")]).samples_seen == 320


def test_rollback_goes_back_and_on_with_a_lower_rate(tmp_path):
    class Rates(Callback):
        def __init__(self):
            self.rates = []

        def on_train_batch_end(self, trainer, pl_module, *_):
            self.rates.append((pl_module.samples_seen, trainer.optimizers[0].param_groups[0]["lr"]))

    model, rates = spoilable(), Rates()
    with pytest.warns(UserWarning, match="going back to the last checkpoint"):
        fitted = fit(model, tmp_path, callbacks=[SpoilOnce([160]), rates, watch("rollback")], saving=Saving(samples=64))
    assert fitted.samples_seen == 320
    back = [seen for seen, rate in rates.rates].index(144, 10)
    assert {rate for _, rate in rates.rates[:back]} == {0.02}
    assert {rate for _, rate in rates.rates[back:]} == {0.01}
    assert rates.rates[back][0] == 144, "examples after the checkpoint at 128"


def test_rollback_out_of_a_validation_goes_on_in_training_mode(tmp_path):
    class Modes(Callback):
        seen = ()

        def on_train_batch_end(self, trainer, pl_module, *_):
            self.seen = (*self.seen, pl_module.stages[0].module.training)

    model, modes = spoilable(), Modes()
    callbacks = [SpoilOnce([160]), Stability(policy="rollback", every=1000), modes]
    with pytest.warns(UserWarning, match="going back"):
        fit(model, tmp_path, data=Numbers(validation=60), validate_every=64, callbacks=callbacks)
    assert all(modes.seen)
    assert model.stages[0].average is None or not model.stages[0].average.training


def test_rollback_before_any_checkpoint_goes_back_to_the_start(tmp_path):
    with pytest.warns(UserWarning, match="going back"):
        fitted = fit(spoilable(), tmp_path, callbacks=[SpoilOnce([0]), watch("rollback")])
    assert fitted.samples_seen == 320


def test_the_lower_rate_is_in_the_checkpoint(tmp_path):
    with pytest.warns(UserWarning, match="going back"):
        fit(spoilable(), tmp_path, callbacks=[SpoilOnce([80]), watch("rollback"), Stop(240)])
    model = spoilable()
    fit(model, tmp_path, callbacks=[watch("rollback")])
    assert model.rate_factor == 0.5


def test_rollbacks_that_do_not_help_stop_the_run(tmp_path):
    with (
        pytest.warns(UserWarning, match="going back"),
        pytest.raises(SynthgenError, match=r"rolled back 2 times, to a learning rate of 0\.25 times"),
    ):
        fit(spoilable(), tmp_path, callbacks=[Spoil(range(96, 320)), watch("rollback", rollbacks=2)])


def test_a_run_of_nothing_but_bad_steps_is_stopped_whatever_the_policy(tmp_path):
    with pytest.raises(SynthgenError, match="not finite"):
        fit(spoilable(), tmp_path, callbacks=[Spoil(range(96, 320)), watch("skip")])


def test_the_watch_is_there_when_nobody_asks_for_it(tmp_path):
    model = spoilable()
    with pytest.warns(UserWarning, match="not finite"):
        fit(model, tmp_path, data=Numbers(batch_size=4), callbacks=[Spoil([80])])
    assert finite(model)


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_a_gan_survives_a_batch_that_is_not_finite(tmp_path, policy):
    class Critic(nn.Linear):
        def __init__(self):
            super().__init__(1, 1)

    def generate(generator, batch, context):
        return {"x": generator.value + torch.randn(batch["x"].shape, generator=context.generator)}

    def critic_loss(critic, batch, generated, context):
        return critic(generated["x"]).mean() - critic(batch["x"]).mean()

    def generator_loss(critic, batch, generated, context):
        return -critic(generated["x"]).mean() + 0 * batch["x"].mean()

    stage = GanStage(Mean(), Critic(), generate, critic_loss, generator_loss, STEADY, STEADY, averaged())
    model = Tiny([stage])
    data = Numbers(rows=400)
    clean = data.train.clone()
    data.train[17] = math.nan

    class Heal(Callback):
        """The bad row is gone once training has been rolled back."""

        def on_train_start(self, trainer, pl_module):
            if pl_module.rate_factor < 1:
                trainer.train_dataloader.tensors["x"].copy_(clean)

    with pytest.warns(UserWarning, match="not finite"):
        fitted = fit(model, tmp_path, data=data, budget=800, callbacks=[watch(policy), Heal()])
    assert fitted.samples_seen == 800
    assert finite(model)


def test_a_stage_with_optimizers_of_its_own_is_rolled_back(tmp_path):
    data = Numbers(rows=400)
    clean = data.train.clone()
    data.train[17] = math.nan

    class Heal(Callback):
        def on_train_start(self, trainer, pl_module):
            if pl_module.rate_factor < 1:
                trainer.train_dataloader.tensors["x"].copy_(clean)

    model = Tiny([AdversarialStage()])
    with pytest.warns(UserWarning, match="going back"):
        fit(model, tmp_path, data=data, budget=800, callbacks=[watch("rollback"), Heal()])
    assert finite(model)


def test_running_statistics_that_took_in_a_bad_batch_are_put_back(tmp_path):
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.value = nn.BatchNorm1d(1), nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return self.norm(x) + self.value

    def normed_loss(module, batch, generator):
        return (module(batch["x"]) - batch["x"]).square().mean()

    model = Tiny([GradientStage(Normed(), normed_loss, STEADY, averaged())])
    with pytest.warns(UserWarning, match="not finite"):
        fit(model, tmp_path, data=Poisoned(validation=60), validate_every=64, callbacks=[watch()])
    assert finite(model)
    assert model.stages[0].trained.norm.running_mean.abs() > 0.1


@pytest.mark.parametrize("policy", ["skip", "stop"])
def test_a_loss_that_runs_away_is_seen(tmp_path, policy):
    def run():
        fit(spoilable(), tmp_path, budget=3200, callbacks=[Spoil(range(2400, 2560), 1e4), watch(policy)])

    if policy == "stop":
        with pytest.raises(SynthgenError, match=r"loss rose from .* to .* by 2,\d\d\d examples"):
            run()
    else:
        with pytest.warns(UserWarning, match="loss rose from"):
            run()


def test_one_large_loss_is_no_spike_and_a_sound_run_is_left_alone(tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(rose|not finite).*")
        fit(spoilable(), tmp_path, budget=3200, callbacks=[Spoil([2400], 20.0), watch()])
    assert not (tmp_path / "bad_steps.jsonl").exists()


def test_what_was_watched_goes_on_with_the_run(tmp_path):
    whole, parts = watch(), watch()
    fit(spoilable(), tmp_path / "whole", budget=640, callbacks=[whole])
    fit(spoilable(), tmp_path / "parts", budget=640, callbacks=[watch(), Stop(176)])
    fit(spoilable(), tmp_path / "parts", budget=640, callbacks=[parts])
    assert parts.state_dict() == whole.state_dict()


@pytest.mark.parametrize(
    "options", [{"policy": "ignore"}, {"every": 0}, {"factor": 1.0}, {"factor": 0.0}, {"spike": 0.0}]
)
def test_settings_that_cannot_be_are_refused(options):
    with pytest.raises(SynthgenError, match="stability"):
        Stability(**options)


class Diverge(Callback):
    """Moves the weights far away at some examples, once: the loss is finite and huge from then on."""

    def __init__(self, at):
        self.at = at

    def on_train_batch_start(self, trainer, pl_module, *_):
        if pl_module.samples_seen == self.at:
            self.at = None
            with torch.no_grad():
                pl_module.stages[0].module.value.fill_(1e5)


def test_rollback_passes_over_a_checkpoint_that_holds_the_divergence(tmp_path):
    """Saved between the divergence and the reading that finds it, so that the newest checkpoint is no way back."""
    model = spoilable()
    with pytest.warns(UserWarning, match="rose from"):
        fitted = fit(
            model,
            tmp_path,
            budget=1600,
            callbacks=[Diverge(1184), watch("rollback", every=5)],
            saving=Saving(samples=48),
        )
    assert fitted.samples_seen == 1600
    assert abs(float(model.stages[0].module.value.detach().mean())) < 100


def test_the_last_steps_are_read_before_the_model_leaves_its_device(tmp_path):
    class AtTeardown(Callback):
        left = None

        def teardown(self, trainer, pl_module, stage):
            self.left = len(watching._steps)

    watching, after = watch(every=1000), AtTeardown()
    fit(spoilable(), tmp_path, callbacks=[watching, after])
    assert after.left == 0


def test_a_validation_loss_that_is_not_finite_does_not_end_the_run_as_finished(tmp_path):
    data = Numbers(validation=60)
    data.validation[:] = math.nan
    early = build(compose("train", ["data=randhie"])["callbacks"]["early_stopping"])
    with pytest.warns(UserWarning, match=r"val/loss is nan at \d+ examples: going on$"):
        fitted = fit(spoilable(), tmp_path, data=data, validate_every=64, callbacks=[watch(), early])
    assert fitted.samples_seen == 320


def test_a_loss_that_has_been_0_may_rise_a_little(tmp_path):
    watching = watch("stop", every=1)
    watching._place = None
    watching._means = {"0 loss": [0.0] * 20}
    watching._read = [{"loss": 0.01}]
    watching._look_for_spike(100, 0)
    assert watching._means["0 loss"][-1] == 0.01


def test_the_rows_that_a_stage_drew_by_itself_are_those_written_out(tmp_path):
    class Own(Spoilable):
        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)
            self.rows = [torch.tensor([3, 1]), torch.tensor([4])]

    model = spoilable()
    model.__class__ = Own
    with pytest.warns(UserWarning, match="going on"):
        fit(model, tmp_path, callbacks=[Spoil([160]), watch()])
    assert [line["rows"] for line in bad_steps(tmp_path)] == [[3, 1, 4]]
