"""Columns that tell rows or classes apart without saying anything of them: numbers of rows, and other names of the
classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from mixexp.dataset.columns import NUMBER, Column

FEW = 10
"""Rows below which columns that number the rows or rename the classes are taken for chance."""
SPARSE = 4
"""As many times the rows is the range of whole numbers, all different, that may be numbers of rows of which some were
left out."""
NAMELESS = re.compile(
    r"Unnamed: 0(\.\d+)*"
)  # a first column without a name, also in a file that pandas has read and written again
_OF_ROWS = re.compile(
    r"\.\.\.\d+|Unnamed: \d+|id|index|row|row[ ._]?names?", re.IGNORECASE
)  # "...1" is readr's for a column without one


def numbers_rows(column: Column) -> Literal["no", "numbers the rows", "a number for each row", "maybe"]:
    """Whether its values are consecutive whole numbers from 0 on or more, or all different under a name that says so,
    or may be such.

    Whatever the order of the rows.
    """
    if column.rows < FEW or column.texts or column.occurrences:
        return "no"
    values = column.values()
    whole = (values[:FEW] % 1 == 0).all() and (values % 1 == 0).all() and np.abs(values).max() < 2**53
    if not whole or len(np.unique(values)) < len(values):
        return "no"
    low, span = values.min(), values.max() - values.min() + 1
    if low >= 0 and span == len(values):
        return "numbers the rows"
    if _OF_ROWS.fullmatch(column.name):
        return "a number for each row"
    return "maybe" if low >= 0 and span <= SPARSE * len(values) else "no"


def tells_classes(column: Column, labels: np.ndarray, classes: Sequence[str]) -> Literal["no", "renames", "may rename"]:
    """Whether every class has one value of its own; in few rows, or where a class has a single one, it may be
    chance."""
    if "missing" in column.occurrences or (column.others and column.numbers) or column.too_many:
        return "no"
    if column.codes_of:
        count, codes = len(column.codes_of), column.codes()
    else:
        values = column.values()
        if len(np.unique(values[:1000])) > len(classes):
            return "no"
        distinct, codes = np.unique(values, return_inverse=True)
        count = len(distinct)
    if count != len(classes) or len(pairs := np.unique(codes.astype(np.int64) * count + labels)) != count:
        return "no"
    if column.rows >= FEW and np.bincount(labels).min() > 1:
        return "renames"
    numbers = [float(name) if NUMBER["."].fullmatch(name) else None for name in classes]
    same = not column.codes_of and all(distinct[pair // count] == numbers[pair % count] for pair in pairs)
    return "renames" if same else "may rename"


def tells_one_class(column: Column, labels: np.ndarray) -> bool:
    """Whether it is 1 or true in all rows of one class and in no others, as a column of several that code the label
    is."""
    if (
        column.rows < FEW
        or column.texts
        or "missing" in column.occurrences
        or (column.others and (column.numbers or column.too_many))
    ):
        return False
    values = column.truths() if column.codes_of else column.values()
    if values is None or not np.isin(values[:FEW], (0, 1)).all() or not np.isin(values, (0, 1)).all():
        return False
    ones = labels[values == 1]
    return len(ones) > 1 and (ones == ones[0]).all() and len(ones) == (labels == ones[0]).sum()
