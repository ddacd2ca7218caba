"""Personal text that is invented: what Faker writes for a locale, drawn by row number, so that no order matters.

Faker makes pools of values once, from a fixed seed; a row draws from them by a hash of (seed, row): another version of
Faker may make others. Names, e-mail addresses and user names of a row are those of one person. In numbers the last
digits are drawn anew, so that values repeat less often than those of a pool would; check digits are then made right.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd

from synthgen.data.tables.variables import dtype_named
from synthgen.errors import SynthgenError, nearest
from synthgen.layout import Column

__all__ = ["FORMATS", "LOCALE", "check_locale", "digits_held", "known_first_names", "new_personal"]

#: Where neither a person nor another column says one.
LOCALE = "en_US"
_OF_A_PERSON = ("name", "first_name", "last_name", "email", "user_name")
# How many of the last digits are drawn anew.
_DIGITS = {"phone_number": 6, "address": 8, "street_address": 8, "iban": 8, "credit_card_number": 7}
_COMPUTED = ("ipv4", "ipv6", "mac_address")
_POOLED = ("company", "job", "city", "ssn", "license_plate", "sentence", "text")
#: What personal text may be.
FORMATS = (*_OF_A_PERSON, *_DIGITS, *_COMPUTED, *_POOLED)
_POOL = 10_000
# Whose first names are well known: others are often among them.
_KNOWN_IN = ("en_US", "en_IN", "de_DE", "fr_FR", "es_ES", "it_IT", "pl_PL", "nl_NL", "pt_BR", "tr_TR")
# Domains that nobody can own (RFC 2606): no message reaches anyone.
_DOMAINS = ("example.com", "example.org", "example.net")


def check_locale(locale: object, where: str) -> None:
    """Makes sure that Faker knows a locale.

    Raises:
        SynthgenError: It does not, with the nearest one that it knows.
    """
    from faker.config import AVAILABLE_LOCALES

    if not isinstance(locale, str) or locale not in AVAILABLE_LOCALES:
        hint = nearest(locale, sorted(AVAILABLE_LOCALES), what="Faker has")
        raise SynthgenError(f"{where}: locale: found {locale!r}; {hint}")


@lru_cache
def known_first_names() -> frozenset[str]:
    """First names of some languages, as Faker has them."""
    providers = (_provider(_faker(locale), "first_names") for locale in _KNOWN_IN)
    return frozenset(name for provider in providers for name in provider.first_names)


def digits_held(dtype: Any) -> int:
    """How many digits a number of a dtype has room for; 0 where it is no number, or has room for few."""
    if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
        return 0
    plain = getattr(dtype, "numpy_dtype", dtype)
    return {("f", 8): 15, ("i", 4): 9, ("u", 4): 9, ("i", 8): 19, ("u", 8): 19}.get((plain.kind, plain.itemsize), 0)


def new_personal(column: Column, rows: range, seed: int, person: int) -> pd.Series:
    """(rows,) invented text of the column's format and locale, or numbers of its digits where the column is numeric.

    Row i has the same text in whatever part of the sequence it is drawn.

    Args:
        column: Of personal text.
        rows: Numbers of the rows in an endless sequence.
        seed: Of the sequence.
        person: Which person of a row it tells of: the columns of one and the same agree.
    """
    written, locale = str(column.format), str(column.locale)
    stream = "person" if written in _OF_A_PERSON else written
    bits = _bits(rows, seed, f"{stream} {person}")
    if written in _OF_A_PERSON:
        made = _of_a_person(written, locale, bits)
    elif written in _COMPUTED:
        made = _computed(written, bits)
    elif written in _DIGITS:
        made = _pool_of_digits(written, locale).drawn(bits)
    else:
        pool = _pool(written, locale)
        made = pool[bits[:, 0] % len(pool)]
    text = pd.Series(made, dtype="object")
    if not digits_held(dtype := dtype_named(column.dtype)):
        return text
    digits = text.str.replace(r"\D", "", regex=True).str[: digits_held(dtype)]
    return pd.Series(digits.to_numpy().astype(np.int64)).astype("Int64")


def _bits(rows: range, seed: int, stream: str) -> np.ndarray:
    """(rows, 4) random integers of 64 bits: a counter-based generator finds those of a row without those before it."""
    key = [seed % 2**64, crc32(stream.encode())]
    return np.random.Philox(key=key, counter=rows.start).random_raw(4 * len(rows)).reshape(-1, 4)


def _faker(locale: str) -> Any:
    from faker import Faker

    made = Faker(locale)
    made.seed_instance(0)
    return made


def _provider(faker: Any, attribute: str) -> Any:
    """The part of a locale that has something."""
    return next(provider for provider in faker.get_providers() if hasattr(provider, attribute))


# What is one person's


@dataclass(frozen=True)
class _People:
    """Pools of names, the first half of women, the second of men, and how a locale puts a name together."""

    first: np.ndarray
    last: np.ndarray
    plain_first: np.ndarray
    plain_last: np.ndarray
    before: np.ndarray
    after: np.ndarray
    between: str


@lru_cache
def _people(locale: str) -> _People:
    faker = _faker(locale)
    provider = _provider(faker, "first_names")
    kinds = ("female", "male")
    first, last = (
        np.array([getattr(faker, f"{part}_name_{kind}")() for kind in kinds for _ in range(_POOL)], dtype=object)
        for part in ("first", "last")
    )
    # A name of one first and one last name, as the locale's first such pattern orders and joins them.
    tokens = re.compile(r"\{\{(first|last)_name\w*\}\}(\W*)\{\{(first|last)_name\w*\}\}")
    pattern = next((found for form in provider.formats if (found := tokens.fullmatch(form))), None)
    last_first = pattern is not None and pattern[1] == "last"
    before, after = (last, first) if last_first else (first, last)
    plain_first, plain_last = (_plain(names, faker) for names in (first, last))
    return _People(first, last, plain_first, plain_last, before, after, pattern[2] if pattern else " ")


def _plain(names: np.ndarray, faker: Any) -> np.ndarray:
    """Names in the letters that an e-mail address has."""
    from faker.decode import unidecode

    provider = _provider(faker, "replacements")
    plain = {}
    for name in set(names):
        text = name
        for letter, letters in provider.replacements:
            text = text.replace(letter, letters)
        plain[name] = re.sub(r"[^a-z]", "", unidecode(text).lower()) or "user"
    return np.array([plain[name] for name in names], dtype=object)


@lru_cache
def _endings() -> tuple[np.ndarray, np.ndarray]:
    """What ends a user name, and an e-mail address: a number, and a domain."""
    numbers = [str(number) for number in range(_POOL)]
    return np.array(numbers, dtype=object), np.array([f"{n}@{d}" for d in _DOMAINS for n in numbers], dtype=object)


def _of_a_person(written: str, locale: str, bits: np.ndarray) -> np.ndarray:
    people = _people(locale)
    woman_or_man = bits[:, 0] % 2 * _POOL
    first, last = bits[:, 1] % _POOL + woman_or_man, bits[:, 2] % _POOL + woman_or_man
    if written == "first_name":
        return people.first[first]
    if written == "last_name":
        return people.last[last]
    if written == "name":
        last_first = people.before is people.last
        before, after = (last, first) if last_first else (first, last)
        return people.before[before] + people.between + people.after[after]
    numbers, domains = _endings()
    endings = numbers if written == "user_name" else domains
    between = "" if written == "user_name" else "."
    return people.plain_first[first] + between + people.plain_last[last] + endings[bits[:, 3] % len(endings)]


# Pools


@lru_cache
def _pool(written: str, locale: str) -> np.ndarray:
    make = getattr(_faker(locale), written)
    # Numbers of people repeat seldom, and are made fast.
    size = 10 * _POOL if written == "ssn" else _POOL
    return np.array([make().replace("\n", " " if written == "text" else ", ") for _ in range(size)], dtype=object)


@dataclass(frozen=True)
class _Digits:
    """A pool of text as characters, whose last digits are drawn anew.

    Attributes:
        letters: (pool, width + 1) code points, 0 beyond the end; the last is where what is nowhere goes.
        places: (pool, digits) where those that are drawn anew stand.
        lengths: (pool,) of the text.
        checked: Makes check digits right, of (rows, width) code points and the lengths.
    """

    letters: np.ndarray
    places: np.ndarray
    lengths: np.ndarray
    checked: Callable[[np.ndarray, np.ndarray], None]

    def drawn(self, bits: np.ndarray) -> np.ndarray:
        index = bits[:, 0] % len(self.letters)
        letters, places = self.letters[index], self.places[index]
        rows = np.arange(len(letters))
        for i in range(places.shape[1]):
            letters[rows, places[:, i]] = ord("0") + bits[:, 1] // 10**i % 10
        text = np.ascontiguousarray(letters[:, :-1])
        self.checked(text, self.lengths[index])
        return text.view(f"U{text.shape[1]}")[:, 0].astype(object)


@lru_cache
def _pool_of_digits(written: str, locale: str) -> _Digits:
    pool = _pool(written, locale).astype(str)
    width = pool.dtype.itemsize // 4
    letters = np.zeros((len(pool), width + 1), dtype=np.uint32)
    letters[:, :-1] = pool.view(np.uint32).reshape(len(pool), width)
    digit = (letters >= ord("0")) & (letters <= ord("9"))
    # The first digit of a number stays: it says whose the number is, and is no 0 where it must not be.
    free = digit & np.roll(digit, 1, axis=1)
    from_the_end = np.cumsum(free[:, ::-1], axis=1)[:, ::-1]
    places = np.full((len(pool), _DIGITS[written]), width)
    for i in range(places.shape[1]):
        found = free & (from_the_end == i + 1)
        places[:, i] = np.where(found.any(axis=1), found.argmax(axis=1), width)
    checked = {"iban": _check_iban, "credit_card_number": _check_card}.get(written, lambda letters, lengths: None)
    return _Digits(letters, places, (letters > 0).sum(axis=1), checked)


def _check_iban(letters: np.ndarray, lengths: np.ndarray) -> None:
    """Digits 3 and 4 of an IBAN (ISO 7064, MOD 97-10)."""
    rest = np.zeros(len(letters), dtype=np.int64)
    zeros = np.full((len(letters), 2), ord("0"))
    for letter in np.hstack([letters[:, 4:], letters[:, :2], zeros]).T.astype(np.int64):
        number = np.where(letter >= ord("A"), letter - ord("A") + 10, letter - ord("0"))
        rest = np.where(letter == 0, rest, (rest * np.where(number > 9, 100, 10) + number) % 97)
    check = 98 - rest
    letters[:, 2], letters[:, 3] = ord("0") + check // 10, ord("0") + check % 10


def _check_card(letters: np.ndarray, lengths: np.ndarray) -> None:
    """The last digit of a card's number (ISO/IEC 7812, Luhn)."""
    places = np.arange(letters.shape[1])
    numbers = np.where(places < lengths[:, None] - 1, letters.astype(np.int64) - ord("0"), 0)
    doubled = (lengths[:, None] - places) % 2 == 0
    total = np.where(doubled, 2 * numbers - 9 * (numbers > 4), numbers).sum(axis=1)
    letters[np.arange(len(letters)), lengths - 1] = ord("0") + -total % 10


def _computed(written: str, bits: np.ndarray) -> np.ndarray:
    """Addresses of machines, byte by byte: of IPv4 outside of the private networks, of IPv6 in 2001:db8::/32."""
    values = bits[:, :2].copy().view(np.uint8)
    if written == "ipv4":
        first = np.delete(np.arange(1, 224), [9, 99, 126, 168, 171, 191, 202])  # 10, 100, 127, 169, 172, 192, 203
        words = np.array([str(number) for number in range(256)], dtype=object)
        parts = [words[first[bits[:, 0] % len(first)]], *(words[values[:, 8 + i]] for i in range(3))]
        return parts[0] + "." + parts[1] + "." + parts[2] + "." + parts[3]
    words = np.array([f"{number:02x}" for number in range(256)], dtype=object)
    if written == "mac_address":
        # A locally administered address, which no maker gives to a machine.
        text = words[values[:, 0] & 0xFC | 0x02]
        for i in range(1, 6):
            text = text + ":" + words[values[:, i]]
        return text
    text = np.full(len(bits), "2001:0db8", dtype=object)
    for i in range(0, 12, 2):
        text = text + ":" + words[values[:, i]] + words[values[:, i + 1]]
    return text
