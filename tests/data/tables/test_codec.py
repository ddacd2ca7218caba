import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import kstest, norm, rankdata

from synthgen.data.tables.codec import MISSING, TableCodec
from synthgen.data.tables.schema import infer_schema
from synthgen.errors import SynthgenError
from synthgen.synthesizer import Synthesizer

SHIPPED = Path(__file__).parents[3] / "checkpoints" / "randhie-tabdiff"

WORDS = st.sampled_from(["", " ", "None", "NA", "nan", "null", "0", "1", "1.0", "True", "Köln", "東京", "a\nb", "🦉"])
CELLS = {
    "small integers": (st.integers(-3, 3), "int64"),
    "integers": (st.integers(-(10**5), 10**5), "int64"),
    "bytes": (st.integers(0, 255), "uint8"),
    "nullable integers": (st.integers(-50, 50), "Int64"),
    "decimals": (st.integers(-(10**5), 10**5).map(lambda cents: cents / 100), "float64"),
    "mostly zero": (st.one_of(st.just(0.0), st.integers(0, 10**4).map(lambda tenths: tenths / 10)), "float64"),
    "single precision": (st.integers(-100, 100).map(lambda quarters: quarters / 4), "float32"),
    "booleans": (st.booleans(), "bool"),
    "nullable booleans": (st.booleans(), "boolean"),
    "words": (st.one_of(WORDS, st.text(max_size=8)), "str"),
    "few words": (st.sampled_from("abc"), "category"),
    "objects": (st.one_of(WORDS, st.integers(-3, 3), st.booleans()), "object"),
}
TAKES_MISSING = {"Int64", "float64", "float32", "boolean", "str", "category", "object"}


@st.composite
def frames(draw, kinds=tuple(CELLS)):
    """Tables with columns of every kind, cells missing here and there, and rows that repeat or not."""
    rows, repeats = draw(st.integers(1, 25)), draw(st.sampled_from([1, 10]))
    columns = {}
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4, unique=True)):
        cells, dtype = CELLS[kind]
        if draw(st.booleans()):
            cells = st.just(draw(cells)) if draw(st.booleans()) else cells
            cells = st.one_of(cells, st.none()) if dtype in TAKES_MISSING else cells
        values = draw(st.lists(cells, min_size=rows, max_size=rows)) * repeats
        columns[kind] = pd.Series(values, dtype=dtype)
    return pd.DataFrame(columns)


def fitted(frame):
    return TableCodec.fit(frame, infer_schema(frame))


def none_as_nan(frame):
    """Columns of Python objects have two words for a missing cell."""
    return frame.apply(lambda column: column.where(column.notna(), np.nan) if column.dtype == object else column)


def random(seed=0):
    return np.random.default_rng(seed)


@given(frames())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_decoding_what_was_encoded_gives_the_table_back(frame):
    codec = fitted(frame)
    encoded = codec.encode(frame)
    assert encoded["numerical"].dtype == torch.float32
    assert encoded["categorical"].dtype == torch.int32
    assert encoded["numerical"].shape == (len(frame), codec.layout.numerical)
    assert encoded["categorical"].shape == (len(frame), codec.layout.categorical)
    assert torch.isfinite(encoded["numerical"]).all()
    assert (encoded["categorical"] >= 0).all()
    assert (encoded["categorical"] < torch.tensor(codec.layout.cardinalities)).all()
    pd.testing.assert_frame_equal(none_as_nan(codec.decode(encoded)), none_as_nan(frame))


@given(st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=200), st.sampled_from(["float64", "float32"]))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_numbers_of_full_precision_come_back_within_the_resolution_of_the_encoding(values, dtype):
    frame = pd.DataFrame({"x": pd.Series(values, dtype=dtype)})
    decoded = fitted(frame).decode(fitted(frame).encode(frame))
    span = frame["x"].max() - frame["x"].min()
    assert decoded["x"].dtype == dtype
    np.testing.assert_allclose(decoded["x"], frame["x"], rtol=1e-6, atol=1e-6 * float(span))


@given(frames())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_a_codec_survives_json(frame):
    codec = fitted(frame)
    again = TableCodec.from_dict(json.loads(json.dumps(codec.to_dict(), allow_nan=False)))
    assert again.schema == codec.schema
    assert again.encodings == codec.encodings
    encoded = codec.encode(frame)
    for name, tensor in again.encode(frame).items():
        assert torch.equal(tensor, encoded[name])
    pd.testing.assert_frame_equal(again.decode(encoded), codec.decode(encoded))


