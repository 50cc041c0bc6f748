"""How far the runs of a sweep or of a folder are, seen from outside at any moment; without torch, so that it is told at once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mixexp.errors import UserError
from mixexp.record import LOCK, headline, write_atomically
from mixexp.report.load import load_state, nothing_there, run_folders
from mixexp.sweep.pace import Pace, Task, duration, past

SWEEPS = "sweeps"
ORDER = ("done", "diverged", "running", "interrupted", "failed", "damaged", "missing")
TO_DO = ("running", "interrupted", "damaged", "missing")


@dataclass(frozen=True)
class Planned:
    """A run that is to be: its folder's name, a few words to call it, and what it computes."""

    name: str
    label: str
    task: Task


@dataclass(frozen=True)
class Seen:
    """A run as found: one of ORDER, with what there is to say of it, and which part of it is done.

    last: its last evaluation; seconds: that it took, where it is done.
    """

    run: Planned
    state: str
    detail: str = ""
    fraction: float = 0.0
    last: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def keep_plan(folder: Path, cells: int, runs: Sequence[Planned], slots: int) -> None:
    """Write down which runs a sweep shall make, so that a folder's status can name those not begun."""
    (folder / SWEEPS).mkdir(parents=True, exist_ok=True)
    found = [{"name": run.name, "label": run.label, "task": run.task._asdict()} for run in runs]
    name = hashlib.sha256(" ".join(sorted(run.name for run in runs)).encode()).hexdigest()[:12]
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    about = {"command": command, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "cells": cells, "slots": slots, "runs": found}
    write_atomically(folder / SWEEPS / f"{name}.json", json.dumps(about, indent=1))


def look(folder: Path, runs: Iterable[Planned]) -> list[Seen]:
    """The state of the given runs in a sweep's folder."""
    return [_look(folder / run.name, run) for run in runs]


def _look(folder: Path, run: Planned) -> Seen:
    state = load_state(folder)
    about = _read(folder / "environment.json")
    if state.over:
        name = "done" if state.outcome == "finished" else "diverged"
        return Seen(run, name, headline(state.result), 1.0, state.result["last"], _number(state.result["seconds"]))
    steps, continued = _number(about.get("steps")), _number(about.get("continued_at_step"))
    evaluated = max(map(_number, state.metrics.get("step", [])), default=0.0)
    fraction = min(max(evaluated, continued) / steps, 1.0) if steps else 0.0
    last = {name: values[-1] for name, values in state.metrics.items() if values[-1] is not None}
    where = [f"evaluated last at step {evaluated:,.0f} of {steps:,.0f}"] if steps else []
    if _claimed(folder):
        by = [f"process {about['process']} on {about['host']}"] if {"process", "host"} <= about.keys() else []
        return Seen(run, "running", ", ".join([*where, *by]), fraction, last)
    if state.outcome in ("failed", "damaged"):
        return Seen(run, state.outcome, state.problem)
    if not (folder / "config.yaml").exists():
        return Seen(run, "missing")
    kept = (folder / "checkpoint.pt").exists()
    words = "goes on from its checkpoint" if kept else "no checkpoint yet"
    return Seen(run, "interrupted", "; ".join([*where, words]), fraction if kept else 0.0)


def _claimed(folder: Path) -> bool:
    """Whether a live process holds the run's lock; on a file system that does not let us ask, no."""
    with contextlib.suppress(OSError):
        if (folder / LOCK).exists():
            try:
                with FileLock(folder / LOCK, timeout=0):
                    return False
            except Timeout:
                return True
    return False


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> float:
    """A number above 0 as it stands, anything else as 0."""
    return value if isinstance(value, int | float) and 0 < value < math.inf else 0.0


def _planned(name: Any, about: Any) -> Planned | None:
    """A run as a plan or an environment.json describes it; None where neither of this version has written that."""
    try:
        task = about["task"]
        return Planned(name, str(about["label"]), Task(str(task["kind"]), str(task["device"]), _number(task["flops"])))
    except (KeyError, TypeError):
        return None


def describe(folder: Path, seen: Sequence[Seen], slots: int, cells: int | None = None) -> str:
    """A line a run, and the counts with the time that the rest will take, judged by the runs finished in the folder."""
    pace = past(folder)
    widths = [max((len(word) for word in column), default=0) for column in zip(*((s.run.name, s.state, s.run.label) for s in seen))]
    lines = []
    for one in seen:
        expected = pace.expect(one.run.task) if one.state == "missing" else None
        detail = f"about {duration(expected)}" if expected is not None else one.detail
        words = zip((one.run.name, one.state, one.run.label), widths, strict=True)
        lines.append("  ".join([*(word.ljust(width) for word, width in words), detail]).rstrip())
    if cells is not None and cells > len(seen):
        lines.append(f"{cells} cells are {len(seen)} different runs: cells that act alike run once")
    lines.append(totals(folder, seen, pace, slots))
    if any(one.state == "failed" for one in seen):
        lines.append("error.txt in a failed run's folder says why; retry=failed tries them again")
    return "\n".join(lines)


def totals(folder: Path, seen: Sequence[Seen], pace: Pace, slots: int) -> str:
    """One line: the folder, how many runs are in which state, and how long the rest will take."""
    counts = Counter(one.state for one in seen)
    text = ", ".join(f"{counts[state]} {state}" for state in ORDER if counts[state])
    return f"{folder}: {len(seen)} run{'s' * (len(seen) != 1)}: {text}{_left(pace, seen, slots)}"


def _left(pace: Pace, seen: Sequence[Seen], slots: int) -> str:
    to_do = [(one.run.task, 1 - one.fraction) for one in seen if one.state in TO_DO]
    if not to_do:
        return ""
    seconds = pace.total(to_do, slots)
    if seconds is None:
        return "; no finished run to judge the time by"
    return f"; about {duration(seconds)} left with {slots} at once"


def status(folder: Path) -> str:
    """What `mixexp status` says of a folder: the runs its sweeps planned and those in it besides; raises UserError without any."""
    if not folder.is_dir():
        raise UserError(nothing_there(folder))
    runs, slots = plans(folder)
    for path in run_folders(folder):
        if path.name not in runs:
            runs[path.name] = begun(path)
    if not runs:
        raise UserError(nothing_there(folder))
    return describe(folder, look(folder, runs.values()), slots)


def plans(folder: Path) -> tuple[dict[str, Planned], int]:
    """The runs that a folder's sweeps planned, by name, and how many they make at once."""
    found = [_read(path) for path in sorted((folder / SWEEPS).glob("*.json"))]
    listed = [run for plan in found if isinstance(plan.get("runs"), list) for run in plan["runs"] if isinstance(run, dict)]
    known = [_planned(run["name"], run) for run in listed if isinstance(run.get("name"), str)]
    slots = max((int(_number(plan.get("slots"))) for plan in found), default=0)
    return {run.name: run for run in known if run is not None}, max(slots, 1)


def begun(folder: Path) -> Planned:
    """A run as its own folder describes it."""
    return _planned(folder.name, _read(folder / "environment.json")) or Planned(folder.name, "", Task("", "", 0.0))
