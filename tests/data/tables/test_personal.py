"""Personal text: it is recognised and nothing else is taken for it, never learned or stored, and invented by row."""

import ipaddress
import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from faker import Faker

from synthgen.data.tables.codec import MISSING, TableCodec
from synthgen.data.tables.invented import FORMATS, new_personal
from synthgen.data.tables.schema import infer_schema
from synthgen.data.tables.wishes import Wishes, read_schema, schema_text
from synthgen.errors import SynthgenError
from synthgen.layout import Column, Kind

ROWS = 60
TABLES = Path(os.environ.get("SYNTHGEN_DATA", "data")) / "tables"


def real(written, rows=ROWS, locale=("en_US", "de_DE", "fr_FR")):
    faker = Faker(list(locale))
    faker.seed_instance(3)
    return [getattr(faker, written)().replace("\n", ", ") for _ in range(rows)]


def inferred(name, values):
    column = infer_schema(pd.DataFrame({name: values, "other": np.arange(len(values)) % 2}))[name]
    return column.format if column.kind is Kind.PERSONAL else None


def invented(written, rows=range(200), locale="en_US", seed=0, person=0, dtype="str"):
    column = Column("x", Kind.PERSONAL, dtype, format=written, locale=locale)
    return new_personal(column, rows, seed, person)


# What is recognised


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("contact", "email"),
        ("x", "iban"),
        ("x", "credit_card_number"),
        ("x", "ipv4"),
        ("x", "ipv6"),
        ("x", "mac_address"),
        ("phone", "phone_number"),
        ("Telefon", "phone_number"),
        ("first_name", "first_name"),
        ("Vorname", "first_name"),
        ("Surname", "last_name"),
        ("lastName", "last_name"),
        ("Full Name", "name"),
        ("name", "name"),
        ("customer_name", "name"),
        ("address", "address"),
        ("registration address", "address"),
        ("street", "street_address"),
        ("user_name", "user_name"),
    ],
)
@pytest.mark.parametrize("dtype", ["str", "object", "category"])
def test_what_people_are_called_and_reached_by_is_recognised(name, written, dtype):
    values = pd.Series(real(written), dtype=dtype)
    assert inferred(name, values) == written
    assert inferred(name, pd.concat([values] * 3 + [pd.Series([None], dtype=dtype)], ignore_index=True)) == (
        None if written in ("address", "street_address", "user_name") else written
    ), "addresses and names of accounts are those of people where most of them differ"


@pytest.mark.parametrize(
    ("name", "values", "written"),
    [
        ("x", [f"+49 151 {i * 7919:08d}" for i in range(ROWS)], "phone_number"),
        ("x", [f"({201 + i}) {900 - i}-{i:04d}" for i in range(ROWS)], "phone_number"),
        ("mobile", [4915112345678 + i * 7919 for i in range(ROWS)], "phone_number"),
        ("tel", [4915112345678.0 + i * 7919 for i in range(ROWS - 1)] + [np.nan], "phone_number"),
        ("credit card", [4000000000000002, 4242424242424242] * 2, None),
        ("card_number", [int(number) for number in real("credit_card_number")], "credit_card_number"),
        ("x", real("ssn", locale=["en_US"]), "ssn"),
        ("passengerName", [f"Heikkinen, Mrs. {first} (Laina Smith)" for first in real("first_name")], "name"),
    ],
)
def test_numbers_of_people_are_recognised(name, values, written):
    assert inferred(name, values) == written


