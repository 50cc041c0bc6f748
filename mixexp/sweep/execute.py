"""One run in this process: claimed, trained to its end or to a stop, its failure kept."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from filelock import FileLock, Timeout

from mixexp.errors import UserError
from mixexp.record import LOCK, RunFolder
from mixexp.report.load import load_state
from mixexp.sweep.plan import Run
from mixexp.sweep.signals import handled
from mixexp.train import Progress, train

CLAIM_SECONDS = 0.3  # longer than somebody looking at the folder's status holds the lock


class Busy(Exception):
    """Another process works on the run."""


def execute(
    run: Run,
    on_progress: Callable[[Progress], None],
    stop: threading.Event,
    note: Callable[[str], None] = print,
    log: bool = False,
) -> dict[str, Any]:
    """Train a run unless its folder says it is over, and return its result; raises what the training raised.

    The traceback is kept in the folder's error.txt. Raises Busy where another live process has claimed the folder; the claim is a
    lock of the operating system, so it ends with its process. Once `stop` is set, the run ends after the step it is in, with a
    checkpoint, as KeyboardInterrupt. log: what the run prints goes to the folder's log.txt.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    try:
        claim = FileLock(run.folder / LOCK).acquire(timeout=CLAIM_SECONDS)  # what it returns lets go at the end, whoever keeps the error
    except Timeout:
        raise Busy(f"{run.folder}: another process is working on this run") from None
    folder = RunFolder(run.folder, note)
    with claim, contextlib.ExitStack() as output:
        state = load_state(run.folder)
        if state.over:
            return state.result
        if log:
            output.enter_context(_output_to(run.folder / "log.txt", goes_on=(run.folder / "checkpoint.pt").exists()))
        if state.outcome == "damaged":
            set_aside(run.folder, state.problem, note)
        torch.set_num_threads(run.config["threads"])
        torch.backends.cudnn.deterministic = True
        facts = {
            "label": run.label,
            "family": run.family,
            "task": run.task._asdict(),
            "differs_from_experiment": run.differs_from_experiment,
        }
        try:
            with contextlib.closing(train(run.config, folder, facts, _shorter(run), run.task.flops)) as steps:
                for progress in steps:
                    on_progress(progress)
                    if stop.is_set() and progress.step < progress.steps:
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise
        except SystemExit as error:  # in a sweep, code that ends its process would end the others' too
            folder.fail(traceback.format_exc())
            raise RuntimeError(f"the run's code called sys.exit({error.code!r})") from error
        except BaseException:
            folder.fail(traceback.format_exc())
            raise
        return load_state(run.folder).result


def _shorter(run: Run) -> list[Path]:
    """Folders of finished runs with their final state that differ from this one in their budget alone, the longest first."""
    found = []
    for path in run.folder.parent.glob("*/checkpoint.pt"):
        if path.parent == run.folder:
            continue
        with contextlib.suppress(OSError, ValueError, AttributeError):  # what cannot be read is of no use here
            about = json.loads((path.parent / "environment.json").read_text(encoding="utf-8"))
            if about.get("family") == run.family and load_state(path.parent).outcome == "finished":
                found.append((about["steps"], path.parent))
    return [path for _, path in sorted(found, reverse=True)]


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


@contextlib.contextmanager
def _output_to(path: Path, goes_on: bool) -> Iterator[None]:
    """This process's output, and that of the libraries in it, goes to a file, which is removed where it stays empty."""
    with contextlib.ExitStack() as after, path.open("ab" if goes_on else "wb") as file:
        after.callback(_remove_if_empty, path)
        streams = (sys.stdout, sys.stderr)
        kept = [os.dup(number) for number in (1, 2)]
        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            yield
        finally:
            for stream in streams:
                with contextlib.suppress(OSError):  # a full disk
                    stream.flush()
            for number, original in zip((1, 2), kept, strict=True):
                os.dup2(original, number)
                os.close(original)


def _remove_if_empty(path: Path) -> None:
    with contextlib.suppress(OSError):
        if not path.stat().st_size:
            path.unlink()
