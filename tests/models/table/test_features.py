import numpy as np
import pytest
import torch
from scipy.stats import kstest

from synthgen.layout import TableLayout
from synthgen.models.table.features import RowFeatures, features_stage

# Two numbers; four values in order; two words; three values in order that may be missing; five words.
LAYOUT = TableLayout(2, (4, 2, 4, 5), ordered=(4, 0, 3, 0))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def some(rows=20_000, layout=LAYOUT):
    codes = [
        torch.multinomial(torch.rand(c, generator=seeded(j)) + 0.1, rows, True, generator=seeded(100 + j))
        for j, c in enumerate(layout.cardinalities)
    ]
    categorical = torch.stack(codes, dim=1).int() if codes else torch.zeros(rows, 0, dtype=torch.int32)
    return {"numerical": torch.randn(rows, layout.numerical, generator=seeded(9)), "categorical": categorical}


@pytest.fixture(scope="module")
def fitted():
    features = RowFeatures(LAYOUT)
    features.fit(some())
    return features


def test_a_row_has_numbers_and_blocks(fitted):
    assert fitted.numbers == 2 + 2
    assert fitted.blocks.sizes.tolist() == [2, 5, 2], "the words, and whether the second ordered one is missing"
    assert fitted.width == 4 + 9


def test_ordered_codes_become_standard_normal_numbers(fitted):
    data = some()
    numbers = fitted.to_numbers(data, seeded())
    assert torch.equal(numbers[:, :2], data["numerical"])
    for column in (2, 3):
        assert kstest(numbers[:, column].numpy(), "norm").pvalue > 0.001
    codes = data["categorical"][:, 0].numpy()
    means = [numbers[:, 2].numpy()[codes == code].mean() for code in range(4)]
    assert np.all(np.diff(means) > 0)


def test_the_way_back_is_exact_whatever_the_place_within_the_interval(fitted):
    data = some()
    for seed in range(3):
        back = fitted.to_batch(fitted.to_numbers(data, seeded(seed)), fitted.block_codes(data))
        assert torch.equal(back["categorical"].int(), data["categorical"])
        assert torch.equal(back["numerical"], data["numerical"])


def test_shares_are_those_of_the_training_rows(fitted):
    data = some()
    codes = fitted.block_codes(data)
    expected = torch.cat([torch.bincount(codes[:, j], minlength=c) / len(codes) for j, c in enumerate((2, 5, 2))])
    torch.testing.assert_close(fitted.shares, expected)
    assert (codes[:, 2] == (data["categorical"][:, 2] == 3)).all()


def test_a_code_that_training_never_saw_is_never_given_back():
    features = RowFeatures(TableLayout(0, (4,), ordered=(4,)))
    features.fit({"numerical": torch.zeros(4, 0), "categorical": torch.tensor([[0], [0], [2], [3]])})
    drawn = features.to_batch(torch.randn(5000, 1, generator=seeded()), torch.zeros(5000, 0, dtype=torch.long))
    assert set(drawn["categorical"][:, 0].tolist()) == {0, 2, 3}


def test_extreme_numbers_are_the_first_and_the_last_code(fitted):
    numbers = torch.tensor([[0.0, 0.0, -40.0, 40.0]])
    back = fitted.to_batch(numbers, torch.zeros(1, 3, dtype=torch.long))
    assert back["categorical"].tolist() == [[0, 0, 2, 0]]


@pytest.mark.parametrize(
    "layout",
    [TableLayout(3, ()), TableLayout(0, (3,)), TableLayout(0, (3, 4), (3, 4)), TableLayout(1, (2, 2), (1, 0))],
)
def test_tables_may_lack_any_kind_of_variable(layout):
    features, data = RowFeatures(layout), some(200, layout)
    features.fit(data)
    back = features.to_batch(features.to_numbers(data, seeded()), features.block_codes(data))
    assert torch.equal(back["categorical"].int(), data["categorical"])
    assert torch.equal(back["numerical"], data["numerical"])


def test_what_is_known_of_a_row_is_known_of_its_blocks(fitted):
    known = torch.tensor([[True, False, False, True], [False, True, True, False]])
    assert fitted.known_blocks(known).tolist() == [[False, True, False], [True, False, True]]


def test_the_stage_is_a_closed_form_whose_counts_are_saved():
    stage = features_stage(LAYOUT)
    stage.fit(some())
    other = RowFeatures(LAYOUT)
    other.load_state_dict(stage.trained.state_dict())
    data = some(50)
    assert torch.equal(other.to_numbers(data, seeded()), stage.trained.to_numbers(data, seeded()))
