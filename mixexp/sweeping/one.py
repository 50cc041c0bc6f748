"""One run in this process: a command without -m, a job of a Hydra launcher, or a slot of a sweep."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from mixexp.errors import RunsFailed, UserError, show, warnings_as_notes
from mixexp.files import put_aside, quantity
from mixexp.plan.changes import REASONS, first_stage, stale, to_remake
from mixexp.plan.composer import Composed
from mixexp.plan.groups import import_options
from mixexp.plan.loops import loop_of
from mixexp.plan.plan import idle_axes, idle_words, other_classes, plan
from mixexp.plan.second_stage import without_weights
from mixexp.sweeping.signals import stop_on_signals
from mixexp.sweeping.stream import DeviceStream
from mixexp.text import enumerated, escaped, one_line
from mixexp.training.device import execution, make_deterministic
from mixexp.training.folder import FILES, LOCK, headline
from mixexp.training.logging import logged
from mixexp.training.reader import State, lacks_weights, load_state, read_environment
from mixexp.training.session import Progress
from mixexp.training.spec import RunSpec

EARLIER = ".earlier"
"""Folder in a run's own that keeps the run's earlier files when it is repeated, in a folder for each time."""
ELSEWHERE_SECONDS = 2.0  # between two checks of a run that another process works on
CLAIM_SECONDS = 0.3  # longer than a status check holds the lock


class Busy(Exception):
    """Another process works on the run, or on its first stage."""


def single(cell: Composed, words: Sequence[str], alone: bool) -> dict[str, Any] | None:
    """Make a cell's run as `make` does; raises UserError where it is not valid."""
    if not alone:  # its launcher may give this process other jobs, days later
        import_options()
    return make(planned_run(cell, words), alone)


def make(run: RunSpec, alone: bool) -> dict[str, Any] | None:
    """Train a run unless it is over, print its outcome and return its result; None where another process has it.

    alone: it is not part of a sweep; the command is then another try of a failed run. Raises UserError.
    """
    if alone:
        print_notes([run], alone)
        if run.config.table is not None:
            print("note: one run of the experiment; mixexp -m runs its grid")
    before = earlier_end(run, to_remake([run]), retry=alone)
    if before is not None and not before.over:
        raise RunsFailed(f"{run.folder}: failed before, {before.problem}; retry=failed tries it again")
    try:
        if before is not None:
            result = before.result
        else:
            with stop_on_signals() as stop:
                # None: where there is no terminal; the bars of several jobs would overwrite each other
                disable = None if alone else True
                if run.first is not None and earlier_end(run.first, to_remake([run.first]), retry=alone) is None:
                    print(f"first stage: {escaped(run.first.label)}, {run.first.folder}")
                    _make_or_await(run.first, stop, disable=disable)
                result = execute_with_bar(run, stop, disable=disable)
    except Busy as busy:
        if alone:
            raise RunsFailed(str(busy)) from None
        print(f"{busy}; it is left to that one")
        return None
    already, scores = "already " if before is not None else "", headline(result, ("accuracy", "macro_f1"))
    show(
        f"{run.label}: {already}{result['outcome']}, {scores} at the last of {result['steps']} steps,"
        f" {result['seconds']:.1f} s\n{run.folder}"
    )
    return result


def _make_or_await(run: RunSpec, stop: threading.Event, **bar_options: Any) -> None:
    """Train a run, or wait while another process works on it."""
    while True:
        try:
            execute_with_bar(run, stop, **bar_options)
        except Busy:
            if stop.wait(ELSEWHERE_SECONDS):
                raise KeyboardInterrupt from None
        else:
            return


def planned_run(cell: Composed, words: Sequence[str]) -> RunSpec:
    """The run of a cell; raises UserError where it is not valid."""
    planned = plan([cell], [words])
    planned.check()
    return planned.runs[-1]  # after its first stage, where it has one


def print_notes(runs: Sequence[RunSpec], alone: bool) -> None:
    """Print notes on runs before they start; alone: a single run, not a sweep."""
    notes = [*other_classes(runs), *(idle_words(runs[0]) if alone else idle_axes(runs)), *stale(runs)]
    print("".join(f"{line}\n" for line in notes), end="")


def earlier_end(run: RunSpec, again: Container[Path], retry: bool = False) -> State | None:
    """The state of a run that is over or failed, without a retry; None for a run to train.

    again: folders of runs to train in any case.
    """
    state = load_state(run.folder)
    left = state.outcome == "failed" and not retry and run.config.retry != "failed"
    return state if (state.over or left) and run.folder not in again else None


