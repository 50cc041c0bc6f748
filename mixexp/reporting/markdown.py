"""A table's report as Markdown."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from mixexp.metrics import NAMES, RULES
from mixexp.reporting import claim_sheets, sheets, shots
from mixexp.reporting.claims import Decided
from mixexp.reporting.entries import label
from mixexp.reporting.findings import findings
from mixexp.reporting.sheets import Sheet
from mixexp.reporting.tables import LABELLED, Table
from mixexp.reporting.trained import trained
from mixexp.text import sanitize

BY = {
    "last": " at the last evaluation",
    "median_last_10": ", median of the last 10 evaluations",
    "best": ", best on test",
    "best_validation": " at the best validation accuracy",
}
"""The words of a selection rule, after the quantity that it selects."""
PARTS = {"val ": "validation ", "train ": "training "}
"""The parts of the data in metrics' names, in full."""


def markdown(table: Table, claims: Decided | None = None) -> str:
    """The report as Markdown, readable on its own.

    It has the training, reduced or missing parts, the headline table with its findings, all selection rules,
    comparisons by seed, claims, and notes.
    """
    spec = table.spec
    parts = [f"# {plain(spec['title'])}", *([plain(sentence)] if (sentence := trained(table)) else [])]
    if spec["source"]:
        parts.append(f"Compared with: {plain(spec['source'])}")
    parts += [f"**Reduced: {plain(reduced)}**"] if (reduced := table.reduced) else []
    parts.append(plain(sheets.census(table)))
    if table.without_result:
        parts.append(f"## Without a result: {len(table.without_result)} of {len(table.runs)} runs")
        parts += grid(sheets.missing(table))
    if table.unmatched:
        parts.append(f"## In no row or column: {len(table.unmatched)} of {len(table.runs)} runs")
        parts.append(_list(sheets.stray(table)))
    parts += [f"## {heading(table)}", *headline(table)]
    parts += sheets.warnings(table, table.rule)
    if (rules := sheets.rules(table)) is not None:
        parts += [f"## The selection rules side by side: {table.unit}, {table.statistic.heading}", *grid(rules)]
    parts += [f"## {shots.heading(table)}", *grid(by_group)] if (by_group := shots.sheet(table)) is not None else []
    if (differences := sheets.differences(table)) is not None:
        parts += [
            f"## Differences between runs of the same seed: {table.unit}, {RULES[table.rule]}",
            *grid(differences),
        ]
    if claims is not None and claims.answers:
        parts += [
            "## Claims",
            *(
                part
                for _, premises, sheet in claim_sheets.sections(claims)
                for part in (*_premises(premises), *grid(sheet))
            ),
        ]
        parts += map(plain, claim_sheets.legend(claims))
    if notes := [*spec["notes"], *table.remarks]:
        parts += ["## Notes", _list(notes)]
    return "\n\n".join(parts) + "\n"


def claims_document(decided: Decided, title: str) -> str:
    """Decided claims by article, with the number of claims by verdict at the end."""
    parts = [f"# {title}"]
    for article, premises, sheet in claim_sheets.sections(decided):
        parts += [f"## {plain(article)}", *_premises(premises), *grid(sheet)]
    parts += ["## In all", _list(claim_sheets.totals(decided)), plain(claim_sheets.METHOD)]
    return "\n\n".join(parts) + "\n"


def heading(table: Table, rule: str | None = None) -> str:
    """The heading of the headline table: the quantity, the selection rule and the statistic."""
    metrics = [measure["metric"] for measure in table.measures.values()] or [table.spec["metric"]]
    tested = table.unit != LABELLED and all(metric in (*NAMES, "error") for metric in metrics)
    name = f"metrics {LABELLED}" if table.unit == LABELLED else f"test {table.unit}" if tested else table.unit
    name = next((full + name.removeprefix(short) for short, full in PARTS.items() if name.startswith(short)), name)
    return f"{name[:1].upper()}{name[1:]}{BY[rule or table.rule]}, {table.statistic.heading}"


def headline(table: Table, rule: str | None = None) -> list[str]:
    """The headline table by a rule, its legend, its findings, and the intervals.

    The intervals are a column of a table with a single column of numbers. With several columns they would make rows too
    wide to read or print, so they are a table of their own there.
    """
    sheet = sheets.headline(table, rule)
    parts = grid(sheets.with_intervals(sheet))
    parts += [plain(words)] if (words := findings(table, rule)) else []
    apart = sheets.intervals(sheet)
    return [
        *parts,
        *(
            [f"95 % intervals of the {table.statistic.centres} ({table.statistic.method}):", *grid(apart)]
            if apart
            else []
        ),
    ]


def grid(sheet: Sheet) -> list[str]:
    """A sheet as a Markdown table, and its legend where it has one."""
    names = [name for name, columns in sheet.groups for _ in range(columns)] or [""] * len(sheet.head)
    head = [
        column if not name else name if column == "ours" else f"{name}, {column}"
        for name, column in zip(names, sheet.head, strict=True)
    ]
    rule = ["---"] * sheet.left + ["---:"] * (len(head) - sheet.left)
    rows = (
        [_cell(cell, (place, column) in sheet.bold) for column, cell in enumerate(row)]
        for place, row in enumerate(sheet.rows)
    )
    lines = [map(plain, head), rule, *rows]
    return [
        "\n".join("| " + " | ".join(cells) + " |" for cells in lines),
        *([plain(sheet.legend)] if sheet.legend else []),
    ]


def _cell(cell: str, bold: bool) -> str:
    number, rest = sheets.split(cell) if bold else ("", cell)
    return f"**{plain(number)}**{plain_after(rest)}" if number else plain(cell)


def plain_after(text: str) -> str:
    """Text after other text, with the blank between the two."""
    return f"{' ' * text.startswith(' ')}{plain(text)}"


def plain(text: Any) -> str:
    """Text without markup or column breaks."""
    return re.sub(r"([\\*|~$]|\](?=\()|(?<!\w)_|_(?!\w))", r"\\\1", escape(sanitize(label(text)), quote=False))


def _premises(texts: list[str]) -> list[str]:
    return ["Premises:", _list(texts)] if texts else []


def _list(texts: list[str]) -> str:
    return "\n".join(f"- {plain(text)}" for text in texts)
