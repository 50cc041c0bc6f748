"""The state of folders again and again, until nothing in them is running or waiting: `mixexp status --watch`."""

from __future__ import annotations

import contextlib
import math
import os
import re
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixexp.errors import UserError, closest
from mixexp.run.folder import headline
from mixexp.run.reader import is_run
from mixexp.sweep.estimate import DurationModel, duration
from mixexp.sweep.signals import handled
from mixexp.sweep.status import PlannedRun, Plans, RunStatus, State, Sweep, begun, counted, counts, read_sweeps, scan, totals
from mixexp.text import one_line, printable, shorten

URGENCY = (State.RUNNING, State.FAILED, State.DAMAGED, State.INTERRUPTED, State.DIVERGED, State.DONE, State.MISSING)
"""The order in which a screen too small for all shows them."""
SECONDS = 2
BAR, LABEL = 16, 10
"""Columns of a bar, and of a label at the least."""
_NUMBER = re.compile(r"-?\d+(\.\d*)?|-?\.\d+")
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # another screen without a cursor, and back
HOME, LINE, BELOW = "\x1b[H", "\x1b[K", "\x1b[J"  # to the first letter; clear a line, and what is below


class Watched:
    """A folder looked at again and again; what is over or has failed is read once, and again only when it has changed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.durations, self.plans = folder, DurationModel(), Plans({})
        self._sweeps: dict[Path, tuple[tuple[int, int], Sweep]] = {}
        self._begun: dict[str, PlannedRun] = {}
        self._over: dict[str, RunStatus] = {}
        self._failed: dict[str, tuple[int, RunStatus]] = {}

    def scan(self) -> list[RunStatus]:
        """The state of its runs, those planned first; none where there is nothing yet."""
        self.plans = counted(self.folder, read_sweeps(self.folder, self._sweeps))  # before its runs: what is at work then may end meanwhile
        there = _names(self.folder)
        for name in sorted(there - self.plans.runs.keys()):
            known = self._begun.get(name)
            # a run names itself a moment after its folder is there
            if (known is None or not (known.label or name in self._over)) and is_run(self.folder / name):
                self._begun[name] = begun(self.folder / name)
        runs = {**self._begun, **self.plans.runs}
        order = dict.fromkeys([*self.plans.runs, *self._begun])
        return [self._status(runs[name], name in there) for name in order]

    def is_over(self, runs: Sequence[RunStatus]) -> bool:
        """Whether nobody works on any of its runs, and something has been there."""
        queued = any(status.run.name in self.plans.queued and status.state.to_do for status in runs)
        return bool(runs) and not (self.plans.working or queued or any(status.state is State.RUNNING for status in runs))

    def remarks(self, runs: Sequence[RunStatus]) -> list[str]:
        """What is left undone in the folder, where nobody works any more."""
        left = sum(status.state.to_do for status in runs)
        them = "it" if left == 1 else "them"
        idle = [f"{self.folder}: nobody works on the {left} run{'s' * (left != 1)} left; the command of the sweep goes on with {them}"]
        return idle * bool(left) + self.plans.remarks({status.run.name for status in runs})

    def _status(self, run: PlannedRun, there: bool) -> RunStatus:
        if not there:
            self._over.pop(run.name, None)
            return RunStatus(run, State.MISSING)
        if run.name in self._over:
            return replace(self._over[run.name], run=run)  # a plan made since may know its label
        error = _stamp(self.folder / run.name / "error.txt")
        if error and self._failed.get(run.name, (0, None))[0] == error:
            return replace(self._failed[run.name][1], run=run)
        (status,) = scan(self.folder, [run])
        if status.state in (State.DONE, State.DIVERGED):
            self._over[run.name] = status
            if status.state is State.DONE:
                self.durations.observe(run.task, status.seconds)
        if status.state is State.FAILED:
            self._failed[run.name] = (error, status)
        return status


def seconds_between(words: Sequence[str]) -> tuple[float | None, list[str]]:
    """What follows --watch among words, SECONDS where nothing does, None without it; and the other words. Raises UserError."""
    text, rest, waiting = None, [], list(words)
    while waiting:
        word = waiting.pop(0)
        if word == "--watch":
            text = str(SECONDS)
            others = [other for other in (*rest, *waiting[1:]) if not other.startswith("-")]
            if waiting and (_NUMBER.fullmatch(waiting[0]) or (others and _no_folder(waiting[0]))):
                text = waiting.pop(0)
        elif word.startswith("--watch="):
            text = word.partition("=")[2]
        else:
            rest.append(word)
    if unknown := [word for word in rest if word.startswith("-")]:
        raise UserError(f"status: {unknown[0]}: no such option; there is --watch [SECONDS].{closest(unknown[0], ['--watch'])}")
    if text is not None and not (_NUMBER.fullmatch(text) and 0.1 <= float(text) <= 86400):
        raise UserError(f"status: --watch {text}: needs a number of seconds from 0.1 to 86400")
    return None if text is None else float(text), rest


def _no_folder(word: str) -> bool:
    """Whether a word after --watch is neither an option nor a folder, nor looks like one that is yet to be made."""
    return not word.startswith("-") and "/" not in word and not Path(word).exists()


def watch(folders: Sequence[Path], seconds: float) -> None:
    """Show how far the runs are, every so many seconds, until nobody works on any, or Ctrl-C.

    A terminal is drawn anew; elsewhere lines are printed, of those runs that have changed. A folder that is not there is waited for.
    """
    watched = [Watched(folder) for folder in folders]
    with _woken() as wait, handled(_leave, "SIGTERM", "SIGHUP"), contextlib.suppress(KeyboardInterrupt):
        show = _draw if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else _print
        for folder, runs in zip(watched, show(watched, seconds, wait), strict=True):
            print("".join(f"{printable(line)}\n" for line in folder.remarks(runs)), end="", flush=True)


def _draw(watched: Sequence[Watched], seconds: float, wait: Callable[[float], None]) -> list[list[RunStatus]]:
    """On a terminal, whose last picture stays; the runs as they were seen last."""
    lines: list[str] = []
    sys.stdout.write(ENTER)
    try:
        while True:
            runs = [folder.scan() for folder in watched]
            width, height = shutil.get_terminal_size()
            lines = frame(watched, runs, width, height)
            # a line is cleared before it is written: behind its last column, clearing would take that letter away
            rest = f"\n{BELOW}" if len(lines) < height else ""
            sys.stdout.write(HOME + "\n".join(f"{LINE}{line}" for line in lines) + rest)
            sys.stdout.flush()
            if _is_over(watched, runs):
                return runs
            wait(seconds)
    finally:
        sys.stdout.write(LEAVE + "".join(f"{line}\n" for line in lines))
        sys.stdout.flush()


def _print(watched: Sequence[Watched], seconds: float, wait: Callable[[float], None]) -> list[list[RunStatus]]:
    """To a file or a pipe: the runs that have changed and the totals, when anything has; the runs as they were seen last."""
    printed: list[dict[str, str]] = [{} for _ in watched]
    totals_printed = [""] * len(watched)
    while True:
        runs = [folder.scan() for folder in watched]
        for place, folder in enumerate(watched):
            lines = {s.run.name: "  ".join([s.run.name, s.state, s.run.label, s.detail]).rstrip() for s in runs[place]}
            total = _total(folder, runs[place])
            new = [line for name, line in lines.items() if printed[place].get(name) != line]
            if new or total != totals_printed[place]:
                print("\n".join(map(printable, [*new, total])), flush=True)
            printed[place], totals_printed[place] = lines, total
        if _is_over(watched, runs):
            return runs
        wait(seconds)


def frame(watched: Sequence[Watched], runs: Sequence[Sequence[RunStatus]], width: int, height: int) -> list[str]:
    """What fits on a screen: each folder's totals and as many of its runs as there is room for, the running and failed ones first."""
    heights = _shared([1 + len(of_folder) for of_folder in runs], height)
    blocks = [_block(*block, width) for block in zip(watched, runs, heights, strict=True)]
    lines = [line for block in blocks for line in block]
    return [shorten(printable(line), width) for line in lines[:height]]


