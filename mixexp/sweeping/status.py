"""The status of the runs of a sweep or a folder, at any moment and from outside; without torch, so that it is fast."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import secrets
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
from mixexp.training.folder import LOCK, command_line, headline
from mixexp.training.reader import SWEEPS, is_run, load_state, nothing_there, read_environment
from mixexp.training.task import Task

LONGEST = 300
"""The most columns of a text from a record: a label, an error, a command."""
MOST_SLOTS = 10_000
LOCK_SECONDS = 5
QUEUE_SECONDS = 7 * 86_400
"""The time since a sweep's last activity within which its jobs may still wait in a queue, which cannot be queried."""


class State(StrEnum):
    """The state of a run as others see it, in the order in which totals count them."""

    DONE = "done"
    DIVERGED = "diverged"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    DAMAGED = "damaged"
    CHANGED = "changed"
    """Over, and to be repeated because its data or code have changed; only a plan uses this state."""
    MISSING = "missing"

    @property
    def to_do(self) -> bool:
        """True if the run still needs time."""
        return self in (State.RUNNING, State.INTERRUPTED, State.DAMAGED, State.CHANGED, State.MISSING)


@dataclass(frozen=True)
class PlannedRun:
    """A planned run: its folder's name, its label, and its task."""

    name: str
    label: str
    task: Task


@dataclass(frozen=True)
class RunStatus:
    """A run's state, its details, and its completed fraction.

    last: its last evaluation; seconds: its duration, where it is done.
    """

    run: PlannedRun
    state: State
    detail: str = ""
    fraction: float = 0.0
    last: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@contextlib.contextmanager
def at_work(folder: Path, name: str) -> Iterator[None]:
    """Context in which a system lock in a sweep's folder shows that this process makes runs there.

    The lock ends with the process. Each process has a lock of its own, since several may make the runs of one plan.
    """
    (folder / SWEEPS).mkdir(parents=True, exist_ok=True)
    # left by a killed process; a lock made just now may not be held yet
    for left in (folder / SWEEPS).glob("*.lock"):
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
    """Record the runs that a sweep plans, so that a folder's status includes those not begun; the plan stays.

    queue: the launcher whose jobs may wait elsewhere, and longer than the sweep's process lives.
    """
    (folder / SWEEPS).mkdir(parents=True, exist_ok=True)
    listed = [{"name": run.name, "label": run.label, "task": run.task.record()} for run in runs]
    about = {
        "command": command_line(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cells": cells,
        "slots": slots,
        "queue": queue,
        "runs": listed,
    }
    write_atomically(folder / SWEEPS / f"{plan_name(runs)}.json", json.dumps(about, indent=1))


def scan(folder: Path, runs: Iterable[PlannedRun]) -> list[RunStatus]:
    """The state of the given runs in a sweep's folder; an unreadable one is damaged."""
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
    where = [_reached(evaluated, continued, steps)] if steps else []
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
    words = "continues from its checkpoint" if checkpoint else "no checkpoint yet"
    return RunStatus(run, State.INTERRUPTED, "; ".join([*where, words]), fraction if checkpoint else 0.0)


def _reached(evaluated: float, continued: float, steps: float) -> str:
    """How far a run is known to be; the step of a checkpoint is not known without torch."""
    if evaluated:
        return f"evaluated last at step {evaluated:,.0f} of {steps:,.0f}"
    if continued:
        return f"continued at step {continued:,.0f} of {steps:,.0f}, not evaluated yet"
    return f"not evaluated yet, {steps:,.0f} steps in all"


def _planned(name: Any, about: Mapping[str, Any]) -> PlannedRun | None:
    """A run as a plan or an environment.json describes it; None where this version has not written the description."""
    label, task = about.get("label"), Task.of_record(about.get("task"))
    if task is None or not isinstance(name, str) or not isinstance(label, str) or not plain_name(name):
        return None
    return PlannedRun(name, shorten(one_line(label), LONGEST), task)


def describe(
    folder: Path,
    runs: Sequence[RunStatus],
    slots: int,
    notes: Sequence[str] = (),
    durations: DurationModel | None = None,
) -> str:
    """A line for each run, the notes, and the counts with the time left.

    durations: the model for the estimates, by default that of the runs finished in the folder.
    """
    durations = durations or DurationModel.from_finished_runs(folder)
    columns = rows(runs, durations)
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)][:3]
    lines = [
        "  ".join([*(word.ljust(width) for word, width in zip(words, widths, strict=False)), words[3]]).rstrip()
        for words in columns
    ]
    return "\n".join([*lines, *notes, *closing(folder, runs, durations, slots)])


def rows(runs: Sequence[RunStatus], durations: DurationModel) -> list[tuple[str, State, str, str]]:
    """The name, the state, the label and the detail of each run; the time that a missing one takes is its detail."""
    found = []
    for status in runs:
        expected = durations.expect(status.run.task) if status.state in (State.CHANGED, State.MISSING) else None
        detail = f"about {durations.words(expected)}" if expected is not None else status.detail
        found.append((status.run.name, status.state, status.run.label, detail))
    return found


def closing(folder: Path, runs: Sequence[RunStatus], durations: DurationModel, slots: int) -> list[str]:
    """The lines below the runs: the totals, and what to do about failures."""
    failed = any(status.state is State.FAILED for status in runs)
    again = "error.txt in a failed run's folder says why; retry=failed tries them again"
    return [totals(folder, runs, durations, slots), *[again] * failed]


