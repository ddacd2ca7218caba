from itertools import pairwise

import pytest
import torch
from pytorch_lightning import Callback
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from synthgen.models.base import bf16_pays
from synthgen.models.stages import EMA, GradientStage, Optimization, StepContext
from tests.tiny import (
    STEADY,
    AdversarialStage,
    Mean,
    Numbers,
    Stop,
    Tiny,
    averaged,
    closed_form_stage,
    fit,
    gradient_stage,
    one_stage,
    same,
    slow_squared_error,
    squared_error,
    weights,
)

# The learning rate


def test_the_rate_rises_stays_and_falls_to_0():
    optimization = Optimization(lr=2.0, warmup=100, cooldown=0.25)
    assert optimization.rate(0, 1000) == pytest.approx(0.02)
    assert optimization.rate(49, 1000) == pytest.approx(1.0)
    assert optimization.rate(99, 1000) == pytest.approx(2.0)
    assert [optimization.rate(seen, 1000) for seen in (100, 400, 750)] == pytest.approx([2.0] * 3)
    assert [optimization.rate(seen, 1000) for seen in (800, 875, 1000)] == pytest.approx([1.6, 1.0, 0])
    assert optimization.rate(1100, 1000) == 0


def test_before_the_budget_is_fixed_the_rate_does_not_fall():
    optimization = Optimization(lr=2.0, warmup=100, cooldown=0.25)
    assert [optimization.rate(seen, None) for seen in (49, 100, 10**9)] == pytest.approx([1, 2, 2])


def test_warmup_and_cooldown_may_be_nothing_or_all():
    assert Optimization(lr=2.0, warmup=0, cooldown=0).rate(0, 10) == 2
    assert Optimization(lr=2.0, warmup=0, cooldown=0).rate(10, 10) == 2
    falling = Optimization(lr=2.0, warmup=0, cooldown=1.0)
    assert [falling.rate(seen, 10) for seen in (0, 5, 10)] == pytest.approx([2, 1, 0])


def test_layers_decay_and_parameters_that_mean_something_do_not():
    class Scheduled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.norm, self.codes = nn.Linear(3, 2), nn.LayerNorm(2), nn.EmbeddingBag(5, 2)
            self.exponent = nn.Parameter(torch.full((3, 4), 7.0))

    module = Scheduled()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    optimizer = Optimization(lr=0.1, weight_decay=0.5).optimizer(module)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, value in module.state_dict().items():
        kept = 1.0 if name == "exponent" else 0.95
        torch.testing.assert_close(value, kept * before[name])
    assert len(Optimization(weight_decay=0.0).optimizer(module).param_groups) == 1


def test_convolutions_decay_up_and_under_spectral_normalisation():
    layers = nn.Sequential(nn.ConvTranspose2d(2, 3, 2), spectral_norm(nn.Conv2d(3, 2, 2)))
    decaying = Optimization(weight_decay=0.5).optimizer(layers).param_groups[0]["params"]
    assert {id(parameter) for parameter in decaying} == {id(parameter) for parameter in layers.parameters()}


def step_context(optimizers, **changes):
    facts = {"backward": torch.Tensor.backward, "generator": torch.Generator(), "seen": 0, "total": 100}
    facts |= {"examples": 4, "data": {}}
    return StepContext(optimizers=optimizers, **{**facts, **changes})


def test_a_gradient_step_follows_the_rate_and_clips_the_gradient():
    optimization = Optimization(lr=1.0, warmup=0, cooldown=1.0, clip=0.5)
    stage = GradientStage(Mean(), lambda module, batch, generator: 100 * module.value.sum(), optimization)
    optimizer = torch.optim.SGD(stage.module.parameters(), lr=9.0)
    logged = stage.training_step({"x": torch.zeros(4, 1)}, step_context([optimizer], seen=75))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.25)
    assert stage.module.value.grad.item() == pytest.approx(0.5)
    assert stage.module.value.item() == pytest.approx(-0.25 * 0.5)
    assert logged == {"loss": torch.tensor(0.0)}
    assert not logged["loss"].requires_grad


def test_validation_may_measure_something_else_than_training_minimises():
    def absolute_error(module, batch, generator):
        return (batch["x"] - module.value).abs().mean()

    stage = GradientStage(Mean(), squared_error, Optimization(), validation=absolute_error)
    batch = {"x": torch.full((4, 1), 3.0)}
    assert stage.validation_loss(batch, torch.Generator()).item() == pytest.approx(3)
    assert stage.training_step(batch, step_context(stage.optimizers()))["loss"].item() == pytest.approx(9, abs=2)
    plain = GradientStage(Mean(), absolute_error, Optimization())
    assert plain.validation_loss(batch, torch.Generator()).item() == pytest.approx(3)


