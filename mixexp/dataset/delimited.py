"""Files of delimited text as rows of equally many fields, whatever their separator, quotes, line ends, encoding and packing."""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO

from mixexp.errors import UserError
from mixexp.text import override, sanitize

csv.field_size_limit(2**31 - 1)  # the module refuses fields of more than 131,072 letters otherwise

CELLS = 200_000
"""Fields that are looked at together."""
_SIGNS = {"tab": "\t", r"\t": "\t", "blanks": " "}
_PACKED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_NAMED = {"\t": "tab", " ": "blanks"}  # how messages call separators that nobody could see


class Delimited:
    """A file's columns: their names, and its rows in chunks.

    separator: one character, "tab", or "blanks" for any run of blanks and tabs; a comma, the default, is a tab in a .tsv file without
    commas. Blanks around fields and lines without a field are no part of the table, nor are empty fields beyond the last column.
    names: without blanks around them; a repeated name gets ".1", ".2" and so on, a missing one is "Unnamed: " and its place from 0. Where
    every row has one field more than the header, these are names of rows (row_names), and the first column is without a name.
    nameless: the places of such columns.
    """

    def __init__(self, path: Path, separator: str, header: bool) -> None:
        self.path, self.header = path, header
        self.separator = "tab" if separator == "," and _tabs_instead(path) else separator
        with self._explained():
            rows = self._rows()
            line, self.first = next(rows, (0, []))
            self._second = next(rows, (0, [])) if header else (0, [])
        if not line:
            raise self._fault("it is empty.")
        self._line, second = line, self._second[1]
        # the fields at a line's end that are empty are no columns, so that any row may come first
        given = self.first if header else [str(place) for place in range(_filled(self.first))]
        self.row_names = header and len(second) > len(given) and _filled(second) == _filled(given) + 1
        self.names, self.nameless = _names([""] * self.row_names + list(given))

    def chunks(self) -> Iterator[list[Sequence[str]]]:
        """The columns of the first rows, of the next and so on; raises UserError for a row with too many or too few fields."""
        width = len(self.names)
        with self._explained():
            rows = self._rows()
            if self.header:
                next(rows)
            while chunk := list(islice(rows, max(1, CELLS // width))):
                yield list(zip(*(row if len(row) == width else self._trimmed(line, row) for line, row in chunk), strict=True))

    def other_separator(self, wanted: str) -> str:
        """What separates the first line's fields instead, as a sentence, where one of the names would then be the wanted one; or ""."""
        with self._explained(), _text(self.path) as file:
            line = file.readline(100_000).strip("\r\n")
        counts = {}
        for sign in (",", ";", "\t", "|", " "):
            fields = [field.strip() for field in next(csv.reader([line], delimiter=sign, skipinitialspace=True), [])]
            if len(fields) > 1 and (wanted in fields or len(self.first) == 1):
                counts[sign] = (wanted in fields, sign != " ", len(fields))
        best = max(counts, default=None, key=counts.__getitem__)
        if best is None or best == self._sign():
            return ""
        name = _NAMED.get(best, best)
        return f" They seem to be separated by {name if name != best else repr(best)}: {override('dataset.separator', name)}"

    def _sign(self) -> str:
        return _SIGNS.get(self.separator, self.separator)

    def _trimmed(self, line: int, row: list[str]) -> list[str]:
        """A row with as many empty fields at its end as there are columns; raises UserError where others are too many or too few."""
        width = len(self.names)
        named = max((place for place in range(width) if place not in self.nameless), default=0) + 1
        if len(row) >= named and _filled(row) <= width:
            return [*row, *[""] * (width - len(row))][:width]
        whose = f"the header has {len(self.first)}" if self.header else f"line {self._line} has {width}"
        if self.row_names and len(row) == len(self.first):  # the row below the header was too long, and no sign of names
            line, row = self._second
        hint = f"; a {self._sign()!r} inside a field needs quotes around the field" if len(row) > len(self.first) else ""
        raise self._fault(f"line {line} has {len(row)} field{'s' * (len(row) != 1)} and {whose}{hint}.")

    def refuse_row_names(self, name: str) -> None:
        """Raise UserError as every row has one field more than the header, though the first ones, as the repeated name says, are no names."""
        raise self._fault(
            f"its rows have {len(self.names)} fields and the header has {len(self.first)}; their first fields are no names of rows, as "
            f"{sanitize(repr(name))} repeats. A {self._sign()!r} inside a field needs quotes around the field."
        )

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line, fields) of every row that has any, not yet stripped."""
        with _text(self.path) as file:
            ended = False

            def ending() -> Iterator[str]:
                nonlocal ended
                ended = True
                yield from ()

            lines = (line.replace("\t", " ").strip() for line in file) if self.separator == "blanks" else file
            sign = self._sign()
            reader = csv.reader(chain(lines, ending()), delimiter=sign, skipinitialspace=sign != " " or self.separator == "blanks")
            above = 0
            for row in reader:
                if ended:  # the reader asks for another line within quotes only
                    raise self._fault(f"a quote that is opened in line {above + 1} is not closed.")
                if row and (row[0].strip() or any(field.strip() for field in row)):
                    yield reader.line_num, row
                above = reader.line_num

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what reading a file can raise into a UserError."""
        try:
            yield
        except UnicodeDecodeError:
            raise self._fault(f"line {_undecodable(self.path)} is no UTF-8 text; save the file as UTF-8.") from None
        except (OSError, TypeError, ValueError, EOFError, csv.Error, lzma.LZMAError, zipfile.BadZipFile) as error:
            raise self._fault(f"{error}.") from error

    def _fault(self, what: str) -> UserError:
        return UserError(f"{self.path} cannot be read as a CSV file with separator {self.separator!r}: {what}")


def _filled(row: Sequence[str]) -> int:
    """How many fields a row has without the empty ones at its end."""
    return max((place for place, field in enumerate(row, start=1) if field.strip()), default=0)


def _binary(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked where its name says that it is packed."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
            if len(names) != 1:
                raise ValueError(f"it holds {len(names)} files, and one is needed")
            return io.BytesIO(packed.read(names[0]))
    return _PACKED.get(path.suffix.lower(), open)(path, "rb")


def _text(path: Path) -> IO[str]:
    with _binary(path) as file:
        wide = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
    return io.TextIOWrapper(_binary(path), encoding="utf-16" if wide else "utf-8-sig", newline="")


def _undecodable(path: Path) -> int:
    """The number of the first line that is no UTF-8."""
    with _binary(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def _tabs_instead(path: Path) -> bool:
    """Whether a file's name says that tabs separate it, and its first line does not say otherwise."""
    if not {".tsv", ".tab"} & {suffix.lower() for suffix in path.suffixes}:
        return False
    try:
        with _text(path) as file:
            line = file.readline(100_000)
    except (OSError, ValueError, EOFError):  # reading it says so
        return False
    return "\t" in line or "," not in line


def _names(given: Iterable[str]) -> tuple[list[str], set[int]]:
    """Names without blanks around them, all different, and the places of those that were missing."""
    stripped = [name.strip() for name in given]
    nameless = {place for place, name in enumerate(stripped) if not name}
    wanted = [name or f"Unnamed: {place}" for place, name in enumerate(stripped)]
    counts = dict.fromkeys(wanted, 0)
    found = []
    for name in wanted:
        unique = name
        while counts[name] and unique in counts:
            unique = f"{name}.{counts[name]}"
            counts[name] += 1
        counts[name] = counts[name] or 1
        counts.setdefault(unique, 1)
        found.append(unique)
    return found, nameless
