"""The status of the runs of a sweep or of a folder, seen from outside at any moment; without torch, so that it is shown
at once."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import secrets
import shlex
import sys
import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock

from mixexp.errors import UserError
from mixexp.files import Stamp, held, plain_name, quantity, read_json_or_nothing, stamp, timestamp, write_atomically
from mixexp.sweeping.estimate import DurationModel
from mixexp.text import one_line, shorten
from mixexp.training.folder import LOCK, headline
from mixexp.training.reader import SWEEPS, is_run, load_state, nothing_there, read_environment
from mixexp.training.task import Task

LONGEST = 300
"""Columns of a text from a record: a label, an error, a command."""
MOST_SLOTS = 10_000
LOCK_SECONDS = 5
QUEUE_SECONDS = 7 * 86_400
"""How long after its last sign of life the jobs of a sweep are taken to wait in a queue: nobody can be asked."""


class State(StrEnum):
    """The state of a run as others see it, in the order in which totals count them."""

    DONE = "done"
    DIVERGED = "diverged"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    DAMAGED = "damaged"
    CHANGED = "changed"
    """Over, and to be made again as its data or code have changed; only a plan says so."""
    MISSING = "missing"

    @property
    def to_do(self) -> bool:
        """Whether there is time still to be spent on it."""
        return self in (State.RUNNING, State.INTERRUPTED, State.DAMAGED, State.CHANGED, State.MISSING)


@dataclass(frozen=True)
class PlannedRun:
    """A run that is to be: its folder's name, its label, and what it computes."""

    name: str
    label: str
    task: Task


@dataclass(frozen=True)
class RunStatus:
    """A run's state, with what there is to say of it, and which part of it is done.

    last: its last evaluation; seconds: that it took, where it is done.
    """

    run: PlannedRun
    state: State
    detail: str = ""
    fraction: float = 0.0
    last: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@contextlib.contextmanager
def at_work(folder: Path, name: str) -> Iterator[None]:
    """Inside, a lock of the operating system in a sweep's folder says that this process makes runs there; it ends with
    the process.

    Each process has a lock of its own, since several may make the runs of one plan.
    """
    (folder / SWEEPS).mkdir(parents=True, exist_ok=True)
    for left in (folder / SWEEPS).glob(
        "*.lock"
    ):  # by a process that was killed; a lock made just now may not be held yet
        with contextlib.suppress(OSError):
            if time.time() - left.lstat().st_mtime > 60 and not held(left):
                left.unlink()
    path = folder / SWEEPS / f"{name}.{secrets.token_hex(4)}.lock"
    lock = FileLock(path)
    lock.acquire(timeout=LOCK_SECONDS)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()


def plan_name(runs: Iterable[PlannedRun]) -> str:
    """The name of the plan of these runs."""
    return hashlib.sha256(" ".join(sorted(run.name for run in runs)).encode()).hexdigest()[:12]


def keep_plan(folder: Path, cells: int, runs: Sequence[PlannedRun], slots: int, queue: str = "") -> None:
    """Write down which runs a sweep shall make, so that a folder's status can name those not begun; the plan stays.

    queue: the launcher whose jobs may wait somewhere else, and longer than the sweep's process lives.
    """
    (folder / SWEEPS).mkdir(parents=True, exist_ok=True)
    listed = [{"name": run.name, "label": run.label, "task": run.task.record()} for run in runs]
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    about = {"command": command, "started": started, "cells": cells, "slots": slots, "queue": queue, "runs": listed}
    write_atomically(folder / SWEEPS / f"{plan_name(runs)}.json", json.dumps(about, indent=1))


def scan(folder: Path, runs: Iterable[PlannedRun]) -> list[RunStatus]:
    """The state of the given runs in a sweep's folder; one that cannot be looked at is damaged."""
    return [_status_of(folder, run) for run in runs]


def _status_of(folder: Path, run: PlannedRun) -> RunStatus:
    try:
        return _read_status(folder / run.name, run)
    except OSError as error:
        return RunStatus(run, State.DAMAGED, f"the folder cannot be read: {error.strerror or error}")


