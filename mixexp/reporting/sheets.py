"""The tables of a report, cell by cell as plain text; markdown, latex and the page only set it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mixexp.metrics import RULES
from mixexp.reporting.entries import label
from mixexp.reporting.stats import MEAN
from mixexp.reporting.summary import MARK, STAR, CellSummary, cell_summary, contrasts, legend
from mixexp.reporting.tables import Table
from mixexp.settings import lookup
from mixexp.training.reader import Run


@dataclass(frozen=True)
class Sheet:
    """Rows of text under a heading a column; the first `left` columns are words and the others numbers.

    groups: headings that several columns share, with the number of columns each; empty where none is.
    legend: one sentence on what signs and brackets mean.
    """

    head: list[str]
    rows: list[list[str]]
    left: int
    legend: str = ""
    groups: list[tuple[str, int]] = field(default_factory=list)


def headline(table: Table, rule: str | None = None) -> Sheet:
    """The table itself by a rule: ours, and beside it, for the columns the source has numbers for, published and the difference."""
    spec = table.spec
    compared = [any(table.published(row.label, column.label) is not None for row in table.rows) for column in table.columns]
    head, groups = [label(spec["rows"].get("label") or "")], [("", 1)]
    for column, has in zip(table.columns, compared, strict=True):
        head += ["ours", "published"] if has else [column.label]
        groups += [(column.label, 2)] if has else [("", 1)]
    rows, summaries = [], []
    for row in table.rows:
        cells = [row.label]
        for column, has in zip(table.columns, compared, strict=True):
            summary = cell_summary(table, row.label, column.label, rule)
            summaries.append(summary)
            cells += [ours(table, row.label, column.label, summary), *[beside(summary, spec)] * has]
        rows.append(cells)
    return Sheet(head, rows, 1, legend(summaries, table.statistic), groups if any(compared) else [])


def rules(table: Table) -> Sheet:
    """Every cell with a number by each of the selection rules, side by side."""
    head = [label(table.spec[axis].get("label") or "") for axis in ("rows", "columns")]
    places = [(row.label, column.label) for row in table.rows for column in table.columns]
    places = [place for place in places if table.values(*place)]
    rows = [[*place, *(ours(table, *place, cell_summary(table, *place, rule)) for rule in table.rules)] for place in places]
    return Sheet(head + [RULES[rule] for rule in table.rules], rows, 2)


def differences(table: Table, rule: str | None = None) -> Sheet | None:
    """The comparisons between settings by a rule, run by run with the same seed; None where none could be tested."""
    spec, comparisons = table.spec, contrasts(table, rule)
    measured = [contrast for contrast in comparisons if contrast.result.p is not None]
    if not measured:
        return None
    other = "rows" if any(contrast.place == row.label for contrast in comparisons for row in table.rows) else "columns"
    head = [label(spec[other].get("label") or "at"), "compared", "pairs", "difference", "95 % interval", "p", "p (Holm)"]
    detectable = any(contrast.detectable is not None for contrast in measured)
    rows = [
        [
            contrast.place,
            f"{contrast.ours} − {contrast.theirs}",
            str(contrast.result.n) + (f" ({contrast.unpaired} runs unpaired)" if contrast.unpaired else ""),
            signed(contrast.result.difference, spec) + f" {STAR}" * contrast.significant,
            span(contrast.result.interval.low, contrast.result.interval.high, spec) if contrast.result.interval else "",
            *(chance(p) for p in (contrast.result.p, contrast.adjusted)),
            *(["" if contrast.detectable is None else number(contrast.detectable, spec)] if detectable else []),
        ]
        for contrast in comparisons
    ]
    counted = f"{len(measured)} test{'s' * (len(measured) != 1)}"
    words = f"Two-sided {table.statistic.test}, Holm's correction over the {counted} of this table; {STAR}: p (Holm) < 0.05. Intervals ({table.statistic.method}) are each difference's own, not corrected."
    seen = " Detectable: the smallest difference that so many pairs would have shown with probability 0.8 in these tests." if detectable else ""
    return Sheet([*head, *(["detectable"] if detectable else [])], rows, 2, words + seen)


def untested(table: Table, rule: str | None = None) -> str:
    """The reason why none of the comparisons by a rule has a p; empty where there is none to make."""
    comparisons, statistic = contrasts(table, rule), table.statistic
    if not comparisons:
        return ""
    most = max(contrast.result.n for contrast in comparisons)
    few = f"at least {statistic.least} seeds in common are needed, and the most there are is {most}"
    why = few if most < statistic.least else "they are the same for all seeds"
    return f"Differences between settings are not tested: {why}."


def missing(table: Table) -> Sheet:
    """The runs that give no number, with the reason."""
    rows = [[outcome, run.folder.name, place_of(table, run), problem] for run, outcome, problem in table.without_result]
    return Sheet(["outcome", "run", "belongs to", "why"], rows, 4)


def warnings(table: Table, rule: str) -> list[str]:
    """The warnings about numbers by a rule: the source selects by another one, or the best on test flatters."""
    table_rule = table.spec["rule"]
    other = [f"The comparison selects by {RULES[table_rule]}; the numbers above are by {RULES[rule]}."] if rule != table_rule else []
    best = ["Best on test chooses the evaluation by the test set itself and so flatters every run; compare the rules below."]
    return other + best * (rule == "best")


def ours(table: Table, row: str, column: str, summary: CellSummary) -> str:
    """A cell's text: mean ± sd (n), or median [smallest–largest] (n)."""
    if (row, column) in table.unlike:
        return f"unlike runs ({len(table.cells[row, column])})"
    if summary.ours is None:
        return "; ".join(f"{count} {outcome}" for outcome, count in table.lost.get((row, column), {}).items())
    spec, n = table.spec, len(summary.values)
    middle = number(summary.ours, spec)
    if summary.spread is None:
        return f"{middle} ({n})"
    if table.statistic is MEAN:
        return f"{middle} ± {number(summary.spread, spec)} ({n})"
    return f"{middle} {span(min(summary.values), max(summary.values), spec)} ({n})"


