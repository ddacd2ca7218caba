"""ARGN: an any-order autoregressive network over the cells of a row."""

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from synthgen.errors import SynthgenError
from synthgen.layout import TableLayout
from synthgen.models.base import Model
from synthgen.models.stages import EMA, Batch, ClosedFormStage, Optimization, Stage
from synthgen.models.table.cells import RowCells
from synthgen.models.table.cellwise import CellwiseStage
from synthgen.networks.any_order import AnyOrderNetwork
from synthgen.networks.cells import Marginals

__all__ = ["ARGN"]

# Log-deviations of the components of a number: narrow enough for what is all but equal, wide enough for all.
_LOG_DEVIATIONS = (-6.0, 2.0)
# Draws of which one is taken where numbers have a temperature.
_CANDIDATES = 16
# Pairs of cells above which rows share an order: what looks at what takes more memory than the rows themselves.
_PAIRS = 4096


class ARGN(Model):
    """Draws a row cell by cell, each from its distribution given the cells that are there.

    One network learns the distribution of every cell given any others, by taking the cells of each training row in an
    order of its own (Uria et al., 2014; over tables, Tiwald et al., 2025, "TabularARGN"). So any cells can be given,
    and what is drawn then is exact: `condition`, imputation and prediction are one thing. A share of the rows is taken
    in the order of the columns, which is the one that rows are drawn in, so that the network is at its best there.

    The loss is the negative log-likelihood of rows, in nats; `val/loss` is that of the columns in their order. Numbers
    count by their density on the codec's standard normal scale.

    Args:
        layout: What a row is made of.
        network: (kinds of cells) to a network such as `AnyOrderMLP`.
        optimization: How its weights are fitted.
        ema: The average that sampling uses.
        in_order: Share of rows whose cells are taken in the order of the columns, 0 to 1.

    Raises:
        SynthgenError: `in_order` is no share.
    """

    conditioning = "exact"
    block_size = 4096

    def __init__(
        self,
        layout: TableLayout,
        network: Callable[..., AnyOrderNetwork],
        optimization: Optimization,
        ema: EMA,
        in_order: float = 0.5,
    ) -> None:
        if not 0 <= in_order <= 1:
            raise SynthgenError(f"in_order: found {in_order}, expected a share from 0 to 1")
        cells = RowCells(layout)
        stages: list[Stage] = [ClosedFormStage(Marginals(()), self._count)]
        if len(cells):  # a table of constants alone has none
            module = network(cells.kinds)
            counting = ClosedFormStage(module.marginals, self._count)
            stages = [
                counting,
                CellwiseStage(module, self._objective, optimization, ema, validation=self._nll_in_order),
            ]
        super().__init__(stages)
        self.layout = layout
        self.cells = cells
        self.in_order = in_order

    def sample_block(
        self,
        size: int,
        condition: Batch | None,
        generator: torch.Generator,
        temperature: float = 1.0,
        top_p: float = 1.0,
        **_: Any,
    ) -> Batch:
        """Rows cell by cell, in the order of the columns; see `Model.sample_block`.

        Args:
            size: Number of rows.
            condition: Cells that are given.
            generator: Source of all draws.
            temperature: Above 0. Below 1 what is likely becomes likelier, above 1 less so.
            top_p: Values are drawn from the likeliest ones that make up this share, 0 to 1; numbers are not held back.

        Raises:
            SynthgenError: `temperature` or `top_p` is out of range.
        """
        if not 0 < temperature < math.inf:
            raise SynthgenError(f"temperature: found {temperature}, expected a number above 0")
        if not 0 < top_p <= 1:
            raise SynthgenError(f"top_p: found {top_p}, expected a share above 0, at most 1")
        network = cast(AnyOrderNetwork, self.stages[-1].trained)
        device = generator.device
        values = torch.zeros(size, len(self.cells), dtype=torch.long, device=device)
        numbers = torch.zeros(size, len(self.cells), device=device)
        given = None
        if condition is not None:
            given = self.cells.known(condition)
            values, numbers = self.cells.to_cells(condition)
        if not len(self.cells):
            return self.cells.to_batch(values, numbers)
        known = network.nothing(size) if given is None else network.begin(network.embedding(values, numbers), given)
        for cell in range(len(self.cells)):
            new = None if given is None else ~given[:, cell]
            if new is not None and not new.any():
                continue
            logits, mixture = network.predict(cell, known)
            value, number = _draw_value(logits, generator, temperature, top_p), numbers[:, cell]
            if mixture is not None:
                number = _draw_number(mixture, generator, temperature)
            if new is not None:
                value = torch.where(new, value, values[:, cell])
                number = torch.where(new, number, numbers[:, cell])
            values[:, cell], numbers[:, cell] = value, number
            network.add(known, cell, network.embedding.one(cell, value, number), new)
        return self.cells.to_batch(values, numbers)

    @torch.inference_mode()
    def log_prob(self, batch: Batch) -> Tensor:
        """Logarithm of the probability of encoded rows, in nats.

        Args:
            batch: As `codec.encode` gives it: then it is the density of numbers on the codec's standard normal scale.
                Or as `codec.encode_outcomes` gives it: then it is the probability of the cells as they are written, and
                a density in their own units of numbers that are not rounded.

        Returns:
            (rows,), float64.
        """
        if not len(self.cells):
            return torch.zeros(len(batch["categorical"]), dtype=torch.float64)
        network = cast(AnyOrderNetwork, self.stages[1].trained)
        visible = _in_order(len(self.cells), self.device)[None]
        logs = []
        for begin in range(0, len(batch["categorical"]), self.block_size):
            rows = {name: tensor[begin : begin + self.block_size].to(self.device) for name, tensor in batch.items()}
            values, numbers = self.cells.to_cells(rows)
            if "log_slope" not in rows:
                logs.append(-cell_nll(network, values, numbers, visible).sum(dim=1).double().cpu())
                continue
            within = self.cells.of_numbers(rows["numerical_within"])
            nll = cell_nll(network, values, numbers, visible, within)
            told = self.cells.flags(rows["numerical_told"], rows["categorical_told"])
            logs.append((rows["log_slope"] - torch.where(told, nll, 0.0).sum(dim=1)).cpu())
        return torch.cat(logs)

    def _count(self, marginals: nn.Module, data: Batch) -> None:
        cast(Marginals, marginals).count(values for values, _ in self.cells.parts(data))

    def _objective(self, network: AnyOrderNetwork, batch: Batch, generator: torch.Generator) -> Tensor:
        values, numbers = self.cells.to_cells(batch)
        visible = draw_orders(len(values), len(self.cells), self.in_order, generator, self.cells.digits)
        return cell_nll(network, values, numbers, visible).sum(dim=1).mean()

    def _nll_in_order(self, network: AnyOrderNetwork, batch: Batch, _: torch.Generator) -> Tensor:
        values, numbers = self.cells.to_cells(batch)
        visible = _in_order(len(self.cells), values.device)[None]
        return cell_nll(network, values, numbers, visible).mean(dim=0)


