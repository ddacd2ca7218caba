import pytest
import torch
from torch import nn

from synthgen.networks.mlp import MLP


def test_it_is_the_layers_one_after_another():
    network = MLP(3, 2, widths=(5, 7), slope=0.2)
    x = torch.randn(4, 3)
    first, second = (layer[0] for layer in network.hidden)
    by_hand = nn.functional.leaky_relu(second(nn.functional.leaky_relu(first(x), 0.2)), 0.2)
    torch.testing.assert_close(network(x), network.output(by_hand))


def test_dense_layers_see_everything_before_them():
    network = MLP(3, 2, widths=(5, 7), dense=True)
    x = torch.randn(4, 3)
    first = torch.cat([network.hidden[0](x), x], dim=1)
    second = torch.cat([network.hidden[1](first), first], dim=1)
    assert second.shape == (4, 15)
    torch.testing.assert_close(network(x), network.output(second))


@pytest.mark.parametrize(("options", "kind"), [({"batch_norm": True}, nn.BatchNorm1d), ({"dropout": 0.5}, nn.Dropout)])
def test_parts_are_there_where_asked_for(options, kind):
    assert sum(isinstance(part, kind) for part in MLP(3, 2, (4, 4), **options).modules()) == 2
    assert not any(isinstance(part, kind) for part in MLP(3, 2, (4, 4)).modules())


def test_without_hidden_layers_it_is_linear():
    network = MLP(3, 2, widths=())
    assert torch.equal(network(torch.eye(3)), network.output(torch.eye(3)))
