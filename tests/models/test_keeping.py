"""Rows drawn until they are kept: any row in the place of another, or each in its own."""

import numpy as np
import pytest
import torch

from synthgen.errors import SynthgenError
from synthgen.models.keeping import Acceptance, Unmet, alike_rows, own_rows

SIZE = 64


class Below:
    """Keeps rows whose number is below a limit of their own."""

    alike, ordered = True, False

    def __init__(self, limits):
        self.limits = np.asarray(limits)
        self.taken = 0

    def judge(self, rows, places):
        return rows["x"].numpy() < self.limits[0 if places is None else places]

    def take(self, index):
        self.taken += len(index)

    def blame(self):
        return "being small"


def draw(size, condition, attempt):
    return {"x": torch.rand(size, generator=torch.Generator().manual_seed(attempt))}


def test_rows_of_a_block_are_the_same_however_many_are_needed():
    keeping, count = Below([0.1]), Acceptance()
    whole = alike_rows(draw, None, keeping, SIZE, SIZE, count)["x"]
    assert len(whole) == SIZE == keeping.taken
    assert (whole < 0.1).all()
    assert count.rate == pytest.approx(0.1, abs=0.04)
    for needed in (1, 20, 63):
        assert torch.equal(alike_rows(draw, None, Below([0.1]), SIZE, needed, Acceptance())["x"], whole[:needed])
    # The first row that is kept is the first.
    first = draw(SIZE + SIZE // 32, None, 0)["x"]
    assert whole[0] == first[first < 0.1][0]


def test_a_row_with_a_condition_of_its_own_does_not_depend_on_the_others():
    limits = np.linspace(0.05, 1, 40)
    count = Acceptance()
    whole = own_rows(draw, {"limit": torch.zeros(SIZE)}, Below(limits), SIZE, np.arange(10, 50), -10, count)["x"]
    assert 0.2 < count.rate < 0.8
    assert (whole.numpy() < limits).all()
    part = own_rows(draw, {}, Below(limits), SIZE, np.arange(30, 35), -10, Acceptance())["x"]
    assert torch.equal(part, whole[20:25])


def test_what_hardly_any_row_obeys_is_told_with_its_rate():
    with pytest.raises(SynthgenError, match=r"0 of [\d,]+ rows drawn were kept \(acceptance rate 0\); most .* small"):
        alike_rows(draw, None, Below([0.0]), SIZE, 1, Acceptance())
    limits = np.ones(SIZE)
    limits[[3, 40, 41]] = 0
    with pytest.raises(Unmet, match=r"0 of \d+ rows drawn were kept \(acceptance rate 0\); most .* small") as told:
        own_rows(draw, {}, Below(limits), SIZE, np.arange(2, SIZE), 0, Acceptance())
    assert told.value.rows == [3, 40, 41]
    with pytest.raises(Unmet) as told:
        own_rows(draw, {}, Below(np.zeros(100 + SIZE)), SIZE, np.arange(SIZE), 100, Acceptance())
    assert told.value.rows == list(range(100, 132))  # enough of them


@pytest.mark.parametrize(("share", "blocks"), [(0.95, 6), (0.5, 20)])
def test_few_rows_that_are_not_kept_cost_few_blocks(share, blocks):
    drawn = []

    def draw_and_count(size, condition, attempt):
        drawn.append(attempt)
        return draw(size, condition, attempt)

    own_rows(draw_and_count, {}, Below([share] * 4096), 4096, np.arange(4096), 0, Acceptance())
    assert len(drawn) <= blocks
    assert len(set(drawn)) == len(drawn)  # no two draws are the same
