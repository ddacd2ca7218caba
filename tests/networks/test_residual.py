import pytest
import torch
from torch.nn import functional

from synthgen.networks.residual import group_norm, halvings


@pytest.mark.parametrize(
    ("size", "times"),
    [((3, 3), 0), ((7, 9), 0), ((8, 8), 1), ((15, 40), 1), ((28, 28), 2), ((32, 32), 3), ((64, 200), 4)],
)
def test_halvings_leave_the_shorter_side_4_to_7_pixels(size, times):
    assert halvings(*size) == times
    assert times == 0 or 4 <= min(size) / 2**times < 8


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (6, 1), (8, 2), (64, 16), (128, 32), (512, 32), (50, 2)])
def test_groups_have_four_channels_or_more(channels, groups):
    assert group_norm(channels).num_groups == groups


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_groups_are_normalised_as_pytorch_does_in_either_order_of_memory(order):
    torch.manual_seed(0)
    norm, x = group_norm(16), torch.randn(3, 16, 5, 7).to(memory_format=order).requires_grad_()
    torch.nn.init.normal_(norm.weight)
    y = norm(x)
    assert y.is_contiguous(memory_format=order)
    expected = functional.group_norm(x, norm.num_groups, norm.weight, norm.bias)
    torch.testing.assert_close(y, expected)
    (given,) = torch.autograd.grad(y.square().sum(), x)
    (by_hand,) = torch.autograd.grad(expected.square().sum(), x)
    torch.testing.assert_close(given, by_hand)
