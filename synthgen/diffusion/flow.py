"""Flow matching: straight paths from data to noise, the velocity along them, and ODE solvers over it.

x_t = (1 − t) x0 + t eps runs from data at t = 0 to noise at t = 1, with velocity eps − x0 (Lipman et al., 2023; Liu et
al., 2023, "rectified flow"). As noisy data it is x_t / (1 − t) at sigma = t / (1 − t), which is not defined at t = 1;
the velocity is.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from synthgen.diffusion.schedules import stratified_uniform

__all__ = ["SOLVERS", "Velocity", "dopri5", "euler", "flow_times", "heun", "logit_normal_times", "paired_noise"]

Velocity = Callable[[Tensor, Tensor], Tensor]

# Dormand and Prince (1980), table 2: stages' times, weights of earlier slopes, and the two results' differences.
_TIMES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_WEIGHTS = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERRORS = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
# Steps of the adaptive solver: fewer are enough wherever the velocity is a network's.
_MOST_STEPS = 1000


def euler(velocity: Velocity, x: Tensor, times: Tensor) -> Tensor:
    """Euler's method, of first order, one evaluation a step.

    Args:
        velocity: (x, t) to dx/dt; t is a scalar tensor.
        x: Noise at `times[0]`, any shape.
        times: (steps + 1,) from 1 down to 0.
    """
    for t, t_next in pairwise(times):
        x = x + (t_next - t) * velocity(x, t)
    return x


def heun(velocity: Velocity, x: Tensor, times: Tensor) -> Tensor:
    """Heun's method, of second order, two evaluations a step.

    Args:
        velocity: (x, t) to dx/dt; t is a scalar tensor.
        x: Noise at `times[0]`, any shape.
        times: (steps + 1,) from 1 down to 0.
    """
    for t, t_next in pairwise(times):
        slope = velocity(x, t)
        ahead = x + (t_next - t) * slope
        x = x + (t_next - t) * (slope + velocity(ahead, t_next)) / 2
    return x


def dopri5(velocity: Velocity, x: Tensor, times: Tensor, tolerance: float = 1e-3) -> Tensor:
    """Dormand and Prince's method of fifth order with steps of its own (Hairer et al., 1993, section II.4).

    A step whose error, in the root mean square over all of x, is above `tolerance` × (1 + |x|) is made again, shorter.
    It has six evaluations, as the last slope of a step is the first one of the next.

    Args:
        velocity: (x, t) to dx/dt; t is a scalar tensor.
        x: Noise at `times[0]`, any shape.
        times: Its first and last are where it begins and ends; the first step is as long as the one of `times`.
        tolerance: Error that a step may have.

    Raises:
        RuntimeError: The velocity needs steps without end.
    """
    t, end = float(times[0]), float(times[-1])
    step = float(times[1]) - t
    slope = velocity(x, times[0])
    for _ in range(_MOST_STEPS):
        step = max(step, end - t) if step < 0 else min(step, end - t)
        slopes = [slope]
        for place, weights in zip(_TIMES[1:], _WEIGHTS[1:]):
            ahead = x + step * sum(weight * known for weight, known in zip(weights, slopes) if weight)
            slopes.append(velocity(ahead, times.new_tensor(t + place * step)))
        error = step * sum(weight * known for weight, known in zip(_ERRORS, slopes) if weight)
        scale = tolerance * (1 + torch.maximum(x.abs(), ahead.abs()))
        size = float((error / scale).square().mean().sqrt())
        if size <= 1:
            t, x, slope = t + step, ahead, slopes[-1]
            if abs(end - t) < 1e-9:
                return x
        step *= min(5.0, max(0.2, 0.9 * max(size, 1e-9) ** -0.2))
    raise RuntimeError(f"dopri5: not at t = {end} after {_MOST_STEPS} steps")


SOLVERS: dict[str, Callable[[Velocity, Tensor, Tensor], Tensor]] = {
    function.__name__: function for function in (euler, heun, dopri5)
}


def flow_times(steps: int) -> Tensor:
    """(steps + 1,) times, evenly from 1 down to 0."""
    return torch.linspace(1, 0, steps + 1)


def logit_normal_times(n: int, mean: float, std: float, generator: torch.Generator) -> Tensor:
    """Times of training with ln(t / (1 − t)) ~ N(mean, std²) (Esser et al., 2024, section 3.1), stratified.

    Returns:
        (n,) within 0 and 1.
    """
    quantiles = stratified_uniform(n, generator).clamp(1e-5, 1 - 1e-5)
    return (mean + std * torch.special.ndtri(quantiles)).sigmoid()


def paired_noise(clean: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
    """The noise of a batch in the order in which it lies nearest to the batch's data (Tong et al., 2024).

    Such paths cross less, so that fewer steps can follow them. The squared distances are minimised in their sum,
    exactly, on the host. Noise changes places within classes alone: a network that is told the class would else learn
    which noise belongs to it, while sampling draws any (Cheng and Schwing, 2025).

    Args:
        clean: (batch, …).
        noise: Of the same shape.
        label: (batch,) classes of the data, or None.
    """
    cost = torch.cdist(clean.flatten(1).float(), noise.flatten(1).float()).square()
    if label is not None:
        cost = cost + (cost.max() + 1) * len(cost) * (label[:, None] != label)
    return noise[torch.from_numpy(linear_sum_assignment(cost.cpu().numpy())[1]).to(noise.device)]
