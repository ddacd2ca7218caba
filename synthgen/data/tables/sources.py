"""Where real tables come from. A source is a function that returns one DataFrame, one row a record."""

import re
from pathlib import Path

import pandas as pd

from synthgen.errors import SynthgenError
from synthgen.files import existing_file, replacing

__all__ = ["check_table_output", "randhie", "read_csv", "read_parquet", "read_table", "write_table"]

# What spreadsheets and databases write for "no value" in a column of numbers. In a column of words they stay words.
_MISSING_NUMBERS = {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", "-"}
# Codes such as 007 are words: a number would lose their zeros.
_CODE = r"^0\d"


def read_csv(path: str) -> pd.DataFrame:
    """Reads a comma-separated file with a header line.

    Only an empty cell is missing in a column of words, so that "None" and "NA" keep their meaning. A column whose
    other cells are all numbers is read as numbers, with the usual spellings of "no value" as missing, unless there are
    codes such as 007 among them.

    Raises:
        SynthgenError: The file is missing, empty, has a header alone, names a column twice, or cannot be parsed.
    """
    file = existing_file(path)
    try:
        # With the first row: of one longer than the header pandas would take the first cell as the row's name.
        header = pd.read_csv(file, header=None, nrows=2, dtype=str, keep_default_na=False)
        _unique(header.iloc[0].tolist(), file)
        frame = pd.read_csv(file, keep_default_na=False, na_values=[""], low_memory=False)
    except pd.errors.EmptyDataError:
        raise SynthgenError(f"{file}: the file is empty; expected a header line and rows") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise SynthgenError(f"{file}: not a comma-separated table: {str(error).strip()}") from None
    if frame.empty:
        raise SynthgenError(f"{file}: found a header with {frame.shape[1]} columns and no row; expected rows")
    return _with_codes(frame, file).apply(_numbers_among_words)


def read_parquet(path: str) -> pd.DataFrame:
    """Reads a Parquet file.

    Raises:
        SynthgenError: The file is missing, is not Parquet, or holds no row.
    """
    file = existing_file(path)
    try:
        frame = pd.read_parquet(file)
    except Exception as error:  # pyarrow raises OSError, ArrowInvalid and others for one and the same fault
        raise SynthgenError(f"{file}: not a Parquet file: {str(error).splitlines()[0]}") from None
    _unique([str(name) for name in frame.columns], file)
    if frame.empty:
        raise SynthgenError(f"{file}: found {frame.shape[1]} columns and no row; expected rows")
    return frame


def read_table(path: str) -> pd.DataFrame:
    """Reads a CSV or Parquet file, by its suffix."""
    suffix = Path(path).suffix.lower()
    if suffix in {".parquet", ".pq"}:
        return read_parquet(path)
    if suffix in {".csv", ".txt"}:
        return read_csv(path)
    raise SynthgenError(f"{path}: cannot tell the format of a table from {suffix!r}; expected .csv or .parquet")


def check_table_output(path: str) -> None:
    """Makes sure that a table can be written to `path`, before there is one.

    Raises:
        SynthgenError: A suffix that is neither .csv nor .parquet.
    """
    if Path(path).suffix.lower() not in {".csv", ".parquet", ".pq"}:
        raise SynthgenError(f"output={path}: found {Path(path).suffix or 'no suffix'!r}; expected .csv or .parquet")


def write_table(frame: pd.DataFrame, path: str) -> None:
    """Writes a CSV or Parquet file, by its suffix, in one move: the file is whole or it is not there."""
    check_table_output(path)
    with replacing(Path(path)) as partial:
        if Path(path).suffix.lower() == ".csv":
            frame.to_csv(partial, index=False)
        else:
            frame.to_parquet(partial, index=False)


def randhie() -> pd.DataFrame:
    """Person-years of the RAND Health Insurance Experiment, embedded in statsmodels: 20,190 rows, 8 columns.

    Self-rated health comes as three 0/1 flags of which the omitted case is "excellent": they get their word back as one
    column. The plan's flag does too. A person's years follow one another and share all that was measured at enrolment;
    the column `person` counts such runs, so that a split can keep a person on one side (two people who follow one
    another and agree in all of it count as one).

    Source: Deb and Trivedi (2002), after Newhouse et al. (1993).
    """
    from statsmodels.datasets import randhie as embedded

    raw = embedded.load_pandas().data
    flags = raw[["hlthg", "hlthf", "hlthp"]].to_numpy()
    enrolment = raw[["lncoins", "idp", "lpi", "fmde", "physlm", "disea"]]
    words = pd.Series(["excellent", "good", "fair", "poor"])
    return pd.DataFrame(
        {
            "visits": raw["mdvis"].astype("int64"),
            "log_coinsurance": raw["lncoins"],
            "deductible_plan": raw["idp"].map({0: "no", 1: "yes"}),
            "log_incentive": raw["lpi"],
            "log_max_expenditure": raw["fmde"],
            "physical_limitation": raw["physlm"],
            "chronic_diseases": raw["disea"],
            "health": words.to_numpy()[(flags * [1, 2, 3]).sum(axis=1).astype(int)],
            "person": enrolment.ne(enrolment.shift()).any(axis=1).cumsum(),
        }
    )


def _unique(names: list[str], file: Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SynthgenError(f"{file}: column {twice[0]!r} occurs {names.count(twice[0])} times; expected unique names")


def _with_codes(frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Gives codes such as 007, which pandas takes for numbers, their zeros back."""
    if not re.search(rb'(^|[,"\n])0\d', file.read_bytes()):
        return frame  # most files: no need to read them again
    numeric = [i for i, name in enumerate(frame.columns) if pd.api.types.is_numeric_dtype(frame[name])]
    words = pd.read_csv(file, keep_default_na=False, na_values=[""], dtype=str, usecols=numeric)
    codes = [name for name in words.columns if words[name].str.match(_CODE).any()]
    return frame.assign(**{name: words[name] for name in codes})


def _numbers_among_words(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return column
    values = column.where(~column.isin(_MISSING_NUMBERS))
    if not values.notna().any() or values.notna().sum() == column.notna().sum():
        return column
    if values.dropna().astype(str).str.match(_CODE).any():
        return column
    numbers = pd.to_numeric(values, errors="coerce")
    return numbers if numbers.notna().sum() == values.notna().sum() else column
