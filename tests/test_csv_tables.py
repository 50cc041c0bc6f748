"""What a CSV file of a user's own holds: identifiers, classes, missing values, ragged rows, marks in numbers,
separators, extremes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shlex
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from running import config_of

from mixexp import errors
from mixexp.build import build, check
from mixexp.dataset import Dataset, columns, tables
from mixexp.dataset.csv_table import CsvTable
from mixexp.dataset.tables import Rows
from mixexp.errors import UserError
from mixexp.plan.compose import compose
from mixexp.plan.identity import canonical, run_id
from mixexp.training import sizes
from mixexp.training.setup import another
from mixexp.training.spec import RunConfig

ROWS = range(30)
AB = ["ab"[n % 2] for n in ROWS]
SQUARES = [str(n * n) for n in ROWS]


@pytest.fixture(autouse=True)
def _every_note_again() -> None:
    errors.note.cache_clear()


def text(*named: tuple[str, list[str]], separator: str = ",", header: bool = True) -> str:
    """A file's text of columns."""
    lines = [separator.join(name for name, _ in named)] * header
    return "\n".join([*lines, *map(separator.join, zip(*(cells for _, cells in named), strict=True))]) + "\n"


def csv(folder: Path, content: str | bytes, name: str = "t.csv", **changed: Any) -> CsvTable:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return CsvTable(str(folder), name, **{"label": "kind", **changed})


def refusal(found: CsvTable) -> str:
    """The message without the folder."""
    with pytest.raises(UserError) as caught:
        found.load()
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{found.root}/", "")


def typed(message: str) -> dict[str, Any]:
    """The settings of every override in a message, as a shell and Hydra read them."""
    words = [word for word in shlex.split(message.replace("line's", "")) if word.startswith("dataset.")]
    parsed = [OverridesParser.create().parse_override(word.rstrip(".;,")) for word in words if "=" in word]
    return {found.key_or_group.removeprefix("dataset."): found.value() for found in parsed}


# --- 1: identifiers as features ---

UNUSED = {
    "no name": (("", [f"{n * 3}" for n in ROWS]), "Unnamed: 0 (no name)", '["Unnamed: 0"]'),
    "pandas twice": (("Unnamed: 0.1", [f"{n * 3}" for n in ROWS]), "Unnamed: 0.1 (no name)", '["Unnamed: 0.1"]'),
    "from 0": (("id", [f"{n}" for n in ROWS]), "id (numbers the rows)", "[id]"),
    "from 1": (("sample no", [f"{n + 1}" for n in ROWS]), "sample no (numbers the rows)", '["sample no"]'),
    "shuffled": (("rank", [f"{n * 7 % 30:02d}" for n in ROWS]), "rank (numbers the rows)", "[rank]"),
    "from 1001": (("sample", [f"{n * 7 % 30 + 1001}" for n in ROWS]), "sample (numbers the rows)", "[sample]"),
    "floats": (("sample", [f"{n}.0" for n in ROWS]), "sample (numbers the rows)", "[sample]"),
    "exponents": (("sample", [f"{n}e0" if n % 2 else f"{n}." for n in ROWS]), "sample (numbers the rows)", "[sample]"),
    "filtered": (("Index", [f"{n * 2}" for n in ROWS]), "Index (a number for each row)", "[Index]"),
    "of a database": (("ID", [f"{n * n * 977 % 9973}" for n in ROWS]), "ID (a number for each row)", "[ID]"),
    "readr": (("...1", [f"{n * 9 + 4}.0" for n in ROWS]), "...1 (a number for each row)", '["...1"]'),
    "numbers for classes": (
        ("target", ["5" if name == "a" else "6" for name in AB]),
        "target (other names of the classes)",
        "[target]",
    ),
    "truths for classes": (
        ("good", ["true" if name == "a" else "false" for name in AB]),
        "good (other names of the classes)",
        "[good]",
    ),
    "repeated header": (("kind", AB), "kind.1 (a copy of the label)", "[kind.1]"),
    "copy by another name": (("target", AB), "target (a copy of the label)", "[target]"),
    "other names": (
        ("species", ["cat" if name == "a" else "dog" for name in AB]),
        "species (other names of the classes)",
        "[species]",
    ),
}


