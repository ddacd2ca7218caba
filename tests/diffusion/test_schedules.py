import numpy as np
import pytest
import torch
from scipy.stats import kstest, lognorm

from synthgen.diffusion.schedules import (
    MaskSchedule,
    PowerMeanSchedule,
    karras_sigmas,
    lognormal_sigmas,
    stratified_uniform,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("steps", [1, 2, 3, 18, 200])
@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
def test_karras_sigmas_fall_from_end_to_end_and_then_to_0(steps, rho):
    sigmas = karras_sigmas(steps, 0.002, 80.0, rho)
    assert sigmas.shape == (steps + 1,)
    assert sigmas.dtype == torch.float32
    assert sigmas[0] == pytest.approx(80)
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()
    if steps > 1:
        assert sigmas[-2] == pytest.approx(0.002)
        steps_of_root = np.diff(sigmas[:-1].double().numpy() ** (1 / rho))
        np.testing.assert_allclose(steps_of_root, steps_of_root.mean(), rtol=1e-3)


def test_karras_sigmas_spend_more_steps_at_small_noise_for_larger_rho():
    assert (karras_sigmas(20, 0.002, 80.0, 7.0) < 1).sum() > (karras_sigmas(20, 0.002, 80.0, 2.0) < 1).sum()


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_stratified_times_lie_one_in_each_stratum(n):
    times = stratified_uniform(n, seeded())
    assert (times > 0).all()
    assert (times <= 1).all()
    assert torch.ceil(times.double() * n - 1e-6).sort().values.tolist() == list(range(1, n + 1))


def test_stratified_times_are_uniform_within_their_stratum_and_in_random_order():
    times = stratified_uniform(5000, seeded()).double().numpy()
    assert kstest(times * 5000 % 1, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(np.arange(5000), times)[0, 1]) < 0.05
    assert not np.array_equal(times, stratified_uniform(5000, seeded(1)).numpy())


@pytest.mark.parametrize(("mean", "std"), [(-1.2, 1.2), (0.5, 0.3)])
def test_lognormal_sigmas_have_the_moments_of_the_lognormal_distribution(mean, std):
    sigmas = lognormal_sigmas(20_000, mean, std, seeded()).double().numpy()
    expected = lognorm(s=std, scale=np.exp(mean))
    assert kstest(sigmas, expected.cdf).statistic < 1e-3, "stratified: far closer than independent draws"
    assert np.log(sigmas).mean() == pytest.approx(mean, abs=1e-3)
    assert np.log(sigmas).std() == pytest.approx(std, rel=1e-2)
    assert np.median(sigmas) == pytest.approx(expected.median(), rel=1e-3)
    assert sigmas.mean() == pytest.approx(expected.mean(), rel=1e-2)


def test_a_single_lognormal_sigma_is_a_fair_draw():
    drawn = torch.cat([lognormal_sigmas(1, -1.2, 1.2, seeded(i)) for i in range(2000)]).double().numpy()
    assert kstest(np.log(drawn), "norm", args=(-1.2, 1.2)).pvalue > 0.001


# One course a column


def test_power_mean_schedule_is_the_spacing_of_karras_in_continuous_time():
    schedule = PowerMeanSchedule(3, 0.002, 80.0, rho=5.0)
    sigma = schedule(torch.linspace(1, 0, 12))
    assert sigma.shape == (12, 3)
    for column in sigma.T:
        torch.testing.assert_close(column, karras_sigmas(12, 0.002, 80.0, 5.0)[:-1], rtol=1e-3, atol=1e-4)


def test_every_column_learns_its_own_course_between_the_same_ends():
    schedule = PowerMeanSchedule(2, 0.01, 10.0, rho_min=1.0)
    schedule.log_rho.data[:] = torch.tensor([1.0, 3.0]).log()
    sigma = schedule(torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(sigma[0], torch.full((2,), 0.01))
    torch.testing.assert_close(sigma[2], torch.full((2,), 10.0))
    middle = [5.005, ((0.01 ** (1 / 3) + 10 ** (1 / 3)) / 2) ** 3]
    torch.testing.assert_close(sigma[1], torch.tensor(middle))
    sigma[1].sum().backward()
    assert (schedule.log_rho.grad != 0).all()


def test_no_course_is_learned_below_the_bound_and_one_at_it_can_rise_again():
    schedule = PowerMeanSchedule(2, 0.01, 10.0, rho=6.0, rho_min=5.0)
    optimizer = torch.optim.SGD(schedule.parameters(), lr=1.0)
    for sign in (1, 1, -1):  # down, further down, and up again
        before = schedule(torch.tensor([0.5]))
        optimizer.zero_grad()
        (-sign * before.sum()).backward()
        optimizer.step()
        bound = PowerMeanSchedule(2, 0.01, 10.0, rho=5.0)(torch.tensor([0.5]))
        assert (before <= bound + 1e-6).all()
    assert (schedule(torch.tensor([0.5])) < bound).all()
    schedule.eval()
    schedule.log_rho.data[:] = 0.0
    torch.testing.assert_close(schedule(torch.tensor([0.5])), bound)


def mask_schedule(*k):
    schedule = MaskSchedule(len(k))
    schedule.log_k.copy_(torch.tensor(k).log())
    return schedule


def test_masking_follows_its_power_of_time():
    probability = mask_schedule(0.5, 1.0, 3.0)(torch.tensor([0.0, 0.25, 1.0]))
    torch.testing.assert_close(probability, torch.tensor([[0, 0, 0], [0.5, 0.25, 1 / 64], [1, 1, 1]]))


def test_the_time_of_a_masking_probability_is_found_again():
    schedule = mask_schedule(0.5, 1.0, 3.0)
    times = torch.linspace(0.01, 1, 50)
    torch.testing.assert_close(schedule.inverse(schedule(times)), times[:, None].expand(-1, 3))


def test_the_weight_of_the_evidence_bound_is_the_slope_of_the_log_probability():
    schedule = mask_schedule(0.5, 1.0, 3.0)
    times = torch.linspace(0.05, 1, 30, requires_grad=True)
    probability = schedule(times)
    for column in range(3):
        (slope,) = torch.autograd.grad(probability[:, column].log().sum(), times, retain_graph=True)
        torch.testing.assert_close(schedule.weight(times)[:, column].detach(), slope)


def test_the_evidence_bound_of_a_column_does_not_depend_on_its_course():
    """A loss that is the same at all times is weighted by ∫ k/t · t^k dt = 1, whatever k."""
    schedule = mask_schedule(0.5, 1.0, 3.0)
    times = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    weight = (schedule.weight(times) * schedule(times)).mean(dim=0)
    torch.testing.assert_close(weight, torch.ones(3, dtype=torch.float64), rtol=2e-3, atol=0)
