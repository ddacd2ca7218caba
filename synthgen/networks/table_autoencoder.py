"""A transformer autoencoder over the cells of a row."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention, silu

from synthgen.networks.cells import CellEmbedding, CellHeads, CellKind, CellwiseLinear, Marginals

__all__ = ["TableAutoencoder"]


class TableAutoencoder(nn.Module):
    """A token for each cell, attention between them, and a latent vector a cell; and the way back.

    Tokens are tokenised, mixed and detokenised as in the autoencoder of TabSyn (Zhang et al., 2024, section 3.2), which
    has tokens as narrow as its latents. Here the two widths are apart: a wider token learns in fewer passes over the
    rows, and the latents stay as few. All is computed in float32: of products as small as these, bf16 takes longer.

    Args:
        kinds: What each cell of a row holds, at least one.
        latent: Latent dimensions of a cell.
        width: Features of a token.
        depth: Blocks of attention of the encoder, and of the decoder.
        heads: Of attention; a divisor of `width`.
        expansion: Hidden features of a block's perceptron, as a multiple of `width`.
        knots: Of piecewise linear functions of numbers, at least 2.

    Attributes:
        latents: Latent dimensions of a row.
        numbers: (numbers,) which cells hold numbers.
    """

    numbers: Tensor
    encoder: Sequence["_Block"]
    decoder: Sequence["_Block"]

    def __init__(
        self,
        kinds: Sequence[CellKind],
        latent: int = 4,
        width: int = 32,
        depth: int = 2,
        heads: int = 1,
        expansion: int = 2,
        knots: int = 32,
    ) -> None:
        super().__init__()
        cells = len(kinds)
        self.latents = cells * latent
        self.marginals = Marginals(kinds)
        self.embedding = CellEmbedding(kinds, self.marginals, width, knots)
        self.columns = nn.Parameter(0.02 * torch.randn(2, cells, width))
        blocks = [nn.ModuleList(_Block(width, heads, expansion) for _ in range(depth)) for _ in range(2)]
        self.encoder, self.decoder = blocks  # type: ignore[assignment]  # a ModuleList forgets what it holds
        self.into = CellwiseLinear(cells, width, 2 * latent)
        self.out_of = CellwiseLinear(cells, latent, width)
        self.heads = CellHeads(kinds, self.marginals, width, knots)
        numbers = [cell for cell, kind in enumerate(kinds) if kind.number]
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.long), persistent=False)
        self.means = CellwiseLinear(len(numbers), width, 1)

    def encode(self, values: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """What the latents of rows are.

        Args:
            values: (batch, cells) value of each cell.
            numbers: (batch, cells) the number that a cell holds; any where it holds none.

        Returns:
            Mean and log-variance, both (batch, latents), float32.
        """
        with torch.autocast(values.device.type, enabled=False):
            tokens = self.embedding(values, numbers) + self.columns[0]
            for block in self.encoder:
                tokens = block(tokens)
            both = self.into(_normalised(tokens).transpose(0, 1)).transpose(0, 1)
        mean, logvar = both.chunk(2, dim=2)
        return mean.flatten(1), logvar.flatten(1).clamp(-20, 20)

    def decode(self, latents: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """What the cells of rows are.

        Args:
            latents: (batch, latents).

        Returns:
            Logits of values: pairs of cells, (cells,), and (cells, batch, values), −inf beyond a cell's own values; and
            the means of the cells that hold numbers, (numbers, batch); all float32.
        """
        with torch.autocast(latents.device.type, enabled=False):
            of_cells = latents.unflatten(1, (len(self.out_of.weight), -1)).transpose(0, 1)
            tokens = self.out_of(of_cells).transpose(0, 1) + self.columns[1]
            for block in self.decoder:
                tokens = block(tokens)
            features = _normalised(tokens).transpose(0, 1)
            return self.heads(features), self.means(features[self.numbers])[:, :, 0]


class _Block(nn.Module):
    """Attention, then a perceptron, each behind a normalisation and beside what it adds to."""

    def __init__(self, width: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.rise = nn.Linear(width, expansion * width)
        self.fall = nn.Linear(expansion * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, cells, width) to the same."""
        split = self.query_key_value(_normalised(tokens)).unflatten(2, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.out(attended.transpose(1, 2).flatten(2))
        return tokens + self.fall(silu(self.rise(_normalised(tokens))))


def _normalised(x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:])