@pytest.mark.parametrize("case", UNUSED)
def test_identifiers_are_no_features_unless_kept(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    column, said, listed = UNUSED[case]
    parts = [("x", SQUARES), ("kind", AB)]
    found = csv(tmp_path, text(*([*parts, column] if column[0] == "kind" else [column, *parts])))
    assert found.read().columns == ("x",)
    override = shlex.quote(f"dataset.keep={listed}")
    assert capsys.readouterr().err == f"note: {tmp_path}/t.csv: not used: {said}; to use it type {override}\n"
    (name,) = typed(override)["keep"]
    kept = CsvTable(str(tmp_path), "t.csv", "kind", keep=[name]).read()
    assert set(kept.columns) == {"x", name} and capsys.readouterr().err == ""
    dropped = CsvTable(str(tmp_path), "t.csv", "kind", drop=[name]).read()
    assert dropped.columns == ("x",) and capsys.readouterr().err == ""


def test_a_number_copy_of_the_label_is_no_feature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = [str(n % 3) for n in ROWS]
    found = csv(tmp_path, text(("kind", labels), ("x", SQUARES), ("y", [f"{label}.0" for label in labels]))).read()
    assert found.columns == ("x",) and "y (other names of the classes)" in capsys.readouterr().err


def test_the_label_by_other_names_is_no_feature_whichever_of_both_is_the_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers, names = [str(n % 3) for n in ROWS], [f"species {'cab'[n % 3]}" for n in ROWS]
    content = text(("target", numbers), ("x", SQUARES), ("species", names))
    for label, other in (("species", "target"), ("target", "species")):
        assert csv(tmp_path, content, label=label).read().columns == ("x",)
        said = capsys.readouterr().err
        assert f"not used: {other} (other names of the classes); to use it type 'dataset.keep=[{other}]'" in said
        assert other in csv(tmp_path, content, label=label, keep=[other]).read().columns


@pytest.mark.parametrize("rows", [8, 21])
def test_what_may_rename_the_classes_by_chance_is_used(
    rows: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ["b" if n == 1 else "a" for n in range(rows)]
    parts = (
        ("code", ["5" if kind == "a" else "6" for kind in kinds]),
        ("x", [f"{n}.5" for n in range(rows)]),
        ("kind", kinds),
    )
    assert csv(tmp_path, text(*parts)).read().columns == ("code", "x")
    said = f"note: {tmp_path}/t.csv: code: tells the class of every row; to leave it out type 'dataset.drop=[code]'\n"
    assert capsys.readouterr().err == (said if rows >= 10 else "")


def test_a_code_of_zeros_and_ones_for_the_label_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ["abc"[n % 3] for n in ROWS]
    codes = [
        (f"is_{name}", [str(int(kind == name)) if name != "b" else str(kind == name) for kind in kinds])
        for name in "abc"
    ]
    found = csv(tmp_path, text(*codes, ("some", [str(int(n % 6 == 0)) for n in ROWS]), ("kind", kinds))).read()
    assert found.columns == ("is_a", "is_b", "is_c", "some")
    assert (
        capsys.readouterr().err == f"note: {tmp_path}/t.csv: is_a, is_b, is_c: tell which rows are of one class; "
        "to leave them out type 'dataset.drop=[is_a,is_b,is_c]'\n"
    )


@pytest.mark.parametrize(
    "cells", [[str(n) for n in range(-1, 29)], [f"{n}.5" for n in ROWS], SQUARES, [str(n % 29) for n in ROWS]]
)
def test_other_whole_numbers_are_features(cells: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = csv(tmp_path, text(("x", cells), ("kind", AB))).read()
    assert found.values[:, 0].tolist() == [*map(float, cells)] and capsys.readouterr().err == ""


@pytest.mark.parametrize("order", [1, -1])
def test_whole_numbers_that_may_number_the_rows_are_used_and_said(
    order: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample, run = [str(n * 2 + 1000) for n in ROWS], [f"{n * 11 % 30 * 3}.0" for n in ROWS]
    found = csv(tmp_path, text(("sample", sample[::order]), ("run", run[::order]), ("kind", AB))).read()
    assert found.columns == ("sample", "run")
    assert (
        capsys.readouterr().err
        == f"note: {tmp_path}/t.csv: sample, run: tell rows apart, as whole numbers that may number them; "
        "to leave them out type 'dataset.drop=[sample,run]'\n"
    )


def test_of_very_many_copies_the_first_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv(tmp_path, text(("x", SQUARES), ("kind", AB), *((f"copy {n}", AB) for n in range(300)))).read()
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        typed(line) == {"keep": [f"copy {n}" for n in range(10)]} and line.endswith(" and 290 more") and len(line) < 700
    )


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("a  b", "a  b"),
        ("a\u00a0 b", "a\u00a0 b"),
        ("Länge\u202f[cm]", "Länge\u202f[cm]"),
        ("a\n b", "a b"),
        ("a\tb", "a b"),
    ],
)
def test_a_name_in_a_note_can_be_typed(
    name: str, called: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = text((f'"{name}"', [str(n) for n in ROWS]), ("x", SQUARES), ("kind", AB))
    csv(tmp_path, content).read()
    line = capsys.readouterr().err.splitlines()[-1]
    assert typed(line) == {"keep": [called]}
    assert set(csv(tmp_path, content, keep=typed(line)["keep"]).read().columns) == {called, "x"}
    assert csv(tmp_path, content, keep=[name]).read().columns[0] == called
    message = refusal(csv(tmp_path, content, label=f"{called}x"))
    assert typed(message) == {"label": called}


def test_nothing_is_left_to_learn_from_beside_an_index(tmp_path: Path) -> None:
    assert (
        refusal(csv(tmp_path, text(("id", [str(n) for n in ROWS]), ("kind", AB))))
        == "t.csv has no column beside 'kind' to learn from; not used: id (numbers the rows); to use it type"
        " 'dataset.keep=[id]'."
    )


def test_a_nameless_column_can_be_the_label(tmp_path: Path) -> None:
    assert csv(tmp_path, text(("", AB), ("x", SQUARES)), label="Unnamed: 0").read().classes == ("a", "b")


# --- 2 and 3: classes ---


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["1", "01", "001", "10", "2"], ("001", "01", "1", "2", "10")),
        (["1e3", "1000", "999", "1E3", "1000.0"], ("999", "1000", "1000.0", "1E3", "1e3")),
        (["1e400", "2e400", "12ab", "1e3", "77"], ("12ab", "1e3", "1e400", "2e400", "77")),
        (
            ["1e400", "2e400", "-1e400", "1e99999999999999999999", "7"],
            ("-1e400", "7", "1e400", "2e400", "1e99999999999999999999"),
        ),
        (["+1", "1", "-0", "0", "1."], ("-0", "0", "+1", "1", "1.")),
        (
            ["9007199254740993", "9007199254740992", "3", "4", "5"],
            ("3", "4", "5", "9007199254740992", "9007199254740993"),
        ),
        (["True", "true", "TRUE", "1", "False"], ("1", "False", "TRUE", "True", "true")),
        (["NA", "None", "null", "nan", "N/A"], ("N/A", "NA", "None", "nan", "null")),
        (["1_000", "1000", "１０００", "inf", "Infinity"], ("1000", "1_000", "Infinity", "inf", "１０００")),
    ],
)
def test_classes_are_texts_as_they_are_written(labels: list[str], classes: tuple[str, ...], tmp_path: Path) -> None:
    cells = labels * 6
    found = csv(tmp_path, text(("x", SQUARES), ("kind", cells))).read()
    assert found.classes == classes and [classes[label] for label in found.labels] == cells


