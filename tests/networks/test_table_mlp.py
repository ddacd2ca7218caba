import pytest
import torch

from synthgen.networks.table_mlp import TableMLP

CARDINALITIES = (3, 1, 20)


def mlp(numerical=2, cardinalities=CARDINALITIES, *, awake=True, **settings):
    torch.manual_seed(0)
    network = TableMLP(numerical, cardinalities, **{"width": 16, "depth": 2, **settings}).eval()
    if awake:
        for parameter in network.head.parameters():
            torch.nn.init.normal_(parameter)
    return network


def rows(n=6, numerical=2, cardinalities=CARDINALITIES):
    generator = torch.Generator().manual_seed(1)
    codes = [torch.randint(cardinality + 1, (n,), generator=generator) for cardinality in cardinalities]
    stacked = torch.stack(codes, dim=1) if codes else torch.zeros(n, 0, dtype=torch.long)
    return torch.randn(n, numerical, generator=generator), stacked, torch.rand(n, generator=generator)


@pytest.mark.parametrize(("numerical", "cardinalities"), [(2, CARDINALITIES), (0, CARDINALITIES), (2, ()), (1, (1,))])
def test_output_is_one_number_a_number_and_one_logit_a_code(numerical, cardinalities):
    numbers, logits = mlp(numerical, cardinalities)(*rows(6, numerical, cardinalities))
    assert numbers.shape == (6, numerical)
    assert logits.shape == (6, sum(cardinalities))
    assert torch.isfinite(numbers).all()
    assert torch.isfinite(logits).all()


def test_a_new_network_gives_0():
    numbers, logits = mlp(awake=False)(*rows())
    assert (numbers == 0).all()
    assert (logits == 0).all()


def test_the_code_behind_the_last_stands_for_masked_and_is_its_own():
    network = mlp()
    numerical, _, time = rows(1)
    outputs = []
    for code in range(4):
        outputs.append(network(numerical, torch.tensor([[code, 0, 20]]), time)[1])
    for i in range(4):
        for j in range(i):
            assert not torch.allclose(outputs[i], outputs[j])


def test_every_code_of_every_column_has_an_embedding_of_its_own():
    network = mlp(0, (2, 3))
    used = []
    for codes in ([0, 3], [1, 3], [2, 3], [2, 0], [2, 1], [2, 2]):
        network.zero_grad()
        network(torch.zeros(1, 0), torch.tensor([codes]), torch.zeros(1))[1].sum().backward()
        used.append(tuple(network.codes.weight.grad.abs().sum(dim=1).nonzero()[:, 0].tolist()))
    assert used == [(0, 6), (1, 6), (2, 6), (2, 3), (2, 4), (2, 5)]
    assert network.codes.num_embeddings == 7


def test_codes_come_as_int32_as_the_codec_gives_them():
    numerical, codes, time = rows()
    for wide, narrow in zip(mlp()(numerical, codes, time), mlp()(numerical, codes.to(torch.int32), time), strict=True):
        assert torch.equal(wide, narrow)


def test_rows_are_independent_of_their_order_and_neighbours():
    network, (numerical, codes, time) = mlp(), rows(8)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    together = torch.cat(network(numerical, codes, time), dim=1)
    shuffled = torch.cat(network(numerical[order], codes[order], time[order]), dim=1)
    torch.testing.assert_close(shuffled, together[order])
    alone = torch.cat(network(numerical[:1], codes[:1], time[:1]), dim=1)
    torch.testing.assert_close(alone, together[:1])


def test_everything_that_goes_in_matters():
    network, (numerical, codes, time) = mlp(), rows(1)
    before = torch.cat(network(numerical, codes, time), dim=1)
    for changed in (
        (numerical + 1, codes, time),
        (numerical, (codes + 1) % (torch.tensor(CARDINALITIES) + 1), time),
        (numerical, codes, (time + 0.3) % 1),
    ):
        assert not torch.allclose(torch.cat(network(*changed), dim=1), before)


@pytest.mark.parametrize(("numerical", "cardinalities"), [(2, CARDINALITIES), (0, CARDINALITIES), (2, ())])
def test_gradients_reach_every_parameter(numerical, cardinalities):
    network = mlp(numerical, cardinalities)
    sum(output.square().sum() for output in network(*rows(64, numerical, cardinalities))).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_dropout_is_drawn_in_training_alone():
    network = mlp(dropout=0.5)
    assert torch.equal(network(*rows())[0], network(*rows())[0])
    network.train()
    assert not torch.equal(network(*rows())[0], network(*rows())[0])


def test_nothing_but_weights_is_saved():
    assert set(mlp().state_dict()) == {name for name, _ in mlp().named_parameters()}


def test_without_frequencies_numbers_are_seen_as_they_are():
    plain = mlp(2, (), frequencies=0)
    assert isinstance(plain.numbers, torch.nn.Linear)
    assert plain.numbers.weight.shape == (16, 2)
    assert plain(*rows(6, 2, ()))[0].shape == (6, 2)
