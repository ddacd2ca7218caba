"""TabDiff: joint diffusion over the continuous and discrete variables of a row (Shi et al., 2025)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from synthgen.diffusion.masked import draw_masks
from synthgen.diffusion.preconditioning import edm_loss, edm_preconditioning
from synthgen.diffusion.schedules import MaskSchedule, PowerMeanSchedule, check_positive, stratified_uniform
from synthgen.layout import TableLayout
from synthgen.models.base import Model
from synthgen.models.stages import EMA, Batch, GradientStage, Optimization
from synthgen.networks.ragged import RaggedLogits

__all__ = ["TabDiff"]


class TabDiff(Model):
    """Continuous variables by EDM, discrete ones by masked diffusion, in one time and by one network.

    At time t in [0, 1] a continuous variable carries Gaussian noise of level sigma_c(t), and a discrete one is masked
    with probability p_c(t); every column has a schedule of its own. The network sees the whole noisy row and predicts
    all of it, so that each kind of variable informs the other while both become clear.

    Sampling goes back from t = 1. The times at which a row's cells are revealed are drawn beforehand and merged into
    its grid of steps, so that no two cells of a row are ever revealed at once ("first-hitting", Zheng et al., 2025):
    dependent columns stay dependent however few the steps.

    Dropout stays on while sampling: every evaluation is that of a thinned network, as in training, so rows come from
    the mixture of networks that was fitted (Gal and Ghahramani, 2016). The one network that stands for their average
    is surer of itself than they are together, and repeats more training rows.

    Conditions are approximate: known discrete cells are revealed from the start, known continuous ones are held to
    their own noisy course, as in inpainting.

    Args:
        layout: What a row is made of.
        network: (numerical, cardinalities) to a network such as `TableMLP`.
        optimization: How its weights are fitted.
        ema: The average that sampling uses.
        sigma_min: Noise level of continuous variables at t = 0; they have unit variance.
        sigma_max: Noise level at t = 1. Higher ones tell next to nothing of a row, but take their share of training and
            of the steps; lower ones leave a trace of what a condition says, which sampling does not start from.
        rho: Exponent of their schedules at the start.
        rho_min: Exponent below which no schedule is learned.
        steps: Steps of sampling, besides one for each discrete variable; each is one evaluation of the network (NFE).

    Raises:
        SynthgenError: A noise level, an exponent or the number of steps is out of range.
    """

    conditioning = "approximate"

    def __init__(
        self,
        layout: TableLayout,
        network: Callable[[int, tuple[int, ...]], nn.Module],
        optimization: Optimization,
        ema: EMA,
        sigma_min: float = 0.002,
        sigma_max: float = 20.0,
        rho: float = 7.0,
        rho_min: float = 5.0,
        steps: int = 15,
    ) -> None:
        check_positive(steps=steps)
        denoiser = TableDenoiser(
            network(layout.numerical, layout.cardinalities),
            PowerMeanSchedule(layout.numerical, sigma_min, sigma_max, rho, rho_min),
            MaskSchedule(layout.categorical),
            RaggedLogits(layout.cardinalities),
        )
        super().__init__([GradientStage(denoiser, tabdiff_loss, optimization, ema)])
        self.layout = layout
        self.steps = steps

    def sample_block(
        self, size: int, condition: Batch | None, generator: torch.Generator, steps: int | None = None, **_: Any
    ) -> Batch:
        """Rows by the ancestral sampler of both diffusions; see `Model.sample_block`.

        Args:
            size: Number of rows.
            condition: Cells that are known.
            generator: Source of all randomness.
            steps: Another number of steps.

        Raises:
            SynthgenError: Fewer steps than one.
        """
        steps = self.steps if steps is None else steps
        check_positive(steps=steps)
        denoiser = cast(TableDenoiser, self.stages[0].trained)
        with _thinned(denoiser, generator):
            return first_hitting_sampler(denoiser, self.layout, size, steps, generator, condition)


@contextmanager
def _thinned(module: nn.Module, generator: torch.Generator) -> Iterator[None]:
    """Turns dropout on, with `generator` as the source of what is dropped."""
    dropouts = [part for part in module.modules() if isinstance(part, nn.Dropout)]
    device = generator.device
    # Dropout draws from the global generator of its device, which is put back as it was.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        # That of this device alone: `torch.manual_seed` would seed all others, which nobody puts back.
        own = (
            torch.cuda.default_generators[torch.cuda.current_device()]
            if device.type == "cuda"
            else torch.default_generator
        )
        own.manual_seed(int(torch.randint(2**62, (), generator=generator, device=device)))
        try:
            for dropout in dropouts:
                dropout.train()
            yield
        finally:
            for dropout in dropouts:
                dropout.eval()


class TableDenoiser(nn.Module):
    """Network, schedules and preconditioning: what a noisy row says of the clean one."""

    def __init__(
        self, network: nn.Module, noise: PowerMeanSchedule, masking: MaskSchedule, logits: RaggedLogits
    ) -> None:
        super().__init__()
        self.network = network
        self.noise = noise
        self.masking = masking
        self.logits = logits

    def forward(self, numerical: Tensor, sigma: Tensor, codes: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Denoised continuous values, and logits of discrete ones.

        Args:
            numerical: (batch, continuous) noisy values.
            sigma: (batch, continuous) their noise levels.
            codes: (batch, discrete) codes, the cardinality itself where masked.
            time: (batch,) in [0, 1].
        """
        scale = edm_preconditioning(sigma, sigma_data=1.0)
        output, logits = self.network(scale.into * numerical, codes, time)
        return scale.skip * numerical + scale.out * output.float(), logits