@pytest.mark.parametrize(("rows", "chunk"), [(20, 7), (1200, 7), (1200, 200_000), (200_000, 200_000)])
def test_ids_of_digits_and_letters_are_two_classes_in_any_number_of_rows(
    rows: int, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixexp.dataset.delimited.CELLS", chunk)
    cells = ["012"] * (rows // 2) + ["012", "A7"] * (rows // 4)
    found = csv(tmp_path, text(("x", [str(n * n) for n in range(rows)]), ("kind", cells))).read()
    assert found.classes == ("012", "A7") and np.bincount(found.labels).tolist() == [rows * 3 // 4, rows // 4]


def test_blanks_around_names_and_texts_are_no_part_of_them(tmp_path: Path) -> None:
    cells = ["setosa", "setosa ", "  setosa", "\tvirginica", "virginica\u00a0"] * 6
    found = csv(
        tmp_path,
        text((" x ", [f" {cell} " for cell in SQUARES]), (" my kind", cells), ("c ", ["u ", " u", "v"] * 10)),
        label=" my kind ",
    ).read()
    assert found.classes == ("setosa", "virginica") and found.columns == ("x", "c", "c")
    assert found.values[:, 0].tolist() == [*map(float, SQUARES)]


def test_classes_that_look_alike_are_one_line_of_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = ["Iris", "iris", "a  b", "a b", "caf\u00e9", "cafe\u0301"] * 5
    assert len(csv(tmp_path, text(("x", SQUARES), ("kind", cells))).read().classes) == 6
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"note: {tmp_path}/t.csv: classes that differ in capitals, blanks or the code of a letter alone: 'Iris',"
        " 'iris'; "
    )


# --- 4: missing values ---


@pytest.mark.parametrize("texts", [["NA", "DE", "FR"], ["None", "null", "x"], ["nan", "NaN", "N/A"], ["-", "?", "inf"]])
def test_texts_that_elsewhere_stand_for_nothing_are_texts(texts: list[str], tmp_path: Path) -> None:
    found = csv(tmp_path, text(("country", texts * 10), ("kind", AB))).read()
    assert found.columns == ("country",) * 3
    assert found.values[0].tolist() == [float(text == texts[0]) for text in sorted(texts)]


def test_what_is_missing_is_said_as_the_file_has_it(tmp_path: Path) -> None:
    aside = "; to leave the column out type 'dataset.drop=[x]'"
    parts = ("x", ["NA" if n in (3, 5) else str(n * n) for n in ROWS]), ("kind", AB)
    assert (
        refusal(csv(tmp_path, text(*parts)))
        == f"t.csv: column 'x' has no number, as others are in row 4 (and 1 more): NA{aside}; if its values are names"
        " type 'dataset.categorical=[x]'"
    )
    assert (
        refusal(csv(tmp_path, text(*parts), missing=["NA"]))
        == f"t.csv: column 'x' has no value in row 4 (and 1 more): NA{aside}"
    )
    for gone in ("-999", "0", "?"):
        parts = ("x", [gone if n == 7 else str(n * n + 1) for n in ROWS]), ("kind", AB)
        assert (
            refusal(csv(tmp_path, text(*parts), missing=[gone]))
            == f"t.csv: column 'x' has no value in row 8: {gone}{aside}"
        )
    parts = ("x", [" " if n == 7 else str(n * n) for n in ROWS]), ("kind", AB)
    assert refusal(csv(tmp_path, text(*parts))) == f"t.csv: column 'x' has no value in row 8{aside}"
    parts = ("x", SQUARES), ("kind", ["a", "b", "?"] * 10)
    assert (
        refusal(csv(tmp_path, text(*parts), missing=["?"]))
        == "t.csv: column 'kind' has no value in row 3 (and 9 more): ?"
    )


# --- 5: rows of other lengths ---

CANNOT = "t.csv cannot be read as a CSV file with separator ',': "
QUOTES = "; a ',' inside a field needs quotes around the field."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x,y,kind\n1,2,a\n3,4,5,b\n", f"line 3 has 4 fields and the header has 3{QUOTES}"),
        ("x,y,kind\n1,2,a\n3,b\n", "line 3 has 2 fields and the header has 3."),
        ("x,kind\n\n1,5,a\n2,b\n3,a\n", f"line 3 has 3 fields and the header has 2{QUOTES}"),
        ('x,kind\n"1\n2",a\n3,4,b\n', f"line 4 has 3 fields and the header has 2{QUOTES}"),
        ("x,kind\n1,a,,c\n2,b\n", f"line 2 has 4 fields and the header has 2{QUOTES}"),
        (
            "x,kind\n0,5,a\n0,7,b\n1,5,a\n",
            (
                "its rows have 3 fields and the header has 2; their first fields are not names of rows, as '0' repeats."
                f" A{QUOTES[3:]}"
            ),
        ),
        ('x,kind\n1,a\n2,"b\n3,a\n4,b\n', "a quote that is opened in line 3 is not closed."),
        ("x,kind\n", "it has no rows below its header."),
        ("\n \n,,\n", "it is empty."),
    ],
)
def test_rows_of_other_lengths_are_refused_with_line_and_counts(content: str, said: str, tmp_path: Path) -> None:
    assert refusal(csv(tmp_path, content)) == f"{CANNOT}{said}"


def test_a_header_alone_may_end_in_separators(tmp_path: Path) -> None:
    content = text(("x", SQUARES), ("kind", AB)).replace("x,kind", "x,kind,,")
    assert csv(tmp_path, content).read().columns == ("x",)
    named = content.replace("x,kind,,", "x,kind,y")
    assert refusal(csv(tmp_path, named)) == f"{CANNOT}line 2 has 2 fields and the header has 3."


def test_rows_without_a_header_are_as_long_as_the_first(tmp_path: Path) -> None:
    assert (
        refusal(csv(tmp_path, "1,2,a\n3,b\n", header=False, label="2"))
        == f"{CANNOT}line 2 has 2 fields and line 1 has 3."
    )


@pytest.mark.parametrize("header", [True, False])
def test_separators_at_line_ends_are_no_columns(header: bool, tmp_path: Path) -> None:
    cells = [str(n % 20) for n in ROWS]
    content = text(("x", cells), ("kind", AB), header=header).replace("\n", ",\n")
    for changed in (content, content.replace(",\n", "\n", 1), content + ",,,\n", content.replace(",\n", ",,\n", 3)):
        found = csv(tmp_path, changed, header=header, label="kind" if header else "1").read()
        assert found.columns == (("x",) if header else ("0",)) and found.values[:, 0].tolist() == [*map(float, cells)]


@pytest.mark.parametrize("order", [1, -1])
def test_columns_without_a_header_do_not_depend_on_the_order_of_rows(order: int, tmp_path: Path) -> None:
    lines = ["1,a,", "3,b,5", "4,a,6"][::order]
    message = refusal(csv(tmp_path, "\n".join(lines), header=False, label="1"))
    row = 1 if order == 1 else 3
    assert (
        message == f"t.csv: column '2' has no value in row {row}; to leave the column out type 'dataset.drop=[\"2\"]'"
    )
    lines = ["1,a,", "3,b,,", "4,a,", "2,b"]
    for first in range(4):
        turned = lines[first:] + lines[:first]
        assert csv(tmp_path, "\n".join(turned), header=False, label="1").read().columns == ("0",)