def cell_nll(
    network: AnyOrderNetwork, values: Tensor, numbers: Tensor, visible: Tensor, within: Tensor | None = None
) -> Tensor:
    """Negative log-likelihood of every cell given those that it looks at, in nats.

    Args:
        network: What predicts.
        values: (batch, cells) value of each cell.
        numbers: (batch, cells) the number that a cell holds.
        visible: (groups, cells, cells) which other cells a cell looks at.
        within: (batch, cells that hold numbers, 2), float64: ends of an interval, whose probability is taken in the
            place of a number's density; NaN where it is not.

    Returns:
        (batch, cells), float32; float64 with `within`.
    """
    predicted = network(values, numbers, visible)
    nll = torch.zeros(values.T.shape, device=values.device, dtype=torch.float32 if within is None else torch.float64)
    for cells, logits in predicted.logits:
        told = values.T[cells]
        lost = logits.logsumexp(dim=2) - logits.gather(2, told[:, :, None])[:, :, 0]
        nll = nll.index_add(0, cells, lost.to(nll.dtype))
    if predicted.numbers is not None:
        cells = network.mixture.cells
        density = _log_density(predicted.numbers, numbers.T[cells])
        if within is not None:
            ends = within.transpose(0, 1)
            mass = _log_mass(predicted.numbers, ends)
            density = torch.where(ends[..., 0].isnan(), density.double(), mass)
        nll = nll.index_add(0, cells, -density * (values.T[cells] == 0))
    return nll.T