def totals(folder: Path, runs: Sequence[RunStatus], durations: DurationModel, slots: int) -> str:
    """One line: the folder, how many runs are in which state, and how long the rest will take."""
    to_do, seconds = any(status.state.to_do for status in runs), seconds_left(runs, durations, slots)
    left = (
        "; no finished run to judge the time by"
        if seconds is None
        else f"; about {durations.words(seconds)} left with {slots} at once"
    )
    return f"{folder}: {len(runs)} run{'s' * (len(runs) != 1)}: {counts(runs)}{left if to_do else ''}"


def seconds_left(runs: Iterable[RunStatus], durations: DurationModel, slots: int) -> float | None:
    """The time that the rest of some runs will take, None where nothing is known of it."""
    return durations.total([(status.run.task, 1 - status.fraction) for status in runs if status.state.to_do], slots)


def counts(runs: Iterable[RunStatus]) -> str:
    """The number of runs in each state, in words."""
    number = Counter(status.state for status in runs)
    return ", ".join(f"{number[state]} {state}" for state in State if number[state])


def status(folder: Path) -> str:
    """The text of `mixexp status` on a folder: the runs its sweeps planned and those in it besides; raises UserError
    without any."""
    plans, runs = look(folder)
    return "\n".join([describe(folder, runs, plans.slots), *plans.remarks(folder, runs)])


def look(folder: Path) -> tuple[Plans, list[RunStatus]]:
    """A folder's plans that count, and the state of its runs; raises UserError where it has none."""
    plans = read_plans(folder)
    runs = known_runs(folder, plans) if folder.is_dir() else []
    if not runs:
        raise UserError(nothing_there(folder))
    return plans, scan(folder, runs)


def known_runs(folder: Path, plans: Plans) -> list[PlannedRun]:
    """The runs of the plans that count, followed by the other runs in the folder."""
    besides = sorted(
        path for path in folder.iterdir() if path.name not in plans.runs and path.is_dir() and is_run(path)
    )
    return [*plans.runs.values(), *(_begun(path, stamp(path / "environment.json")) for path in besides)]


@functools.lru_cache(maxsize=100_000)  # a watch reads it every other second; a changed file has another stamp
def _begun(folder: Path, version: Stamp) -> PlannedRun:
    """A run as its own folder describes it."""
    return _planned(folder.name, read_environment(folder)) or PlannedRun(folder.name, "", Task("", "", 0.0))


@dataclass(frozen=True)
class Sweep:
    """A sweep as its plan describes it; name: of the plan's file; queue: the launcher whose jobs may wait elsewhere."""

    name: str
    runs: Mapping[str, PlannedRun]
    slots: int
    started: float
    command: str
    queue: str


@dataclass(frozen=True)
class Plans:
    """The plans of a folder's sweeps that still count: those of sweeps at work, and the last one.

    working: whether a process is at work on any of them. queued: the runs whose jobs may wait in a queue, with its
    launcher's name. command: of the last sweep, where no other counts. abandoned: the sweeps that have ended and do
    not count.
    """

    runs: Mapping[str, PlannedRun]
    slots: int = 1
    working: bool = False
    queued: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    abandoned: Sequence[Sweep] = ()

    def over(self, runs: Iterable[RunStatus]) -> bool:
        """Whether no process works on any of these runs, and none waits in a queue."""
        return not self.working and not any(
            status.state is State.RUNNING or (status.state.to_do and status.run.name in self.queued) for status in runs
        )

    def remarks(self, folder: Path, runs: Sequence[RunStatus]) -> list[str]:
        """A line on the runs that no process works on, one on those planned earlier that are not among these, and one
        on a queue."""
        idle = sum(status.state.to_do for status in runs) if self.over(runs) else 0
        lines = []
        if idle:
            them = "it" if idle == 1 else "them"
            again = (
                f"this continues with {them}: {self.command}" if self.command else f"its command continues with {them}"
            )
            lines.append(f"{folder}: stopped: no process works on the {idle} run{'s' * (idle != 1)} left; {again}")
        return [*lines, *self._earlier({status.run.name for status in runs})]

    def _earlier(self, runs: Container[str]) -> list[str]:
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
        # a started time has whole seconds; and no plan is younger than its file
        (written if started is None else min(started + written % 1, written)),
        shorten(one_line(texts["command"]), LONGEST),
        shorten(one_line(texts["queue"]), 60),
    )


def read_plans(folder: Path) -> Plans:
    """The plans of a folder that count: those at work, those whose jobs may be in a queue, and the last one."""
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
        # a run planned again belongs to the later sweep
        queues |= dict.fromkeys(sweep.runs, sweep.queue if sweep in in_queue else "")
    queued = {name: queue for name, queue in queues.items() if queue}
    slots = max((sweep.slots for sweep in counting), default=0)
    command = counting[0].command if len(counting) == 1 else ""
    abandoned = [sweep for sweep in sweeps if sweep not in counting]
    return Plans(runs, max(slots, 1), bool(live), queued, command, abandoned)


def _last_sign(folder: Path, sweep: Sweep) -> float:
    """The time at which a sweep, or the last of its runs, began."""
    runs = [stamp(folder / name) for name in sweep.runs]
    return max([sweep.started, *(version[0] / 1e9 for version in runs if version)])