def _block(watched: Watched, runs: Sequence[RunStatus], most: int, width: int) -> list[str]:
    """At most so many lines of a folder."""
    rows = sorted(runs, key=lambda status: URGENCY.index(status.state))
    shown = rows if len(rows) < most else rows[: max(most - 2, 0)]
    lines = [_total(watched, runs), *_rows(watched.folder, shown, width)]
    if len(shown) < len(rows):
        lines.append(f"... and {counts(rows[len(shown) :])}")
    return lines[:most]


def _rows(folder: Path, runs: Sequence[RunStatus], width: int) -> Iterator[str]:
    """A line a run, in columns; a long label gives way to what is said of the run."""
    details = [_progress(folder, status) if status.state is State.RUNNING else status.detail for status in runs]
    beside = max((len(s.run.name) + len(s.state) + len(detail) + 6 for s, detail in zip(runs, details, strict=True)), default=0)
    labels = [shorten(one_line(status.run.label), max(width - beside, LABEL)) for status in runs]
    states, longest = (max(map(len, column), default=0) for column in ([status.state for status in runs], labels))
    for status, label, detail in zip(runs, labels, details, strict=True):
        yield "  ".join([status.run.name, status.state.ljust(states), label.ljust(longest), detail]).rstrip()


def _progress(folder: Path, status: RunStatus) -> str:
    """A running run's bar, its last figures and how long ago they were."""
    filled = math.floor(BAR * status.fraction)
    bar = f"[{'#' * filled}{'.' * (BAR - filled)}] {status.fraction:4.0%}"
    written = _stamp(folder / status.run.name / "metrics.csv")
    if not status.last or not written:
        return f"{bar}  no evaluation yet"
    names = ("accuracy",) if "accuracy" in status.last else tuple(n for n in status.last if n not in ("step", "epoch", "lr", "seconds"))
    return f"{bar}  {headline({'last': status.last}, names)}, {duration(max(time.time() - written / 1e9, 0))} ago"


