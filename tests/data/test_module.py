import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning import Trainer

from synthgen.data.images.images import Images
from synthgen.data.images.module import ImageDataModule
from synthgen.data.module import limited_rows, split_rows
from synthgen.data.tables.module import TableDataModule
from synthgen.data.tables.outputs import write_table
from synthgen.errors import SynthgenError

SPLITS = [(0.2, 0.1), (0.0, 0.1), (0.3, 0.0), (0.0, 0.0), (0.5, 0.5)]


@pytest.mark.parametrize(("holdout", "validation"), SPLITS)
def test_the_parts_of_a_split_are_disjoint_cover_all_rows_and_have_their_shares(holdout, validation):
    train, watched, kept = split_rows(np.arange(1000), holdout, validation, seed=4)
    assert sorted(np.concatenate([train, watched, kept])) == list(range(1000))
    assert len(kept) == pytest.approx(1000 * holdout, abs=1)
    assert len(watched) == pytest.approx(1000 * (1 - holdout) * validation, abs=1)
    for part in (train, watched, kept):
        assert (np.diff(part) > 0).all(), "rows keep their order"


@pytest.mark.parametrize(("holdout", "validation"), SPLITS)
def test_groups_stay_together_and_shares_are_met_as_closely_as_they_allow(holdout, validation):
    rng = np.random.default_rng(0)
    groups = np.repeat(rng.permutation(300), rng.integers(1, 9, 300))
    rng.shuffle(groups)
    train, watched, kept = split_rows(groups, holdout, validation, seed=4)
    assert len(train) + len(watched) + len(kept) == len(groups)
    for one, other in ((train, watched), (train, kept), (watched, kept)):
        assert not set(groups[one]) & set(groups[other])
    assert len(kept) == pytest.approx(len(groups) * holdout, abs=8)
    assert len(watched) == pytest.approx(len(groups) * (1 - holdout) * validation, abs=8)


def test_a_split_is_a_draw_by_its_seed():
    first, again, other = (split_rows(np.arange(500), 0.2, 0.1, seed)[2] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert len(np.intersect1d(first, other)) < 60, "two draws of a fifth share a twenty-fifth"
    assert abs(first.mean() - 250) < 60, "rows from everywhere"


def test_small_data_spares_no_row_for_validation():
    assert [len(part) for part in split_rows(np.arange(49), 0.2, 0.5, 0)] == [39, 0, 10]
    assert len(split_rows(np.arange(50), 0.2, 0.5, 0)[1]) == 20


def test_a_limit_takes_rows_from_everywhere_in_order():
    rows = limited_rows(1000, 100, seed=0)
    assert len(np.unique(rows)) == 100
    assert (np.diff(rows) > 0).all()
    assert rows.max() > 900
    assert limited_rows(5, None, 0).tolist() == limited_rows(5, 9, 0).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(SynthgenError, match=r"data\.limit: found 0, expected at least 1"):
        limited_rows(5, 0, 0)


# Tables


def visits():
    """Three visits of each of 100 patients, whose rows are scattered; `who` repeats the patient."""
    rng = np.random.default_rng(0)
    patient = rng.permutation(np.repeat(np.arange(100), 3))
    return pd.DataFrame(
        {"patient": patient, "who": patient / 100, "size": rng.normal(size=300), "sex": list("mf") * 150}
    )


def loaded(frame=None, **arguments):
    module = TableDataModule(lambda: visits() if frame is None else frame, **arguments)
    module.load()
    return module


def test_an_entity_is_on_one_side_and_its_column_is_not_learned():
    module = loaded(split_by="patient", holdout=0.2, validation=0.1)
    assert module.codec.schema.names == ["who", "size", "sex"]
    parts = [module.train, module.validation, module.holdout]
    assert sum(map(len, parts)) == 300
    patients = [set(part["who"]) for part in parts]
    assert [len(part) for part in patients] == [72, 8, 20]
    assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]
    for part in parts:
        assert list(part.columns) == ["who", "size", "sex"]


@pytest.mark.parametrize("missing", [None, np.nan])
def test_entities_may_be_names_of_which_some_are_missing(missing):
    frame = visits()
    frame["patient"] = [f"patient {i}" if i % 10 else missing for i in frame["patient"]]
    module = loaded(frame, split_by="patient", holdout=0.3)
    assert len(module.holdout) == pytest.approx(90, abs=15)
    named = [set(part["who"][(part["who"] * 100).round() % 10 != 0]) for part in (module.train, module.holdout)]
    assert not named[0] & named[1]


def test_an_unknown_entity_column_names_the_nearest():
    with pytest.raises(SynthgenError, match=r"data\.split_by: 'patients' is not a column: did you mean 'patient'\?"):
        loaded(split_by="patients")


def test_the_codec_knows_only_rows_that_training_may_see():
    frame = pd.DataFrame({"x": np.arange(400) * 1.5, "word": ["a", "b"] * 200})
    module = loaded(frame, holdout=0.5, validation=0.2)
    seen = pd.concat([module.train, module.validation])["x"]
    assert module.codec.schema["x"].maximum == seen.max()
    assert module.codec.schema["x"].minimum == seen.min()
    assert module.holdout["x"].max() > seen.max() or module.holdout["x"].min() < seen.min()


def test_a_holdout_may_be_a_table_of_its_own(tmp_path):
    other = visits()[["sex", "size", "who"]].assign(extra=1)
    write_table(other, str(tmp_path / "other.csv"))
    module = loaded(visits().drop(columns="patient"), holdout=str(tmp_path / "other.csv"))
    assert len(module.train) + len(module.validation) == 300
    assert list(module.holdout.columns) == ["who", "size", "sex"]
    pd.testing.assert_frame_equal(module.holdout, other[["who", "size", "sex"]])
    write_table(other.rename(columns={"size": "sizes"}), str(tmp_path / "other.csv"))
    with pytest.raises(SynthgenError, match=r"other\.csv: lacks column 'size'; did you mean 'sizes'\?"):
        loaded(visits().drop(columns="patient"), holdout=str(tmp_path / "other.csv"))


