"""What networks over the cells of a row share: what a cell holds, vectors of it, and predictions of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

__all__ = ["CellEmbedding", "CellHeads", "CellKind", "CellMixture", "CellwiseLinear", "Marginals", "Prediction"]


@dataclass(frozen=True)
class CellKind:
    """What a cell of a row holds: one of some values, of which the first may stand for "a number".

    Attributes:
        values: How many values there are, at least 1.
        number: Whether value 0 says that the cell holds a number, which is standard normal over all rows.
        ordered: How many of the first values are numbers in increasing order.
    """

    values: int
    number: bool = False
    ordered: int = 0


@dataclass(frozen=True)
class Prediction:
    """What is predicted of the cells of rows.

    Attributes:
        logits: Of the values: pairs of cells, (cells,), and their logits, (cells, batch, values); −inf beyond a cell's
            own values.
        numbers: (numbers, batch, 3, components) of the cells that hold numbers: logit, mean and log-deviation of each
            component of a mixture of normal distributions. None where there are no such cells.
    """

    logits: list[tuple[Tensor, Tensor]]
    numbers: Tensor | None


# Rows from which an ordered value learns by itself as much as by what it has in common with its neighbours.
_OWN_ROWS = 200


class Marginals(nn.Module):
    """How frequent each value of each cell is in training data.

    Predictions start from that, and where ordered values lie in it says which are neighbours. Of an ordered value with
    few rows nothing is learned but what its neighbours share: a number with hundreds of values is otherwise learned by
    heart before anything else is learned.

    Args:
        kinds: What each cell of a row holds.
    """

    def __init__(self, kinds: Sequence[CellKind]) -> None:
        super().__init__()
        sizes = torch.tensor([kind.values for kind in kinds], dtype=torch.long)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("starts", sizes.cumsum(0) - sizes, persistent=False)
        place = torch.arange(int(sizes.sum())) - self.starts.repeat_interleave(sizes)
        ordered = torch.tensor([kind.ordered for kind in kinds], dtype=torch.long).repeat_interleave(sizes)
        self.register_buffer("ordered", (place < ordered).nonzero()[:, 0], persistent=False)
        self.register_buffer("of", torch.arange(len(kinds)).repeat_interleave(sizes), persistent=False)
        self.register_buffer("log_shares", -sizes.float().log().repeat_interleave(sizes))
        self.register_buffer("positions", torch.full((int(sizes.sum()),), -1.0))
        self.register_buffer("trust", torch.ones(int(sizes.sum())))
        self._locate(torch.ones(len(self.of)))

    sizes: Tensor
    starts: Tensor
    ordered: Tensor
    of: Tensor
    log_shares: Tensor
    positions: Tensor
    trust: Tensor

    @torch.no_grad()
    def count(self, values: Iterable[Tensor]) -> None:
        """Takes parts of training data, (rows, cells) values; all have half a row more, so that none is impossible."""
        counts = torch.full_like(self.log_shares, 0.5)
        for rows in values:
            counts += torch.bincount((rows + self.starts).flatten(), minlength=len(counts))
        totals = torch.zeros(len(self.sizes), device=counts.device).index_add_(0, self.of, counts)
        self.log_shares.copy_((counts / totals[self.of]).log())
        own = counts[self.ordered]
        self.trust[self.ordered] = own / (own + _OWN_ROWS)
        self._locate(counts)

    def _locate(self, counts: Tensor) -> None:
        """Where an ordered value lies: the share of the ordered ones below its middle, 0 to 1."""
        own, of = counts[self.ordered].double(), self.of[self.ordered]
        totals = torch.zeros(len(self.sizes), dtype=torch.float64, device=counts.device).index_add_(0, of, own)
        before = totals.cumsum(0) - totals
        middle = own.cumsum(0) - own / 2 - before[of]
        self.positions[self.ordered] = (middle / totals[of]).float()


class CellwiseLinear(nn.Module):
    """A linear layer of its own for each cell, all in one batched product.

    Args:
        cells: How many.
        inputs: Features in.
        outputs: Features out.
    """

    def __init__(self, cells: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(cells, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(cells, 1, outputs))
        nn.init.uniform_(self.weight, -(inputs**-0.5), inputs**-0.5)

    def forward(self, x: Tensor, cells: slice = slice(None)) -> Tensor:
        """(cells, batch, inputs) to (cells, batch, outputs)."""
        return torch.baddbmm(self.bias[cells], x, self.weight[cells])


class CellEmbedding(nn.Module):
    """A vector for what a cell holds.

    A number adds a piecewise linear function of its rank ("PLE", Gorishniy et al., 2022) and a multiple of itself, and
    an ordered value one of where it lies among the training values.

    Args:
        kinds: What each cell of a row holds.
        marginals: Where ordered values lie.
        width: Features of a vector.
        knots: Of piecewise linear functions, at least 2.
    """

    def __init__(self, kinds: Sequence[CellKind], marginals: Marginals, width: int, knots: int) -> None:
        super().__init__()
        self._marginals = [marginals]  # in a list, or it would be a part of this module, too
        self.knots = knots
        scale = len(kinds) ** -0.5
        self.weight = nn.Parameter(scale * torch.randn(len(marginals.of), width))
        with torch.no_grad():
            self.weight[marginals.ordered] *= 0.1  # the smooth part comes first
        self.curves = nn.Parameter(scale * torch.randn(len(kinds), knots, width))
        self.slopes = nn.Parameter(scale * torch.randn(len(kinds), width))
        numbers = [cell for cell, kind in enumerate(kinds) if kind.number]
        self.kinds = tuple(kinds)
        self.starts = marginals.starts.tolist()
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.long), persistent=False)

    numbers: Tensor

    def forward(self, values: Tensor, numbers: Tensor) -> Tensor:
        """(batch, cells) values and numbers to (batch, cells, width)."""
        marginals = self._marginals[0]
        vectors = embedding(values + marginals.starts, self._smoothed(slice(None), marginals.ordered))
        if not len(self.numbers):
            return vectors
        cells = self.numbers
        return vectors.index_add(1, cells, self._of_numbers(values[:, cells], numbers[:, cells], cells))

    def one(self, cell: int, values: Tensor, numbers: Tensor) -> Tensor:
        """(batch,) of one cell to (batch, width)."""
        # Of this cell's values alone: while rows are drawn, a table of all would be made for every cell.
        start = self.starts[cell]
        own = torch.arange(start, start + self.kinds[cell].ordered, device=values.device)
        table = self._smoothed(slice(start, start + self.kinds[cell].values), own)
        vectors = embedding(values, table)
        if not self.kinds[cell].number:
            return vectors
        return vectors + self._of_numbers(values, numbers, torch.full_like(values, cell))

    def _smoothed(self, rows: slice, ordered: Tensor) -> Tensor:
        """Vectors of values: each its own, and of ordered ones what it has in common with its neighbours."""
        marginals = self._marginals[0]
        own = self.weight[rows] * marginals.trust[rows, None]
        if not len(ordered):
            return own
        curves = self._curve(marginals.of[ordered], marginals.positions[ordered])
        return own.index_add(0, ordered - (rows.start or 0), curves)

    def _of_numbers(self, values: Tensor, numbers: Tensor, cells: Tensor) -> Tensor:
        """What numbers add to the vectors of cells that hold some; nothing where a cell holds none."""
        curve = self._curve(cells.expand_as(values), torch.special.ndtr(numbers))
        curve = curve + numbers[..., None] * self.slopes[cells]
        return torch.where((values == 0)[..., None], curve, 0.0)

    def _curve(self, cells: Tensor, positions: Tensor) -> Tensor:
        """Piecewise linear functions of positions from 0 to 1: any shape to the same and width."""
        place = positions * (self.knots - 1)
        low = place.floor().clamp(0, self.knots - 2)
        index = (cells * self.knots + low.long(), self.curves.flatten(0, 1))
        below, above = embedding(index[0], index[1]), embedding(index[0] + 1, index[1])
        return torch.lerp(below, above, (place - low)[..., None].to(below.dtype))


class CellHeads(nn.Module):
    """Logits of every cell's values: cells of about as many values share a batched product.

    Those of ordered values are, besides a weight each, a piecewise linear function of where they lie.

    Args:
        kinds: What each cell of a row holds.
        marginals: What logits start from, and where ordered values lie.
        width: Features that they are read from.
        knots: Of piecewise linear functions, at least 2.
    """

    def __init__(self, kinds: Sequence[CellKind], marginals: Marginals, width: int, knots: int) -> None:
        super().__init__()
        self._marginals = [marginals]
        self.knots = knots
        sizes = [kind.values for kind in kinds]
        padded = [max(8, 1 << (size - 1).bit_length()) for size in sizes]
        choices = [cell for cell, size in enumerate(sizes) if size > 1]
        groups = [[cell for cell in choices if padded[cell] == wide] for wide in sorted({padded[c] for c in choices})]
        self.sizes = sizes
        self.place = {cell: (g, group.index(cell)) for g, group in enumerate(groups) for cell in group}
        self.smooth = [any(kinds[cell].ordered for cell in group) for group in groups]
        self.weights = nn.ParameterList(torch.zeros(len(group), width, padded[group[0]]) for group in groups)
        self.biases = nn.ParameterList(torch.zeros(len(group), 1, padded[group[0]]) for group in groups)
        self.curves = nn.ParameterList(
            torch.zeros(len(group), width, knots if smooth else 0) for group, smooth in zip(groups, self.smooth)
        )
        for g, group in enumerate(groups):
            value = torch.arange(padded[group[0]])
            inside = value < torch.tensor(sizes)[group][:, None]
            index = torch.where(inside, marginals.starts[group][:, None] + value, -1)
            self.register_buffer(f"_cells{g}", torch.tensor(group), persistent=False)
            self.register_buffer(f"_index{g}", index, persistent=False)

    def cellwise(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Parameters whose rows serve one cell each, and which."""
        groups = zip(self.weights, self.biases, self.curves)
        return [(part, self.get_buffer(f"_cells{g}")) for g, parts in enumerate(groups) for part in parts]

    def forward(self, hidden: Tensor) -> list[tuple[Tensor, Tensor]]:
        """(cells, batch, width) to the cells of each group and their logits."""
        groups = ((g, self.get_buffer(f"_cells{g}")) for g in range(len(self.weights)))
        return [(cells, self._logits(g, hidden[cells], slice(None))) for g, cells in groups]

    def one(self, cell: int, hidden: Tensor) -> Tensor:
        """(1, batch, width) of one cell to (batch, its values)."""
        if self.sizes[cell] == 1:
            return hidden.new_zeros(hidden.shape[1], 1, dtype=torch.float32)
        g, place = self.place[cell]
        return self._logits(g, hidden, slice(place, place + 1))[0, :, : self.sizes[cell]]

    def _logits(self, g: int, hidden: Tensor, cells: slice) -> Tensor:
        marginals, index, weight = self._marginals[0], self.get_buffer(f"_index{g}")[cells], self.weights[g][cells]
        if self.smooth[g]:
            weight = weight * marginals.trust[index][:, None]
            knot = torch.arange(self.knots, device=weight.device)[:, None]
            place = marginals.positions[index][:, None] * (self.knots - 1)
            weight = weight + torch.bmm(self.curves[g][cells], (1 - (place - knot).abs()).clamp(min=0))
        start = marginals.log_shares[index].masked_fill(index < 0, -torch.inf)[:, None]
        # In float32: a logit in bf16 is off by parts of a hundred, and so is its value's share.
        return torch.bmm(hidden, weight).float() + (self.biases[g][cells] + start)


