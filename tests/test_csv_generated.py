"""Forty tables written in the ways that programs write them, with the right answer known: whatever the order of the
rows and the chunks."""

from __future__ import annotations

import gzip
import random
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from mixexp.dataset import delimited
from mixexp.dataset.csv_table import CsvTable

CLASSES = (
    ["setosa", "versicolor", "virginica"],
    ["1", "01", "001"],
    ["1e3", "1000", "999"],
    ["1e400", "2e400", "ffe1"],
    ["1e400", "2e400", "-3"],
    ["NA", "nan", "null", "None", "N/A"],
    ["A1", "7", "12B", "0x1F"],
    ["10", "9", "-1", "2.5"],
    ["True", "False"],
    ["a,b", 'say "x"', "it's", "x;y|z"],
    ["Zürich", "Łódź", "東京"],
)
TEXTS = (
    ["low", "mid", "high"],
    ["NA", "DE", "FR"],
    ["inf", "nan", "-"],
    ["a, b", "c;d", 'e"f'],
    ["two words", "x  y"],
    ["x\ny", "z"],
)
INDICES = ("none", "nameless", "from 0", "from 1", "row names", "copy of the label", "shuffled", "pandas twice")
NUMBERS = (
    "floats",
    "huge",
    "tiny",
    "whole",
    "constant",
    "exponents",
    "thousands",
    "per cent",
    "money",
    "codes",
    "truths",
)
PROPERTIES: dict[str, tuple[Any, ...]] = {
    "separator": (",", ";", "tab", "|", "blanks", ".tsv", r"\t"),
    "decimal": (".", ","),
    "classes": CLASSES,
    "texts": TEXTS,
    "index": INDICES,
    "numbers": NUMBERS,
    "quotes": ("where needed", "all", "names"),
    "blanks": ("", " ", "\t "),
    "line end": ("\n", "\r\n", "\r"),
    "header": (True, True, False),
    "begin": ("", "\ufeff", "\n\n"),
    "end": ("", "separator at every line's end", "blank lines", "no line break"),
    "size": (40, 25, 60, 33),
}
TABLES = 40


class Case(NamedTuple):
    """A table's texts by column, what is to be asked, and the right answer."""

    names: list[str]
    cells: list[list[str]]
    asked: dict[str, Any]
    classes: list[str]
    labels: list[int]
    features: list[tuple[str, list[float]]]


def styles() -> list[dict[str, Any]]:
    """Every value of every property in several tables, in combinations of chance."""
    rng, columns = random.Random(0), {}
    for name, values in PROPERTIES.items():
        columns[name] = (list(values) * TABLES)[:TABLES]
        rng.shuffle(columns[name])
    return [{name: column[k] for name, column in columns.items()} for k in range(TABLES)]


def is_number(text: str) -> bool:
    try:
        return "_" not in text and Fraction(text) is not None
    except ValueError:
        return False


def ordered(texts: list[str]) -> list[str]:
    return sorted(texts, key=lambda text: (Fraction(text), text)) if all(map(is_number, texts)) else sorted(texts)


def numbers(kind: str, decimal: str, rows: int, rng: random.Random) -> tuple[list[str], list[float]]:
    """How a column of numbers is written, and what it holds."""
    whole = [rng.randrange(1, 2_000_000) for _ in range(rows)]
    floats = [rng.gauss(0, 10) for _ in range(rows)]
    if kind == "thousands":
        texts = [f"{value:,}".replace(",", "'") for value in whole]
        return texts, [float(value) for value in whole]
    if kind == "per cent":
        return [f"{value % 100} %" for value in whole], [float(value % 100) for value in whole]
    if kind == "money":
        texts = [f"{'-' if value % 2 else ''}€{value % 1000}.{value % 90 + 10}" for value in whole]
        return [text.replace(".", decimal) for text in texts], [float(text.replace("€", "")) for text in texts]
    values = {
        "huge": [value * 1e299 for value in floats],
        "tiny": [value * 1e-299 for value in floats],
        "whole": [float(value) for value in whole],
        "constant": [0.1] * rows,
    }.get(kind, floats)
    texts = [
        f"{value:.0f}" if kind == "whole" else f"{value:+.17E}" if kind == "exponents" else repr(value)
        for value in values
    ]
    return [text.replace(".", decimal) for text in texts], [float(text) for text in texts]


