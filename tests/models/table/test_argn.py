"""ARGN on tables whose joint distribution is known."""

import subprocess
import sys
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

import synthgen
from synthgen.configuration import build, compose
from synthgen.data.tables.codec import TableCodec
from synthgen.data.tables.schema import infer_schema
from synthgen.errors import SynthgenError
from synthgen.layout import TableLayout
from synthgen.models.table.argn import _draw_number, _log_density, cell_nll, draw_orders
from synthgen.synthesizer import Synthesizer
from tests.models.table.toys import JOINT

SMALL = ["network.width=64", "callbacks=none", "trainer=cpu"]
ATTENTION = ["network=any_order_transformer", "network.width=32", "network.depth=1", "callbacks=none", "trainer=cpu"]
# Of c given a and b.
THIRD = np.array([[[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], [[0.3, 0.7], [0.6, 0.4], [0.05, 0.95]]])


def untrained(layout, **options):
    torch.manual_seed(0)
    config = compose("train", ["model=table/argn", *(f"{key}={value}" for key, value in options.items())])
    model = build(config["model"])(layout)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


@pytest.fixture(scope="module", params=[SMALL, ATTENTION], ids=["mlp", "transformer"])
def words(request):
    """Three dependent columns of words, and what was learned of them."""
    random = np.random.default_rng(0)
    cell = random.choice(12, size=40_000, p=(JOINT[:, :, None] * THIRD).ravel())
    a, b, c = np.unravel_index(cell, (2, 3, 2))
    frame = pd.DataFrame(
        {"a": np.array(["low", "high"])[a], "b": np.array(list("pqr"))[b], "c": np.array(["u", "v"])[c]}
    )
    return synthgen.fit(frame, "table/argn", max_samples=300_000, batch_size=500, overrides=request.param)


@pytest.fixture(scope="module")
def mixed():
    """A number that follows a word, one that follows that number, and cells that are missing where a word says so."""
    random = np.random.default_rng(1)
    a, b = np.unravel_index(random.choice(6, size=20_000, p=JOINT.ravel()), (2, 3))
    x = random.normal(3.0 * a, 1.0)
    y = np.where((b == 2) & (random.random(20_000) < 0.5), np.nan, x + random.normal(0, 0.3, 20_000))
    frame = pd.DataFrame({"a": np.array(["low", "high"])[a], "b": np.array(list("pqr"))[b], "x": x, "y": y})
    return synthgen.fit(frame, "table/argn", max_samples=600_000, batch_size=500, overrides=SMALL)


def shares(frame, name, of):
    return frame[name].value_counts(normalize=True).reindex(of).fillna(0).to_numpy()


def test_whatever_the_weights_probabilities_of_all_rows_sum_to_one():
    sizes = (2, 3, 4)
    model = untrained(TableLayout(0, sizes), **{"network.width": 16})
    rows = torch.tensor(list(product(*map(range, sizes))), dtype=torch.int32)
    logs = model.log_prob({"categorical": rows, "numerical": torch.zeros(len(rows), 0)})
    assert logs.exp().sum().item() == pytest.approx(1.0, abs=1e-4)
    assert logs.exp().std() > 0.01


def test_whatever_the_weights_the_density_of_a_number_integrates_to_one():
    model = untrained(TableLayout(1, (2,), gates=(0,)), **{"network.width": 16})
    grid = torch.linspace(-40, 40, 80_001)
    number = {"numerical": grid[:, None], "categorical": torch.zeros(len(grid), 1, dtype=torch.int32)}
    none = {"numerical": torch.zeros(1, 1), "categorical": torch.ones(1, 1, dtype=torch.int32)}
    inside = torch.trapezoid(model.log_prob(number).exp(), grid).item()
    assert inside + model.log_prob(none).exp().item() == pytest.approx(1.0, abs=1e-3)


def test_the_probability_of_rows_is_their_share(words):
    frame = pd.DataFrame(list(product(["low", "high"], "pqr", "uv")), columns=["a", "b", "c"])
    learned = np.exp(words.log_prob(frame))
    assert learned.sum() == pytest.approx(1.0, abs=1e-4)
    assert np.abs(learned - (JOINT[:, :, None] * THIRD).ravel()).sum() / 2 < 0.015


def untrained_synthesizer(frame):
    codec = TableCodec.fit(frame, infer_schema(frame))
    return Synthesizer(codec, untrained(codec.layout, **{"network.width": 16}), {})


def test_whatever_the_weights_probabilities_of_rounded_numbers_sum_to_one():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"word": random.choice(["a", "b"], 3000), "number": random.normal(0, 700, 3000).round()})
    frame["number"] += 3000 * (frame["word"] == "b")
    synthesizer = untrained_synthesizer(frame)
    assert synthesizer.codec.layout.numerical == 1
    number = np.arange(frame["number"].min(), frame["number"].max() + 1)
    every = pd.DataFrame({"word": np.repeat(["a", "b"], len(number)), "number": np.tile(number, 2)})
    logs = synthesizer.log_prob(every)
    assert np.exp(logs).sum() == pytest.approx(1.0, abs=1e-6)
    drawn = synthesizer.sample(20_000, seed=1)
    below = (drawn["number"] < 0).mean()
    assert np.exp(logs[every["number"] < 0]).sum() == pytest.approx(below, abs=0.02)
    beyond = pd.DataFrame({"word": ["a"], "number": [1e6]}, index=[7])
    assert synthesizer.log_prob(beyond)[7] == -np.inf