UNCLEAR = (
    f"{CANNOT}every row has one field more than the header, and its last one is empty. Type dataset.row_names=true"
    " where the first one names the row, and dataset.row_names=false where a ',' merely ends the row."
)


@pytest.mark.parametrize("names", [[str(n + 1) for n in ROWS], [f"Row {n}" for n in ROWS], [str(n * n) for n in ROWS]])
def test_rows_that_end_in_a_separator_and_may_begin_with_a_name_are_asked_for(names: list[str], tmp_path: Path) -> None:
    sizes, grades = [f"{n}.5" for n in ROWS], [str(n % 3) for n in ROWS]
    lines = ["x,grade,kind,notes", *(",".join(row) + "," for row in zip(names, sizes, grades, AB, strict=True))]
    for content in ("\n".join(lines), "\n".join([lines[0], *lines[:0:-1]])):
        assert refusal(csv(tmp_path, content)) == UNCLEAR
    named = csv(tmp_path, "\n".join(lines).replace(",notes", ""), row_names=True).read()
    assert (
        named.columns == ("x", "grade")
        and named.values[:, 0].tolist() == [*map(float, sizes)]
        and named.classes == ("a", "b")
    )
    ended = csv(tmp_path, "\n".join(lines), row_names=False, drop=["x"]).read()
    assert ended.classes == ("0", "1", "2") and ended.columns == ("grade", "notes", "notes"), (
        "the reading of another program"
    )
    plain = "\n".join([lines[0] + ",", *lines[1:]])
    assert csv(tmp_path, plain, drop=["x"]).read().classes == ("0", "1", "2"), (
        "a header that ends in a separator too is plain"
    )
    filled = "\n".join([*lines[:5], lines[5] + "late", *lines[6:]])
    assert refusal(csv(tmp_path, filled)).startswith("t.csv: column 'notes' has no value in row 1 (and 28 more)"), (
        "a note in any row tells"
    )


def test_fractions_before_a_separator_at_the_rows_ends_are_no_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [f"{n}.25" for n in ROWS]
    content = text(("x", cells), ("kind", AB)).replace("\n", ",\n").replace(",\n", "\n", 1)
    assert csv(tmp_path, content).read().values[:, 0].tolist() == [*map(float, cells)]
    assert (
        capsys.readouterr().err
        == f"note: {tmp_path}/t.csv: the separator at the end of every row is taken for no column; "
        "where the first field names the row type dataset.row_names=true\n"
    )


@pytest.mark.parametrize("start", [2, 300, -1])
def test_decimal_commas_without_quotes_are_no_names_of_rows(start: int, tmp_path: Path) -> None:
    whole = [str(abs(start) * 3 * n) if start < 0 else str(n + start) for n in ROWS]
    content = "temp,kind\n" + "\n".join(f"{whole[n]},{n % 10},{AB[n]}" for n in ROWS)
    assert (
        refusal(csv(tmp_path, content))
        == f"{CANNOT}every row has one field more than the header, as a decimal comma without quotes makes, such as in"
        f" {whole[0]},0: put quotes around such numbers, or separate the fields by another sign. Type"
        " dataset.row_names=true where the first one names the row."
    )
    assert csv(tmp_path, content, row_names=True).read().values[:3, 0].tolist() == [0, 1, 2]
    quoted = "temp,kind\n" + "\n".join(f'"{whole[n]},{n % 10}",{AB[n]}' for n in ROWS)
    assert csv(tmp_path, quoted, decimal=",").read().values[1, 0] == float(f"{whole[1]}.1")
    names = "temp,kind\n" + "\n".join(f'"{whole[n]}",{n % 10},{AB[n]}' for n in ROWS)
    assert csv(tmp_path, names).read().values[:3, 0].tolist() == [0, 1, 2], "R quotes the names of rows"


