"""TabSyn: diffusion over the latents of a table's autoencoder (Zhang et al., 2024)."""

from collections.abc import Callable
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from synthgen.diffusion.edm import EDMDiffusion
from synthgen.diffusion.preconditioning import edm_loss, edm_preconditioning
from synthgen.errors import SynthgenError
from synthgen.layout import TableLayout
from synthgen.models.base import Model
from synthgen.models.stages import EMA, Batch, ClosedFormStage, GradientStage, Optimization, Stage
from synthgen.models.table.cells import RowCells
from synthgen.models.table.rejection import by_rejection
from synthgen.models.variational import AdaptiveBeta, gaussian_kl, reparameterised
from synthgen.networks.cells import Marginals
from synthgen.networks.ragged import gumbel
from synthgen.networks.table_autoencoder import TableAutoencoder

__all__ = ["TabSyn"]

# Rows that are encoded at once.
_ENCODED = 8192


class TabSyn(Model):
    """Encodes rows into a latent space that holds words and numbers alike, and learns to draw from it by diffusion.

    First an autoencoder with attention between the cells of a row, every cell a few latents. Its objective is
    reconstruction plus a divergence from the standard normal whose weight falls as soon as reconstruction ceases to
    improve: what the space must be is smooth enough to be learned by the second stage, not normal. Then EDM (Karras et
    al., 2022, with sigma(t) = t) over the latents of all training rows, standardised. Their means and deviations are
    encoded once, and each batch draws from them, as in latent diffusion of images (Rombach et al., 2022). The paper
    learns the means alone: points, many on top of each other. What is drawn is smooth at the scale at which the decoder
    was taught to read it, so that diffusion need not learn what is finer: after as many examples of Adult, the error of
    the marginals was lower by a third.

    `val/loss` is the reconstruction of a row, a squared error or a cross-entropy a cell in their sum, in the first
    stage, and EDM's loss of the latents in the second.

    Sampling solves an ODE from noise to latents in `steps` steps, each of one evaluation of the denoiser, or two by
    "heun", and decodes them: words are drawn from the decoder's shares, of which a trained one leaves little to chance,
    and numbers are the expected ones. Conditions are kept by rejection: rows are drawn until all cells are as wanted.

    Args:
        layout: What a row is made of.
        autoencoder: (kinds of cells) to a network such as `TableAutoencoder`.
        denoiser: (latents of a row, ()) to a network such as `TableMLP`.
        optimization: How the weights of the denoiser are fitted.
        autoencoder_optimization: How those of the autoencoder are.
        ema: The average of either that sampling uses.
        beta: The weight of the divergence, beside means over cells and latents.
        share: Share of the training examples that the autoencoder takes, within 0 and 1.
        noise_mean: Mean of ln(sigma) in training, P_mean of the paper; latents have unit variance.
        noise_std: Its standard deviation, P_std of the paper.
        sigma_min: Lowest noise level of sampling.
        sigma_max: Highest one.
        rho: Spacing of the levels between.
        sampler: "euler", "heun" or "dpmpp_2m".
        steps: Its number of steps.

    Raises:
        SynthgenError: A share, a noise level, its spread or spacing, or the number of steps is out of range, or a
            sampler that does not exist.
    """

    conditioning = "rejection"
    preview: ClassVar[dict[str, Any]] = {"sampler": "dpmpp_2m", "steps": 10}

    def __init__(
        self,
        layout: TableLayout,
        autoencoder: Callable[..., TableAutoencoder],
        denoiser: Callable[..., nn.Module],
        optimization: Optimization,
        autoencoder_optimization: Optimization,
        ema: EMA,
        beta: AdaptiveBeta,
        share: float = 0.15,
        noise_mean: float = -0.4,
        noise_std: float = 1.2,
        sigma_min: float = 0.01,
        sigma_max: float = 80.0,
        rho: float = 7.0,
        sampler: str = "dpmpp_2m",
        steps: int = 20,
    ) -> None:
        if not 0 < share < 1:
            raise SynthgenError(f"share: found {share}, expected more than 0 and less than 1")
        cells = RowCells(layout)
        stages: list[Stage] = [ClosedFormStage(Marginals(()), self._count)]
        if len(cells):  # a table of constants alone has none
            coder = autoencoder(cells.kinds)
            latents = LatentDenoiser(denoiser(coder.latents, ()))
            stages = [
                ClosedFormStage(coder.marginals, self._count),
                GradientStage(coder, self._bound, autoencoder_optimization, ema, share, self._reconstruction),
                ClosedFormStage(Standardisation(coder.latents), self._standardise),
                GradientStage(latents, self._denoising, optimization, ema, 1 - share, resident=self._latents),
            ]
        super().__init__(stages)
        self.layout = layout
        self.cells = cells
        self.beta = beta
        self.diffusion = EDMDiffusion(noise_mean, noise_std, sigma_min, sigma_max, rho, sampler, steps)

    def sample_block(
        self,
        size: int,
        condition: Batch | None,
        generator: torch.Generator,
        sampler: str | None = None,
        steps: int | None = None,
        **_: Any,
    ) -> Batch:
        """Rows of latents drawn by an ODE, or of as many of them as a condition takes; see `Model.sample_block`.

        Args:
            size: Number of rows.
            condition: Cells that are wanted.
            generator: Source of the noise.
            sampler: Another sampler than the model's own.
            steps: Another number of steps.

        Raises:
            SynthgenError: A sampler that does not exist, or fewer steps than one.
        """
        if condition is None:
            return self._draw(size, generator, sampler, steps)
        assert self.acceptance is not None
        return by_rejection(lambda _: self._draw(size, generator, sampler, steps), condition, self.acceptance)

    def _draw(self, size: int, generator: torch.Generator, sampler: str | None, steps: int | None) -> Batch:
        device = generator.device
        values = torch.zeros(size, len(self.cells), dtype=torch.long, device=device)
        numbers = torch.zeros(size, len(self.cells), device=device)
        if not len(self.cells):
            return self.cells.to_batch(values, numbers)
        coder, scale = self._coder, cast(Standardisation, self.stages[2].trained)
        denoiser = cast(LatentDenoiser, self.stages[3].trained)
        latents = self.diffusion.sample(
            lambda x, sigma: denoiser(x, sigma.expand(len(x))), (size, coder.latents), generator, sampler, steps
        )
        logits, means = coder.decode(scale.undo(latents))
        for cells, of_values in logits:
            values[:, cells] = (of_values + gumbel(of_values.shape, generator)).argmax(dim=2).T
        numbers[:, coder.numbers] = means.T
        return self.cells.to_batch(values, numbers)

    @property
    def _coder(self) -> TableAutoencoder:
        return cast(TableAutoencoder, self.stages[1].trained)

    def _count(self, marginals: nn.Module, data: Batch) -> None:
        cast(Marginals, marginals).count(values for values, _ in self.cells.parts(data))

    def _bound(self, coder: TableAutoencoder, batch: Batch, generator: torch.Generator) -> Tensor:
        reconstruction, divergence = cell_bound(coder, *self.cells.to_cells(batch), generator)
        self.beta.observe(reconstruction.mean(dim=1))
        return reconstruction.mean() + self.beta.value * divergence.mean()

    def _reconstruction(self, coder: TableAutoencoder, batch: Batch, generator: torch.Generator) -> Tensor:
        return cell_bound(coder, *self.cells.to_cells(batch), generator)[0].sum(dim=1).mean()

    def _standardise(self, scale: nn.Module, data: Batch) -> None:
        cast(Standardisation, scale).fit(*self._encoded(data))

    def _latents(self, data: Batch) -> Batch:
        scale = cast(Standardisation, self.stages[2].trained)
        mean, deviation = self._encoded(data)
        return {"latents": scale(mean), "deviations": deviation / scale.std}

    def _encoded(self, data: Batch) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of the latents of rows, both (rows, latents)."""
        means, logvars = zip(*(self._coder.encode(*cells) for cells in self.cells.parts(data, _ENCODED)))
        return torch.cat(means), (torch.cat(logvars) / 2).exp()

    def _denoising(self, denoiser: "LatentDenoiser", batch: Batch, generator: torch.Generator) -> Tensor:
        encoded = batch if "latents" in batch else self._latents(batch)
        mean, deviation = encoded["latents"], encoded["deviations"]
        clean = mean + deviation * torch.randn(mean.shape, generator=generator, device=mean.device)
        noisy, sigma = self.diffusion.noisy(clean, generator)
        return edm_loss(denoiser(noisy, sigma), clean, sigma[:, None], sigma_data=1.0).mean()


class Standardisation(nn.Module):
    """Moves latents to mean 0, each dimension for itself, and scales all alike to variance 1.

    With a scale of its own, a dimension that says next to nothing would be as loud as the others.

    Args:
        latents: Dimensions.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latents))
        self.register_buffer("std", torch.ones(()))

    def fit(self, means: Tensor, deviations: Tensor) -> None:
        """Takes the mean of the latents of all rows, and the root of the mean variance; 1 where nothing varies.

        Args:
            means: (rows, latents) of the normal distribution of each latent.
            deviations: (rows, latents) its standard deviations.
        """
        self.mean.copy_(means.mean(dim=0))
        variance = means.var(dim=0, correction=0) + deviations.square().mean(dim=0)
        std = variance.mean().sqrt()
        self.std.copy_(torch.where(std > 0, std, 1.0))

    def forward(self, latents: Tensor) -> Tensor:
        """(rows, latents) to the same."""
        return (latents - self.mean) / self.std

    def undo(self, latents: Tensor) -> Tensor:
        """The inverse."""
        return latents * self.std + self.mean