def _read_status(folder: Path, run: PlannedRun) -> RunStatus:
    state = load_state(folder)
    about = read_environment(folder)
    if state.over:
        ended = State.DONE if state.outcome == "finished" else State.DIVERGED
        return RunStatus(
            run, ended, headline(state.result), 1.0, state.result["last"], quantity(state.result["seconds"])
        )
    steps, continued = quantity(about.get("steps")), quantity(about.get("continued_at_step"))
    evaluated = max(map(quantity, state.metrics.get("step", [])), default=0.0)
    fraction = min(max(evaluated, continued) / steps, 1.0) if steps else 0.0
    last = {name: values[-1] for name, values in state.metrics.items() if values[-1] is not None}
    where = [f"evaluated last at step {evaluated:,.0f} of {steps:,.0f}"] if steps else []
    if held(folder / LOCK):
        process, host = about.get("process"), about.get("host")
        if quantity(process) and isinstance(host, str):
            where.append(f"process {process:.0f} on {shorten(one_line(host), 60)}")
        return RunStatus(run, State.RUNNING, ", ".join(where), fraction, last)
    if state.outcome in ("failed", "damaged"):
        return RunStatus(run, State(state.outcome), shorten(one_line(state.problem), LONGEST))
    if not (folder / "config.yaml").exists():
        return RunStatus(run, State.MISSING)
    checkpoint = (folder / "checkpoint.pt").exists()
    words = "goes on from its checkpoint" if checkpoint else "no checkpoint yet"
    return RunStatus(run, State.INTERRUPTED, "; ".join([*where, words]), fraction if checkpoint else 0.0)


def _planned(name: Any, about: Mapping[str, Any]) -> PlannedRun | None:
    """A run as a plan or an environment.json describes it; None where neither of this version has written that."""
    label, task = about.get("label"), Task.of_record(about.get("task"))
    if task is None or not isinstance(name, str) or not isinstance(label, str) or not plain_name(name):
        return None
    return PlannedRun(name, shorten(one_line(label), LONGEST), task)


def describe(
    folder: Path,
    runs: Sequence[RunStatus],
    slots: int,
    cells: int | None = None,
    durations: DurationModel | None = None,
) -> str:
    """A line a run, and the counts with the time that the rest will take.

    durations: by which it is judged, those of the runs finished in the folder where there are none given.
    """
    durations = durations or DurationModel.from_finished_runs(folder)
    columns = [(status.run.name, status.state, status.run.label) for status in runs]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    lines = []
    for status, words in zip(runs, columns, strict=True):
        expected = durations.expect(status.run.task) if status.state in (State.CHANGED, State.MISSING) else None
        detail = f"about {durations.words(expected)}" if expected is not None else status.detail
        lines.append(
            "  ".join([*(word.ljust(width) for word, width in zip(words, widths, strict=True)), detail]).rstrip()
        )
    if cells is not None and cells > len(runs):
        lines.append(f"{cells} cells are {len(runs)} different runs: cells that act alike run once")
    lines.append(totals(folder, runs, durations, slots))
    if any(status.state is State.FAILED for status in runs):
        lines.append("error.txt in a failed run's folder says why; retry=failed tries them again")
    return "\n".join(lines)


def totals(folder: Path, runs: Sequence[RunStatus], durations: DurationModel, slots: int) -> str:
    """One line: the folder, how many runs are in which state, and how long the rest will take."""
    to_do = [(status.run.task, 1 - status.fraction) for status in runs if status.state.to_do]
    seconds = durations.total(to_do, slots)
    left = (
        "; no finished run to judge the time by"
        if seconds is None
        else f"; about {durations.words(seconds)} left with {slots} at once"
    )
    return f"{folder}: {len(runs)} run{'s' * (len(runs) != 1)}: {counts(runs)}{left if to_do else ''}"


def counts(runs: Iterable[RunStatus]) -> str:
    """How many runs are in which state."""
    number = Counter(status.state for status in runs)
    return ", ".join(f"{number[state]} {state}" for state in State if number[state])


def status(folder: Path) -> str:
    """What `mixexp status` says of a folder: the runs its sweeps planned and those in it besides; raises UserError
    without any."""
    plans = read_plans(folder)
    runs = known_runs(folder, plans) if folder.is_dir() else []
    if not runs:
        raise UserError(nothing_there(folder))
    return "\n".join([describe(folder, scan(folder, runs), plans.slots), *plans.remarks({run.name for run in runs})])


def known_runs(folder: Path, plans: Plans) -> list[PlannedRun]:
    """The runs that the plans which count name, and then those in the folder besides."""
    besides = sorted(
        path for path in folder.iterdir() if path.name not in plans.runs and path.is_dir() and is_run(path)
    )
    return [*plans.runs.values(), *(_begun(path, stamp(path / "environment.json")) for path in besides)]


