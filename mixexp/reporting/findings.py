"""The findings of a table's comparisons, in a sentence: the differences beyond the seeds' noise, or none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mixexp.reporting import sheets
from mixexp.reporting.entries import label
from mixexp.reporting.stats import LEVEL, POWER
from mixexp.reporting.summary import Contrast, compared_axis, compared_groups, contrasts
from mixexp.reporting.tables import Table, spec_of
from mixexp.settings import REPEATS
from mixexp.spec.table import scale

_NUMBER = re.compile(r"[−-]?[\d.,]+(e[+-]?\d+)?")
MOST_SHOWN = 1e7
"""The size from which numbers are shown with two figures."""
MOST_NAMED = 5
"""The most differences that are named; of more, those with the smallest p."""


def findings(table: Table, rule: str | None = None) -> str:
    """The sentence on the table's comparisons by a rule.

    Without comparisons, it states that a single seed says nothing about others, or is empty.
    """
    comparisons = contrasts(table, rule)
    tested = [contrast for contrast in comparisons if contrast.adjusted is not None]
    if not comparisons:
        single = bool(table.cells) and all(len(members) == 1 for members in table.cells.values())
        return (
            f"One seed: nothing says what another one would give. {_more_seeds(table, 'an interval')}."
            if single
            else ""
        )
    if not tested:
        return _untested(table, rule, max(contrast.result.n for contrast in comparisons))
    shown = [contrast for contrast in tested if contrast.significant]
    common = {contrast.theirs for contrast in comparisons}
    baseline = _name(table, common.pop()) if len(common) == 1 else ""
    left = len(comparisons) - len(tested)
    rest = f" {left} more could not be tested." if left else ""
    if not shown:
        return _nothing(table, tested, baseline) + rest
    named = (
        shown if len(shown) <= MOST_NAMED else sorted(shown, key=lambda contrast: contrast.adjusted or 0.0)[:MOST_NAMED]
    )
    several = len({contrast.place for contrast in comparisons}) > 1
    told = [_told(table, contrast, baseline, place == 0, several) for place, contrast in enumerate(named)]
    more = f"; and {len(shown) - len(named)} more" if len(shown) > len(named) else ""
    of = (
        f"Of {len(tested)} comparisons{f' with {baseline}' if baseline else ''}, {len(shown)}"
        f" {'is' if len(shown) == 1 else 'are'}"
    )
    if len(tested) == 1:
        of = f"The difference{f' from {baseline}' if baseline else ''} is"
    return (
        f"{of} more than the seeds' noise (p < {1 - LEVEL:.2g}{' after Holm' * (len(tested) > 1)}):"
        f" {'; '.join(told)}{more}.{rest}"
    )


def _untested(table: Table, rule: str | None, most: int) -> str:
    if most >= table.statistic.least:
        return sheets.untested(table, rule)
    single = max(len(members) for members in table.cells.values()) == 1
    counted = (
        "One seed each" if single else f"{most or 'No'} seed{'s' * (most != 1)} in common{' at most' * bool(most)}"
    )
    return f"{counted}: nothing can be compared. {_more_seeds(table, 'it')}."


def _more_seeds(table: Table, what: str) -> str:
    least = table.statistic.least
    return f"{least} or more seeds allow {what} ({REPEATS[0]}={','.join(map(str, range(least)))})"


def _nothing(table: Table, tested: Sequence[Contrast], baseline: str) -> str:
    what = f"Nothing is shown to differ from {baseline}" if baseline else "No two settings are shown to differ"
    reaches = [contrast.detectable for contrast in tested if contrast.detectable is not None]
    measured = {contrast.place for contrast in tested if contrast.place in table.measures}
    # quantities of several units have no common range
    if not reaches or len(measured) > 1:
        return f"{what} (p ≥ {1 - LEVEL:.2g}{' after Holm' * (len(tested) > 1)})."
    spec = spec_of(table.spec, table.measures[measured.pop()]) if measured else table.spec
    if min(reaches) > sheets.largest(spec):
        return f"{what}: with these seeds no difference, however large, would be shown with probability {POWER:g}."
    ends = list(dict.fromkeys(sheets.reach(end, spec) for end in (min(reaches), max(reaches))))
    points = _points(spec, " to ".join(ends))
    depending = ", depending on the comparison," * (len(ends) > 1)
    return (
        f"{what}: with these seeds, only a difference above {points}{depending} would be shown with probability"
        f" {POWER:g}."
    )


def _told(table: Table, contrast: Contrast, baseline: str, named: bool, several: bool) -> str:
    """A difference in words: its size and direction, its interval in the same direction, and the runs left out.

    Without a baseline, the better setting comes first. named: whether the interval is called one. several: whether the
    place is named.
    """
    measure = table.measures.get(contrast.place)
    spec = table.spec if measure is None else spec_of(table.spec, measure)
    difference = contrast.result.difference
    assert difference is not None  # it is significant
    gain = difference if spec["better"] == "higher" else -difference
    interval = contrast.result.interval
    reach = ""
    if interval is not None:
        low, high = sorted(end if difference > 0 else -end for end in (interval.low, interval.high))
        reach = f" ({'95 % interval ' * named}{_size(low, spec)} to {_size(high, spec)})"
    ours, theirs = _name(table, contrast.ours), _name(table, contrast.theirs)
    first, second = (ours, theirs) if baseline or gain > 0 else (theirs, ours)
    worse, than = (gain < 0, "") if baseline else (False, f" than {second}")
    where = f" ({contrast.place if measure else _at(table, contrast.place)})" if several else ""
    size = _points(spec, _size(abs(gain), spec))
    out = f", {contrast.unpaired} run{'s' * (contrast.unpaired > 1)} of seeds that one alone has left out" * bool(
        contrast.unpaired
    )
    return f"{first}{where} is {size} {'worse' if worse else 'better'}{than}{reach}{out}{_diverged(table, contrast)}"


def _diverged(table: Table, contrast: Contrast) -> str:
    """The diverged runs that a difference leaves out, which favours the settings that made them diverge."""
    group = next(group for group in compared_groups(table) if group.place == contrast.place)
    lost = {
        label: table.lost.get(group.cells[label].place, {}).get("diverged", 0)
        for label in (contrast.ours, contrast.theirs)
    }
    return "".join(f", {count} diverged of {label} left out" for label, count in lost.items() if count)


def _size(value: float, spec: Mapping[str, Any]) -> str:
    """A number with the table's decimals, or with two figures where these would show zero or too many digits."""
    shown = sheets.number(value, spec)
    return (
        f"{value:.2g}".replace("-", "−")
        if value and (not float(shown.replace("−", "-")) or abs(value) >= MOST_SHOWN)
        else shown
    )


def _name(table: Table, compared: str) -> str:
    """A compared row or column as a sentence has it: a number with its axis's label, "alpha 0.2"."""
    return _with_label(table, compared_axis(table), compared) if _NUMBER.fullmatch(compared) else compared


def _at(table: Table, place: str) -> str:
    """A row or a column by its axis's label: "training images 500"."""
    axis = next(axis for axis in ("rows", "columns") if any(entry.label == place for entry in getattr(table, axis)))
    return _with_label(table, axis, place)


def _with_label(table: Table, axis: str, place: str) -> str:
    name = label(table.spec[axis].get("label") or "")
    return f"{name} {place}" if name and table.spec[axis].get("key") else place


def _points(spec: Mapping[str, Any], text: str) -> str:
    return f"{text} points" if scale(spec, spec["metric"]) == 100 else text