def test_whatever_the_weights_the_density_of_numbers_is_in_their_own_units():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"number": random.gamma(2.0, 50.0, 4000)})
    frame.loc[:1000, "number"] = 0.0
    frame.loc[3500:, "number"] = np.nan
    synthesizer = untrained_synthesizer(frame)
    grid = np.linspace(frame["number"][frame["number"] > 0].min(), frame["number"].max(), 400_001)[1:-1]
    inside = np.trapezoid(np.exp(synthesizer.log_prob(pd.DataFrame({"number": grid}))), grid)
    masses = np.exp(synthesizer.log_prob(pd.DataFrame({"number": [0.0, np.nan]}))).sum()
    drawn = synthesizer.sample(40_000)["number"]
    ends = drawn.isin([drawn[drawn > 0].min(), drawn.max()]).mean()  # what is drawn at the last knots has no density
    assert inside + masses + ends == pytest.approx(1.0, abs=0.01)
    assert masses == pytest.approx((drawn.isna() | (drawn == 0)).mean(), abs=0.02)


def test_parts_of_a_missing_date_do_not_count():
    random = np.random.default_rng(0)
    days = pd.Timestamp("2020-01-06") + pd.to_timedelta(random.integers(0, 100 * 7, 2000), unit="D")
    frame = pd.DataFrame({"day": days.to_series().reset_index(drop=True).mask(random.random(2000) < 0.2)})
    synthesizer = untrained_synthesizer(frame)
    probabilities = np.exp(
        synthesizer.log_prob(pd.DataFrame({"day": [*pd.date_range("2020-01-06", periods=700), pd.NaT]}))
    )
    share = synthesizer.sample(20_000)["day"].isna().mean()
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-3)
    assert probabilities.iloc[-1] == pytest.approx(share, abs=0.02)


def test_a_row_that_is_never_drawn_has_no_probability_and_it_is_said():
    random = np.random.default_rng(0)
    days = pd.Timestamp("2020-01-06") + pd.to_timedelta(
        7 * random.integers(0, 100, 900) + random.integers(0, 5, 900), "D"
    )
    frame = pd.DataFrame(
        {"word": random.choice(["a", "b"], 900), "day": days, "n": random.integers(0, 9, 900), "one": 1}
    )
    synthesizer = untrained_synthesizer(frame)
    rows = frame.iloc[:8].astype({"n": float}).reset_index(drop=True)
    wrong = rows.copy()
    wrong.loc[[1, 5], "word"] = "c", "d"
    wrong.loc[2, "day"] = pd.Timestamp("2020-02-02")  # a Sunday
    wrong.loc[3, "n"] = np.nan
    wrong.loc[4, "one"] = 2
    with pytest.warns(UserWarning, match="log_prob: .* rows have no probability: column") as warned:
        logs = synthesizer.log_prob(wrong)
    said = {str(one.message) for one in warned}
    assert "log_prob: 2 rows have no probability: column 'word' has 'c', which is never drawn" in said
    assert len(said) == 4
    assert np.isneginf(logs).tolist() == [False, True, True, True, True, True, False, False]
    possible = logs[~np.isneginf(logs)]
    np.testing.assert_allclose(possible, synthesizer.log_prob(rows)[possible.index], atol=1e-5)
    with pytest.warns(UserWarning, match="column 'word' has 'z'"):
        assert np.isneginf(synthesizer.log_prob(rows.assign(word="z"))).all()


def test_a_number_between_the_few_that_a_column_has_is_never_drawn():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"n": random.choice([0, 10, 20], 900), "x": random.normal(size=900)})
    synthesizer = untrained_synthesizer(frame)
    rows = frame.iloc[:4].assign(n=[10, 11, 20, -5])
    with pytest.warns(UserWarning, match="2 rows have no probability: column 'n' has 11, which is never drawn"):
        logs = synthesizer.log_prob(rows)
    assert np.isneginf(logs).tolist() == [False, True, False, True]


