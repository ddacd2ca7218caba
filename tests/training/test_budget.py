import pytest
from pytorch_lightning import Callback

from synthgen.errors import SynthgenError
from synthgen.models.stages import Optimization
from synthgen.training.budget import parse_time
from tests.tiny import (
    Numbers,
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
    return one_stage(loss=loss, optimization=Optimization(0.02, warmup=100, cooldown=0.5, clip=1e9), ema=averaged())


@pytest.mark.parametrize(("budget", "batch", "seen"), [(320, 16, 320), (321, 16, 336), (1, 16, 16), (5, 1, 5)])
def test_a_budget_of_examples_ends_with_the_batch_that_spends_it(tmp_path, budget, batch, seen):
    fitted = fit(one_stage(), tmp_path, budget=budget, data=Numbers(batch_size=batch))
    assert (fitted.samples_seen, fitted.budget, fitted.interrupted) == (seen, budget, False)


def test_a_run_in_time_fixes_its_budget_ends_near_its_time_and_replays_by_it(tmp_path):
    """A step sleeps 5 ms, so that the true speed is known: at most 16 examples in 5 ms."""
    in_time = falling(slow_squared_error)
    fitted = fit(in_time, tmp_path / "time", budget=10**12, max_time=1.0)
    possible = 16 * 1.0 / 0.005
    assert 0.4 * possible < fitted.budget <= possible
    assert 0 <= fitted.samples_seen - fitted.budget < 16
    assert 0.7 < fitted.seconds < 1.6
    totals = [context.total for context in in_time.stages[0].contexts]
    fixed = totals.index(fitted.budget)
    assert set(totals[:fixed]) == {None}
    assert set(totals[fixed:]) == {fitted.budget}
    assert 0.15 < fixed / len(totals) < 0.45, "after about three tenths of the run"

    replayed = falling(squared_error)
    again = fit(replayed, tmp_path / "replay", budget=fitted.budget)
    assert again.samples_seen == fitted.samples_seen
    assert same(weights(replayed), weights(in_time))
    assert not same(weights(falling()), weights(in_time))


def test_time_wins_over_examples_and_counts_from_the_start(tmp_path):
    fitted = fit(falling(slow_squared_error), tmp_path, budget=16, max_time=0.2)
    assert fitted.samples_seen > 16
    assert fitted.seconds >= 0.15


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
    class Stop(Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            if pl_module.samples_seen >= 320:
                raise KeyboardInterrupt

    first = fit(falling(slow_squared_error), tmp_path, budget=640, callbacks=[Stop()])
    assert first.interrupted
    second = fit(falling(slow_squared_error), tmp_path, budget=640)
    assert second.samples_seen == 640
    assert second.seconds > first.seconds + 15 * 0.005


def test_stages_of_a_run_in_time_share_the_budget_once_it_is_fixed(tmp_path):
    model = Tiny([gradient_stage(loss=slow_squared_error), gradient_stage(loss=slow_squared_error)])
    fitted = fit(model, tmp_path, max_time=0.6)
    first, second = (len(stage.contexts) for stage in model.stages)
    assert 16 * (first + second) == fitted.samples_seen
    assert abs(first - second) <= 1


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
