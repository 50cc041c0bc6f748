from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from mixexp.dataset.folders import SHOWN, find_path
from mixexp.dataset.table import Rows, Table
from mixexp.errors import UserError, closest


class CsvTable(Table):
    """Any CSV file: a column of labels, and columns of numbers or texts as features.

    Classes are the label column's values in rising order. A column of texts becomes one column for each of its values, in
    alphabetical order, 1 where a row has the value and else 0; a column of true and false is one of 1 and 0.
    file: a relative one is where the command is typed, else below root (data_dir). header: whether its first row names the columns; else they are called "0", "1"
    and so on. drop: columns that are no features, such as a row's number.
    """

    path = "file"

    def __init__(
        self,
        root: str,
        file: str,
        label: str,
        separator: Annotated[str, Field(min_length=1, max_length=1)] = ",",
        header: bool = True,
        drop: list[str] = [],  # never written to
        test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
        standardise: bool = True,
    ) -> None:
        super().__init__(test_fraction, split_seed, standardise)
        self.root, self.file, self.label, self.separator, self.header, self.drop = root, file, label, separator, header, list(drop)

    def read(self) -> Rows:
        """The table; raises UserError for a file, column or value that cannot be used, naming column and row (the first is 1)."""
        path = find_path("file", self.file, self.root)
        try:
            table = pd.read_csv(path, sep=self.separator, header=0 if self.header else None, index_col=False)
        except (OSError, ValueError) as error:  # pandas' own errors of parsing are ValueErrors
            raise UserError(f"{path} cannot be read as a CSV file with separator {self.separator!r}: {error}") from error
        table.columns = table.columns.map(str)
        for option, name in (("label", self.label), *(("drop", name) for name in self.drop)):
            if name not in table.columns:
                there = ", ".join(table.columns[:SHOWN]) + (" and more" if len(table.columns) > SHOWN else "")
                other = next((mark for mark in ";|" if len(table.columns) == 1 and mark in table.columns[0]), None)
                hint = f" They seem to be separated by {other!r}: 'dataset.separator=\"{other}\"'" if other else closest(name, table.columns)
                raise UserError(f"dataset.{option}: {path} has no column {name!r}; it has {there}.{hint}")
        if self.label in self.drop:
            raise UserError(f"dataset.drop: {self.label!r} is the label; leave it out of drop.")
        table = table.drop(columns=self.drop)
        for name in table.columns:
            _refuse(path, table, name, table[name].isna(), "no value")
        labels, classes = pd.factorize(table[self.label], sort=True)
        if len(classes) < 2:
            raise UserError(f"{path}: column {self.label!r} has {len(classes)} distinct values; a label needs 2 at least.")
        features = [_numbers(path, table, name) for name in table.columns if name != self.label]
        if not features:
            raise UserError(f"{path} has no column beside {self.label!r} to learn from.")
        return Rows(np.concatenate(features, axis=1), labels.astype(np.int64), tuple(map(str, classes)))


def _numbers(path: Path, table: pd.DataFrame, name: str) -> np.ndarray:
    """A column as float64 [N, 1], or of texts [N, its values]."""
    column = table[name]
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=np.float64)
        _refuse(path, table, name, ~np.isfinite(values), "no finite number")
        return values[:, None]
    known = pd.to_numeric(column, errors="coerce").notna()
    if known.any():
        _refuse(path, table, name, ~known, "no number, as others are")
    distinct = column.nunique()
    if distinct > max(20, len(column) // 2):  # decimal commas, or names of rows: a column for each would say nothing
        raise UserError(
            f"{path}: column {name!r} holds texts, {distinct} different ones in {len(column)} rows, such as {column.iloc[0]!r}; "
            f"numbers need a decimal point, and what names its row is left out by dataset.drop=[{name}]."
        )
    return (column.to_numpy()[:, None] == np.array(sorted(set(column)), dtype=object)).astype(np.float64)


def _refuse(path: Path, table: pd.DataFrame, name: str, wrong: pd.Series | np.ndarray, what: str) -> None:
    """Raise UserError where any of a column's rows are wrong."""
    rows = np.flatnonzero(wrong)
    if len(rows):
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        raise UserError(f"{path}: column {name!r} has {what} in row {rows[0] + 1}{more}: {table[name].iloc[rows[0]]!s}.")
