"""One run in this process: claimed, trained to its end or to a stop, its failure kept."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from filelock import FileLock, Timeout

from mixexp.errors import warnings_as_notes
from mixexp.files import put_aside, quantity
from mixexp.plan.loops import loop_of
from mixexp.run.device import execution, make_deterministic
from mixexp.run.folder import FILES, LOCK
from mixexp.run.logging import logged
from mixexp.run.reader import load_state, read_environment
from mixexp.run.session import Progress
from mixexp.run.spec import RunSpec
from mixexp.settings import flatten
from mixexp.sweep.interleave import Lane
from mixexp.sweep.signals import handled

CLAIM_SECONDS = 0.3  # longer than somebody looking at the folder's status holds the lock


class Busy(Exception):
    """Another process works on the run."""


def execute(
    run: RunSpec,
    on_progress: Callable[[Progress], None],
    stop: threading.Event,
    note: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train a run unless its folder says it is over, and return its result; raises what `turns` raises."""
    lane, steps = Lane(execution(run.config).device), turns(run, stop, note)
    try:
        while True:
            on_progress(lane.turn(steps))
    except StopIteration as end:
        return end.value
    finally:
        lane.close(steps)


def turns(
    run: RunSpec, stop: threading.Event, note: Callable[[str], None] = print, log: bool = False
) -> Generator[Progress, None, dict[str, Any]]:
    """A run's training, step by step, for somebody to deal its turns; returns its result, and raises what the training raised.

    The traceback is kept in the folder's error.txt. Raises Busy where another live process has claimed the folder; the claim is a
    lock of the operating system, so it ends with its process. Once `stop` is set, the run ends after the step it is in, with a
    checkpoint, as KeyboardInterrupt. log: what the run prints goes to the folder's log.txt.
    """
    warnings_as_notes()  # also where another launcher's process begins here
    run.folder.mkdir(parents=True, exist_ok=True)
    put_aside(run.folder / LOCK, note, links=False)
    try:
        claim = FileLock(run.folder / LOCK).acquire(timeout=CLAIM_SECONDS)  # what it returns lets go at the end, whoever keeps the error
    except Timeout:
        raise Busy(f"{run.folder}: another process is working on this run") from None
    with claim, contextlib.ExitStack() as after:
        state = load_state(run.folder)
        if state.over:
            return state.result
        for name in FILES:
            put_aside(run.folder / name, note, links=name not in (LOCK, "log.txt"))
        output = after.enter_context(OutputTo(run.folder / "log.txt", (run.folder / "checkpoint.pt").exists())) if log else None
        if state.outcome == "damaged":
            set_aside(run.folder, state.problem, note)
        folder = after.enter_context(logged(run.folder, run.config, flatten(run.config), note))
        make_deterministic(execution(run.config).device)
        facts = {
            "label": run.label,
            "family": run.family,
            "task": run.task._asdict(),
            "differs_from_experiment": run.differs_from_experiment,
            **({} if run.differs_from_edition is None else {"differs_from_edition": run.differs_from_edition}),
        }
        try:
            loop = loop_of(run.config)
            with contextlib.closing(loop.run(run.config, folder, facts, _shorter(run), run.task.flops)) as steps:
                while True:
                    torch.set_num_threads(run.config["threads"])  # a neighbour's may be others
                    if (progress := next(steps, None)) is None:
                        break
                    with output.paused() if output is not None else contextlib.nullcontext():
                        yield progress
                    if stop.is_set() and progress.step < progress.steps:
                        raise KeyboardInterrupt
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except SystemExit as error:  # in a sweep, code that ends its process would end the others' too
            folder.fail(traceback.format_exc())
            raise RuntimeError(f"the run's code called sys.exit({error.code!r})") from error
        except BaseException:
            folder.fail(traceback.format_exc())
            raise
        return load_state(run.folder).result


def _shorter(run: RunSpec) -> list[Path]:
    """Folders of finished runs with their final state that differ from this one in their budget alone, the longest first."""
    found = []
    for path in run.folder.parent.glob("*/checkpoint.pt"):
        if path.parent == run.folder:
            continue
        with contextlib.suppress(OSError):  # what cannot be read is of no use here
            family, steps = _budget_of(path.parent, (path.parent / "environment.json").stat().st_mtime_ns)
            if family == run.family and steps and load_state(path.parent).outcome == "finished":
                found.append((steps, path.parent))
    return [path for _, path in sorted(found, reverse=True)]


@functools.lru_cache(maxsize=100_000)  # every run of a sweep asks for those of all before it
def _budget_of(folder: Path, written: int) -> tuple[Any, float]:
    """A run's family and steps, 0 where its environment.json does not say them; written: when the file was, so that a new one is read."""
    about = read_environment(folder)
    return str(about.get("family")), quantity(about.get("steps"))


def set_aside(folder: Path, problem: str, note: Callable[[str], None]) -> None:
    """Keep a damaged run's files under other names, so that the run can be made again."""
    for name in ("result.json", "metrics.csv", "confusion.csv"):
        with contextlib.suppress(FileNotFoundError):
            (folder / name).replace(folder / f"{name}.damaged")
    note(f"damaged: {problem}; its files are kept as *.damaged, and the run is made again")


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second signal interrupts at once. A thread beside the main one gets none."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    with handled(handle, "SIGINT", "SIGTERM"):
        yield stop


class OutputTo:
    """This process's output, and that of the libraries in it, goes to a file, which is removed where it stays empty."""

    def __init__(self, path: Path, goes_on: bool) -> None:
        self._path = path
        self._file = path.open("ab" if goes_on else "wb")
        self._kept: list[int] = []

    def __enter__(self) -> OutputTo:
        self._redirect()
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()
        self._file.close()
        with contextlib.suppress(OSError):
            if not self._path.stat().st_size:
                self._path.unlink()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, the output goes where it went before."""
        self._restore()
        try:
            yield
        finally:
            self._redirect()

    def _redirect(self) -> None:
        self._kept = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(self._file.fileno(), number)

    def _restore(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # a full disk
                stream.flush()
        for number, original in zip((1, 2), self._kept, strict=True):
            os.dup2(original, number)
            os.close(original)
        self._kept = []
