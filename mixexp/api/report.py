"""A report from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mixexp.api.start import folder_of, folders_of, plain_errors
from mixexp.errors import UserError
from mixexp.plan.options import code_now, config_dirs
from mixexp.reporting import changes as changing
from mixexp.reporting.write import write_report
from mixexp.settings import CONF
from mixexp.training.reader import Run, run_folders


@plain_errors
def report(
    folders: Run | str | Path | Iterable[Run | str | Path],
    rule: str | None = None,
    baseline: str | None = None,
    out: str | Path | None = None,
    table: Mapping[str, Any] | str | Path | None = None,
    config_dir: str | Path | None = None,
) -> Path:
    """The page of a report, report.html, with its tables and figures next to it, as `mixexp report DIR...` writes them.

    folders: a folder of runs, several, or runs themselves (Runs); then only these are included. rule: last,
    median_last_10, best or best_validation. baseline: the row or column that the others are compared with. out: the
    report's folder, by default `report` in the folder of the runs. table: keys of a table (docs/tables.md) that replace
    those of the experiment, or a YAML file with them. config_dir: the folder with the user's own experiments. Raises
    UserError as the command does.

    >>> import mixexp
    >>> page = mixexp.report(mixexp.sweep(mix=["none", "mixup"], epochs=1, name="example"))
    >>> page.name, (page.parent / "table.md").is_file()
    ('report.html', True)
    """
    named = (
        [folders]
        if isinstance(folders, Run | str | Path)
        else list(folders)
        if isinstance(folders, Iterable)
        else [folders]
    )
    if not named:
        raise UserError("report: there is no run to report")
    chosen = {item.folder.resolve() for item in named if isinstance(item, Run)}
    places = dict.fromkeys(item.folder.parent if isinstance(item, Run) else folder_of("report", item) for item in named)
    there = {folder.resolve() for place in places for folder in run_folders(place)} if chosen else set()
    if chosen < there and out is None:
        raise UserError(
            f"report: these are {len(chosen)} of the {len(there)} runs of their folder, whose own report would be"
            " overwritten; say out=..."
        )
    changes = (
        changing.given(table) if isinstance(table, Mapping) else changing.read(None if table is None else Path(table))
    )
    own = config_dirs(folders_of(config_dir))
    written = write_report(
        list(places),
        rule,
        baseline,
        None if out is None else Path(out),
        options=[CONF, *own],
        changes=changes,
        only=chosen or None,
        code_now=code_now(own),
    )
    return written[-1]
