"""The summary at the end of a search: its counts, its best trial, and the command that trains that one again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mixexp.errors import RunsFailed, show
from mixexp.plan.options import user_folders
from mixexp.spec.search import ENDS, Settings, Trial, best_of, overrides
from mixexp.sweeping.one import failures_of


def print_summary(
    folder: Path,
    trials: Sequence[Trial],
    before: Sequence[Trial],
    settings: Settings,
    command: Sequence[str],
    why_stopped: str | None,
) -> None:
    """Print the outcome of a search, its best trial and the command to train that again.

    Raises RunsFailed where trials failed.
    """
    counts = {name: sum(trial.state == name for trial in trials) for name in ENDS}
    print(
        f"{folder}: {len(trials)} trials, {', '.join(f'{count} {name}' for name, count in counts.items())} "
        f"({sum(trial.over for trial in before)} of them before)"
    )
    best = best_of(trials, settings.direction)
    if best is not None:
        folders, _ = user_folders(sys.argv[1:])
        show(
            f"best {settings.target}: {best.value:.4f}, trial {best.number}, {best.folder}; the search chose by this"
            " number, so it\nflatters, and another seed=... is a fair look at the same settings. The command that"
            f" trains it:\n  {shlex.join(['mixexp', *(f'--config-dir={path}' for path in folders), *command])}"
        )
    failed = [
        (trial.folder or "-", " ".join(overrides(trial.values)), trial.problem)
        for trial in trials
        if trial.state == "failed"
    ]
    lines = []
    if failed:
        lines += [*failures_of("trials", len(trials), failed), "retry=failed tries them again"]
    if why_stopped is not None:
        lines.append(why_stopped)
    if lines:
        raise RunsFailed("\n".join(lines))