def test_layout_counts_the_codes_of_every_column():
    rng = random()
    missing = np.arange(400) % 10 == 0
    frame = pd.DataFrame(
        {
            "continuous": rng.normal(size=400),
            "continuous, missing": np.where(missing, np.nan, rng.normal(size=400)),
            "two masses": np.select([np.arange(400) % 4 == 0, np.arange(400) % 4 == 1], [0, 9], rng.normal(size=400)),
            "few numbers, missing": np.where(missing, np.nan, rng.integers(0, 5, 400)),
            "three words": rng.choice(list("abc"), 400),
            "two words, missing": pd.Series(np.where(missing, None, rng.choice(list("ab"), 400)), dtype="object"),
            "boolean": rng.random(400) < 0.5,
            "constant": "here",
        }
    )
    layout = fitted(frame).layout
    assert layout.numerical == 3
    assert layout.cardinalities == (2, 3, 6, 3, 3, 2)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.lognormal(3, 2, n),
        lambda rng, n: rng.exponential(1000, n).round(2),
        lambda rng, n: rng.integers(0, 10**6, n),
        lambda rng, n: np.where(rng.random(n) < 0.5, rng.normal(-20, 1, n), rng.normal(20, 3, n)),
        lambda rng, n: rng.standard_cauchy(n),
    ],
)
def test_continuous_variables_are_standard_normal(draw):
    values = draw(random(), 4000)
    frame = pd.DataFrame({"x": values})
    codec = fitted(frame)
    normal = codec.encode(frame)["numerical"][:, 0].double().numpy()
    assert codec.layout.cardinalities == ()
    assert kstest(normal, "norm").statistic < 0.01
    assert abs(normal.mean()) < 0.01
    assert normal.std() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(pd.Series(values).rank(), pd.Series(normal).rank())[0, 1] > 0.99999, "order is kept"


def test_a_number_is_encoded_as_the_normal_quantile_of_its_middle_rank():
    frame = pd.DataFrame({"x": [20.0, 10.0, 20.0, 40.0]})
    normal = fitted(frame).encode(frame)["numerical"][:, 0]
    np.testing.assert_allclose(normal, norm.ppf([0.5, 0.125, 0.5, 0.875]), atol=1e-6)


def test_point_masses_keep_their_share_and_the_continuous_variable_is_normal_whatever_the_code():
    rng = random()
    cell = rng.choice(3, 5000, p=[0.4, 0.1, 0.5])
    frame = pd.DataFrame({"spent": np.select([cell == 0, cell == 1], [0.0, 99.5], rng.gamma(2, 10, 5000))})
    codec = fitted(frame)
    encoded = codec.encode(frame)
    codes, normal = encoded["categorical"][:, 0].numpy(), encoded["numerical"][:, 0].numpy()
    assert codec.layout.cardinalities == (3,)
    np.testing.assert_array_equal(np.bincount(codes), [np.sum(cell == 2), np.sum(cell == 0), np.sum(cell == 1)])
    continuous = frame["spent"][codes == 0]
    np.testing.assert_allclose(normal[codes == 0], ndtri((rankdata(continuous) - 0.5) / len(continuous)), atol=0.01)
    for code in range(3):
        assert kstest(normal[codes == code], "norm").pvalue > 1e-3
    # Whatever a model draws for the continuous variable, a code is what it says.
    drawn = {"categorical": encoded["categorical"], "numerical": torch.randn(5000, 1)}
    decoded = codec.decode(drawn)["spent"].to_numpy()
    assert (decoded[cell == 0] == 0).all()
    assert (decoded[cell == 1] == 99.5).all()
    assert not np.isin(decoded[cell == 2], [0, 99.5]).any()


@pytest.mark.parametrize(("different", "repeats", "discrete"), [(700, 10, True), (700, 6, False), (1500, 10, False)])
def test_a_numerical_column_is_discrete_where_it_has_few_values_that_each_recur(different, repeats, discrete):
    amounts = pd.DataFrame({"amount": np.tile(np.arange(different) ** 1.5, repeats)})
    encoding = TableCodec.fit(amounts, infer_schema(amounts)).encodings["amount"][0]
    assert encoding.continuous is not discrete
    assert len(encoding.values) == (different if discrete else 0)


def test_the_noise_under_the_codes_of_two_columns_is_independent():
    """Were it the same draw in both, columns that are missing together would look perfectly dependent."""
    rng = random()
    frame = pd.DataFrame({"a": rng.gamma(2, 10, 4000), "b": rng.gamma(2, 10, 4000)})
    missing = rng.random(4000) < 0.5
    frame[missing] = np.nan
    normal = fitted(frame).encode(frame)["numerical"].numpy()
    assert abs(np.corrcoef(normal[missing].T)[0, 1]) < 0.1
    assert abs(np.corrcoef(normal[~missing].T)[0, 1]) < 0.1


