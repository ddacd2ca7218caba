"""The dense form of a row, for models whose networks read and write real numbers."""

from typing import cast

import torch
from torch import Tensor, nn

from synthgen.layout import TableLayout
from synthgen.models.stages import Batch, ClosedFormStage
from synthgen.networks.ragged import RaggedLogits

__all__ = ["RowFeatures", "features_stage"]

# Uniform numbers stay this far from 0 and 1, that is within 5 standard deviations.
_EDGE = 3e-7


class RowFeatures(nn.Module):
    """Rows as standard normal numbers and one-hot codes, and back.

    - A continuous variable is the number that it is.
    - A discrete variable whose codes are ordered becomes a number, too: a code stands for an interval of probability as
      long as its share of the training rows, a row takes a place in it at random, and that place's normal quantile is
      the number ("distributional transform", Rüschendorf, 2009). It is standard normal exactly, and the way back exact.
    - Every other discrete variable is a block of one-hot codes. So is whether an ordered one is missing.

    Args:
        layout: What a row is made of.

    Attributes:
        blocks: The discrete variables that are one-hot, side by side.
        numbers: How many numbers a row has.
        width: Features of a row: numbers, then blocks.
        shares: (sum of the blocks' cardinalities,) share of each code in the training rows.
    """

    shares: Tensor
    _edges: Tensor
    _ordered: Tensor
    _lengths: Tensor
    _nominal: Tensor
    _gaps: Tensor

    def __init__(self, layout: TableLayout) -> None:
        super().__init__()
        self.layout = layout
        lengths = layout.ordered or (0,) * layout.categorical
        ordered = [j for j, length in enumerate(lengths) if length]
        nominal = [j for j, length in enumerate(lengths) if not length]
        gaps = [i for i, j in enumerate(ordered) if layout.cardinalities[j] > lengths[j]]
        self.blocks = RaggedLogits((*(layout.cardinalities[j] for j in nominal), *(2 for _ in gaps)))
        self.numbers = layout.numerical + len(ordered)
        self.width = self.numbers + self.blocks.total
        for name, indices in (("_ordered", ordered), ("_nominal", nominal), ("_gaps", gaps)):
            self.register_buffer(name, torch.tensor(indices, dtype=torch.long), persistent=False)
        own = torch.tensor([lengths[j] for j in ordered], dtype=torch.long)
        self.register_buffer("_lengths", own, persistent=False)
        longest = max((lengths[j] for j in ordered), default=0)
        self.register_buffer("_edges", torch.ones(len(ordered), longest + 2))
        self.register_buffer("shares", torch.zeros(self.blocks.total))

    def fit(self, data: Batch) -> None:
        """Counts codes of training rows.

        Args:
            data: All of them, encoded.
        """
        codes = data["categorical"].long()
        for i, (j, length) in enumerate(zip(self._ordered.tolist(), self._lengths.tolist(), strict=True)):
            counts = torch.bincount(codes[:, j], minlength=length)[:length].double()
            below = counts.cumsum(0) / counts.sum().clamp(min=1)
            self._edges[i, 0], self._edges[i, 1 : length + 1] = 0.0, below.float()
        flat = self.block_codes(data) + self.blocks.offsets
        self.shares.copy_(torch.bincount(flat.flatten(), minlength=self.blocks.total) / max(len(codes), 1))

    def block_codes(self, batch: Batch) -> Tensor:
        """(batch, blocks) codes of the one-hot blocks."""
        codes = batch["categorical"].long()
        gaps = codes[:, self._ordered[self._gaps]] >= self._lengths[self._gaps]
        return torch.cat([codes[:, self._nominal], gaps.long()], dim=1)

    def known_blocks(self, known: Tensor) -> Tensor:
        """(batch, discrete variables) whether a code is known, to (batch, blocks)."""
        return torch.cat([known[:, self._nominal], known[:, self._ordered[self._gaps]]], dim=1)

    def to_numbers(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """(batch, numbers), each standard normal over the training rows; float32.

        Args:
            batch: Encoded rows.
            generator: Source of the place of an ordered code within its interval.
        """
        codes = batch["categorical"][:, self._ordered].long()
        uniform = torch.rand(codes.shape, generator=generator, device=codes.device)
        low, high = self.intervals(codes)
        return torch.cat([batch["numerical"], _normal(low + uniform * (high - low))], dim=1)

    def intervals(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Where the codes of ordered variables begin and end on the scale of probability.

        Args:
            codes: (batch, ordered variables).

        Returns:
            Two tensors of that shape, in [0, 1]. A missing cell may be anywhere.
        """
        row = torch.arange(len(self._ordered), device=codes.device)
        missing = codes >= self._lengths
        return self._edges[row, codes].masked_fill(missing, 0.0), self._edges[row, codes + 1].masked_fill(missing, 1.0)

    def to_batch(self, numbers: Tensor, codes: Tensor) -> Batch:
        """Numbers and codes of blocks as encoded rows: the way back."""
        place = torch.special.ndtr(numbers[:, self.layout.numerical :].float())
        edges = self._edges[:, 1:].contiguous()
        found = torch.searchsorted(edges, place.T.contiguous(), right=True).T
        found = torch.minimum(found, self._lengths - 1)
        nominal = len(self._nominal)
        gaps = codes[:, nominal:] == 1
        found[:, self._gaps] = torch.where(gaps, self._lengths[self._gaps], found[:, self._gaps])
        categorical = torch.zeros(len(numbers), self.layout.categorical, dtype=torch.long, device=numbers.device)
        categorical[:, self._nominal] = codes[:, :nominal]
        categorical[:, self._ordered] = found
        return {"numerical": numbers[:, : self.layout.numerical].float(), "categorical": categorical}


def features_stage(layout: TableLayout) -> ClosedFormStage:
    """The stage that counts what `RowFeatures` must know."""
    return ClosedFormStage(RowFeatures(layout), lambda module, data: cast(RowFeatures, module).fit(data))


def _normal(place: Tensor) -> Tensor:
    return torch.special.ndtri(place.clamp(_EDGE, 1 - _EDGE))