def one_hot(name: str, texts: list[str]) -> list[tuple[str, list[float]]]:
    return [(name, [float(text == value) for text in texts]) for value in ordered(list(set(texts)))]


def make(style: dict[str, Any], seed: int) -> Case:
    rng = random.Random(seed)
    rows, several = style["size"], style["classes"]
    labels = [several[k % len(several)] for k in range(rows)]
    rng.shuffle(labels)
    decimal = "." if style["separator"] == "," and style["quotes"] != "all" else style["decimal"]
    columns: list[tuple[str, list[str]]] = []
    features: list[tuple[str, list[float]]] = []
    asked: dict[str, Any] = {"decimal": decimal} if decimal != "." else {}

    def name(wanted: str) -> str:
        """What a column is called: by its place where there is no header."""
        return wanted if style["header"] else str(len(columns))

    def index(texts: list[str], wanted: str) -> None:
        columns.append((wanted, texts))

    counted = [str(k) for k in range(rows)]
    if style["index"] == "nameless" and style["header"]:
        index([f"r{k}" for k in range(rows)], "")
    elif style["index"] == "row names" and style["header"]:
        index([str(k + 1) for k in range(rows)], "row names")
    elif style["index"] == "pandas twice" and style["header"]:
        index([str(7 * k) for k in range(rows)], "Unnamed: 0.1")
    elif style["index"] == "from 0":
        index(counted, name("id"))
    elif style["index"] == "from 1":
        index([str(k + 1) for k in range(rows)], name("id"))
    elif style["index"] == "shuffled":
        index([f"{k:03d}" for k in rng.sample(range(rows), rows)], name("rank"))

    texts, values = numbers(
        style["numbers"] if style["numbers"] not in ("codes", "truths") else "floats", decimal, rows, rng
    )
    if style["numbers"] in ("thousands", "per cent", "money"):
        asked["numeric"] = [name("size (cm)")]
    features.append((name("size (cm)"), values))
    columns.append((name("size (cm)"), texts))
    multi = style["separator"] == "blanks" or style["line end"] != "\n"
    several = [text for text in style["texts"] if not (multi and "\n" in text)] + ["other"]
    chosen = [rng.choice(several) for _ in range(rows)]
    features += one_hot(name("colour"), chosen)
    columns.append((name("colour"), chosen))
    if style["numbers"] == "codes":
        codes = [rng.choice(["01", "1", "10", "9"]) for _ in range(rows)]
        asked["categorical"] = [name("zip")]
        features += one_hot(name("zip"), codes)
        columns.append((name("zip"), codes))
    if style["numbers"] == "truths":
        truths = [rng.choice(["true", "false"]) for _ in range(rows)]
        features.append((name("wild"), [float(text == "true") for text in truths]))
        columns.append((name("wild"), truths))
    asked["label"] = name("kind")
    columns.append((name("kind"), labels))
    if style["index"] == "copy of the label":
        columns.append((name("kind"), labels))
    classes = ordered(list(set(labels)))
    return Case(
        [n for n, _ in columns],
        [c for _, c in columns],
        asked,
        classes,
        [classes.index(text) for text in labels],
        features,
    )


