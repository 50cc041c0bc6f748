"""Many runs on this machine: a process per slot, the longest run first; a failure is one row of the summary.

Other sweeps on the same runs share the work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mixexp.files import stamp
from mixexp.sweeping.estimate import DurationModel, duration
from mixexp.sweeping.one import ELSEWHERE_SECONDS
from mixexp.sweeping.signals import handled
from mixexp.sweeping.slot import Slot
from mixexp.text import escaped
from mixexp.training.device import available
from mixexp.training.folder import headline
from mixexp.training.reader import load_state
from mixexp.training.sizes import usable_processors
from mixexp.training.spec import RunConfig, RunSpec
from mixexp.training.task import Task

TICK_SECONDS = 0.5
LOG_SECONDS = 60.0  # between two status lines where there is no terminal


@dataclasses.dataclass
class Outcomes:
    """The results and the failures' reasons by folder name, and counts of runs that were over or had failed before."""

    results: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    failures: dict[str, str] = dataclasses.field(default_factory=dict)
    skipped: int = 0
    failed_before: int = 0


class SweepProgress:
    """The status of a sweep of `total` runs: a line at the bottom of a terminal, or one a minute in a log."""

    def __init__(self, total: int, slots: Sequence[Slot], durations: DurationModel) -> None:
        self.total = total
        self.durations = durations
        self._slots = slots
        self._bar = tqdm(total=total, disable=None, bar_format="{percentage:3.0f}% |{bar:20}| {desc}", leave=False)
        self._last = time.monotonic()

    def close(self) -> None:
        """Remove the line."""
        self._bar.close()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._bar.write(escaped(text), file=sys.stdout)
        sys.stdout.flush()

    def refresh(self, done: int, failed: int, waiting: Iterable[Task], elsewhere: int) -> None:
        """Show the status; waiting: the free runs, elsewhere: the number of runs of other processes."""
        running = [(slot.run.task, 1 - slot.fraction) for slot in self._slots if slot.run is not None]
        left = self.durations.total([*running, *((task, 1.0) for task in waiting)], len(self._slots))
        waits = self.total - done - failed - len(running) - elsewhere
        parts = [f"{done} done"]
        if running:
            parts.append(f"{len(running)} running ({', '.join(f'{1 - fraction:.0%}' for _, fraction in running)})")
        parts += [
            f"{count} {name}"
            for count, name in ((elsewhere, "elsewhere"), (failed, "failed"), (waits, "waiting"))
            if count
        ]
        text = ", ".join(parts) + (f"; about {duration(left)} left" if left is not None else "")
        self._bar.n = done + failed + sum(1 - fraction for _, fraction in running)
        self._bar.set_description_str(text)
        if self._bar.disable and time.monotonic() - self._last > LOG_SECONDS:
            self._last = time.monotonic()
            self.say(text)


