"""What a condition asks of rows: the variables that a model is told, the cells that come back as they were given, and
which of the rows that a model draws are kept.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from synthgen.data.tables.conditions import Asked, asked_of, cell_variables, given_cells
from synthgen.data.tables.constraints.given import Given
from synthgen.data.tables.constraints.keeping import RowKeeping
from synthgen.data.tables.constraints.obeyed import Obeyed
from synthgen.data.tables.constraints.transform import Derived
from synthgen.data.tables.forms import form_of
from synthgen.data.tables.places import Places
from synthgen.data.tables.variables import to_codes, to_normal
from synthgen.layout import Column, Kind

__all__ = ["encode_condition", "given_by", "keeping_of", "measures"]

#: Some learned columns of encoded rows, by name, and what a condition gives of each row to rows of the table, and for
#: each reason which of them it keeps.
DecodingOf = Callable[[dict[str, Tensor], Sequence[str], Given], tuple[pd.DataFrame, list[tuple[str, np.ndarray]]]]


def encode_condition(
    places: Places,
    obeyed: Obeyed,
    condition: dict[str, Any] | pd.DataFrame,
    n: int,
    seed: int,
    start: int,
    by_shares: bool,
) -> dict[str, Tensor]:
    """What `TableCodec.encode_condition` gives, of a codec's places and what its rows obey."""
    asked = asked_of(condition, n, obeyed.schema)
    if obeyed.constraints:  # before cells that training never saw: a constraint says more of them
        obeyed.refuse(given_by(obeyed, condition, n, within=False))
    numerical, categorical = torch.zeros(n, places.width[0]), torch.zeros(n, places.width[1], dtype=torch.int32)
    found = {
        "numerical": numerical,
        "categorical": categorical,
        "numerical_known": torch.zeros_like(numerical, dtype=torch.bool),
        "categorical_known": torch.zeros_like(categorical, dtype=torch.bool),
    }
    for one in asked:
        if one.name not in obeyed.replaced:
            _add_cells(found, places, one)
    if obeyed.constraints:

        def uniform(transform: int) -> np.ndarray:
            # One number of its own for every row, whichever rows are asked for together.
            key = [seed % 2**64, 2**32 + transform]
            return np.random.Philox(key=key, counter=start).random_raw(4 * n)[::4] / 2.0**64

        given = given_by(obeyed, condition, n, within=True)
        for name, derived in obeyed.derived(given, uniform if by_shares else None).items():
            _add_derived(found, places, name, derived)
    return found


def given_by(obeyed: Obeyed, condition: dict[str, Any] | pd.DataFrame, n: int, within: bool) -> Given:
    """What `TableCodec.given` gives, of what a codec's rows obey."""
    about = {name for constraint in obeyed.constraints for name in constraint.columns}
    about |= {column.name for column in obeyed.schema if measures(column)}
    asked = [one for one in asked_of(condition, n, obeyed.schema) if one.name in about]
    return given_cells(asked, n, {one.name: form_of(obeyed.schema[one.name]) for one in asked}, within)


def keeping_of(
    obeyed: Obeyed, decode: DecodingOf, given: Given | None, alike: bool, by_shares: bool
) -> RowKeeping | None:
    """What `TableCodec.keeping` gives, of what a codec's rows obey and how it decodes them."""
    if given is None:
        given = Given.nothing(1)
    elif by_shares and obeyed.draws(given):
        alike = False  # each row is asked for its own combination
    names = obeyed.needed(obeyed.checked, given)
    if not names:
        return None
    return RowKeeping(lambda rows, of_rows: decode(rows, names, of_rows), obeyed.checked, given, alike)


def measures(column: Column) -> bool:
    """Whether a condition's cells of a column come back to the last digit, and not as the nearest one that is drawn."""
    return column.numerical or column.kind.moment or column.kind is Kind.DURATION


def _add_cells(condition: dict[str, Tensor], places: Places, asked: Asked) -> None:
    """Adds to an encoded condition the cells that it gives of a learned column."""
    name = asked.name
    wanted = asked.each(lambda cells: cell_variables(places.forms[name], places.encodings[name], cells))
    for (codes, normal), _, _, j, k in places.of(name, wanted):
        for kind, place, values, told in (
            ("categorical", j, codes, codes >= 0),
            ("numerical", k, normal, ~np.isnan(normal)),
        ):
            if place >= 0 and len(values):
                rows = np.flatnonzero((asked.place >= 0) & told[asked.place])
                at = torch.from_numpy(rows)
                cells = torch.from_numpy(values[asked.place[rows]])
                condition[kind][at, place] = cells.to(condition[kind].dtype)
                condition[f"{kind}_known"][at, place] = True


def _add_derived(condition: dict[str, Tensor], places: Places, name: str, derived: Derived) -> None:
    """Adds to an encoded condition the cells of a learned column that follow from it."""
    rows = np.flatnonzero(derived.told)
    if not len(rows):
        return
    parts = places.forms[name].split(derived.values.iloc[rows].reset_index(drop=True))
    at = torch.from_numpy(rows)
    missing = parts[0].isna().to_numpy() if parts else np.zeros(0, dtype=bool)
    for i, (values, part, encoding, j, k) in enumerate(places.of(name, parts)):
        there = ~missing if i else np.full(len(rows), True)
        codes = np.zeros(len(rows), dtype=np.int64)
        if j >= 0:
            codes[there] = to_codes(values[there], part, encoding)
            condition["categorical"][at[there], j] = torch.from_numpy(codes[there]).int()
            condition["categorical_known"][at[there], j] = True
        if k >= 0:
            held = there & (codes == 0)
            normal = to_normal(values.to_numpy(dtype=float, na_value=np.nan), encoding)
            condition["numerical"][at[held], k] = torch.from_numpy(normal[held]).float()
            condition["numerical_known"][at[held], k] = True
