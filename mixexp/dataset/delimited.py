"""Files of delimited text as rows of equal length, for any separator, quotes, line ends, encoding and compression."""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO

from mixexp.dataset.row_names import LongerRows, filled
from mixexp.errors import UserError, note
from mixexp.text import joined, override, sanitize

csv.field_size_limit(2**31 - 1)  # by default the module refuses fields of more than 131,072 characters

LOOKED_AT = 5
"""Number of first lines from which the separator is guessed."""
CELLS = 200_000
"""Fields that are processed together."""
_SIGNS = {"comma": ",", "semicolon": ";", "pipe": "|", "tab": "\t", r"\t": "\t", "blanks": " "}
_PACKED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_OF_A_MAC = re.compile(r"__MACOSX/|(.*/)?(\._|\.DS_Store)[^/]*$", re.DOTALL)  # files that macOS adds to archives
_EXCEL = re.compile("sep=.")
"""First line that gives Excel the separator, and is not a row."""
_NAMED = {"\t": "tab", " ": "blanks"}  # names of invisible separators in messages


_UNREADABLE = (
    OSError,
    TypeError,
    ValueError,
    EOFError,
    csv.Error,
    lzma.LZMAError,
    zlib.error,
    zipfile.BadZipFile,
    RuntimeError,
)
"""Errors of reading a damaged file; RuntimeError comes from a zip file with a password or an unknown compression."""


