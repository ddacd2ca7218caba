"""TVAE: a variational autoencoder over the columns of a table (Xu et al., 2019)."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from synthgen.layout import TableLayout
from synthgen.models.base import Model
from synthgen.models.stages import EMA, Batch, GradientStage, Optimization
from synthgen.models.table.features import RowFeatures, features_stage
from synthgen.models.table.rejection import by_rejection
from synthgen.models.variational import gaussian_kl, gaussian_nll, reparameterised

__all__ = ["TVAE"]


class TVAE(Model):
    """Encodes rows into normal latents, and learns the distribution of every cell given them.

    Numbers are normal around what the decoder says, each with a spread of its own that is learned; codes are drawn from
    the decoder's logits. The objective is the evidence bound, its divergence weighted by `beta`; `val/loss` is the
    bound itself (beta = 1), in nats a row.

    Conditions are kept by rejection: rows are drawn until all cells are as wanted.

    Args:
        layout: What a row is made of.
        network: (inputs, outputs) to a network such as `MLP`; the encoder and the decoder.
        optimization: How they are fitted.
        ema: Average that sampling uses.
        latent: Numbers that a row is encoded into.
        beta: Weight of the divergence (Higgins et al., 2017). Below 1 rows are reconstructed better than the prior that
            samples come from is met.
    """

    conditioning = "rejection"

    def __init__(
        self,
        layout: TableLayout,
        network: Callable[..., nn.Module],
        optimization: Optimization,
        ema: EMA,
        latent: int = 128,
        beta: float = 0.5,
    ) -> None:
        features = features_stage(layout)
        rows = cast(RowFeatures, features.module)
        coder = RowCoder(network(rows.width, 2 * latent), network(latent, rows.width), rows.numbers)
        super().__init__([features, GradientStage(coder, self._objective, optimization, ema, validation=self._bound)])
        self.layout = layout
        self.latent = latent
        self.beta = beta

    def sample_block(self, size: int, condition: Batch | None, generator: torch.Generator, **_: Any) -> Batch:
        """Rows from the prior, or from as many draws of it as a condition takes; see `Model.sample_block`."""
        if condition is None:
            return self._draw(size, generator)
        assert self.acceptance is not None
        return by_rejection(lambda _: self._draw(size, generator), condition, self.acceptance)

    def _draw(self, size: int, generator: torch.Generator) -> Batch:
        features, coder = cast(RowFeatures, self.stages[0].trained), cast(RowCoder, self.stages[1].trained)
        latents = torch.randn(size, self.latent, generator=generator, device=generator.device)
        mean, logits = coder.decode(latents)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        numbers = mean.float() + (coder.logvar / 2).exp() * noise
        return features.to_batch(numbers, features.blocks.draw(logits, generator))

    def _objective(self, coder: "RowCoder", batch: Batch, generator: torch.Generator) -> Tensor:
        reconstruction, divergence = row_bound(coder, cast(RowFeatures, self.stages[0].trained), batch, generator)
        return (reconstruction + self.beta * divergence).mean()

    def _bound(self, coder: "RowCoder", batch: Batch, generator: torch.Generator) -> Tensor:
        reconstruction, divergence = row_bound(coder, cast(RowFeatures, self.stages[0].trained), batch, generator)
        return (reconstruction + divergence).mean()


class RowCoder(nn.Module):
    """An encoder and a decoder.

    Args:
        encoder: (features of a row) to mean and log-variance of its latents, side by side.
        decoder: (latents) to the numbers and the logits of the codes of a row, side by side.
        numbers: Numbers of a row.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, numbers: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.numbers = numbers
        self.logvar = nn.Parameter(torch.zeros(numbers))

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, features) to mean and log-variance, both (batch, latent), float32."""
        mean, logvar = self.encoder(features).float().chunk(2, dim=1)
        return mean, logvar.clamp(-20, 20)

    def decode(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, latent) to (batch, numbers) and (batch, sum of cardinalities)."""
        output = self.decoder(latents)
        return output[:, : self.numbers], output[:, self.numbers :]


def row_bound(
    coder: RowCoder, features: RowFeatures, batch: Batch, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The two halves of the negative evidence bound of rows, in nats (Kingma and Welling, 2014, equation 3).

    Args:
        coder: Encoder and decoder.
        features: The dense form of rows.
        batch: Encoded rows.
        generator: Source of the latents' noise, and of the place of ordered codes within their intervals.

    Returns:
        Reconstruction and divergence, both (batch,). Their sum is no less than −ln p(row), on average over the noise.
    """
    numbers, codes = features.to_numbers(batch, generator), features.block_codes(batch)
    mean, logvar = coder.encode(torch.cat([numbers, features.blocks.one_hot(codes)], dim=1))
    decoded, logits = coder.decode(reparameterised(mean, logvar, generator))
    reconstruction = gaussian_nll(numbers, decoded.float(), coder.logvar).sum(dim=1)
    if features.blocks.total:
        reconstruction = reconstruction + features.blocks.nll(logits, codes).sum(dim=1)
    return reconstruction, gaussian_kl(mean, logvar).sum(dim=1)