ORDINARY = {
    "name": real("company"),
    "name ": real("city"),
    "Name": real("company") * 3,
    "city": real("city"),
    "country name": ["United States", "New Zealand", "South Africa", "Costa Rica"] * 20 + real("country"),
    "occupation": real("job"),
    "marital": ["Widow", "Single", "Never Married"] * 20,
    "first_name": ["Ann", "Bob", "Charlotte"] * 20,
    "product": [f"Apple Juice {chr(65 + i % 26)}{chr(65 + i // 26)}" for i in range(ROWS)],
    "version": [f"{i % 4}.{i}.{i * 7 % 50}.{i * 11 % 90}" for i in range(ROWS)],
    "date": [f"{1 + i % 28:02d}.{1 + i % 12:02d}.2020" for i in range(ROWS)],
    "time": [f"{i % 24:02d}:{i:02d}:{i:02d}" for i in range(ROWS)],
    "years": [f"{1900 + i}-{1950 + i}" for i in range(ROWS)],
    "part": [f"{i:03d}-{i:03d}-{i:04d}" for i in range(ROWS)],
    "postcode": [f"{i * 37 % 1000:05d}" for i in range(ROWS)],
    "amount": list(range(100000000, 100000000 + ROWS)),
    "mobile": list(range(ROWS)),
    "card": list(range(4000000000000000, 4000000000000000 + ROWS)),
    "phone_calls": list(range(ROWS)),
    "email_domain": [f"example{chr(97 + i % 26)}{i}.com" for i in range(ROWS)],
    "isbn": [f"978-0-00-{i * 7919 % 10**6:06d}-{i % 10}" for i in range(ROWS)],
    "street": ["Main Street", "High Street", "Mill Lane 3"] * 20,
    "file_name": [f"Report {i}" for i in range(ROWS)],
    "name_length": list(range(ROWS)),
    "coordinates": [f"{i * 0.7:.6f}" for i in range(ROWS)],
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_columns_are_not_taken_for_it(name):
    assert inferred(name, ORDINARY[name]) is None


@pytest.mark.skipif(not TABLES.is_dir(), reason="needs the data sets that SYNTHGEN_DATA names")
def test_no_column_of_the_benchmarks_is_taken_for_it():
    for file in sorted(TABLES.glob("*/test.csv")):
        frame = pd.read_csv(file, nrows=3000)
        assert all(column.kind is not Kind.PERSONAL for column in infer_schema(frame)), file


def test_the_target_is_what_it_is():
    frame = pd.DataFrame({"email": real("email"), "x": np.arange(ROWS)})
    assert infer_schema(frame, target="email")["email"].kind is Kind.CATEGORICAL


# What is invented


@pytest.mark.parametrize(
    ("written", "locale"),
    [(written, "en_US") for written in FORMATS]
    + [(written, locale) for written in ("name", "email", "address") for locale in ("de_DE", "ja_JP", "cs_CZ")],
)
def test_a_row_has_the_same_text_in_whatever_part_of_the_sequence_it_is_drawn(written, locale):
    whole = invented(written, range(100), locale)
    pd.testing.assert_series_equal(invented(written, range(40, 100), locale), whole[40:].reset_index(drop=True))
    assert not whole.equals(invented(written, range(100), locale, seed=1))
    assert not whole.equals(invented(written, range(100), locale, person=1))
    assert whole.str.len().min() > 0
    assert not whole.str.contains("\n").any()


@pytest.mark.parametrize(
    ("written", "of_100_000"),
    [
        ("email", 99_900),
        ("name", 40_000),
        ("phone_number", 99_000),
        ("iban", 99_990),
        ("ipv4", 99_000),
        ("ssn", 60_000),
    ],
)
def test_much_of_it_differs(written, of_100_000):
    assert invented(written, range(100_000)).nunique() > of_100_000


def test_check_digits_are_right():
    for locale in ("de_DE", "fr_FR", "en_GB"):
        for iban in invented("iban", locale=locale):
            assert int("".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])) % 97 == 1
    for card in invented("credit_card_number"):
        digits = [int(letter) for letter in reversed(card)]
        assert (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def test_addresses_reach_nobody():
    assert invented("email").str.fullmatch(r"[a-z]+\.[a-z]+\d{1,4}@example\.(com|org|net)").all()
    assert all(ipaddress.ip_address(text) in ipaddress.ip_network("2001:db8::/32") for text in invented("ipv6"))
    assert not any(ipaddress.ip_address(text).is_private for text in invented("ipv4", range(5000)))
    assert invented("mac_address").map(lambda text: int(text[:2], 16) & 3 == 2).all()


def test_names_are_those_that_faker_knows_as_the_locale_writes_them():
    for locale, family_first in (("en_US", False), ("ja_JP", True)):
        whole, first, last = (invented(part, locale=locale) for part in ("name", "first_name", "last_name"))
        assert whole.equals(last + " " + first if family_first else first + " " + last)
    # As often as people are called so: Faker's weights survive.
    assert invented("first_name", range(20_000)).value_counts().iloc[0] > 3 * 20_000 / 1000


def test_numbers_have_the_digits_of_what_is_invented():
    for dtype in ("int64", "Int64", "float64"):
        phones = invented("phone_number", dtype=dtype)
        assert phones.dtype == "Int64"
        assert (phones > 10**6).all()
    text = invented("credit_card_number").astype("int64")
    assert invented("credit_card_number", dtype="int64").astype("int64").equals(text)


# In a table


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "first_name": real("first_name", 200),
            "last_name": real("last_name", 200),
            "email": pd.Series(real("email", 200)).mask(np.arange(200) % 4 == 0),
            "mother_first_name": real("first_name", 200)[::-1],
            "phone": pd.Series(real("phone_number", 200), dtype="object"),
            "age": rng.integers(18, 90, 200),
        }
    )
    return frame, TableCodec.fit(frame, infer_schema(frame))


def test_nothing_but_missing_cells_is_learned_or_stored(people):
    frame, codec = people
    assert codec.layout.numerical + codec.layout.categorical == 2, "age, and whether there is an address"
    stored = json.dumps(codec.to_dict()) + schema_text(codec.schema, {})
    for name in ("first_name", "last_name", "email", "phone"):
        assert not any(f'"{value}"' in stored for value in frame[name].dropna())
    codec = TableCodec.from_dict(json.loads(json.dumps(codec.to_dict(), allow_nan=False)))
    decoded = codec.decode(codec.encode(frame), seed=5)
    pd.testing.assert_series_equal(decoded.dtypes, frame.dtypes)
    assert decoded["email"].isna().equals(frame["email"].isna())
    assert not decoded["email"].isin(frame["email"].dropna()).any()
    part = codec.decode({key: rows[50:] for key, rows in codec.encode(frame).items()}, start=50, seed=5)
    pd.testing.assert_frame_equal(part, decoded[50:].reset_index(drop=True))