def test_counting_takes_a_fraction_of_the_memory_that_cells_of_all_rows_would(tmp_path):
    """Of 400,000 rows of 30 codes: their cells, values and numbers of 12 bytes, would be 144 MB."""
    code = """
import resource, torch
from synthgen.layout import TableLayout
from synthgen.models.table.cells import RowCells
from synthgen.networks.cells import Marginals
cells = RowCells(TableLayout(0, (9,) * 30))
data = {"categorical": torch.randint(9, (400_000, 30), dtype=torch.int32), "numerical": torch.zeros(400_000, 0)}
marginals = Marginals(cells.kinds)
marginals.count(values for values, _ in cells.parts({name: rows[:65_536] for name, rows in data.items()}))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
marginals.count(values for values, _ in cells.parts(data))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
assert abs(float(marginals.log_shares.exp()[:9].sum()) - 1) < 1e-5
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40_000


def test_a_model_without_probabilities_says_so():
    random = np.random.default_rng(0)
    people = synthgen.fit(pd.DataFrame({"a": random.normal(size=200)}), "table/copula")
    with pytest.raises(SynthgenError, match="log_prob: Copula gives no probabilities of examples; table/argn does"):
        people.log_prob(people.sample(3))


def test_rows_have_the_joint_distribution(words):
    fake = words.sample(40_000)
    learned = fake.groupby(["a", "b", "c"]).size().div(len(fake))
    cells = pd.MultiIndex.from_product([["low", "high"], list("pqr"), list("uv")], names=["a", "b", "c"])
    expected = pd.Series((JOINT[:, :, None] * THIRD).ravel(), index=cells)
    assert learned.sub(expected, fill_value=0).abs().sum() / 2 < 0.02


@pytest.mark.parametrize("given", [{"c": "u"}, {"c": "v", "b": "q"}, {"b": "r"}])
def test_conditions_are_exact_by_bayes_on_any_columns(words, given):
    joint = JOINT[:, :, None] * THIRD
    index = [slice(None)] * 3
    for name, value in given.items():
        index["abc".index(name)] = {"p": 0, "q": 1, "r": 2, "u": 0, "v": 1}[value]
    conditional = joint[tuple(index)]
    conditional = conditional / conditional.sum()
    expected = conditional.reshape(2, -1).sum(axis=1)
    fake = words.sample(40_000, condition=given)
    for name, value in given.items():
        assert (fake[name] == value).all()
    # Monte-Carlo error of 40,000 draws is .005 at two deviations; the rest is what 40,000 rows teach.
    assert shares(fake, "a", ["low", "high"]) == pytest.approx(expected, abs=0.02)


def test_each_row_has_its_own_known_cells(words):
    condition = pd.DataFrame({"a": ["low", None, None, "high"] * 3000, "c": [None, "u", None, "v"] * 3000})
    fake = words.sample(12_000, condition=condition)
    for name in condition:
        known = condition[name].notna()
        assert (fake.loc[known, name] == condition.loc[known, name]).all()
    joint = JOINT[:, :, None] * THIRD
    for start, expected in enumerate((joint[0].sum(1), joint[:, :, 0].sum(0), joint.sum((0, 2)), joint[1, :, 1])):
        assert shares(fake.iloc[start::4], "b", list("pqr")) == pytest.approx(expected / expected.sum(), abs=0.04)


def test_numbers_follow_words_and_numbers(mixed):
    fake = mixed.sample(20_000)
    for word, mean in (("low", 0.0), ("high", 3.0)):
        x = fake.loc[fake["a"] == word, "x"]
        assert x.mean() == pytest.approx(mean, abs=0.1)
        assert x.std() == pytest.approx(1.0, abs=0.1)
    off = (fake["y"] - fake["x"]).dropna()
    assert off.mean() == pytest.approx(0.0, abs=0.05)
    assert off.std() == pytest.approx(0.3, abs=0.06)
    missing = fake["y"].isna().groupby(fake["b"]).mean()
    assert missing["r"] == pytest.approx(0.5, abs=0.05)
    assert missing["p"] < 0.01


def test_a_number_that_is_given_tells_of_what_came_before_it(mixed):
    """Of a given x alone, by Bayes: the columns before it were learned after it, too."""
    fake = mixed.sample(20_000, condition={"x": 1.2})
    prior = JOINT.sum(axis=1)
    low, high = prior * norm.pdf(1.2, [0.0, 3.0], 1.0)
    assert (fake["a"] == "low").mean() == pytest.approx(low / (low + high), abs=0.06)
    assert (fake["x"] == 1.2).all()
    missing = mixed.sample(4000, condition={"y": synthgen.MISSING})
    assert missing["y"].isna().all()
    assert (missing["b"] == "r").mean() > 0.97


def test_temperature_and_top_p_narrow_the_draws(words, mixed):
    usual, cold = (words.sample(8000, temperature=t)["b"].value_counts(normalize=True) for t in (1.0, 0.3))
    assert cold["r"] > usual["r"] + 0.1
    usual, cold = (mixed.sample(4000, condition={"a": "low"}, temperature=t)["x"].std() for t in (1.0, 0.5))
    assert cold == pytest.approx(0.5**0.5 * usual, abs=0.1)
    likeliest = words.sample(4000, top_p=0.5, condition={"a": "low"})["b"]
    assert set(likeliest) == {"p"}  # which has two thirds
    assert set(words.sample(4000, top_p=0.8, condition={"a": "low"})["b"]) == {"p", "q"}
    for key, value in (("temperature", 0), ("top_p", 0), ("top_p", 1.5)):
        with pytest.raises(SynthgenError, match=f"{key}: found {value}, expected a"):
            words.sample(10, **{key: value})


@pytest.mark.parametrize("temperature", [0.3, 0.5, 2.0])
@pytest.mark.parametrize(
    "mixture",
    [
        [[0.0] * 8, np.linspace(-1.5, 1.5, 8).tolist(), [-0.7] * 8],  # many that make up one
        [[0.0, 0.5], [0.0, 3.0], [0.0, -0.5]],
        [[1.0, 0.0], [0.0, 2.0], [-5.0, 0.0]],  # all but one value, and what is around
    ],
)
def test_numbers_are_drawn_from_a_power_of_their_density(mixture, temperature):
    mixture, x = torch.tensor(mixture), torch.linspace(-15, 18, 200_001)
    logs = _log_density(mixture, x).double() / temperature
    wanted = (logs - logs.logsumexp(dim=0)).exp().cumsum(dim=0)
    drawn = _draw_number(mixture.expand(20_000, *mixture.shape), torch.Generator().manual_seed(0), temperature)
    found = torch.searchsorted(drawn.sort().values, x, right=True) / len(drawn)
    assert float((found - wanted).abs().max()) < 0.025


def test_the_loss_is_the_negative_log_probability(words):
    frame = words.sample(64)
    batch = words.codec.encode(frame)
    losses = words.model.stages[1].validation_loss(batch, torch.Generator())
    assert losses.sum().item() == pytest.approx(-words.model.log_prob(batch).mean().item(), abs=1e-5)


def test_orders_are_permutations_and_a_share_is_that_of_the_columns():
    generator = torch.Generator().manual_seed(0)
    visible = draw_orders(4000, 6, 0.25, generator)
    assert torch.equal(visible.sum(dim=2).sort(dim=1).values, torch.arange(6).expand(4000, 6))
    in_order = (visible == torch.ones(6, 6, dtype=torch.bool).tril(-1)).all(dim=2).all(dim=1)
    assert in_order.float().mean() == pytest.approx(0.25 + 0.75 / 720, abs=0.03)
    assert (draw_orders(10, 6, 1.0, generator) == torch.ones(6, 6, dtype=torch.bool).tril(-1)).all()


def test_the_next_digit_of_a_code_comes_right_after_the_one_before():
    place = draw_orders(2000, 8, 0.5, torch.Generator().manual_seed(0), [(3, 2), (4, 3)]).sum(dim=2)
    assert (place[:, 3] == place[:, 2] + 1).all()
    assert (place[:, 4] == place[:, 3] + 1).all()
    assert len(place[:, 2].unique()) > 4


@pytest.mark.parametrize(("rows", "groups"), [(1000, 50), (7, 1), (11 * 13, 11), (1024, 64)])
def test_rows_of_many_cells_share_orders(rows, groups):
    visible = draw_orders(rows, 300, 0.5, torch.Generator().manual_seed(0))  # at most 21 rows a group
    assert visible.shape == (groups, 300, 300)


def test_likelihoods_of_any_order_are_of_one_joint_where_cells_are_independent():
    """Without any cell in sight, each is predicted by its marginal, whichever is asked first."""
    model = untrained(TableLayout(1, (3, 2)), **{"network.width": 16})
    network = model.stages[1].module.eval()
    values, numbers = torch.tensor([[0, 1, 0], [2, 0, 0]]), torch.tensor([[0, 0, 0.3], [0, 0, -1.0]])
    nothing = torch.zeros(1, 3, 3, dtype=torch.bool)
    with torch.no_grad():
        together = cell_nll(network, values, numbers, nothing)
        for cell in range(3):
            alone = torch.zeros(1, 3, 3, dtype=torch.bool)
            alone[0, [c for c in range(3) if c != cell], cell] = True
            torch.testing.assert_close(cell_nll(network, values, numbers, alone)[:, cell], together[:, cell])


def test_a_share_in_order_that_is_none_is_refused():
    with pytest.raises(SynthgenError, match=r"in_order: found 1\.5, expected a share"):
        untrained(TableLayout(0, (2,)), **{"model.in_order": 1.5})
