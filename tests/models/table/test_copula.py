"""The copula on data from a copula whose correlation is known."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import multivariate_normal, norm

import synthgen
from synthgen.errors import SynthgenError
from synthgen.layout import TableLayout
from synthgen.models.table.copula import Copula, CopulaParameters, _truncated

CORRELATION = np.array(
    [
        [1.0, 0.6, -0.5, 0.3, 0.7],
        [0.6, 1.0, -0.3, 0.4, 0.5],
        [-0.5, -0.3, 1.0, -0.2, -0.6],
        [0.3, 0.4, -0.2, 1.0, 0.2],
        [0.7, 0.5, -0.6, 0.2, 1.0],
    ]
)
# Two continuous variables, then one of two, one of four uneven, and one of nine codes in order.
CUTS = ([0.8], [-1.5, 0.0, 0.4], list(norm.ppf(np.arange(1, 9) / 9)))
LAYOUT = TableLayout(2, (2, 4, 9), ordered=(2, 4, 9))


def drawn(rows=60_000, seed=0):
    normal = np.random.default_rng(seed).multivariate_normal(np.zeros(5), CORRELATION, rows)
    codes = np.stack([np.digitize(normal[:, 2 + j], cuts) for j, cuts in enumerate(CUTS)], axis=1)
    return {"numerical": torch.from_numpy(normal[:, :2]).float(), "categorical": torch.from_numpy(codes).int()}


@pytest.fixture(scope="module")
def fitted():
    model = Copula(LAYOUT)
    model.stages[0].fit(drawn())
    return model


def test_the_correlation_is_found_through_codes_of_any_number(fitted):
    found = fitted.stages[0].trained.correlation.numpy()
    np.testing.assert_allclose(found, CORRELATION, atol=0.02)
    codes_alone = np.corrcoef(drawn()["categorical"].numpy().T)
    assert abs(codes_alone[0, 2]) < 0.5, "the codes' own correlation is too small: -0.6 is not read off them"


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.6])
def test_the_correlation_of_numbers_does_not_depend_on_how_many_are_missing_or_masses(missing):
    random = np.random.default_rng(0)
    drawn = random.multivariate_normal(np.zeros(3), [[1, 0.9, -0.5], [0.9, 1, -0.4], [-0.5, -0.4, 1]], 20_000)
    frame = pd.DataFrame(drawn, columns=["a", "b", "c"])
    frame.loc[random.random(len(frame)) < missing, "a"] = np.nan
    frame.loc[random.random(len(frame)) < missing, "b"] = -9.0  # a point mass
    fake = synthgen.fit(frame, "table/copula", overrides=["callbacks=none", "trainer=cpu"]).sample(20_000)
    fake = fake[fake["b"] != -9.0].dropna()
    np.testing.assert_allclose(fake.corr(), [[1, 0.9, -0.5], [0.9, 1, -0.4], [-0.5, -0.4, 1]], atol=0.04)


def test_numbers_of_few_rows_vary_as_much_as_others():
    frame = pd.DataFrame({"a": [1.5, 2.5, 3.0, 4.0, 5.0], "b": [2.0, 3.0, 4.5, 5.0, 7.0]})
    fitted = synthgen.fit(frame, "table/copula", overrides=["callbacks=none", "trainer=cpu"])
    assert fitted.model.stages[0].trained.correlation[0, 1] > 0.95


def test_balanced_words_find_their_order():
    """Equally frequent codes give a start by frequency no direction; each word has one partner here."""
    words = np.random.default_rng(1).permutation(np.repeat(np.arange(8), 200))
    frame = pd.DataFrame({"a": [f"a{w}" for w in words], "b": [f"b{w}" for w in words]})
    overrides = ["callbacks=none", "trainer=cpu", "data.validation=0"]
    fake = synthgen.fit(frame, "table/copula", overrides=overrides).sample(2000)
    assert (fake["a"].str[1] == fake["b"].str[1]).mean() > 0.9


def test_samples_have_the_correlation_and_the_frequencies(fitted):
    fake = fitted.sample(60_000, seed=1)
    again = CopulaParameters(LAYOUT)
    again.fit(fake)
    np.testing.assert_allclose(again.correlation.numpy(), CORRELATION, atol=0.03)
    for j, (cuts, cardinality) in enumerate(zip(CUTS, LAYOUT.cardinalities, strict=True)):
        share = np.diff([0, *norm.cdf(cuts), 1])
        found = np.bincount(fake["categorical"][:, j].numpy(), minlength=cardinality) / 60_000
        np.testing.assert_allclose(found, share, atol=0.01)


def test_the_other_cells_follow_a_known_number(fitted):
    """Given x0 = 1.5, the second number is N(0.6 · 1.5, 1 − 0.36)."""
    condition = {
        "numerical": torch.tensor([[1.5, 0.0]]).expand(4000, -1),
        "numerical_known": torch.tensor([[True, False]]).expand(4000, -1),
        "categorical": torch.zeros(4000, 3, dtype=torch.int32),
        "categorical_known": torch.zeros(4000, 3, dtype=torch.bool),
    }
    fake = fitted.sample(4000, condition)
    assert (fake["numerical"][:, 0] == 1.5).all()
    assert fake["numerical"][:, 1].mean().item() == pytest.approx(0.9, abs=0.05)
    assert fake["numerical"][:, 1].std().item() == pytest.approx(0.8, abs=0.04)


def test_the_other_cells_follow_several_known_codes(fitted):
    """Against the rows of a large draw that happen to have them: no formula, but independent of the sampler."""
    data = drawn(400_000, seed=5)
    codes = data["categorical"]
    have = (codes[:, 0] == 1) & (codes[:, 2] == 2)
    condition = {
        "numerical": torch.zeros(6000, 2),
        "numerical_known": torch.zeros(6000, 2, dtype=torch.bool),
        "categorical": torch.tensor([[1, 0, 2]], dtype=torch.int32).expand(6000, -1),
        "categorical_known": torch.tensor([[True, False, True]]).expand(6000, -1),
    }
    fake = fitted.sample(6000, condition)
    assert (fake["categorical"][:, [0, 2]] == torch.tensor([1, 2])).all()
    for column in range(2):
        real = data["numerical"][have, column]
        assert fake["numerical"][:, column].mean().item() == pytest.approx(real.mean().item(), abs=0.06)
        assert fake["numerical"][:, column].std().item() == pytest.approx(real.std().item(), abs=0.06)


def test_draws_within_a_box_have_the_density_of_the_normal_distribution_there():
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.double)
    low, high = torch.tensor([[0.5, -1.0]]).double(), torch.tensor([[2.0, 0.0]]).double()
    box = (low.expand(20_000, -1), high.expand(20_000, -1))
    fixed = torch.zeros(20_000, 0, dtype=torch.double)
    found = _truncated(covariance, fixed, *box, torch.Generator().manual_seed(0))
    assert ((found >= low) & (found <= high)).all()
    grid = np.stack(np.meshgrid(np.linspace(0.5, 2, 151), np.linspace(-1, 0, 151), indexing="ij"), axis=-1)
    density = multivariate_normal.pdf(grid, np.zeros(2), covariance.numpy())
    expected = (grid * density[..., None]).sum(axis=(0, 1)) / density.sum()
    np.testing.assert_allclose(found.mean(dim=0).numpy(), expected, atol=0.02)


def test_words_are_put_in_an_order_that_their_company_suggests():
    """Words that stand for a hidden order, beside numbers that follow it: the copula finds the order again."""
    rng = np.random.default_rng(0)
    hidden = rng.integers(0, 5, 5000)
    names = np.array(["m", "z", "a", "q", "c"])[hidden]
    frame = pd.DataFrame({"word": names, "x": hidden + rng.normal(0, 0.5, 5000), "y": rng.normal(0, 1, 5000) - hidden})
    people = synthgen.fit(frame, model="table/copula")
    fake = people.sample(5000)
    means = fake.groupby("word")["x"].mean()
    for code, name in enumerate(["m", "z", "a", "q", "c"]):
        assert means[name] == pytest.approx(code, abs=0.35)
    assert people.sample(300, condition={"word": "c"})["x"].mean() == pytest.approx(4, abs=0.35)


def test_it_takes_no_example_and_hardly_a_moment(people):
    people = synthgen.fit(people, model="table/copula")
    assert people.facts["examples_seen"] == 0
    assert people.facts["training_seconds"] < 5


@pytest.mark.parametrize("value", [float("nan"), 2.0])
def test_a_damaged_correlation_is_said(value):
    model = Copula(LAYOUT)
    model.stages[0].fit(drawn(1000))
    model.stages[0].trained.correlation[0, 1:] = value
    model.stages[0].trained.correlation[1:, 0] = value
    with pytest.raises(SynthgenError, match="not positive definite"):
        model.sample(3)