def slots_for(configs: Sequence[RunConfig]) -> list[str]:
    """The device of every slot: by default one slot per GPU, or as many as the cores allow on the CPU.

    runs_per_device sets another number per device. There are at most as many slots as runs; of different thread counts,
    the highest applies.
    """
    config = max(configs, key=lambda config: config.threads)
    here = available()
    device = here[0] if config.device == "auto" else config.device
    devices = [name for name in here if name.startswith("cuda:")] if device == "cuda" else [device]
    per_device = config.runs_per_device
    if per_device == "auto":
        per_device = max(1, usable_processors() // config.threads) if device == "cpu" else 1
    per_device = min(per_device, len(configs))
    return (devices * per_device)[: len(configs)]


def _slots(configs: Sequence[RunConfig]) -> list[Slot]:
    """The slots; those of one GPU share a process at first, where their runs fill each other's gaps."""
    slots = [Slot(device) for device in slots_for(configs)]
    for slot in slots:
        slot.together = (
            [other for other in slots if other.device == slot.device] if slot.device.startswith("cuda") else ()
        )
    return slots


def run_all(waiting: Sequence[RunSpec], outcomes: Outcomes, durations: DurationModel) -> bool:
    """Train runs in the given order, one per slot, and enter their outcomes; returns True if fail_fast stopped it.

    A run that raises, exits, is killed or hangs is one row of the failures, reported at once; the others continue,
    unless fail_fast is set. A run of another process is awaited, and taken over if that process dies. Ctrl-C, SIGTERM
    and SIGHUP leave checkpoints and raise KeyboardInterrupt.
    """
    total = len(waiting) + len(outcomes.results) + len(outcomes.failures)
    slots = _slots([run.config for run in waiting])
    # a batch system's stop and a closed terminal act like Ctrl-C: they leave checkpoints too
    with (
        handled(signal.default_int_handler, "SIGTERM", "SIGHUP"),
        contextlib.closing(SweepProgress(total, slots, durations)) as progress,
    ):
        try:
            return _share_out(_Queue(waiting), slots, outcomes, progress)
        finally:
            if any(slot.run is not None for slot in slots):
                progress.say("stopping: the runs in progress save their checkpoints (Ctrl-C ends them at once)")
            _close(slots)


class _Queue:
    """The runs not begun here: the free ones, and those of other processes, which are checked again later."""

    def __init__(self, runs: Sequence[RunSpec]) -> None:
        self._free = deque(runs)
        self._elsewhere: deque[tuple[float, RunSpec]] = deque()
        self.alone: set[Path] = set()
        """The folders of runs that failed in a shared process and need one of their own."""
        self._errors = {run.folder: stamp(run.folder / "error.txt") for run in runs}

    @property
    def free(self) -> list[RunSpec]:
        """The runs without a known process."""
        return list(self._free)

    @property
    def elsewhere(self) -> int:
        """The number of runs that other processes work on."""
        return len(self._elsewhere)

    def next(self) -> RunSpec | None:
        """The run to start now; None where there is none, or where all of them are busy elsewhere."""
        if self._free:
            return self._free.popleft()
        if self._elsewhere and self._elsewhere[0][0] <= time.monotonic():
            return self._elsewhere.popleft()[1]
        return None

    def waits(self, run: RunSpec, outcomes: Outcomes) -> bool:
        """True for a second stage whose first stage is a run of this sweep that has not ended here."""
        first = run.first
        return first is not None and first.folder in self._errors and first.folder.name not in outcomes.results

    def is_elsewhere(self, run: RunSpec) -> None:
        """Requeue a run that another process works on."""
        self._elsewhere.append((time.monotonic() + ELSEWHERE_SECONDS, run))

    def again(self, run: RunSpec) -> None:
        """Requeue a run that failed in a shared process.

        It goes to the back of the queue, when more memory may be free, and gets its own process.
        """
        self.alone.add(run.folder)
        (run.folder / "error.txt").unlink(missing_ok=True)  # its error is not final
        self._errors[run.folder] = ()
        self._free.append(run)

    def failed_elsewhere(self, run: RunSpec) -> str | None:
        """The reason of a run's failure in another process since this sweep began; None without one."""
        state = load_state(run.folder)
        new = state.outcome == "failed" and stamp(run.folder / "error.txt") != self._errors[run.folder]
        return state.problem if new else None


def _share_out(queue: _Queue, slots: Sequence[Slot], outcomes: Outcomes, progress: SweepProgress) -> bool:
    """Give every free slot the next run until all are over; returns True if a failure with fail_fast stopped it."""
    while queue.free or queue.elsewhere or any(slot.run is not None for slot in slots):
        for slot in slots:
            while slot.run is None and (run := queue.next()) is not None:
                reason = queue.failed_elsewhere(run) or _without_first(run, outcomes)
                if reason is None and queue.waits(run, outcomes):
                    queue.is_elsewhere(run)
                elif reason is None:
                    slot.start(run, alone=run.folder in queue.alone)
                else:
                    _end_run(run, "failed", reason, outcomes, progress)
        busy: dict[Any, Slot] = {slot.pipe: slot for slot in slots if slot.run is not None}
        ready = wait(list(busy), timeout=TICK_SECONDS) if busy else time.sleep(TICK_SECONDS)
        messages = [(busy[pipe], *busy[pipe].receive()) for pipe in ready or ()]
        heard = [slot for slot, *_ in messages]
        for slot in (slot for slot in busy.values() if slot not in heard):
            if slot.ended():
                messages.append((slot, *slot.died()))
            elif (reason := _hangs(slot)) is not None:
                messages.append((slot, *slot.end(reason)))
        stop = False
        for slot, kind, content in messages:
            run = slot.run
            assert run is not None  # those that have none are not heard
            if kind == "note":
                progress.say(f"{run.label}: {content}  {run.folder.name}")
            elif kind != "progress":
                slot.run = None
                if kind == "busy":
                    queue.is_elsewhere(run)
                elif kind == "again":
                    queue.again(run)
                    progress.say(
                        f"{run.label}: {content.splitlines()[-1]}; again in a process of its own  {run.folder.name}"
                    )
                else:
                    _end_run(run, kind, content, outcomes, progress)
                    stop |= kind == "failed" and run.config.fail_fast
        if stop:
            return True
        tasks = [run.task for run in queue.free]
        progress.refresh(len(outcomes.results), len(outcomes.failures), tasks, queue.elsewhere)
    return False


def _without_first(run: RunSpec, outcomes: Outcomes) -> str | None:
    """The reason why a second stage cannot start, where its first stage has failed; None for any other run."""
    if run.first is None or run.first.folder.name not in outcomes.failures:
        return None
    return f"its first stage has failed, {run.first.folder}"


def _hangs(slot: Slot) -> str | None:
    """The reason to end a slot's run, which hangs; None where it does not."""
    limit = slot.run.config.hang_minutes if slot.run is not None else None
    if limit is None or time.monotonic() - slot.heard <= 60 * limit:
        return None
    return f"the run made no step for {limit:g} min (hang_minutes) and was ended"


def _end_run(run: RunSpec, kind: str, content: Any, outcomes: Outcomes, progress: SweepProgress) -> None:
    if kind == "done":
        outcomes.results[run.folder.name] = content
        progress.durations.observe(run.task, content["seconds"])
        text = f"{content['outcome']} {headline(content)} {content['seconds']:.1f} s"
    else:
        outcomes.failures[run.folder.name] = content
        text = f"FAILED\n{content.rstrip()}\n   "
    progress.say(
        f"[{len(outcomes.results) + len(outcomes.failures)}/{progress.total}] {run.label}: {text}  {run.folder.name}"
    )


def _close(slots: Sequence[Slot]) -> None:
    """End all processes at the same time; Ctrl-C meanwhile kills them."""
    try:
        for slot in slots:
            slot.ask_to_end()
        for slot in slots:
            slot.close()
    except KeyboardInterrupt:
        for slot in slots:
            slot.close(seconds=0)
        raise
