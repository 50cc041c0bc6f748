"""A table's statistics, computed once: cells against published values, and settings compared by seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from mixexp.errors import closest
from mixexp.metrics import FRACTIONS
from mixexp.reporting.entries import UNSET
from mixexp.reporting.runs import seeds_of, unlike_pair
from mixexp.reporting.stats import LEVEL, Interval, Paired, Statistic, holm
from mixexp.reporting.tables import Entry, Table, spec_of, with_no_mixing
from mixexp.settings import MIN_SEEDS
from mixexp.text import in_shell, listed
from mixexp.training.reader import Run

MAX_PAIRWISE = 6
"""The most entries of an axis that are all compared with one another; more would need too many tests."""
ALL_PAIRS = "all"
"""The special baseline for a comparison of all pairs."""
MARK = "†"
"""The mark of a published value outside the runs' interval."""
STAR = "*"
"""The mark of a difference whose p, adjusted for all tests of the table, is below 1 − LEVEL."""


@dataclass(frozen=True)
class CellSummary:
    """The summary of a cell by a selection rule, in displayed units.

    spread: the standard deviation, or largest − smallest with a median; None for fewer than two runs. outside: None
    without an interval or a published value.
    """

    values: list[float]
    ours: float | None
    spread: float | None
    interval: Interval | None
    published: float | None
    difference: float | None
    outside: bool | None


@dataclass(frozen=True)
class Contrast:
    """`ours` − `theirs`, two labels of one axis, at `place`, a label of the other.

    unpaired: the number of runs without a partner.
    """

    place: str
    ours: str
    theirs: str
    result: Paired
    unpaired: int
    detectable: float | None = None
    adjusted: float | None = None

    @property
    def significant(self) -> bool:
        """True where the difference is significant after the correction for all tests of the table."""
        return self.adjusted is not None and self.adjusted < 1 - LEVEL


Scores = Mapping[tuple, tuple[Run, float]]
"""A cell's runs and their numbers by their seeds."""


@dataclass(frozen=True)
class ComparedCell:
    """A cell in a comparison: the labels of its row and column, and its numbers."""

    place: tuple[str, str]
    scores: Scores


@dataclass(frozen=True)
class Group:
    """Cells that are compared with one another, by their labels along that axis; place: the label that they share."""

    place: str
    cells: Mapping[str, ComparedCell]


def cell_summary(table: Table, row: str, column: str, rule: str | None = None) -> CellSummary:
    """A cell's summary by a rule, or by the table's own; unlike runs have no common number."""
    key = ("cell", row, column, rule or table.rule)
    if key not in table.statistics:
        table.statistics[key] = _cell_summary(table, row, column, rule)
    return table.statistics[key]


def _cell_summary(table: Table, row: str, column: str, rule: str | None) -> CellSummary:
    values = [] if (row, column) in table.unlike else table.values(row, column, rule)
    published = table.published(row, column)
    if not values:
        return CellSummary(values, None, None, None, published, None, None)
    ours, interval = table.statistic.centre(values), table.statistic.interval(values)
    spec = spec_of(table.spec, table.measures[measure]) if (measure := table.measure_of(row, column)) else table.spec
    interval = within_limits(interval, ours, spec)
    spread = table.statistic.spread(values) if len(values) > 1 else None
    difference = None if published is None else ours - published
    outside = None if interval is None or published is None else not interval.holds(published)
    return CellSummary(values, ours, spread, interval, published, difference, outside)


def within_limits(interval: Interval | None, centre: float, spec: Mapping[str, Any]) -> Interval | None:
    """The interval of a metric; that of a fraction is cut at 0 and 1, which Student's t does not know."""
    if interval is None or spec["metric"] not in FRACTIONS or not 0 <= centre <= spec["scale"]:
        return interval
    return replace(interval, low=max(interval.low, 0.0), high=min(interval.high, float(spec["scale"])))


def legend(cells: list[CellSummary], statistic: Statistic) -> str:
    """The legend of the published columns and the mark for these cells; empty where nothing is published."""
    compared = [cell for cell in cells if cell.published is not None]
    if not compared:
        return ""
    methods = list(dict.fromkeys(cell.interval.method for cell in compared if cell.interval))
    words = (
        f"In brackets: ours − published. {MARK}: the published value lies outside the 95 % interval of our"
        f" {statistic.name}"
    )
    if not methods:
        return (
            f"In brackets: ours − published. No cell beside a published value has the {statistic.least} seeds that an"
            " interval needs."
        )
    few = sum(cell.interval is None for cell in compared if cell.values)
    run = sum(bool(cell.values) for cell in compared)
    lacking = f"; {few} of {run} cells have no interval, for want of seeds or of spread" if few else ""
    return f"{words} ({', '.join(methods)}){lacking}."


def contrasts(table: Table, rule: str | None = None) -> list[Contrast]:
    """Every comparison of the table, with p adjusted over all of them that could be tested.

    With table.baseline, each entry of its axis is compared with it. Without one, each entry with mixing is compared
    with the entry without mixing that is otherwise equal. Without that, and with ALL_PAIRS, all pairs are compared, if
    there are at most MAX_PAIRWISE entries. A baseline to which a setting does not apply (no mixing has no alpha) is the
    same in every row. Runs are paired by seed and data_seed; a cell of unlike runs is left out.
    """
    key = ("contrasts", rule or table.rule)
    if key not in table.statistics:
        table.statistics[key] = _contrasts(table, rule)
    return table.statistics[key]


