"""Masked diffusion over discrete columns of different cardinalities, without a loop over columns.

Going forward, every cell is replaced by "masked" at a random time; going back, cells are revealed one after another,
each drawn from the network's distribution given all that is known (Sahoo et al., 2024; Shi et al., 2024).
"""

import torch
from torch import Tensor

from synthgen.diffusion.schedules import MaskSchedule

__all__ = ["draw_masks"]

# Share of rows in which one cell is masked whatever the time.
_FORCED = 0.5


def draw_masks(schedule: MaskSchedule, time: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Which cells are masked, and the weight of each masked cell's negative log-likelihood in the evidence bound.

    Masks drawn from the schedule alone would weigh a masked cell by d/dt ln p(t) = k / t, which has no bound: nearly
    clean rows, where a cell is seldom masked, decide what a column is given all others, and are learned from rare and
    violent gradients. So half of the rows have one cell masked for certain, chosen evenly. The mixture's weight (the
    balance heuristic of Veach and Guibas, 1995) leaves the bound as it is and stays below 2 · columns / masked.

    Args:
        schedule: Of the masks.
        time: (batch,) in (0, 1].
        generator: Source of the draws.

    Returns:
        Booleans and weights, both (batch, columns).
    """
    probability = schedule(time)
    shape, device = probability.shape, time.device
    masked = torch.rand(shape, generator=generator, device=device) < probability
    if not shape[1]:
        return masked, probability
    forced = torch.rand(shape[0], generator=generator, device=device) < _FORCED
    chosen = torch.randint(shape[1], (shape[0], 1), generator=generator, device=device)
    masked = masked | (torch.zeros_like(masked).scatter_(1, chosen, True) & forced[:, None])
    # P(mask) under the mixture over P(mask) under the schedule alone.
    ratio = (1 - _FORCED) + _FORCED * (masked / probability).mean(dim=1, keepdim=True)
    return masked, schedule.weight(time) / ratio
