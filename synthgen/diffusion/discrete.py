"""DDPM's discrete-time diffusion: its noise levels, what a network predicts, and how losses are weighted."""

import math

import torch
from torch import Tensor, nn

from synthgen.diffusion.schedules import check_positive
from synthgen.errors import SynthgenError, nearest

__all__ = ["PREDICTIONS", "SCHEDULES", "DiscreteSchedule", "clean_from", "min_snr_weight", "prediction_target"]

SCHEDULES = ("cosine", "linear")
PREDICTIONS = ("epsilon", "x0", "v")


class DiscreteSchedule(nn.Module):
    """Noise levels of T steps: x_t = sqrt(alpha_bar_t) x0 + sqrt(1 − alpha_bar_t) eps, t = 0 .. T − 1.

    Args:
        name: "cosine" (Nichol and Dhariwal, 2021, equation 17) or "linear" variances from 1e-4 to 0.02 over 1,000 steps
            (Ho et al., 2020), steeper over fewer.
        steps: T.

    Raises:
        SynthgenError: A schedule that does not exist, or too few steps.
    """

    alpha_bar: Tensor
    log_sigma: Tensor

    def __init__(self, name: str, steps: int) -> None:
        super().__init__()
        check_positive(steps=steps)
        if name == "cosine":
            times = torch.arange(steps + 1, dtype=torch.float64) / steps
            cumulated = ((times + 0.008) / 1.008 * math.pi / 2).cos() ** 2
            beta = (1 - cumulated[1:] / cumulated[:-1]).clamp(max=0.999)
        elif name == "linear":
            beta = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64).mul(1000 / steps).clamp(max=0.999)
        else:
            raise SynthgenError(f"schedule: unknown {name!r}: {nearest(name, SCHEDULES, what='schedules are')}")
        alpha_bar = (1 - beta).cumprod(dim=0)
        self.register_buffer("alpha_bar", alpha_bar.float(), persistent=False)
        self.register_buffer("log_sigma", ((1 - alpha_bar) / alpha_bar).log().div(2).float(), persistent=False)

    def __len__(self) -> int:
        return len(self.alpha_bar)

    def step_of(self, sigma: Tensor) -> Tensor:
        """Steps at which noise levels sigma = sqrt((1 − alpha_bar) / alpha_bar) are met, between two where need be.

        Args:
            sigma: Any shape; what lies beyond the ends counts as the ends.

        Returns:
            Floats within 0 and T − 1, of the same shape.
        """
        wanted = sigma.log().clamp(self.log_sigma[0], self.log_sigma[-1])
        above = torch.searchsorted(self.log_sigma, wanted.contiguous()).clamp(1, max(len(self) - 1, 1))
        low, high = self.log_sigma[above - 1], self.log_sigma[above]
        return above - 1 + (wanted - low) / (high - low)

    def sigmas(self, steps: int) -> Tensor:
        """(steps + 1,) noise levels of sampling on the host, from the last step evenly down, then 0 (Lin et al., 2024).

        Raises:
            SynthgenError: Fewer steps than one, or more than T.
        """
        check_positive(steps=steps)
        if steps > len(self):
            raise SynthgenError(f"steps: found {steps}, expected at most the {len(self)} of training")
        chosen = torch.arange(len(self), 0, -len(self) / steps).round().long()[:steps] - 1
        return torch.cat([self.log_sigma.cpu()[chosen].exp(), torch.zeros(1)])


def prediction_target(prediction: str, clean: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """What a network shall say of x_t: eps, x0, or v = sqrt(alpha_bar) eps − sqrt(1 − alpha_bar) x0.

    v is of Salimans and Ho (2022), section 4.

    Args:
        prediction: One of `PREDICTIONS`.
        clean: x0, (batch, …).
        noise: eps, of the same shape.
        alpha_bar: Broadcastable to it.
    """
    if prediction == "epsilon":
        return noise
    return clean if prediction == "x0" else alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * clean


def clean_from(prediction: str, predicted: Tensor, noisy: Tensor, alpha_bar: Tensor) -> Tensor:
    """x0 by what a network says of x_t: the inverse of `prediction_target`.

    Args:
        prediction: One of `PREDICTIONS`.
        predicted: What it says, (batch, …).
        noisy: x_t, of the same shape.
        alpha_bar: Broadcastable to it.
    """
    if prediction == "epsilon":
        return (noisy - (1 - alpha_bar).sqrt() * predicted) / alpha_bar.sqrt()
    return predicted if prediction == "x0" else alpha_bar.sqrt() * noisy - (1 - alpha_bar).sqrt() * predicted


def min_snr_weight(prediction: str, alpha_bar: Tensor, gamma: float) -> Tensor:
    """Weights by which the loss of any prediction is that of x0, times min(SNR, gamma) (Hang et al., 2023, equation 8).

    SNR is alpha_bar / (1 − alpha_bar).

    Args:
        prediction: One of `PREDICTIONS`.
        alpha_bar: Any shape.
        gamma: Largest weight of the loss of x0.

    Returns:
        A tensor of the same shape.
    """
    snr = alpha_bar / (1 - alpha_bar)
    least = snr.clamp(max=gamma)
    return {"epsilon": least / snr, "x0": least, "v": least / (snr + 1)}[prediction]
