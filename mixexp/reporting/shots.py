"""Recall of the classes with many, medium and few training images, for each cell of a table, as sheet and records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from mixexp.errors import UserError
from mixexp.metrics import FEW, MANY, by_limits, by_thirds
from mixexp.reporting.cells import cells_of, entries_of
from mixexp.reporting.confusion import confusion_of, training_counts
from mixexp.reporting.csv_files import rounded
from mixexp.reporting.entries import label
from mixexp.reporting.runs import uneven
from mixexp.reporting.sheets import Sheet, ours
from mixexp.reporting.summary import CellSummary, within_limits
from mixexp.reporting.tables import Table
from mixexp.spec.table import of_metric
from mixexp.training.reader import Run

GROUPS = ("many", "medium", "few")
DECIMALS = 2
"""The decimals of per cent, in tables of another unit."""


@dataclass(frozen=True)
class Shots:
    """The recall of each group of classes in per cent, by the labels of a row and a column.

    Measures have an empty label.

    thirds: whether groups are thirds of the classes, instead of the limits. classes: the sizes of the groups, for each
    run of a cell.
    """

    thirds: bool
    cells: dict[tuple[str, str], dict[str, CellSummary]]
    classes: dict[tuple[str, str], dict[str, list[int]]]

    @property
    def limits(self) -> dict[str, str]:
        """The limits of the groups in words, for groups with classes alone."""
        words = (
            ("largest third", "middle third", "smallest third")
            if self.thirds
            else (f"> {MANY}", f"{FEW}–{MANY}", f"< {FEW}")
        )
        return {
            group: each
            for group, each in zip(GROUPS, words, strict=True)
            if any(cell[group].values for cell in self.cells.values())
        }

    @property
    def words(self) -> str:
        """The limits in a caption."""
        if self.thirds:
            return "groups: thirds of the classes by training images"
        return f"groups: many > {MANY}, medium {FEW}–{MANY}, few < {FEW} training images"

    @property
    def method(self) -> str:
        """The grouping of the classes, as a sentence."""
        if self.thirds:
            usual = f"the usual limits (more than {MANY}, fewer than {FEW}) would leave some runs with one group"
            return f"The classes are in thirds by their training images, those of one size together, as {usual}."
        cut = f"many: more than {MANY} training images of the class, medium: {FEW} to {MANY}, few: fewer than {FEW}"
        return f"{cut[0].upper()}{cut[1:]} (Liu et al. 2019); other codes cut elsewhere."


def shots(table: Table) -> Shots | None:
    """The recall by group of the cells whose runs have classes of unequal sizes; None without any; computed once."""
    if "shots" not in table.statistics:
        table.statistics["shots"] = _shots(table)
    return table.statistics["shots"]


def _shots(table: Table) -> Shots | None:
    measured = {(row.label, column.label): list(_measured(runs)) for row, column, runs in cells_of(table)}
    measured = {place: runs for place, runs in measured.items() if runs}
    if not measured:
        return None
    # for the whole table, so that a column has one meaning
    thirds = any(len(set(by_limits(counts))) < 2 for runs in measured.values() for counts, _ in runs)
    cells, classes = {}, {}
    for place, runs in measured.items():
        grouped = [(np.array(by_thirds(counts) if thirds else by_limits(counts)), recall) for counts, recall in runs]
        members = {
            group: [recall[(groups == group) & np.isfinite(recall)] for groups, recall in grouped] for group in GROUPS
        }
        cells[place] = {
            group: _summary(table, [float(each.mean()) for each in members[group] if len(each)]) for group in GROUPS
        }
        classes[place] = {group: [len(each) for each in members[group]] for group in GROUPS}
    return Shots(thirds, cells, classes)


def _measured(runs: Iterable[Run]) -> Iterable[tuple[list[int], np.ndarray]]:
    """Training images and recall in per cent of each class, of the runs with unequal classes that record both."""
    for run in runs:
        if uneven(run):
            try:
                recall = 100 * confusion_of(run).recall
                yield training_counts(run, len(recall)), recall
            except UserError:
                continue


def sizes(table: Table, runs: Iterable[Run]) -> dict[str, list[int]]:
    """The training images of the classes of each group, in order, over the runs with unequal classes."""
    found, members = shots(table), {group: set() for group in GROUPS}
    for counts, _ in _measured(runs):
        if found is None:
            break
        for group, count in zip(by_thirds(counts) if found.thirds else by_limits(counts), counts, strict=True):
            members[group].add(count)
    return {group: sorted(counts) for group, counts in members.items()}


def _summary(table: Table, values: list[float]) -> CellSummary:
    if not values:
        return CellSummary(values, None, None, None, None, None, None)
    spread = table.statistic.spread(values) if len(values) > 1 else None
    centre = table.statistic.centre(values)
    recall = of_metric("accuracy")  # a fraction too
    interval = within_limits(table.statistic.interval(values), centre, recall)
    return CellSummary(values, centre, spread, interval, None, None, None)


def heading(table: Table) -> str:
    """The heading of the sheet."""
    return (
        f"Recall of classes with many, medium and few training images (%), last evaluation, {table.statistic.heading}"
    )


def sheet(table: Table) -> Sheet | None:
    """A row for each cell, a column for each group that has classes; None where no cell has unequal classes."""
    found = shots(table)
    if found is None:
        return None
    axes = [axis for axis in ("rows", "columns") if len(entries_of(table, axis)) > 1] or ["rows"]
    shown = table if table.spec["scale"] == 100 else replace(table, spec={**table.spec, "decimals": DECIMALS})
    rows = []
    for place, groups in found.cells.items():
        names = [name for axis, name in zip(("rows", "columns"), place, strict=True) if axis in axes]
        rows.append(
            [*(name or "all runs" for name in names), *(ours(shown, *place, groups[group]) for group in found.limits)]
        )
    head = [label(table.spec[axis].get("label") or "") for axis in axes]
    counted = {group: {count for cell in found.classes.values() for count in cell[group]} for group in found.limits}
    names = [f"{group} ({limits}{_classes(counted[group])})" for group, limits in found.limits.items()]
    mean = "A run's number is the mean over the classes of the group"
    return Sheet([*head, *names], rows, len(axes), f"{found.method} {mean}.")


def _classes(counts: set[int]) -> str:
    """The number of a group's classes, where all runs have the same."""
    return f"; {(count := next(iter(counts)))} class{'es' * (count != 1)}" if len(counts) == 1 else ""


def _whole(number: float) -> float:
    """The number, without a decimal point where it is whole."""
    return int(number) if number.is_integer() else number


def records(table: Table) -> list[dict[str, Any]]:
    """One record for each cell and group with classes, recall in per cent.

    ``spread`` is the sd, or max − min with a median.
    """
    found = shots(table)
    if found is None:
        return []
    rows = []
    for (row, column), groups in found.cells.items():
        for group, limits in found.limits.items():
            summary, interval = groups[group], groups[group].interval
            if summary.values:
                record = {
                    "row": row,
                    "column": column,
                    "group": group,
                    "limits": limits,
                    "classes": _whole(fmean(found.classes[row, column][group])),
                    "recall": summary.ours,
                    "spread": summary.spread,
                    "n": len(summary.values),
                    "statistic": table.spec["statistic"],
                    "min": min(summary.values),
                    "max": max(summary.values),
                    "interval_low": interval and interval.low,
                    "interval_high": interval and interval.high,
                    "interval_method": interval and interval.method,
                }
                rows.append(rounded(record, {"decimals": DECIMALS}))
    return rows