def draw_orders(
    rows: int,
    cells: int,
    in_order: float,
    generator: torch.Generator,
    digits: Sequence[tuple[int, int]] = (),
) -> Tensor:
    """Which cells of a row come before which, in orders drawn at random.

    Args:
        rows: Number of rows.
        cells: Cells of a row.
        in_order: Share of orders that are that of the columns.
        generator: Source of the draws.
        digits: Pairs of cells of which the first comes right after the second, as the next digit of a code does.

    Returns:
        (groups, cells, cells), true where the second cell comes after the third. A group is a row, or as many rows as
        divide `rows`, where there are so many cells that one for each row would take too much memory.
    """
    shared = max(1, cells * cells // _PAIRS)
    while rows % shared:
        shared -= 1
    device = generator.device
    key = torch.rand(rows // shared, cells, generator=generator, device=device)
    column = torch.arange(cells, device=device) / cells
    chosen = torch.rand(rows // shared, 1, generator=generator, device=device) < in_order
    key = torch.where(chosen, column, key)
    for digit, leader in digits:
        key[:, digit] = torch.nextafter(key[:, leader], torch.full_like(key[:, leader], 2.0))
    return key[:, :, None] > key[:, None, :]


def _in_order(cells: int, device: torch.device) -> Tensor:
    return torch.ones(cells, cells, dtype=torch.bool, device=device).tril(-1)


def _log_density(mixture: Tensor, x: Tensor) -> Tensor:
    """(…, 3, components) logits, means and log-deviations, and (…) numbers to their log-density."""
    logits, mean, log_deviation = mixture.float().unbind(-2)
    log_deviation = log_deviation.clamp(*_LOG_DEVIATIONS)
    off = (x[..., None] - mean) * (-log_deviation).exp()
    inside = logits.log_softmax(dim=-1) - log_deviation - off.square() / 2
    return inside.logsumexp(dim=-1) - math.log(2 * math.pi) / 2


def _log_mass(mixture: Tensor, ends: Tensor) -> Tensor:
    """(…, 3, components) logits, means and log-deviations, and (…, 2) ends of intervals to their log-probability."""
    logits, mean, log_deviation = mixture.double().unbind(-2)
    deviation = log_deviation.clamp(*_LOG_DEVIATIONS).exp()
    low, high = ((ends[..., end, None] - mean) / deviation for end in (0, 1))
    # In the lower half of the distribution, in which the difference of two probabilities near one is none.
    low, high = torch.where(low > 0, -high, low), torch.where(low > 0, -low, high)
    below, up_to = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    inside = up_to + torch.log1p(-(below - up_to).clamp(max=0.0).exp())
    inside = torch.where(low < high, inside, -torch.inf)  # a number beyond all that are drawn
    return (logits.log_softmax(dim=-1) + inside).logsumexp(dim=-1)


def _draw_value(logits: Tensor, generator: torch.Generator, temperature: float, top_p: float) -> Tensor:
    """(batch, values) logits to (batch,) values, by the inverse of their distribution function."""
    if logits.shape[1] == 1:
        return torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    logits = logits.float() if temperature == 1 else logits.float() / temperature
    shares = logits.softmax(dim=1)
    if top_p < 1:
        falling, order = shares.sort(dim=1, descending=True)
        held_back = falling.cumsum(dim=1) - falling >= top_p
        shares = torch.zeros_like(shares).scatter(1, order, falling.masked_fill(held_back, 0.0))
    below = shares.cumsum(dim=1)
    uniform = torch.rand(len(shares), 1, generator=generator, device=generator.device)
    # Not beyond the last value that has a share: rounding may leave the sum below the draw.
    return (below <= uniform * below[:, -1:]).sum(dim=1).clamp(max=shares.shape[1] - 1)


def _draw_number(mixture: Tensor, generator: torch.Generator, temperature: float) -> Tensor:
    """(batch, 3, components) to (batch,) numbers, of a density that is the mixture's to the power of 1 / temperature.

    The power of a mixture is none: one of some draws from tempered components is taken, each as likely as its density
    is above theirs (sampling importance resampling, Rubin, 1987).
    """
    if temperature == 1:
        return _from_mixture(mixture, generator)
    logits, mean, log_deviation = mixture.float().unbind(1)
    inside = log_deviation.clamp(*_LOG_DEVIATIONS) + math.log(temperature) / 2
    tempered = torch.stack([logits / temperature, mean, inside], dim=1)
    drawn = torch.stack([_from_mixture(tempered, generator) for _ in range(_CANDIDATES)], dim=1)
    density = _log_density(mixture[:, None], drawn) / temperature
    weights = density - _log_density(tempered[:, None], drawn)
    return drawn.gather(1, _draw_value(weights, generator, 1.0, top_p=1.0)[:, None])[:, 0]


def _from_mixture(mixture: Tensor, generator: torch.Generator) -> Tensor:
    """(batch, 3, components) to (batch,) numbers."""
    logits, mean, log_deviation = mixture.float().unbind(1)
    component = _draw_value(logits, generator, 1.0, top_p=1.0)[:, None]
    deviation = log_deviation.gather(1, component).clamp(*_LOG_DEVIATIONS).exp()
    noise = torch.randn(deviation.shape, generator=generator, device=generator.device)
    return (mean.gather(1, component) + deviation * noise)[:, 0]