@pytest.mark.parametrize("place", [1, 2])
def test_a_decimal_comma_further_on_may_make_names_of_rows_too(
    place: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [[f"s{n}", f"{n}.5", AB[n]] for n in ROWS]
    for n, row in enumerate(rows):
        row.insert(place, f"{n * n},{n % 10}")
    header = ["id", "y", "kind"]
    header.insert(place, "temp")
    content = "\n".join([",".join(header), *map(",".join, rows)])
    said = (
        f"note: {tmp_path}/t.csv: the first field of every row is taken for its name, as the header has a field less; "
        "where a comma such as in 0,0 is a decimal one put quotes around such numbers\n"
    )
    csv(tmp_path, content).read()
    assert said in capsys.readouterr().err
    csv(tmp_path, content, row_names=True).read()
    csv(tmp_path, re.sub(r"^(s\d+)", r'"\1"', content, flags=re.MULTILINE)).read()
    assert "taken for its name" not in capsys.readouterr().err, "where it is sure"


def test_names_of_rows_that_are_asked_for_have_to_be_there(tmp_path: Path) -> None:
    content = text(("x", SQUARES), ("kind", AB))
    for changed in ({}, {"header": False, "label": "1"}):
        assert (
            refusal(csv(tmp_path, content, row_names=True, **changed))
            == f"{CANNOT}dataset.row_names=true, and not every row has one field more than a header."
        )


@pytest.mark.parametrize("separator", [" ", ",", "tab"])
def test_row_names_of_r_are_not_used(separator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign = "\t" if separator == "tab" else separator
    lines = [sign.join(['"x"', '"kind"']), *(sign.join([f'"{n + 1}"', SQUARES[n], f'"{AB[n]}"']) for n in ROWS)]
    found = csv(tmp_path, "\n".join(lines), separator=separator).read()
    assert (
        found.columns == ("x",)
        and found.values[:, 0].tolist() == [*map(float, SQUARES)]
        and found.classes == ("a", "b")
    )
    said = capsys.readouterr().err
    assert "not used: Unnamed: 0 (names of the rows); to use it type" in said
    kept = CsvTable(str(tmp_path), "t.csv", "kind", separator=separator, keep=typed(said)["keep"])
    assert len(kept.load().train_images[0]) == 31


# --- 6: numbers with marks ---


@pytest.mark.parametrize(
    ("cells", "first", "asked"),
    [
        ([f"{n},5" for n in ROWS], 0.5, {"decimal": ","}),
        ([f"{n},5" if n % 2 else f"{n}" for n in ROWS], 0, {"decimal": ","}),
        ([f"-{n},25e1" for n in ROWS], -2.5, {"decimal": ","}),
        ([f"{n + 1},000,{n:03d}" for n in ROWS], 1_000_000, {"numeric": ["x"]}),
        ([f"{n * 1000:,}.50" for n in ROWS], 0.5, {"numeric": ["x"]}),
        ([f"1'{n:03d}" for n in ROWS], 1000, {"numeric": ["x"]}),
        ([f"1 {n:03d}" for n in ROWS], 1000, {"numeric": ["x"]}),
        ([f"2\u202f{n:03d},5" for n in ROWS], 2000.5, {"decimal": ",", "numeric": ["x"]}),
        ([f"1.{n:03d},50 €" for n in ROWS], 1000.5, {"decimal": ",", "numeric": ["x"]}),
        ([f"${n}.5" for n in ROWS], 0.5, {"numeric": ["x"]}),
        ([f"-£{n + 1}" for n in ROWS], -1, {"numeric": ["x"]}),
        ([f"{n} USD" for n in ROWS], 0, {"numeric": ["x"]}),
        ([f"{n}.5%" for n in ROWS], 0.5, {"numeric": ["x"]}),
        ([f"\u2212{n + 1}" for n in ROWS], -1, {"numeric": ["x"]}),
    ],
)
def test_numbers_with_marks_are_refused_with_what_reads_them(
    cells: list[str], first: float, asked: dict[str, Any], tmp_path: Path
) -> None:
    content = text(("x", cells), ("kind", AB), separator=";")
    message = refusal(csv(tmp_path, content, separator=";"))
    distinct = len({cell for cell in cells if not re.fullmatch(r"\d+(\.\d+)?", cell)})
    assert re.match(rf"t\.csv: column 'x' holds texts, {distinct} different ones in 30 rows, such as ", message)
    assert typed(message) == {**asked, "categorical": ["x"]}
    found = csv(tmp_path, content, separator=";", **asked).read()
    assert found.columns == ("x",) and found.values[0, 0] == first and len(set(found.values[:, 0])) == 30
    assert len(csv(tmp_path, content, separator=";", categorical=["x"]).read().columns) == 30


@pytest.mark.parametrize("whole", ["0", "-0", "00"])
def test_a_group_of_thousands_does_not_begin_with_a_zero(whole: str, tmp_path: Path) -> None:
    content = text(("x", [f"{whole},{n:03d}" if n else "1,250" for n in ROWS]), ("kind", AB), separator=";")
    message = refusal(csv(tmp_path, content, separator=";"))
    assert typed(message) == {"decimal": ",", "categorical": ["x"]}
    found = csv(tmp_path, content, separator=";", decimal=",").read()
    assert found.values[:2, 0].tolist() == [1.25, float(f"{whole}.001")]
    assert " has no number in row 2 (and 28 more): " in refusal(csv(tmp_path, content, separator=";", numeric=["x"]))


@pytest.mark.parametrize(
    "number", ["1" * 100_000 + "x", "-" + "1" * 100_000 + "e", "1" * 50_000 + "," + "1" * 50_000 + "x"]
)
def test_a_long_line_of_digits_is_decided_at_once(number: str) -> None:
    start = time.perf_counter()
    assert [columns.unmarked(number, decimal) for decimal in ".,"] == [None, None] and columns.in_order(
        ["2", number[:90] + "x"]
    )
    assert time.perf_counter() - start < 1


def test_what_a_comma_means_is_asked(tmp_path: Path) -> None:
    content = text(("x", [f"{n + 1},{n:03d}" for n in ROWS]), ("kind", AB), separator=";")
    assert (
        refusal(csv(tmp_path, content, separator=";"))
        == "t.csv: column 'x' holds texts, 30 different ones in 30 rows, such as '1,000'; to read them as numbers type"
        " 'dataset.numeric=[x]', or where the comma is a decimal one 'dataset.decimal=\",\"'; if they are names type"
        " 'dataset.categorical=[x]'"
    )
    assert csv(tmp_path, content, separator=";", numeric=["x"]).read().values[1, 0] == 2001
    assert csv(tmp_path, content, separator=";", decimal=",").read().values[1, 0] == 2.001


def test_a_decimal_point_where_commas_are_asked_for(tmp_path: Path) -> None:
    content = text(("x", [f"{n}.5" for n in ROWS]), ("kind", AB), separator=";")
    assert "numbers need a decimal comma" in refusal(csv(tmp_path, content, separator=";", decimal=","))
    mixed = text(("x", [f"{n}.5" if n % 2 else f"{n},5" for n in ROWS]), ("kind", AB), separator=";")
    assert "has no number, as others are in row 1 (and 14 more): 0,5" in refusal(csv(tmp_path, mixed, separator=";"))


@pytest.mark.parametrize("cells", [[f"{'$€'[n % 2]}{n}" for n in ROWS], [f"{n}{'%' * (n % 2)}" for n in ROWS]])
def test_numbers_of_different_units_are_no_one_column(cells: list[str], tmp_path: Path) -> None:
    content = text(("x", cells), ("kind", AB))
    assert "; they are numbers of different units, to be written in one; " in refusal(csv(tmp_path, content))
    found = refusal(csv(tmp_path, content, numeric=["x"]))
    assert (
        found
        == f"t.csv: column 'x' has numbers of different units, such as {cells[0]!r} and {cells[1]!r}; write them in"
        " one."
    )


def test_codes_that_look_like_numbers_are_categories_where_said(tmp_path: Path) -> None:
    parts = ("zip", ["01", "1", "10", "9", "1.0"] * 6), ("x", SQUARES), ("kind", ["a", "b", "b"] * 10)
    assert csv(tmp_path, text(*parts)).read().columns == ("zip", "x")
    found = csv(tmp_path, text(*parts), categorical=["zip"]).read()
    assert found.columns == ("zip",) * 5 + ("x",)
    assert found.values[:5, :5].tolist() == np.eye(5)[[0, 1, 4, 3, 2]].tolist(), "01, 1, 1.0, 9, 10"
    words = text(("x", ["1", "two", "3"] * 10), ("kind", AB))
    assert (
        refusal(csv(tmp_path, words, numeric=["x"]))
        == "t.csv: column 'x' has no number in row 2 (and 9 more): two; to leave the column out type 'dataset.drop=[x]'"
    )


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    content = text(("x", SQUARES), ("kind", AB))
    for first, second in (("drop", "keep"), ("drop", "categorical"), ("drop", "numeric"), ("categorical", "numeric")):
        message = refusal(csv(tmp_path, content, **{first: ["x"], second: ["x"]}))
        assert message == f"dataset.{first}, dataset.{second}: 'x' is in both; leave it out of one."
    for option in ("keep", "categorical", "numeric"):
        assert refusal(csv(tmp_path, content, **{option: ["kind"]})).startswith(
            f"dataset.{option}: 'kind' is the label; "
        )
        assert (
            refusal(csv(tmp_path, content, **{option: ["z"]}))
            == f"dataset.{option}: t.csv has no column 'z'; it has x, kind."
        )


# --- 7: separators and headers ---


@pytest.mark.parametrize("separator", ["tab", r"\t", "\t"])
def test_tabs_by_any_name(separator: str, tmp_path: Path) -> None:
    content = text(("x", SQUARES), ("kind", AB), separator="\t")
    assert csv(tmp_path, content, separator=separator).read().columns == ("x",)
    node = compose(["dataset=csv", f"dataset.separator='{separator}'", "dataset.file=t.tsv", "dataset.label=kind"])[
        "dataset"
    ]
    assert check(node, "dataset", Dataset) == [] or separator == "\t"


@pytest.mark.parametrize("name", ["t.tsv", "T.TSV", "t.tab"])
def test_a_file_of_tabs_says_so_by_its_name(name: str, tmp_path: Path) -> None:
    assert csv(tmp_path, text(("x", SQUARES), ("kind", AB), separator="\t"), name=name).read().columns == ("x",)
    assert csv(tmp_path, text(("x", SQUARES), ("kind", AB)), name=name).read().columns == ("x",), (
        "unless commas separate it"
    )


@pytest.mark.parametrize(
    ("sign", "named", "setting"),
    [(";", "';'", ";"), ("\t", "tab", "tab"), ("|", "'|'", "|"), ("   ", "blanks", "blanks")],
)
@pytest.mark.parametrize("header", [True, False])
def test_a_wrong_separator_is_told_the_right_one(
    sign: str, named: str, setting: str, header: bool, tmp_path: Path
) -> None:
    content, label = text(("x", SQUARES), ("kind", AB), separator=sign, header=header), "kind" if header else "1"
    message = refusal(csv(tmp_path, content, header=header, label=label))
    assert f" They seem to be separated by {named}: " in message and typed(message) == {"separator": setting}
    found = csv(tmp_path, content, header=header, label=label, separator=setting).read()
    assert found.values[:, 0].tolist() == [*map(float, SQUARES)]


@pytest.mark.parametrize("first", ["# created by tool", "@relation iris", "all of it on one line"])
def test_a_sentence_is_not_separated_by_blanks(first: str, tmp_path: Path) -> None:
    message = refusal(csv(tmp_path, f"{first}\n" + text(("x", SQUARES), ("kind", AB))))
    assert "separated" not in message and typed(message) == {}, message
    assert "separated" not in refusal(csv(tmp_path, first))


@pytest.mark.parametrize(("sign", "name"), [(";", "semicolon"), (",", "comma"), ("|", "pipe"), ("\t", "tab")])
def test_a_first_line_that_tells_excel_the_separator_is_no_row(sign: str, name: str, tmp_path: Path) -> None:
    content = f"sep={sign}\n" + text(("x", SQUARES), ("kind", AB), separator=sign)
    if sign != ",":
        assert typed(refusal(csv(tmp_path, content))) == {"separator": "tab" if sign == "\t" else sign}
    for setting in (sign, name):
        assert csv(tmp_path, content, separator=setting).read().values[:, 0].tolist() == [*map(float, SQUARES)]
    wrong = refusal(csv(tmp_path, content + f"1{sign}a{sign}3\n", separator=sign))
    assert f"line {len(ROWS) + 3} has 3 fields" in wrong, "the line still counts"


def test_a_decimal_comma_by_its_name(tmp_path: Path) -> None:
    content = text(("x", [f"{n},5" for n in ROWS]), ("kind", AB), separator=";")
    assert csv(tmp_path, content, separator="semicolon", decimal="comma").read().values[1, 0] == 1.5
    node = compose(
        ["dataset=csv", "dataset.separator=pipe", "dataset.decimal=point", "dataset.file=t.csv", "dataset.label=kind"]
    )["dataset"]
    assert check(node, "dataset", Dataset) == []


def test_aligned_columns_are_separated_by_blanks(tmp_path: Path) -> None:
    content = "x      kind\n" + "\n".join(f"{cell:6} {name}" for cell, name in zip(SQUARES, AB, strict=True))
    message = refusal(csv(tmp_path, content, separator=" "))
    assert typed(message) == {"separator": "blanks"}
    assert csv(tmp_path, content, separator="blanks").read().columns == ("x",)


def test_a_single_text_is_not_several(tmp_path: Path) -> None:
    message = refusal(csv(tmp_path, text(("x", ["1,000", *SQUARES[1:]]), ("kind", AB), separator=";"), separator=";"))
    assert message.startswith("t.csv: column 'x' holds texts, a single one in 30 rows, such as '1,000'; ")


def test_capitals_do_not_hide_the_nearest_name(tmp_path: Path) -> None:
    content = text(("X", SQUARES), ("kind", AB))
    assert typed(refusal(csv(tmp_path, content, label="KIND"))) == {"label": "kind"}
    assert typed(refusal(csv(tmp_path, content, drop=["x"]))) == {"drop": ["X"]}
    csv(tmp_path, content, name="DATA.CSV")
    assert "DATA.CSV" in refusal(CsvTable(str(tmp_path), "data.csv", "kind")).partition("Did you mean")[2]


def test_a_wrong_separator_among_decimal_commas_is_told_too(tmp_path: Path) -> None:
    content = text(("x,1", [f"{cell},5" for cell in SQUARES]), ("kind", AB), separator=";")
    assert typed(refusal(csv(tmp_path, content))) == {"separator": ";"}


def test_names_that_are_not_there_are_answered_with_what_to_type(tmp_path: Path) -> None:
    content = text(("Sample ID (lab)", [f"S{n}" for n in ROWS]), ("x", SQUARES), ("kind", AB))
    assert typed(refusal(csv(tmp_path, content))) == {"drop": ["Sample ID (lab)"]}
    assert refusal(csv(tmp_path, content, label="kinds")).endswith(" Did you mean 'kind'? Type dataset.label=kind")
    assert typed(refusal(csv(tmp_path, content, drop=["x", "Sample ID"]))) == {"drop": ["x", "Sample ID (lab)"]}
    assert refusal(csv(tmp_path, content, label="2")).endswith(
        "Without a header, columns are called 0, 1 and so on: dataset.header=false"
    )
    message = refusal(csv(tmp_path, text(("x", SQUARES), ("kind", AB)), label="1", header=False))
    assert (
        "column '0' has no number, as others are in row 1: x; if row 1 has the columns' names type"
        " dataset.header=true; " in message
    )


@pytest.mark.parametrize(
    ("pack", "name"),
    [
        (bz2.compress, "t.csv.bz2"),
        (lzma.compress, "t.tsv.xz"),
        (None, "t.csv.zip"),
        (lambda data: data.decode().encode("utf-16"), "t.tsv"),
    ],
)
def test_packed_files_and_other_codes(pack: Any, name: str, tmp_path: Path) -> None:
    content = text(("größe", SQUARES), ("kind", AB), separator="\t" if "tsv" in name else ",").encode()
    if pack is None:
        with zipfile.ZipFile(tmp_path / name, "w") as packed:
            packed.writestr("inner.csv", content)
        found = CsvTable(str(tmp_path), name, "kind")
    else:
        found = csv(tmp_path, pack(content), name=name)
    assert found.read().columns == ("größe",)


def test_a_file_of_another_code_names_its_first_such_line(tmp_path: Path) -> None:
    content = text(("x", SQUARES), ("kind", ["é" if n == 3 else "a" for n in ROWS])).encode("latin1")
    assert refusal(csv(tmp_path, content)) == f"{CANNOT}line 5 is not UTF-8 text; save the file as UTF-8."


def packed(folder: Path, *entries: str, protected: bool = False) -> CsvTable:
    """A zip file with a table by every name, and whether its header says that a password is needed."""
    with zipfile.ZipFile(folder / "t.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in entries:
            file.writestr(name, "" if name.endswith("/") else text(("x", SQUARES), ("kind", AB)))
    data = bytearray((folder / "t.zip").read_bytes())
    if protected:
        data[6] |= 1
        data[data.index(b"PK\1\2") + 8] |= 1
    (folder / "t.zip").write_bytes(data)
    return CsvTable(str(folder), "t.zip", "kind")


@pytest.mark.parametrize(
    "entries",
    [
        ("a.csv", "__MACOSX/._a.csv"),
        ("data/", "data/a.csv"),
        ("d/", "d/.DS_Store", "__MACOSX/", "d/._a.csv", "d/a.csv"),
    ],
)
def test_what_a_mac_adds_to_a_zip_file_is_no_table(
    entries: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert packed(tmp_path, *entries).read().values[:, 0].tolist() == [*map(float, SQUARES)]
    with pytest.raises(UserError, match="it holds 2 files, and one is needed"):
        packed(tmp_path, *entries, "b.csv").read()


def test_a_zip_file_is_unpacked_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    taken: list[int] = []
    inner = zipfile.ZipExtFile._read1
    monkeypatch.setattr(zipfile.ZipExtFile, "_read1", lambda self, n: taken.append(len(data := inner(self, n))) or data)
    rows = 200_000
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(
            "a.csv", content := text(("x", [str(n % 97) for n in range(rows)]), ("kind", ["a", "b"] * (rows // 2)))
        )
    assert CsvTable(str(tmp_path), "t.zip", "kind").read().values.shape == (rows, 1)
    assert sum(taken) < 1.5 * len(content) and max(taken) < len(content) // 4


def test_damaged_and_protected_files_are_refused_in_one_line(tmp_path: Path) -> None:
    found = packed(tmp_path, "a.tsv", protected=True)
    assert (
        refusal(found)
        == "t.zip cannot be read as a CSV file with separator ',': File 'a.tsv' is encrypted, password required for"
        " extraction."
    )
    packed(tmp_path, "a.csv")
    data = bytearray((tmp_path / "t.zip").read_bytes())
    data[8] = data[data.index(b"PK\1\2") + 10] = 97
    assert "compression method is not supported" in refusal(csv(tmp_path, bytes(data), name="t.csv.zip"))
    content = text(("x", [str(n * n) for n in range(3000)]), ("kind", ["a", "b"] * 1500)).encode()
    for suffix, pack in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        whole = pack(content)
        for name in (f"t.csv{suffix}", f"t.tsv{suffix}"):
            for damaged in (
                whole[:60],
                whole[:40] + b"\xff" * 40 + whole[80:],
                whole[:14] + b"\0\xff" * 20 + whole[54:],
                content,
            ):
                assert re.match(
                    rf"{re.escape(name)} cannot be read as a CSV file with separator .*\.",
                    refusal(csv(tmp_path, damaged, name=name)),
                )


def test_rows_of_several_lines_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = ["u", "v", '"foo', "u", 'foo"', "v"] * 5
    content = "x,kind,c\n" + "\n".join(f"{n % 7}.5,{AB[n]},{cells[n]}" for n in ROWS)
    assert len(csv(tmp_path, content).read().labels) == 20, "five quotes join three lines each"
    assert (
        capsys.readouterr().err
        == f"note: {tmp_path}/t.csv: quotes hold line breaks in 5 rows, the first in lines 4 to 6; a stray quote joins"
        " rows too\n"
    )
    content = text(("x", [f"{n}.5" for n in ROWS]), ("kind", AB)).replace("\n7.5,b", '\n"7.5\n",b')
    assert len(csv(tmp_path, content).read().labels) == 30
    assert "quotes hold line breaks in 1 row, the first in lines 9 to 10; " in capsys.readouterr().err


def test_a_quote_that_is_not_closed_in_a_long_file_is_named(tmp_path: Path) -> None:
    lines = [f"{n % 9}.25,text {n % 3},{'ab'[n % 2]}" for n in range(20_000)]
    lines[99] = '1.5,"text,a'
    assert (
        refusal(csv(tmp_path, "x,c,kind\n" + "\n".join(lines)))
        == f"{CANNOT}a quote that is opened in line 101 is not closed."
    )


# --- 8b: extremes ---


@pytest.mark.parametrize("power", [300, 160, -300, -160, 99, -99])
def test_columns_of_extreme_size_are_standardised(power: int, tmp_path: Path) -> None:
    cells = [f"{n * n + 1}e{power}" for n in ROWS]
    plain, extreme = (
        csv(tmp_path, text(("x", numbers), ("y", SQUARES), ("kind", AB))).load()
        for numbers in ([f"{n * n + 1}" for n in ROWS], cells)
    )
    torch.testing.assert_close(extreme.train_images, plain.train_images, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(extreme.test_images, plain.test_images, rtol=1e-5, atol=1e-6)


def test_what_no_number_holds_is_refused_with_column_and_row(tmp_path: Path) -> None:
    def of(third: str, **changed: Any) -> str:
        return refusal(
            csv(tmp_path, text(("x", [third if n == 2 else str(n * n) for n in ROWS]), ("kind", AB)), **changed)
        )

    aside = "; to leave the column out type 'dataset.drop=[x]'"
    for word in ("1e400", "-1e999", "inf", "-Infinity"):
        assert of(word) == f"t.csv: column 'x' has no finite number in row 3: {word}{aside}"
    assert (
        of("1e300", standardise=False)
        == "dataset: column 'x' has 1e+300 in row 3, too large for float32; dataset.standardise=true brings columns to"
        " mean 0 and standard deviation 1."
    )


@pytest.mark.parametrize("value", ["0.1", "7", "1e300", "-1e-300", "123456789.123"])
def test_a_constant_column_is_zero_and_a_stranger_to_it_no_giant(value: str, tmp_path: Path) -> None:
    found = csv(tmp_path, text(("same", [value] * 30), ("x", SQUARES), ("kind", AB))).load()
    assert found.train_images[:, 0].eq(0).all() and found.test_images[:, 0].eq(0).all()

    class Known(tables.Table):
        def read(self) -> Rows:
            values = np.full((30, 1), 0.1)
            values[test] = 0.2
            return Rows(values, np.array([0, 1] * 15), ("a", "b"))

    _, test = tables.stratified_split(np.array([0, 1] * 15), 0.2, 0)
    shown = Known(0.2, 0, True).load()
    torch.testing.assert_close(shown.test_images, torch.full_like(shown.test_images, 0.1))


def test_blocks_of_columns_give_the_bits_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(200, 7)) * 10.0 ** np.arange(-3, 4)
    train = np.arange(150)
    whole = ((values - values[train].mean(0)) / values[train].std(0)).astype(np.float32)
    assert np.array_equal(tables._standardised(values, train), whole)
    for width in (2, 3, 4, 6):
        monkeypatch.setattr(tables, "_BLOCK", width * 200)
        assert np.array_equal(tables._standardised(values, train), whole)


def test_a_table_beyond_the_machine_and_a_column_of_too_many_texts_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = text(("x", SQUARES), ("c", [f"t{n % 12}" for n in ROWS]), ("kind", AB))
    assert csv(tmp_path, content).read().columns == ("x",) + ("c",) * 12
    monkeypatch.setattr(columns, "MOST_TEXTS", 10)
    assert "column 'c' holds texts, more than 10" in refusal(csv(tmp_path, content)).replace("10,000", "10")
    monkeypatch.undo()
    monkeypatch.setattr(sizes, "memory", lambda device=None: 8100)
    assert (
        refusal(csv(tmp_path, content))
        == "t.csv: 30 rows of 13 columns; 'c' makes 12 of them: too large; it needs 9.1 KiB of memory at least, and"
        " this machine has 7.9 KiB"
    )


# --- identity ---


def test_settings_that_came_later_leave_runs_the_runs_they_were() -> None:
    """The run_ids of commit 613b6c4."""
    base = ("dataset=csv", "data_dir=/nowhere/data", "model=mlp", "threads=2", "dataset.label=species")
    packed = (
        "dataset.file=/abs/flowers.csv",
        "dataset.separator='\t'",
        "dataset.drop=[id,name]",
        "dataset.header=false",
    )
    third = (
        "dataset.file=sub/flowers.csv",
        "dataset.test_fraction=0.5",
        "dataset.split_seed=3",
        "dataset.standardise=false",
        "mix=mixup",
    )

    def identity(*words: str) -> str:
        return run_id(canonical(compose([*base, *words]), True))

    assert identity("dataset.file=flowers.csv") == "d612067567a4"
    assert identity(*packed) == "4344aefc2d93"
    assert identity(*third, "alpha=0.2") == "79025fd93eb2"
    others = (
        "keep=[x]",
        "missing=[NA]",
        "decimal=','",
        "categorical=[x]",
        "numeric=[x]",
        "keep=[]",
        "row_names=true",
        "row_names=false",
    )
    assert (
        len(
            {
                identity("dataset.file=flowers.csv", *(f"dataset.{word}" for word in words))
                for words in ((), *((word,) for word in others))
            }
        )
        == 9
    )


def test_a_run_from_before_a_setting_is_of_the_same_data_set(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text(("x", SQUARES), ("kind", AB)))
    config = config_of(
        "dataset=csv", f"dataset.file={tmp_path / 't.csv'}", "dataset.label=kind", "model=mlp", "batch_size=8"
    )
    old = {**config, "dataset": {key: value for key, value in config["dataset"].items() if key not in CsvTable.added}}
    assert run_id(old) == run_id(config) and build(old["dataset"]).read().columns == ("x",)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(old))
    (folder / "result.json").write_text('{"outcome": "finished", "steps": 1, "seconds": 1.0}')
    (folder / "checkpoint.pt").write_bytes(b"")
    assert another(str(folder), RunConfig.of(config)).dataset == config["dataset"]
