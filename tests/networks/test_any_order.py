import math

import numpy as np
import pytest
import torch

from synthgen.networks.any_order import AnyOrderMLP
from synthgen.networks.any_order_transformer import AnyOrderTransformer
from synthgen.networks.cells import CellEmbedding, CellHeads, CellKind, CellwiseLinear, Marginals

KINDS = [CellKind(3), CellKind(2, number=True), CellKind(40, ordered=39), CellKind(1, number=True), CellKind(1)]


def rows(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.stack([torch.randint(kind.values, (n,), generator=generator) for kind in KINDS], dim=1)
    return values, torch.randn(n, len(KINDS), generator=generator)


NETWORKS = [AnyOrderMLP, AnyOrderTransformer]


def network(of=AnyOrderMLP, **options):
    torch.manual_seed(0)
    made = of(KINDS, width=32, **options).eval()
    with torch.no_grad():  # an output of zeros would hide what it depends on
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return made


def tensors(prediction, cell):
    """What is predicted of one cell."""
    for cells, logits in prediction.logits:
        for place, other in enumerate(cells.tolist()):
            if other == cell:
                yield logits[place]
    for place, other in enumerate(c for c, kind in enumerate(KINDS) if kind.number):
        if other == cell:
            yield prediction.numbers[place]


def orders(n, seed=0):
    key = torch.rand(n, len(KINDS), generator=torch.Generator().manual_seed(seed))
    return key[:, :, None] > key[:, None, :]


def below_diagonal():
    return torch.ones(1, len(KINDS), len(KINDS), dtype=torch.bool).tril(-1)


@pytest.mark.parametrize("of", NETWORKS)
@pytest.mark.parametrize("cell", range(len(KINDS) - 1))
def test_a_cell_depends_on_what_it_may_look_at_and_on_nothing_else(cell, of):
    made = network(of)
    values, numbers = rows(6)
    visible = orders(6, cell)
    before = list(tensors(made(values, numbers, visible), cell))
    for other in range(len(KINDS) - 1):
        changed, moved = values.clone(), numbers.clone()
        changed[:, other] = (values[:, other] + 1) % KINDS[other].values
        if KINDS[other].values == 1:
            moved[:, other] += 1
        after = tensors(made(changed, moved, visible), cell)
        for one, two in zip(before, after, strict=True):
            differs = (one != two).flatten(1).any(dim=1)
            assert torch.equal(differs, visible[:, cell, other]), f"cell {other}"


@pytest.mark.parametrize("of", NETWORKS)
def test_a_number_counts_only_where_a_cell_holds_one(of):
    made = network(of)
    values, numbers = rows(50)
    moved = numbers + torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0])
    last = torch.zeros(1, len(KINDS), len(KINDS), dtype=torch.bool)
    last[0, 0, 1:] = True
    one, two = (next(tensors(made(values, x, last), 0)) for x in (numbers, moved))
    assert torch.equal((one != two).any(dim=1), values[:, 1] == 0)


@pytest.mark.parametrize("of", NETWORKS)
def test_rows_that_share_an_order_are_predicted_as_rows_with_their_own(of):
    made = network(of)
    values, numbers = rows(12)
    order = orders(3)
    shared, own = made(values, numbers, order), made(values, numbers, order.repeat_interleave(4, dim=0))
    for cell in range(len(KINDS)):
        for one, two in zip(tensors(shared, cell), tensors(own, cell), strict=True):
            torch.testing.assert_close(one, two)


@pytest.mark.parametrize("of", NETWORKS)
@pytest.mark.parametrize("known", [[], [0, 3], [2]])
def test_cell_by_cell_it_predicts_what_it_predicts_of_all_cells_at_once(of, known):
    """Known cells first, then the others, each group in the order of the columns."""
    made = network(of, depth=3)
    made.marginals.count([rows(500)[0]])
    values, numbers = rows(9)
    order = [*known, *(cell for cell in range(len(KINDS)) if cell not in known)]
    place = torch.tensor([order.index(cell) for cell in range(len(KINDS))])
    together = made(values, numbers, (place[:, None] > place)[None])
    vectors = made.embedding(values, numbers)
    given = torch.zeros(9, len(KINDS), dtype=torch.bool)
    given[:, known] = True
    with torch.no_grad():
        state = made.begin(vectors, given)
        for cell in order[len(known) :]:
            logits, mixture = made.predict(cell, state)
            expected = list(tensors(together, cell))
            found = [part for part in (logits if KINDS[cell].values > 1 else None, mixture) if part is not None]
            for one, two in zip(found, expected, strict=True):
                torch.testing.assert_close(one, two[:, : KINDS[cell].values] if two.dim() == 2 else two)
            vector = made.embedding.one(cell, values[:, cell], numbers[:, cell])
            torch.testing.assert_close(vector, vectors[:, cell])
            made.add(state, cell, vector)


