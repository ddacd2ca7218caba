import pytest
import torch
from scipy.stats import chisquare

from synthgen.diffusion.masked import draw_masks
from synthgen.diffusion.schedules import MaskSchedule


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mask_schedule(*k):
    schedule = MaskSchedule(len(k))
    schedule.log_k.copy_(torch.tensor(k).log())
    return schedule


@pytest.mark.parametrize("time", [0.02, 0.3, 1.0])
def test_weighted_masks_leave_the_evidence_bound_as_it_is(time):
    """For any loss of every pattern of masks: the sum of its probability, the losses and the weights d/dt ln p."""
    schedule, rows = mask_schedule(1.0, 0.5, 2.0), 400_000
    loss = torch.rand(8, 3, generator=seeded(5), dtype=torch.float64) + 0.5
    patterns = torch.tensor([[i >> bit & 1 for bit in range(3)] for i in range(8)], dtype=torch.float64)
    p = schedule(torch.tensor([time])).double()
    probability = torch.where(patterns == 1, p, 1 - p).prod(dim=1)
    expected = (probability[:, None] * patterns * loss * schedule.weight(torch.tensor([time])).double()).sum()

    masked, weight = draw_masks(schedule, torch.full((rows,), time), seeded())
    pattern = (masked * torch.tensor([1, 2, 4])).sum(dim=1)
    drawn = (masked * weight * loss[pattern]).sum(dim=1)
    error = float(drawn.std()) / rows**0.5
    assert float(drawn.mean()) == pytest.approx(float(expected), abs=4 * error)
    assert error < 0.01 * float(expected), "bounded weights: a plain draw of rare masks would scatter more"


def test_the_weight_of_a_mask_is_bounded_however_early_the_time():
    masked, weight = draw_masks(mask_schedule(1.0, 1.0, 1.0, 1.0), torch.rand(5000, generator=seeded(1)) ** 4, seeded())
    weighted = (masked * weight).max(dim=1).values
    assert (weighted <= 2 * 4 / masked.sum(dim=1).clamp(min=1) + 1e-4).all()


def test_half_of_the_rows_have_a_cell_masked_for_certain_evenly_over_columns():
    masked, _ = draw_masks(mask_schedule(1.0, 1.0, 1.0), torch.full((30_000,), 1e-6), seeded())
    counts = masked.sum(dim=0).tolist()
    assert chisquare([*counts, 30_000 - sum(counts)], [5000, 5000, 5000, 15_000]).pvalue > 0.001


def test_a_table_without_discrete_columns_has_no_masks():
    masked, weight = draw_masks(MaskSchedule(0), torch.rand(4), seeded())
    assert masked.shape == weight.shape == (4, 0)
