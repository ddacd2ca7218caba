"""Personal text: names, addresses and numbers of people. It is recognised, never learned, and invented anew."""

import re
from collections.abc import Callable

import pandas as pd

from synthgen.data.tables.invented import digits_held, known_first_names

__all__ = ["NUMERIC", "personal_format"]

#: What must hold of a column's texts besides their form.
_Check = Callable[[pd.Series], bool]
#: What may be numbers, of whose digits it then is.
NUMERIC = ("phone_number", "credit_card_number", "ssn")
# Whole numbers up to here are floats without a loss.
_EXACT = 2**53
# Fewer different values are a choice; and so many cells are looked at first.
_LEAST = 20
_LOOK = 1000
# Share of a column's different values that must have the form.
_SHARE = 0.95
# And of addresses, some of which have no number of a house.
_SHARE_OF_ADDRESSES = 0.7
# Share of different values among cells from which names that may be of anything, and addresses, are those of people.
_DIFFERENT = 0.5
# Share of cells with a well-known first name, where a column's name does not say whose names it holds: from the second
# one on they are people's though they repeat, as those of staff and of customers do.
_KNOWN = 0.3
_NEARLY_ALL_KNOWN = 0.8

_WORD = r"(?![a-zß-öø-ÿ])[^\W\d_](?:[^\W\d_]|['’.\-](?=[^\W\d_]|\s|$))*"
_PARTICLE = r"(?:[vV][ao]n|[dD][aeiou][lrns]?|[lL][ae]|den|ter|ten|zu[mr]?|bin|al|el|y|e)"
_NAME = rf"(?:{_PARTICLE}[ ])*{_WORD}(?:[ ]{_PARTICLE})*(?:[ ]{_WORD}){{0,2}}"
_FULL_NAME = (
    rf"{_WORD}(?:,?[ ](?:{_PARTICLE}|{_WORD}|\({_WORD}(?:[ ]{_WORD})*\))){{1,6}}|[\u3040-\u9fff\uac00-\ud7af]{{2,8}}"
)
_PHONE = r"[+(]?\d(?:[()./\s-]{0,2}\d){6,15}(?:\s?x\d{1,5})?"

# By form alone.
_FORMS = {
    "email": r"[^@\s,;]+@[^@\s,;]+\.[^\W\d_]{2,}",
    "iban": r"[A-Z]{2}\d{2} ?(?:[A-Z0-9]{2,4} ?){3,8}[A-Z0-9]{0,4}",
    "credit_card_number": r"\d(?:[ -]?\d){11,18}",
    "ssn": r"(?!000|666|9)\d{3}-\d{2}-\d{4}",
    "ipv4": r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}",
    "ipv6": r"(?i)(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|(?=.*::)[0-9a-f:]{4,39}",
    "mac_address": r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}",
    "phone_number": (
        r"\+\d(?:[()./\s-]{0,2}\d){6,14}|"
        r"(?:(?:\+|00)?1[-. ])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[-.])[2-9]\d\d[-.]\d{4}(?:\s?x\d{1,5})?"
    ),
}
# By the name that a column has, and the form of its cells.
_PERSONS = (
    r"full|patient|employee|person|passenger|student|pupil|teacher|doctor|physician|nurse|driver|applicant|cardholder|"
    r"guest|mother|father|spouse|maiden|patienten|mitarbeiter|schueler|schüler|arzt|ansprechpartner"
)
_NAMED = {
    "first_name": (r"first_?name|fname|fore_?name|given_?name|vorname|rufname|prenom|prénom|voornaam", _NAME),
    "last_name": (
        r"last_?name|lname|sur_?name|family_?name|nachname|familienname|nom_de_famille|apellidos?|achternaam",
        _NAME,
    ),
    "name": (rf"(?:{_PERSONS})s?_?name", _FULL_NAME),
    "phone_number": (
        r"(?:(?:tele)?(?:phone|fon)|mobile?|fax|tel|cell(?:_?phone)?|handy)(?:_?(?:number|no|nr|nummer))?|telefon\w*",
        _PHONE,
    ),
    "ssn": (r"ssn|social_?security(?:_?(?:number|no|nr))?", r"\d{9}"),
}
# The same, where most cells must differ besides.
_NAMED_IF_DIFFERENT = {
    "address": (
        r"(?:street_?|home_?|postal_?|mailing_?|billing_?|shipping_?)?(?:address|addr|adresse|anschrift)(?:_?line)?(?:_?\d)?|"
        r"street|strasse|straße",
        r"(?=.*\d)(?=.*[^\W\d_][^\W\d_])(?s:.{5,200})",
    ),
    "user_name": (r"user_?name|login(?:_?name)?|benutzername|screen_?name|nick_?name", r"[\w.@-]{2,30}"),
}
_BARE_NAME = r"(?:(?:customer|client|contact|owner|holder|account_?holder|member|user|author|kunden)_?)?name"


