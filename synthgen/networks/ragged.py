"""Distributions over many discrete columns of different cardinalities, without a loop over columns."""

import torch
from torch import Tensor, nn

__all__ = ["RaggedLogits", "gumbel"]


class RaggedLogits(nn.Module):
    """Reads the logits of many discrete columns that lie one after another in one row.

    Each operation is a few tensor operations over all logits at once, whatever the number of columns and their sizes.

    Args:
        cardinalities: Codes of each column.
    """

    def __init__(self, cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        sizes = torch.tensor(cardinalities, dtype=torch.long)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("offsets", sizes.cumsum(0) - sizes, persistent=False)
        self.register_buffer("_of", torch.arange(len(sizes)).repeat_interleave(sizes), persistent=False)
        self.largest = max(cardinalities, default=0)
        self.total = int(sizes.sum())

    sizes: Tensor
    offsets: Tensor
    _of: Tensor

    def nll(self, logits: Tensor, codes: Tensor) -> Tensor:
        """Negative log-likelihood of every cell, in nats.

        Args:
            logits: (batch, sum of cardinalities).
            codes: (batch, columns), 0 .. cardinality − 1.

        Returns:
            (batch, columns), float32.
        """
        logits = logits.float()
        largest = self._largest(logits.detach())
        _, mass = self._mass(logits, largest)
        return mass.log() + largest - logits.gather(1, codes.long() + self.offsets)

    def relaxed(self, logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        """Nearly one-hot draws of every column that gradients pass through: Gumbel-softmax (Jang et al., 2017).

        Args:
            logits: (batch, sum of cardinalities).
            temperature: Towards 0 draws become one-hot and gradients wild.
            generator: Source of the draws, on the device of `logits`.

        Returns:
            (batch, sum of cardinalities), float32; each column's values sum to 1.
        """
        noisy = (logits.float() + gumbel(logits.shape, generator)) / temperature
        weights, mass = self._mass(noisy, self._largest(noisy.detach()))
        return weights / mass.gather(1, self._of.expand_as(noisy))

    def draw(self, logits: Tensor, generator: torch.Generator) -> Tensor:
        """Draws the codes of every column.

        Args:
            logits: (batch, sum of cardinalities).
            generator: Source of the draws, on the device of `logits`.

        Returns:
            (batch, columns) codes.
        """
        noisy = logits.float() + gumbel(logits.shape, generator)
        of = self._of.expand_as(noisy)
        smaller = noisy < self._largest(noisy).gather(1, of)
        place = torch.arange(self.total, device=logits.device).expand_as(noisy).masked_fill(smaller, 0)
        return self.offsets.expand(len(logits), -1).scatter_reduce(1, of, place, "amax") - self.offsets

    def _largest(self, values: Tensor) -> Tensor:
        """(batch, sum of cardinalities) to the largest value of every column, (batch, columns)."""
        least = values.new_full((len(values), len(self.sizes)), -torch.inf)
        return least.scatter_reduce_(1, self._of.expand_as(values), values, "amax")

    def _mass(self, logits: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """exp(logits − shift), (batch, sum of cardinalities), and its sum over every column, (batch, columns)."""
        of = self._of.expand_as(logits)
        weights = (logits - shift.gather(1, of)).exp()
        return weights, torch.zeros_like(shift).scatter_add(1, of, weights)

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
        mass = (chosen - chosen.amax(dim=1, keepdim=True)).exp_().cumsum(dim=1)
        # One random number a row, where Gumbel-max takes one a code and two logarithms of it.
        uniform = torch.rand(len(mass), 1, generator=generator, device=mass.device)
        total = mass[:, -1:]
        place = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
        return (mass <= place).sum(dim=1)


def gumbel(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Gumbel noise: the place of the largest logit + noise is a draw from the softmax (Gumbel-max).

    Args:
        shape: Of the noise.
        generator: Its source, on whose device it is.
    """
    uniform = torch.rand(shape, generator=generator, device=generator.device)
    return uniform.clamp_min_(1e-20).log_().neg_().log_().neg_()
