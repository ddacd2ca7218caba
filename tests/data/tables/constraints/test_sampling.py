"""Constraints from fitting to samples: every table model, conditions, parts of a sequence, checkpoints, the command."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

import synthgen
from synthgen.commands import run_command
from synthgen.errors import SynthgenError

ADULT = Path(os.environ.get("SYNTHGEN_DATA", "data")) / "tables" / "adult" / "train.csv"
ROWS = 900
ENTRIES = [
    {"inequality": ["start", "end"]},
    {"sum": {"total": ["a", "b"]}},
    {"fixed_combinations": ["city", "country"]},
    {"formula": "age >= 30 or not retired"},
]
MODELS = {
    "table/argn": ["network.width=32", "network.depth=1"],
    "table/tabdiff": ["network.width=32", "network.depth=1", "model.steps=2"],
    "table/ctgan": [],
    "table/tvae": [],
    "table/copula": [],
}


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    start = pd.Series(pd.Timestamp("2021-03-01") + pd.to_timedelta(rng.integers(0, 90, ROWS), unit="D"))
    gap = np.where(rng.random(ROWS) < 0.4, 0, rng.integers(1, 15, ROWS))
    a, b = rng.gamma(2, 50, (2, ROWS)).round(2)
    city, age = rng.choice(list("ABCDE"), ROWS), rng.integers(18, 90, ROWS)
    return pd.DataFrame(
        {
            "end": start + pd.to_timedelta(gap, unit="D"),
            "start": start,
            "a": a,
            "total": (a + b).round(2),
            "b": b,
            "city": city,
            "country": pd.Series(city).map(dict(zip("ABCDE", "xxyyz"))),
            "age": age,
            "retired": (age > 40) & (rng.random(ROWS) < 0.5),
            "key": [f"K-{i:05d}" for i in range(ROWS)],
        }
    )


def fit(frame, model="table/argn", constraints=ENTRIES):
    overrides = ["callbacks=none", "trainer=cpu", *MODELS[model]]
    return synthgen.fit(
        frame, model=model, constraints=constraints, max_samples=8192, batch_size=128, overrides=overrides
    )


@pytest.fixture(scope="module")
def synthesizer(frame):
    return fit(frame)


def assert_obeys(rows, frame):
    assert (rows["start"] <= rows["end"]).all()
    np.testing.assert_allclose(rows["total"], rows["a"] + rows["b"], atol=0.0051)
    assert set(zip(rows["city"], rows["country"])) <= set(zip(frame["city"], frame["country"]))
    assert ((rows["age"] >= 30) | ~rows["retired"]).all()
    assert rows.dtypes.equals(frame.dtypes)


def in_parts(synthesizer, n, cut, **options):
    first = synthesizer.sample(cut, **options)
    second = synthesizer.sample(n - cut, start=cut, **options)
    return pd.concat([first, second], ignore_index=True)


@pytest.mark.parametrize("model", MODELS)
def test_samples_of_every_model_obey(frame, model):
    fitted = fit(frame, model)
    rows = fitted.sample(3000, seed=1)
    assert_obeys(rows, frame)
    assert 0 < fitted.model.kept.rate <= 1
    assert fitted.model.kept.drawn >= 3000
    pd.testing.assert_frame_equal(in_parts(fitted, 3000, 700, seed=1), rows)
    given = fitted.sample(50, condition={"city": "A", "retired": True})
    assert_obeys(given, frame)
    assert (given[["city", "country", "retired"]] == ["A", "x", True]).all(axis=None)


@pytest.mark.parametrize(
    "condition",
    [{"end": pd.Timestamp("2021-05-01")}, {"total": 200.0}, {"country": "y"}, {"country": "x", "age": 25}],
)
def test_conditions_on_columns_that_are_not_learned_hold_in_any_part(synthesizer, frame, condition):
    rows = synthesizer.sample(120, condition=condition, seed=3)
    assert_obeys(rows, frame)
    for name, value in condition.items():
        assert (rows[name] == value).all()
    pd.testing.assert_frame_equal(in_parts(synthesizer, 120, 50, condition=condition, seed=3), rows)


def test_free_cells_of_rows_are_filled_in(synthesizer, frame):
    asked = frame.loc[:39, ["end", "country", "age", "b"]].copy()
    asked.loc[::2, "b"] = np.nan
    rows = synthesizer.sample(40, condition=asked)
    assert_obeys(rows, frame)
    pd.testing.assert_frame_equal(rows[["end", "country", "age"]], asked[["end", "country", "age"]])
    assert (rows["b"] == asked["b"]).sum() >= 20
    parts = [synthesizer.sample(20, condition=asked[i : i + 20], start=i) for i in (0, 20)]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), rows)


def test_shares_of_a_column_that_is_not_learned(synthesizer, frame):
    rows = synthesizer.sample(90, rebalance={"country": {"z": 0.8}})
    assert_obeys(rows, frame)
    assert (rows["country"] == "z").mean() == pytest.approx(0.8, abs=0.12)


def test_the_columns_concerned_stay_as_they_are_distributed(synthesizer, frame):
    rows = synthesizer.sample(4000)
    assert (rows["start"] == rows["end"]).mean() == pytest.approx((frame["start"] == frame["end"]).mean(), abs=0.08)
    for name in ("city", "country"):
        shares = rows[name].value_counts(normalize=True), frame[name].value_counts(normalize=True)
        assert (shares[0] - shares[1]).abs().sum() < 0.2
    for name in ("total", "a"):
        assert rows[name].median() == pytest.approx(frame[name].median(), rel=0.15)


def test_a_checkpoint_and_the_command_obey(synthesizer, frame, tmp_path, capsys):
    folder = synthesizer.save(tmp_path / "saved")
    loaded = synthgen.load(folder)
    pd.testing.assert_frame_equal(loaded.sample(300, seed=5), synthesizer.sample(300, seed=5))
    card = (folder / "card.md").read_text()
    assert "`formula: age >= 30 or not retired`" in card
    assert "of fixed combinations each one that occurs" in card
    output = tmp_path / "rows.parquet"
    given = ["n=300", "seed=5", "condition.end=2021-05-01", "device=cpu"]
    assert run_command(["sample", f"checkpoint={folder}", f"output={output}", *given]) == 0
    assert "rows drawn were kept by the constraints" in capsys.readouterr().out
    rows = pd.read_parquet(output)
    assert_obeys(rows, frame)
    assert (rows["end"] == pd.Timestamp("2021-05-01")).all()


@pytest.mark.parametrize(
    "broken",
    [
        {"end": pd.Timestamp("2021-01-01")},
        {"total": 0.0},
        {"age": 20, "retired": True},
    ],
)
def test_a_row_that_breaks_a_constraint_has_no_probability(synthesizer, frame, broken):
    rows = frame.iloc[5:9].copy()
    for name, value in broken.items():
        rows.iloc[2, rows.columns.get_loc(name)] = value
    logs = synthesizer.log_prob(rows)
    assert np.isfinite(logs.drop(index=7)).all()
    assert logs[7] == -np.inf


def test_nothing_that_is_unique_comes_twice_in_a_sequence(frame):
    table = frame[["city", "age", "key"]].drop_duplicates(["city", "age"])
    synthesizer = fit(table, constraints=[{"unique": ["city", "age"]}, {"unique": "key"}])
    rows = synthesizer.sample(250, seed=2)
    assert not rows.duplicated(["city", "age"]).any()
    assert rows["key"].is_unique
    pd.testing.assert_frame_equal(in_parts(synthesizer, 250, 90, seed=2), rows)
    with pytest.raises(SynthgenError, match=r"rows drawn were kept .*most did not keep to `unique: \[city, age\]`"):
        synthesizer.sample(1000)
    with pytest.raises(SynthgenError, match=r"condition city=A, age=30 .*contradicts the constraint `unique"):
        synthesizer.sample(2, condition={"city": "A", "age": 30})


def test_what_is_unique_is_so_in_any_part_where_a_condition_leaves_several_combinations(frame):
    table = frame[["city", "country", "age", "retired"]].drop_duplicates(["city", "age"])
    synthesizer = fit(table, constraints=[{"fixed_combinations": ["city", "country"]}, {"unique": ["city", "age"]}])
    options = {"condition": {"country": "x"}, "seed": 2}
    rows = synthesizer.sample(60, **options)
    assert set(rows["city"]) == {"A", "B"}
    assert not rows.duplicated(["city", "age"]).any()
    pd.testing.assert_frame_equal(in_parts(synthesizer, 60, 25, **options), rows)


def test_a_condition_that_hardly_any_row_meets_is_told_with_the_constraint(synthesizer, frame):
    condition = {"end": frame["end"].min(), "total": frame["total"].max()}
    with pytest.raises(
        SynthgenError, match=r"acceptance rate .*most did not keep to `.*` with the condition (end|total)="
    ):
        synthesizer.sample(5, condition=condition)


def test_rows_that_cannot_be_met_are_named_in_parts_of_a_file_too(synthesizer, frame, tmp_path, monkeypatch):
    asked = frame.loc[:5, ["end", "total"]].astype(object)
    asked["total"] = np.nan
    asked.loc[2, ["end", "total"]] = frame["end"].min(), frame["total"].max()
    asked.loc[4] = asked.loc[2]
    named = r"condition: rows 3, 5 cannot be met, the first with end=2021-03-01.*, total=.*: leave such rows out, or"
    with pytest.raises(SynthgenError, match=named):
        synthesizer.sample(6, condition=asked)
    monkeypatch.setattr("synthgen.synthesizer._CODED", 2)
    with pytest.raises(SynthgenError, match=named):
        synthesizer.sample_to_file(tmp_path / "rows.csv", 6, condition=asked)
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(not ADULT.is_file(), reason="needs adult/train.csv under $SYNTHGEN_DATA/tables")
def test_none_of_100_000_rows_of_adult_breaks_a_constraint():
    rng = np.random.default_rng(0)
    adult = pd.read_csv(ADULT).assign(
        since=lambda t: t["age"] - np.minimum(rng.gamma(2, 6, len(t)).astype(int), t["age"] - 15),
        capital=lambda t: t["capital_gain"] + t["capital_loss"],
    )
    constraints = [
        {"fixed_combinations": ["education", "education_num"]},
        {"inequality": ["since", "age"]},
        {"sum": {"capital": ["capital_gain", "capital_loss"]}},
        {"formula": "capital_gain == 0 or capital_loss == 0"},
    ]
    fitted = synthgen.fit(
        adult,
        constraints=constraints,
        max_samples=60_000,
        batch_size=512,
        overrides=["callbacks=none", "trainer=cpu", "network.width=32", "network.depth=1"],
    )
    rows = fitted.sample(100_000)
    assert fitted.model.kept.rate > 0.9
    pairs = rows.groupby(["education", "education_num"]).ngroups
    assert pairs <= adult.groupby(["education", "education_num"]).ngroups == 16
    assert (rows["since"] <= rows["age"]).all()
    assert (rows["capital"] == rows["capital_gain"] + rows["capital_loss"]).all()
    assert ((rows["capital_gain"] == 0) | (rows["capital_loss"] == 0)).all()
    # Shape: 1 less the distance of the distribution functions, or half that of the shares.
    for name in ("since", "age", "capital", "capital_gain"):
        assert ks_2samp(rows[name], adult[name]).statistic < 0.05
    shares = [table["education"].value_counts(normalize=True) for table in (rows, adult)]
    assert shares[0].sub(shares[1], fill_value=0).abs().sum() / 2 < 0.05
