import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch.nn import functional

from synthgen.networks.ragged import RaggedLogits

CARDINALITIES = (3, 1, 1000, 2, 17, 1, 4, 64, 65, 3, 30, 600)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def some(cardinalities, rows=40, spread=3.0):
    logits = spread * torch.randn(rows, sum(cardinalities), generator=seeded())
    codes = [torch.randint(cardinality, (rows,), generator=seeded(1)) for cardinality in cardinalities]
    return logits, torch.stack(codes, dim=1)


def columns_of(logits, cardinalities):
    return logits.split(list(cardinalities), dim=1)


@pytest.mark.parametrize("cardinalities", [CARDINALITIES, (1,), (1000,), (2, 2, 2), (1, 1)])
def test_nll_is_cross_entropy_column_by_column(cardinalities):
    logits, codes = some(cardinalities)
    nll = RaggedLogits(cardinalities).nll(logits, codes)
    for j, column in enumerate(columns_of(logits, cardinalities)):
        torch.testing.assert_close(nll[:, j], functional.cross_entropy(column, codes[:, j], reduction="none"))


@pytest.mark.parametrize("cardinalities", [CARDINALITIES, (1,), (1000,)])
def test_gradients_of_nll_are_those_of_cross_entropy(cardinalities):
    logits, codes = some(cardinalities)
    weight = torch.rand(codes.shape, generator=seeded(2))
    ragged, single = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    (RaggedLogits(cardinalities).nll(ragged, codes) * weight).sum().backward()
    for j, column in enumerate(columns_of(single, cardinalities)):
        (functional.cross_entropy(column, codes[:, j], reduction="none") * weight[:, j]).sum().backward(
            retain_graph=True
        )
    torch.testing.assert_close(ragged.grad, single.grad)


def test_a_column_of_one_value_costs_nothing():
    logits, codes = some((3, 1))
    logits.requires_grad_()
    nll = RaggedLogits((3, 1)).nll(logits, codes)
    assert (nll[:, 1] == 0).all()
    nll.sum().backward()
    assert (logits.grad[:, 3] == 0).all()
    assert (logits.grad[:, :3] != 0).all()


def test_nll_is_in_single_precision_whatever_the_logits_are():
    logits, codes = some(CARDINALITIES)
    half = RaggedLogits(CARDINALITIES).nll(logits.bfloat16(), codes)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, RaggedLogits(CARDINALITIES).nll(logits.bfloat16().float(), codes))


def test_nll_stays_finite_for_extreme_logits():
    logits, codes = some(CARDINALITIES, spread=1e4)
    logits.requires_grad_()
    nll = RaggedLogits(CARDINALITIES).nll(logits, codes)
    nll.sum().backward()
    assert torch.isfinite(nll).all()
    assert torch.isfinite(logits.grad).all()


def test_the_largest_code_of_every_column_is_drawn_and_scored():
    ragged = RaggedLogits(CARDINALITIES)
    last = torch.tensor(CARDINALITIES) - 1
    logits = torch.zeros(1, sum(CARDINALITIES))
    logits[0, torch.tensor(CARDINALITIES).cumsum(0) - 1] = 100.0
    assert (ragged.nll(logits, last[None]) < 1e-6).all()
    every = torch.arange(len(CARDINALITIES))
    assert torch.equal(ragged.sample(logits.expand(len(every), -1), every, seeded()), last)


@pytest.mark.parametrize("column", [0, 2, 3, 4])
def test_codes_are_drawn_as_often_as_the_softmax_says(column):
    cardinalities = (3, 1, 40, 2, 17)
    rows = 20_000
    logits = torch.randn(1, sum(cardinalities), generator=seeded(3)).expand(rows, -1)
    drawn = RaggedLogits(cardinalities).sample(logits, torch.full((rows,), column), seeded(column))
    share = columns_of(logits[:1], cardinalities)[column][0].double().softmax(dim=0).numpy()
    counts = np.bincount(drawn.numpy(), minlength=cardinalities[column])
    assert len(counts) == cardinalities[column]
    assert chisquare(counts, rows * share).pvalue > 0.001


def test_every_row_draws_its_own_column_from_its_own_logits():
    cardinalities = (2, 1, 5, 300)
    logits = torch.full((200, sum(cardinalities)), -200.0)
    column = torch.arange(200) % 4
    sizes = torch.tensor(cardinalities)
    wanted = torch.arange(200) % sizes[column]
    logits[torch.arange(200), (sizes.cumsum(0) - sizes)[column] + wanted] = 0.0
    drawn = RaggedLogits(cardinalities).sample(logits, column, seeded())
    assert torch.equal(drawn, wanted)