def failures_of(kind: str, count: int, failed: Sequence[tuple[str, str, str]]) -> list[str]:
    """Lines on the failed ones among `count` runs or trials (the kind): each one's folder, label and reason."""
    width = max(len(label) for _, label, _ in failed)
    lines = [
        f"  {folder:<12}  {label:<{width}}  {one_line((reason.splitlines() or ['?'])[-1])}"
        for folder, label, reason in failed
    ]
    return [f"{len(failed)} of {count} {kind} failed; error.txt in a run's folder says more:", *lines]


def execute_with_bar(
    run: RunSpec, stop: threading.Event, on_progress: Callable[[Progress], None] | None = None, **bar_options: Any
) -> dict[str, Any]:
    """Call `execute` with a progress bar, whose options are tqdm's."""
    with tqdm(desc=run.label, unit="step", **bar_options) as bar:

        def advance(progress: Progress) -> None:
            bar.total = progress.steps
            bar.update(progress.step - bar.n)
            if progress.accuracy is not None:
                bar.set_postfix_str(f"accuracy {progress.accuracy:.4f}", refresh=False)
            if on_progress is not None:
                on_progress(progress)

        return execute(
            run, advance, stop, note=lambda text: bar.write(escaped(f"{run.label}: {text}"), file=sys.stdout)
        )


def execute(
    run: RunSpec, on_progress: Callable[[Progress], None], stop: threading.Event, note: Callable[[str], None] = print
) -> dict[str, Any]:
    """Train a run unless its folder shows that it is over, and return its result; raises the errors of `iterate`."""
    stream, steps = DeviceStream(execution(run.config).device), iterate(run, stop, note)
    try:
        while True:
            on_progress(stream.advance(steps))
    except StopIteration as end:
        return end.value
    finally:
        stream.close(steps)


def iterate(
    run: RunSpec, stop: threading.Event, note: Callable[[str], None] = print, log: bool = False
) -> Generator[Progress, None, dict[str, Any]]:
    """A run's training as a generator of steps; returns its result, and raises the errors of the training.

    The traceback is kept in the folder's error.txt. Raises Busy where another live process has claimed the folder; the
    claim is a lock of the operating system, so it ends with its process. Once `stop` is set, the run ends after the
    current step, with a checkpoint, as KeyboardInterrupt. log: the run's output goes to the folder's log.txt.
    """
    warnings_as_notes()  # also where another launcher's process begins here
    run.folder.mkdir(parents=True, exist_ok=True)
    put_aside(run.folder / LOCK, note, links=False)
    try:
        # this context releases the lock at the end, even if a caller keeps the error
        claim = FileLock(run.folder / LOCK).acquire(timeout=CLAIM_SECONDS)
    except Timeout:
        raise Busy(f"{run.folder}: another process is working on this run") from None
    with claim, contextlib.ExitStack() as after:
        state = load_state(run.folder)
        reasons = to_remake([run]).get(run.folder, []) if state.over else []
        if state.over and not reasons:
            return state.result
        started_from = {} if run.first is None else {"first_stage": _first_stage(run.first)}
        if state.over or (state.outcome == "damaged" and (run.folder / EARLIER).exists()):
            set_aside(run.folder, reasons, note)
            state = load_state(run.folder)
        for name in FILES:
            put_aside(run.folder / name, note, links=name not in (LOCK, "log.txt"))
        outside = (
            after.enter_context(output_to_file(run.folder / "log.txt", (run.folder / "checkpoint.pt").exists()))
            if log
            else None
        )
        if state.outcome == "damaged":
            quarantine(run.folder, state.problem, note)
        folder = after.enter_context(logged(run.folder, run.config, note))
        make_deterministic(execution(run.config).device)
        metadata = {
            "label": run.label,
            "family": run.family,
            "task": run.task.record(),
            "differs_from_experiment": run.differs_from_experiment,
            **({} if run.differs_from_edition is None else {"differs_from_edition": run.differs_from_edition}),
            **started_from,
        }
        start = {} if run.first is None else {"first": run.first.folder}
        try:
            loop = loop_of(run.config)
            training = loop.run(run.config, folder, metadata, warm_starts(run), run.task.flops, **start)
            with contextlib.closing(training) as steps:
                while True:
                    torch.set_num_threads(run.config.threads)  # another run in this process may have set its own number
                    if (progress := next(steps, None)) is None:
                        break
                    with output_to(*outside) if outside is not None else contextlib.nullcontext():
                        yield progress
                    if stop.is_set() and progress.step < progress.steps:
                        raise KeyboardInterrupt
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except SystemExit as error:  # in a sweep, code that ends its process would end the other runs too
            folder.fail(traceback.format_exc())
            raise RuntimeError(f"the run's code called sys.exit({error.code!r})") from error
        except BaseException:
            folder.fail(traceback.format_exc())
            raise
        return load_state(run.folder).result


