import pandas as pd
import pytest
import torch

import synthgen
from synthgen.errors import SynthgenError
from synthgen.layout import TableLayout
from synthgen.models.table.ctgan import RowsByCode
from synthgen.models.table.features import RowFeatures
from tests.models.table.toys import check_joint, check_number, two_words_and_a_number

TINY = ["network.widths=[32,32]", "model.latent=8", "callbacks=none", "trainer=cpu"]
QUICK = [
    "network.widths=[64,64]",
    "model.latent=16",
    "model.dropout=0",
    "model.generator_optimization.lr=1e-3",
    "model.discriminator_optimization.lr=1e-3",
    "callbacks=none",
    "trainer=cpu",
]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def fitted():
    frame = two_words_and_a_number()
    return synthgen.fit(frame, "table/ctgan", max_samples=250_000, batch_size=200, overrides=QUICK)


def test_the_joint_of_two_categories_is_learned(fitted):
    check_joint(fitted, within=0.18)


def test_a_number_follows_its_category(fitted):
    check_number(fitted, mean_within=0.5, std=(0.7, 1.7))


def test_conditions_are_met_by_rejection_and_the_rate_is_counted(fitted):
    fake = fitted.sample(3000, condition={"a": "high", "b": "q"})
    assert (fake["a"] == "high").all()
    assert (fake["b"] == "q").all()
    assert fitted.model.acceptance.accepted >= 3000
    assert 0 < fitted.model.acceptance.rate < 1


def test_the_generator_is_told_what_is_wanted(fitted):
    """A third of the rows has it: were the generator not told, no more would be accepted."""
    fitted.sample(2000, condition={"b": "p"})
    assert fitted.model.acceptance.rate > 0.7


def test_of_several_wanted_cells_it_is_told_the_rarest(fitted):
    encoded = fitted.codec.encode_condition({"a": "low", "b": "q"}, 2)
    nothing = torch.zeros(2, dtype=torch.long)
    block, code = fitted.model._rarest(encoded, nothing, nothing)
    names = [column.name for column in fitted.codec.schema if not column.numerical]
    assert [names[int(b)] for b in block] == ["b", "b"], "18 % of rows are q, and 45 % low"
    assert fitted.codec.schema["b"].categories[int(code[0])] == "q"


def test_only_the_rows_that_were_asked_for_have_to_be_met(fitted, monkeypatch):
    """A block has 2,048 places: one row that is wanted must not wait until all of them have its cells."""
    monkeypatch.setattr("synthgen.models.table.rejection._MAX_DRAWS", 3)
    wish = {"a": "low", "b": "q", "x": float(fitted.sample(1, condition={"a": "low", "b": "q"})["x"].iloc[0])}
    assert len(fitted.sample(1, condition=wish)) == 1
    with pytest.raises(SynthgenError, match=r"\d+ of 2048 rows were not met"):
        fitted.sample(2048, condition=wish)
    with pytest.raises(SynthgenError, match=r"\d+ of 1500 rows were not met"):
        fitted.sample(1500, condition=wish)


def test_a_wish_that_is_never_met_ends_with_the_rate(fitted, monkeypatch):
    monkeypatch.setattr("synthgen.models.table.rejection._MAX_DRAWS", 2)
    with pytest.raises(SynthgenError, match=r"acceptance rate .*table/argn"):
        fitted.sample(100, condition={"a": "low", "x": 6.9})


def test_wishes_of_rows_may_differ_and_free_cells_are_filled(fitted):
    wishes = pd.DataFrame({"a": ["low", "high", None] * 40, "b": [None, "r", "p"] * 40})
    fake = fitted.sample(120, condition=wishes)
    for name in ("a", "b"):
        asked = wishes[name].notna()
        assert (fake.loc[asked, name] == wishes.loc[asked, name]).all()
        assert fake[name].notna().all()


# Training by sampling


@pytest.fixture(scope="module")
def by_code():
    codes = torch.multinomial(torch.tensor([0.9, 0.08, 0.02]), 10_000, True, generator=seeded(7))
    other = torch.randint(4, (10_000,), generator=seeded(8))
    data = {"numerical": torch.zeros(10_000, 0), "categorical": torch.stack([codes, other], dim=1).int()}
    features = RowFeatures(TableLayout(0, (3, 4)))
    features.fit(data)
    return RowsByCode(features, data)


def test_columns_are_drawn_evenly_and_codes_by_the_logarithm_of_their_frequency(by_code):
    cells = by_code.draw(200_000, seeded())
    assert cells["block"].float().mean().item() == pytest.approx(0.5, abs=0.01)
    weight = (1 + by_code.counts[:3].double()).log()
    share = torch.bincount(cells["code"][cells["block"] == 0], minlength=3).double()
    torch.testing.assert_close(share / share.sum(), weight / weight.sum(), atol=0.01, rtol=0)


def test_the_row_beside_a_cell_has_it_and_is_any_that_has(by_code):
    cells = by_code.draw(100_000, seeded(1))
    codes = by_code.data["categorical"][cells["row"]].long()
    assert torch.equal(codes.gather(1, cells["block"][:, None])[:, 0], cells["code"])
    rare = (cells["block"] == 0) & (cells["code"] == 2)
    assert cells["row"][rare].unique().numel() == int(by_code.counts[2]), "all rows with the rare code take their turn"


def test_what_is_told_is_the_cell(by_code):
    cells = by_code.draw(100, seeded(2))
    assert torch.equal(cells["told"], torch.tensor([0, 3])[cells["block"]] + cells["code"])


def test_a_trained_model_holds_no_training_rows(fitted):
    assert fitted.model._rows_by_code is None


def test_the_training_rows_are_not_saved_with_the_weights(fitted):
    state = fitted.model.trained_state()
    assert max(value.numel() for value in state.values()) < 6000
    assert not any("order" in name for name in state)


def test_a_batch_smaller_than_what_is_judged_together_is_refused(people):
    with pytest.raises(SynthgenError, match=r"data\.batch_size: found 8, expected at least pac=10"):
        synthgen.fit(people, "table/ctgan", max_samples=100, batch_size=8, overrides=TINY)
