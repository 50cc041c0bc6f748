"""Finished runs logged again, from their CSVs alone: the work of `mixexp log`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixexp.build import build, check
from mixexp.errors import RunsFailed, UserError
from mixexp.logger import Logger
from mixexp.settings import flatten
from mixexp.training.logging import run_info
from mixexp.training.reader import Run, load_run, nothing_there, run_folders

SETTABLE = ("logger", "trusted_modules")
"""Settings that count when runs are logged afterwards."""


def log(folders: Sequence[Path], node: Mapping[str, Any], trusted: Sequence[str]) -> Iterator[str]:
    """Log the runs in folders, or single runs by their folder, and yield a line on each; a second time changes nothing.

    node: the configuration of the logger. Raises UserError with all errors before any run is logged, RunsFailed at the
    end with the runs at which the logger raised.
    """
    if errors := check(node, "logger", Logger, trusted):
        raise UserError("\n".join(errors))
    build(node, trusted).check()
    runs = [run for folder in folders for run in _runs(folder)]
    failed = []
    for run in runs:
        if not run.over:
            yield f"{run.folder}: {run.outcome}, left out"
            continue
        try:
            evaluations = zip(*run.metrics.values(), strict=True)
            rows = [
                {name: value for name, value in zip(run.metrics, values, strict=True) if value is not None}
                for values in evaluations
            ]
            logger = build(node, trusted)
            logger.start(run_info(run.folder, flatten(run.config), run.environment, rows, print), rows)
            logger.end(run.outcome)
        except (Exception, SystemExit) as error:
            failed.append(f"{run.folder}: logger: {type(error).__name__}: {error}")
            continue
        yield f"{run.folder}: {len(rows)} evaluations"
    if failed:
        raise RunsFailed("\n".join(failed))


def _runs(folder: Path) -> list[Run]:
    """The run in a folder, or the runs under it; raises UserError where none of them is over."""
    runs = [load_run(path) for path in ([folder] if (folder / "config.yaml").is_file() else run_folders(folder))]
    if not runs:
        raise UserError(nothing_there(folder))
    if not any(run.over for run in runs):
        raise UserError(
            f"{folder}: no run in it is over; {len(runs)}"
            f" {runs[0].outcome if len(runs) == 1 else 'unfinished or failed'}"
        )
    return runs
