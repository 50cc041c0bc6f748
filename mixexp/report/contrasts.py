"""Rows or columns of a table compared with one another, run by run with the same seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from mixexp.errors import closest
from mixexp.report.inference import LEVEL, Paired, holm, paired
from mixexp.report.runs import other_data
from mixexp.report.tables import UNSET, Entry, Table
from mixexp.run.reader import Run
from mixexp.settings import MIN_SEEDS
from mixexp.text import in_shell, listed

AT_MOST = 6
"""Entries of an axis that are all compared with one another; of more, there would be more tests than any seeds can bear."""
STAR = "*"
"""Beside a difference whose p, adjusted for all tests of the table, is below 1 − LEVEL."""


@dataclass(frozen=True)
class Contrast:
    """`ours` − `theirs`, two labels of one axis, at `place`, a label of the other; unpaired counts the runs without a partner."""

    place: str
    ours: str
    theirs: str
    found: Paired
    unpaired: int
    adjusted: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the difference is more than the seeds' noise, after the correction for all tests of the table."""
        return self.adjusted is not None and self.adjusted < 1 - LEVEL


def contrasts(table: Table, rule: str | None = None) -> list[Contrast]:
    """Every comparison the table calls for, with p adjusted over all of them that could be tested.

    With table.baseline, each entry of its axis against it; without one, all pairs, where there are at most AT_MOST.
    A baseline that a setting does not apply to (no mixing has no alpha) is the same in every row. Runs are paired by seed and data_seed;
    a cell of unlike runs is left out.
    """
    axis, pairs = _pairs(table)
    idle = _idle(table, axis)
    found = []
    for other in table.columns if axis == "rows" else table.rows:
        for ours, theirs in pairs:
            scores = [_scores(table, axis, idle, entry, other, rule) for entry in (ours, theirs)]
            shared = [key for key in scores[0] if key in scores[1] and not other_data(scores[0][key][0], scores[1][key][0])]
            if shared:
                sides = [[side[key][1] for key in shared] for side in scores]
                alone = len(scores[0]) + len(scores[1]) - 2 * len(shared)
                found.append((other.label, ours.label, theirs.label, sides, alone))
    statistic = table.spec["statistic"]
    first = [paired(*sides, statistic) for *_, sides, _ in found]
    tests = sum(one.p is not None for one in first)
    results = [Contrast(*labels, paired(*sides, statistic, max(tests, 1)), alone) for *labels, sides, alone in found]
    adjusted = iter(holm([one.found.p for one in results if one.found.p is not None]))
    return [one if one.found.p is None else dataclasses.replace(one, adjusted=next(adjusted)) for one in results]


def baseline_problem(table: Table) -> str:
    """What to say of a baseline that is no row and no column, and of a table too large for all pairs; empty when all is well."""
    name = table.spec["baseline"]
    labels = [entry.label for axis in ("rows", "columns") if _comparable(table, axis) for entry in getattr(table, axis)]
    if name and name not in labels:
        there = listed(map(in_shell, labels), name)
        return f"The baseline {in_shell(name)} is no row or column of this table, so nothing is compared with it.{closest(name, labels)} There are {there}."
    axis = _axis(table)
    testable = any(len(members) >= MIN_SEEDS for members in table.cells.values())
    if not name and testable and len(getattr(table, axis)) > AT_MOST:
        return f"With more than {AT_MOST} {axis}, they are compared only with one of them: --baseline LABEL, or table.baseline."
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
    return axis, [(later, earlier) for earlier, later in combinations(entries, 2)] if len(entries) <= AT_MOST else []


def _scores(table: Table, axis: str, idle: bool, entry: Entry, other: Entry, rule: str | None) -> dict[tuple, tuple[Run, float]]:
    """A cell's runs and their numbers by their seeds."""
    place = _place(axis, entry.label, other.label)
    if place not in table.cells and idle and entry.label == table.spec["baseline"]:
        place = _place(axis, entry.label, UNSET)
    if place in table.unlike:
        return {}
    scores = {_seeds(run): (run, table.score(run, *place, rule)) for run in table.cells.get(place, [])}
    return {key: (run, score) for key, (run, score) in scores.items() if score is not None}


def _idle(table: Table, axis: str) -> bool:
    """Whether the other axis's setting does not apply to the baseline: none of its runs, however it ended, has a value of it."""
    own, other = (0, 1) if axis == "rows" else (1, 0)
    places = [place for run in table.runs if run.config for place in table.places(run) if place[own] == table.spec["baseline"]]
    return bool(places) and all(place[other] == UNSET for place in places)


def _place(axis: str, entry: str, other: str) -> tuple[str, str]:
    return (entry, other) if axis == "rows" else (other, entry)


def _seeds(run: Run) -> tuple:
    return run.setting("seed"), run.setting("data_seed")
