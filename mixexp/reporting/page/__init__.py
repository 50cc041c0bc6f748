"""A report as one self-contained HTML file: tables, figures and every run, to read, sort and filter."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mixexp.metrics import RULES
from mixexp.reporting import claim_sheets, sheets, shots
from mixexp.reporting.claims import Decided
from mixexp.reporting.entries import label
from mixexp.reporting.findings import findings
from mixexp.reporting.latex import latex
from mixexp.reporting.markdown import heading, headline, plain
from mixexp.reporting.page.runlist import facts, link, listed, outcomes, run_list
from mixexp.reporting.summary import MARK, STAR
from mixexp.reporting.tables import Table
from mixexp.reporting.trained import trained
from mixexp.text import sanitize

ASSETS = Path(__file__).parent
LARGEST_SVG = 400_000
"""The most bytes of an SVG in the page; a larger one, of thousands of points, is slower to draw than its PNG."""
NOWHERE = "base-uri 'none'; form-action 'none'"
"""Content-Security-Policy: injected content cannot set a base URL or submit forms."""
COPIED = 500
"""The most rows of a table that can be copied from the page; a longer one is copied from its file."""


@dataclass(frozen=True)
class Picture:
    """A figure's files and its caption; the page shows one file and links to all."""

    paths: Sequence[Path]
    caption: str = ""


@dataclass(frozen=True)
class Part:
    r"""A table, the end of its \label, and the files written of it."""

    table: Table
    name: str
    files: Sequence[Path]
    pictures: Sequence[Picture]
    remarks: Sequence[str] = ()
    claims: Decided | None = None


class _View:
    """A table by one selection rule; copies: the texts of the table for the clipboard, by the name of the language."""

    def __init__(self, table: Table, rule: str, name: str) -> None:
        self.rule, self.heading, self.sheet = rule, heading(table, rule), sheets.headline(table, rule)
        self.warnings, self.findings = sheets.warnings(table, rule), findings(table, rule)
        self.differences, self.untested = sheets.differences(table, rule), sheets.untested(table, rule)
        statistic = table.statistic
        below = (
            f"Below a number: the 95 % interval of the {statistic.name} ({statistic.method})."
            if self.sheet.intervals
            else ""
        )
        self.legend = " ".join(filter(None, [below, self.sheet.legend]))
        self.copies: dict[str, str] = {}
        if len(self.sheet.rows) <= COPIED:
            reduced = [f"**Reduced: {plain(words)}**"] if (words := table.reduced) else []
            parts = [f"{plain(table.spec['title'])}: {plain(self.heading)}", *reduced, *headline(table, rule)]
            self.copies = {"Markdown": "\n\n".join(parts) + "\n", "LaTeX": latex(table, name, rule)}


def page(home: Path, name: str, directories: Sequence[Path], parts: Sequence[Part], notes: Sequence[str] = ()) -> str:
    """The page for a report in `home`; the same runs and figures give the same text.

    name: the title of a report with several tables. directories: the folders of the runs. notes: sentences below the
    title.
    """
    import jinja2  # imported here, since only the page needs it

    tables = [part.table for part in parts]
    runs = listed(tables)
    views = [[_View(part.table, rule, part.name) for rule in part.table.rules] for part in parts]
    data = {**run_list(tables, runs, home), "copies": [{view.rule: view.copies for view in each} for each in views]}
    style, script = (ASSETS.joinpath(file).read_text(encoding="utf-8") for file in ("page.css", "page.js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: sanitize(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )
    return environment.get_template("page.html").render(
        title=tables[0].spec["title"] if len(tables) == 1 else name,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; {NOWHERE}",
        data=Markup(_inert(data)),
        folders=[(directory.resolve().name or "/", link(directory.resolve(), home)) for directory in directories],
        said=notes,
        facts=facts([entry.run for entry in runs]),
        outcomes=outcomes(runs),
        count=len(runs),
        missing=_missing(tables, home),
        parts=[_part(part, view, home) for part, view in zip(parts, views, strict=True)],
        rules=RULES,
        split=sheets.split,
        flags=(MARK, STAR),
        label=label,
    )


def _part(part: Part, views: Sequence[_View], home: Path) -> dict[str, Any]:
    table = part.table
    return {
        "table": table,
        "views": views,
        "trained": trained(table),
        "census": sheets.census(table),
        "stray": sheets.stray(table),
        "rules": sheets.rules(table),
        "compared": len(table.rows) > 1 or len(table.columns) > 1,
        "metrics": sheets.other_metrics(table),
        "by_group": shots.sheet(table),
        "by_group_heading": shots.heading(table),
        "claims": [] if part.claims is None else claim_sheets.sections(part.claims),
        "claims_legend": [] if part.claims is None else claim_sheets.legend(part.claims),
        "notes": [*table.spec["notes"], *table.remarks],
        "files": [(path.name, link(path, home)) for path in part.files],
        "figures": [_figure(picture, home) for picture in part.pictures],
        "remarks": part.remarks,
    }


def _missing(tables: Sequence[Table], home: Path) -> list[tuple[list[str], str, int | None]]:
    """The runs without a result, each once: its cells, the link to its folder, and its table.

    The table is None where several are possible.
    """
    missing: dict[Path, tuple[list[str], str, int | None]] = {}
    for place, table in enumerate(tables):
        for cells, (run, *_) in zip(sheets.missing(table).rows, table.without_result, strict=True):
            missing[run.folder] = (cells, link(run.folder, home), None if run.folder in missing else place)
    return list(missing.values())


def _figure(picture: Picture, home: Path) -> dict[str, Any]:
    """The image as data, its size on the page in pixels where known, its caption and the links to its files."""
    files = {path.suffix: path for path in picture.paths}
    drawn = files.get(".svg")
    image = (
        drawn
        if drawn and drawn.stat().st_size <= LARGEST_SVG
        else files.get(".png") or files.get(".gif") or picture.paths[0]
    )
    kind = {".svg": "svg+xml"}.get(image.suffix, image.suffix[1:])
    sizes = (
        re.findall(r'\b(?:width|height)="([\d.]+)pt"', drawn.read_text(encoding="utf-8")[:2000])[:2] if drawn else []
    )
    return {
        "name": image.stem,
        "source": Markup(f"data:image/{kind};base64,{base64.b64encode(image.read_bytes()).decode()}"),
        "size": [round(float(points) * 4 / 3) for points in sizes],
        "caption": picture.caption or image.stem.replace("_", " "),
        "files": [(path.suffix[1:].upper(), link(path, home)) for path in picture.paths],
    }


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inert(data: Any) -> str:
    """JSON that neither ends nor begins an element of a page."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