def write(case: Case, style: dict[str, Any], order: list[int], path: Path) -> None:
    """The file with its rows in an order, written by hand."""
    sign = {"tab": "\t", r"\t": "\t", ".tsv": "\t", "blanks": " "}.get(style["separator"], style["separator"])
    pad = (
        style["blanks"].replace("\t", "" if sign in "\t " else "\t")
        if sign == " " or "\t" in style["blanks"]
        else style["blanks"]
    )

    def field(text: str, name: bool = False) -> str:
        risky = any(letter in text for letter in (sign, '"', "\n", "\r")) or (
            sign == " " and (not text or "\t" in text)
        )
        quoted = risky or style["quotes"] == "all" or (name and style["quotes"] == "names")
        written = '"' + text.replace('"', '""') + '"' if quoted else text
        return f"{written}{pad}" if quoted else f"{pad}{written}{pad}"

    names = case.names[1:] if case.names[0] == "row names" else case.names
    lines = [sign.join(field(name, name=True) for name in names)] if style["header"] else []
    lines += [sign.join(field(column[row]) for column in case.cells) for row in order]
    if style["end"].startswith("separator") and sign != " ":
        lines = [f"{line}{sign}" for line in lines]
    ending = style["line end"]
    text = (
        style["begin"] + ending.join(lines) + {"no line break": "", "blank lines": ending * 3}.get(style["end"], ending)
    )
    path.write_bytes(text.encode())


def read(path: Path, case: Case, style: dict[str, Any]) -> Any:
    separator = "," if style["separator"] == ".tsv" else style["separator"]
    return CsvTable(str(path.parent), path.name, separator=separator, header=style["header"], **case.asked).read()


@pytest.mark.parametrize("number", range(TABLES))
def test_a_generated_table_is_what_it_is(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    style = styles()[number]
    case = make(style, number)
    path = tmp_path / ("table.tsv" if style["separator"] == ".tsv" else "table.csv")
    straight = list(range(style["size"]))
    write(case, style, straight, path)
    found = read(path, case, style)
    assert list(found.classes) == case.classes
    assert found.labels.tolist() == case.labels
    assert list(found.columns) == [name for name, _ in case.features]
    assert np.array_equal(found.values, np.array([values for _, values in case.features]).T)

    monkeypatch.setattr(delimited, "CELLS", 13)
    again = read(path, case, style)
    assert np.array_equal(again.values, found.values) and again.labels.tolist() == case.labels, "whatever the chunks"
    for order in (
        straight[::-1],
        random.Random(number).sample(straight, len(straight)),
        sorted(straight, key=case.labels.__getitem__),
    ):
        write(case, style, order, path)
        other = read(path, case, style)
        assert (other.classes, list(other.columns)) == (found.classes, list(found.columns)), "whatever the order"
        assert np.array_equal(other.values, found.values[order]) and other.labels.tolist() == [
            case.labels[row] for row in order
        ]


def test_every_way_of_writing_is_among_them() -> None:
    made = styles()
    assert all(any(style[name] == value for style in made) for name, values in PROPERTIES.items() for value in values)


def test_a_wide_table(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(50, 1000))
    lines = [",".join([*(f"c{k}" for k in range(1000)), "kind"])]
    lines += [",".join([*map(repr, row), f"k{n % 3}"]) for n, row in enumerate(values.tolist())]
    (tmp_path / "wide.csv").write_text("\n".join(lines))
    table = CsvTable(str(tmp_path), "wide.csv", "kind")
    assert np.array_equal(table.read().values, values)
    assert table.load().train_images.shape == (41, 1000, 1, 1)


def test_a_long_table_is_decided_over_all_of_its_rows(tmp_path: Path) -> None:
    """The last rows have the only class of letters, and the only text that makes a column one of texts."""
    rows = 120_000
    first = [f"{n % 7},{n % 10 + 0.5},{'b' if n % 3 else 'a'}" for n in range(rows)]
    labels = [line.partition(",")[0] for line in first]
    with gzip.open(tmp_path / "long.csv.gz", "wt") as file:
        file.write("kind,x,c\n" + "\n".join(first) + "\nA9,1.5,z\nA9,2.5,z\n")
    found = CsvTable(str(tmp_path), "long.csv.gz", "kind").read()
    assert found.classes == ("0", "1", "2", "3", "4", "5", "6", "A9") and list(found.columns) == ["x", "c", "c", "c"]
    assert found.labels.tolist() == [*map(int, labels), 7, 7]
    assert found.values[-1].tolist() == [2.5, 0, 0, 1] and found.values[:-2, 3].sum() == 0
