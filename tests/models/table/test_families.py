"""What every model of tables can do, whatever its method."""

import numpy as np
import pandas as pd
import pytest
import torch

import synthgen

MODELS = {
    "table/argn": ["network.width=32", "network.depth=1"],
    "table/copula": [],
    "table/ctgan": ["network.widths=[32,32]", "model.latent=8"],
    "table/tabdiff": ["network.width=32", "network.depth=1", "model.steps=4"],
    "table/tabsyn": [
        *("network.autoencoder.width=16", "network.autoencoder.depth=1"),
        *("network.denoiser.width=32", "network.denoiser.depth=1", "model.steps=4"),
    ],
    "table/tvae": ["network.widths=[32,32]", "model.latent=8"],
}
QUIET = ["callbacks=none", "trainer=cpu"]


def fit(frame, model, max_samples=2000, batch_size=100, more=(), **options):
    overrides = [*MODELS[model], *QUIET, *more]
    return synthgen.fit(frame, model, max_samples=max_samples, batch_size=batch_size, overrides=overrides, **options)


def tables():
    random = np.random.default_rng(0)
    yield "one column of words", pd.DataFrame({"a": random.choice(["x", "y", "z"], 300)})
    yield "one column of numbers", pd.DataFrame({"a": random.normal(size=300)})
    yield "five rows", pd.DataFrame({"a": [1.5, 2.5, None, 4.0, 5.0], "b": ["u", "v", "u", None, "v"]})
    wide = {f"n{i}": random.normal(size=120) for i in range(100)}
    wide |= {f"c{i}": random.choice(["p", "q"], 120) for i in range(100)}
    yield "200 columns", pd.DataFrame(wide)
    words = [f"w{i}" for i in range(1000)]
    yield "a category of 1,000 values", pd.DataFrame({"a": words * 3, "b": random.normal(size=3000)})


@pytest.mark.parametrize(("kind", "frame"), [pytest.param(*case, id=case[0]) for case in tables()])
@pytest.mark.parametrize("model", MODELS)
def test_tables_of_any_shape_train_and_come_back(model, kind, frame):
    fake = fit(frame, model, max_samples=400).sample(50)
    assert list(fake.columns) == list(frame.columns)
    assert (fake.dtypes == frame.dtypes).all()
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            assert set(fake[name].dropna()) <= set(frame[name].dropna())
        else:
            assert fake[name].dropna().between(frame[name].min(), frame[name].max()).all()


@pytest.fixture(scope="module", params=MODELS)
def fitted(request, people):
    return request.param, fit(people, request.param, target="income")


def test_saved_and_loaded_it_samples_the_same(fitted, tmp_path):
    _, synthesizer = fitted
    loaded = synthgen.load(synthesizer.save(tmp_path / "saved"))
    pd.testing.assert_frame_equal(loaded.sample(300, seed=4), synthesizer.sample(300, seed=4))


def test_rows_are_the_same_at_once_or_in_parts(fitted):
    _, synthesizer = fitted
    parts = [synthesizer.sample(25, seed=2, start=start) for start in range(0, 100, 25)]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), synthesizer.sample(100, seed=2))


def test_conditions_are_met(fitted):
    _, synthesizer = fitted
    fake = synthesizer.sample(40, condition={"income": ">50K"})
    assert (fake["income"] == ">50K").all()
    assert synthesizer.sample(20, condition={"member": True})["member"].all()


def test_missing_cells_can_be_asked_for_and_are_as_frequent_as_they_were(fitted, people):
    model, synthesizer = fitted
    assert synthesizer.sample(20, condition={"town": synthgen.MISSING})["town"].isna().all()
    if model == "table/copula":  # the others have hardly trained
        assert synthesizer.sample(4000)["town"].isna().mean() == pytest.approx(people["town"].isna().mean(), abs=0.02)


def test_two_runs_with_one_seed_are_the_same_run(fitted, people):
    model, synthesizer = fitted
    pd.testing.assert_frame_equal(fit(people, model, target="income").sample(100), synthesizer.sample(100))


@pytest.mark.parametrize("model", [m for m in MODELS if m != "table/copula"])
def test_eight_rows_are_learned_by_heart(model):
    """Eight rows of three words each: all of a row or none of it, which independent columns would not give."""
    random = np.random.default_rng(3)
    rows = pd.DataFrame({name: random.permutation(list("abcdefgh")) for name in ("one", "two", "three")})
    more = {
        "table/argn": ["network.width=64", "network.dropout=0"],
        "table/ctgan": ["model.dropout=0", "network.widths=[64,64]"],
        "table/tabdiff": ["network.width=64", "network.dropout=0", "model.optimization.weight_decay=0"],
        "table/tabsyn": [
            *("network.autoencoder.width=32", "network.denoiser.width=64", "model.steps=10", "model.share=0.5"),
            *("model.autoencoder_optimization.lr=5e-3", "model.autoencoder_optimization.warmup=0"),
        ],
        "table/tvae": ["network.widths=[64,64]", "model.beta=0.2", "model.latent=4"],
    }[model]
    if model == "table/ctgan":
        more += [f"model.{side}_optimization.lr=2e-3" for side in ("generator", "discriminator")]
    else:
        more += ["model.optimization.lr=5e-3", "model.optimization.warmup=0"]
    repeated = pd.concat([rows] * 10, ignore_index=True)
    fake = fit(repeated, model, max_samples=60_000, more=more).sample(1000)
    known = fake.merge(rows, how="inner")
    assert len(known) / len(fake) > 0.8
    assert len(known.drop_duplicates()) == 8


@pytest.mark.parametrize("model", MODELS)
def test_bf16_and_fp32_both_train(model, people):
    for precision in ("bf16-mixed", "32-true"):
        synthesizer = fit(people, model, max_samples=400, more=[f"trainer.precision={precision}"])
        assert all(torch.isfinite(value.float()).all() for value in synthesizer.model.trained_state().values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("model", MODELS)
def test_it_trains_and_samples_on_a_gpu(model, people):
    overrides = [*MODELS[model], "callbacks=none", "trainer=gpu"]
    synthesizer = synthgen.fit(people, model, max_samples=2000, batch_size=100, overrides=overrides)
    assert len(synthesizer.to("cuda").sample(100, condition={"member": True})) == 100
