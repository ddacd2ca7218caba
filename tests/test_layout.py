import json

import pytest

from synthgen.errors import SynthgenError
from synthgen.layout import Column, ImageLayout, Kind, TableLayout, TableSchema

COLUMNS = (
    Column("age", Kind.NUMERICAL, "float64", minimum=0.0, maximum=99.5, decimals=1, missing_rate=0.25),
    Column("town", Kind.CATEGORICAL, "object", categories=(1, 2.5, "Köln", "None")),
    Column("member", Kind.BOOLEAN, "bool", categories=(False, True)),
    Column("empty", Kind.CONSTANT, "float64", missing_rate=1.0),
)


def test_schema_finds_columns_by_name_and_keeps_their_order():
    schema = TableSchema(COLUMNS, target="town")
    assert schema.names == ["age", "town", "member", "empty"]
    assert tuple(schema) == COLUMNS
    assert len(schema) == 4
    assert schema["member"] is COLUMNS[2]
    assert [column.numerical for column in schema] == [True, False, False, False]


def test_schema_survives_json_with_the_types_of_its_values():
    schema = TableSchema(COLUMNS, target="town")
    again = TableSchema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert again == schema
    assert [type(value) for value in again["town"].categories] == [int, float, str, str]
    assert [type(value) for value in again["member"].categories] == [bool, bool]
    assert again["age"].kind is Kind.NUMERICAL


def test_unknown_column_and_target_name_the_nearest():
    with pytest.raises(SynthgenError, match=r"unknown column 'twon': did you mean 'town'\?"):
        TableSchema(COLUMNS)["twon"]
    with pytest.raises(SynthgenError, match=r"target 'agee' is not a column: did you mean 'age'\?"):
        TableSchema(COLUMNS, target="agee")


def test_layouts_count_what_they_hold():
    assert TableLayout(2, (3, 7)).categorical == 2
    assert TableLayout(2, ()).categorical == 0
    assert ImageLayout(3, 17, 23).shape == (3, 17, 23)
