"""A report from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mixexp.api.start import folders_of
from mixexp.errors import UserError
from mixexp.plan.options import config_dirs
from mixexp.reporting import changes as changing
from mixexp.reporting.write import write_report
from mixexp.settings import CONF
from mixexp.training.reader import Run


def report(
    folders: Run | str | Path | Iterable[Run | str | Path],
    rule: str | None = None,
    baseline: str | None = None,
    out: str | Path | None = None,
    table: Mapping[str, Any] | str | Path | None = None,
    config_dir: str | Path | None = None,
) -> Path:
    """The page of a report, report.html, with its tables and figures beside it, as `mixexp report DIR...` writes them.

    folders: a folder of runs, several, or runs themselves (Runs), of which all in their folders are taken. rule: last, median_last_10,
    best or best_validation. baseline: the row or column that the others are compared with. out: where it goes, else `report` in the
    folder of the runs. table: keys of a table (docs/tables.md) over those that the experiment has, or a YAML file with them. config_dir: the
    folder with experiments of one's own. Raises UserError as the command does.

    >>> import mixexp
    >>> page = mixexp.report(mixexp.sweep(mix=["none", "mixup"], epochs=1, name="example"))
    >>> page.name, (page.parent / "table.md").is_file()
    ('report.html', True)
    """
    named = [folders] if isinstance(folders, Run | str | Path) else list(folders)
    if not named:
        raise UserError("report: there is no run to report")
    places = dict.fromkeys(item.folder.parent if isinstance(item, Run) else Path(item).expanduser() for item in named)
    if isinstance(table, Mapping):
        changes = changing.given(table)
    else:
        words: dict[str, Any] = {**dict.fromkeys(("metric", "rows", "columns", "title")), **{flag: [] for flag in ("order", "where", "figure", "note")}}
        changes = changing.read(None if table is None else Path(table), words)
    options = [CONF, *config_dirs(folders_of(config_dir))]
    written = write_report(list(places), rule, baseline, None if out is None else Path(out), options=options, changes=changes)
    return written[-1]
