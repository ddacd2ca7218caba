"""A model that hands out its training examples is caught, a sound one is not, and repeated looks do not add up."""

import numpy as np
import pytest
import torch

from synthgen.callbacks import memorisation
from synthgen.callbacks.evaluation import Evaluation
from synthgen.callbacks.look import Drawn, Real
from synthgen.callbacks.memorisation import MemorisationWatch
from synthgen.configuration import compose
from synthgen.errors import SynthgenError
from synthgen.models.base import Model
from synthgen.run import load_data
from tests.callbacks.runs import train
from tests.tiny import gradient_stage

DATA = {"image": ["data=digits", "model=image/vae"], "table": ["data=randhie", "data.limit=12000"]}


@pytest.fixture(scope="module", params=DATA)
def data(request):
    return load_data(compose("train", DATA[request.param]))


def seen_by(watch, data, part, seen=1000, last=False):
    encoded = data.tensors(part)
    real = Real(data, 500)
    watch.prepare(real, None)
    return watch.look(Drawn(real, None, encoded, data.codec.decode(encoded), seen, last))


def rows(part, chosen):
    return part.iloc[chosen] if hasattr(part, "iloc") else part[chosen]


def mixed(data, copies, n=500):
    """What a sound generator would draw, which real examples that nobody has seen stand for, and some copies."""
    random = np.random.default_rng(0)
    fresh = random.integers(0, len(data.holdout), n - copies)
    learned = random.integers(0, len(data.train), copies)
    parts = [data.tensors(rows(data.holdout, fresh)), data.tensors(rows(data.train, learned))]
    encoded = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return data.codec.decode(encoded)


@pytest.mark.parametrize("copies", [500, 250])
def test_copies_are_caught(data, copies):
    found = seen_by(MemorisationWatch(), data, mixed(data, copies))
    assert "closer to training than to validation" in found.alarm
    assert found.figures["memorisation_p"] < 0.005
    if not hasattr(data, "entities"):  # one row in ten of a person's is looked at
        assert found.figures["copied"] > 3 * found.figures["copied_real"]


def test_fresh_examples_are_not(data):
    watch = MemorisationWatch()
    for look in range(10):
        found = seen_by(watch, data, mixed(data, 0), seen=1000 * 2**look, last=look == 9)
        assert found.alarm is None
        assert set(found.figures) == set(watch.names)
    assert watch.tests == 10


def test_rows_of_one_person_are_one_witness():
    """Persons of the holdout share no rows with training, but each has several that are alike."""
    data = load_data(compose("train", DATA["table"]))
    sound = mixed(data, 0, n=2000)
    assert seen_by(MemorisationWatch(), data, sound).alarm is None
    known = Real(data, 500)
    for part in (data.train, data.validation):
        chosen = memorisation._independent(known, part)
        assert data.entities[chosen.index].is_unique
        assert set(data.entities[chosen.index]) == set(data.entities[part.index])


def test_a_model_that_hands_out_training_rows_is_stopped(tmp_path):
    class Copier(Model):
        block_size = 256

        def sample_block(self, size, condition, generator, **_):
            # By heart.
            known = self.trainer.train_dataloader.tensors
            chosen = torch.randint(len(known["image"]), (size,), generator=generator)
            return {name: tensor[chosen] for name, tensor in known.items()}

    model = Copier([gradient_stage(loss=lambda module, batch, generator: module.value.square().mean())])
    watch = MemorisationWatch("stop")
    looks = Evaluation(every=128, samples=256, share=None, looks={"memorisation": watch})
    with pytest.warns(UserWarning, match="closer to training than to validation .* at 128 examples: training stops"):
        _, ended = train("image/vae", tmp_path, [looks], model=model)
    assert ended.samples_seen == 128
    assert watch.alarmed


def test_a_model_that_has_learned_little_is_not(tmp_path, recwarn):
    watch = MemorisationWatch("stop")
    looks = Evaluation(every=128, samples=128, share=None, looks={"memorisation": watch})
    _, ended = train("image/vae", tmp_path, [looks])
    assert ended.samples_seen == 12 * 64
    assert watch.tests > 3
    assert not [warning for warning in recwarn if "closer to training" in str(warning.message)]


def test_repeated_looks_do_not_add_up(monkeypatch):
    """Forty looks at nothing: each alone would be significant at 0.05 in every twentieth run."""
    random = np.random.default_rng(0)
    found = {"copied": 0.0, "copied_real": 0.01, "memorisation_ratio": 1.0}
    monkeypatch.setattr(memorisation, "_closeness", lambda *_: ({**found, "memorisation_p": random.random()}, True))

    flagged = 0
    for _ in range(1000):
        watch = MemorisationWatch(level=0.05)
        watch.names = ("memorisation_p",)
        seen = [2.0**look for look in range(40)]
        flagged += any(watch.look(Drawn(None, None, {}, None, at, False)).alarm for at in seen)
    assert 25 <= flagged <= 65  # 1 − Π (1 − 0.05 / (k (k + 1))) = 0.049, and three standard deviations


def test_it_tests_only_where_enough_has_been_learned_since(monkeypatch):
    watch = MemorisationWatch()
    watch.names = ("memorisation_p",)
    found = {"copied": 0.0, "copied_real": 0.01, "memorisation_ratio": 1.0, "memorisation_p": 1.0}
    monkeypatch.setattr(memorisation, "_closeness", lambda *_: (found, True))
    tests = []
    for seen in range(100, 1100, 100):
        watch.look(Drawn(None, None, {}, None, seen, seen == 1000))
        tests.append(watch.tests)
    assert tests == [1, 2, 3, 4, 5, 5, 6, 6, 7, 8]
    again = MemorisationWatch()
    again.load_state_dict(watch.state_dict())
    assert (again.tests, again._tested, again.alarmed) == (8, 1000, False)


def test_without_validation_there_is_nothing_to_find(data):
    held, data.validation = data.validation, None
    try:
        watch = MemorisationWatch()
        assert seen_by(watch, data, data.train).figures == {}
        assert watch.names == ()
    finally:
        data.validation = held


def test_what_cannot_be_is_refused():
    with pytest.raises(SynthgenError, match=r"memorisation\.policy: found 'stopp': did you mean 'stop'"):
        MemorisationWatch("stopp")
    with pytest.raises(SynthgenError, match="level"):
        MemorisationWatch(level=1.5)
