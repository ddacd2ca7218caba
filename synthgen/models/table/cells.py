"""A row as cells, one a column: the form in which it is drawn a cell at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from synthgen.layout import TableLayout
from synthgen.models.stages import Batch
from synthgen.networks.cells import CellKind

__all__ = ["RowCells"]


class RowCells:
    """The map between a batch of encoded rows and their cells.

    A discrete variable is a cell. A continuous one is a cell with the discrete variable that says whether it holds, or
    by itself.

    Attributes:
        kinds: What each cell holds.
        digits: Pairs of a cell and the one that it is the next digit of.

    Args:
        layout: What a row is made of.
    """

    def __init__(self, layout: TableLayout) -> None:
        discrete, gates = layout.categorical, layout.gates or (-1,) * layout.numerical
        number_of = {gate: number for number, gate in enumerate(gates) if gate >= 0}
        ungated = [number for number, gate in enumerate(gates) if gate < 0]
        ordered = layout.ordered or (0,) * discrete
        self.kinds = [
            CellKind(size, number=j in number_of, ordered=0 if j in number_of else ordered[j])
            for j, size in enumerate(layout.cardinalities)
        ] + [CellKind(1, number=True) for _ in ungated]
        self.digits = [(j, leader) for j, leader in enumerate(layout.digits) if leader >= 0]
        self._discrete = discrete
        self._cells = [*number_of, *range(discrete, discrete + len(ungated))]  # that hold numbers
        self._numbers = [*number_of.values(), *ungated]  # and which
        self._gated = len(number_of)

    def __len__(self) -> int:
        """Number of cells of a row."""
        return len(self.kinds)

    def to_cells(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Encoded rows to (rows, cells) values and numbers; a number is 0 where a cell holds none."""
        codes, normal = batch["categorical"].long(), batch["numerical"]
        values = codes.new_zeros(len(codes), len(self))
        values[:, : self._discrete] = codes
        numbers = normal.new_zeros(len(codes), len(self))
        numbers[:, self._cells] = torch.where(values[:, self._cells] == 0, normal[:, self._numbers], 0.0)
        return values, numbers

    def parts(self, data: Batch, rows: int = 1 << 16) -> Iterator[tuple[Tensor, Tensor]]:
        """What `to_cells` makes of so many rows at a time: cells of all take several times the memory of the rows."""
        for begin in range(0, len(data["categorical"]), rows):
            yield self.to_cells({name: data[name][begin : begin + rows] for name in ("categorical", "numerical")})

    def known(self, condition: Batch) -> Tensor:
        """(rows, cells) whether a condition gives a cell."""
        return self.flags(condition["numerical_known"], condition["categorical_known"])

    def flags(self, numerical: Tensor, categorical: Tensor) -> Tensor:
        """(rows, cells) booleans of cells from those of variables: a cell has its discrete variable's if it has one."""
        flags = categorical.new_zeros(len(categorical), len(self))
        flags[:, : self._discrete] = categorical
        free = slice(self._gated, None)
        flags[:, self._cells[free]] = numerical[:, self._numbers[free]]
        return flags

    def of_numbers(self, numerical: Tensor) -> Tensor:
        """(rows, numerical, …) something of each continuous variable to (rows, numbers, …), in the order of cells."""
        return numerical[:, [number for _, number in sorted(zip(self._cells, self._numbers))]]

    def to_batch(self, values: Tensor, numbers: Tensor) -> Batch:
        """The inverse of `to_cells`."""
        normal = numbers.new_zeros(len(numbers), len(self._numbers))
        normal[:, self._numbers] = numbers[:, self._cells]
        return {"numerical": normal, "categorical": values[:, : self._discrete].int()}
