"""Networks that predict each cell of a row from any subset of the others."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, layer_norm, relu

from synthgen.networks.cells import (
    CellEmbedding,
    CellHeads,
    CellKind,
    CellMixture,
    CellwiseLinear,
    Marginals,
    Prediction,
)

__all__ = ["AnyOrderMLP", "AnyOrderNetwork"]


class AnyOrderNetwork(nn.Module):
    """Predicts every cell of a row from those that it may look at, all at once or a cell at a time.

    A subclass says how features of a cell come out of the vectors of others.

    Args:
        kinds: What each cell of a row holds.
        width: Features of a vector, and of what cells are predicted from.
        components: Normal distributions of the mixture that a number is predicted by.
        knots: Of piecewise linear functions, at least 2.
    """

    def __init__(self, kinds: Sequence[CellKind], width: int, components: int, knots: int) -> None:
        super().__init__()
        self.kinds = tuple(kinds)
        self.width = width
        self.marginals = Marginals(kinds)
        self.embedding = CellEmbedding(kinds, self.marginals, width, knots)
        self.heads = CellHeads(kinds, self.marginals, width, knots)
        self.mixture = CellMixture(kinds, width, components)

    def forward(self, values: Tensor, numbers: Tensor, visible: Tensor) -> Prediction:
        """Predicts every cell of rows.

        Args:
            values: (batch, cells) value of each cell.
            numbers: (batch, cells) the number that a cell holds; any where it holds none.
            visible: (groups, cells, cells) whether a cell (second) may look at another one (third), as far as they come
                one after another: the same for as many rows as there are to a group, one after another.
        """
        features = self.features(self.embedding(values, numbers), visible)
        return Prediction(self.heads(features), self.mixture(features))

    @abstractmethod
    def features(self, vectors: Tensor, visible: Tensor) -> Tensor:
        """(batch, cells, width) vectors of cells to (cells, batch, width) features that they are predicted from."""

    def cellwise(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Parameters whose rows serve one cell each, and which. They are all but what makes vectors of cells, and what
        is predicted of a cell then depends on no other cell's; or none, where cells share more.
        """
        return []

    # Drawing rows cell by cell: a state holds what is known of them

    @abstractmethod
    def begin(self, vectors: Tensor, given: Tensor) -> Any:
        """The state of rows of which some cells are known.

        Args:
            vectors: (batch, cells, width).
            given: (batch, cells) which cells are known.
        """

    def nothing(self, rows: int) -> Any:
        """The state of rows of which no cell is known."""
        device = self.marginals.sizes.device
        vectors = torch.zeros(rows, len(self.kinds), self.width, device=device)
        return self.begin(vectors, torch.zeros(rows, len(self.kinds), dtype=torch.bool, device=device))

    @abstractmethod
    def feature(self, cell: int, state: Any) -> Tensor:
        """(1, batch, width) features that one cell is predicted from."""

    @abstractmethod
    def add(self, state: Any, cell: int, vector: Tensor, new: Tensor | None = None) -> None:
        """Takes note of one more cell, in place.

        Args:
            state: Of the rows.
            cell: Which.
            vector: (batch, width) of what it holds.
            new: (batch,) in which rows, where it is known already in others.
        """

    def predict(self, cell: int, state: Any) -> tuple[Tensor, Tensor | None]:
        """Predicts one cell of rows.

        Returns:
            (batch, values) logits, and for a cell that holds numbers (batch, 3, components) as in `Prediction`.
        """
        features = self.feature(cell, state)
        return self.heads.one(cell, features), self.mixture.one(cell, features)


class AnyOrderMLP(AnyOrderNetwork):
    """The known cells of a row are a sum of vectors; a perceptron of each cell's own reads it.

    A sum knows no order and no number of terms, so one network serves every order of the cells, as those of Uria et al.
    (2014, "A deep and tractable density estimator") and Germain et al. (2015) do, and to draw a row each cell's
    perceptron is evaluated once.

    Args:
        kinds: What each cell of a row holds.
        width: Features of the sum and of the perceptrons.
        depth: Hidden layers of a perceptron, at least 1; all but the first are residual.
        dropout: Share of hidden features dropped while training.
        components: Normal distributions of a mixture.
        knots: Of piecewise linear functions, at least 2.
    """

    def __init__(
        self,
        kinds: Sequence[CellKind],
        width: int = 128,
        depth: int = 2,
        dropout: float = 0.0,
        components: int = 16,
        knots: int = 32,
    ) -> None:
        super().__init__(kinds, width, components, knots)
        self.dropout = dropout
        self.start = nn.Parameter(torch.zeros(len(kinds), 1, width))
        self.hidden = nn.ModuleList(CellwiseLinear(len(kinds), width, width) for _ in range(depth))

    def features(self, vectors: Tensor, visible: Tensor) -> Tensor:
        """See `AnyOrderNetwork`."""
        batch, cells, width = vectors.shape
        groups = len(visible)
        together = vectors.view(groups, -1, cells, width).transpose(1, 2).reshape(groups, cells, -1)
        sums = torch.bmm(visible.to(vectors.dtype), together)
        sums = sums.view(groups, cells, -1, width).transpose(0, 1).reshape(cells, batch, width)
        return self._perceptrons(sums, slice(None))

    def cellwise(self) -> list[tuple[nn.Parameter, Tensor]]:
        """See `AnyOrderNetwork`."""
        cells = torch.arange(len(self.kinds), device=self.start.device)
        own = [self.start, *self.hidden.parameters()]
        return [(parameter, cells) for parameter in own] + self.heads.cellwise() + self.mixture.cellwise()

    def begin(self, vectors: Tensor, given: Tensor) -> Tensor:
        """The sum, (batch, width)."""
        return torch.where(given[:, :, None], vectors, 0.0).sum(dim=1)

    def nothing(self, rows: int) -> Tensor:
        """See `AnyOrderNetwork`."""
        return torch.zeros(rows, self.width, device=self.start.device)

    def feature(self, cell: int, state: Tensor) -> Tensor:
        """See `AnyOrderNetwork`."""
        # In the precision that the layers take, as sums are while training: half of what goes through memory.
        kind = state.device.type
        sums = state.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else state
        return self._perceptrons(sums[None], slice(cell, cell + 1))

    def add(self, state: Tensor, cell: int, vector: Tensor, new: Tensor | None = None) -> None:
        """See `AnyOrderNetwork`."""
        state += vector if new is None else torch.where(new[:, None], vector, 0.0)

    def _perceptrons(self, sums: Tensor, cells: slice) -> Tensor:
        """(cells, batch, width) sums over known cells to features of as many."""
        hidden = _normalised(sums + self.start[cells].to(sums.dtype))
        for i, layer in enumerate(self.hidden):
            out = dropout(relu(layer(hidden if i == 0 else _normalised(hidden), cells)), self.dropout, self.training)
            hidden = out if i == 0 else hidden + out
        return _normalised(hidden)


def _normalised(x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:])
