"""Many runs on this machine: a process per slot, reused from run to run, so that a crash costs its own run alone."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from tqdm import tqdm

from mixexp.errors import UserError
from mixexp.record import RunFolder
from mixexp.sweep.plan import Run

PROGRESS_SECONDS = 0.3


def _serve(connection: Connection) -> None:
    """A slot's process: trains the runs it is sent, one after another, until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it ends its children
    from mixexp.sweep.execute import execute  # torch is imported here, once per slot

    last = 0.0

    def report(progress: Any) -> None:
        nonlocal last
        if time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            try:
                connection.send(("progress", progress.step / progress.steps))
            except OSError:  # the parent has gone, killed perhaps: leave the run unfinished rather than failed
                os._exit(1)

    while True:
        try:
            run = connection.recv()
        except (EOFError, OSError):
            return
        try:
            connection.send(("done", execute(run, report)))
        except UserError as error:
            connection.send(("failed", str(error)))
        except Exception:
            connection.send(("failed", traceback.format_exc()))


@dataclasses.dataclass
class _Slot:
    """A process, the connection to it, and the run it works on."""

    device: str
    process: BaseProcess | None = None
    connection: Connection | None = None
    run: Run | None = None
    fraction: float = 0.0

    def start(self, run: Run) -> None:
        if self.process is None or not self.process.is_alive():
            context = multiprocessing.get_context("spawn")
            self.connection, theirs = context.Pipe()
            self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
            self.process.start()
            theirs.close()
        self.run, self.fraction = run, 0.0
        self.connection.send(dataclasses.replace(run, config={**run.config, "device": self.device}))

    def message(self) -> tuple[str, Any]:
        """What the process says, or how it died."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode
            reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
            RunFolder(self.run.folder).fail(f"the run's process was {reason}\n" if code < 0 else f"the run's process {reason}\n")
            self.process = None
            return "failed", f"the run's process {'was ' if code < 0 else ''}{reason}"


@dataclasses.dataclass
class Outcomes:
    """How a sweep ended: each finished run's result, each failed run's reason, and how many were finished before."""

    results: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    failures: dict[str, str] = dataclasses.field(default_factory=dict)
    skipped: int = 0


def slots_for(config: dict[str, Any]) -> list[str]:
    """The device of every slot: runs_per_device on each device, by default one per GPU, or as many as cores allow on the CPU."""
    from mixexp.device import available

    found = available()
    wanted = found[0] if config["device"] == "auto" else config["device"]
    devices = [name for name in found if name.startswith("cuda:")] if wanted == "cuda" else [wanted]
    per_device = config["runs_per_device"]
    if per_device == "auto":
        per_device = max(1, _cores() // config["threads"]) if wanted == "cpu" else 1
    return devices * per_device


def _cores() -> int:
    """Processors this process may use, which a container or a batch system can make fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(runs: Sequence[Run]) -> Outcomes:
    """Train the runs that are not finished, as many at once as there are slots; the longest in images go first.

    A run that raises, exits or is killed is one row of the failures, printed at once; the others go on. Ctrl-C and SIGTERM end the
    slots' processes and leave the rest unfinished.
    """
    outcomes = Outcomes()
    waiting = []
    for run in runs:
        done = RunFolder(run.folder).result()
        if done is None:
            waiting.append(run)
        else:
            outcomes.results[str(run.folder)] = done
    outcomes.skipped = len(runs) - len(waiting)
    if not waiting:
        return outcomes
    waiting = deque(sorted(waiting, key=_size, reverse=True))
    # numerical libraries read this when the slots' processes load them: a run's threads never depend on its neighbours
    os.environ["OMP_NUM_THREADS"] = str(waiting[0].config["threads"])
    slots = [_Slot(device) for device in slots_for(waiting[0].config)[: len(waiting)]]
    with _sigterm_as_ctrl_c(), tqdm(total=len(runs), initial=outcomes.skipped, unit="run", disable=None, bar_format=_BAR) as bar:
        try:
            for slot in slots:
                slot.start(waiting.popleft())
            while busy := {slot.connection: slot for slot in slots if slot.run is not None}:
                for connection in wait(list(busy)):
                    slot = busy[connection]
                    kind, content = slot.message()
                    if kind == "progress":
                        slot.fraction = content
                    else:
                        _close_run(slot, kind, content, outcomes, len(runs), bar)
                        if waiting:
                            slot.start(waiting.popleft())
                bar.n = len(outcomes.results) + len(outcomes.failures) + sum(s.fraction for s in slots if s.run is not None)
                bar.refresh()
        finally:
            for slot in slots:
                if slot.process is not None:
                    slot.process.terminate()
                    slot.process.join()
    return outcomes


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Inside, SIGTERM raises KeyboardInterrupt, so that a batch system's stop ends the slots' processes too."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


_BAR = "{desc}{percentage:3.0f}%|{bar}| {n:.1f}/{total} runs [{elapsed}<{remaining}]"


def _size(run: Run) -> float:
    """How long a run may take, in images; only the order matters."""
    config = run.config
    return (config["steps"] or config["epochs"] * 1000) * config["batch_size"]


def _close_run(slot: _Slot, kind: str, content: Any, outcomes: Outcomes, total: int, bar: tqdm) -> None:
    run, slot.run = slot.run, None
    if kind == "done":
        outcomes.results[str(run.folder)] = content
        accuracy = content.get("last", {}).get("accuracy", float("nan"))
        text = f"{content['outcome']} accuracy {accuracy:.4f} {content['seconds']:.1f} s"
    else:
        outcomes.failures[str(run.folder)] = content
        text = f"FAILED\n{content.rstrip()}\n   "
    done = len(outcomes.results) + len(outcomes.failures)
    bar.write(f"[{done}/{total}] {run.label}: {text}  {run.folder.name}", file=sys.stdout)
    sys.stdout.flush()
