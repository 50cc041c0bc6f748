"""The tables of a report, cell by cell as plain text; markdown, latex and the page only format it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mixexp.metrics import FRACTIONS, RULES
from mixexp.reporting.best import best
from mixexp.reporting.entries import SYMBOLS, WORDS, label
from mixexp.reporting.scoring import scored_beside
from mixexp.reporting.stats import MEAN, Statistic
from mixexp.reporting.summary import MARK, STAR, CellSummary, cell_summary, contrasts, legend
from mixexp.reporting.tables import Table
from mixexp.settings import comparable, lookup
from mixexp.spec.table import of_metric, of_part, unit
from mixexp.training.reader import Run

NO_METRICS = ("step", "epoch", "lr", "seconds")
"""Columns of metrics.csv that do not measure a network."""
_NUMBER = re.compile(r"([−+<]?\d[\d.]*(?:e[−+-]?\d+)?)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Sheet:
    """Rows of text under one heading per column; the first `left` columns are words and the others numbers.

    groups: headings that several columns share, with the number of columns each; empty where none is shared. legend:
    the meaning of signs, brackets and bold. bold: the cells with a bold number, as indices of row and column.
    intervals: the confidence intervals of cells that have one, by the same indices.
    """

    head: list[str]
    rows: list[list[str]]
    left: int
    legend: str = ""
    groups: list[tuple[str, int]] = field(default_factory=list)
    bold: frozenset[tuple[int, int]] = frozenset()
    intervals: Mapping[tuple[int, int], str] = field(default_factory=dict)


def headline(table: Table, rule: str | None = None) -> Sheet:
    """The table itself by a rule: the runs' numbers, and in columns with published values these and the difference.

    The best of the runs' numbers are bold, with those that do not differ significantly; a published value never is.
    """
    spec, bold = table.spec, best(table, rule)
    compared = [
        any(table.published(row.label, column.label) is not None for row in table.rows) for column in table.columns
    ]
    head, groups = [label(spec["rows"].get("label") or "")], [("", 1)]
    for column, has in zip(table.columns, compared, strict=True):
        name = _column_name(spec["columns"], column.label)
        head += ["ours", "published"] if has else [name]
        groups += [(name, 2)] if has else [("", 1)]
    rows, summaries, marked, intervals = [], [], set(), {}
    for row in table.rows:
        cells = [row.label]
        for column, has in zip(table.columns, compared, strict=True):
            summary = cell_summary(table, row.label, column.label, rule)
            summaries.append(summary)
            here = (len(rows), len(cells))
            marked |= {here} if (row.label, column.label) in bold.places else set()
            if summary.interval is not None:
                intervals[here] = span(summary.interval.low, summary.interval.high, spec)
            cells += [ours(table, row.label, column.label, summary), *[beside(summary, spec)] * has]
        rows.append(cells)
    words = " ".join(filter(None, [legend(summaries, table.statistic), bold.legend]))
    return Sheet(head, rows, 1, words, groups if any(compared) else [], frozenset(marked), intervals)


def _column_name(axis: Mapping[str, Any], value: str) -> str:
    """The heading of a column; a number of a setting has the setting's sign or name before it."""
    if not axis.get("key") or not isinstance(comparable(value), float):
        return value
    key, given = axis["key"], axis.get("label")
    name = label(SYMBOLS.get(key, given or key) if given in (None, "", key, WORDS.get(key)) else given)
    return f"{name}{' =' * (len(name) == 1)} {value}"


def with_intervals(sheet: Sheet) -> Sheet:
    """A headline with a single column of numbers gets the intervals as its last column.

    Any other one stays as it is.
    """
    if (
        not sheet.intervals
        or len({column for _, column in sheet.intervals}) > 1
        or len(sheet.head) > 2 + bool(sheet.groups)
    ):
        return sheet
    rows = [[*cells, sheet.intervals.get((place, 1), "")] for place, cells in enumerate(sheet.rows)]
    return replace(
        sheet, head=[*sheet.head, "95 % interval"], rows=rows, groups=[*sheet.groups, ("", 1)] if sheet.groups else []
    )


def intervals(sheet: Sheet) -> Sheet | None:
    """The confidence intervals of a headline with several columns as a table of their own.

    It is None where there are none.
    """
    if not sheet.intervals or with_intervals(sheet) is not sheet:
        return None
    names = [name for name, columns in sheet.groups for _ in range(columns)] or [""] * len(sheet.head)
    columns = sorted({column for _, column in sheet.intervals})
    rows = [
        [cells[0], *(sheet.intervals.get((place, column), "") for column in columns)]
        for place, cells in enumerate(sheet.rows)
    ]
    return Sheet(
        [sheet.head[0], *(names[column] or sheet.head[column] for column in columns)],
        [row for row in rows if any(row[1:])],
        1,
    )


