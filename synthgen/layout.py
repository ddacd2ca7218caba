"""The ground floor: what the columns of a table are, and what a model sees of a table or of an image set.

Plain dataclasses without behaviour beyond look-up and JSON, so that data, models and metrics can share them without
knowing each other.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from synthgen.errors import SynthgenError, nearest

__all__ = ["MAX_MEASURED", "RARE", "Attribute", "Column", "ImageLayout", "Kind", "TableLayout", "TableSchema"]


#: The word for all words of a column that fewer rows have than `rare_below`.
RARE = "(rare)"
# Beyond this many different words a column is no longer counted word by word.
MAX_MEASURED = 10_000


class Kind(StrEnum):
    """What a column of a table holds."""

    NUMERICAL = "numerical"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"
    CONSTANT = "constant"
    DATETIME = "datetime"
    DATE = "date"
    TIME = "time"
    DURATION = "duration"
    IDENTIFIER = "identifier"
    PERSONAL = "personal"

    @property
    def invented(self) -> bool:
        """Whether values are made anew, and nothing is learned but where they are missing."""
        return self in (Kind.IDENTIFIER, Kind.PERSONAL)

    @property
    def moment(self) -> bool:
        """Whether values are points in time."""
        return self in (Kind.DATETIME, Kind.DATE, Kind.TIME)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: Its header.
        kind: What it holds.
        dtype: The pandas dtype that real data had, and that synthetic data gets.
        categories: The values that occur, without the missing one: sorted, of a categorical or boolean column; the one
            value of a constant column, or none when it is missing throughout.
        minimum: Smallest value of a numerical column; of dates, times and durations, the earliest, in units.
        maximum: Largest value of a numerical column, the latest date; of an identifier, the largest number in use.
        decimals: Digits after the point that write every value of a numerical column; 0 for integers, None when more
            than 12 would be needed.
        missing_rate: Share of missing cells, 0 to 1.
        format: How dates that are text are written, as for `strftime`; how identifiers are: "uuid4", text with one
            `{n:WIDTH}` where a number stands, or with a sign such as `{A}` or `{9}` for each letter that varies; what
            personal text is: "email", "first_name", "phone_number"; how numbers that are text are: "$#,##0.00", "0%".
        unit: Of dates, times and durations, the coarsest that writes every value: M, D, h, m, s, ms, us or ns. Minimum
            and maximum count it from 1970, from midnight or from nothing.
        levels: Of a pandas categorical whose order is its own, or that has more than occurs, all that it has, in order.
        ordered: Whether such a categorical compares its levels.
        locale: Of personal text, language and country in which it is invented, such as "de_DE".
    """

    name: str
    kind: Kind
    dtype: str
    categories: tuple[Any, ...] = ()
    minimum: float | None = None  # a whole number where floats would lose digits
    maximum: float | None = None
    decimals: int | None = None
    missing_rate: float = 0.0
    format: str | None = None
    unit: str | None = None
    locale: str | None = None
    levels: tuple[Any, ...] = ()
    ordered: bool = False

    @property
    def numerical(self) -> bool:
        """Whether values have an order and a distance."""
        return self.kind is Kind.NUMERICAL


@dataclass(frozen=True)
class TableSchema:
    """What the columns of a table are, in order.

    Attributes:
        columns: One entry a column.
        target: The column that a downstream model would predict, if any.
    """

    columns: tuple[Column, ...]
    target: str | None = None

    def __post_init__(self) -> None:
        if self.target is not None and self.target not in self.names:
            raise SynthgenError(
                f"target {self.target!r} is not a column: {nearest(self.target, self.names, what='columns are')}"
            )

    @property
    def names(self) -> list[str]:
        """Column names, in order."""
        return [column.name for column in self.columns]

    @property
    def measured(self) -> "TableSchema":
        """The columns that metrics know: numbers, booleans, constants and words that are not too many to count.

        Numbers that are text are floats to them.
        """
        simple = (Kind.NUMERICAL, Kind.CATEGORICAL, Kind.BOOLEAN, Kind.CONSTANT)
        kept = tuple(c for c in self.columns if c.kind in simple and len(c.categories) <= MAX_MEASURED)
        kept = tuple(replace(c, dtype="float64", format=None) if c.numerical and c.format else c for c in kept)
        return TableSchema(kept, self.target if any(c.name == self.target for c in kept) else None)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise SynthgenError(f"unknown column {name!r}: {nearest(name, self.names, what='columns are')}")

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` reads it back."""
        return {"target": self.target, "columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TableSchema":
        """Reads what `to_dict` wrote."""
        columns = (
            Column(
                **{
                    **column,
                    "kind": Kind(column["kind"]),
                    "categories": tuple(column["categories"]),
                    "levels": tuple(column.get("levels", ())),
                }
            )
            for column in data["columns"]
        )
        return cls(tuple(columns), data["target"])


@dataclass(frozen=True)
class TableLayout:
    """What a table model sees of a row: `numerical` real values and one code for each entry of `cardinalities`.

    Attributes:
        numerical: Number of continuous values a row, each encoded to be roughly standard normal.
        cardinalities: Number of codes of each discrete variable; its codes are 0 .. cardinality − 1.
        ordered: For each discrete variable, how many of its first codes stand for numbers in increasing order: all of
            them, all but the last one, which then stands for "missing", or 0. Empty when that is 0 everywhere.
        gates: For each continuous value, which discrete variable says by its code 0 that it holds, being noise under
            any other; −1 where it always holds. Empty when that is so everywhere.
        digits: For each discrete variable, which other one it is the next digit of, of a code that the two write
            together; −1 where it begins a column or a part of one. Empty when that is so everywhere.
    """

    numerical: int
    cardinalities: tuple[int, ...]
    ordered: tuple[int, ...] = ()
    gates: tuple[int, ...] = ()
    digits: tuple[int, ...] = ()

    @property
    def categorical(self) -> int:
        """Number of discrete variables a row."""
        return len(self.cardinalities)


@dataclass(frozen=True)
class Attribute:
    """What is told of an image besides its class: whether something holds of it, or a number.

    Models see it standardised.

    Attributes:
        name: Of the attribute.
        flag: Whether it is 0 or 1 wherever it is known.
        mean: Over the training images that have it.
        std: Its standard deviation over them, above 0.
    """

    name: str
    flag: bool
    mean: float
    std: float


@dataclass(frozen=True)
class ImageLayout:
    """What an image model sees.

    Attributes:
        channels: 1 for grey, 3 for RGB, any number for others.
        height: Pixels.
        width: Pixels.
        classes: Number of class labels; 0 when images carry none.
        class_shares: Share of each class in the training images; even when empty.
        sigma_data: Standard deviation of the training images scaled to [−1, 1], over all pixels and channels.
        attributes: What else is told of images.
        described: Class (0 without classes) and standardised attributes of some of the training images, from which
            those that a condition leaves free are drawn together.
    """

    channels: int
    height: int
    width: int
    classes: int = 0
    class_shares: tuple[float, ...] = ()
    sigma_data: float = 0.5
    attributes: tuple[Attribute, ...] = ()
    described: tuple[tuple[float, ...], ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return self.channels, self.height, self.width
