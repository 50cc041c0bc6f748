"""A cell beside what its source published: our centre, spread and interval, their number, and whether it lies within."""

from __future__ import annotations

from dataclasses import dataclass

from mixexp.report.inference import FEWEST_OF_MEDIANS, Interval, interval
from mixexp.report.scores import band, centre
from mixexp.report.tables import Table
from mixexp.settings import MIN_SEEDS

MARK = "†"
"""Beside a published value that lies outside our interval."""


@dataclass(frozen=True)
class Standing:
    """What a cell has by a selection rule, in displayed units; outside is None where there is no interval or nothing published."""

    values: list[float]
    ours: float | None
    spread: float | None
    interval: Interval | None
    published: float | None
    difference: float | None
    outside: bool | None


def standing(table: Table, row: str, column: str, rule: str | None = None) -> Standing:
    """A cell's standing by a rule, or by the table's own; runs that differ in more than their seed have no common number.

    spread: the standard deviation, or largest − smallest beside a median; None for fewer than two runs.
    """
    statistic = table.spec["statistic"]
    values = [] if (row, column) in table.unlike else table.values(row, column, rule)
    published = table.published(row, column)
    if not values:
        return Standing(values, None, None, None, published, None, None)
    ours, reach = centre(values, statistic), band(values, statistic)
    spread = None if len(values) < 2 else reach[0] if statistic == "mean" else sum(reach)
    found = interval(values, statistic)
    difference = None if published is None else ours - published
    outside = None if found is None or published is None else not found.holds(published)
    return Standing(values, ours, spread, found, published, difference, outside)


def legend(standings: list[Standing], statistic: str) -> str:
    """What the published columns and the mark mean for these cells, empty where nothing is published."""
    compared = [one for one in standings if one.published is not None]
    if not compared:
        return ""
    methods = list(dict.fromkeys(one.interval.method for one in compared if one.interval))
    words = f"In brackets: ours − published. {MARK}: the published value lies outside the 95 % interval of our {statistic}"
    if not methods:
        least = MIN_SEEDS if statistic == "mean" else FEWEST_OF_MEDIANS
        return f"In brackets: ours − published. No cell beside a published value has the {least} seeds that an interval needs."
    few = sum(one.interval is None for one in compared if one.values)
    lacking = f"; {few} of {sum(bool(one.values) for one in compared)} cells have no interval, for want of seeds or of spread" if few else ""
    return f"{words} ({', '.join(methods)}){lacking}."
