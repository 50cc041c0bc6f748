"""The state of folders, refreshed until nothing in them runs or waits: `mixexp status --watch`."""

from __future__ import annotations

import contextlib
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

from mixexp.errors import UserError, closest_path
from mixexp.files import Stamp, stamp
from mixexp.sweeping.estimate import DurationModel, duration
from mixexp.sweeping.screen import Block, by_urgency, frame, on_terminal
from mixexp.sweeping.signals import handled
from mixexp.sweeping.status import PlannedRun, Plans, RunStatus, State, known_runs, read_plans, scan, totals
from mixexp.text import printable
from mixexp.training.folder import headline

if TYPE_CHECKING:
    from rich.console import Group

SECONDS = 2
BAR = 16
"""Columns of a bar."""
_NUMBER = re.compile(r"-?\d+(\.\d*)?|-?\.\d+")


class Watched:
    """A folder that is scanned repeatedly; runs that are over or failed are read again only when they have changed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.durations, self.plans = folder, DurationModel(), Plans({})
        self.runs: list[RunStatus] = []
        self._ended: dict[str, tuple[Stamp, RunStatus]] = {}

    def scan(self) -> list[RunStatus]:
        """The state of its runs, planned ones first; empty where there are none yet."""
        # read before the runs, since a process at work may end in between
        self.plans = read_plans(self.folder)
        self.runs = []
        with contextlib.suppress(OSError):  # the folder is gone, or unreadable
            self.runs = [self._status(run) for run in known_runs(self.folder, self.plans)]
        return self.runs

    def _status(self, run: PlannedRun) -> RunStatus:
        folder = self.folder / run.name
        if not folder.is_dir():
            self._ended.pop(run.name, None)
            return RunStatus(run, State.MISSING)
        ends, known = stamp(folder / "error.txt") + stamp(folder / "result.json"), self._ended.get(run.name)
        if known is not None and known[0] == ends:
            return replace(known[1], run=run)  # a later plan may know its label
        (status,) = scan(self.folder, [run])
        if status.state in (State.DONE, State.DIVERGED, State.FAILED):
            self._ended[run.name] = (ends, status)
        if status.state is State.DONE:
            self.durations.observe(run.task, status.seconds)
        return status

    @property
    def is_over(self) -> bool:
        """Whether there are runs, and no process works on any of them or will."""
        return bool(self.runs) and self.plans.over(self.runs)

    def total(self) -> str:
        """One line on all of its runs."""
        if self.runs:
            return totals(self.folder, self.runs, self.durations, self.plans.slots)
        beside = [
            path.name
            for path in self.folder.absolute().parent.glob("*")
            if path.is_dir() and path != self.folder.absolute()
        ]
        return f"{self.folder}: no run yet, waiting for one.{closest_path(self.folder, beside)}"


def seconds_between(words: Sequence[str]) -> tuple[float | None, list[str]]:
    """The seconds after --watch among words, and the other words; SECONDS by default, None without --watch.

    Raises UserError for another option or a number out of range.
    """
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
    if text is not None and not (_NUMBER.fullmatch(text) and 0.1 <= float(text) <= 86400):
        raise UserError(f"status: --watch {text}: needs a number of seconds from 0.1 to 86400")
    return None if text is None else float(text), rest


def _no_folder(word: str) -> bool:
    """True for a word after --watch that is not an option, not an existing folder, and not a path to one."""
    return not word.startswith("-") and "/" not in word and not Path(word).exists()


def watch(folders: Sequence[Path], seconds: float) -> None:
    """Show the state of the runs at intervals, until no process works on any, or Ctrl-C.

    A terminal is redrawn; elsewhere a line is printed for each run that has changed. A missing folder is awaited.
    """
    watched = [Watched(folder) for folder in folders]
    with handled(lambda number, _: sys.exit(128 + number), "SIGTERM", "SIGHUP"), contextlib.suppress(KeyboardInterrupt):
        with _screen() if on_terminal() else contextlib.nullcontext(_log()) as show:
            while True:
                for folder in watched:
                    folder.scan()
                show(watched)
                if all(folder.is_over for folder in watched):
                    break
                sleep(seconds)
        for line in (line for one in watched for line in one.plans.remarks(one.folder, one.runs)):
            print(printable(line), flush=True)


@contextlib.contextmanager
def _screen() -> Iterator[Callable[[Sequence[Watched]], None]]:
    """A function that draws folders on the terminal's alternate screen; the last picture stays on the normal one."""
    from rich.console import Console
    from rich.live import Live

    console, blocks = Console(), []

    # Live also calls it every second in a thread, since the terminal may change its size
    def picture() -> Group:
        return frame(blocks, console.height)

    def show(watched: Sequence[Watched]) -> None:
        blocks[:] = [block(folder) for folder in watched]
        live.refresh()

    try:
        with Live(console=console, screen=True, refresh_per_second=1, get_renderable=picture) as live:
            yield show
    finally:
        console.print(picture())


def _log() -> Callable[[Sequence[Watched]], None]:
    """A function that prints changed runs and the totals to a file or a pipe."""
    printed: dict[Watched, set[str]] = {}

    def show(watched: Sequence[Watched]) -> None:
        for folder in watched:
            lines = [
                "  ".join([status.run.name, status.state, status.run.label, status.detail]).rstrip()
                for status in folder.runs
            ]
            lines.append(folder.total())
            if new := [line for line in lines if line not in printed.get(folder, ())]:
                print("\n".join(map(printable, dict.fromkeys([*new, lines[-1]]))), flush=True)
            printed[folder] = set(lines)

    return show


def block(folder: Watched) -> Block:
    """What there is to draw of a folder, the running and failed runs first."""
    runs = by_urgency(folder.runs)
    return folder.total(), [
        replace(run, detail=_progress(folder.folder, run)) if run.state is State.RUNNING else run for run in runs
    ]


def _progress(folder: Path, status: RunStatus) -> str:
    """A running run's bar, its last figures and their age."""
    filled = math.floor(BAR * status.fraction)
    bar = f"[{'#' * filled}{'.' * (BAR - filled)}] {status.fraction:4.0%}"
    written = stamp(folder / status.run.name / "metrics.csv")
    if not status.last or not written:
        return f"{bar}  no evaluation yet"
    names = (
        ("accuracy",)
        if "accuracy" in status.last
        else tuple(n for n in status.last if n not in ("step", "epoch", "lr", "seconds"))
    )
    return f"{bar}  {headline({'last': status.last}, names)}, {duration(max(time.time() - written[0] / 1e9, 0))} ago"