def test_whatever_is_drawn_decodes_to_the_columns_range_and_precision():
    rng = random()
    frame = pd.DataFrame({"price": rng.gamma(2, 10, 3000).round(2), "age": rng.integers(18, 9000, 3000)})
    codec = fitted(frame)
    numerical = torch.cat([torch.randn(2000, 2), torch.tensor([[-40.0, -40.0], [40.0, 40.0]])])
    decoded = codec.decode({"numerical": numerical, "categorical": torch.zeros(2002, 0, dtype=torch.int32)})
    assert (decoded["price"].round(2) == decoded["price"]).all()
    assert decoded["age"].dtype == "int64"
    for name in frame:
        assert decoded[name].iloc[2000] == frame[name].min()
        assert decoded[name].iloc[2001] == frame[name].max()
        assert kstest(decoded[name][:2000], frame[name]).pvalue > 0.001


def test_amounts_of_billions_keep_their_cents():
    cents = random().integers(10**11, 10**11 + 10**7, 500)
    frame = pd.DataFrame({"amount": cents / 100})
    assert infer_schema(frame)["amount"].decimals == 2
    pd.testing.assert_frame_equal(fitted(frame).decode(fitted(frame).encode(frame)), frame)


@pytest.mark.parametrize("dtype", ["int64", "Int64", "uint64", "int8"])
def test_the_largest_integers_do_not_turn_into_the_smallest(dtype):
    largest = int(np.iinfo(dtype.lower()).max)
    for frame in (pd.DataFrame({"x": [largest, 5] * 10}), pd.DataFrame({"x": [largest, *range(20)]})):
        frame = frame.astype(dtype)
        decoded = fitted(frame).decode(fitted(frame).encode(frame))["x"]
        assert decoded.dtype == dtype
        assert decoded[0] == pytest.approx(largest, rel=1e-6)


def test_rows_are_encoded_by_column_names_whatever_their_order_and_index():
    frame = pd.DataFrame({"a": [1, 2, 3] * 10, "b": list("xyz") * 10})
    codec = fitted(frame)
    shuffled = frame.assign(extra=0)[["extra", "b", "a"]].set_index(np.arange(30) * 7)
    assert torch.equal(codec.encode(shuffled)["categorical"], codec.encode(frame)["categorical"])
    pd.testing.assert_frame_equal(codec.decode(codec.encode(shuffled)), frame)


def test_a_new_number_between_known_ones_becomes_the_nearest():
    frame = pd.DataFrame({"rooms": [1, 2, 5] * 10})
    codec = fitted(frame)
    decoded = codec.decode(codec.encode(pd.DataFrame({"rooms": [0, 3, 4, 90]})))
    assert decoded["rooms"].tolist() == [1, 2, 5, 5]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"town": ["Bonn"]}, "the table lacks column 'age'; it has 'town'"),
        ({"age": [30], "town": ["Rome"]}, "column 'town': 'Rome' is not among the values"),
        ({"age": [30], "town": [None]}, "column 'town': found a missing cell, but the codec was fitted on none"),
        ({"age": [np.nan], "town": ["Bonn"]}, "column 'age': found a missing cell, but the codec was fitted on none"),
    ],
)
def test_rows_that_the_codec_cannot_know_are_refused(rows, message):
    codec = fitted(pd.DataFrame({"age": [30, 31] * 10, "town": ["Bonn", "Köln"] * 10}))
    with pytest.raises(SynthgenError, match=message):
        codec.encode(pd.DataFrame(rows))


# Conditions


@pytest.fixture
def people():
    rng = random()
    return pd.DataFrame(
        {
            "age": np.round(rng.uniform(18, 90, 300), 1),
            "hours": np.where(np.arange(300) % 3 == 0, 40.0, rng.uniform(1, 99, 300)),
            "pay": np.where(np.arange(300) % 5 == 0, np.nan, rng.lognormal(8, 1, 300)),
            "rooms": rng.integers(1, 6, 300),
            "town": pd.Series(rng.choice(["Bonn", "Köln", "None", "3"], 300).astype(object)).where(np.arange(300) > 9),
            "member": rng.random(300) < 0.5,
            "country": "here",
        }
    )