class LatentDenoiser(nn.Module):
    """D(x, sigma): the network with EDM's preconditioning.

    Args:
        network: (x, no codes, noise) to a tensor of the shape of x, and no logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """(batch, latents) noisy latents of unit variance and (batch,) noise levels to expected clean ones."""
        scale = edm_preconditioning(sigma[:, None], sigma_data=1.0)
        codes = torch.zeros(len(x), 0, dtype=torch.long, device=x.device)
        output, _ = self.network(scale.into * x, codes, sigma.log() / 4)
        return scale.skip * x + scale.out * output.float()


def cell_bound(
    coder: TableAutoencoder, values: Tensor, numbers: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The two halves of the autoencoder's objective (Zhang et al., 2024, equation 4).

    Args:
        coder: The autoencoder.
        values: (batch, cells) value of each cell.
        numbers: (batch, cells) the number that a cell holds.
        generator: Source of the latents' noise.

    Returns:
        Reconstruction of every cell, (batch, cells): the cross-entropy of its value, in nats, and the squared error of
        the number that it holds; and divergence from the standard normal of every latent, (batch, latents), in nats.
    """
    mean, logvar = coder.encode(values, numbers)
    logits, means = coder.decode(reparameterised(mean, logvar, generator))
    error = torch.zeros(values.T.shape, device=values.device)
    for cells, of_values in logits:
        told = values.T[cells][:, :, None]
        error = error.index_add(0, cells, of_values.logsumexp(dim=2) - of_values.gather(2, told)[:, :, 0])
    holds = values.T[coder.numbers] == 0
    error = error.index_add(0, coder.numbers, (means - numbers.T[coder.numbers]).square() * holds)
    return error.T, gaussian_kl(mean, logvar)