@functools.lru_cache(maxsize=100_000)  # a watch asks every other second; a changed file has another stamp
def _begun(folder: Path, version: Stamp) -> PlannedRun:
    """A run as its own folder describes it."""
    return _planned(folder.name, read_environment(folder)) or PlannedRun(folder.name, "", Task("", "", 0.0))


@dataclass(frozen=True)
class Sweep:
    """A sweep as its plan tells it; name: of the plan's file; queue: the launcher whose jobs may wait somewhere
    else."""

    name: str
    runs: Mapping[str, PlannedRun]
    slots: int
    started: float
    command: str
    queue: str


@dataclass(frozen=True)
class Plans:
    """What a folder's sweeps planned that still counts: that of sweeps at work, and of the last one.

    working: whether a process is at work on any of them. queued: the runs whose jobs may wait in a queue, with its
    launcher's name. abandoned: the sweeps that have ended and do not count.
    """

    runs: Mapping[str, PlannedRun]
    slots: int = 1
    working: bool = False
    queued: Mapping[str, str] = field(default_factory=dict)
    abandoned: Sequence[Sweep] = ()

    def remarks(self, runs: Container[str]) -> list[str]:
        """A line on the runs planned earlier that are not among these, and one on a queue."""
        left = [(sweep, [name for name in sweep.runs if name not in runs]) for sweep in self.abandoned]
        left = [(sweep, names) for sweep, names in left if names]
        lines = []
        if left:
            count = len({name for _, names in left for name in names})
            by = f"{len(left)} earlier sweeps" if len(left) > 1 else "an earlier sweep"
            them = "it" if count == 1 else "them"
            again = f"; this makes {them}: {left[0][0].command}" if len(left) == 1 and left[0][0].command else ""
            were = "run was" if count == 1 else "runs were"
            lines.append(f"not counted: {count} {were} planned by {by} and never begun{again}")
        if self.queued:
            lines.append(
                f"{len(self.queued)} of the runs may wait in the queue of"
                f" {', '.join(dict.fromkeys(self.queued.values()))}"
            )
        return lines


@functools.lru_cache(maxsize=10_000)
def _read_sweep(path: Path, version: Stamp) -> Sweep:
    about, written = read_json_or_nothing(path), version[0] / 1e9 if version else 0.0
    listed: Any = about.get("runs")
    listed = listed if isinstance(listed, list) else []
    planned = [_planned(run.get("name"), run) for run in listed if isinstance(run, dict)]
    texts = {key: about[key] if isinstance(about.get(key), str) else "" for key in ("command", "queue")}
    started = timestamp(about.get("started"))
    return Sweep(
        path.stem,
        {run.name: run for run in planned if run is not None},
        int(quantity(about.get("slots"), MOST_SLOTS)),
        (
            written if started is None else min(started + written % 1, written)
        ),  # to the second; and no plan is of a later time than its file
        shorten(one_line(texts["command"]), LONGEST),
        shorten(one_line(texts["queue"]), 60),
    )


def read_plans(folder: Path) -> Plans:
    """Which of a folder's plans count: those at work, those whose jobs may be in a queue, and the last one."""
    live = {path.name.partition(".")[0] for path in (folder / SWEEPS).glob("*.lock") if held(path)}
    files = sorted((folder / SWEEPS).glob("*.json"))
    sweeps = sorted((_read_sweep(path, stamp(path)) for path in files), key=lambda sweep: sweep.started)
    idle = [sweep for sweep in sweeps if sweep.queue and sweep.name not in live]
    in_queue = [sweep for sweep in idle if time.time() - _last_sign(folder, sweep) < QUEUE_SECONDS]
    counting = [sweep for sweep in sweeps if sweep.name in live or sweep in in_queue or sweep is sweeps[-1]]
    runs: dict[str, PlannedRun] = {}
    queues: dict[str, str] = {}
    for sweep in counting:
        runs |= sweep.runs
        queues |= dict.fromkeys(
            sweep.runs, sweep.queue if sweep in in_queue else ""
        )  # what it has planned again is its own
    queued = {name: queue for name, queue in queues.items() if queue}
    slots = max((sweep.slots for sweep in counting), default=0)
    return Plans(runs, max(slots, 1), bool(live), queued, [sweep for sweep in sweeps if sweep not in counting])


def _last_sign(folder: Path, sweep: Sweep) -> float:
    """When a sweep began, or the last of its runs did."""
    runs = [stamp(folder / name) for name in sweep.runs]
    return max([sweep.started, *(version[0] / 1e9 for version in runs if version)])