# The moving average


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 2), nn.BatchNorm1d(2)

    def forward(self, x):
        return self.norm(self.linear(x))


@pytest.mark.parametrize(("halflife", "rampup"), [(50.0, 0.05), (50.0, 100.0), (1e9, 0.3)])
def test_the_average_is_that_of_a_loop_by_hand_and_copies_buffers(halflife, rampup):
    torch.manual_seed(0)
    module, ema = Normed(), EMA(halflife, rampup)
    average = Normed()
    average.load_state_dict(module.state_dict())
    by_hand = {name: value.detach().double() for name, value in module.named_parameters()}
    seen = 0
    for batch in (8, 8, 2, 64, 8, 8):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.randn_like(parameter))
        module(torch.randn(batch, 3))
        seen += batch
        ema.update(average, module, batch, seen)
        kept = 0.5 ** (batch / max(1.0, min(halflife, rampup * seen)))
        for name, value in module.named_parameters():
            by_hand[name] = kept * by_hand[name] + (1 - kept) * value.detach().double()
    for name, value in average.named_parameters():
        torch.testing.assert_close(value.double(), by_hand[name], rtol=1e-5, atol=1e-5)
    assert average.norm.num_batches_tracked == 6
    for (name, kept), (_, buffer) in zip(average.named_buffers(), module.named_buffers(), strict=True):
        assert torch.equal(kept, buffer), name


