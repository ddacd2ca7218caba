import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from synthgen.errors import SynthgenError
from synthgen.metrics.intervals import proportion
from synthgen.metrics.table.privacy import closest_records, copied_rows, not_held_out
from tests.tables import people, schema_of


def test_share_of_rows_that_occur_in_training():
    train, fresh = people(500, 0).dropna(), people(400, 1).dropna()[:300]
    other = pd.concat([fresh, train.sample(100, random_state=0)], ignore_index=True)
    assert copied_rows(train, fresh).value == 0
    assert copied_rows(train, other) == proportion(100, 400)
    assert copied_rows(train, train.sample(frac=1, random_state=0)).value == 1


@pytest.mark.parametrize("repeats", [1, 2, 20])
def test_an_honest_split_is_held_out_however_much_rows_repeat(repeats):
    rng = np.random.default_rng(repeats)
    rows = pd.DataFrame({"x": rng.normal(size=2000 // repeats), "c": rng.choice(["a", "b"], 2000 // repeats)})
    rows = pd.concat([rows] * repeats).sample(frac=1, random_state=0)
    train, holdout = rows[:1800], rows[1800:]
    assert not_held_out(train, holdout) == 0
    assert not_held_out(train[["c"]], holdout[["c"]]) == 0
    assert not_held_out(train, train.sample(frac=1, random_state=1)) == 1
    if repeats == 1:
        assert not_held_out(train, train.sample(15, random_state=1)) == 1
        assert not_held_out(train, pd.concat([train[:50], holdout[:150]])) == 0.25
        assert not_held_out(train, pd.concat([train[:2], holdout])) == 0


def test_rows_are_equal_by_value_not_by_how_they_are_stored():
    train = pd.DataFrame({"n": [1, 2], "c": ["a", "b"], "m": [np.nan, 0.5], "f": [True, False]})
    stored = pd.DataFrame(
        {
            "f": pd.Series([1, 0]),
            "m": [None, 0.5],
            "c": pd.Categorical(["a", "b"], categories=["b", "a"]),
            "n": [1.0, 2.0],
        }
    )
    assert copied_rows(train, stored).value == 1
    assert copied_rows(stored, train).value == 1
    assert copied_rows(train, stored.astype({"n": "Int64", "m": object})).value == 1


def test_zeros_and_nans_have_one_face():
    train = pd.DataFrame({"x": [0.0, np.nan]})
    assert copied_rows(train, pd.DataFrame({"x": [-0.0, -np.nan]})).value == 1


def test_one_cell_is_enough_to_differ():
    train = pd.DataFrame({"id": [2**60], "c": ["a"]})
    assert copied_rows(train, pd.DataFrame({"id": [2**60 + 1], "c": ["a"]})).value == 0
    assert copied_rows(train, pd.DataFrame({"id": [2**60], "c": [None]})).value == 0
    # Codes of two columns must not be exchanged for each other.
    assert (
        copied_rows(pd.DataFrame({"a": ["x", "y"], "b": ["y", "x"]}), pd.DataFrame({"a": ["x"], "b": ["x"]})).value == 0
    )


def test_errors():
    train = people(10, 0)
    with pytest.raises(SynthgenError, match="no column 'job'"):
        copied_rows(train, train.drop(columns="job"))
    with pytest.raises(SynthgenError, match="no rows"):
        copied_rows(train, train[:0])


def census(rows: int, seed: int) -> pd.DataFrame:
    """`people` with three more numbers, one of them with missing values, and a town."""
    random = np.random.default_rng(seed)
    normal = random.normal(size=(rows, 3))
    weight = (70 + 12 * normal[:, 0]).round(1)
    return people(rows, seed).assign(
        weight=np.where(random.random(rows) < 0.05, np.nan, weight),
        height=(170 + 8 * normal[:, 0] + 5 * normal[:, 1]).round(1),
        rent=np.exp(6 + normal[:, 2] / 2).round(2),
        town=random.choice([f"town {i}" for i in range(50)], rows),
    )


def samples(rows: int, seed: int) -> list[pd.DataFrame]:
    return [census(rows, 3 * seed + side) for side in range(3)]


def planted(synthetic: pd.DataFrame, train: pd.DataFrame, noise: float, seed: int) -> pd.DataFrame:
    """Two in a hundred rows replaced by training rows, whose numbers move by `noise` standard deviations."""
    copies = train.sample(len(synthetic) // 50, random_state=seed)
    random = np.random.default_rng(seed)
    moved = {
        name: copies[name] + noise * train[name].std() * random.normal(size=len(copies))
        for name in ("pay", "weight", "height", "rent")
    }
    return pd.concat([synthetic[len(copies) :], copies.assign(**moved)], ignore_index=True)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_two_copies_in_a_hundred_are_caught(noise):
    for seed in range(5):
        train, holdout, synthetic = samples(1000, seed)
        found = closest_records(train, holdout, planted(synthetic, train, noise, seed), schema_of(train))
        assert found.p_value < 0.01
        assert found.nearest_in_training > 0.8 * found.nearest
        # The share alone does not see them.
        assert found.share.low < 0.51


def test_copies_are_caught_in_a_table_that_repeats_itself_by_chance():
    train, holdout, synthetic = (people(1500, seed) for seed in range(3))
    assert copied_rows(train, synthetic).value > 0.03
    copies = pd.concat([synthetic[30:], train.sample(30, random_state=0)])
    assert closest_records(train, holdout, copies, schema_of(train)).p_value < 0.01
    assert closest_records(train, holdout, synthetic, schema_of(train)).p_value > 0.05


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(samples, id="mixed"),
        pytest.param(lambda rows, seed: [people(rows, 3 * seed + side) for side in range(3)], id="repeating"),
        pytest.param(lambda rows, seed: _several_times(rows, seed), id="rows several times on either side"),
        pytest.param(lambda rows, seed: _several_times(rows, seed, by_row=False), id="rows several times on one side"),
        pytest.param(
            lambda rows, seed: [frame[["job", "married", "rich"]] for frame in samples(rows, seed)], id="categories"
        ),
    ],
)
def test_independent_samples_are_flagged_no_more_often_than_said(draw):
    flagged = 0
    for seed in range(100):
        train, holdout, synthetic = draw(200, seed)
        flagged += closest_records(train, holdout, synthetic, schema_of(train), seed=seed).p_value < 0.05
    assert flagged <= 5


def test_figures_of_a_case_worked_by_hand():
    schema = schema_of(pd.DataFrame({"x": [0.0, 1.0]}))
    train, holdout = pd.DataFrame({"x": [0.0, 3.0, 6.0, 9.0]}), pd.DataFrame({"x": [1.0, 4.0, 6.0, 10.0]})
    # Ranks of 0 1 3 4 6 6 9 10 are 0 1 2 3 4½ 4½ 6 7, over 7.
    synthetic = pd.DataFrame({"x": [0.0, 6.0, 4.0, 9.2]})
    found = closest_records(train, holdout, synthetic, schema, near=0.25)
    # To training 0 0 1 .2, to holdout 1 0 0 .8, over 7: nearer, tied, further, nearer.
    assert found.share.value == 0.625
    assert found.ratio.value == pytest.approx(0.1 / 0.4)
    # Holdout rows are 1 1 0 1 away from training: a quarter of them 0.
    assert found.threshold == 0
    assert found.near_real == proportion(1, 4)
    assert found.near_copies == proportion(2, 4)
    # Real rows 0, 4 and 9 are nearest, besides 6, which is on both sides: two of three from training.
    assert (found.nearest, found.nearest_in_training) == (3, 2)
    assert found.p_value == stats.binomtest(2, 3, alternative="greater").pvalue


def test_a_generator_that_gives_back_its_training_rows():
    train, holdout, _ = samples(500, 0)
    found = closest_records(train, holdout, train, schema_of(train))
    assert found.p_value < 1e-20
    assert found.near_copies.value == 1
    assert found.near_real.value == pytest.approx(0.01, abs=0.005)
    assert found.ratio.value == 0
    assert found.share.low > 0.95
    # Nearer to the holdout is no sign of copying.
    assert closest_records(train, holdout, holdout, schema_of(train)).p_value == 1


def test_intervals_of_the_share_hold_a_half():
    held = 0
    for seed in range(60):
        train, holdout, synthetic = samples(150, seed)
        found = closest_records(train, holdout, synthetic, schema_of(train))
        held += found.share.low <= 0.5 <= found.share.high
    assert held >= 52


def test_subsamples_are_equal_and_seeded():
    train, holdout, synthetic = samples(600, 1)
    schema = schema_of(train)
    found = [
        closest_records(train, holdout[:300], synthetic, schema, queries=200, references=250, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert found[0] == found[1] != found[2]
    assert 200 * found[0].near_copies.value == pytest.approx(round(200 * found[0].near_copies.value))


def test_odd_tables_have_figures():
    for frame in (
        pd.DataFrame({"x": [1.0]}),
        pd.DataFrame({"x": [np.nan, np.nan], "c": [None, None]}),
        pd.DataFrame({"x": [np.inf, 1.0, -np.inf]}),
        pd.DataFrame({"k": ["same"] * 5}),
    ):
        found = closest_records(frame, frame, frame, schema_of(frame))
        assert found.share.value == 0.5
        assert found.ratio.value == found.p_value == 1
    with pytest.raises(SynthgenError, match="near=0 is out of range"):
        closest_records(frame, frame, frame, schema_of(frame), near=0)
    with pytest.raises(SynthgenError, match="the holdout table has no rows"):
        closest_records(frame, frame[:0], frame, schema_of(frame))


@pytest.mark.skipif("SYNTHGEN_DATA" not in os.environ, reason="SYNTHGEN_DATA is not set")
def test_copies_among_adults():
    adult = pd.read_csv(Path(os.environ["SYNTHGEN_DATA"]) / "tables" / "adult" / "train.csv").sample(
        6000, random_state=0
    )
    train, holdout, synthetic = (part.reset_index(drop=True) for part in (adult[:2000], adult[2000:4000], adult[4000:]))
    schema = schema_of(adult.astype(dict.fromkeys(adult.select_dtypes("number"), float)))
    assert closest_records(train, holdout, synthetic, schema).p_value > 0.05
    copies = pd.concat([synthetic[40:], train.sample(40, random_state=0)])
    assert closest_records(train, holdout, copies, schema).p_value < 0.01


def _several_times(rows: int, seed: int, *, by_row: bool = True) -> list[pd.DataFrame]:
    """Training and holdout rows that occur five times, split by row or by what they equal, and synthetic ones too."""
    random = np.random.default_rng(seed)
    entities = [census(rows // 5, 3 * seed + side) for side in range(3)]
    train, holdout, synthetic = (pd.concat([part] * 5, ignore_index=True) for part in entities)
    if by_row:
        real = pd.concat([train, holdout], ignore_index=True)
        order = random.permutation(len(real))
        train, holdout = real.iloc[order[: len(train)]], real.iloc[order[len(train) :]]
    return [train, holdout, synthetic]


def test_large_whole_numbers_that_differ_are_no_copies():
    one = pd.DataFrame({"key": np.array([2**60], dtype=np.uint64)})
    assert copied_rows(one, pd.DataFrame({"key": np.array([2**60 + 1], dtype=np.int64)})).value == 0
    assert copied_rows(one, pd.DataFrame({"key": np.array([2**60], dtype=np.int64)})).value == 1


def test_chance_is_seldom_taken_for_copies_however_many_rows_are_drawn():
    """Three draws of one distribution, a hundred synthetic rows for a real one: each real row is one witness."""
    near = copied = 0
    for seed in range(30):
        random = np.random.default_rng(seed)
        train, holdout, synthetic = (
            pd.DataFrame({name: random.choice(list("abcdefgh"), rows) for name in "xyz"}) for rows in (100, 100, 10_000)
        )
        schema = schema_of(synthetic)
        found = closest_records(train, holdout, synthetic, schema, seed=seed)
        near += found.near_copies.low > found.near_holdout.high
        exact = copied_rows(train, synthetic), copied_rows(holdout, synthetic)
        copied += exact[0].low > exact[1].high
    assert near <= 3
    assert copied <= 3
