"""Fit, sample, save, load: the contract that every synthesizer keeps."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import synthgen
from tests.conftest import TINY_TABLE

FIXTURES = Path(__file__).parent / "fixtures"


def same_images(a, b):
    return np.array_equal(a.pixels, b.pixels) and np.array_equal(a.labels, b.labels)


def test_a_file_that_is_drawn_in_parts_holds_the_rows_of_one_draw(table_synthesizer, tmp_path, monkeypatch):
    whole = table_synthesizer.sample(9000, seed=3, start=100)
    monkeypatch.setattr("synthgen.synthesizer._PART_CELLS", 1)  # a part is a block
    drawn = []
    table_synthesizer.sample_to_file(tmp_path / "rows.parquet", 9000, seed=3, start=100, progress=drawn.append)
    assert sum(drawn) == 9000
    assert len(drawn) == 3
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "rows.parquet"), whole)
    given = pd.DataFrame({"income": whole["income"].mask(np.arange(9000) % 2 == 0)})
    table_synthesizer.sample_to_file(tmp_path / "given.parquet", 9000, given, seed=5)
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "given.parquet"), table_synthesizer.sample(9000, given, seed=5)
    )
    table_synthesizer.sample_to_file(tmp_path / "even.csv.gz", 9000, rebalance="income")
    assert pd.read_csv(tmp_path / "even.csv.gz")["income"].value_counts(normalize=True).min() > 0.48


def test_images_that_are_drawn_in_parts_are_those_of_one_draw(image_synthesizer, tmp_path, monkeypatch):
    monkeypatch.setattr("synthgen.synthesizer._PART_PIXELS", 1)  # a block a part
    n, start = image_synthesizer.model.block_size + 9, 5
    label = [None, image_synthesizer.codec.classes[0]] * (n // 2) + [None] * (n % 2)
    image_synthesizer.sample_to_file(tmp_path / "parts.npz", n, {"label": label}, seed=3, start=start)
    whole = image_synthesizer.sample(n, {"label": label}, seed=3, start=start)
    written = np.load(tmp_path / "parts.npz")
    np.testing.assert_array_equal(written["images"], whole.pixels)
    np.testing.assert_array_equal(written["labels"], whole.labels)


def test_what_cannot_be_drawn_is_refused_before_the_first_part(table_synthesizer, image_synthesizer, tmp_path):
    given = pd.DataFrame({"income": [">50K"] * 99 + ["none"]})
    with pytest.raises(synthgen.SynthgenError, match=r"condition income \(row 100\): training never saw 'none'"):
        table_synthesizer.sample_to_file(tmp_path / "rows.csv", 100, given)
    with pytest.raises(synthgen.SynthgenError, match="the condition has 100 rows for 99 samples"):
        table_synthesizer.sample_to_file(tmp_path / "rows.csv", 99, given)
    with pytest.raises(synthgen.SynthgenError, match="n: found 0"):
        table_synthesizer.sample_to_file(tmp_path / "rows.csv", 0)
    with pytest.raises(synthgen.SynthgenError, match=r"found '\.csv'; expected \.png, .* or a folder"):
        image_synthesizer.sample_to_file(tmp_path / "rows.csv", 10)
    with pytest.raises(synthgen.SynthgenError, match="separator=';': is of CSV files; these are images"):
        image_synthesizer.sample_to_file(tmp_path / "images.npz", 10, separator=";")
    with pytest.raises(synthgen.SynthgenError, match=r"condition\.colour: unknown"):
        image_synthesizer.sample_to_file(tmp_path / "images.npz", 10, {"colour": "red"})
    assert list(tmp_path.iterdir()) == []


def test_sampled_tables_look_like_the_real_one(table_synthesizer, people):
    fake = table_synthesizer.sample(300)
    assert fake.columns.tolist() == people.columns.tolist()
    assert fake.dtypes.tolist() == people.dtypes.tolist()
    assert fake["age"].between(people["age"].min(), people["age"].max()).all()
    assert np.allclose(fake["weight"], fake["weight"].round(1))
    assert set(fake["town"].dropna()) <= set(people["town"].dropna())
    assert set(fake["country"]) == {"here"}
    assert 0 < fake["town"].isna().mean() < 0.5
    assert (fake["hours per week"] == 40.0).mean() > 0.1


def test_rows_are_the_same_at_once_or_in_parts(table_synthesizer):
    whole = table_synthesizer.sample(1000, seed=3)
    parts = [table_synthesizer.sample(100, seed=3, start=start) for start in range(0, 1000, 100)]
    pd.testing.assert_frame_equal(whole, pd.concat(parts, ignore_index=True), check_exact=True)
    assert not whole.equals(table_synthesizer.sample(1000, seed=4))


def test_parts_may_cross_blocks(table_synthesizer):
    block = table_synthesizer.model.block_size
    whole = table_synthesizer.sample(20, seed=3, start=block - 10)
    assert whole[:10].equals(table_synthesizer.sample(10, seed=3, start=block - 10))
    assert whole[10:].reset_index(drop=True).equals(table_synthesizer.sample(10, seed=3, start=block))


def test_images_are_the_same_at_once_or_in_parts(image_synthesizer):
    whole = image_synthesizer.sample(100, seed=3)
    for start in range(0, 100, 10):
        part = image_synthesizer.sample(10, seed=3, start=start)
        assert same_images(part, whole[start : start + 10])


def test_a_saved_table_synthesizer_draws_the_same_bytes(table_synthesizer, tmp_path):
    loaded = synthgen.load(table_synthesizer.save(tmp_path / "people"))
    assert loaded.sample(100).equals(table_synthesizer.sample(100))
    assert {file.name for file in (tmp_path / "people").iterdir()} == {
        "model.safetensors",
        "codec.json",
        "config.yaml",
        "card.md",
        "manifest.json",
    }


def test_a_saved_image_synthesizer_draws_the_same_bytes(image_synthesizer, tmp_path):
    loaded = synthgen.load(image_synthesizer.save(tmp_path / "squares"))
    assert same_images(loaded.sample(70), image_synthesizer.sample(70))


def test_saving_replaces_a_checkpoint_whole(table_synthesizer, tmp_path):
    table_synthesizer.save(tmp_path / "people")
    (tmp_path / "people" / "stray.txt").write_text("old")
    table_synthesizer.save(tmp_path / "people")
    assert not (tmp_path / "people" / "stray.txt").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["people"]


@pytest.mark.parametrize("there", ["a folder of something else", "a file"])
def test_saving_replaces_nothing_that_is_no_checkpoint(table_synthesizer, tmp_path, there):
    target = tmp_path / "taken"
    if there == "a file":
        target.write_text("mine")
    else:
        table_synthesizer.save(target / "people")
    with pytest.raises(synthgen.SynthgenError, match="taken: is there and no checkpoint folder"):
        table_synthesizer.save(target)
    assert target.is_file() or (target / "people" / "model.safetensors").is_file()


def test_the_card_says_what_the_codec_gives_away_and_a_command_that_runs(
    table_checkpoint, image_checkpoint, tmp_path, monkeypatch
):
    from synthgen.commands import run_command

    assert "thousand of its values as they are" in (table_checkpoint / "card.md").read_text()
    monkeypatch.chdir(table_checkpoint.parent)
    for checkpoint in (table_checkpoint, image_checkpoint):
        command = (checkpoint / "card.md").read_text().split("```")[1].split()
        monkeypatch.chdir(checkpoint.parent)
        output = command[-1].removeprefix("output=")
        assert not run_command([*command[1:-1], f"output={tmp_path}/{output}", "n=5"])
        assert (tmp_path / output).is_file()


def test_an_option_that_sampling_has_not_is_refused(table_synthesizer, image_synthesizer):
    with pytest.raises(synthgen.SynthgenError, match=r"guidence.*did you mean 'guidance'"):
        image_synthesizer.sample(3, guidence=3.0)
    with pytest.raises(synthgen.SynthgenError, match="sampler: ARGN has no such option"):
        table_synthesizer.sample(3, sampler="heun")


@pytest.mark.parametrize(
    ("option", "value"), [("n", 1.5), ("seed", "a"), ("seed", -1), ("start", -1), ("steps", 0), ("guidance", "x")]
)
def test_numbers_of_sampling_are_numbers(image_synthesizer, option, value):
    with pytest.raises(synthgen.SynthgenError, match=f"^{option}: found {value!r}, expected"):
        image_synthesizer.sample(**{"n": 3, option: value})


def test_conditions_hold_in_every_row(table_synthesizer):
    fake = table_synthesizer.sample(200, condition={"income": ">50K", "age": 40, "hours per week": 40.0})
    assert (fake["income"] == ">50K").all()
    assert (fake["age"] == 40).all()
    assert (fake["hours per week"] == 40.0).all()
    assert fake["weight"].nunique() > 10


@pytest.mark.parametrize("given", [70.5, "70.5", 71.234])
def test_a_continuous_condition_is_given_back_to_the_last_digit(table_synthesizer, given):
    fake = table_synthesizer.sample(50, condition={"weight": given})
    assert (fake["weight"] == float(given)).all()
    half = table_synthesizer.sample(50, condition=pd.DataFrame({"weight": [given, None] * 25}))["weight"]
    assert (half[::2] == float(given)).all()
    assert half[1::2].nunique() > 10


def test_a_missing_cell_can_be_asked_for(table_synthesizer):
    assert table_synthesizer.sample(50, condition={"town": synthgen.MISSING})["town"].isna().all()


def test_a_missing_cell_can_be_asked_for_beside_shares(table_synthesizer):
    rows = table_synthesizer.sample(50, condition={"town": None}, rebalance="income")
    assert rows["town"].isna().all()
    assert rows["income"].nunique() == 2


def test_imputation_fills_free_cells_and_keeps_the_others(table_synthesizer, people):
    holes = people.head(60).copy()
    holes.loc[holes.index[::2], "income"] = None
    holes.loc[holes.index[::3], "weight"] = np.nan
    holes["town"] = holes["town"].fillna("Bonn")
    filled = table_synthesizer.sample(60, condition=holes)
    assert filled[["income", "weight"]].notna().all().all()
    known = holes["income"].notna()
    assert (filled.loc[known, "income"] == holes.loc[known, "income"]).all()
    assert (filled["age"] == holes["age"]).all()


def test_conditions_reach_their_own_rows_in_parts(table_synthesizer):
    wanted = pd.DataFrame({"income": [">50K", "<=50K"] * 50})
    whole = table_synthesizer.sample(100, condition=wanted, seed=5)
    part = table_synthesizer.sample(30, condition=wanted[40:70], seed=5, start=40)
    assert (whole["income"] == wanted["income"]).all()
    assert part.equals(whole[40:70].reset_index(drop=True))


def test_a_class_can_be_asked_for(image_synthesizer):
    drawn = image_synthesizer.sample(20, condition={"label": "light"})
    assert set(drawn.labels) == {1}
    mixed = image_synthesizer.sample(4, condition={"label": ["dark", "light", "dark", None]})
    assert mixed.labels[:3].tolist() == [0, 1, 0]


def test_two_fits_with_one_seed_are_the_same_bytes(people):
    drawn = [
        synthgen.fit(people, max_samples=1024, batch_size=128, seed=7, overrides=TINY_TABLE).sample(50)
        for _ in range(2)
    ]
    assert drawn[0].equals(drawn[1])


def test_another_seed_is_another_fit(people):
    drawn = [
        synthgen.fit(people, max_samples=1024, batch_size=128, seed=s, overrides=TINY_TABLE).sample(50) for s in (7, 8)
    ]
    assert not drawn[0].equals(drawn[1])


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"x": [1.5, 2.5, 3.25, 8.0, 9.5]}),
        pd.DataFrame({"x": ["a", "b", "a", "b", "c"]}),
        pd.DataFrame({"constant": ["only"] * 6}),
        pd.DataFrame({"x": [1, 2, 3, 4, 5, 6], "empty": [None] * 6, "constant": [3.5] * 6}),
    ],
    ids=["one number", "one word", "one constant", "empty and constant beside numbers"],
)
def test_odd_tables_train_and_come_back(frame):
    fake = synthgen.fit(frame, max_samples=256, batch_size=64, overrides=TINY_TABLE).sample(30)
    assert fake.columns.tolist() == frame.columns.tolist()
    assert fake.dtypes.tolist() == frame.dtypes.tolist()
    for name in frame.columns:
        if len(frame[name].dropna().unique()) <= 1:
            assert fake[name].nunique() == frame[name].nunique()


def test_a_fit_can_start_from_another(people, table_checkpoint):
    started = synthgen.fit(
        people,
        target="income",
        max_samples=128,
        batch_size=128,
        overrides=[
            *TINY_TABLE,
            f"start_from={table_checkpoint}",
            "model.optimization.lr=0.0",
            "model.ema.halflife=1e12",
        ],
    )
    for name, value in synthgen.load(table_checkpoint).model.trained_state().items():
        assert np.array_equal(value.numpy(), started.model.trained_state()[name].numpy()), name


@pytest.mark.parametrize("kind", ["table", "images"])
def test_checkpoints_of_format_1_load_for_ever(kind, tmp_path):
    loaded = synthgen.load(shutil.copytree(FIXTURES / f"format-1-{kind}", tmp_path / kind))
    drawn = loaded.sample(5)
    if kind == "table":
        assert drawn.columns.tolist() == ["age", "weight", "hours per week", "town", "member", "income", "country"]
    else:
        assert drawn.pixels.shape == (5, 1, 8, 8)
        assert drawn.classes == ("dark", "light")