def personal_format(name: str, different: pd.Series, cells: int) -> str | None:
    """What personal text a column is, as one of Faker's formats; None where it is none.

    E-mail addresses, IBANs, card, social security and telephone numbers and addresses of machines are known by their
    form; names, addresses and other telephone numbers by the column's name and their form together. A column of few
    values is a choice among them, and no personal text.

    Args:
        name: The column's.
        different: Its different cells, without missing ones.
        cells: How many there are of them, with those that repeat.
    """
    words = re.sub(r"(?<=[a-zß-ÿ])(?=[A-Z])|[\W_]+", "_", name).strip("_").lower()
    numeric = pd.api.types.is_numeric_dtype(different.dtype)
    if len(different) < _LEAST or (numeric and not (digits_held(different.dtype) and _numeric_named(words))):
        return None
    look = _texts(different.iloc[:: max(len(different) // _LOOK, 1)])
    if look is None:
        return None
    for written, form, also in _candidates(words, numeric):
        share = _SHARE_OF_ADDRESSES if written == "address" else _SHARE
        if not _have(look, form, share) or not also(look):
            continue
        repeats = len(different) < _DIFFERENT * cells
        if repeats and written in _NAMED_IF_DIFFERENT:
            continue
        if repeats and written == "bare name" and not _known_names(look, _NEARLY_ALL_KNOWN):
            continue
        if len(different) > len(look) and ((texts := _texts(different)) is None or not _have(texts, form, share)):
            continue
        if written == "address":
            whole = not re.search("street|stra(ss|ß)e", words) and look.str.contains(r"[,\n]").mean() > 0.5
            return "address" if whole else "street_address"
        return "name" if written == "bare name" else written
    return None


def _candidates(words: str, numeric: bool) -> list[tuple[str, str, _Check]]:
    """Formats, the form of their cells, and what else must hold of them, in the order in which they are tried."""
    checks: dict[str, _Check] = {"iban": _ibans, "credit_card_number": _cards, "ipv4": _no_versions}
    by_form: list[tuple[str, str, _Check]] = [
        (written, form, checks.get(written, _anything)) for written, form in _FORMS.items() if not numeric
    ]
    if numeric and re.search(r"card|kreditkarte", words):
        by_form = [("credit_card_number", _FORMS["credit_card_number"], _cards)]
    by_name: list[tuple[str, str, _Check]] = [
        (written, form, _anything)
        for written, (named, form) in {**_NAMED, **_NAMED_IF_DIFFERENT}.items()
        if re.search(rf"(?:^|_)(?:{named})$", words) and not (numeric and written not in NUMERIC)
    ]
    if not numeric and re.fullmatch(_BARE_NAME, words):
        by_name.append(("bare name", _FULL_NAME, _known_names))
    return by_form + by_name


def _numeric_named(words: str) -> bool:
    named = "|".join(_NAMED[written][0] for written in NUMERIC if written in _NAMED)
    return re.search(rf"(?:^|_)(?:{named})$|card|kreditkarte", words) is not None


def _texts(different: pd.Series) -> pd.Series | None:
    """Cells as text; None where some are none."""
    if pd.api.types.is_float_dtype(different.dtype):
        if not ((different % 1 == 0) & (different.abs() < _EXACT)).all():
            return None
        different = different.astype("int64")
    if pd.api.types.is_integer_dtype(different.dtype):
        return different.astype("str")
    return different.astype("str") if pd.api.types.infer_dtype(different) == "string" else None


def _have(texts: pd.Series, form: str, share: float) -> bool:
    return bool(texts.str.fullmatch(form).mean() >= share)


def _anything(texts: pd.Series) -> bool:
    return True


def _ibans(texts: pd.Series) -> bool:
    """Whether check digits are right (ISO 7064, MOD 97-10)."""
    plain = texts.str.replace(" ", "")
    turned = (plain.str[4:] + plain.str[:4]).map(lambda text: "".join(str(int(letter, 36)) for letter in text))
    return bool(turned.map(lambda digits: int(digits) % 97 == 1).mean() >= _SHARE)


def _cards(texts: pd.Series) -> bool:
    """Whether check digits are right (Luhn)."""

    def right(text: str) -> bool:
        digits = [int(letter) for letter in reversed(text)]
        return sum(digits[::2] + [2 * digit - 9 * (digit > 4) for digit in digits[1::2]]) % 10 == 0

    return bool(texts.str.replace(r"\D", "", regex=True).map(right).mean() >= _SHARE)


def _no_versions(texts: pd.Series) -> bool:
    """Versions of programs, too, are four numbers, of which the first is small."""
    return bool(texts.str.partition(".")[0].astype(int).median() >= 10)


def _known_names(texts: pd.Series, share: float = _KNOWN) -> bool:
    """Whether well-known first names are among the words."""
    known = known_first_names()
    return bool(texts.map(lambda text: not known.isdisjoint(re.findall(r"[^\W\d_]+", text))).mean() >= share)
