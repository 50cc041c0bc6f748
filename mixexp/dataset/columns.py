"""The content of a column of texts: numbers, numbers with marks, or texts, decided over all of its rows."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

MOST_TEXTS = 10_000
"""Most distinct texts of a feature; each becomes a column of zeros and ones, and more would be meaningless."""
NUMBER = {
    ".": re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII),
    ",": re.compile(r"[+-]?(?:\d+(?:,\d*)?|,\d+)(?:[eE][+-]?\d+)?", re.ASCII),
}
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_BLANKS = " \u00a0\u2007\u2009\u202f"
_GROUPED = {  # digits in groups of three, with the same sign between all groups
    ".": re.compile(rf"[1-9]\d{{0,2}}([,'’_{_BLANKS}])\d{{3}}(?:\1\d{{3}})*(?:\.\d+)?", re.ASCII),
    ",": re.compile(rf"[1-9]\d{{0,2}}([.'’_{_BLANKS}])\d{{3}}(?:\1\d{{3}})*(?:,\d+)?", re.ASCII),
}
_MONEY = re.compile(r"(?:A\$|C\$|R\$|US\$|AUD|CAD|CHF|CNY|EUR|GBP|INR|JPY|KRW|SEK|NOK|DKK|PLN|USD)(?![^\W\d_])")
_ALLOWED = {mark: f"0123456789{mark}eE+- \t\r\n".encode() for mark in ".,"}
_TRUE, _FALSE = frozenset({"True", "TRUE", "true"}), frozenset({"False", "FALSE", "false"})


class Marked(NamedTuple):
    """A number with marks: its value, its unit ("" without a sign), and whether it has any mark."""

    value: float
    unit: str
    marked: bool


class Occurrence(NamedTuple):
    """A finding in a column, for a message: its first row (counted from 1), its text there, and its number of rows."""

    row: int
    text: str
    count: int


def unmarked(text: str, decimal: str) -> Marked | None:
    """Number without currency or per cent sign, thousands separators and typographic minus; None for other texts."""
    bare, unit = text.replace("\u2212", "-"), ""
    for place in (bare[:1], bare[-1:]):
        if place and (place in "%‰" or unicodedata.category(place) == "Sc"):
            unit, bare = place, bare.replace(place, "", 1)
            break
    sign = "-" if bare.strip().startswith("-") else ""
    bare = bare.strip().removeprefix(sign).strip()
    if not unit and (money := _MONEY.search(bare)) and (money.start() == 0 or money.end() == len(bare)):
        unit, bare = money[0], (bare[: money.start()] + bare[money.end() :]).strip()
    for place in (bare[:1], bare[-1:]):  # a sign after the minus
        if not unit and place and (place in "%‰" or unicodedata.category(place) == "Sc"):
            unit, bare = place, bare.replace(place, "", 1).strip()
    grouped = _GROUPED[decimal].fullmatch(bare)
    digits = bare.replace(grouped[1], "") if grouped else bare
    if not NUMBER[decimal].fullmatch(sign + digits):
        return None
    return Marked(float((sign + digits).replace(",", ".")), unit, marked=NUMBER[decimal].fullmatch(text) is None)


def in_order(texts: Iterable[str]) -> list[str]:
    """Texts sorted as numbers if all are numbers, otherwise alphabetically; equal numbers, such as 1 and 01, too."""
    texts = sorted(texts)
    if all(NUMBER["."].fullmatch(text) and len(text) < 100 for text in texts):
        texts.sort(key=_size)
    return texts


def _size(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError:  # an exponent of twenty digits
        return Decimal("Infinity") * (-1 if text.startswith("-") else 1)


class Column:
    """One column, read in chunks.

    name: of the column; decimal: decimal mark of its numbers; missing: texts that mean no value, besides the empty one;
    texts: its values are texts whatever they look like; marked: its numbers may have marks.
    """

    def __init__(
        self, name: str, decimal: str, missing: Collection[str], texts: bool = False, marked: bool = False
    ) -> None:
        self.name, self.decimal, self.missing = name, decimal, frozenset(missing) | {""}
        self.texts, self.marked = texts, marked
        self.rows = self.numbers = 0
        self.codes_of: dict[str, int] = {}
        """Distinct text → its number in order of appearance; numbers are left out unless they count as texts."""
        self.others: Counter[str] = Counter()
        """Non-numeric text → its number of rows; only the first texts if there are very many."""
        self.units: dict[str, str] = {}
        """Unit of marked numbers → an example text."""
        self.fractions = False
        """True if any of its numbers has a decimal mark."""
        self.occurrences: dict[str, Occurrence] = {}
        """Occurrences of "missing", "infinite" and "other" (a text that is not a number), if there are any."""
        self._values: list[np.ndarray] = []
        self._codes: list[np.ndarray] = []

    @property
    def infinite(self) -> bool:
        """True if all of its non-numeric texts are words for infinite numbers."""
        return all(_INFINITE.fullmatch(text) for text in self.others)

    @property
    def too_many(self) -> bool:
        """True if it has more distinct texts than a feature may have."""
        return not self.texts and len(self.codes_of) > MOST_TEXTS

    def values(self) -> np.ndarray:
        """Numbers of the column, float64 [N]."""
        self._values = [np.concatenate(self._values)]
        return self._values[0]

    def codes(self) -> np.ndarray:
        """Codes of its texts, their numbers in codes_of, int32 [N]."""
        self._codes = [np.concatenate(self._codes)]
        return self._codes[0]

    def truths(self) -> np.ndarray | None:
        """Truth values, float64 [N] of 1 and 0, if its texts are true and false; otherwise None."""
        if self.texts or not self.codes_of.keys() <= _TRUE | _FALSE:
            return None
        return np.array([text in _TRUE for text in self.codes_of], dtype=np.float64)[self.codes()]

    def add(self, fields: Sequence[str]) -> None:
        """Add the fields of further rows."""
        values = None if self.texts else self._all_numbers(fields)
        if values is None:
            self._add_texts([field.strip() for field in fields])
        else:
            self.numbers += len(values)
            if not self.others:
                self._values.append(values)
        self.rows += len(fields)

    def _all_numbers(self, fields: Sequence[str]) -> np.ndarray | None:
        """Fields as float64 [n] if all are finite plain numbers, otherwise None; ten times as fast as one by one."""
        raw = "\n".join(fields).encode(errors="replace")
        if raw.translate(None, _ALLOWED[self.decimal]) or (
            len(self.missing) > 1 and not self.missing.isdisjoint(map(str.strip, fields))
        ):
            return None
        try:
            values = np.array(
                list(map(float, (f.replace(",", ".") for f in fields) if self.decimal == "," else fields))
            )
        except ValueError:
            return None
        if not np.isfinite(values).all():
            return None
        self.fractions = self.fractions or self.decimal.encode() in raw
        if self.marked:
            self.units.setdefault("", fields[0].strip())
        return values

    def _add_texts(self, fields: list[str]) -> None:
        counts = Counter(fields)
        places = dict(zip(reversed(fields), reversed(range(len(fields))), strict=True))
        for text in counts.keys() & self.missing:
            self._note("missing", places[text], text, counts[text])
        if self.texts:
            self._encode(fields, counts)
            return
        read = {text: self._number(text) for text in counts if text not in self.missing}
        for text, value in read.items():
            if value is None:
                self._note("other", places[text], text, counts[text])
                if len(self.others) <= MOST_TEXTS or text in self.others:
                    self.others[text] += counts[text]
            else:
                self.numbers += counts[text]
                self.fractions = self.fractions or self.decimal in text
                if not np.isfinite(value):
                    self._note("infinite", places[text], text, counts[text])
        if not self.others:
            self._values.append(np.array([read.get(text, np.nan) for text in fields]))
        elif self.numbers or self.too_many:  # the column is refused, whatever follows
            self._values, self._codes = [], []
        else:
            self._encode(fields, counts)

    def _encode(self, fields: list[str], counts: Iterable[str]) -> None:
        for text in counts:
            self.codes_of.setdefault(text, len(self.codes_of))
        codes = self.codes_of
        self._codes.append(np.array([codes[text] for text in fields], dtype=np.int32))

    def _number(self, text: str) -> float | None:
        """Number of a text; None for other texts."""
        if NUMBER[self.decimal].fullmatch(text):
            if self.marked:
                self.units.setdefault("", text)
            return float(text.replace(",", "."))
        number = unmarked(text, self.decimal) if self.marked else None
        if number is None:
            return None
        self.units.setdefault(number.unit, text)
        return number.value

    def _note(self, what: str, place: int, text: str, count: int) -> None:
        """Count an occurrence, and keep its first row."""
        row = self.rows + place + 1
        first = self.occurrences.get(what, Occurrence(row, text, 0))
        first = first if first.row <= row else Occurrence(row, text, first.count)
        self.occurrences[what] = first._replace(count=first.count + count)
