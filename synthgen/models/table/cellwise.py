"""How networks over the cells of a row are fitted where cells are learned in different times."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from synthgen.models.stages import EMA, Batch, GradientStage, Optimization, StepContext
from synthgen.networks.any_order import AnyOrderNetwork

__all__ = ["CellwiseStage"]

# Nats by which a cell must have been predicted better before to be begun anew, times the square root of the rows that
# were validated on: less may be chance.
_MARGIN = 0.5


class CellwiseStage(GradientStage):
    """Fits a network over the cells of a row, and begins anew those that it has learned for too long.

    What a label owes to the other cells is known after a few epochs; by the time that exact amounts are, it has been
    learned by heart, row by row. So when the rate begins to fall, a cell that was predicted better at some time before
    is put back to the weights that training began with, and is learned once more over the rest of the run, on vectors
    that have been learned meanwhile. That is done where the rest is at least as long as it took the cell to its best.

    Without validation, or where a network's cells share more than their vectors, all are learned to the end.

    Args:
        module: What is trained.
        loss: (module, batch, generator) to a scalar.
        optimization: How.
        ema: The average that sampling uses.
        validation: (module, batch, generator) to (cells,) what is to be lowest of each cell, in nats.
    """

    module: AnyOrderNetwork
    average: AnyOrderNetwork

    def __init__(
        self,
        module: AnyOrderNetwork,
        loss: Callable[[Any, Batch, torch.Generator], Tensor],
        optimization: Optimization,
        ema: EMA,
        validation: Callable[[Any, Batch, torch.Generator], Tensor],
    ) -> None:
        super().__init__(module, loss, optimization, ema, validation=validation)
        self.first = deepcopy(self.average)
        cells = len(module.kinds)
        self.register_buffer("lowest", torch.full((cells,), torch.inf))
        self.register_buffer("lowest_at", torch.zeros(cells, dtype=torch.long))
        self.register_buffer("excess", torch.zeros(cells))
        self.seen = 0
        self.falling = False  # whether the rate falls: what is begun anew has been

    lowest: Tensor  # nats, at the validation at which a cell was predicted best
    lowest_at: Tensor  # examples seen by then
    excess: Tensor  # nats above the lowest at the last validation, less what may be chance

    def load_trained(self, state: dict[str, Tensor]) -> None:
        """The module, its average, and what cells begin from."""
        super().load_trained(state)
        self.first.load_state_dict(state)

    def training_step(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """See `GradientStage`."""
        if not self.falling and context.total is not None:
            left = context.total - context.seen
            self.falling = left <= self.optimization.cooldown * context.total
            if self.falling:
                self._begin_anew((self.excess > 0) & (self.lowest_at <= left), context)
        self.seen = context.seen + context.examples
        return super().training_step(batch, context)

    def validated(self, losses: Tensor, rows: int) -> Tensor:
        """Takes note of when each cell was predicted best; see `Stage.validated`."""
        self.lowest_at.masked_fill_(losses < self.lowest, self.seen)
        self.lowest.copy_(torch.minimum(self.lowest, losses))
        self.excess.copy_(losses - self.lowest - _MARGIN / rows**0.5)
        return losses

    def get_extra_state(self) -> Tensor:
        """Examples seen, and whether the rate falls."""
        return torch.tensor([self.seen, self.falling])

    def set_extra_state(self, state: Tensor) -> None:
        """See `get_extra_state`."""
        self.seen, self.falling = int(state[0]), bool(state[1])

    @torch.no_grad()
    def _begin_anew(self, anew: Tensor, context: StepContext) -> None:
        """Puts (cells,) back to where they began: weights, their average and the optimizer's moments."""
        moments = context.optimizers[0].state
        copies = zip(self.module.cellwise(), self.average.cellwise(), self.first.cellwise(), strict=True)
        for (parameter, cells), (average, _), (first, _) in copies:
            # By `where`, which no host waits for.
            rows = anew[cells].view(-1, *[1] * (parameter.dim() - 1))
            for weights in (parameter, average):
                weights.copy_(torch.where(rows, first, weights))
            for name, moment in moments.get(parameter, {}).items():  # none where there was no gradient
                if name != "step":
                    moment.masked_fill_(rows, 0.0)
