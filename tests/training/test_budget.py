import signal

import pytest
from pytorch_lightning import Callback

from synthgen.errors import SynthgenError
from synthgen.models.stages import Optimization
from synthgen.training.budget import parse_time
from tests.tiny import (
    Numbers,
    Stop,
    Tiny,
    averaged,
    fit,
    gradient_stage,
    one_stage,
    same,
    slow_squared_error,
    squared_error,
    weights,
)


def falling(loss=squared_error):
    """A model whose learning rate follows the budget."""
    return one_stage(loss=loss, optimization=Optimization(0.02, warmup=100, cooldown=0.25, clip=1e9), ema=averaged())


@pytest.mark.parametrize(("budget", "batch", "seen"), [(320, 16, 320), (321, 16, 336), (1, 16, 16), (5, 1, 5)])
def test_a_budget_of_examples_ends_with_the_batch_that_spends_it(tmp_path, budget, batch, seen):
    fitted = fit(one_stage(), tmp_path, budget=budget, data=Numbers(batch_size=batch))
    assert (fitted.samples_seen, fitted.budget, fitted.interrupted) == (seen, budget, False)


def run_in_time(folder, make_model, good=lambda fitted, fixed: 0.2 < fixed < 0.5):
    """A run of one second, how it ended, and what was the budget at each step.

    A step sleeps 5 ms, so that the speed is known. A busy machine may stall, which no test can forbid: a run whose
    budget was fixed at another share of its steps than a `good` one is run again, five times at most.
    """
    for attempt in range(5):
        model = make_model()
        fitted = fit(model, folder / str(attempt), budget=1, max_time=1.0)
        totals = [context.total for stage in model.stages for context in stage.contexts]
        if good(fitted, totals.count(None) / len(totals)):
            return model, fitted, totals
    pytest.fail(f"{fitted}, of whose {len(totals)} steps {totals.count(None)} had no budget")
    return None


def test_a_run_in_time_fixes_its_budget_early_and_ends_near_its_time(tmp_path):
    possible = 16 / 0.005

    def good(fitted, fixed):
        return 0.5 * possible < fitted.budget and 0.8 < fitted.seconds < 1.25 and 0.2 < fixed < 0.4

    _, fitted, totals = run_in_time(tmp_path, lambda: falling(slow_squared_error), good)
    fixed = totals.index(fitted.budget)
    assert set(totals[:fixed]) == {None}
    assert set(totals[fixed:]) == {fitted.budget}
    assert fitted.budget <= possible
    assert 0 <= fitted.samples_seen - fitted.budget < 16


def test_a_run_in_time_is_replayed_by_its_budget(tmp_path):
    in_time, fitted, _ = run_in_time(tmp_path, lambda: falling(slow_squared_error))
    replayed, longer = falling(squared_error), falling(squared_error)
    again = fit(replayed, tmp_path / "replay", budget=fitted.budget)
    assert again.samples_seen == fitted.samples_seen
    assert same(weights(replayed), weights(in_time))
    fit(longer, tmp_path / "longer", budget=2 * fitted.budget)
    assert not same(weights(longer), weights(in_time))


