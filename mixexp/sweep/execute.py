"""One run in this process: claimed, trained to its end or to a stop, its failure kept."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pkgutil
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from filelock import FileLock, Timeout

from mixexp.conf_dir import CONF
from mixexp.device import execution
from mixexp.errors import warnings_as_notes
from mixexp.files import put_aside, quantity, read_json_or_nothing
from mixexp.gan.play import play
from mixexp.mirror import mirrored
from mixexp.record import FILES, LOCK, RunFolder
from mixexp.report.load import flatten, load_state
from mixexp.sweep.interleave import Lane
from mixexp.sweep.plan import Run
from mixexp.sweep.signals import handled
from mixexp.train import Progress, train


def import_options() -> None:
    """Import every module of mixexp that a configuration may name, as its files are now.

    A process may make runs for days, while somebody edits the files: without this, it would train with a mixture of versions, under
    the code hash of the first.
    """
    groups = sorted(f"mixexp.{folder.name}" for folder in CONF.iterdir() if folder.is_dir())
    for package in (importlib.import_module(group) for group in groups if importlib.util.find_spec(group) is not None):
        for module in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
            with contextlib.suppress(Exception):  # whoever chooses it is told
                importlib.import_module(module.name)


CLAIM_SECONDS = 0.3  # longer than somebody looking at the folder's status holds the lock


class Busy(Exception):
    """Another process works on the run."""


def execute(
    run: Run,
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
    run: Run, stop: threading.Event, note: Callable[[str], None] = print, log: bool = False
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
        folder = after.enter_context(mirrored(run.folder, run.config, flatten(run.config), note))
        settle(execution(run.config).device)
        facts = {
            "label": run.label,
            "family": run.family,
            "task": run.task._asdict(),
            "differs_from_experiment": run.differs_from_experiment,
            **({} if run.differs_from_edition is None else {"differs_from_edition": run.differs_from_edition}),
        }
        try:
            with contextlib.closing(_loop(run, folder, facts)) as steps:
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


def _loop(run: Run, folder: RunFolder, facts: Mapping[str, Any]) -> Iterator[Progress]:
    """The loop that a run is for."""
    if run.config["gan"] is not None:
        return play(run.config, folder, facts)
    return train(run.config, folder, facts, warm_starts(run), run.task.flops)


def settle(device: torch.device) -> None:
    """Let nothing be chosen by timing, nor added up in the order that threads come by."""
    torch.backends.cudnn.deterministic = True
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # fixed workspaces, read when the first product is formed
        torch.use_deterministic_algorithms(True, warn_only=True)  # a network may need what has no such form
        torch.utils.deterministic.fill_uninitialized_memory = False  # a check for errors that costs a pass over all memory


def warm_starts(run: Run) -> list[Path]:
    """Folders of finished runs with their final state that differ from this one in their budget alone, the longest first."""
    budgets = []
    with os.scandir(run.folder.parent) as entries:
        folders = [entry.path for entry in entries if entry.path != str(run.folder)]
    for folder in map(Path, (path for path in folders if _family(path) == run.family)):
        with contextlib.suppress(OSError):  # what cannot be read is of no use here
            steps = quantity(read_json_or_nothing(folder / "environment.json").get("steps"))
            if steps and (folder / "checkpoint.pt").exists() and load_state(folder).outcome == "finished":
                budgets.append((steps, folder))
    return [folder for _, folder in sorted(budgets, reverse=True)]


_FAMILIES: dict[str, str] = {}
"""Each run folder's family, read once in a process: every run of a sweep asks for those of all others."""


def _family(folder: str) -> str:
    """The family of the run in a folder, which its identity fixes; empty where its environment.json is not written yet."""
    if folder not in _FAMILIES:
        family = read_json_or_nothing(Path(folder) / "environment.json").get("family")
        if not isinstance(family, str):
            return ""
        _FAMILIES[folder] = family
    return _FAMILIES[folder]


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
