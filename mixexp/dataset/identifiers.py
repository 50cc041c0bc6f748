"""Columns that identify rows or classes without information: numbers of rows, and other names of the classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from mixexp.dataset.columns import NUMBER, Column

FEW = 10
"""Number of rows below which a column that numbers the rows or renames the classes may be chance."""
SPARSE = 4
"""Largest range, as a multiple of the rows, of distinct whole numbers that may number the rows of a reduced table."""
# a first column without a name, also in a file that pandas has read and written again
NAMELESS = re.compile(r"Unnamed: 0(\.\d+)*")
# "...1" is readr's name for a column without one
_OF_ROWS = re.compile(r"\.\.\.\d+|Unnamed: \d+|id|index|row|row[ ._]?names?", re.IGNORECASE)


def numbers_rows(column: Column) -> Literal["no", "numbers the rows", "a number for each row", "maybe"]:
    """Verdict on row numbers: consecutive whole numbers from 0 or more, or distinct ones under a name for row numbers.

    "maybe" is for distinct whole numbers with a few gaps. The order of the rows does not matter.
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
    """Verdict on other names of the classes: one value for each class; "may rename" if it can be chance.

    It can be chance with few rows, or if a class has a single row.
    """
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
    """True if it is 1 or true exactly in the rows of one class, as in a one-hot coding of the label."""
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