def tabdiff_loss(denoiser: TableDenoiser, batch: Batch, generator: torch.Generator) -> Tensor:
    """EDM's loss of continuous variables plus the evidence bound of discrete ones, a mean over rows (equation 12).

    Args:
        denoiser: What is trained.
        batch: `numerical` (batch, continuous) and `categorical` (batch, discrete).
        generator: Source of times, noise and masks.
    """
    clean, codes = batch["numerical"], batch["categorical"].long()
    time = stratified_uniform(len(clean), generator)
    sigma = denoiser.noise(time)
    noise = torch.randn(clean.shape, generator=generator, device=clean.device)
    masked, weight = draw_masks(denoiser.masking, time, generator)
    noisy_codes = torch.where(masked, denoiser.logits.sizes, codes)
    denoised, logits = denoiser(clean + sigma * noise, sigma, noisy_codes, time)
    continuous = edm_loss(denoised, clean, sigma, sigma_data=1.0).sum(dim=1)
    nll = denoiser.logits.nll(logits, codes) if codes.shape[1] else codes.float()
    discrete = (nll * masked * weight).sum(dim=1)
    return (continuous + discrete).mean()


def first_hitting_sampler(
    denoiser: TableDenoiser,
    layout: TableLayout,
    size: int,
    steps: int,
    generator: torch.Generator,
    condition: Batch | None = None,
) -> Batch:
    """Rows from noise: an ODE for continuous variables, one reveal at a time for discrete ones.

    Each row has its own times: an even grid of `steps` and the times at which its cells are revealed. At each of them
    the network is evaluated once; the cell due is drawn from it, and continuous variables step on to the next time by
    DPM-Solver++(2M) (Lu et al., 2022, algorithm 2 with alpha = 1).

    Args:
        denoiser: The trained denoiser.
        layout: What a row is made of.
        size: Number of rows.
        steps: Steps of the even grid; unused where a row has no continuous variable.
        generator: Source of all randomness.
        condition: Encoded cells that are known, `size` rows.
    """
    device = generator.device
    reveal = torch.rand(size, layout.categorical, generator=generator, device=device)
    reveal = denoiser.masking.inverse(reveal)
    known_numbers = known_codes = None
    codes = denoiser.logits.sizes.expand(size, -1).clone()
    if condition is not None:
        known_numbers, known_codes = condition["numerical_known"], condition["categorical_known"]
        reveal = torch.where(known_codes, 2.0, reveal)
        codes = torch.where(known_codes, condition["categorical"].long(), codes)
    grid = torch.linspace(1, 0, steps + 1, device=device) if layout.numerical else torch.zeros(1, device=device)
    # Known cells, at time 2, sort to the front of the times, where nothing is revealed: the draws of the other cells do
    # not depend on how many cells another row knows.
    times, order = torch.cat([reveal, grid.expand(size, -1)], dim=1).sort(dim=1, descending=True, stable=True)
    times = times.clamp(max=1.0)
    sigma = denoiser.noise(times[:, 0])
    # What noise of this level makes of unit variance.
    x = (1 + sigma**2).sqrt() * torch.randn(size, layout.numerical, generator=generator, device=device)
    last = times.shape[1] - 2
    previous = previous_step = x.new_zeros(())
    for i in range(last + 1):
        time, column = times[:, i], order[:, i]
        sigma_next = denoiser.noise(times[:, i + 1])
        if condition is not None and known_numbers is not None:
            noise = torch.randn(x.shape, generator=generator, device=device)
            x = torch.where(known_numbers, condition["numerical"] + sigma * noise, x)
        denoised, logits = denoiser(x, sigma, codes, time)
        if layout.categorical:
            due = column < layout.categorical
            column = column.clamp(max=layout.categorical - 1)
            if known_codes is not None:
                due &= ~known_codes.gather(1, column[:, None])[:, 0]
            drawn = denoiser.logits.sample(logits, column, generator)
            kept = codes.gather(1, column[:, None])[:, 0]
            codes = codes.scatter(1, column[:, None], torch.where(due, drawn, kept)[:, None])
        step = (sigma / sigma_next).log()
        target = denoised
        if 0 < i < last:
            # By no more than half of the latest change, whose step may have been next to none; and by nothing where a
            # cell was revealed meanwhile: what that changes is no slope.
            share = (step / previous_step.clamp(min=1e-6)).clamp(max=1.0) / 2
            share = share.masked_fill(order[:, i - 1, None] < layout.categorical, 0.0)
            target = denoised + share * (denoised - previous)
        x = target + sigma_next / sigma * (x - target)
        sigma, previous, previous_step = sigma_next, denoised, step
    if condition is not None and known_numbers is not None:
        x = torch.where(known_numbers, condition["numerical"], x)
    return {"numerical": x, "categorical": codes}