def _contrasts(table: Table, rule: str | None) -> list[Contrast]:
    pairs = _pairs(table)
    raw = []
    for group in compared_groups(table, rule):
        for ours, theirs in pairs:
            sides = [group.cells[entry.label].scores for entry in (ours, theirs)]
            result = compared(table, *sides)
            # runs of one seed may be unlike
            if result.n or (all(sides) and not sides[0].keys() & sides[1].keys()):
                raw.append(Contrast(group.place, ours.label, theirs.label, result, sum(map(len, sides)) - 2 * result.n))
    tested = [contrast for contrast in raw if contrast.result.p is not None]
    adjusted = iter(holm([contrast.result.p for contrast in tested]))
    corrected = (
        replace(contrast, detectable=contrast.result.detectable(len(tested)), adjusted=next(adjusted))
        for contrast in tested
    )
    return [contrast if contrast.result.p is None else next(corrected) for contrast in raw]


def compared_groups(table: Table, rule: str | None = None) -> list[Group]:
    """The groups of cells compared by a rule: those of a row where columns are compared, of a column where rows are.

    Measures that are only shown form no group.
    """
    key = ("groups", rule or table.rule)
    if key not in table.statistics:
        axis = compared_axis(table)
        idle = _idle(table, axis)
        others = table.columns if axis == "rows" else table.rows
        table.statistics[key] = [
            Group(
                other.label,
                {entry.label: _compared_cell(table, axis, idle, entry, other, rule) for entry in getattr(table, axis)},
            )
            for other in others
            if other.measure is None or other.measure.get("compared", True)
        ]
    return table.statistics[key]


def compared(table: Table, ours: Scores, theirs: Scores) -> Paired:
    """Two cells compared on the seeds that both have; without a difference where they share none."""
    shared = [seeds for seeds in ours if seeds in theirs and not unlike_pair(ours[seeds][0], theirs[seeds][0])]
    return (
        table.statistic.paired(*([scores[seeds][1] for seeds in shared] for scores in (ours, theirs)))
        if shared
        else Paired(0, None)
    )


def baseline_problem(table: Table) -> str:
    """The error of a baseline that is not a row or column, or of a table too large for all pairs; empty without one."""
    name = table.spec["baseline"]
    labels = [entry.label for axis in ("rows", "columns") if _comparable(table, axis) for entry in getattr(table, axis)]
    if name and name not in (*labels, ALL_PAIRS):
        there = listed(map(in_shell, labels), name)
        return (
            f"The baseline {in_shell(name)} is not a row or column of this table, so nothing is compared with"
            f" it.{closest(name, labels)} There are {there}."
        )
    axis = compared_axis(table)
    testable = any(len(members) >= MIN_SEEDS for members in table.cells.values())
    if name in (None, "", ALL_PAIRS) and testable and len(getattr(table, axis)) > MAX_PAIRWISE and not _pairs(table):
        return (
            f"With more than {MAX_PAIRWISE} {axis}, they are compared only with one of them: --baseline LABEL, or"
            " table.baseline."
        )
    return ""


def compared_axis(table: Table) -> str:
    """The axis along which runs are compared: that of the baseline, and never that of measures.

    Measures are different quantities of the same runs. Without a baseline on an axis it is the columns, wherever
    `swap` shows them.
    """
    first, second = ("rows", "columns") if table.spec["swap"] else ("columns", "rows")
    for axis in (first, second):
        if _comparable(table, axis) and table.spec["baseline"] in [entry.label for entry in getattr(table, axis)]:
            return axis
    return first if _comparable(table, first) and len(getattr(table, first)) > 1 else second


def _comparable(table: Table, axis: str) -> bool:
    return all(entry.measure is None for entry in getattr(table, axis))


def _pairs(table: Table) -> list[tuple[Entry, Entry]]:
    """The pairs of rows or columns to compare, the baseline second."""
    axis, name = compared_axis(table), table.spec["baseline"]
    entries = getattr(table, axis) if _comparable(table, axis) else []
    if (name and name != ALL_PAIRS) or name in [entry.label for entry in entries]:
        return [(entry, base) for base in entries if base.label == name for entry in entries if entry.label != name]
    matching = [] if name == ALL_PAIRS else with_no_mixing(entries)
    return matching or (
        [(later, earlier) for earlier, later in combinations(entries, 2)] if len(entries) <= MAX_PAIRWISE else []
    )


def _compared_cell(table: Table, axis: str, idle: bool, entry: Entry, other: Entry, rule: str | None) -> ComparedCell:
    """The cell of a row or column and an entry of the other axis.

    A baseline without the latter's setting has only one.
    """
    place = _place(axis, entry.label, other.label)
    if place not in table.cells and idle and entry.label == table.spec["baseline"]:
        place = _place(axis, entry.label, UNSET)
    members = [] if place in table.unlike else table.cells.get(place, [])
    scores = {seeds_of(run): (run, table.score(run, *place, rule)) for run in members}
    return ComparedCell(place, {seeds: (run, score) for seeds, (run, score) in scores.items() if score is not None})


def _idle(table: Table, axis: str) -> bool:
    """True where the other axis's setting does not apply to the baseline: none of its runs has a value of it."""
    baseline_axis, other_axis = (0, 1) if axis == "rows" else (1, 0)
    places = [
        place
        for run in table.runs
        if run.config
        for place in table.places(run)
        if place[baseline_axis] == table.spec["baseline"]
    ]
    return bool(places) and all(place[other_axis] == UNSET for place in places)


def _place(axis: str, entry: str, other: str) -> tuple[str, str]:
    return (entry, other) if axis == "rows" else (other, entry)
