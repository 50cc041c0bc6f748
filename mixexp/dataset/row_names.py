"""Rows with one field more than their header: names of rows, a separator at every row's end, or a decimal comma without
quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mixexp.text import one_line

_FRACTION = re.compile(r"[+-]?\d*[.,]\d+", re.ASCII)


class LongerRows:
    """What the rows of a file have in common that may have one field more than its header, whichever of them comes
    first.

    all_longer: every row has more fields than the header. one_longer: exactly one more, empty ones counted. most: the
    most fields of a row without the empty ones at its end. digits: the places where every row has digits alone. first:
    the first fields.
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
        """Whether every row has a value more than the header has names, so that the first may name the row."""
        return self.all_longer and self.most == filled(self.header) + 1

    @property
    def unclear(self) -> bool:
        """Whether the last field is empty in all rows: a column without values behind names of rows, or a separator at
        every row's end."""
        return self.one_longer and filled(self.header) == len(self.header) >= self.most and self._different

    @property
    def measured(self) -> bool:
        """Whether the first fields are fractions, as names of rows hardly are."""
        return all(map(_FRACTION.fullmatch, self.first))

    @property
    def _different(self) -> bool:
        return len(set(self.first)) == len(self.first)

    def decimal_comma(self) -> tuple[str, bool] | None:
        """Two fields with a comma between them that may be one number with a decimal comma, and whether they are the
        first of each row.

        First fields that count the rows are no such numbers.
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
    """How many fields a row has without the empty ones at its end."""
    return max((place for place, field in enumerate(row, start=1) if field.strip()), default=0)