def beside(summary: CellSummary, spec: Mapping[str, Any]) -> str:
    """The published value, how far ours is from it, and the mark."""
    if summary.published is None:
        return ""
    gap = f" ({signed(summary.difference, spec)})" if summary.difference is not None else ""
    return number(summary.published, spec) + gap + f" {MARK}" * bool(summary.outside)


def place_of(table: Table, run: Run) -> str:
    """The cells that a run is for, and its seed."""
    if not run.config:
        return ""
    places = [f"{row} / {column}" for row, column in table.places(run)]
    return f"{'; '.join(places) or 'no cell'}, seed {label(run.config.get('seed'))}"


def census(table: Table) -> str:
    """The number of runs with a result, and the devices that they ran on."""
    devices = sorted({str(run.environment["device_name"]) for run in table.runs if run.environment.get("device_name")})
    on = f", on {', '.join(devices)}" if devices else ""
    return f"{len(table.scores)} of {len(table.runs)} runs have a result{on}."


def stray(table: Table) -> list[str]:
    """The runs with a result that are in no row or column, with what they have in the axes' place."""
    keys = sorted({key for axis in (table.rows, table.columns) for entry in axis for key in entry.conditions})
    return [f"{run.folder.name} ({', '.join(f'{key}={label(lookup(run.config, key))}' for key in keys)})" for run in table.unmatched]


def number(value: float, spec: Mapping[str, Any]) -> str:
    """A number with the table's decimals and a minus that is none of a word's hyphens."""
    shown = f"{value:.{spec['decimals']}f}"
    return shown.replace("-", "−") if float(shown) else shown.removeprefix("-")


def signed(value: float, spec: Mapping[str, Any]) -> str:
    """A difference, with its sign."""
    shown = number(value, spec)
    return shown if shown.startswith("−") or not float(shown) else f"+{shown}"


def span(low: float, high: float, spec: Mapping[str, Any]) -> str:
    """From one number to another."""
    between = " to " if low < 0 else "–"
    return f"[{number(low, spec)}{between}{number(high, spec)}]"


def chance(p: float | None) -> str:
    """A probability to two figures, empty where there was no test."""
    return "" if p is None else "<0.0001" if p < 1e-4 else f"{p:.2g}"
