import pytest
import torch

from synthgen.layout import TableLayout
from synthgen.models.table.cells import RowCells
from synthgen.networks.cells import CellKind

# Words, a gate of the second number, ordered codes with a missing one; a number that always holds.
LAYOUT = TableLayout(2, (3, 4, 10), ordered=(0, 0, 9), gates=(-1, 1))


def batch(n=200):
    generator = torch.Generator().manual_seed(0)
    codes = torch.stack([torch.randint(size, (n,), generator=generator) for size in LAYOUT.cardinalities], dim=1)
    return {"numerical": torch.randn(n, 2, generator=generator), "categorical": codes.int()}


def test_a_column_is_a_cell():
    assert RowCells(LAYOUT).kinds == [
        CellKind(3),
        CellKind(4, number=True),
        CellKind(10, ordered=9),
        CellKind(1, number=True),
    ]
    assert RowCells(TableLayout(0, (5, 3, 3), digits=(-1, -1, 1))).digits == [(2, 1)]
    assert RowCells(TableLayout(0, (5,))).kinds == [CellKind(5)]
    assert RowCells(TableLayout(3, ())).kinds == [CellKind(1, number=True)] * 3


def test_rows_come_back_but_for_numbers_that_do_not_hold():
    cells, rows = RowCells(LAYOUT), batch()
    values, numbers = cells.to_cells(rows)
    back = cells.to_batch(values, numbers)
    assert torch.equal(back["categorical"], rows["categorical"])
    holds = torch.stack([torch.ones(200, dtype=torch.bool), rows["categorical"][:, 1] == 0], dim=1)
    assert torch.equal(back["numerical"], torch.where(holds, rows["numerical"], 0.0))
    assert (values[:, 3] == 0).all()


@pytest.mark.parametrize(("variable", "cell"), [(0, 0), (1, 1), (2, 2)])
def test_what_a_condition_gives_of_codes(variable, cell):
    rows = batch()
    given = torch.zeros(200, 3, dtype=torch.bool)
    given[:7, variable] = True
    condition = {**rows, "categorical_known": given, "numerical_known": torch.zeros(200, 2, dtype=torch.bool)}
    known = RowCells(LAYOUT).known(condition)
    assert known.sum() == 7
    assert known[:7, cell].all()


def test_what_a_condition_gives_of_numbers():
    rows = batch()
    given = torch.zeros(200, 2, dtype=torch.bool)
    given[:7, 0] = True
    condition = {**rows, "numerical_known": given, "categorical_known": torch.zeros(200, 3, dtype=torch.bool)}
    known = RowCells(LAYOUT).known(condition)
    assert known.sum() == 7
    assert known[:7, 3].all()