def test_one_random_number_a_row_is_drawn_and_none_leaves_the_codes_that_can_be(monkeypatch):
    """Gumbel-max took a number and two logarithms for each of the largest column's codes."""
    drawn = []

    def largest(*shape, generator, device):
        drawn.append(shape)
        return torch.full(shape, 1 - 2**-24)

    monkeypatch.setattr("synthgen.networks.ragged.torch.rand", largest)
    logits = 20 * torch.randn(500, 40, generator=seeded())
    logits[:, 30:] = -200.0  # of no mass beside the others
    codes = RaggedLogits((40, 3)).sample(
        torch.cat([logits, torch.zeros(500, 3)], dim=1), torch.zeros(500, dtype=torch.long), seeded()
    )
    assert drawn == [(500, 1)]
    assert (codes < 30).all()


def test_draws_stay_within_their_column():
    logits = torch.zeros(5000, sum(CARDINALITIES))
    column = torch.randint(len(CARDINALITIES), (5000,), generator=seeded())
    drawn = RaggedLogits(CARDINALITIES).sample(logits, column, seeded(1))
    assert (drawn >= 0).all()
    assert (drawn < torch.tensor(CARDINALITIES)[column]).all()


def test_a_table_without_discrete_columns_has_no_logits():
    ragged = RaggedLogits(())
    assert ragged.total == 0
    assert ragged.nll(torch.zeros(4, 0), torch.zeros(4, 0, dtype=torch.long)).shape == (4, 0)


def test_logits_that_are_far_apart_stay_finite():
    logits = torch.tensor([[0.0, 1e4, -1e4, 0.0, -3e4]], requires_grad=True)
    nll = RaggedLogits((2, 3)).nll(logits, torch.tensor([[0, 1]]))
    torch.testing.assert_close(nll, torch.tensor([[1e4, 0.0]]))
    nll.sum().backward()
    assert logits.grad.isfinite().all()
    assert RaggedLogits((2, 3)).relaxed(logits, 0.01, seeded()).isfinite().all()


def test_nothing_of_it_is_saved_with_the_weights():
    assert RaggedLogits(CARDINALITIES).state_dict() == {}


def test_one_hot_codes_are_side_by_side():
    _, codes = some(CARDINALITIES)
    expected = torch.cat([functional.one_hot(codes[:, j], c) for j, c in enumerate(CARDINALITIES)], dim=1)
    assert torch.equal(RaggedLogits(CARDINALITIES).one_hot(codes), expected.float())


def test_the_logits_of_one_column_a_row():
    logits, _ = some((3, 1, 5), rows=3)
    ragged = RaggedLogits((3, 1, 5))
    picked = ragged.column(logits, torch.tensor([2, 0, 1]))
    assert torch.equal(picked[0], logits[0, 4:])
    assert torch.equal(picked[1, :3], logits[1, :3])
    assert torch.equal(picked[2, :1], logits[2, 3:4])
    assert (picked[1, 3:] == -torch.inf).all()


def test_every_column_is_drawn_as_often_as_its_softmax_says():
    cardinalities, rows = (3, 1, 40, 2, 17), 20_000
    logits = torch.randn(1, sum(cardinalities), generator=seeded(3))
    drawn = RaggedLogits(cardinalities).draw(logits.expand(rows, -1), seeded())
    assert (drawn[:, 1] == 0).all()
    for j, column in enumerate(columns_of(logits, cardinalities)):
        if cardinalities[j] == 1:
            continue
        counts = np.bincount(drawn[:, j].numpy(), minlength=cardinalities[j])
        assert chisquare(counts, rows * column[0].double().softmax(dim=0).numpy()).pvalue > 0.001
    pairs = np.corrcoef(drawn[:, 0].numpy(), drawn[:, 4].numpy())
    assert abs(pairs[0, 1]) < 0.03, "columns are drawn independently"


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_relaxed_draws_sum_to_one_a_column_and_lean_to_the_drawn_code(temperature):
    logits, _ = some(CARDINALITIES, rows=300)
    ragged = RaggedLogits(CARDINALITIES)
    relaxed = ragged.relaxed(logits, temperature, seeded(5))
    for column in columns_of(relaxed, CARDINALITIES):
        torch.testing.assert_close(column.sum(dim=1), torch.ones(300))
    drawn = ragged.draw(logits, seeded(5))  # the same noise
    largest = torch.stack([column.argmax(dim=1) for column in columns_of(relaxed, CARDINALITIES)], dim=1)
    assert torch.equal(largest, drawn)


def test_gradients_pass_through_relaxed_draws():
    logits, _ = some((3, 5), rows=4)
    logits.requires_grad_()
    (RaggedLogits((3, 5)).relaxed(logits, 0.5, seeded())[:, 0].sum()).backward()
    assert (logits.grad[:, :3] != 0).any()
    assert (logits.grad[:, 3:] == 0).all()
