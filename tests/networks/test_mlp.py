import pytest
import torch
from torch import nn

from synthgen.networks.mlp import MLP


def test_it_is_the_layers_one_after_another():
    network = MLP(3, 2, widths=(5, 7), slope=0.2)
    x = torch.randn(4, 3)
    first, second = network.hidden
    by_hand = nn.functional.leaky_relu(second(nn.functional.leaky_relu(first(x), 0.2)), 0.2)
    torch.testing.assert_close(network(x), network.output(by_hand))


def test_dense_layers_see_everything_before_them():
    network = MLP(3, 2, widths=(5, 7), dense=True)
    x = torch.randn(4, 3)
    first = torch.cat([network.hidden[0](x).relu(), x], dim=1)
    second = torch.cat([network.hidden[1](first).relu(), first], dim=1)
    assert second.shape == (4, 15)
    torch.testing.assert_close(network(x), network.output(second))


def test_features_are_normalised_where_asked_for():
    network = MLP(3, 2, (4, 4), batch_norm=True)
    assert [norm.num_features for norm in network.norms] == [4, 4]
    assert not len(MLP(3, 2, (4, 4)).norms)
    x = torch.randn(64, 3)
    first = network.hidden[0](x)
    normal = (first - first.mean(dim=0)) / (first.var(dim=0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(network.norms[0](first), normal)
    network.eval()
    assert not torch.allclose(network(x), network.train()(x))


def test_features_are_dropped_in_training_alone():
    torch.manual_seed(0)
    network = MLP(3, 2, (400,), dropout=0.25)
    x = torch.randn(1, 3)
    nn.init.ones_(network.hidden[0].bias)
    nn.init.zeros_(network.hidden[0].weight)
    nn.init.constant_(network.output.weight, 1 / 400)
    nn.init.zeros_(network.output.bias)
    assert network(x)[0, 0].item() in [pytest.approx(kept / 400 / 0.75) for kept in range(250, 350)]
    assert network.eval()(x)[0, 0].item() == pytest.approx(1)


def test_codes_are_what_ones_among_zeros_would_be():
    network, plain = MLP(3, 2, (5, 7), codes=6), MLP(9, 2, (5, 7))
    x, codes = torch.randn(4, 3), torch.tensor([[0, 5], [1, 2], [3, 4], [5, 1]])
    plain.hidden[1], plain.output = network.hidden[1], network.output
    plain.hidden[0].bias = network.hidden[0].bias
    plain.hidden[0].weight = nn.Parameter(torch.cat([network.hidden[0].weight, network.codes.weight.T], dim=1))
    ones = torch.zeros(4, 6).scatter_(1, codes, 1.0)
    torch.testing.assert_close(network(x, codes), plain(torch.cat([x, ones], dim=1)))
    with pytest.raises(ValueError, match="none"):
        MLP(3, 2, (), codes=6)


@pytest.mark.parametrize("widths", [(), (8,), (16, 8, 8)])
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_input_gradients_are_what_autograd_finds_and_so_are_their_gradients(widths, rate):
    torch.manual_seed(0)
    network = MLP(3, 1, widths, slope=0.2, dropout=rate, codes=5 if widths else 0)
    codes = torch.randint(5, (6, 2)) if widths else None
    points = torch.randn(6, 3, requires_grad=True)

    def penalised(gradient):
        network.zero_grad()
        torch.manual_seed(1)  # of what is dropped
        found = gradient()
        (found.norm(dim=1) - 1).square().mean().backward()
        gradients = [layer.weight.grad for layer in (*network.hidden, network.output)]
        return [found.detach(), *gradients]

    def by_autograd():
        return torch.autograd.grad(network(points, codes).sum(), points, create_graph=True)[0]

    torch.testing.assert_close(penalised(lambda: network.input_gradient(points, codes)), penalised(by_autograd))


def test_input_gradients_under_mixed_precision_have_gradients_whatever_ran_before():
    network = MLP(3, 1, (8, 8))
    with torch.autocast("cpu", torch.bfloat16):
        network.input_gradient(torch.randn(4, 3)).float().square().sum().backward()
    assert all(layer.weight.grad.abs().sum() > 0 for layer in (*network.hidden, network.output))


@pytest.mark.parametrize("options", [{"dense": True}, {"batch_norm": True}, {"outputs": 2}])
def test_input_gradients_are_refused_where_they_are_not_those_of_one_example(options):
    network = MLP(**{"inputs": 3, "outputs": 1, **options})
    with pytest.raises(ValueError, match="input gradients"):
        network.input_gradient(torch.randn(4, 3))


def test_without_hidden_layers_it_is_linear():
    network = MLP(3, 2, widths=())
    assert torch.equal(network(torch.eye(3)), network.output(torch.eye(3)))
