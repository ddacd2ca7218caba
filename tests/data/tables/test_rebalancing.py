import uuid

import numpy as np
import pandas as pd
import pytest

import synthgen
from synthgen.data.tables.codec import TableCodec
from synthgen.data.tables.rebalancing import rebalanced
from synthgen.data.tables.schema import infer_schema
from synthgen.errors import SynthgenError


@pytest.fixture(scope="module")
def codec(people):
    return TableCodec.fit(people, infer_schema(people))


def shares(rows, name):
    return rows[name].value_counts(normalize=True).to_dict()


def test_values_of_a_column_become_equally_frequent(codec, people):
    rows = rebalanced(codec, "town", None, 20_000, seed=0, start=0)
    assert list(rows.columns) == ["town"]
    assert shares(rows, "town") == pytest.approx(dict.fromkeys(people["town"].dropna().unique(), 0.25), abs=0.015)


def test_shares_that_are_given_are_kept_and_the_others_have_equal_parts_of_the_rest(codec):
    rows = rebalanced(codec, {"town": {"Bonn": 0.7}, "member": {"True": 0.1, "False": 0.9}}, None, 20_000, 0, 0)
    expected = {"Bonn": 0.7, "Köln": 0.1, "None": 0.1, "St. John's (west)": 0.1}
    assert shares(rows, "town") == pytest.approx(expected, abs=0.015)
    assert shares(rows, "member") == pytest.approx({True: 0.1, False: 0.9}, abs=0.01)
    # Each column is drawn by itself.
    assert (rows["town"].eq("Bonn") & rows["member"]).mean() == pytest.approx(0.07, abs=0.01)


def test_a_row_has_its_value_in_whatever_part_of_a_sequence(codec):
    whole = rebalanced(codec, "town", None, 500, seed=3, start=0)
    parts = [rebalanced(codec, "town", None, 100, seed=3, start=start) for start in range(0, 500, 100)]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)
    assert not rebalanced(codec, "town", None, 500, seed=4, start=0).equals(whole)


def test_keys_say_nothing_of_the_value_that_a_row_was_given():
    ids = [str(uuid.UUID(int=i * 7919, version=4)) for i in range(200)]
    frame = pd.DataFrame({"income": ["low", "high"] * 100, "id": ids, "x": np.arange(200) % 3})
    codec = TableCodec.fit(frame, infer_schema(frame))
    rows = rebalanced(codec, "income", None, 2000, seed=5, start=0)
    encoded = codec.encode_condition({}, 2000)
    drawn = codec.decode(encoded, start=0, seed=5)["id"]
    high = drawn.str[0].map(lambda digit: int(digit, 16) >= 8)
    assert (rows["income"].eq("high") == high).mean() == pytest.approx(0.5, abs=0.05)


def test_a_seed_may_be_of_any_size(codec):
    assert len(rebalanced(codec, "town", None, 5, seed=2**70, start=0)) == 5


def test_other_cells_may_be_given_besides(codec):
    rows = rebalanced(codec, "town", {"age": 30}, 50, 0, 0)
    assert rows["age"].eq(30).all()
    own = pd.DataFrame({"age": np.arange(20, 70), "member": [True, None] * 25}, index=range(100, 150))
    rows = rebalanced(codec, "town", own, 50, 0, 0)
    assert rows["age"].tolist() == list(range(20, 70))
    assert rows["town"].notna().all()


@pytest.mark.parametrize(
    ("rebalance", "condition", "message"),
    [
        ("twon", None, "unknown column 'twon': did you mean 'town'"),
        ("weight", None, "column 'weight' is numerical, expected one with some values"),
        ("country", None, "column 'country' is constant, expected one with some values"),
        ("town", {"town": "Bonn"}, "column 'town' has a condition, too"),
        ({"town": 0.5}, None, r"rebalance\.town: found 0\.5, expected shares by value"),
        ({"town": {"Bon": 0.5}}, None, r"rebalance\.town: found 'Bon'; did you mean 'Bonn'"),
        ({"town": {"Bonn": 1.5}}, None, r"rebalance\.town: found 1\.5 for 'Bonn', expected a share"),
        ({"member": {True: 0.8, False: 0.4}}, None, r"rebalance\.member: shares sum to 1\.2, expected 1"),
        ({"member": {True: 0.2, False: 0.4}}, None, r"rebalance\.member: shares sum to 0\.6, expected 1"),
    ],
)
def test_what_cannot_be_balanced_is_said(codec, rebalance, condition, message):
    with pytest.raises(SynthgenError, match=message):
        rebalanced(codec, rebalance, condition, 10, 0, 0)


def test_rows_are_drawn_given_balanced_values(table_synthesizer, people):
    fake = table_synthesizer.sample(3000, rebalance="income", condition={"member": True})
    assert shares(fake, "income") == pytest.approx({">50K": 0.5, "<=50K": 0.5}, abs=0.03)
    assert fake["member"].all()
    parts = [table_synthesizer.sample(50, start=start, seed=1, rebalance="town") for start in (0, 50)]
    whole = table_synthesizer.sample(100, seed=1, rebalance="town")
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)


def test_images_have_no_columns_to_balance(image_synthesizer):
    with pytest.raises(synthgen.SynthgenError, match="rebalance: is for the columns of a table"):
        image_synthesizer.sample(4, rebalance="label")
