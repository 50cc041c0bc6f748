"""The state of runs as records for JSON: what `plan` and `status` print, under the names that docs/json.md has."""

from __future__ import annotations

import contextlib
import contextvars
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mixexp.sweeping.estimate import DurationModel
from mixexp.sweeping.status import RunStatus, State, look, seconds_left

AS_JSON = contextvars.ContextVar("as_json", default=False)
"""Whether a plan is printed as JSON."""


@contextlib.contextmanager
def plan_as_json(wanted: bool) -> Iterator[None]:
    """Inside, a plan is printed as JSON where that is wanted: Hydra calls the launcher, and passes no argument on."""
    token = AS_JSON.set(wanted)
    try:
        yield
    finally:
        AS_JSON.reset(token)


def folder_record(folder: Path, runs: Sequence[RunStatus], durations: DurationModel, slots: int) -> dict[str, Any]:
    """The runs of a folder, their counts by state, and the seconds that the rest will take."""
    number = Counter(status.state for status in runs)
    return {
        "folder": folder,
        "runs": [_run_record(status, durations) for status in runs],
        "counts": {state: number[state] for state in State if number[state]},
        "slots": slots,
        "seconds_left": seconds_left(runs, durations, slots),
        "guessed": durations.guessed,
    }


def status_record(folder: Path) -> dict[str, Any]:
    """The record of a folder for `mixexp status --json`; raises UserError for one without runs."""
    plans, runs = look(folder)
    return {
        **folder_record(folder, runs, DurationModel.from_finished_runs(folder), plans.slots),
        "over": plans.over(runs),
        "command": plans.command or None,
        "remarks": plans.remarks(folder, runs),
    }


def _run_record(status: RunStatus, durations: DurationModel) -> dict[str, Any]:
    return {
        "run_id": status.run.name,
        "label": status.run.label,
        "state": status.state,
        "detail": status.detail,
        "fraction": status.fraction,
        "last": dict(status.last),
        "seconds": status.seconds if status.state in (State.DONE, State.DIVERGED) else None,
        "expected_seconds": durations.expect(status.run.task) if status.state.to_do else None,
    }
