"""Rows with one field more than their header: names of rows, trailing separators, or decimal commas without quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mixexp.text import one_line

_FRACTION = re.compile(r"[+-]?\d*[.,]\d+", re.ASCII)


class LongerRows:
    """Common properties of rows that may have one field more than the header, independent of the order of the rows.

    all_longer: every row has more fields than the header; one_longer: exactly one more, counting empty ones; most: the
    most fields of a row without trailing empty ones; digits: places where every row has only digits; first: the first
    fields.
    """

    def __init__(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        self.header, self.first = header, list[str]()
        self.most, self.all_longer, self.one_longer = 0, True, True
        self.digits = set(range(len(header) + 1))
        for row in rows:
            if len(row) <= len(header):
                self.all_longer = self.one_longer = False
                return
            self.one_longer = self.one_longer and len(row) == len(header) + 1
            self.most = max(self.most, filled(row))
            self.digits = {
                place for place in self.digits if (field := row[place].strip()).isdecimal() and field.isascii()
            }
            self.first.append(row[0].strip())
            if len(self.first) == 1:
                self.example = row

    @property
    def named(self) -> bool:
        """True if every row has one value more than the header has names, so that the first may name the row."""
        return self.all_longer and self.most == filled(self.header) + 1

    @property
    def unclear(self) -> bool:
        """True if the last field is empty in all rows: an empty column after names of rows, or a trailing separator."""
        return self.one_longer and filled(self.header) == len(self.header) >= self.most and self._different

    @property
    def measured(self) -> bool:
        """True if the first fields are fractions, which names of rows hardly are."""
        return all(map(_FRACTION.fullmatch, self.first))

    @property
    def _different(self) -> bool:
        return len(set(self.first)) == len(self.first)

    def decimal_comma(self) -> tuple[str, bool] | None:
        """Two fields, joined by a comma, that may be one decimal number, and whether they are the first of each row.

        First fields that count the rows are not such numbers.
        """
        first = sorted(map(int, self.first)) if 0 in self.digits and max(map(len, self.first)) < 20 else []
        counting = bool(first) and first[0] in (0, 1) and first[-1] - first[0] == len(first) - 1
        place = next(
            (place for place in sorted(self.digits) if place + 1 in self.digits and (place or not counting)), None
        )
        if place is None or not self._different:
            return None
        return one_line(f"{self.example[place].strip()},{self.example[place + 1].strip()}"), place == 0


def filled(row: Sequence[str]) -> int:
    """Number of fields of a row without the trailing empty ones."""
    return max((place for place, field in enumerate(row, start=1) if field.strip()), default=0)
