"""Distributions over many discrete columns of different cardinalities, without a loop over columns."""

import torch
from torch import Tensor, nn

__all__ = ["RaggedLogits"]


class RaggedLogits(nn.Module):
    """Reads the logits of many discrete columns that lie one after another in one row.

    Columns of like cardinality are handled together, padded to a power of two, so the work is a few tensor operations
    for each *size* of column, whatever their number, and memory stays within twice the number of logits.

    Args:
        cardinalities: Codes of each column.
    """

    def __init__(self, cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        sizes = torch.tensor(cardinalities, dtype=torch.long)
        offsets = sizes.cumsum(0) - sizes
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("offsets", offsets, persistent=False)
        self.largest = max(cardinalities, default=0)
        self.total = int(sizes.sum())
        buckets: dict[int, list[int]] = {}
        for column, cardinality in enumerate(cardinalities):
            buckets.setdefault((cardinality - 1).bit_length(), []).append(column)
        self._buckets = len(buckets)
        for i, columns in enumerate(buckets.values()):
            widest = int(sizes[columns].max())
            within = torch.arange(widest)
            # The slot behind the last logit holds −inf: what pads a column has probability zero.
            index = torch.where(within < sizes[columns, None], offsets[columns, None] + within, self.total)
            self.register_buffer(f"columns_{i}", torch.tensor(columns), persistent=False)
            self.register_buffer(f"index_{i}", index, persistent=False)

    sizes: Tensor
    offsets: Tensor

    def nll(self, logits: Tensor, codes: Tensor) -> Tensor:
        """Negative log-likelihood of every cell, in nats.

        Args:
            logits: (batch, sum of cardinalities).
            codes: (batch, columns), 0 .. cardinality − 1.

        Returns:
            (batch, columns), float32.
        """
        padded = nn.functional.pad(logits.float(), (0, 1), value=-torch.inf)
        result = logits.new_zeros(codes.shape, dtype=torch.float32)
        for i in range(self._buckets):
            columns, index = self.get_buffer(f"columns_{i}"), self.get_buffer(f"index_{i}")
            grouped = padded.index_select(1, index.flatten()).view(-1, index.shape[1])
            nll = nn.functional.cross_entropy(grouped, codes[:, columns].flatten(), reduction="none")
            result = result.index_copy(1, columns, nll.view(len(logits), -1))
        return result

    def relaxed(self, logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        """Nearly one-hot draws of every column that gradients pass through: Gumbel-softmax (Jang et al., 2017).

        Args:
            logits: (batch, sum of cardinalities).
            temperature: Towards 0 draws become one-hot and gradients wild.
            generator: Source of the draws, on the device of `logits`.

        Returns:
            (batch, sum of cardinalities), float32; each column's values sum to 1.
        """
        noisy = (logits.float() + _gumbel(logits.shape, generator)) / temperature
        padded = nn.functional.pad(noisy, (0, 1), value=-torch.inf)
        result = torch.zeros_like(padded)
        for i in range(self._buckets):
            index = self.get_buffer(f"index_{i}")
            grouped = padded.index_select(1, index.flatten()).view(len(logits), *index.shape)
            result = result.index_copy(1, index.flatten(), grouped.softmax(dim=2).flatten(1))
        return result[:, : self.total]

    def draw(self, logits: Tensor, generator: torch.Generator) -> Tensor:
        """Draws the codes of every column.

        Args:
            logits: (batch, sum of cardinalities).
            generator: Source of the draws, on the device of `logits`.

        Returns:
            (batch, columns) codes.
        """
        noisy = logits.float() + _gumbel(logits.shape, generator)
        padded = nn.functional.pad(noisy, (0, 1), value=-torch.inf)
        codes = torch.zeros(len(logits), len(self.sizes), dtype=torch.long, device=logits.device)
        for i in range(self._buckets):
            columns, index = self.get_buffer(f"columns_{i}"), self.get_buffer(f"index_{i}")
            grouped = padded.index_select(1, index.flatten()).view(len(logits), *index.shape)
            codes[:, columns] = grouped.argmax(dim=2)
        return codes

    def one_hot(self, codes: Tensor) -> Tensor:
        """(batch, columns) codes to (batch, sum of cardinalities) of zeros and one 1 a column, float32."""
        zeros = torch.zeros(len(codes), self.total, device=codes.device)
        return zeros.scatter_(1, codes.long() + self.offsets, 1.0)

    def column(self, logits: Tensor, column: Tensor) -> Tensor:
        """The logits of one column a row.

        Args:
            logits: (batch, sum of cardinalities).
            column: (batch,) which column of each row.

        Returns:
            (batch, largest cardinality), float32; −inf beyond the column's own.
        """
        within = torch.arange(self.largest, device=logits.device)
        inside = within < self.sizes[column, None]
        index = (self.offsets[column, None] + within).clamp(max=self.total - 1)
        return logits.float().gather(1, index).masked_fill(~inside, -torch.inf)

    def sample(self, logits: Tensor, column: Tensor, generator: torch.Generator) -> Tensor:
        """Draws the code of one column a row.

        Args:
            logits: (batch, sum of cardinalities).
            column: (batch,) which column to draw in each row.
            generator: Source of the draws, on the device of `logits`.

        Returns:
            (batch,) codes.
        """
        chosen = self.column(logits, column)
        return (chosen + _gumbel(chosen.shape, generator)).argmax(dim=1)


def _gumbel(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Gumbel noise: the place of the largest logit + noise is a draw from the softmax (Gumbel-max)."""
    uniform = torch.rand(shape, generator=generator, device=generator.device)
    return uniform.clamp_min_(1e-20).log_().neg_().log_().neg_()
