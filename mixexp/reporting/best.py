"""The cells that a table sets in bold: of those that are compared with one another, all that no other one is shown to
be better than."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from mixexp.reporting.stats import LEVEL, Paired, holm
from mixexp.reporting.summary import ComparedCell, Group, compared, compared_axis, compared_groups, contrasts
from mixexp.reporting.tables import Table, spec_of

MOST_COMPARED = 16
"""Cells of a group; among the pairs of more, no number of seeds that anybody has would tell two apart."""
Place = tuple[str, str]


@dataclass(frozen=True)
class Best:
    """The places of the best cells, a row's and a column's label each, and the sentence that says what bold means, or
    why nothing is."""

    places: frozenset[Place]
    legend: str


def best(table: Table, rule: str | None = None) -> Best:
    """The best cells by a rule: of each group that is compared, those that no other one of it is shown to be better
    than.

    All pairs of a group are tested as the table's differences are, on the seeds that both have, with Holm's correction
    over all pairs of the table, since the best is known only afterwards; a pair that is one of the table's differences
    has their p, so that bold and stars agree. Of settings without an effect, 5 to 8 % of tables have one that is not
    bold (3 to 9 settings, 3 to 10 seeds, simulated). A cell that shares too few seeds with any other, or has a diverged
    run, is no candidate. A baseline that the group's setting does not apply to takes part in every group, and is best
    where it is in all.
    """
    key = ("best", rule or table.rule)
    if key not in table.statistics:
        table.statistics[key] = _best(table, rule)
    return table.statistics[key]


def _best(table: Table, rule: str | None) -> Best:
    axis = compared_axis(table)
    if any(entry.measure is not None for entry in getattr(table, axis)) or len(getattr(table, axis)) < 2:
        return Best(frozenset(), "")
    if len(getattr(table, axis)) > MOST_COMPARED:
        return Best(
            frozenset(), f"Nothing is bold: more than {MOST_COMPARED} {axis} are not compared with one another."
        )
    groups = compared_groups(table, rule)
    results = [(group, ours, theirs, result) for group in groups for ours, theirs, result in _pairs(table, group)]
    adjusted = iter(holm([result.p for *_, result in results if result.p is not None]))
    told = {
        (contrast.place, frozenset((contrast.ours, contrast.theirs))): contrast.adjusted
        for contrast in contrasts(table, rule)
    }
    stood: dict[Place, bool] = {}
    for group, ours, theirs, result in results:
        by_all = 1.0 if result.p is None else next(adjusted)
        p = told.get((group.place, frozenset((ours, theirs))), by_all)
        first, second = group.cells[ours].place, group.cells[theirs].place
        for place in (first, second):
            stood.setdefault(place, True)
        if p is not None and p < 1 - LEVEL and result.difference is not None:
            stood[second if (result.difference > 0) == _higher(table, group) else first] = False
    most = max((len(cell.scores) for group in groups for cell in group.cells.values()), default=0)
    return Best(frozenset(place for place, best in stood.items() if best), _legend(table, axis, bool(stood), most))


def _legend(table: Table, axis: str, told: bool, most: int) -> str:
    """The meaning of bold, or why nothing is; most: the most seeds that a cell has."""
    least, group = table.statistic.least, "column" if axis == "rows" else "row"
    if told:
        diverged = " and cells with diverged runs" * any("diverged" in endings for endings in table.lost.values())
        return (
            f"Bold: the best of each {group}, and all that is not told apart from it: no other is shown to be better"
            f" ({table.statistic.test} on the seeds that both have, p < {1 - LEVEL:.2g} after Holm's correction over"
            f" all pairs, or over the table's own comparisons). Cells that share fewer than {least} seeds with any"
            f" other{diverged} take no part."
        )
    why = (
        f"to tell the best of a {group} takes {least} seeds"
        if most < least
        else f"no two cells of a {group} share {least} seeds"
    )
    return f"Nothing is bold: {why}." if most else ""


def _pairs(table: Table, group: Group) -> Iterator[tuple[str, str, Paired]]:
    """The pairs of a group's cells that share enough seeds, and their differences."""
    cells: Mapping[str, ComparedCell] = {
        label: cell
        for label, cell in group.cells.items()
        if cell.scores and "diverged" not in table.lost.get(cell.place, ())
    }
    for ours, theirs in combinations(cells, 2):
        result = compared(table, cells[ours].scores, cells[theirs].scores)
        if result.n >= table.statistic.least:
            yield ours, theirs, result


def _higher(table: Table, group: Group) -> bool:
    """True if the higher number of a group's cells is the better one."""
    measure = table.measures.get(group.place)
    return (table.spec if measure is None else spec_of(table.spec, measure))["better"] == "higher"
