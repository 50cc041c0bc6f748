"""A table's statistics, each computed once: its cells beside what was published, and its settings compared run by run of the same seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from mixexp.errors import closest
from mixexp.reporting.entries import UNSET
from mixexp.reporting.runs import seeds_of, unlike_pair
from mixexp.reporting.stats import LEVEL, Interval, Paired, Statistic, holm
from mixexp.reporting.tables import Entry, Table
from mixexp.settings import MIN_SEEDS
from mixexp.text import in_shell, listed
from mixexp.training.reader import Run

MAX_PAIRWISE = 6
"""Entries of an axis that are all compared with one another; of more, there would be more tests than any seeds can bear."""
MARK = "†"
"""Beside a published value that lies outside our interval."""
STAR = "*"
"""Beside a difference whose p, adjusted for all tests of the table, is below 1 − LEVEL."""


@dataclass(frozen=True)
class CellSummary:
    """The summary of a cell by a selection rule, in displayed units; outside is None where there is no interval or nothing published.

    spread: the standard deviation, or largest − smallest beside a median; None for fewer than two runs.
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
    """`ours` − `theirs`, two labels of one axis, at `place`, a label of the other; unpaired counts the runs without a partner."""

    place: str
    ours: str
    theirs: str
    result: Paired
    unpaired: int
    detectable: float | None = None
    adjusted: float | None = None

    @property
    def significant(self) -> bool:
        """True where the difference is more than the seeds' noise, after the correction for all tests of the table."""
        return self.adjusted is not None and self.adjusted < 1 - LEVEL


def cell_summary(table: Table, row: str, column: str, rule: str | None = None) -> CellSummary:
    """A cell's summary by a rule, or by the table's own; runs that differ in more than their seed have no common number."""
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
    spread = table.statistic.spread(values) if len(values) > 1 else None
    difference = None if published is None else ours - published
    outside = None if interval is None or published is None else not interval.holds(published)
    return CellSummary(values, ours, spread, interval, published, difference, outside)


def legend(cells: list[CellSummary], statistic: Statistic) -> str:
    """The legend of the published columns and the mark for these cells; empty where nothing is published."""
    compared = [cell for cell in cells if cell.published is not None]
    if not compared:
        return ""
    methods = list(dict.fromkeys(cell.interval.method for cell in compared if cell.interval))
    words = f"In brackets: ours − published. {MARK}: the published value lies outside the 95 % interval of our {statistic.name}"
    if not methods:
        return f"In brackets: ours − published. No cell beside a published value has the {statistic.least} seeds that an interval needs."
    few = sum(cell.interval is None for cell in compared if cell.values)
    run = sum(bool(cell.values) for cell in compared)
    lacking = f"; {few} of {run} cells have no interval, for want of seeds or of spread" if few else ""
    return f"{words} ({', '.join(methods)}){lacking}."


def contrasts(table: Table, rule: str | None = None) -> list[Contrast]:
    """Every comparison the table calls for, with p adjusted over all of them that could be tested.

    With table.baseline, each entry of its axis against it; without one, each of runs with mixing against that without which is else alike;
    without that, all pairs, where there are at most MAX_PAIRWISE.
    A baseline that a setting does not apply to (no mixing has no alpha) is the same in every row. Runs are paired by seed and data_seed;
    a cell of unlike runs is left out.
    """
    key = ("contrasts", rule or table.rule)
    if key not in table.statistics:
        table.statistics[key] = _contrasts(table, rule)
    return table.statistics[key]


def _contrasts(table: Table, rule: str | None) -> list[Contrast]:
    axis, pairs = _pairs(table)
    idle = _idle(table, axis)
    raw = []
    entries = {entry.label: entry for pair in pairs for entry in pair}
    for other in table.columns if axis == "rows" else table.rows:
        scores = {label: _scores(table, axis, idle, entry, other, rule) for label, entry in entries.items()}
        for ours, theirs in pairs:
            sides = scores[ours.label], scores[theirs.label]
            shared = [key for key in sides[0] if key in sides[1] and not unlike_pair(sides[0][key][0], sides[1][key][0])]
            if shared:
                result = table.statistic.paired(*([side[key][1] for key in shared] for side in sides))
                raw.append(Contrast(other.label, ours.label, theirs.label, result, len(sides[0]) + len(sides[1]) - 2 * len(shared)))
    tested = [contrast for contrast in raw if contrast.result.p is not None]
    adjusted = iter(holm([contrast.result.p for contrast in tested]))
    corrected = (replace(contrast, detectable=contrast.result.detectable(len(tested)), adjusted=next(adjusted)) for contrast in tested)
    return [contrast if contrast.result.p is None else next(corrected) for contrast in raw]


