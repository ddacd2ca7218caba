import numpy as np
import pytest
import torch
from scipy.stats import logistic, norm
from torch.distributions import Normal, kl_divergence

from synthgen.models.variational import (
    AdaptiveBeta,
    bernoulli_nll,
    discretised_logistic_nll,
    free_bits,
    gaussian_kl,
    gaussian_nll,
    reparameterised,
)


def some(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_divergence_is_that_of_two_normal_distributions():
    mean, logvar = some(50), some(50, seed=1)
    expected = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(gaussian_kl(mean, logvar), expected)


def test_draws_have_the_mean_and_the_variance_and_pass_gradients():
    mean, logvar = torch.tensor([2.0], requires_grad=True), torch.tensor([-1.0], requires_grad=True)
    drawn = reparameterised(mean.expand(100_000), logvar.expand(100_000), torch.Generator().manual_seed(0))
    assert drawn.mean().item() == pytest.approx(2, abs=0.01)
    assert drawn.var().item() == pytest.approx(np.exp(-1), rel=0.02)
    drawn.square().mean().backward()
    assert mean.grad.item() == pytest.approx(4, rel=0.02)
    assert logvar.grad.item() == pytest.approx(np.exp(-1), rel=0.05)


def test_free_bits_bound_each_dimension_from_below_and_stop_its_gradient():
    kl = torch.tensor([[0.1, 2.0], [0.3, 4.0]], requires_grad=True)
    cost = free_bits(kl, 0.5)
    assert cost.item() == pytest.approx(0.5 + 3.0)
    cost.backward()
    torch.testing.assert_close(kl.grad, torch.tensor([[0.0, 0.5], [0.0, 0.5]]))
    assert free_bits(kl, 0.0).item() == pytest.approx(0.2 + 3.0)


def test_the_normal_likelihood_is_scipys():
    x, mean, logvar = some(20), some(20, seed=1), some(20, seed=2)
    expected = -norm.logpdf(x.numpy(), mean.numpy(), np.exp(logvar.numpy() / 2))
    np.testing.assert_allclose(gaussian_nll(x, mean, logvar).numpy(), expected, rtol=1e-5)


def test_the_bernoulli_likelihood_of_a_bit_is_its_probability():
    logits = torch.tensor([0.3, 0.3])
    p = 1 / (1 + np.exp(-0.3))
    np.testing.assert_allclose(
        bernoulli_nll(torch.tensor([1.0, 0.0]), logits).numpy(), [-np.log(p), -np.log(1 - p)], rtol=1e-6
    )


LEVELS = torch.arange(256) / 127.5 - 1


@pytest.mark.parametrize(("mean", "log_scale"), [(0.0, -1.0), (0.31, -4.0), (-0.999, -6.0), (1.7, 0.5), (-3.0, 1.0)])
def test_the_levels_of_a_discretised_logistic_sum_to_one_and_are_scipys(mean, log_scale):
    nll = discretised_logistic_nll(LEVELS, torch.tensor(mean), torch.tensor(log_scale))
    assert (-nll).exp().sum().item() == pytest.approx(1, abs=1e-4)
    edges = np.concatenate([[-np.inf], (LEVELS.double().numpy()[:-1] + LEVELS.double().numpy()[1:]) / 2, [np.inf]])
    share = np.diff(logistic.cdf(edges, mean, np.exp(log_scale)))
    likely = share > 1e-5
    np.testing.assert_allclose((-nll).exp().numpy()[likely], share[likely], rtol=2e-3)


def test_a_discretised_logistic_is_finite_however_far_and_narrow():
    mean = torch.zeros(256, requires_grad=True)
    log_scale = torch.full((256,), -7.0, requires_grad=True)
    nll = discretised_logistic_nll(LEVELS, mean, log_scale)
    nll.sum().backward()
    for value in (nll, mean.grad, log_scale.grad):
        assert torch.isfinite(value).all()


def test_beta_falls_when_the_mean_reconstruction_of_so_many_examples_has_not():
    beta = AdaptiveBeta(start=0.01, end=0.004, decay=0.7, every=4, patience=2)
    found = []
    for mean in (5.0, 4.0, 4.5, 4.1, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6):
        for _ in range(2):  # two batches to a mean
            beta.observe(torch.tensor([mean - 1, mean + 1]))
            found.append(float(beta.value))
    steps = [0.01] * 7 + [0.007] * 6 + [0.0049] * 4 + [0.004] * 5
    assert found == pytest.approx(steps)
