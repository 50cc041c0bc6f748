"""CSV files of the user."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixexp.dataset.columns import MOST_TEXTS, Column, in_order, unmarked
from mixexp.dataset.delimited import Delimited
from mixexp.dataset.files import SHOWN, and_more, find_path
from mixexp.dataset.identifiers import FEW, NAMELESS, numbers_rows, tells_classes, tells_one_class
from mixexp.dataset.tables import Rows, Table, refuse_too_large
from mixexp.errors import UserError, note
from mixexp.text import joined, one_line, override, resembling, sanitize

_LONGEST = 60
_DECIMALS = {"point": ".", "comma": ","}


class CsvTable(Table):
    """Any CSV file: a column of labels, and columns of numbers or texts as features.

    Classes are the label column's values as written, without surrounding blanks, sorted as numbers if all are numbers,
    otherwise alphabetically. A column of texts becomes one column per value, in the same order, 1 where a row has the
    value and 0 elsewhere; a column of true and false becomes one of 1 and 0. The type of a column does not depend on
    the order of the rows.
    Some columns are not used, and a note lists them: a first column without a name and a copy of the label; from 10
    rows on, consecutive whole numbers from any start of 0 or more, distinct whole numbers in a column named id, index,
    row, row names or nothing, and, with at least 2 rows of each class, a column of numbers or texts that renames the
    label. The note also lists columns that may be such; these are used.
    file: relative to the working directory, otherwise to root (data_dir); header: true if the first row has the
    columns' names, otherwise they are "0", "1" and so on; drop: columns that are not features; keep: columns that are
    features although they would not be used; missing: texts that mean no value, besides the empty field; decimal: the
    decimal mark, "." by default; categorical: columns of texts although they look like numbers; numeric: columns of
    numbers although they have currency or per cent signs or thousands separators, all in one unit; row_names: true if
    a first field without a name in the header names its row, for rows that do not show it.
    """

    path = "file"
    added = ("keep", "missing", "decimal", "categorical", "numeric", "row_names")

    def __init__(
        self,
        root: str,
        file: str,
        label: str,
        separator: (
            Literal["tab", r"\t", "blanks", "comma", "semicolon", "pipe"]
            | Annotated[str, Field(min_length=1, max_length=1)]
        ) = ",",
        header: bool = True,
        drop: list[str] = [],  # noqa: B006  the signature is the schema, and null is not a list; never written to
        test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
        standardise: bool = True,
        keep: list[str] | None = None,
        missing: list[str] | None = None,
        decimal: Literal[".", ",", "point", "comma"] | None = None,
        categorical: list[str] | None = None,
        numeric: list[str] | None = None,
        row_names: bool | None = None,
    ) -> None:
        super().__init__(test_fraction, split_seed, standardise)
        self.root, self.file, self.label, self.separator, self.header = root, file, joined(label), separator, header
        self.row_names = row_names
        self.drop, self.keep, self.categorical, self.numeric = (
            [joined(name) for name in names or ()] for names in (drop, keep, categorical, numeric)
        )
        self.missing = [text.strip() for text in missing or ()]
        self.decimal = _DECIMALS.get(decimal or "point", decimal or ".")

    def read(self) -> Rows:
        """The table; raises UserError with column and row (counted from 1) for a file or value that cannot be used."""
        path = find_path("file", self.file, self.root)
        file = Delimited(path, self.separator, self.header, self.row_names)
        self._check_names(file)
        columns, copies = self._columns(file)
        label = columns.pop(self.label)
        _refuse(path, label, "missing", "no value")
        classes = in_order(label.codes_of)
        if len(classes) < 2:
            raise UserError(
                f"{path}: column {self.label!r} has {len(classes)} distinct values; a label needs 2 at least."
            )
        _note_alike(path, classes)
        labels = _codes_in(classes, label)
        unused = self._unused(file, columns, copies, labels, classes)
        for name in unused:
            del columns[name]
        others = self._described(unused)
        if not columns:
            raise UserError(
                f"{path} has no column beside {self.label!r} to learn from{others and f'; not used: {others}'}."
            )
        if others:
            note(f"{path}: not used: {others}")
        return self._features(path, columns, labels, tuple(classes))

    def _check_names(self, file: Delimited) -> None:
        """Raise UserError if a setting names a column that does not exist, or one that another setting names."""
        settings = {"drop": self.drop, "keep": self.keep, "categorical": self.categorical, "numeric": self.numeric}
        there, listed = (
            set(file.names),
            ", ".join(map(_shown, file.names[:SHOWN])) + (" and more" if len(file.names) > SHOWN else ""),
        )
        for option, name in (
            ("label", self.label),
            *((option, name) for option, names in settings.items() for name in names),
        ):
            if name not in there:
                raise UserError(
                    f"dataset.{option}: {file.path} has no column {name!r}; it has {listed}."
                    f"{file.other_separator(name) or self._nearest(option, settings.get(option), name, file.names)}"
                )
        for option, names in settings.items():
            if self.label in names:
                what = "leave it out of drop" if option == "drop" else "its values are classes, as they are written"
                raise UserError(f"dataset.{option}: {self.label!r} is the label; {what}.")
        for first, second in (
            ("drop", "keep"),
            ("drop", "categorical"),
            ("drop", "numeric"),
            ("categorical", "numeric"),
        ):
            if both := [name for name in settings[first] if name in settings[second]]:
                raise UserError(f"dataset.{first}, dataset.{second}: {both[0]!r} is in both; leave it out of one.")

    def _nearest(self, option: str, names: Sequence[str] | None, wrong: str, there: Sequence[str]) -> str:
        """Sentence with the override for the column most like a wrong name, or about a missing header; "" otherwise."""
        near = resembling(wrong, there)
        if not near:
            headless = self.header and wrong.isdecimal()
            return " Without a header, columns are called 0, 1 and so on: dataset.header=false" if headless else ""
        value = near[0] if names is None else [near[0] if name == wrong else name for name in names]
        return f" Did you mean {_shown(near[0], quoted=True)}? Type {override(f'dataset.{option}', value)}"

    def _columns(self, file: Delimited) -> tuple[dict[str, Column], set[str]]:
        """Columns that are not dropped, read to the end, and the names of those that are copies of the label.

        Columns that are empty and without a name are left out.
        """
        columns = {}
        for place, name in enumerate(file.names):
            texts = name in (self.label, *self.categorical) or (place == 0 and file.row_names)
            columns[name] = Column(name, self.decimal, self.missing, texts, marked=name in self.numeric)
        used = {name: place for place, name in enumerate(file.names) if name not in self.drop}
        label, label_place, copies = columns[self.label], file.names.index(self.label), set(used)
        for fields in file.chunks():
            labels = fields[label_place]
            for name, place in used.items():
                columns[name].add(fields[place])
                if (
                    name in copies
                    and fields[place] != labels
                    and [*map(str.strip, fields[place])] != [*map(str.strip, labels)]
                ):
                    copies.discard(name)
            refuse_too_large(file.path, label.rows, len(used))
        if not label.rows:
            raise UserError(
                f"{file.path} cannot be read as a CSV file with separator {file.separator!r}: it has no rows below its"
                " header."
            )
        if file.spanning:
            first, last = file.spanning[0]
            note(
                f"{file.path}: quotes hold line breaks in {len(file.spanning)} row{'s' * (len(file.spanning) > 1)}, "
                f"the first in lines {first} to {last}; a stray quote joins rows too"
            )
        first = columns[file.names[0]]
        if file.row_names and first.name in used and len(first.codes_of) < first.rows:
            repeated = np.bincount(first.codes()) > 1  # in order of appearance
            file.refuse_row_names(list(first.codes_of)[repeated.argmax()])
        nameless = [columns[file.names[place]] for place in file.nameless]
        empty = {
            column.name
            for column in nameless
            if (gap := column.occurrences.get("missing")) and gap.count == column.rows
        }
        return {name: columns[name] for name in used if name not in empty or name == self.label}, copies

    def _unused(
        self, file: Delimited, columns: dict[str, Column], copies: set[str], labels: np.ndarray, classes: Sequence[str]
    ) -> dict[str, str]:
        """Columns that identify rows or classes without information, with the reasons, unless a setting keeps them."""
        wanted = {*self.keep, *self.categorical, *self.numeric}
        reasons: dict[str, str] = {}
        renaming, coding, counting = [], [], []
        for name, column in columns.items():
            if name in wanted:
                continue
            if NAMELESS.fullmatch(name):
                reasons[name] = "names of the rows" if file.row_names else "no name"
            elif name in copies:
                reasons[name] = "a copy of the label"
            elif (number := numbers_rows(column)) not in ("no", "maybe"):
                reasons[name] = number
            elif (how := tells_classes(column, labels, classes)) == "renames":
                reasons[name] = "other names of the classes"
            elif how == "may rename" and column.rows >= FEW:
                renaming.append(name)
            elif tells_one_class(column, labels):
                coding.append(name)
            elif number == "maybe":
                counting.append(name)
        for what, names in (
            ("the class of every row", renaming),
            ("which rows are of one class", coding),
            ("rows apart, as whole numbers that may number them", counting),
        ):
            if names:
                listed = ", ".join(map(_shown, names[:SHOWN])) + and_more(names)
                them, s = ("them", "") if len(names) > 1 else ("it", "s")
                note(f"{file.path}: {listed}: tell{s} {what}; to leave {them} out type {self._more('drop', names)}")
        return reasons

    def _described(self, unused: dict[str, str]) -> str:
        """List of the unused columns with reasons, and the override that uses them."""
        if not unused:
            return ""
        listed = ", ".join(f"{_shown(name)} ({why})" for name, why in list(unused.items())[:SHOWN])
        return (
            f"{listed}{and_more(unused)}; to use {'them' if len(unused) > 1 else 'it'} type"
            f" {self._more('keep', list(unused))}"
        )

    def _more(self, option: str, names: Sequence[str]) -> str:
        """Override that adds names to a setting's list; only the first of very many."""
        return override(f"dataset.{option}", [*getattr(self, option), *names[:SHOWN]]) + and_more(names)

    def _features(self, path: Path, columns: dict[str, Column], labels: np.ndarray, classes: tuple[str, ...]) -> Rows:
        widths = {}
        for name, column in columns.items():
            self._refuse_unusable(path, column)
            texts = bool(column.codes_of) and column.truths() is None
            widths[name] = len(column.codes_of) if texts else 1
        widest = max(widths, key=widths.__getitem__)
        refuse_too_large(
            path,
            len(labels),
            sum(widths.values()),
            f"; {widest!r} makes {widths[widest]} of them" * (widths[widest] > 1),
        )
        values = np.zeros((len(labels), sum(widths.values())))
        names: list[str] = []
        for name in widths:
            column, place = columns.pop(name), len(names)
            if not column.codes_of:
                values[:, place] = column.values()
            elif (truths := column.truths()) is not None:
                values[:, place] = truths
            else:
                order = in_order(column.codes_of)
                values[np.arange(len(labels)), place + _codes_in(order, column)] = 1
            names += [name] * widths[name]
        return Rows(values, labels, classes, tuple(names))

    def _refuse_unusable(self, path: Path, column: Column) -> None:
        """Raise UserError if a feature lacks values, or is neither numbers nor a few distinct texts."""
        name, other = column.name, column.occurrences.get("other")
        aside = f"; to leave the column out type {self._more('drop', [name])}"
        _refuse(path, column, "missing", "no value", aside)
        if other is not None:
            self._refuse_marks(path, column)
            if column.marked:
                _refuse(path, column, "other", "no number", aside)
            elif column.numbers and column.infinite:
                _refuse(path, column, "other", "no finite number", aside)
            elif column.numbers:
                header = not self.header and other.row == other.count == 1
                hint = f"; if row 1 has the columns' names type {override('dataset.header', True)}" if header else aside
                hint += f"; if its values are names type {self._more('categorical', [name])}"
                _refuse(path, column, "other", "no number, as others are", hint)
        _refuse(path, column, "infinite", "no finite number", aside)
        if len(column.units) > 1:
            first, second = list(column.units.values())[:2]
            raise UserError(
                f"{path}: column {name!r} has numbers of different units, such as {first!r} and {second!r}; write them"
                " in one."
            )
        distinct = len(column.codes_of)
        # names of rows: one column for each would be meaningless
        if column.too_many or (not column.texts and distinct > max(20, column.rows // 2)):
            count = f"more than {MOST_TEXTS:,}" if column.too_many else distinct
            raise UserError(
                f"{_texts_in(path, column, count)}; what names its row is left out by {self._more('drop', [name])}"
            )

    def _refuse_marks(self, path: Path, column: Column) -> None:
        """Raise UserError for a column that would be numbers without their marks."""
        for decimal in (self.decimal, "," if self.decimal == "." else "."):
            numbers = [number for text in column.others if (number := unmarked(text, decimal)) is not None]
            if column.marked or len(numbers) < len(column.others) or (decimal != self.decimal and column.fractions):
                continue
            units = {number.unit for number in numbers} | ({""} if column.numbers else set())
            grouped = any(number.marked for number in numbers)
            words = [override("dataset.decimal", decimal)] * (decimal != self.decimal) + [
                self._more("numeric", [column.name])
            ] * grouped
            what = "they are numbers of different units, to be written in one"
            what = what if len(units) > 1 else self._reading(column, decimal, " ".join(words))
            hint = f"if they are names type {self._more('categorical', [column.name])}"
            raise UserError(f"{_texts_in(path, column, len(column.others))}; {what}; {hint}")

    def _reading(self, column: Column, decimal: str, words: str) -> str:
        """Advice for reading a column's texts as numbers: the decimal mark, or the words to type."""
        if decimal != self.decimal:
            return (
                f"numbers need a decimal {'point' if self.decimal == '.' else 'comma, which dataset.decimal asks for'},"
                f" or type {words}"
            )
        comma = [unmarked(other, ",") for other in column.others]
        either = decimal == "." and all(number is not None and not number.marked for number in comma)
        also = f", or where the comma is a decimal one {override('dataset.decimal', ',')}" if either else ""
        return f"to read them as numbers type {words}{also}"


def _texts_in(path: Path, column: Column, distinct: int | str) -> str:
    """Beginning of a refusal of a column of texts; distinct: their number."""
    count = "a single one" if distinct == 1 else f"{distinct} different ones"
    text = _shown(column.occurrences["other"].text, quoted=True)
    return f"{path}: column {column.name!r} holds texts, {count} in {column.rows} rows, such as {text}"


def _shown(text: str, quoted: bool = False) -> str:
    """Name or text of the file in a message."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return sanitize(repr(cut)) if quoted else one_line(cut)


def _refuse(path: Path, column: Column, kind: str, what: str, hint: str = "") -> None:
    """Raise UserError if a column has an occurrence of this kind."""
    if (first := column.occurrences.get(kind)) is not None:
        more = f" (and {first.count - 1} more)" if first.count > 1 else ""
        text = f": {_shown(first.text)}" if first.text else ""
        raise UserError(f"{path}: column {column.name!r} has {what} in row {first.row}{more}{text}{hint}")


def _codes_in(order: Sequence[str], column: Column) -> np.ndarray:
    """Position of every row's text in an order, int64 [N]."""
    places = {text: place for place, text in enumerate(order)}
    return np.array([places[text] for text in column.codes_of], dtype=np.int64)[column.codes()]


def _note_alike(path: Path, classes: Sequence[str]) -> None:
    """Note classes that a reader would take for one."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(unicodedata.normalize("NFKC", " ".join(name.split())).casefold(), []).append(name)
    if several := [names for names in alike.values() if len(names) > 1]:
        listed = "; ".join(", ".join(_shown(name, quoted=True) for name in names) for names in several[:SHOWN])
        note(f"{path}: classes that differ in capitals, blanks or the code of a letter alone: {listed}")
