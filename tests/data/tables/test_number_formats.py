"""Numbers in dress: text such as "$1,234.50" that is learned as numbers and comes back as it was written."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import synthgen
from synthgen.data.tables.codec import TableCodec
from synthgen.data.tables.module import TableDataModule
from synthgen.data.tables.number_formats import NumberFormat, recognise_numbers
from synthgen.data.tables.schema import infer_schema
from synthgen.data.tables.sources import read_table
from synthgen.data.tables.wishes import read_schema, schema_text
from synthgen.errors import SynthgenError
from synthgen.layout import Kind

# By hand: a format, and how it writes some numbers.
WRITTEN = [
    ("0%", {25: "25%", -7: "-7%", 0: "0%", 1234: "1234%"}),
    ("0.00%", {25: "25.00%", 0.5: "0.50%"}),
    ("+0.0%", {2.5: "+2.5%", -3: "-3.0%"}),
    ("$#,##0.00", {1234.5: "$1,234.50", -7: "-$7.00", 1234567.89: "$1,234,567.89"}),
    ("$#,##0.00;$-#,##0.00", {1234.5: "$1,234.50", -7: "$-7.00"}),
    ("$#,##0.00;($#,##0.00)", {1234.5: "$1,234.50", -7: "($7.00)"}),
    ("#.##0,00 €", {1234.5: "1.234,50 €", -0.05: "-0,05 €"}),
    ("# ##0,00 €", {1234.5: "1 234,50 €", 999: "999,00 €"}),
    ("# ##0,00 €".replace(" ", "\u00a0"), {1234.5: "1\u00a0234,50\u00a0€"}),
    ("CHF #'##0.00", {1234567: "CHF 1'234'567.00", 5: "CHF 5.00"}),
    ("EUR 0", {12: "EUR 12", 12345: "EUR 12345"}),
    ("0 kg", {12: "12 kg", 1000: "1000 kg"}),
    ("0.## kg", {12: "12 kg", 12.5: "12.5 kg", 12.05: "12.05 kg"}),
    ("0.0##x", {1: "1.0x", 1.25: "1.25x", 1.205: "1.205x"}),
    ("#,##0;(#,##0)", {-1200: "(1,200)", 1500: "1,500", 3: "3"}),
    ("#,##0 €;#,##0- €", {-1200: "1,200- €", 1500: "1,500 €"}),
    ("#.##0 €", {900: "900 €", 1250: "1.250 €"}),
    ("0 months", {36: "36 months", 60: "60 months"}),
]


def inferred(values, name="x", **more):
    return infer_schema(pd.DataFrame({name: values, **more}))[name]


@pytest.mark.parametrize(("written", "cells"), WRITTEN, ids=[written for written, _ in WRITTEN])
def test_a_format_writes_and_reads_what_a_person_would(written, cells):
    found = NumberFormat.parse(written)
    assert str(found) == written
    assert found.write(np.array(list(cells), dtype=float)).tolist() == list(cells.values())
    assert found.read(pd.Series(list(cells.values()))).tolist() == list(cells)
    assert np.isnan(found.read(pd.Series(["", "x", "12 apples", "1,2,3 €"]))).all()


@pytest.mark.parametrize(("written", "cells"), WRITTEN, ids=[written for written, _ in WRITTEN])
@given(tenths=st.lists(st.integers(-(10**7), 10**9), min_size=3, max_size=20), data=st.data())
@settings(max_examples=8, deadline=None, derandomize=True)
def test_columns_in_dress_are_recognised_and_come_back_as_they_were(written, cells, tenths, data):
    form = NumberFormat.parse(written)
    numbers = np.array([*cells, *(np.array(tenths) / 10**form.most)], dtype=float)
    texts = [*form.write(numbers), *data.draw(st.lists(st.none(), max_size=3))]
    values = pd.Series(texts * 8, name="x", dtype="str")
    column = inferred(values)
    assert column.kind is Kind.NUMERICAL
    assert column.format is not None
    frame = pd.DataFrame({"x": values})
    codec = TableCodec.fit(frame, infer_schema(frame))
    codec = TableCodec.from_dict(json.loads(json.dumps(codec.to_dict(), allow_nan=False)))
    pd.testing.assert_frame_equal(codec.decode(codec.encode(frame)), frame)
    assert all(part.numerical for form in codec.places.forms.values() for part in form.parts)


@pytest.mark.parametrize(
    "written", ["", "0.0.0", "00", "#,##0,00", "kg", "%Y-%m-%d", "0;0", "0;0.0", "0;-0;0", "1 kg", "{n}"]
)
def test_what_is_no_format_is_none(written):
    assert NumberFormat.parse(written) is None


NO_NUMBERS = {
    "codes": [f"A{i}" for i in range(60)],
    "rooms": [f"{i}A" for i in range(60)],
    "rooms and floors": [f"Room {i}" for i in range(60)],
    "versions": [f"1.{i}.0" for i in range(60)],
    "versions of v": [f"v1.{i}" for i in range(60)],
    "addresses of machines": [f"192.168.{100 + i}.{200 - i}" for i in range(60)],
    "postcodes": [f"{i * 997 % 99999:05d}" for i in range(60)],
    "postcodes of a town": [f"{10115 + i} Berlin" for i in range(60)],
    "postcodes of a country": [f"D-{10115 + i}" for i in range(60)],
    "telephones": [f"+49 170 {100000 + i * 7919}" for i in range(60)],
    "telephones without a country": [f"030 {100000 + i * 7919}" for i in range(60)],
    "telephones in threes": [f"{201 + i} {555 - i} {100 + i}" for i in range(60)],
    "telephones by points": [f"{201 + i}.555.{100 + i}" for i in range(60)],
    "dates": [f"2024-03-{1 + i % 28:02d}" for i in range(60)],
    "days of a month": [f"{1 + i % 28} May" for i in range(60)],
    "times": [f"{1 + i % 12} pm" for i in range(60)],
    "ranks": [f"{11 + i % 8}th" for i in range(60)],
    "ranges": [f"{i}-{i + 10}" for i in range(60)],
    "bounds": ["<=50K", ">50K"] * 30,
    "zeros in front": [f"{i:03d}%" for i in range(60)],
    "zeros that no number has": ["5%", "5.5%", "5.50%"] * 20,
    "lists": ["1,2", "3,4", "5,6"] * 20,
    "digits alone": [str(i) for i in range(60)],
    "one that is none": ["25%", "about a half", "75%"] * 20,
    "two currencies": ["$5", "€5", "$7"] * 20,
    "numbers of bank cards": [f"{4000 + i} {1000 + i} {2000 + i} {3000 + i}" for i in range(60)],
    "areas of telephones": [f"({201 + i})" for i in range(60)],
}


@pytest.mark.parametrize("values", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_only_looks_like_numbers_stays_what_it_is(values):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert inferred(pd.Series(values, dtype="str")).kind is not Kind.NUMERICAL


def test_a_word_behind_a_number_is_no_unit_where_the_name_says_key():
    values = pd.Series([f"{i} widgets" for i in range(60)] * 2, dtype="str")
    assert inferred(values, "stock").format == "0 widgets"
    assert inferred(values, "order_id").kind is Kind.CATEGORICAL
    assert inferred(pd.Series(["1,200", "15", "3,450"] * 9), "order_no").kind is Kind.CATEGORICAL


def test_a_target_of_few_shares_stays_classes_and_one_of_many_prices_is_numbers():
    few, many = pd.Series(["10%", "20%"] * 50), pd.Series([f"${i * 37:,}" for i in range(100)])
    schema = infer_schema(pd.DataFrame({"x": few, "y": range(100)}), target="x")
    assert schema["x"].kind is Kind.CATEGORICAL
    assert infer_schema(pd.DataFrame({"x": many, "y": few}), target="x")["x"].kind is Kind.NUMERICAL


def test_a_schema_file_says_the_format_and_reads_back():
    frame = pd.DataFrame({"weight": ["1.250", "2.375", "900.125"] * 30, "size": ["12 A", "15 A"] * 45})
    frame = frame.astype("str")
    said = {"columns": {"weight": {"kind": "numerical", "format": "#.##0"}, "size": {"format": "0 A"}}}
    schema = infer_schema(frame, wanted=read_schema(said))
    assert (schema["weight"].maximum, schema["size"].maximum) == (900125.0, 15.0)
    text = schema_text(schema, {})
    assert "weight: {kind: numerical, format: '#.##0', decimals: 0, range: [1250, 900125]}" in text


def test_what_was_inferred_reads_back_as_the_same(tmp_path):
    frame = pd.DataFrame(
        {"price": ["$1,234.50", "($7.00)", None] * 30, "share": ["25%", "7.5%", "0%"] * 30}, dtype="str"
    )
    schema = infer_schema(frame)
    (tmp_path / "schema.yaml").write_text(schema_text(schema, {}), encoding="utf-8")
    assert infer_schema(frame, wanted=read_schema(tmp_path / "schema.yaml")) == schema


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"format": "0 kg"}, r"column 'x': format: found '25%', expected a number written as 0 kg"),
        ({"kind": "numerical", "format": "%Y"}, r"column 'x': format: found '%Y', expected one of numbers such as"),
        ({"format": "0%", "decimals": 3}, r"column 'x': decimals: found 3, expected at most 0, as 0% has"),
        ({"format": "0%", "range": [0, 10]}, r"column 'x': range: found 25, expected 0 .. 10"),
    ],
)
def test_a_format_that_does_not_fit_is_told(said, message):
    frame = pd.DataFrame({"x": pd.Series(["25%", "7%"] * 20, dtype="str")})
    with pytest.raises(SynthgenError, match=message):
        infer_schema(frame, wanted=read_schema({"columns": {"x": said}}))


def test_words_that_a_person_wants_stay_words():
    frame = pd.DataFrame({"x": pd.Series(["25%", "7%"] * 20, dtype="str")})
    assert infer_schema(frame, wanted=read_schema({"columns": {"x": "categorical"}}))["x"].categories == ("25%", "7%")


def test_a_stored_format_that_is_none_is_told():
    frame = pd.DataFrame({"x": pd.Series(["25%", "7%"] * 20, dtype="str")})
    stored = TableCodec.fit(frame, infer_schema(frame)).to_dict()
    stored["schema"]["columns"][0]["format"] = "%%"
    with pytest.raises(SynthgenError, match="column 'x': format: found '%%', expected one of numbers"):
        TableCodec.from_dict(stored)


def test_missing_spellings_beside_numbers_in_dress_are_missing(tmp_path):
    (tmp_path / "x.csv").write_text("share;name\n" + "25%;a\nN/A;b\n-;N/A\n7,5%;d\n" * 5)
    table = read_table(str(tmp_path / "x.csv"))
    assert table["share"].isna().sum() == 10
    assert table["name"].tolist()[:4] == ["a", "b", "N/A", "d"]
    assert infer_schema(table)["share"].format == "0,#%"


@pytest.fixture(scope="module")
def sales():
    """Prices whose logarithm follows a discount, with a total in dress."""
    random = np.random.default_rng(0)
    n = 3000
    discount = random.integers(0, 50, n)
    price = np.exp(9 - discount / 15 + 0.1 * random.normal(size=n)).round(2)
    fee = (price * random.uniform(0.01, 0.2, n)).round(2)
    euros = NumberFormat.parse("#.##0,00 €")
    return pd.DataFrame(
        {
            "discount": [f"{share}%" for share in discount],
            "price": euros.write(price),
            "fee": euros.write(fee),
            "total": euros.write((price + fee).round(2)),
            "kind": random.choice(["a", "b"], n),
        }
    ).astype("str")


def as_floats(texts):
    return texts.str.replace(r"[.% €]", "", regex=True).str.replace(",", ".").astype(float)


@pytest.fixture(scope="module")
def shop(sales):
    constraints = [{"inequality": ["fee", "price"]}, {"formula": "total >= price"}]
    overrides = ["network.width=48", "callbacks=none", "trainer=cpu"]
    return synthgen.fit(sales, max_samples=60_000, batch_size=256, overrides=overrides, constraints=constraints)


def test_samples_wear_the_same_dress_and_obey_constraints(shop, sales):
    drawn = shop.sample(1000, seed=1)
    assert drawn.dtypes.equals(sales.dtypes)
    assert drawn["discount"].str.fullmatch(r"\d+%").all()
    for name in ("price", "fee", "total"):
        assert drawn[name].str.fullmatch(r"(\d{1,3}\.)?\d{1,3},\d\d €").all()
    price, fee, total = (as_floats(drawn[name]) for name in ("price", "fee", "total"))
    assert (fee <= price).all()
    assert (total >= price).all()
    assert np.corrcoef(np.log(price), as_floats(drawn["discount"]))[0, 1] < -0.8, "numbers are learned as numbers"
    assert len(set(drawn["price"]) - set(sales["price"])) > 500, "and not as a choice of words"


@pytest.mark.parametrize("asked", ["1.200,50 €", "1.200,50", "1200,50 €", 1200.5, "1200.5"])
def test_conditions_are_given_in_dress_or_as_numbers(shop, asked):
    assert set(shop.sample(20, condition={"price": asked})["price"]) == {"1.200,50 €"}
    rows = shop.sample(2, condition=pd.DataFrame({"price": [asked, None], "discount": [None, 30]}, dtype="object"))
    assert rows["price"].iloc[0] == "1.200,50 €"
    assert rows["discount"].iloc[1] == "30%"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"price": "cheap"}, r"condition price: found 'cheap', expected a number such as \d+.\d+,\d\d €"),
        ({"price": "99.999.999,00 €"}, r"condition price: .* is outside .*, the range of the column"),
        ({"discount": "77%"}, r"condition discount: .*77.* is outside"),
    ],
)
def test_a_condition_that_no_row_can_have_is_told(shop, condition, message):
    with pytest.raises(SynthgenError, match=message):
        shop.sample(5, condition=condition)


def test_likelihood_and_rebalancing_know_numbers_in_dress(shop, sales):
    assert np.isfinite(shop.log_prob(sales.head(200))).all()
    half = shop.sample(400, rebalance={"discount": {25.0: 0.5}})
    assert (half["discount"] == "25%").mean() > 0.4


def test_reports_measure_numbers_in_dress_as_numbers(sales):
    rounded = sales.assign(discount=sales["discount"].str.replace("%", ".00%"))  # as another tool may write them
    report = synthgen.evaluate(real=sales, synthetic=rounded, target="price")
    assert "Text was measured as the numbers that it is: discount (0%), price (#.##0,00 €)" in " ".join(report.notes)
    kinds = {column["name"]: column["kind"] for column in report.details["columns"]}
    assert {name: kinds[name] for name in ("discount", "price", "kind")} == {
        "discount": "numerical",
        "price": "numerical",
        "kind": "categorical",
    }
    with pytest.raises(SynthgenError, match="column 'discount': found 'half', expected a number written as 0%"):
        synthgen.evaluate(real=sales, synthetic=sales.assign(discount="half"))


def test_looks_during_training_measure_numbers_in_dress(sales, tmp_path):
    module = TableDataModule(lambda: sales, target="price", validation=0.2)
    module.load()
    from synthgen.callbacks.look import Real

    compared = Real(module, 100).compared
    assert compared["price"].dtype == "float64"
    assert module.codec.schema.measured["price"].dtype == "float64"


def test_recognition_looks_at_all_cells():
    assert recognise_numbers(pd.Series([*(f"{i}%" for i in range(1000)), "none"], dtype="str")) is None
