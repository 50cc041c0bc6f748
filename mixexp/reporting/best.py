"""The cells that a table sets in bold: in each group, those that no other cell is shown to be better than."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from mixexp.reporting.cells import in_words
from mixexp.reporting.stats import LEVEL, Paired, holm
from mixexp.reporting.summary import ComparedCell, Group, compared, compared_axis, compared_groups, contrasts
from mixexp.reporting.tables import Table, spec_of

MOST_COMPARED = 16
"""The most cells of a group; with more pairs, no realistic number of seeds would distinguish two of them."""
Place = tuple[str, str]


@dataclass(frozen=True)
class Best:
    """The places of the best cells, a row's and a column's label each, and the sentence on the meaning of bold.

    The sentence gives the reason where nothing is bold.
    """

    places: frozenset[Place]
    legend: str


def best(table: Table, rule: str | None = None) -> Best:
    """The best cells by a rule: in each compared group, those that no other cell is shown to be better than.

    Bold and the table's comparisons are one family of tests: where these hold every pair of a group's highest mean (or
    median) with another cell, as with a baseline that is the best or with all pairs, bold has their p, corrected over
    them. Elsewhere bold has the p of all pairs of the table, corrected by Holm over all of these, since which one is
    the best is known only afterwards; it can then leave together what a star tells apart, never the other way round. Of
    tables of 2 to 9 settings and 1 to 5 rows, with 3 to 10 seeds and no effect anywhere, 2 to 5 % have one that is not
    bold (pytest tests/test_findings.py -k without_an_effect); with Holm over each row's pairs of the best alone, 5 to
    30 % would. A cell that shares too few seeds with any other, or has a diverged run, is no candidate. A baseline that
    the group's setting does not apply to takes part in every group, and is best where it is in all.
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
    by_all = iter(holm([result.p for *_, result in results if result.p is not None]))
    of_pairs = [None if result.p is None else next(by_all) for *_, result in results]
    asked = {
        (contrast.place, frozenset((contrast.ours, contrast.theirs))): contrast.adjusted
        for contrast in contrasts(table, rule)
    }
    pairs = [(group.place, frozenset((ours, theirs))) for group, ours, theirs, _ in results]
    tops = {group.place: _top(table, group, results) for group in groups}
    own_family = all(pair in asked for pair in pairs if tops[pair[0]] in pair[1])
    if own_family:
        of_pairs = [asked.get(pair) for pair in pairs]
    stood: dict[Place, bool] = {}
    for (group, ours, theirs, result), p in zip(results, of_pairs, strict=True):
        first, second = group.cells[ours].place, group.cells[theirs].place
        for place in (first, second):
            stood.setdefault(place, True)
        if p is not None and p < 1 - LEVEL and result.difference is not None:
            stood[second if (result.difference > 0) == _higher(table, group) else first] = False
    family = "the table's comparisons" if own_family else f"all pairs within {_groups(axis)}s"
    bold = frozenset(place for place, best in stood.items() if best)
    return Best(bold, _legend(table, axis, groups, stood, family))


def _top(table: Table, group: Group, results: Sequence[tuple[Group, str, str, Paired]]) -> str | None:
    """The cell with the best mean or median among those of a group that are tested; None where none is."""
    tested = dict.fromkeys(label for tested, *pair, _ in results if tested is group for label in pair)
    centres = {
        label: table.statistic.centre([score for _, score in group.cells[label].scores.values()]) for label in tested
    }
    choose = max if _higher(table, group) else min
    return choose(centres, key=centres.__getitem__, default=None)


def _legend(table: Table, axis: str, groups: Sequence[Group], tested: Collection[Place], family: str) -> str:
    """The meaning of bold, or why nothing is; tested: the places of the cells that others are compared with."""
    least, group = table.statistic.least, _groups(axis)
    cells = [cell for members in groups for cell in members.cells.values() if cell.scores]
    if tested:
        # with settings that a row's own does not apply to, such as alpha for none
        everywhere = [place for place, count in Counter(cell.place for cell in cells).items() if count > 1]
        beside = f", {in_words(everywhere)} included" if everywhere else ""
        left = [place for place in dict.fromkeys(cell.place for cell in cells) if place not in tested]
        share, have = ("share", "have") if len(left) > 1 else ("shares", "has")
        diverged = f" or {have} diverged runs" * any("diverged" in endings for endings in table.lost.values())
        reason = f"which {share} fewer than {least} seeds with any other cell{diverged}"
        out = f" Left out: {in_words(left)}, {reason}." if left else ""
        highest = {_higher(table, members) for members in groups}
        best = "the best" if len(highest) > 1 else f"the {'highest' if highest.pop() else 'lowest'}"
        return (
            f"Bold: {best} of each {group}{beside}, and every cell not shown to be worse than another"
            f" ({table.statistic.test} over shared seeds, p < {1 - LEVEL:.2g} after Holm's correction over {family})."
            f"{out}"
        )
    most = max((len(cell.scores) for cell in cells), default=0)
    alike = " of runs that are alike" * bool(table.unlike)
    why = (
        f"to tell the best of a {group} takes {least} seeds"
        if most < least
        else f"no two cells of a {group} share {least} seeds{alike}"
    )
    return f"Nothing is bold: {why}." if most else ""


def _groups(axis: str) -> str:
    """The word for the cells that are compared along an axis."""
    return "column" if axis == "rows" else "row"


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