def test_stages_of_a_run_in_time_share_the_budget_once_it_is_fixed(tmp_path):
    def two_stages():
        return Tiny([gradient_stage(loss=slow_squared_error, share=share) for share in (4, 1)])

    model, fitted, _ = run_in_time(tmp_path, two_stages)
    # Steps that were rehearsed had no budget, as the first ones of all.
    first, second = len(model.stages[0].contexts), sum(c.total is not None for c in model.stages[1].contexts)
    assert first == -(-round(0.8 * fitted.budget) // 16)
    assert 16 * (first + second) == fitted.samples_seen


def test_a_run_in_time_ends_near_it_though_its_stages_are_not_as_quick(tmp_path):
    def quick_then_slow():
        quick = gradient_stage(loss=squared_error, share=0.7)
        return Tiny([quick, gradient_stage(loss=slow_squared_error, share=0.3)])

    def good(fitted, _):
        return 0.7 < fitted.seconds < 1.3

    model, fitted, _ = run_in_time(tmp_path, quick_then_slow, good)
    again = quick_then_slow()
    fit(again, tmp_path / "replay", budget=fitted.budget)
    assert same(weights(again), weights(model)), "what was rehearsed was taken back"


def test_a_run_in_time_that_goes_on_keeps_the_budget_that_it_had_fixed(tmp_path):
    class StopOnceFixed(Callback):
        def on_train_batch_start(self, trainer, pl_module, *_):
            if pl_module.budget is not None:
                signal.raise_signal(signal.SIGINT)

    first = fit(falling(slow_squared_error), tmp_path, max_time=0.5, callbacks=[StopOnceFixed()])
    assert first.interrupted
    assert first.samples_seen < first.budget
    second = fit(falling(squared_error), tmp_path, max_time=0.5)
    assert second.budget == first.budget
    assert 0 <= second.samples_seen - first.budget < 16


def test_a_time_too_short_for_a_second_batch_still_ends(tmp_path):
    fitted = fit(falling(slow_squared_error), tmp_path, max_time=1e-6)
    assert fitted.samples_seen == fitted.budget == 16


def test_a_finished_run_learns_nothing_more(tmp_path):
    model = falling()
    first = fit(model, tmp_path, budget=160)
    again = falling()
    resumed = fit(again, tmp_path, budget=160)
    assert resumed.samples_seen == first.samples_seen == 160
    assert again.stages[0].contexts == []
    assert same(weights(again), weights(model))


def test_seconds_of_an_interrupted_run_go_on_counting(tmp_path):
    first = fit(falling(slow_squared_error), tmp_path, budget=640, callbacks=[Stop(320)])
    assert first.interrupted
    second = fit(falling(slow_squared_error), tmp_path, budget=640)
    assert second.samples_seen == 640
    assert second.seconds > first.seconds + 15 * 0.005


# Plateaus


def watching(patience=2, lr=0.05, **options):
    """A model whose loss falls at first and then no more, watched for that."""
    optimization = Optimization(lr, warmup=0, cooldown=0.25, clip=1e9, patience=patience)
    return one_stage(optimization=optimization, ema=averaged(), **options)


class Losses(Callback):
    """Notes examples seen and loss at every validation."""

    def __init__(self):
        self.seen = []

    def on_validation_end(self, trainer, pl_module):
        self.seen.append((pl_module.samples_seen, float(trainer.callback_metrics["val/loss"])))


@pytest.mark.parametrize("patience", [1, 3])
def test_where_the_loss_ceases_to_fall_the_cooldown_begins(tmp_path, patience):
    model, losses = watching(patience), Losses()
    options = {"data": Numbers(validation=60), "validate_every": 64, "callbacks": [losses]}
    fitted = fit(model, tmp_path, budget=10**6, **options)
    stale = next(
        i
        for i in range(patience, len(losses.seen))
        if min(loss for _, loss in losses.seen[: i + 1])
        not in [loss for _, loss in losses.seen[i - patience + 1 : i + 1]]
    )
    begun = losses.seen[stale][0]
    assert fitted.budget == round(begun / 0.75)
    assert fitted.budget <= fitted.samples_seen < fitted.budget + 16
    totals = [context.total for context in model.stages[0].contexts]
    assert totals.count(10**6) == begun / 16
    assert set(totals) == {10**6, fitted.budget}


def test_a_run_in_time_ends_at_its_plateau_too(tmp_path):
    fitted = fit(watching(1), tmp_path, max_time=60, data=Numbers(validation=60), validate_every=64)
    assert fitted.seconds < 30
    assert fitted.samples_seen < fitted.budget + 16


def test_a_budget_that_a_plateau_cut_stays_cut_when_the_run_goes_on(tmp_path):
    options = {"budget": 10**6, "data": Numbers(validation=60), "validate_every": 64}
    model = watching()
    whole = fit(model, tmp_path / "whole", **options)
    first = fit(watching(), tmp_path / "run", callbacks=[Stop(whole.budget - 64)], **options)
    assert first.interrupted
    resumed = watching()
    second = fit(resumed, tmp_path / "run", **options)
    assert (second.budget, second.samples_seen) == (whole.budget, whole.samples_seen)
    assert same(weights(resumed), weights(model))


def test_without_validation_a_plateau_is_taken_to_come_after_some_epochs(tmp_path):
    with pytest.warns(UserWarning, match="no rows are there to validate with .* after 1,600 examples"):
        fitted = fit(watching(), tmp_path / "rows", budget=10**6, data=Numbers(rows=200))
    assert (fitted.budget, fitted.interrupted) == (round(1600 / 0.75), False)
    with pytest.warns(UserWarning, match="after 320 examples"):  # 20 steps at least
        fitted = fit(watching(), tmp_path / "few", max_time=60, data=Numbers(rows=7))
    assert fitted.budget == round(320 / 0.75)
    assert fitted.seconds < 30


def test_without_validation_what_watches_for_no_plateau_or_ends_before_it_is_as_it_was(tmp_path, recwarn):
    assert fit(falling(), tmp_path / "none", budget=4000, data=Numbers(rows=200)).budget == 4000
    assert fit(watching(), tmp_path / "before", budget=800, data=Numbers(rows=200)).budget == 800
    assert not [warning for warning in recwarn if "validate" in str(warning.message)]


def test_no_plateau_cuts_what_has_begun_to_cool_down_or_a_stage_before_the_last(tmp_path):
    data = Numbers(validation=60)
    fitted = fit(watching(1), tmp_path / "cool", budget=320, data=data, validate_every=256)
    assert fitted.budget == 320
    first = gradient_stage(optimization=Optimization(0.05, warmup=0, clip=1e9, patience=1))
    model = Tiny([first, gradient_stage(share=0.25)])
    assert fit(model, tmp_path / "two", budget=6400, data=data, validate_every=64).budget == 6400


def test_without_a_word_it_validates_every_epoch_where_a_plateau_is_watched_for(tmp_path):
    losses = Losses()
    fit(watching(50), tmp_path / "watched", budget=1600, data=Numbers(rows=320, validation=60), callbacks=[losses])
    assert [seen for seen, _ in losses.seen] == [320, 640, 960, 1280, 1600]
    other = Losses()
    fit(falling(), tmp_path / "other", budget=1600, data=Numbers(rows=320, validation=60), callbacks=[other])
    assert [seen for seen, _ in other.seen] in ([], [1600])


# Times as people write them


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:02:00", 120),
        ("1:02:03", 3723),
        ("02:30", 150),
        ("90", 90),
        (90, 90),
        (0.5, 0.5),
        ("0:0:0.5", 0.5),
        ("100:00:00", 360_000),
        (None, None),
    ],
)
def test_times_are_hours_minutes_seconds_or_seconds(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["soon", "", "1:2:3:4", "-5", "1:-2:03", "1h", "00:02:00:", "nan", "inf", [1], True])
def test_anything_else_is_no_time(text):
    with pytest.raises(SynthgenError, match=r'max_time: found .*; expected "HH:MM:SS" or a number of seconds'):
        parse_time(text)


@pytest.mark.parametrize("text", ["0", 0, "00:00:00"])
def test_no_time_at_all_is_refused(text):
    with pytest.raises(SynthgenError, match=r"max_time: found .*; expected more than 0:00:00"):
        parse_time(text)