@pytest.mark.parametrize("of", NETWORKS)
def test_a_cell_that_a_row_knows_already_is_not_added_again(of):
    made = network(of)
    values, numbers = rows(8)
    vectors = made.embedding(values, numbers)
    given = torch.zeros(8, len(KINDS), dtype=torch.bool)
    given[::2, 0] = True
    with torch.no_grad():
        state = made.begin(vectors, given)
        made.add(state, 0, torch.where(given[:, :1], 9.9, vectors[:, 0]), ~given[:, 0])
        expected = made.begin(vectors, torch.tensor([True, False, False, False, False]).expand(8, -1))
        torch.testing.assert_close(made.predict(2, state)[0], made.predict(2, expected)[0])


def test_untrained_it_predicts_the_marginals_of_values_and_about_the_standard_normal():
    made = AnyOrderMLP(KINDS, width=32)
    values = torch.zeros(1000, len(KINDS), dtype=torch.long)
    values[:700, 0], values[:100, 1] = 1, 1
    made.marginals.count(values.split(7))
    prediction = made(*rows(4), below_diagonal())
    shares = next(tensors(prediction, 0)).softmax(dim=1)
    expected = (torch.tensor([300.0, 700.0, 0.0]) + 0.5) / 1001.5
    torch.testing.assert_close(shares[:, :3], expected.expand(4, 3), atol=1e-5, rtol=1e-4)
    assert (shares[:, 3:] == 0).all()
    logits, means, deviations = next(part for part in tensors(prediction, 3) if part.dim() == 3).unbind(1)
    weight = logits.softmax(dim=1)
    mean = (weight * means).sum(dim=1)
    variance = (weight * (means.square() + (2 * deviations).exp())).sum(dim=1) - mean.square()
    assert mean.abs().max() < 0.4
    assert (variance - 1).abs().max() < 0.6


def test_marginals_say_where_ordered_values_lie():
    marginals = Marginals([CellKind(2), CellKind(5, ordered=4)])
    values = torch.tensor([[0, 0]] * 600 + [[1, 1]] * 200 + [[0, 3]] * 200 + [[0, 4]] * 500)
    marginals.count(values.split(7))
    assert marginals.log_shares.exp()[:2].tolist() == pytest.approx([1300.5 / 1501, 200.5 / 1501])
    own = np.array([600.5, 200.5, 0.5, 200.5])
    middles = (own.cumsum() - own / 2) / own.sum()
    assert marginals.positions.tolist() == pytest.approx([-1, -1, *middles, -1])


def test_neighbours_among_ordered_values_share_what_is_learned():
    """A head that learned of value 10 alone raises 9 and 11, and not 30."""
    made = AnyOrderMLP(KINDS, width=32)
    values, numbers = rows(64)
    values[:, 2] = 10
    optimizer = torch.optim.Adam(made.parameters(), lr=0.01)
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(
            next(tensors(made(values, numbers, below_diagonal()), 2)), values[:, 2]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learned = next(tensors(made(values, numbers, below_diagonal()), 2)).softmax(dim=1).mean(dim=0)
    assert learned[9] > 2 * learned[30]
    assert learned[11] > 2 * learned[30]


def test_layers_of_cells_are_linear_layers():
    torch.manual_seed(0)
    layer, x = CellwiseLinear(3, 5, 4), torch.randn(3, 7, 5)
    for cell in range(3):
        expected = torch.nn.functional.linear(x[cell], layer.weight[cell].T, layer.bias[cell, 0])
        torch.testing.assert_close(layer(x)[cell], expected)
        torch.testing.assert_close(layer(x[cell : cell + 1], slice(cell, cell + 1))[0], expected)
    assert layer.weight.abs().max().item() <= 1 / math.sqrt(5)


def test_ordered_values_with_few_rows_are_what_their_neighbours_are():
    """Whatever its own weights have become, a value of three rows is hardly more than a point on a curve."""
    kinds = [CellKind(3, ordered=3), CellKind(3)]
    marginals = Marginals(kinds)
    marginals.count([torch.tensor([[0, 0]] * 2000 + [[1, 1]] * 3 + [[2, 2]] * 800)])
    assert marginals.trust[:3].tolist() == pytest.approx([2000.5 / 2200.5, 3.5 / 203.5, 800.5 / 1000.5])
    assert (marginals.trust[3:] == 1).all()  # what has no order has no neighbours
    embedding, heads = CellEmbedding(kinds, marginals, 8, 4), CellHeads(kinds, marginals, 8, 4)

    def outputs():
        with torch.no_grad():
            return embedding.one(0, torch.arange(3), torch.zeros(3))[:, 0], heads.one(0, torch.ones(1, 1, 8))[0]

    before = outputs()
    with torch.no_grad():
        embedding.weight += 1.0
        heads.weights[0] += 1.0 / 8  # of eight features
    for old, new in zip(before, outputs()):
        assert (new - old).tolist() == pytest.approx(marginals.trust[:3].tolist(), abs=1e-5)