def baseline_problem(table: Table) -> str:
    """The problem of a baseline that is no row and no column, or of a table too large for all pairs; empty when all is well."""
    name = table.spec["baseline"]
    labels = [entry.label for axis in ("rows", "columns") if _comparable(table, axis) for entry in getattr(table, axis)]
    if name and name not in labels:
        there = listed(map(in_shell, labels), name)
        return f"The baseline {in_shell(name)} is no row or column of this table, so nothing is compared with it.{closest(name, labels)} There are {there}."
    axis = _axis(table)
    testable = any(len(members) >= MIN_SEEDS for members in table.cells.values())
    if not name and testable and len(getattr(table, axis)) > MAX_PAIRWISE and not _with_no_mixing(getattr(table, axis)):
        return f"With more than {MAX_PAIRWISE} {axis}, they are compared only with one of them: --baseline LABEL, or table.baseline."
    return ""


def _axis(table: Table) -> str:
    """The axis along which runs are compared: that of the baseline; never measures, which are different quantities of the same runs."""
    for axis in ("columns", "rows"):
        if _comparable(table, axis) and table.spec["baseline"] in [entry.label for entry in getattr(table, axis)]:
            return axis
    return "columns" if _comparable(table, "columns") and len(table.columns) > 1 else "rows"


def _comparable(table: Table, axis: str) -> bool:
    return all(entry.measure is None for entry in getattr(table, axis))


def _pairs(table: Table) -> tuple[str, Iterable[tuple[Entry, Entry]]]:
    axis, name = _axis(table), table.spec["baseline"]
    entries = getattr(table, axis) if _comparable(table, axis) else []
    if name:
        return axis, [(entry, base) for base in entries if base.label == name for entry in entries if entry.label != name]
    matching = _with_no_mixing(entries)
    return axis, matching or ([(later, earlier) for earlier, later in combinations(entries, 2)] if len(entries) <= MAX_PAIRWISE else [])


def _with_no_mixing(entries: Sequence[Entry]) -> list[tuple[Entry, Entry]]:
    """Each row or column of runs with mixing beside that without, which is alike in all other settings that it has; empty without any."""
    bases = [entry for entry in entries if entry.compared.get("mix") == "none"]
    others = [entry for entry in entries if entry.compared.get("mix") not in (None, "none")]
    settings = [{key: value for key, value in base.compared.items() if key != "mix" and value is not None} for base in bases]
    alike = zip(bases, settings, strict=True)
    return [(entry, base) for base, same in alike for entry in others if all(entry.compared.get(key) == value for key, value in same.items())]


def _scores(table: Table, axis: str, idle: bool, entry: Entry, other: Entry, rule: str | None) -> dict[tuple, tuple[Run, float]]:
    """A cell's runs and their numbers by their seeds."""
    place = _place(axis, entry.label, other.label)
    if place not in table.cells and idle and entry.label == table.spec["baseline"]:
        place = _place(axis, entry.label, UNSET)
    if place in table.unlike:
        return {}
    scores = {seeds_of(run): (run, table.score(run, *place, rule)) for run in table.cells.get(place, [])}
    return {key: (run, score) for key, (run, score) in scores.items() if score is not None}


def _idle(table: Table, axis: str) -> bool:
    """True where the other axis's setting does not apply to the baseline: none of its runs, however it ended, has a value of it."""
    baseline_axis, other_axis = (0, 1) if axis == "rows" else (1, 0)
    places = [place for run in table.runs if run.config for place in table.places(run) if place[baseline_axis] == table.spec["baseline"]]
    return bool(places) and all(place[other_axis] == UNSET for place in places)


def _place(axis: str, entry: str, other: str) -> tuple[str, str]:
    return (entry, other) if axis == "rows" else (other, entry)
