import pytest
import torch

from synthgen.networks.dropout import Dropout
from synthgen.networks.table_mlp import TableMLP


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("p", [0.001, 0.55, 0.9])
def test_a_share_is_zero_and_the_others_make_up_for_it(dtype, p):
    torch.manual_seed(0)
    values = Dropout(p)(torch.ones(999, 1001, dtype=dtype))
    zero = (values == 0).double().mean().item()
    assert zero == pytest.approx(p, abs=4 * (p * (1 - p) / values.numel()) ** 0.5 + 2**-15)
    kept = values[values != 0].unique()
    assert kept.tolist() == torch.tensor([1 / (1 - p)], dtype=dtype).tolist()


def test_values_are_dropped_independently():
    """Neighbours share a draw: none of the pairs within one, nor across two, may go together."""
    torch.manual_seed(0)
    dropped = (Dropout(0.3)(torch.ones(250_000, 8, dtype=torch.bfloat16)) == 0).double()
    torch.testing.assert_close(torch.corrcoef(dropped.T), torch.eye(8, dtype=torch.float64), atol=0.01, rtol=0)


def test_gradients_flow_where_values_do():
    torch.manual_seed(0)
    x = torch.randn(50, 7, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    torch.testing.assert_close(y, x * x.grad)
    assert set(x.grad.unique().tolist()) == {0.0, 2.0}


def test_the_global_seed_decides_and_evaluation_drops_nothing():
    x, dropout = torch.randn(3, 5), Dropout(0.5)
    torch.manual_seed(1)
    first = dropout(x)
    torch.manual_seed(1)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(dropout(x), first)
    assert dropout.eval()(x) is x
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros_like(x))


def test_one_draw_serves_four_values_in_bf16(monkeypatch):
    """PyTorch's own draws a number a value, which takes longer than the matrix products around it."""
    drawn = []
    random = torch.Tensor.random_
    monkeypatch.setattr(torch.Tensor, "random_", lambda self, *args: drawn.append(self.numel()) or random(self, *args))
    network = TableMLP(2, (3,), width=16, depth=2, expansion=2, dropout=0.5)
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(10, 2), torch.zeros(10, 1, dtype=torch.long), torch.rand(10))
    assert drawn == [10 * 32 // 4] * 2
