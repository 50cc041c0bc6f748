"""A report's tables as records for CSV files: one per cell and rule, one per comparison and rule, one per run."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixexp.reporting.runs import implied_by_group, varying
from mixexp.reporting.summary import cell_summary, contrasts
from mixexp.reporting.tables import Table
from mixexp.settings import CIRCUMSTANCES, REPEATS, lookup


def as_csv(records: list[dict[str, Any]]) -> str:
    """Records as CSV with a header; empty where there are none.

    None is an empty cell, and no text can be a spreadsheet's formula.
    """
    if not records:
        return ""
    buffer = io.StringIO()
    columns = list(dict.fromkeys(key for record in records for key in record))
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_inert, columns))
    writer.writerows([_inert(record.get(column)) for column in columns] for record in records)
    return buffer.getvalue()


def _inert(value: Any) -> Any:
    """The value; a text that a spreadsheet would run as a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.lstrip().startswith(("=", "+", "-", "@")) else value


def tidy(table: Table) -> list[dict[str, Any]]:
    """One record for each cell and rule, in displayed units; ``spread`` is the sd, or max − min with a median."""
    records = []
    for row, column in ((row.label, column.label) for row in table.rows for column in table.columns):
        measure = table.measures.get(table.measure_of(row, column) or "", {})
        for rule in table.rules:
            summary, held = cell_summary(table, row, column, rule), table.cells.get((row, column), ())
            n = len(held) if (row, column) in table.unlike else len(summary.values)
            if measure.get("rule", rule) != rule or not (n or summary.published is not None):
                continue  # a measure with a rule of its own has no other number
            record = {
                "row": row,
                "column": column,
                "rule": rule,
                "metric": measure.get("metric", table.spec["metric"]),
                "ours": summary.ours,
                "spread": summary.spread,
                "n": n,
                "published": summary.published,
                "difference": summary.difference,
                "statistic": table.spec["statistic"],
                "min": min(summary.values, default=None),
                "max": max(summary.values, default=None),
                "interval_low": summary.interval and summary.interval.low,
                "interval_high": summary.interval and summary.interval.high,
                "interval_method": summary.interval and summary.interval.method,
                "published_outside": summary.outside,
            }
            records.append(rounded(record, table.spec))
    return records


def table_record(table: Table, folder: Path) -> dict[str, Any]:
    """A table for `mixexp report --json`: what it shows, its cells and differences, and the remarks below it."""
    return {
        "title": table.spec["title"],
        "folder": folder,
        "metric": table.spec["metric"],
        "better": table.spec["better"],
        "rule": table.rule,
        "statistic": table.spec["statistic"],
        "rows": [row.label for row in table.rows],
        "columns": [column.label for column in table.columns],
        "runs": len(table.runs),
        "with_result": len({run.folder for members in table.cells.values() for run in members}),
        "cells": tidy(table),
        "differences": contrast_records(table),
        "remarks": table.remarks,
    }


def contrast_records(table: Table) -> list[dict[str, Any]]:
    """One record for each comparison and rule, in displayed units."""
    records = []
    for rule in table.rules:
        for contrast in contrasts(table, rule):
            result = contrast.result
            record = {
                "place": contrast.place,
                "ours": contrast.ours,
                "theirs": contrast.theirs,
                "rule": rule,
                "pairs": result.n,
                "unpaired": contrast.unpaired,
                "difference": result.difference,
                "interval_low": result.interval and result.interval.low,
                "interval_high": result.interval and result.interval.high,
                "interval_method": result.interval and result.interval.method,
                "detectable": contrast.detectable,
            }
            chances = {
                "p": six_figures(result.p),
                "p_holm": six_figures(contrast.adjusted),
                "significant": contrast.significant,
            }
            records.append(rounded(record, table.spec) | chances)
    return records


def run_records(table: Table) -> list[dict[str, Any]]:
    """One record for each run: varying keys, outcome, score by each rule, last metrics, seconds and folder.

    The scores are in displayed units. The metrics are those of metrics.csv at the last evaluation, under the names in
    it and in `Runs.to_pandas()`; where a column already has such a name, the metric's is metrics.NAME.
    """
    keys = [
        key for key in varying(table.runs, (*CIRCUMSTANCES, *REPEATS)) if not implied_by_group(key, table.runs)
    ] + list(REPEATS)
    reasons = {run.folder: (outcome, problem) for run, outcome, problem in table.without_result}
    names = list(dict.fromkeys(name for run in table.runs for name in run.last))
    records = []
    for run in table.runs:
        outcome, problem = reasons.get(run.folder, (run.outcome, ""))
        scores = {f"{table.spec['metric']}_{rule}": table.number(run, None, rule) for rule in table.rules}
        scores |= {name: table.number(run, name) for name in table.measures}
        settings = {key: lookup(run.config, key) for key in keys}
        taken = {*settings, "outcome", *scores, "seconds", "folder", "problem"}
        last = {f"metrics.{name}" if name in taken else str(name): run.last.get(name) for name in names}
        ending = {"seconds": run.result.get("seconds"), "folder": run.folder.name, "problem": problem}
        records.append(settings | {"outcome": outcome} | rounded(scores, table.spec) | last | ending)
    return records


def six_figures(value: float | None) -> float | None:
    """A number to six figures, since further ones depend on the library that computed it."""
    return None if value is None else float(f"{value:.6g}")


def rounded(record: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """A record with four digits beyond the displayed ones; further ones are rounding errors."""
    return {
        key: round(value, spec["decimals"] + 4) if isinstance(value, float) else value for key, value in record.items()
    }
