"""The report of a folder of runs, as files in its ``report`` folder."""

from __future__ import annotations

import csv
import io
import re
from itertools import count
from pathlib import Path
from typing import Any

from mixexp.errors import UserError
from mixexp.report.load import load_runs
from mixexp.report.tables import Table, build_tables, markdown, run_records, tidy


def write_report(directory: Path, rule: str | None = None) -> list[Path]:
    """Write ``table.md``, ``table.csv``, ``runs.csv`` and the figures of every table among the runs; the paths, tables first.

    ``rule`` (last, median_last_10 or best) replaces the rule by which the table compared with selects.
    Raises UserError for a folder without runs and for an unknown rule.
    """
    tables = build_tables(load_runs(directory), rule, directory.resolve().name)
    names = distinct_names([table.spec["title"] for table in tables])
    folders = [directory / "report" / name if len(tables) > 1 else directory / "report" for name in names]
    if len(tables) > 1:  # an earlier report of a single table would be taken for the newest
        for name in ("table.md", "table.csv", "runs.csv"):
            (directory / "report" / name).unlink(missing_ok=True)
    return [path for table, folder in zip(tables, folders, strict=True) for path in write_table(table, folder)]


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write one table with its figures into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    figures, remarks = _figures(table, folder)
    text = "\n\n".join(
        [markdown(table).rstrip("\n"), *remarks, *(f"![{path.stem}]({path.name})" for path in figures if path.suffix in (".png", ".gif"))]
    )
    return [
        _write(folder / "table.md", text + "\n"),
        _write(folder / "table.csv", as_csv(tidy(table))),
        _write(folder / "runs.csv", as_csv(run_records(table))),
        *figures,
    ]


def as_csv(records: list[dict[str, Any]]) -> str:
    """Records as CSV with a header; None is an empty cell."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(key for record in records for key in record)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def distinct_names(titles: list[str]) -> list[str]:
    """A file name for each title, no two alike: letters of any script, digits, dots and hyphens stay."""
    names: list[str] = []
    for title in titles:
        # Some file systems count bytes (255 of them), so that a long Japanese title needs cutting too.
        stem = re.sub(r"[^\w.-]+", "_", title).strip("._")[:60] or "table"
        numbered = (f"{stem}_{number}" for number in count(2))
        names.append(stem if stem not in names else next(name for name in numbered if name not in names))
    return names


def _figures(table: Table, folder: Path) -> tuple[list[Path], list[str]]:
    """Draw what the table asks for; an entry that cannot be drawn becomes a remark in the report."""
    if not table.spec["figures"]:
        return [], []
    from mixexp.report.figures import draw, figure_problem, save  # matplotlib costs half a second that tables alone need not pay

    problems = [figure_problem(spec) for spec in table.spec["figures"]]
    sound = [spec for spec, problem in zip(table.spec["figures"], problems, strict=True) if not problem]
    remarks = [f"Not drawn: {problem}" for problem in problems if problem]
    if not table.cells:
        return [], [*remarks, "There is nothing to draw yet."]
    written: list[Path] = []
    for spec, name in zip(sound, distinct_names([str(spec["file"]) for spec in sound]), strict=True):
        try:
            written += save(draw(table, spec), folder / name)
        except UserError as error:
            remarks.append(f"Not drawn: figure {spec['file']}: {error}")
    return written, remarks


def _write(path: Path, text: str) -> Path:
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_text(text, encoding="utf-8", newline="")
    unfinished.replace(path)
    return path