def _total(watched: Watched, runs: Sequence[RunStatus]) -> str:
    folder = watched.folder
    if runs:
        return totals(folder, runs, watched.durations, watched.plans.slots)
    beside = [path.name for path in folder.absolute().parent.glob("*") if path.is_dir() and path != folder.absolute()]
    return f"{folder}: no run yet, waiting for one.{closest(folder.name, beside)}"


def _is_over(watched: Sequence[Watched], runs: Sequence[Sequence[RunStatus]]) -> bool:
    return all(folder.is_over(of_folder) for folder, of_folder in zip(watched, runs, strict=True))


def _shared(needed: Sequence[int], height: int) -> list[int]:
    """How many lines each gets of so many: what it needs, where all can have that, else an equal part and what others leave."""
    given = [0] * len(needed)
    order = sorted(range(len(needed)), key=lambda place: needed[place])
    for done, place in enumerate(order):
        given[place] = min(needed[place], (height - sum(given)) // (len(order) - done))
    return given


def _names(folder: Path) -> set[str]:
    """The folders in a folder, which may not be there."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return {entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()}
    return set()


def _stamp(path: Path) -> int:
    """When a file was last changed, in nanoseconds since 1970; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _leave(number: int, _: Any) -> None:
    sys.exit(128 + number)


@contextlib.contextmanager
def _woken() -> Iterator[Callable[[float], None]]:
    """A function that waits so many seconds, or until the terminal has another size."""
    if not hasattr(signal, "SIGWINCH"):
        yield time.sleep
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)

    def wait(seconds: float) -> None:
        if select.select([reader], [], [], seconds)[0]:
            os.read(reader, 512)

    try:
        with handled(lambda *_: None, "SIGWINCH"):
            yield wait
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