def _first_stage(first: RunSpec) -> str:
    """What identifies the weights that a second stage starts from: its first stage's run_id and start.

    Raises Busy while that run is not over, and UserError where it has failed, diverged or not kept its last weights.
    """
    state = load_state(first.folder)
    if state.outcome == "failed":
        raise UserError(f"its first stage has failed, {first.folder}: {state.problem}")
    if not state.over or first.folder in to_remake([first]):
        raise Busy(f"{first.folder}: this first stage is not finished")
    if state.outcome == "diverged":
        raise UserError(f"its first stage has diverged, {first.folder}, so there are no weights to start from")
    if lacks_weights(first.folder, "last"):  # another command has made it, with another `keep`
        raise UserError(without_weights(first.folder))
    return first_stage(first.folder)


def warm_starts(run: RunSpec) -> list[Path]:
    """Folders of finished runs with a final state that differ from this run in their budget alone, longest first.

    A second stage starts from its first one.
    """
    budgets = []
    if run.first is not None:
        return []
    with os.scandir(run.folder.parent) as entries:
        folders = [entry.path for entry in entries if entry.path != str(run.folder)]
    for folder in map(Path, (path for path in folders if _family(path) == run.family)):
        with contextlib.suppress(OSError):  # an unreadable folder is of no use here
            steps = quantity(read_environment(folder).get("steps"))
            if steps and (folder / "checkpoint.pt").exists() and load_state(folder).outcome == "finished":
                budgets.append((steps, folder))
    return [folder for _, folder in sorted(budgets, reverse=True)]


_FAMILIES: dict[str, str] = {}
"""Each run folder's family, read once in a process: every run of a sweep needs those of all others."""


def _family(folder: str) -> str:
    """The family of the run in a folder, which is fixed; empty where it kept no state or its record has no family."""
    if folder not in _FAMILIES:
        if not os.path.exists(f"{folder}/checkpoint.pt") or not (record := read_environment(Path(folder))):
            # a later call may find it
            return ""
        _FAMILIES[folder] = str(record.get("family", ""))
    return _FAMILIES[folder]


def set_aside(folder: Path, reasons: Iterable[str], note: Callable[[str], None]) -> None:
    """Move all of a run's files into a folder below its own, which readers skip, so that the run can be repeated.

    reasons: those of REASONS that hold for it; none where an earlier call was interrupted.
    An interruption at any moment leaves a run that is over or a damaged one; the next call continues from there.
    """
    aside = folder / EARLIER / f"{time.strftime('%Y-%m-%dT%H%M%S')}-{secrets.token_hex(2)}"
    aside.mkdir(parents=True)
    files = [path for path in folder.iterdir() if path.name not in (LOCK, EARLIER)]
    # a run without metrics.csv is damaged; one with result.json does not continue
    for path in sorted(files, key=lambda path: (path.name == "result.json", path.name != "metrics.csv")):
        path.rename(aside / path.name)
    why = enumerated([f"made {REASONS[reason]}" for reason in reasons] or ["set aside before, but not all of it"])
    note(f"{why}; what it left is kept in {aside.relative_to(folder)}, and the run is made again")


def quarantine(folder: Path, problem: str, note: Callable[[str], None]) -> None:
    """Keep a damaged run's files under other names, so that the run can be repeated."""
    for name in ("result.json", "metrics.csv", "confusion.csv"):
        with contextlib.suppress(FileNotFoundError):
            (folder / name).replace(folder / f"{name}.damaged")
    note(f"damaged: {problem}; its files are kept as *.damaged, and the run is made again")


@contextlib.contextmanager
def output_to_file(path: Path, append: bool) -> Iterator[list[int]]:
    """Context in which this process's output goes to a file, removed if it stays empty; yields as `output_to` does."""
    try:
        with path.open("ab" if append else "wb") as file, output_to(file.fileno(), file.fileno()) as before:
            yield before
    finally:
        with contextlib.suppress(OSError):
            if not path.stat().st_size:
                path.unlink()


@contextlib.contextmanager
def output_to(*files: int) -> Iterator[list[int]]:
    """Context in which the output and errors of this process and its libraries go to two files, by descriptor.

    Yields the descriptors of the previous files.
    """
    _flush()
    before = [os.dup(number) for number in (1, 2)]
    for number, file in zip((1, 2), files, strict=True):
        os.dup2(file, number)
    try:
        yield before
    finally:
        _flush()
        for number, file in zip((1, 2), before, strict=True):
            os.dup2(file, number)
            os.close(file)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # a full disk
            stream.flush()
