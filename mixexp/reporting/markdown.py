"""A table's report as Markdown."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from mixexp.metrics import RULES
from mixexp.reporting import claim_sheets, sheets, shots
from mixexp.reporting.claims import Decided
from mixexp.reporting.sheets import Sheet
from mixexp.reporting.tables import Table, label
from mixexp.text import sanitize


def markdown(table: Table, claims: Decided | None = None) -> str:
    """The report as Markdown: reduced or missing parts, the headline table, all selection rules, comparisons by seed, claims, and notes."""
    spec = table.spec
    parts = [f"# {plain(spec['title'])}"]
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
    parts += [f"## {heading(table)}", *grid(sheets.headline(table))]
    parts += sheets.warnings(table, table.rule)
    parts += [f"## The selection rules side by side: {table.unit}, {table.statistic.heading}", *grid(sheets.rules(table))]
    parts += [f"## {shots.heading(table)}", *grid(by_group)] if (by_group := shots.sheet(table)) is not None else []
    if (differences := sheets.differences(table)) is not None:
        parts += [f"## Differences between runs of the same seed: {table.unit}, {RULES[table.rule]}", *grid(differences)]
    elif why := sheets.untested(table):
        parts.append(why)
    if claims is not None and claims.answers:
        parts += ["## Claims", *(part for _, premises, sheet in claim_sheets.sections(claims) for part in (*_premises(premises), *grid(sheet)))]
        parts += map(plain, claim_sheets.legend(claims))
    if notes := [*spec["notes"], *table.remarks]:
        parts += ["## Notes", _list(notes)]
    return "\n\n".join(parts) + "\n"


def claims_document(decided: Decided, title: str) -> str:
    """Decided claims by article, with how many there are of each verdict at the end."""
    parts = [f"# {title}"]
    for article, premises, sheet in claim_sheets.sections(decided):
        parts += [f"## {plain(article)}", *_premises(premises), *grid(sheet)]
    parts += ["## In all", _list(claim_sheets.totals(decided)), plain(claim_sheets.METHOD)]
    return "\n\n".join(parts) + "\n"


def heading(table: Table, rule: str | None = None) -> str:
    """The heading of the headline table: the quantity, the selection rule and the statistic."""
    return f"{table.unit}, {RULES[rule or table.rule]}, {table.statistic.heading}"


def grid(sheet: Sheet) -> list[str]:
    """A sheet as a Markdown table, and its legend where it has one."""
    names = [name for name, columns in sheet.groups for _ in range(columns)] or [""] * len(sheet.head)
    head = [column if not name else name if column == "ours" else f"{name}, {column}" for name, column in zip(names, sheet.head, strict=True)]
    rule = ["---"] * sheet.left + ["---:"] * (len(head) - sheet.left)
    lines = [map(plain, head), rule, *(map(plain, row) for row in sheet.rows)]
    return ["\n".join("| " + " | ".join(cells) + " |" for cells in lines), *([plain(sheet.legend)] if sheet.legend else [])]


def plain(text: Any) -> str:
    """Text that can be neither markup nor a column break."""
    return re.sub(r"([\\*|~$]|\](?=\()|(?<!\w)_|_(?!\w))", r"\\\1", escape(sanitize(label(text)), quote=False))


def _premises(texts: list[str]) -> list[str]:
    return ["Premises:", _list(texts)] if texts else []


def _list(texts: list[str]) -> str:
    return "\n".join(f"- {plain(text)}" for text in texts)