def test_an_address_is_that_of_the_rows_own_name(people):
    frame, codec = people
    rows = codec.decode(codec.encode(frame), seed=1).dropna()
    named = (rows["first_name"] + "." + rows["last_name"]).str.lower()
    plain = [re.sub(r"\d+@.*", "", address) for address in rows["email"]]
    assert plain == named.tolist()
    assert (rows["mother_first_name"] != rows["first_name"]).mean() > 0.9, "another person"


def test_it_cannot_be_asked_for_but_missing(people):
    _, codec = people
    with pytest.raises(SynthgenError, match="condition email: personal text is made anew and cannot be asked for"):
        codec.encode_condition({"email": "ann@example.com"}, 1)
    assert codec.decode(codec.encode_condition({"email": MISSING}, 2))["email"].isna().all()


# What a person says


def wished(tmp_path, text, frame):
    (tmp_path / "schema.yaml").write_text(text)
    return infer_schema(frame, wanted=read_schema(tmp_path / "schema.yaml"))


def test_a_schema_file_says_what_it_is_and_where(tmp_path):
    frame = pd.DataFrame({"who": ["x", "y"] * 30, "mail": real("email"), "firm": ["A", "B", "C"] * 20, "n": range(60)})
    text = "columns: {who: {format: last_name}, firm: {kind: personal, format: company, locale: de_DE}}"
    schema = wished(tmp_path, text, frame)
    assert [column.format for column in schema] == ["last_name", "email", "company", None]
    assert [column.locale for column in schema] == ["de_DE", "de_DE", "de_DE", None], "one that is said holds for all"
    written = schema_text(schema, {})
    assert wished(tmp_path, written, frame) == schema
    assert "# locale: language and country of what is invented" in written
    assert written.count("locale: de_DE") == 1
    french = wished(tmp_path, written.replace("locale: de_DE", "locale: fr_FR"), frame)
    assert [column.locale for column in french] == ["fr_FR", "fr_FR", "fr_FR", None], (
        "one line is all there is to change"
    )
    assert "locale" not in schema_text(infer_schema(frame[["n"]]), {})
    assert infer_schema(frame)["mail"].locale == "en_US"


def test_free_text_may_be_learned_as_words_or_invented(tmp_path):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["the", "tooth", "hurts", "again", "today"], 9)) for _ in range(200)]
    frame = pd.DataFrame({"note": texts, "y": np.arange(200) % 2})
    with pytest.warns(UserWarning, match=r"free text is left out; .*`kind: categorical`.*format: text.*`kind: drop`"):
        assert infer_schema(frame).names == ["y"]
    schema = wished(tmp_path, "columns: {note: categorical}", frame)
    codec = TableCodec.fit(frame, schema)
    pd.testing.assert_frame_equal(codec.decode(codec.encode(frame)), frame)
    for written in ("text", "sentence"):
        schema = wished(tmp_path, f"columns: {{note: {{kind: personal, format: {written}}}}}", frame)
        codec = TableCodec.fit(frame, schema)
        assert codec.layout.categorical == 1
        decoded = codec.decode(codec.encode(frame))["note"]
        assert decoded.nunique() > 190
        assert not decoded.isin(texts).any()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{kind: personal, format: e-mail}", "column 'x': format: found 'e-mail'; did you mean 'email'"),
        ("{kind: personal, format: name, locale: de_De}", "column 'x': locale: found 'de_De'; did you mean 'de_DE'"),
        ("{kind: categorical, locale: de_DE}", "column 'x': locale: is for personal text, found kind 'categorical'"),
        ("{locale: de_DE}", "column 'x': locale: found a categorical column; where it is personal text, say kind"),
        ("personal", "column 'x': format: this is no known form of personal text; say one of name, first_name"),
    ],
)
def test_a_mistake_is_told(tmp_path, said, message):
    with pytest.raises(SynthgenError, match=message):
        wished(tmp_path, f"columns: {{x: {said}}}", pd.DataFrame({"x": ["a", "b"] * 20, "y": range(40)}))


def test_numbers_are_no_names():
    wanted = Wishes(columns={"x": {"kind": "personal", "format": "name"}})
    with pytest.raises(SynthgenError, match="column 'x': format: found int64, expected text of a name"):
        infer_schema(pd.DataFrame({"x": range(40)}), wanted=wanted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "emial"}, "format: found 'emial'"),
        ({"locale": "xx"}, "locale: found 'xx'"),
        ({"dtype": "int64"}, "dtype: found 'int64'"),
        ({"categories": ["ann@example.com"]}, "categories"),
    ],
)
def test_a_stored_column_that_cannot_be_invented_is_refused(change, message):
    frame = pd.DataFrame({"email": real("email")})
    stored = TableCodec.fit(frame, infer_schema(frame)).to_dict()
    stored["schema"]["columns"][0].update(change)
    with pytest.raises(SynthgenError, match=f"column 'email': {message}"):
        TableCodec.from_dict(json.loads(json.dumps(stored)))