def test_a_fingerprint_is_of_what_training_sees_and_of_nothing_else():
    first = loaded().fingerprint
    assert first == loaded(batch_size=7, name="other").fingerprint
    changed = visits()
    row = loaded().train.index[0]
    changed.loc[row, "size"] += 1e-9
    assert loaded(changed).fingerprint != first
    unseen = visits()
    unseen.loc[loaded().holdout.index[0], "size"] += 1
    assert loaded(unseen).fingerprint == first
    assert loaded(visits().rename(columns={"size": "sizes"})).fingerprint != first
    assert loaded(seed=1).fingerprint != first


def test_a_source_is_read_once_with_its_path(tmp_path):
    paths = []

    def source(path):
        paths.append(path)
        return visits()

    module = TableDataModule(source, path="some/people.csv")
    module.load()
    module.load()
    assert paths == ["some/people.csv"]
    assert module.name == "people"
    assert TableDataModule(visits).name == "visits"
    assert TableDataModule(visits, name="given").name == "given"


def test_a_limit_is_taken_before_the_split():
    module = loaded(limit=100, holdout=0.2, validation=0)
    assert (len(module.train), len(module.holdout)) == (80, 20)


@pytest.mark.parametrize("share", [-0.1, 1, 1.5])
@pytest.mark.parametrize("key", ["holdout", "validation"])
@pytest.mark.parametrize("module", [TableDataModule, ImageDataModule])
def test_shares_are_from_0_to_below_1(module, key, share):
    with pytest.raises(SynthgenError, match=rf"data\.{key}: found {share}, expected a share from 0 to below 1"):
        module(visits, **{key: share})


def test_a_batch_has_at_least_one_row():
    with pytest.raises(SynthgenError, match=r"data\.batch_size: found 0, expected at least 1"):
        TableDataModule(visits, batch_size=0)


# Into training


@pytest.fixture(scope="module")
def trainer():
    return Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)


def test_training_batches_are_rows_of_the_training_part(trainer):
    module = loaded(pd.DataFrame({"x": np.arange(300) * 1.5}), batch_size=32, holdout=0.2)
    with pytest.raises(RuntimeError, match="not attached to a trainer"):
        module.train_dataloader()
    module.trainer = trainer
    batch = next(iter(module.train_dataloader()))
    decoded = module.codec.decode(batch)["x"]
    assert len(decoded) == 32
    assert set(decoded) <= set(module.train["x"])
    own = {name: tensor.tolist() for name, tensor in module.train_dataloader().tensors.items()}
    assert own == {name: tensor.tolist() for name, tensor in module.codec.encode(module.train).items()}


def test_validation_batches_are_all_validation_rows_the_same_every_time(trainer):
    module = loaded(batch_size=7, holdout=0.2, validation=0.1)
    module.trainer = trainer
    expected = module.codec.encode(module.validation)
    for _ in range(2):
        batches = list(module.val_dataloader())
        assert [len(batch["numerical"]) for batch in batches] == [7, 7, 7, 3]
        for name, tensor in expected.items():
            assert torch.equal(torch.cat([batch[name] for batch in batches]), tensor)


def test_a_validation_looks_at_8192_rows_at_most(trainer):
    module = loaded(pd.DataFrame({"x": np.arange(40_000) % 50}), batch_size=4096, holdout=0.0, validation=0.5)
    module.trainer = trainer
    assert [len(batch["categorical"]) for batch in module.val_dataloader()] == [4096, 4096]


def test_data_too_small_for_validation_has_no_validation_batches(trainer):
    module = loaded(visits()[:40])
    module.trainer = trainer
    assert module.validation is None
    assert len(module.val_dataloader()) == 0


# Images


def test_images_are_split_with_their_labels_and_the_codec_sees_the_training_part():
    labels = np.arange(200) % 4
    pixels = (labels * 60)[:, None, None, None].repeat(4, axis=2).repeat(4, axis=3).astype(np.uint8)
    module = ImageDataModule(lambda: Images(pixels, labels, tuple("abcd")), holdout=0.25, validation=0.1, limit=160)
    module.load()
    assert [len(part) for part in (module.train, module.validation, module.holdout)] == [108, 12, 40]
    for part in (module.train, module.validation, module.holdout):
        np.testing.assert_array_equal(part.pixels[:, 0, 0, 0], part.labels * 60)
    assert module.codec.layout.class_shares == pytest.approx(np.bincount(module.train.labels) / 108)
    assert module.codec.layout.sigma_data == pytest.approx(np.std(module.train.pixels / 127.5 - 1))
    again = ImageDataModule(lambda: Images(pixels, labels, tuple("abcd")), holdout=0.25, validation=0.1, limit=160)
    again.load()
    assert again.fingerprint == module.fingerprint
    again.train.pixels[0] += 1
    assert again.fingerprint != module.fingerprint


def test_entities_are_known_by_the_index_of_a_row(people):
    frame = people.assign(person=people.index // 4)
    data = TableDataModule(lambda: frame, split_by="person", validation=0.2)
    data.load()
    for part in (data.train, data.validation, data.holdout):
        assert part["age"].tolist() == people["age"].iloc[part.index].tolist()
        assert data.entities[part.index].tolist() == (part.index // 4).tolist()
    plain = TableDataModule(lambda: people)
    plain.load()
    assert plain.entities is None
