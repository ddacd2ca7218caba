"""A generator that repeats itself by construction is caught, real examples are not."""

import numpy as np
import pandas as pd
import pytest
import torch

from synthgen.callbacks.collapse import CollapseMonitor, _mean_distance
from synthgen.callbacks.evaluation import Evaluation
from synthgen.callbacks.look import Drawn, Real
from synthgen.errors import SynthgenError
from synthgen.synthesizer import Synthesizer
from tests.callbacks.runs import config_of, data_for, train

GANS = ["image/dcgan", "table/ctgan"]


@pytest.fixture(scope="module", params=GANS)
def made(request):
    data = data_for(request.param)
    return data, Synthesizer.build(config_of(request.param)["model"], data).model


def look(monitor, data, model, part, seen=1, score=None):
    """What the monitor finds in real examples that stand for samples."""
    model.stages[-1].score = score
    real = Real(data, 150)
    monitor.prepare(real, model)
    encoded = data.tensors(part)
    return monitor.look(Drawn(real, model, encoded, data.codec.decode(encoded), seen, False))


def rows(part, chosen):
    return part.iloc[chosen] if isinstance(part, pd.DataFrame) else part[np.asarray(chosen)]


def one_of_each(part):
    """One example again and again; of images, one of each class."""
    if isinstance(part, pd.DataFrame):
        return part.iloc[[0] * 150]
    first = [int(np.flatnonzero(part.labels == label)[0]) for label in np.unique(part.labels)]
    return part[np.array(first * 15)]


def test_real_examples_are_as_diverse_as_real_examples(made):
    data, model = made
    monitor = CollapseMonitor()
    for _ in range(3):
        found = look(monitor, data, model, rows(data.holdout, range(150)))
        assert found.alarm is None
    assert 0.85 < found.figures["diversity"] < 1.15
    for name in ("distinct_rows", "category_coverage"):
        assert 0.8 < found.figures.get(name, 1) < 1.2
    assert found.figures.get("coverage", 1) > 0.7


def test_a_repeated_example_is_a_collapse(made):
    data, model = made
    monitor = CollapseMonitor()
    assert look(monitor, data, model, rows(data.holdout, range(150))).alarm is None
    assert look(monitor, data, model, one_of_each(data.holdout)).alarm is None  # once may be chance
    found = look(monitor, data, model, one_of_each(data.holdout))
    assert "repeats itself (diversity 0.00" in found.alarm
    assert look(monitor, data, model, one_of_each(data.holdout)).alarm is None  # it has been said


def test_a_lost_mode_is_seen_beside_the_best_of_the_run(made):
    data, model = made
    if isinstance(data.train, pd.DataFrame):
        pytest.skip("coverage is of images")
    monitor = CollapseMonitor()
    look(monitor, data, model, rows(data.holdout, range(150)))
    ones = np.resize(np.flatnonzero(data.holdout.labels == 1), 150)
    look(monitor, data, model, data.holdout[ones])
    assert "coverage" in look(monitor, data, model, data.holdout[ones]).alarm


def test_a_discriminator_that_knows_training_examples_by_heart_is_seen(made):
    data, model = made
    name = "categorical" if isinstance(data.train, pd.DataFrame) else "image"
    known = {row.tobytes() for row in data.tensors(data.train)[name].numpy()}

    def by_heart(discriminator, batch, generator):
        return torch.tensor([float(row.tobytes() in known) for row in batch[name].numpy()])

    def by_content(discriminator, batch, generator):
        # Nearly 0 in samples, which are one example here, and no different in training and validation examples.
        first = batch[name].double().flatten(1)
        return (first - first[0]).square().sum(1)

    samples = rows(data.holdout, [0] * 150)
    monitor = CollapseMonitor()
    for _ in range(2):
        found = look(monitor, data, model, samples, score=by_heart)
    if isinstance(data.train, pd.DataFrame):  # rows of different persons may be the same, and 30 persons are few
        assert found.figures["discriminator_overfitting"] > 0.3
        return
    assert found.figures["discriminator_overfitting"] == 1
    assert "r_v = 1.00" in found.note
    assert abs(look(monitor, data, model, samples, score=by_content).figures["discriminator_overfitting"]) < 0.3


def collapsed(model):
    """The same model, whose generator is deaf to its noise."""

    def deaf(module, arguments):
        first, *others = arguments
        return (torch.zeros_like(first), *others)

    stage = model.stages[-1]
    for network in (stage.generator, stage.average):
        (network.network if hasattr(network, "network") else network).register_forward_pre_hook(deaf)
    return model


def test_a_gan_whose_generator_collapses_is_stopped(tmp_path):
    model = collapsed(Synthesizer.build(config_of("image/dcgan")["model"], data_for("image/dcgan")).model)
    looks = Evaluation(every=128, samples=128, share=None, looks={"collapse": CollapseMonitor("stop")})
    with pytest.warns(UserWarning, match=r"repeats itself .* at 256 examples: training stops"):
        _, ended = train("image/dcgan", tmp_path, [looks], model=model)
    assert ended.samples_seen == 256


@pytest.mark.parametrize("family", GANS)
def test_real_discriminators_score_examples_and_samples(family, tmp_path):
    monitor = CollapseMonitor()
    looks = Evaluation(every=256, samples=64, share=None, looks={"collapse": monitor})
    train(family, tmp_path, [looks], steps=4)
    assert "eval/discriminator_overfitting" in looks.names
    values = pd.read_csv(tmp_path / "metrics.csv")["eval/discriminator_overfitting"].dropna()
    assert len(values)
    assert values.between(-1, 1).all()


def test_other_models_have_nothing_to_collapse(tmp_path):
    looks = Evaluation(every=256, samples=64, share=None, looks={"collapse": CollapseMonitor()})
    train("image/vae", tmp_path, [looks], steps=4)
    assert looks.names == ()


def test_it_goes_on_counting():
    monitor, again = CollapseMonitor(), CollapseMonitor()
    monitor.low, monitor.high, monitor.best = 1, 0, 0.5
    again.load_state_dict(monitor.state_dict())
    assert (again.low, again.high, again.best) == (1, 0, 0.5)


@pytest.mark.parametrize("setting", [{"policy": "skip"}, {"least": 0.0}, {"most": 2.0}])
def test_what_cannot_be_is_refused(setting):
    with pytest.raises(SynthgenError, match="collapse"):
        CollapseMonitor(**setting)


def test_samples_of_which_no_two_are_of_one_class_say_nothing_of_diversity():
    assert np.isnan(_mean_distance(np.eye(5), np.arange(5)))
    assert _mean_distance(np.eye(5), np.zeros(5, int)) == pytest.approx(2**0.5)