def rules(table: Table) -> Sheet | None:
    """Every cell with a number by each of the selection rules, side by side; None where there is only one rule."""
    if len(table.rules) < 2:
        return None

    def cell(place: tuple[str, str], rule: str) -> str:
        return ours(table, *place, cell_summary(table, *place, rule))

    return _by_cell(table, {rule: RULES[rule] for rule in table.rules}, cell)


def other_metrics(table: Table) -> Sheet | None:
    """Every cell's other metrics from metrics.csv, at the evaluation that the rule chooses by the table's metric.

    The legend names the evaluation. None where there are no other metrics.
    """
    names = dict.fromkeys(name for run in table.runs if run.folder in table.scores for name in run.metrics)
    names = [name for name in names if name not in (*NO_METRICS, table.spec["metric"])]
    if not names:
        return None
    specs = {name: of_metric(name) for name in names}

    def cell(place: tuple[str, str], name: str) -> str:
        if place in table.unlike:
            return f"unlike runs ({len(table.cells[place])})"
        scored = [run for run in table.cells.get(place, ()) if table.rule in table.scores.get(run.folder, {})]
        scores = [scored_beside(run, specs[name], table.rule, table.spec) for run in scored]
        values = [value for value in scores if value is not None]
        return centre_and_spread(values, table.statistic, specs[name]) if values else ""

    where = (
        f"at the evaluation with the best {of_part(table.spec['metric'])}"
        if table.rule == "best"
        else RULES[table.rule]
    )
    sheet = _by_cell(table, {name: unit(specs[name], name) for name in names}, cell)
    return replace(sheet, legend=f"Columns of metrics.csv, {where}, {table.statistic.heading}")


def _by_cell(table: Table, columns: Mapping[str, str], cell: Callable[[tuple[str, str], str], str]) -> Sheet:
    """A row for each place with a number, and a column for each name; an axis of one entry has no column."""
    axes = [place for place, axis in enumerate(("rows", "columns")) if len(getattr(table, axis)) > 1] or [0]
    names = [label(table.spec[("rows", "columns")[axis]].get("label") or "") for axis in axes]
    places = [(row.label, column.label) for row in table.rows for column in table.columns]
    places = [place for place in places if table.values(*place)]
    rows = [[*(place[axis] for axis in axes), *(cell(place, name) for name in columns)] for place in places]
    return Sheet([*names, *columns.values()], rows, len(axes))


def differences(table: Table, rule: str | None = None) -> Sheet | None:
    """The comparisons between settings by a rule, run by run with the same seed; None where none could be tested."""
    spec, comparisons = table.spec, contrasts(table, rule)
    measured = [contrast for contrast in comparisons if contrast.result.p is not None]
    if not measured:
        return None
    other = "rows" if any(contrast.place == row.label for contrast in comparisons for row in table.rows) else "columns"
    several = len(getattr(table, other)) > 1
    head = [
        *[label(spec[other].get("label") or "at")] * several,
        "compared",
        "pairs",
        "difference",
        "95 % interval",
        "p",
        "p (Holm)",
    ]
    detectable = any(contrast.detectable is not None for contrast in measured)
    rows = [
        [
            *[contrast.place] * several,
            f"{contrast.ours} − {contrast.theirs}",
            str(contrast.result.n)
            + (f" ({contrast.unpaired} run{'s' * (contrast.unpaired > 1)} unpaired)" if contrast.unpaired else ""),
            (
                ""
                if contrast.result.difference is None
                else signed(contrast.result.difference, spec) + f" {STAR}" * contrast.significant
            ),
            span(contrast.result.interval.low, contrast.result.interval.high, spec) if contrast.result.interval else "",
            *(chance(p) for p in (contrast.result.p, contrast.adjusted)),
            *(["" if contrast.detectable is None else reach(contrast.detectable, spec)] if detectable else []),
        ]
        for contrast in comparisons
    ]
    counted = f"{len(measured)} test{'s' * (len(measured) != 1)}"
    words = (
        f"Two-sided {table.statistic.test}, Holm's correction over the {counted} of this table; {STAR}: p (Holm) <"
        f" 0.05. Intervals ({table.statistic.method}) are each difference's own, not corrected."
    )
    seen = (
        " Detectable: the smallest difference that so many pairs would have shown with probability 0.8 in these tests."
        if detectable
        else ""
    )
    return Sheet([*head, *(["detectable"] if detectable else [])], rows, 1 + several, words + seen)


def untested(table: Table, rule: str | None = None) -> str:
    """The reason why none of the comparisons by a rule has a p; empty where there is no comparison."""
    comparisons, statistic = contrasts(table, rule), table.statistic
    if not comparisons:
        return ""
    most = max(contrast.result.n for contrast in comparisons)
    few = f"at least {statistic.least} seeds in common are needed, and the most there are is {most}"
    why = few if most < statistic.least else "each is the same number with every seed"
    return f"Differences between settings are not tested: {why}."


