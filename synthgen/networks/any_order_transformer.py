"""A transformer over the cells of a row, in any order."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, layer_norm, scaled_dot_product_attention

from synthgen.networks.any_order import AnyOrderNetwork
from synthgen.networks.cells import CellKind

__all__ = ["AnyOrderTransformer"]


@dataclass
class _Known:
    """What is known of rows: keys and values of their cells at every block, and which of them are there.

    Attributes:
        keys: A tensor a block, (batch, heads, 1 + cells, features of a head).
        values: The same.
        there: (batch, 1 + cells).
    """

    keys: list[Tensor]
    values: list[Tensor]
    there: Tensor


class AnyOrderTransformer(AnyOrderNetwork):
    """Attention between cells, in two streams (Yang et al., 2019, "XLNet", section 2.3).

    The stream of contents has a token for what each cell holds, which attends to the cells before it and to itself; the
    stream of queries has one that knows of its cell only which it is, and attends to the cells before it. Both share
    their weights. A first token, which is always there, is what the first cell of a row attends to.

    Against `AnyOrderMLP` a row costs tens of times as much to learn and to draw.

    Args:
        kinds: What each cell of a row holds.
        width: Features of a token.
        depth: Blocks.
        heads: Of attention; a divisor of `width`.
        dropout: Share of a block's output dropped while training.
        components: Normal distributions of a mixture.
        knots: Of piecewise linear functions, at least 2.
    """

    blocks: Sequence["_Block"]

    def __init__(
        self,
        kinds: Sequence[CellKind],
        width: int = 128,
        depth: int = 3,
        heads: int = 4,
        dropout: float = 0.0,
        components: int = 16,
        knots: int = 32,
    ) -> None:
        super().__init__(kinds, width, components, knots)
        self.first = nn.Parameter(0.02 * torch.randn(1, width))
        self.columns = nn.Parameter(0.02 * torch.randn(len(kinds), width))
        self.queries = nn.Parameter(0.02 * torch.randn(len(kinds), width))
        blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(depth))
        self.blocks = blocks  # type: ignore[assignment]  # a ModuleList forgets what it holds

    def features(self, vectors: Tensor, visible: Tensor) -> Tensor:
        """See `AnyOrderNetwork`."""
        batch, cells, width = vectors.shape
        before = visible.repeat_interleave(batch // len(visible), dim=0)
        content, sees = self._contents(vectors, before)
        query = self.queries.expand(batch, cells, width)
        for i, block in enumerate(self.blocks):
            keys, values = block.keys_and_values(content)
            query = block(query, keys, values, sees[:, 1:, :] & ~_itself(cells, sees.device)[1:])
            if i + 1 < len(self.blocks):
                content = block(content, keys, values, sees)
        return _normalised(query).transpose(0, 1)

    def begin(self, vectors: Tensor, given: Tensor) -> _Known:
        """See `AnyOrderNetwork`."""
        cells = given.shape[1]
        in_order = torch.ones(cells, cells, dtype=torch.bool, device=given.device).tril(-1)
        content, sees = self._contents(vectors, in_order & given[:, None, :])
        known = _Known([], [], torch.cat([torch.ones_like(given[:, :1]), given], dim=1))
        for block in self.blocks:
            keys, values = block.keys_and_values(content)
            known.keys.append(keys)
            known.values.append(values)
            content = block(content, keys, values, sees)
        return known

    def feature(self, cell: int, state: _Known) -> Tensor:
        """See `AnyOrderNetwork`."""
        query = self.queries[cell].expand(len(state.there), 1, -1)
        for block, keys, values in zip(self.blocks, state.keys, state.values, strict=True):
            query = block(query, keys, values, state.there[:, None])
        return _normalised(query).transpose(0, 1)

    def add(self, state: _Known, cell: int, vector: Tensor, new: Tensor | None = None) -> None:
        """See `AnyOrderNetwork`."""
        content = (vector + self.columns[cell])[:, None]
        state.there[:, cell + 1] = True
        for block, keys, values in zip(self.blocks, state.keys, state.values, strict=True):
            own = block.keys_and_values(content)
            for kept, fresh in zip((keys, values), own, strict=True):
                held = kept[:, :, cell + 1]
                kept[:, :, cell + 1] = (
                    fresh[:, :, 0] if new is None else torch.where(new[:, None, None], fresh[:, :, 0], held)
                )
            content = block(content, keys, values, state.there[:, None])

    def _contents(self, vectors: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of what cells hold, the first one before them, and (batch, 1 + cells, 1 + cells) which sees which."""
        batch, cells, width = vectors.shape
        content = torch.cat([self.first.expand(batch, 1, width), vectors + self.columns], dim=1)
        sees = _itself(cells, vectors.device).repeat(batch, 1, 1)
        sees[:, :, 0] = True
        sees[:, 1:, 1:] |= before
        return content, sees


class _Block(nn.Module):
    """Attention, then a perceptron, each behind a normalisation and beside what it adds to."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.rise = nn.Linear(width, 4 * width)
        self.fall = nn.Linear(4 * width, width)

    def keys_and_values(self, content: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, tokens, width) to two of (batch, heads, tokens, features of a head)."""
        keys, values = self.key_value(_normalised(content)).chunk(2, dim=2)
        return self._split(keys), self._split(values)

    def forward(self, tokens: Tensor, keys: Tensor, values: Tensor, sees: Tensor) -> Tensor:
        """(batch, tokens, width), of which each sees (batch, tokens, keys)."""
        query = self._split(self.query(_normalised(tokens)))
        attended = scaled_dot_product_attention(query, keys, values, attn_mask=sees[:, None])
        tokens = tokens + self._dropped(self.out(attended.transpose(1, 2).flatten(2)))
        return tokens + self._dropped(self.fall(gelu(self.rise(_normalised(tokens)))))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _dropped(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)


def _itself(cells: int, device: torch.device) -> Tensor:
    return torch.eye(1 + cells, dtype=torch.bool, device=device)


def _normalised(x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:])