class CellMixture(nn.Module):
    """A mixture of normal distributions for every cell that holds numbers (Uria et al., 2013, "RNADE").

    Attributes:
        cells: (numbers,) which cells hold numbers.

    Args:
        kinds: What each cell of a row holds.
        width: Features that it is read from.
        components: Normal distributions of a mixture.
    """

    def __init__(self, kinds: Sequence[CellKind], width: int, components: int) -> None:
        super().__init__()
        numbers = [cell for cell, kind in enumerate(kinds) if kind.number]
        self.place = {cell: place for place, cell in enumerate(numbers)}
        self.register_buffer("cells", torch.tensor(numbers, dtype=torch.long), persistent=False)
        self.layer = CellwiseLinear(len(numbers), width, 3 * components)
        with torch.no_grad():
            # All components cover the standard normal together, and differ enough to part.
            _, means, deviations = self.layer.bias.view(-1, 3, components).unbind(1)
            self.layer.weight.mul_(0.5)
            self.layer.weight[:, :, :components] = 0.0
            means += torch.special.ndtri((torch.arange(components) + 0.5) / components)
            deviations -= 0.7

    cells: Tensor

    def cellwise(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Parameters whose rows serve one cell each, and which."""
        return [(parameter, self.cells) for parameter in self.layer.parameters()]

    def forward(self, hidden: Tensor) -> Tensor | None:
        """(cells, batch, width) to (numbers, batch, 3, components)."""
        return self._mixtures(hidden[self.cells], slice(None)) if self.place else None

    def one(self, cell: int, hidden: Tensor) -> Tensor | None:
        """(1, batch, width) of one cell to (batch, 3, components)."""
        if cell not in self.place:
            return None
        place = self.place[cell]
        return self._mixtures(hidden, slice(place, place + 1))[0]

    def _mixtures(self, hidden: Tensor, numbers: slice) -> Tensor:
        # In float32: means in bf16 would be off by more than the narrow components are wide.
        with torch.autocast(hidden.device.type, enabled=False):
            return self.layer(hidden.float(), numbers).unflatten(2, (3, -1))
