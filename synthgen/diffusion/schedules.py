"""Noise levels: how they are drawn in training and spaced in sampling, and schedules with one course a column.

Noisy data is x = x0 + sigma · eps throughout (alpha = 1, the variance-exploding path of EDM). A path with another alpha
enters divided by it: x / alpha has noise level sigma / alpha.
"""

import math

import torch
from torch import Tensor, nn

from synthgen.errors import SynthgenError

__all__ = [
    "MaskSchedule",
    "PowerMeanSchedule",
    "check_positive",
    "check_sigmas",
    "karras_sigmas",
    "lognormal_sigmas",
    "stratified_uniform",
]


def karras_sigmas(
    steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0, device: torch.device | str = "cpu"
) -> Tensor:
    """Noise levels from `sigma_max` down to `sigma_min`, then 0 (Karras et al., 2022, equation 5).

    Returns:
        (steps + 1,) decreasing, the last one 0.
    """
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64, device=device)
    sigmas = (sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho
    return torch.cat([sigmas, sigmas.new_zeros(1)]).float()


def lognormal_sigmas(n: int, mean: float, std: float, generator: torch.Generator) -> Tensor:
    """Noise levels with ln(sigma) ~ N(mean, std²) (Karras et al., 2022, table 1), stratified over the batch.

    Returns:
        (n,) positive.
    """
    quantiles = stratified_uniform(n, generator).clamp(1e-5, 1 - 1e-5)
    return (mean + std * math.sqrt(2) * torch.erfinv(2 * quantiles - 1)).exp()


def stratified_uniform(n: int, generator: torch.Generator) -> Tensor:
    """n times in (0, 1], one in each of n equal strata, in random order: the batch covers all times evenly.

    Less variance than independent draws, at no cost (Kingma et al., 2021, appendix I.1).
    """
    order = torch.randperm(n, generator=generator, device=generator.device)
    jitter = torch.rand(n, generator=generator, device=generator.device)
    return (order + 1 - jitter) / n


def check_sigmas(sigma_min: float, sigma_max: float) -> None:
    """Refuses ends between which no noise levels lie.

    Raises:
        SynthgenError: The lower end is not above 0, or the upper one not above it.
    """
    check_positive(sigma_min=sigma_min)
    if not sigma_max > sigma_min:
        raise SynthgenError(f"sigma_max: found {sigma_max}, expected more than sigma_min={sigma_min}")


def check_positive(**settings: float) -> None:
    """Refuses settings, by their names, that are not above 0.

    Raises:
        SynthgenError: The first of them.
    """
    for name, value in settings.items():
        if not value > 0:
            raise SynthgenError(f"{name}: found {value}, expected more than 0")


class PowerMeanSchedule(nn.Module):
    """Noise level over time, one course a column: sigma(t) interpolates between its ends with exponent rho.

    sigma(t) = (sigma_min^(1/rho) + t · (sigma_max^(1/rho) − sigma_min^(1/rho)))^rho, as in Karras et al. (2022),
    equation 5, with a learnable rho a column (Shi et al., 2025, "TabDiff", equation 9).

    The loss alone would let rho of a column that others say little of fall without end: noise that hides all is easily
    predicted. An even grid of times then leaps from noise that hides the column to none, and draws its mean. Hence
    a bound, as in the paper's code.

    Args:
        columns: Number of continuous columns.
        sigma_min: Noise level at t = 0.
        sigma_max: Noise level at t = 1.
        rho: Exponent at the start; larger spends more time at small noise.
        rho_min: Exponent below which no column falls.

    Raises:
        SynthgenError: A noise level or an exponent is out of range.
    """

    def __init__(
        self, columns: int, sigma_min: float, sigma_max: float, rho: float = 7.0, rho_min: float = 5.0
    ) -> None:
        super().__init__()
        check_sigmas(sigma_min, sigma_max)
        if not 0 < rho_min <= rho:
            raise SynthgenError(f"rho: found {rho} with rho_min={rho_min}, expected 0 < rho_min ≤ rho")
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max
        self.rho_min = rho_min
        self.log_rho = nn.Parameter(torch.full((columns,), math.log(rho)))

    def forward(self, t: Tensor) -> Tensor:
        """(batch,) times in [0, 1] to (batch, columns) noise levels."""
        least = math.log(self.rho_min)
        if self.training:
            # Put back to the bound, and not cut off from its gradient, a column can leave it again.
            with torch.no_grad():
                self.log_rho.clamp_(min=least)
            rho = self.log_rho.exp()
        else:
            rho = self.log_rho.clamp(min=least).exp()
        low, high = self.sigma_min ** (1 / rho), self.sigma_max ** (1 / rho)
        return (low + t[:, None] * (high - low)) ** rho


class MaskSchedule(nn.Module):
    """Probability that a cell is masked over time, one course a column: t^k (Shi et al., 2025, equation 10).

    The evidence bound of one column does not depend on its k, only the order in which columns are revealed does, so k
    is set and not learned.

    Args:
        columns: Number of discrete columns.
        k: Exponent at the start; above 1, a column keeps its value for longer.
    """

    log_k: Tensor

    def __init__(self, columns: int, k: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("log_k", torch.full((columns,), math.log(k)))

    def forward(self, t: Tensor) -> Tensor:
        """(batch,) times in [0, 1] to (batch, columns) probabilities of being masked."""
        return t[:, None] ** self.log_k.exp()

    def weight(self, t: Tensor) -> Tensor:
        """(batch,) times to (batch, columns) weights of the evidence bound: d/dt ln P(masked) = k / t."""
        return self.log_k.exp() / t[:, None]

    def inverse(self, probability: Tensor) -> Tensor:
        """(batch, columns) probabilities to the times at which cells are masked with them."""
        return probability ** (-self.log_k).exp()