def test_a_condition_of_values_is_what_rows_with_them_encode_to(people):
    codec = fitted(people)
    rows = people.iloc[[20, 21, 24, 25]].reset_index(drop=True)
    assert rows["hours"].eq(40).any()
    assert rows["pay"].isna().any()
    wanted = rows.astype(object).where(rows.notna(), MISSING)
    condition, encoded = codec.encode_condition(wanted, 4), codec.encode(rows)
    assert torch.equal(condition["categorical"], encoded["categorical"])
    assert condition["categorical_known"].all()
    # Under the code of a mass or of a missing cell the continuous variable says nothing, and is left free.
    known = condition["numerical_known"]
    assert torch.allclose(condition["numerical"][known], encoded["numerical"][known], atol=1e-5)
    assert known[:, 0].all()
    assert known[:, 2].tolist() == rows["pay"].notna().tolist()
    assert known[:, 1].tolist() == rows["hours"].ne(40).tolist()
    pd.testing.assert_frame_equal(codec.decode(condition), rows)


def test_only_given_cells_are_known(people):
    codec = fitted(people)
    discrete = [name for name in people if codec.encodings[name][0].cardinality]
    condition = codec.encode_condition({"town": "Köln"}, 3)
    assert not condition["numerical_known"].any()
    assert condition["categorical_known"].sum(dim=0).tolist() == [3 if name == "town" else 0 for name in discrete]
    assert (codec.decode(condition)["town"] == "Köln").all()


def test_in_a_frame_of_conditions_what_is_missing_is_free(people):
    codec = fitted(people)
    discrete = [name for name in people if codec.encodings[name][0].cardinality]
    wanted = pd.DataFrame({"age": [20.5, np.nan, 30], "town": ["Bonn", None, np.nan], "rooms": [None, 2, None]})
    condition = codec.encode_condition(wanted, 3)
    assert condition["numerical_known"][:, 0].tolist() == [True, False, True]
    assert condition["categorical_known"][:, discrete.index("town")].tolist() == [True, False, False]
    assert condition["categorical_known"][:, discrete.index("rooms")].tolist() == [False, True, False]
    decoded = codec.decode(condition)
    assert decoded["age"].iloc[[0, 2]].tolist() == [20.5, 30]
    assert decoded["town"][0] == "Bonn"
    assert decoded["rooms"][1] == 2


@pytest.mark.parametrize(
    ("column", "typed", "meant"),
    [("rooms", "3", 3), ("rooms", "3.0", 3), ("hours", "40", 40.0), ("age", "20.5", 20.5), ("member", "true", True)],
)
def test_text_is_read_as_the_columns_own_type(people, column, typed, meant):
    codec = fitted(people)
    condition, same = codec.encode_condition({column: typed}, 2), codec.encode_condition({column: meant}, 2)
    for name, tensor in condition.items():
        assert torch.equal(tensor, same[name])
    assert codec.decode(condition)[column].tolist() == [meant, meant]


@pytest.mark.parametrize("words", [20, 3000])
def test_words_that_a_file_of_conditions_has_as_numbers_are_words(words):
    frame = pd.DataFrame({"code": [f"{i:02d}" for i in range(words)] * 2})
    codec = TableCodec.fit(frame, infer_schema(frame))
    wanted = pd.DataFrame({"code": [12.0, np.nan, 15.0]})  # as pandas reads "12", "" and "15"
    encoded = codec.encode_condition(wanted, 3)
    assert encoded["categorical_known"].any(dim=1).tolist() == [True, False, True]
    assert codec.decode(encoded)["code"][[0, 2]].tolist() == ["12", "15"]
    with pytest.raises(SynthgenError, match=r"condition code \(row 1\): training never saw 12\.5"):
        codec.encode_condition(pd.DataFrame({"code": [12.5, np.nan]}), 2)


def test_missing_asks_for_a_missing_cell(people):
    codec = fitted(people)
    decoded = codec.decode(codec.encode_condition({"pay": MISSING, "town": MISSING}, 2))
    assert decoded["pay"].isna().all()
    assert decoded["town"].isna().all()


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA, pd.NaT])
def test_nothing_as_the_value_of_all_rows_asks_for_a_missing_cell(people, nothing):
    codec = fitted(people)
    condition = {"pay": nothing, "town": nothing}
    decoded = codec.decode(codec.encode_condition(condition, 2), given=codec.given(condition, 2))
    assert decoded[["pay", "town"]].isna().all(axis=None)
    with pytest.raises(SynthgenError, match=r"condition age: asks for a missing cell, but .* leave the column out"):
        codec.encode_condition({"age": nothing}, 2)