@pytest.mark.parametrize("batch", [1, 10, 100])
def test_after_a_halflife_of_examples_half_of_the_past_is_left_at_any_batch_size(batch):
    module, average = Mean(1.0), Mean(0.0)
    for step in range(100 // batch):
        EMA(halflife=100, rampup=1e9).update(average, module, batch, seen=(step + 1) * batch)
    assert average.value.item() == pytest.approx(0.5, abs=1e-5)


def test_the_average_of_a_short_run_forgets_its_beginning():
    module, average = Mean(1.0), Mean(0.0)
    for step in range(100):
        EMA(halflife=1e9, rampup=0.05).update(average, module, 1, seen=step + 1)
    assert average.value.item() > 0.99


def test_training_averages_by_the_examples_that_it_has_seen(tmp_path):
    values = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            values.append(pl_module.stages[0].module.value.item())

    model = one_stage(ema=EMA(halflife=1e9, rampup=0.5))
    fit(model, tmp_path, budget=160, callbacks=[Watch()])
    by_hand = 0.0
    for step, value in enumerate(values):
        kept = 0.5 ** (16 / (0.5 * 16 * (step + 1)))
        by_hand = kept * by_hand + (1 - kept) * value
    assert len(values) == 10
    assert model.stages[0].average.value.item() == pytest.approx(by_hand, rel=1e-4)


# Sampling


@pytest.fixture
def sampler():
    torch.manual_seed(0)
    return one_stage(start=5.0).eval()


@pytest.mark.parametrize("cuts", [10, 7, 40, 1])
def test_samples_are_the_same_at_once_and_in_parts(sampler, cuts):
    n = 43
    whole = sampler.sample(n, seed=3)["x"]
    ends = [round(n * i / cuts) for i in range(cuts + 1)]
    parts = [sampler.sample(b - a, seed=3, start=a)["x"] for a, b in pairwise(ends) if b > a]
    assert torch.cat(parts).numpy().tobytes() == whole.numpy().tobytes()
    assert len(whole.unique()) == n
    assert whole.mean() == pytest.approx(5, abs=0.5)


def test_samples_may_be_taken_in_any_order_and_alone(sampler):
    whole = sampler.sample(30, seed=3)["x"]
    for i in (29, 8, 0, 7, 16):
        assert torch.equal(sampler.sample(1, seed=3, start=i)["x"], whole[i : i + 1])


def test_another_seed_names_another_sequence_and_torchs_own_has_no_say(sampler):
    torch.manual_seed(1)
    first = sampler.sample(20, seed=3)["x"]
    torch.manual_seed(2)
    assert torch.equal(first, sampler.sample(20, seed=3)["x"])
    other = sampler.sample(20, seed=4)["x"]
    assert not (first == other).any()
    later = sampler.sample(20, seed=3, start=8)["x"]
    assert not torch.equal(first, later)


@pytest.mark.parametrize("start", [0, 5, 8, 21])
@pytest.mark.parametrize("n", [1, 7, 8, 30])
def test_every_row_of_a_condition_goes_to_its_own_sample(sampler, start, n):
    around = 1000 * torch.arange(n, dtype=torch.float32)[:, None]
    free = sampler.sample(n, seed=3, start=start)["x"] - 5
    drawn = sampler.sample(n, {"around": around}, seed=3, start=start)["x"]
    torch.testing.assert_close(drawn, around + free, atol=0.01, rtol=1e-5)


def test_options_reach_the_method_and_progress_counts_samples(sampler):
    counts = []
    plain = sampler.sample(21, seed=3, start=5, progress=counts.append)["x"]
    assert counts == [3, 8, 8, 2]
    torch.testing.assert_close(sampler.sample(21, seed=3, start=5, shift=10.0)["x"], plain + 10)


def test_bf16_pays_only_where_the_device_has_instructions_for_it():
    assert bf16_pays(torch.device("cpu")) in (True, False)
    assert not bf16_pays(torch.device("meta"))


# What a checkpoint folder keeps


def test_trained_state_is_what_sampling_uses_and_loads_into_module_and_average():
    model = Tiny([gradient_stage(ema=averaged()), gradient_stage()])
    with torch.no_grad():
        model.stages[0].module.value.fill_(1.0)
        model.stages[0].average.value.fill_(2.0)
        model.stages[1].module.value.fill_(3.0)
    state = model.trained_state()
    assert {name: value.item() for name, value in state.items()} == {"stage0.value": 2, "stage1.value": 3}
    again = Tiny([gradient_stage(ema=averaged()), gradient_stage()])
    again.load_trained_state(state)
    assert [again.stages[0].module.value, again.stages[0].average.value, again.stages[1].module.value] == [2, 2, 3]


def test_a_trained_state_of_another_model_is_refused():
    for state in ({}, {"stage0.value": torch.zeros(2)}, {"stage0.other": torch.zeros(1)}):
        with pytest.raises(RuntimeError):
            one_stage().load_trained_state(state)


# Stages


@pytest.mark.parametrize(
    ("shares", "budget", "spans"),
    [
        ((1, 1), 100, [(0, 50), (50, 100)]),
        ((1, 3), 100, [(0, 25), (25, 100)]),
        ((0.2, 0.2, 0.6), 10, [(0, 2), (2, 4), (4, 10)]),
        ((1, 1, 1), 100, [(0, 33), (33, 67), (67, 100)]),
    ],
)
def test_stages_share_the_budget_without_gap(shares, budget, spans):
    model = Tiny([gradient_stage(share=share) for share in shares])
    model.budget = budget
    assert [model.stage_span(i) for i in range(len(shares))] == spans
    for index, (begin, end) in enumerate(spans):
        for seen in (begin, end - 1):
            model.samples_seen = seen
            assert model.stage is model.stages[index]
    model.samples_seen = budget + 7
    assert model.stage is model.stages[-1]


def test_while_the_budget_is_not_fixed_the_first_stage_learns():
    model = Tiny([gradient_stage(), gradient_stage()])
    model.samples_seen = 10**9
    assert model.stage is model.stages[0]
    assert model.stage_span(0) == (0, None)
    with pytest.raises(RuntimeError, match="must be fixed before the second begins"):
        model.stage_span(1)


class Follow(Callback):
    """Notes what every stage's module holds after every batch."""

    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.values.append([stage.trained.state_dict() for stage in pl_module.stages])
        self.values[-1] = [{name: value.clone() for name, value in state.items()} for state in self.values[-1]]


def test_one_gradient_stage_learns_and_counts_examples(tmp_path):
    model = one_stage()
    fitted = fit(model, tmp_path, budget=2000, data=Numbers(batch_size=32))
    assert model.samples_seen == fitted.samples_seen == 2016, "the first whole number of batches that holds the budget"
    assert (fitted.budget, fitted.interrupted) == (2000, False)
    contexts = model.stages[0].contexts
    assert [(c.seen, c.total, c.examples) for c in contexts] == [(32 * i, 2000, 32) for i in range(63)]
    assert model.stages[0].module.value.item() == pytest.approx(0.02 * 63, rel=0.1), "Adam's steps are of size lr"


def test_a_gan_is_one_stage_with_two_optimizers(tmp_path):
    model = Tiny([AdversarialStage()])
    follow = Follow()
    fitted = fit(model, tmp_path, budget=1600, callbacks=[follow])
    assert fitted.samples_seen == 1600, "examples, not steps of either optimizer"
    assert len(follow.values) == 100
    critic, generator = model.stages[0].critic.value.item(), model.stages[0].generator.value.item()
    assert abs(critic) > 0
    assert generator == pytest.approx(3, abs=0.5)
    assert model.stages[0].trained is model.stages[0].generator


def test_the_second_gradient_stage_begins_where_the_first_one_ends(tmp_path):
    model, follow = Tiny([gradient_stage(), gradient_stage()]), Follow()
    fit(model, tmp_path, budget=320, callbacks=[follow])
    first, second = ([states[i]["value"] for states in follow.values] for i in range(2))
    assert len(first) == 20
    assert all(torch.equal(value, torch.zeros(1)) for value in second[:10])
    assert all(torch.equal(value, first[9]) for value in first[10:])
    assert len({value.item() for value in first[:10]}) == len({value.item() for value in second[10:]}) == 10
    for stage in model.stages:
        assert [(c.seen, c.total) for c in stage.contexts] == [(16 * i, 160) for i in range(10)]
        assert len(stage.contexts[0].optimizers) == 1


def test_what_a_stage_adds_to_the_resident_data_is_in_its_batches_and_made_once(tmp_path):
    made, seen = [], []

    def doubled(data):
        made.append(len(data["x"]))
        return {"doubled": 2 * data["x"]}

    def loss(module, batch, generator):
        seen.append(torch.equal(batch["doubled"], 2 * batch["x"]))
        return squared_error(module, batch, generator)

    def two_stages():
        return Tiny([gradient_stage(), GradientStage(Mean(), loss, STEADY, resident=doubled)])

    fit(two_stages(), tmp_path / "whole", budget=160)
    assert (made, seen) == ([200], [True] * 5)
    fit(two_stages(), tmp_path / "parts", budget=160, callbacks=[Stop(112)])
    fit(two_stages(), tmp_path / "parts", budget=160)
    assert (made, seen) == ([200] * 3, [True] * 10), "a run that goes on makes it again"


def test_shares_are_met_to_the_batch(tmp_path):
    model = Tiny([gradient_stage(share=1), gradient_stage(share=3)])
    fit(model, tmp_path, budget=1000)
    assert [len(stage.contexts) for stage in model.stages] == [16, 47]  # ceil(250 / 16), and the rest of ceil(1000/16)


def test_a_closed_form_alone_is_fitted_to_all_data_and_ends_at_once(tmp_path):
    model, data = Tiny([closed_form_stage()]), Numbers()
    fitted = fit(model, tmp_path, budget=10**9, data=data)
    assert fitted.samples_seen == 0
    torch.testing.assert_close(model.stages[0].trained.value.data, data.train.mean(dim=0))
    assert (tmp_path / "last.ckpt").is_file()


def test_a_closed_form_alone_needs_no_time(tmp_path):
    model = Tiny([closed_form_stage()])
    fitted = fit(model, tmp_path, max_time=3600.0, data=Numbers(validation=50))
    assert (fitted.samples_seen, fitted.interrupted) == (0, False)
    assert model.stages[0].trained.value.item() == pytest.approx(3, abs=0.3)


def test_a_closed_form_after_a_gradient_stage_is_fitted_once_that_has_ended(tmp_path):
    model, data, follow = Tiny([gradient_stage(), closed_form_stage()]), Numbers(), Follow()
    fitted = fit(model, tmp_path, budget=100, data=data, callbacks=[follow])
    assert fitted.samples_seen == 112
    assert len(model.stages[0].contexts) == 7
    assert all(states[1]["value"] == 0 for states in follow.values)
    torch.testing.assert_close(model.stages[1].trained.value.data, data.train.mean(dim=0))


@pytest.mark.parametrize("max_time", [None, 0.3])
def test_a_closed_form_before_a_gradient_stage_is_fitted_first(tmp_path, max_time):
    model, data, follow = Tiny([closed_form_stage(), gradient_stage(loss=slow_squared_error)]), Numbers(), Follow()
    fit(model, tmp_path, budget=64, data=data, max_time=max_time, callbacks=[follow])
    for states in follow.values:
        torch.testing.assert_close(states[0]["value"], data.train.mean(dim=0))
    assert [c.seen for c in model.stages[1].contexts] == [16 * i for i in range(len(follow.values))]
    assert len(follow.values) >= (4 if max_time is None else 1)


def test_a_stage_between_two_others_may_be_a_closed_form(tmp_path):
    model, follow = Tiny([gradient_stage(), closed_form_stage(), gradient_stage()]), Follow()
    fit(model, tmp_path, budget=128, callbacks=[follow])
    assert [len(model.stages[i].contexts) for i in (0, 2)] == [4, 4]
    assert [states[1]["value"].item() != 0 for states in follow.values] == [False] * 4 + [True] * 4


# The best weights


def leaves_the_data(module, batch, generator):
    """Falls as the value leaves the data: every validation is worse than the one before."""
    sign = -1 if module.training else 1
    return sign * (batch["x"] - module.value).square().mean()


def test_the_weights_with_the_lowest_validation_loss_are_left_in_the_model(tmp_path):
    model, follow = one_stage(loss=leaves_the_data, start=2.0, ema=averaged()), Follow()
    fitted = fit(model, tmp_path, data=Numbers(validation=60), validate_every=64, callbacks=[follow])
    average = follow.values[3][0]["value"]
    assert torch.equal(model.stages[0].trained.value, average), "those of the first validation, after 4 batches"
    held = Numbers(validation=60).validation
    assert fitted.best == pytest.approx((held - average).square().mean().item(), rel=1e-5)
    assert fitted.samples_seen == 320


def test_the_last_weights_are_validated_too(tmp_path):
    model, follow = one_stage(ema=averaged()), Follow()
    fit(model, tmp_path, budget=320, data=Numbers(validation=60), validate_every=10**9, callbacks=[follow])
    assert (tmp_path / "best-320.ckpt").is_file()
    assert torch.equal(model.stages[0].trained.value, follow.values[-1][0]["value"])


def test_without_validation_data_the_last_weights_are_left(tmp_path):
    model, follow = one_stage(), Follow()
    fitted = fit(model, tmp_path, validate_every=64, callbacks=[follow])
    assert fitted.best is None
    assert torch.equal(model.stages[0].trained.value, follow.values[-1][0]["value"])


def test_a_low_loss_of_the_first_stage_does_not_leave_the_second_untrained(tmp_path):
    model, follow = Tiny([gradient_stage(start=3.0), gradient_stage()]), Follow()
    fit(model, tmp_path, data=Numbers(validation=60), validate_every=64, callbacks=[follow])
    assert torch.equal(model.stages[1].trained.value, follow.values[-1][1]["value"])
    assert model.stages[1].trained.value != 0


def test_a_closed_form_is_kept_however_low_a_loss_before_it_was(tmp_path):
    model = Tiny([gradient_stage(loss=leaves_the_data, start=2.0, ema=averaged()), closed_form_stage()])
    data = Numbers(validation=60)
    fit(model, tmp_path, data=data, validate_every=64)
    torch.testing.assert_close(model.stages[1].trained.value.data, data.train.mean(dim=0))


# Reproducibility


def trained(folder, seed=0, stages=None, **options):
    model = Tiny(stages) if stages else one_stage(ema=averaged())
    model.seed = seed
    fit(model, folder, **options)
    return weights(model)


def test_the_same_seed_and_data_give_the_same_bytes_whatever_else_draws(tmp_path):
    torch.manual_seed(1)
    first = trained(tmp_path / "a")
    torch.manual_seed(2)
    assert same(first, trained(tmp_path / "b"))
    assert not same(first, trained(tmp_path / "c", seed=1))
    assert not same(first, trained(tmp_path / "d", data=Numbers(seed=1)))


def test_validating_changes_nothing_that_is_learned(tmp_path):
    seldom, often = Follow(), Follow()
    for follow, every in ((seldom, 10**9), (often, 16)):
        data = Numbers(validation=60)
        trained(tmp_path / str(every), data=data, validate_every=every, callbacks=[follow])
    for one, other in zip(seldom.values, often.values, strict=True):
        assert torch.equal(one[0]["value"], other[0]["value"])


def test_validation_noise_is_the_same_every_time(tmp_path):
    losses = []

    class Watch(Callback):
        def on_validation_end(self, trainer, pl_module):
            losses.append(trainer.callback_metrics["val/loss"].item())

    data = Numbers(validation=60)
    model = one_stage(optimization=Optimization(lr=0.0))
    fit(model, tmp_path, data=data, validate_every=32, callbacks=[Watch()])
    assert len(losses) == 10
    assert len(set(losses)) == 1
    clean = data.validation.square().mean().item()
    assert losses[0] == pytest.approx(clean, rel=0.1)
    assert losses[0] != clean, "the loss draws noise"