class Delimited:
    """Columns of a file: their names, and the rows in chunks.

    separator: one character, "tab", or "blanks" for any run of blanks and tabs; the default, a comma, becomes a tab for
    a .tsv file without commas. Blanks around fields, empty lines, empty fields beyond the last column and a first line
    "sep=;" are not part of the table.
    names: without surrounding blanks; a repeated name gets ".1", ".2" and so on, a missing one is "Unnamed: " and its
    place from 0. row_names: true if every row has one field more than the header, its name, so that the first column
    has no name; as an argument, None decides this from all rows, and raises UserError if they are ambiguous.
    nameless: the places of columns without a name. spanning: first and last lines of rows of several lines, once all
    are read.
    """

    def __init__(self, path: Path, separator: str, header: bool, row_names: bool | None = None) -> None:
        self.path, self.header, self.separator = path, header, separator
        self.spanning: list[tuple[int, int]] = []
        with self._explained():
            self.separator = "tab" if separator == "," and _tabs_instead(path) else separator
            self._sign = _SIGNS.get(self.separator, self.separator)
            rows = self._rows()
            self._line, self.first = next(rows, (0, []))
            below = next(rows, (0, []))[1]
        if not self._line:
            raise self._fault("it is empty.")
        with self._explained():
            self.row_names = header and len(below) > len(self.first) and self._has_row_names(row_names)
            width = len(self.first)
            if not header and filled(self.first) < width:  # trailing fields that are empty in all rows are not columns
                width = min(width, max(filled(row) for _, row in self._rows()))
            given = self.first if header else map(str, range(width))
            if row_names and not self.row_names:
                raise ValueError("dataset.row_names=true, and not every row has one field more than a header")
        self.names, self.nameless = _names([""] * self.row_names + list(given))

    def chunks(self) -> Iterator[list[Sequence[str]]]:
        """Columns of the first rows, of the next rows and so on; raises UserError for a row of another length."""
        width = len(self.names)
        self.spanning = []
        with self._explained():
            rows = self._rows(self.spanning)
            if self.header:
                next(rows)
            while chunk := list(islice(rows, max(1, CELLS // width))):
                yield list(
                    zip(*(row if len(row) == width else self._trimmed(line, row) for line, row in chunk), strict=True)
                )

    def _has_row_names(self, wanted: bool | None) -> bool:
        """True if every row's first field is its name, in a file whose second row is longer than the header."""
        longer = LongerRows(self.first, (row for _, row in islice(self._rows(), 1, None)))
        if wanted is not None:
            return wanted and (longer.named or longer.one_longer)
        if longer.named:
            if self._sign == "," and (comma := longer.decimal_comma()) and not self._quoted():
                number, first = comma
                if first:
                    raise ValueError(
                        "every row has one field more than the header, as a decimal comma without quotes makes, such"
                        f" as in {number}: put quotes around such numbers, or separate the fields by another sign. Type"
                        f" {override('dataset.row_names', True)} where the first one names the row"
                    )
                note(
                    f"{self.path}: the first field of every row is taken for its name, as the header has a field less; "
                    f"where a comma such as in {number} is a decimal one put quotes around such numbers"
                )
            return True
        if longer.unclear and not longer.measured:
            raise ValueError(
                "every row has one field more than the header, and its last one is empty. "
                f"Type {override('dataset.row_names', True)} where the first one names the row, and "
                f"{override('dataset.row_names', False)} where a {self._sign!r} merely ends the row"
            )
        if longer.unclear:
            note(
                f"{self.path}: the separator at the end of every row is taken for no column; "
                f"where the first field names the row type {override('dataset.row_names', True)}"
            )
        return False

    def _quoted(self) -> bool:
        """True if the first line below the header begins with a quote."""
        with _text(self.path) as file:
            return next((line.startswith('"') for line in islice(file, self._line, None) if line.strip()), False)

    def other_separator(self, column: str) -> str:
        """Sentence that names another separator, if the first line would then have the column's name; otherwise ""."""
        with self._explained(), _text(self.path) as file:
            lines = [line for line in (file.readline(100_000).strip(" \r\n") for _ in range(LOOKED_AT)) if line]
        lines = lines[bool(_EXCEL.fullmatch(lines[0])) :]
        counts = {}
        for sign in (",", ";", "\t", "|", " "):
            apart = [line.replace("\t", sign) if sign == " " else line for line in lines]
            rows = [next(csv.reader([line], delimiter=sign, skipinitialspace=True)) for line in apart]
            fields = [field.strip() for field in rows[0]] if rows else []
            # sentences contain blanks too
            table = sign != " " or (len(rows) > 1 and len({len(row) for row in rows}) == 1)
            if len(fields) > 1 and table and (column in fields or len(self.first) == 1):
                counts[sign] = (column in fields, sign != " ", len(fields))
        best = max(counts, default=None, key=counts.__getitem__)
        if best is None or (best == self._sign and (best != " " or self.separator == "blanks")):
            return ""
        name = _NAMED.get(best, best)
        return (
            f" They seem to be separated by {name if name != best else repr(best)}:"
            f" {override('dataset.separator', name)}"
        )

    def _trimmed(self, line: int, row: list[str]) -> list[str]:
        """Row padded or cut to the number of columns with empty fields; raises UserError for other lengths."""
        width = len(self.names)
        named = max((place for place in range(width) if place not in self.nameless), default=0) + 1
        if len(row) >= named and filled(row) <= width:
            return [*row, *[""] * (width - len(row))][:width]
        whose = f"the header has {len(self.first)}" if self.header else f"line {self._line} has {width}"
        hint = f"; a {self._sign!r} inside a field needs quotes around the field" if len(row) > len(self.first) else ""
        if self._sign == " " and self.separator != "blanks" and not all(map(str.strip, row)):
            hint = f"; for fields that several blanks separate type {override('dataset.separator', 'blanks')}"
        raise self._fault(f"line {line} has {len(row)} field{'s' * (len(row) != 1)} and {whose}{hint}.")

    def refuse_row_names(self, name: str) -> None:
        """Raise UserError: rows have one field more than the header, but the first fields repeat and are not names."""
        raise self._fault(
            f"its rows have {len(self.names)} fields and the header has {len(self.first)}; their first fields are not"
            f" names of rows, as {sanitize(repr(name))} repeats. A {self._sign!r} inside a field needs quotes around"
            " the field."
        )

    def _rows(self, spanning: list[tuple[int, int]] | None = None) -> Iterator[tuple[int, list[str]]]:
        """(line, fields) of every non-empty row, not yet stripped; `spanning` collects the lines of longer rows."""
        with _text(self.path) as file:
            ended = False

            def ending() -> Iterator[str]:
                nonlocal ended
                ended = True
                yield from ()

            lines = (line.replace("\t", " ").strip() for line in file) if self.separator == "blanks" else file
            dense = self._sign != " " or self.separator == "blanks"
            reader = csv.reader(chain(lines, ending()), delimiter=self._sign, skipinitialspace=dense)
            above = 0
            for row in reader:
                if ended:  # the reader asks for another line only within quotes
                    raise self._fault(f"a quote that is opened in line {above + 1} is not closed.")
                if spanning is not None and reader.line_num > above + 1:
                    spanning.append((above + 1, reader.line_num))
                excel = above == 0 and _EXCEL.fullmatch(self._sign.join(row))
                if row and not excel and (row[0].strip() or any(field.strip() for field in row)):
                    yield reader.line_num, row
                above = reader.line_num

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Context that turns errors of reading a file into a UserError."""
        try:
            yield
        except UnicodeDecodeError:
            raise self._fault(f"line {_undecodable(self.path)} is not UTF-8 text; save the file as UTF-8.") from None
        except _UNREADABLE as error:
            raise self._fault(f"{error}.") from error

    def _fault(self, what: str) -> UserError:
        return UserError(f"{self.path} cannot be read as a CSV file with separator {self.separator!r}: {what}")


def _binary(path: Path) -> IO[bytes]:
    """Bytes of the file, decompressed while they are read if its suffix says so."""
    if path.suffix.lower() != ".zip":
        return _PACKED.get(path.suffix.lower(), open)(path, "rb")
    with zipfile.ZipFile(path) as packed:
        names = [
            entry.filename for entry in packed.infolist() if not entry.is_dir() and not _OF_A_MAC.match(entry.filename)
        ]
        if len(names) != 1:
            raise ValueError(f"it holds {len(names)} files, and one is needed")
        return packed.open(names[0])  # keeps the zip file open


def _text(path: Path) -> IO[str]:
    with _binary(path) as file:
        wide = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
    return io.TextIOWrapper(_binary(path), encoding="utf-16" if wide else "utf-8-sig", newline="")


def _undecodable(path: Path) -> int:
    """Number of the first line that is not UTF-8."""
    with _binary(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def _tabs_instead(path: Path) -> bool:
    """True if a file's suffix means tabs as separators, and its first line does not contradict it."""
    if not {".tsv", ".tab"} & {suffix.lower() for suffix in path.suffixes}:
        return False
    with _text(path) as file:
        line = file.readline(100_000)
    return "\t" in line or "," not in line


def _names(given: Iterable[str]) -> tuple[list[str], set[int]]:
    """Distinct names without surrounding blanks, and the places of missing ones."""
    stripped = [joined(name) for name in given]
    nameless = {place for place, name in enumerate(stripped) if not name}
    named = [name or f"Unnamed: {place}" for place, name in enumerate(stripped)]
    counts = dict.fromkeys(named, 0)
    distinct = []
    for name in named:
        unique = name
        while counts[name] and unique in counts:
            unique = f"{name}.{counts[name]}"
            counts[name] += 1
        counts[name] = counts[name] or 1
        counts.setdefault(unique, 1)
        distinct.append(unique)
    return distinct, nameless