def missing(table: Table) -> Sheet:
    """The runs that give no number, with the reason."""
    rows = [[outcome, run.folder.name, place_of(table, run), problem] for run, outcome, problem in table.without_result]
    return Sheet(["outcome", "run", "belongs to", "why"], rows, 4)


def warnings(table: Table, rule: str) -> list[str]:
    """The warnings about numbers by a rule: the source uses another rule, or the rule is optimistic (best on test)."""
    table_rule = table.spec["rule"]
    other = (
        [f"These numbers are by {RULES[rule]}, instead of {RULES[table_rule]}, which is the table's rule."]
        if rule != table_rule
        else []
    )
    best = [
        "Best on test chooses the evaluation by the test set itself and so flatters every run; compare the rules below."
    ]
    return other + best * (rule == "best")


def ours(table: Table, row: str, column: str, summary: CellSummary) -> str:
    """A cell's text: mean ± sd (n), or median [smallest–largest] (n)."""
    if (row, column) in table.unlike:
        return f"unlike runs ({len(table.cells[row, column])})"
    if summary.ours is None:
        return "; ".join(f"{count} {outcome}" for outcome, count in table.lost.get((row, column), {}).items())
    text = centre_and_spread(summary.values, table.statistic, table.spec)
    # a mean without the diverged runs favours the settings that made them diverge
    diverged = table.lost.get((row, column), {}).get("diverged", 0)
    return f"{text[:-1]}; {diverged} diverged)" if diverged else text


def centre_and_spread(values: Sequence[float], statistic: Statistic, spec: Mapping[str, Any]) -> str:
    """Numbers as mean ± sd (n), or median [smallest–largest] (n); a single number has no spread."""
    middle, n = number(statistic.centre(values), spec), len(values)
    if n < 2:
        return f"{middle} ({n})"
    if statistic is MEAN:
        return f"{middle} ± {number(statistic.spread(values), spec)} ({n})"
    return f"{middle} {span(min(values), max(values), spec)} ({n})"


def beside(summary: CellSummary, spec: Mapping[str, Any]) -> str:
    """The published value, its difference from the runs' number, and the mark."""
    if summary.published is None:
        return ""
    gap = f" ({signed(summary.difference, spec)})" if summary.difference is not None else ""
    return number(summary.published, spec) + gap + f" {MARK}" * bool(summary.outside)


def place_of(table: Table, run: Run) -> str:
    """The cells of a run, and its seed."""
    if not run.config:
        return ""
    places = [f"{row} / {column}" for row, column in table.places(run)]
    return f"{'; '.join(places) or 'no cell'}, seed {label(run.config.get('seed'))}"


def census(table: Table) -> str:
    """The number of runs with a result, and their devices."""
    devices = sorted({str(run.environment["device_name"]) for run in table.runs if run.environment.get("device_name")})
    on = f", on {', '.join(devices)}" if devices else ""
    scored, total = len(table.scores), len(table.runs)
    return f"{scored} of {total} run{'s' * (total != 1)} {'has' if 1 in (scored, total) else 'have'} a result{on}."


def stray(table: Table) -> list[str]:
    """The runs with a result that are in no row or column, with their values for the axes' settings."""
    keys = sorted({key for axis in (table.rows, table.columns) for entry in axis for key in entry.conditions})
    return [
        f"{run.folder.name} ({', '.join(f'{key}={label(lookup(run.config, key))}' for key in keys)})"
        for run in table.unmatched
    ]


def number(value: float, spec: Mapping[str, Any]) -> str:
    """A number with the table's decimals and a true minus sign."""
    shown = f"{value:.{spec['decimals']}f}"
    return shown.replace("-", "−") if float(shown) else shown.removeprefix("-")


def signed(value: float, spec: Mapping[str, Any]) -> str:
    """A difference, with its sign."""
    shown = number(value, spec)
    return shown if shown.startswith("−") or not float(shown) else f"+{shown}"


def largest(spec: Mapping[str, Any]) -> float:
    """The largest difference that two cells can have."""
    return float(spec["scale"]) if spec["metric"] in FRACTIONS else math.inf


def reach(value: float, spec: Mapping[str, Any]) -> str:
    """A detectable difference; one that no two cells can have is only said to be larger than the largest."""
    return number(value, spec) if value <= largest(spec) else f"more than {number(largest(spec), spec)}"


def span(low: float, high: float, spec: Mapping[str, Any]) -> str:
    """A range from one number to another."""
    between = " to " if low < 0 else "–"
    return f"[{number(low, spec)}{between}{number(high, spec)}]"


def chance(p: float | None) -> str:
    """A probability to two figures, empty where there was no test."""
    return "" if p is None else "<0.0001" if p < 1e-4 else f"{p:.2g}"


def split(cell: str) -> tuple[str, str]:
    """A cell's number and the rest; an empty text and the cell where it does not begin with a number."""
    match = _NUMBER.fullmatch(cell)
    return (match[1], match[2]) if match else ("", cell)
