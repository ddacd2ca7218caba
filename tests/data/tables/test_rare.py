"""With `rare_below`, nothing that few rows have is stored, nor drawn."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from synthgen.data.tables.codec import TableCodec
from synthgen.data.tables.module import TableDataModule
from synthgen.data.tables.schema import infer_schema
from synthgen.errors import SynthgenError
from synthgen.layout import RARE

LEAST = 5


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    n = 4000
    towns = np.where(rng.random(n) < 0.01, [f"village {i}" for i in range(n)], rng.choice(["Bonn", "Köln"], n))
    many = [f"{i:04d}" for i in rng.integers(0, 1500, n)]
    many[:2] = ["only one", "one only"]
    pay = np.where(rng.random(n) < 0.3, 0, rng.gamma(2, 99, n))
    pay[11] = 987654.32
    return pd.DataFrame(
        {
            "town": pd.Series(towns).mask(rng.random(n) < 0.1),
            "many": many,
            "children": np.where(np.arange(n) == 7, 13, np.where(np.arange(n) == 8, 3, rng.integers(0, 3, n) * 2)),
            "pay": pay.round(2),
            "born": pd.Series(np.datetime64("1940-01-01") + rng.integers(0, 20_000, n)).astype("datetime64[s]"),
            "number": 2**60 + rng.integers(0, 10**9, n),
        }
    )


def fitted(frame, least=LEAST):
    codec = TableCodec.fit(frame, infer_schema(frame, rare_below=least), least)
    return TableCodec.from_dict(json.loads(json.dumps(codec.to_dict())))


def drawn(codec, n=3000):
    layout = codec.layout
    generator = torch.Generator().manual_seed(0)
    codes = [torch.randint(0, size, (n,), generator=generator) for size in layout.cardinalities]
    numbers = 3 * torch.randn(n, layout.numerical, generator=generator)
    return codec.decode({"numerical": numbers, "categorical": torch.stack(codes, dim=1)})


def test_rare_words_are_one_word_in_what_is_stored_and_drawn(rows):
    codec = fitted(rows)
    assert codec.schema["town"].categories == ("Bonn", "Köln", RARE)
    counts = rows["many"].value_counts()
    assert set(codec.schema["many"].categories) == {*counts.index[counts >= LEAST], RARE}
    stored = json.dumps(codec.to_dict())
    assert "village" not in stored
    assert "only one" not in stored
    back = codec.decode(codec.encode(rows))
    expected = rows["town"].where(rows["town"].isin(["Bonn", "Köln"]) | rows["town"].isna(), RARE)
    pd.testing.assert_series_equal(back["town"], expected)
    assert back["many"][0] == RARE
    assert codec.decode(codec.encode(rows))["many"].eq(rows["many"])[rows["many"].map(counts) >= LEAST].all()
    assert set(drawn(codec)["town"].dropna()) == {"Bonn", "Köln", RARE}
    with pytest.raises(SynthgenError, match="condition town: training never saw 'village 1'"):
        codec.encode_condition({"town": "village 1"}, 1)


def test_rare_numbers_take_the_nearest_that_is_kept(rows):
    codec = fitted(rows)
    assert codec.encodings["children"][0].values == (0, 2, 4)
    assert codec.decode(codec.encode(rows))["children"][[7, 8]].isin([4, 2]).all()


def test_ends_of_ranges_and_knots_are_nobodys_own(rows):
    codec, plain = fitted(rows), fitted(rows, 0)
    for name in ("pay", "born", "number"):
        assert codec.schema[name].minimum >= plain.schema[name].minimum
        assert codec.schema[name].maximum < plain.schema[name].maximum
    pay = rows["pay"][rows["pay"] > 0].sort_values().to_numpy()
    knots = codec.encodings["pay"][0].knots
    assert knots[0] == pytest.approx(pay[:LEAST].mean())
    assert not np.isin([knots[0], knots[-1]], pay).any()
    assert drawn(codec)["pay"].max() < 987654
    assert drawn(codec)["born"].between(rows["born"].min(), rows["born"].max(), inclusive="neither").all()
    # What is in the middle is as it was.
    back = codec.decode(codec.encode(rows))["pay"]
    assert np.corrcoef(back.rank(), rows["pay"].rank())[0, 1] > 0.999


@pytest.mark.parametrize(
    ("cell", "dtype"),
    [(123456.75, "float64"), (77777, "Int64"), ("1931-05-06", "datetime64[us]"), ("1931-05-06", "str"), (5, "m8[s]")],
)
def test_a_column_of_fewer_cells_than_that_is_left_missing(rows, cell, dtype):
    few = pd.Series([None] * len(rows), dtype=dtype)
    few.iloc[[5, 9, 11, 12]] = pd.Series([cell] * 4, dtype=dtype)
    rows["few"] = few
    with pytest.warns(
        UserWarning, match="column 'few': 4 rows have a cell, fewer than rare_below=5: it is left missing"
    ):
        codec = fitted(rows)
    assert str(cell).partition(".")[0] not in json.dumps(codec.to_dict()["schema"]["columns"][-1])
    assert "few" not in codec.encodings or codec.encodings["few"][0].cardinality == 0
    decoded = codec.decode(codec.encode(rows))["few"]
    assert decoded.isna().all()
    assert decoded.dtype == few.dtype


def test_a_table_shorter_than_that_is_refused(rows):
    with pytest.raises(SynthgenError, match="rare_below=5: found 4 rows, expected at least as many"):
        fitted(rows[["pay"]].iloc[:4])


def test_levels_that_no_training_row_has_are_not_kept(rows):
    words = pd.Categorical(["a", "b"] * 2000, ["a", "only in the holdout", "b"])
    codec = fitted(pd.DataFrame({"x": words, "y": rows["pay"]}))
    assert codec.decode(codec.encode(pd.DataFrame({"x": words, "y": rows["pay"]})))["x"].cat.categories.tolist() == [
        "a",
        "b",
    ]
    assert "holdout" not in json.dumps(codec.to_dict())


def test_the_setting_reaches_the_codec_and_is_checked(rows):
    data = TableDataModule(lambda: rows, rare_below=LEAST)
    data.load()
    assert RARE in data.codec.schema["town"].categories
    data.codec.encode(data.holdout)  # words that training never saw are rare, too
    with pytest.raises(SynthgenError, match=r"data.rare_below: found 1, expected a number of rows from 2"):
        TableDataModule(lambda: rows, rare_below=1)
