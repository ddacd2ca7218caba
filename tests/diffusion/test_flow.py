"""On a mixture of Gaussians, whose velocity is known, against an ODE solver of SciPy."""

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import kstest

from synthgen.diffusion.flow import (
    SOLVERS,
    dopri5,
    euler,
    flow_times,
    heun,
    logit_normal_times,
    paired_noise,
)
from tests.diffusion.test_samplers import MEANS, STDS, WEIGHTS, distribution, seeded


def velocity(x, t):
    """E[eps − x0 | x_t]: each component's own, weighted by how likely the component is."""
    clean = 1 - t
    variance = clean**2 * STDS**2 + t**2
    x = x[..., None]
    likely = (WEIGHTS.log() - (x - clean * MEANS) ** 2 / (2 * variance) - variance.log() / 2).softmax(dim=-1)
    off = (x - clean * MEANS) / variance
    return (likely * (t * off - (MEANS + clean * STDS**2 * off))).sum(dim=-1)


@pytest.fixture(scope="module")
def start():
    return torch.linspace(-2.5, 2.5, 7, dtype=torch.float64)


@pytest.fixture(scope="module")
def exact(start):
    solved = solve_ivp(
        lambda t, x: velocity(torch.from_numpy(x), t).numpy(),
        (1.0, 0.0),
        start.numpy(),
        method="DOP853",
        rtol=1e-12,
        atol=1e-12,
    )
    return torch.from_numpy(solved.y[:, -1])


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (heun, 2)])
def test_order_of_convergence_is_the_one_documented(solver, order, start, exact):
    errors = [(solver(velocity, start, flow_times(steps).double()) - exact).abs().mean() for steps in (64, 128, 256)]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


def test_dopri5_is_as_exact_as_it_is_asked_to_be_and_of_fifth_order(start, exact):
    found = []
    for tolerance in (1e-3, 1e-6, 1e-9):
        asked = []

        def counted(x, t, asked=asked):
            asked.append(float(t))
            return velocity(x, t)

        error = (dopri5(counted, start, flow_times(10).double(), tolerance) - exact).abs().max()
        assert error < 10 * tolerance
        assert asked[0] == 1.0
        assert min(asked) >= 0.0
        found.append((len(asked), float(error)))
    (few, _), (more, coarse), (most, fine) = found
    assert few < more < most < 2000
    assert math.log(coarse / fine) / math.log(most / more) > 4.5, "of fifth order"


@pytest.mark.parametrize("solver", SOLVERS.values())
def test_from_noise_comes_the_distribution_of_the_data(solver):
    noise = torch.randn(4000, generator=seeded(), dtype=torch.float64)
    assert kstest(solver(velocity, noise, flow_times(100).double()).numpy(), distribution).pvalue > 0.01


@pytest.mark.parametrize("solver", SOLVERS.values())
def test_a_straight_course_is_followed_exactly(solver):
    x = torch.tensor([2.0, -1.0])
    torch.testing.assert_close(solver(lambda x, t: torch.full_like(x, 3.0), x, flow_times(4)), x - 3.0)


def test_a_velocity_without_bounds_ends_with_an_error():
    with pytest.raises(RuntimeError, match=r"dopri5: not at t = 0\.0"):
        dopri5(lambda x, t: torch.randn(x.shape) * 1e9, torch.zeros(4), flow_times(4))


def test_times_of_training_have_normal_logits():
    logits = logit_normal_times(4000, -0.5, 1.3, seeded()).logit()
    assert logits.mean().item() == pytest.approx(-0.5, abs=0.02)
    assert logits.std().item() == pytest.approx(1.3, abs=0.02)


def test_noise_changes_places_within_classes_alone():
    generator = seeded()
    clean, noise = torch.randn(40, 3, generator=generator), torch.randn(40, 3, generator=generator)
    label = torch.arange(40) % 3
    paired = paired_noise(clean, noise, label)
    for one in range(3):
        torch.testing.assert_close(paired[label == one], paired_noise(clean[label == one], noise[label == one]))


def test_paired_noise_is_the_same_noise_in_the_nearest_order():
    rng = np.random.default_rng(0)
    clean = torch.from_numpy(rng.normal(size=(6, 2, 3)))
    noise = torch.from_numpy(rng.normal(size=(6, 2, 3)))
    paired = paired_noise(clean, noise)
    assert sorted(paired.flatten().tolist()) == sorted(noise.flatten().tolist())

    def apart(order):
        return float((clean - noise[list(order)]).square().sum())

    assert float((clean - paired).square().sum()) == pytest.approx(min(map(apart, permutations(range(6)))))
