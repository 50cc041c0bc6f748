"""The cells that a table sets in bold: the best of those that are compared with one another, and all that are not told apart from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mixexp.reporting import summary
from mixexp.reporting.runs import unlike_pair
from mixexp.reporting.stats import LEVEL, REL_TOL, Paired, holm
from mixexp.reporting.tables import Table, spec_of
from mixexp.training.reader import Run

MOST_COMPARED = 100
"""Cells of a group; of more, the best is the luckiest, and the tests take seconds."""
Place = tuple[str, str]
Scores = Mapping[tuple, tuple[Run, float]]
"""A cell's runs and their numbers by their seeds."""


@dataclass(frozen=True)
class Best:
    """The places of the best cells, a row's and a column's label each, and the sentence that says what bold means, or why nothing is."""

    places: frozenset[Place]
    legend: str


def best(table: Table, rule: str | None = None) -> Best:
    """The best cells by a rule: of each group that is compared, the best and those whose difference from it is within the seeds' noise.

    A group is a column where rows are compared, and a row where columns are. Its cells are compared with its best one by the test of the
    table's differences, on the seeds that both have, with Holm's correction over all of these comparisons, as the differences have it over
    theirs: of two settings, both say the same. A cell with too few seeds for a test is no candidate. A baseline that the group's setting
    does not apply to takes part in every group, and is best where it is in all.
    """
    key = ("best", rule or table.rule)
    if key not in table.statistics:
        table.statistics[key] = _best(table, rule)
    return table.statistics[key]


def _best(table: Table, rule: str | None) -> Best:
    axis = summary._axis(table)
    if any(entry.measure is not None for entry in getattr(table, axis)) or len(getattr(table, axis)) < 2:
        return Best(frozenset(), "")
    if len(getattr(table, axis)) > MOST_COMPARED:
        return Best(frozenset(), f"Nothing is bold: more than {MOST_COMPARED} {axis} are not compared with their best.")
    groups = list(_groups(table, axis, rule))
    rivals = [_with_best(table, cells, higher) for higher, cells in groups]
    adjusted = iter(holm([p for compared in rivals for p in compared.values() if p is not None]))
    stood: dict[Place, list[bool]] = {}
    for compared in rivals:
        for place, p in compared.items():
            stood.setdefault(place, []).append(p is None or next(adjusted) >= 1 - LEVEL)
    most = max((len(scores) for _, cells in groups for scores in cells.values()), default=0)
    return Best(frozenset(place for place, of_groups in stood.items() if all(of_groups)), _legend(table, axis, bool(stood), most))


def _legend(table: Table, axis: str, told: bool, most: int) -> str:
    """The meaning of bold, or why nothing is; most: the most seeds that a cell has."""
    least, group = table.statistic.least, "column" if axis == "rows" else "row"
    if told:
        return (
            f"Bold: the best of each {group}, and all that is not told apart from it ({table.statistic.test} on the seeds that both have, "
            f"p ≥ {1 - LEVEL:.2g} after Holm's correction over the table). Cells with fewer than {least} seeds are not compared."
        )
    why = f"to tell the best of a {group} takes {least} seeds" if most < least else f"no two cells of a {group} have been compared"
    return f"Nothing is bold: {why}." if most else ""


def _groups(table: Table, axis: str, rule: str | None) -> Iterator[tuple[bool, dict[Place, Scores]]]:
    """The cells that are compared with one another, by their places, and whether the higher number is the better one."""
    idle = summary._idle(table, axis)
    for other in table.columns if axis == "rows" else table.rows:
        spec = table.spec if other.measure is None else spec_of(table.spec, other.measure)
        cells: dict[Place, Scores] = {}
        for entry in getattr(table, axis):
            place = summary._place(axis, entry.label, other.label)
            if place not in table.cells and idle and entry.label == table.spec["baseline"]:
                place = summary._place(axis, entry.label, summary.UNSET)
            if scores := summary._scores(table, axis, idle, entry, other, rule):
                cells[place] = scores
        yield spec["better"] == "higher", cells


def _with_best(table: Table, cells: Mapping[Place, Scores], higher: bool) -> dict[Place, float | None]:
    """The p of each cell's difference from the best one: None for the best itself and what is the same; empty where nothing is compared."""
    statistic = table.statistic
    numbers = {place: [score for _, score in scores.values()] for place, scores in cells.items() if len(scores) >= statistic.least}
    centres = {place: statistic.centre(values) for place, values in numbers.items()}
    if len(centres) < 2:
        return {}
    first = (max if higher else min)(centres, key=centres.__getitem__)
    results = {place: _compared(table, cells[place], cells[first]) for place in centres if place != first}
    told = {place: result.p for place, result in results.items() if result and (result.p is not None or _same(result, centres[first]))}
    return {first: None, **told} if told else {}


def _compared(table: Table, ours: Scores, theirs: Scores) -> Paired | None:
    shared = [seeds for seeds in ours if seeds in theirs and not unlike_pair(ours[seeds][0], theirs[seeds][0])]
    if len(shared) < table.statistic.least:
        return None
    return table.statistic.paired(*([scores[seeds][1] for seeds in shared] for scores in (ours, theirs)))


def _same(result: Paired, scale: float) -> bool:
    """True where the two have the same number with every seed."""
    return abs(result.difference) <= REL_TOL * abs(scale)