def test_cells_of_rows_are_encoded_as_those_of_all_rows_are(people):
    codec = fitted(people)
    rows = people.iloc[10:60].reset_index(drop=True)
    together = codec.encode_condition(rows, 50)
    for i in range(50):
        alone = codec.encode_condition(rows.iloc[i].dropna().to_dict(), 1)
        for name, tensor in together.items():
            assert torch.equal(tensor[i], alone[name][0]), (name, i)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            {"town": ["Bonn", "Kölm", None, "Kölm"]},
            r"condition town \(rows 2, 4\): training never saw 'Kölm'; did you mean",
        ),
        ({"age": [20.0, 30.0, np.nan, 900.0]}, r"condition age \(row 4\): 900 is outside"),
        ({"age": ["old"] * 4}, r"condition age \(rows 1, 2, 3 and 1 more\): found 'old', expected a number"),
        ({"pay": ["2000", "3000", "much", None]}, r"condition pay \(row 3\): found 'much', expected a number"),
        ({"rooms": [1, 2, 3, [4]]}, r"condition rooms \(row 4\): found \[4\], expected one value"),
        ({"rooms": [1, 2, 3, MISSING]}, r"condition rooms \(row 4\): asks for a missing cell"),
    ],
)
def test_rows_of_a_condition_that_are_at_fault_are_named(people, rows, message):
    frame = pd.DataFrame(rows)
    with pytest.raises(SynthgenError, match=message):
        fitted(people).encode_condition(frame, 4)
    part = frame.iloc[1:]  # its rows are still those of the table
    if "rows 1" not in message:
        with pytest.raises(SynthgenError, match=message):
            fitted(people).encode_condition(part, 3)


def test_a_constant_column_may_be_asked_for_as_it_is(people):
    condition = fitted(people).encode_condition({"country": "here"}, 2)
    assert not condition["categorical_known"].any()


def test_a_column_without_any_cell_says_so_of_a_value(people):
    with pytest.raises(SynthgenError, match="condition lost: training never saw 3; the column is always missing"):
        fitted(people.assign(lost=np.nan)).encode_condition({"lost": 3}, 2)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"twon": "Bonn"}, r"unknown column 'twon': did you mean 'town'\?"),
        ({"town": "Kölm"}, r"condition town: training never saw 'Kölm'; did you mean 'Köln'\?"),
        ({"rooms": 77}, "condition rooms: training never saw 77; values are"),
        ({"country": "there"}, r"condition country: training never saw 'there'; did you mean 'here'\?"),
        ({"age": 200}, r"condition age: 200 is outside 18.* \.\. 8.*, the range of the column"),
        ({"age": "inf"}, "condition age: inf is outside"),
        ({"age": "old"}, "condition age: found 'old', expected a number"),
        ({"age": MISSING}, "condition age: asks for a missing cell, but training saw none"),
        ({"country": MISSING}, "condition country: asks for a missing cell"),
        ({"age": [20, 30]}, r"condition age: found \[20, 30\], expected one value"),
        ({"town": {"Bonn"}}, r"condition town: found \{'Bonn'\}, expected one value"),
        (pd.DataFrame({"age": [20.0]}), "the condition has 1 rows for 2 samples"),
    ],
)
def test_conditions_that_training_never_saw_are_refused(people, condition, message):
    with pytest.raises(SynthgenError, match=message):
        fitted(people).encode_condition(condition, 2)


def test_a_codec_that_ships_decodes_as_it_always_has():
    """Format 1: numbers and words alone, an encoding a column; pinned before there were other kinds."""
    codec, rows = Synthesizer.load(SHIPPED).codec, torch.arange(50)
    numerical = torch.linspace(-2.5, 2.5, 50)[:, None].repeat(1, codec.layout.numerical)
    categorical = torch.stack([rows % size for size in codec.layout.cardinalities], dim=1)
    drawn = codec.decode({"numerical": numerical, "categorical": categorical})
    assert list(drawn.iloc[0]) == [0, 0.0, "no", 0.0, 0.0, 0.0, 0.0, "excellent"]
    assert list(drawn.iloc[17]) == [17, 3.931826, "yes", 3.871201, 4.997212, 0.12982, 26.1, "fair"]
    assert list(drawn.iloc[49]) == [58, 4.61512, "yes", 4.61512, 5.734873, 0.0431267, 27.6, "fair"]
    stored = json.loads((SHIPPED / "codec.json").read_text())
    written = TableCodec.from_dict(stored).to_dict()
    assert json.loads(json.dumps(written))["encodings"] == stored["encodings"]
