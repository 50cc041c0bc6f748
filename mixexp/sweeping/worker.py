"""The training side of a slot: its process, and the workers for the runs sent to it."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Generator, Sequence
from multiprocessing import connection
from types import FrameType
from typing import Any

import torch

from mixexp.errors import UserError
from mixexp.plan.groups import import_options
from mixexp.sweeping.one import Busy, iterate
from mixexp.sweeping.stream import DeviceStream
from mixexp.training.device import execution
from mixexp.training.session import Progress
from mixexp.training.spec import RunSpec
from mixexp.training.stepper import CaptureFailed

LOOK_SECONDS = 0.05  # between two checks for new runs by idle workers
PROGRESS_SECONDS = 0.3
DEVICE_LOST = 70  # exit code of a process whose device no longer answers


def serve(pipes: Sequence[connection.Connection]) -> None:
    """The process: it trains the runs that are sent, one at a time for each pipe, until the pipes close or a run fails.

    To a run's pipe it sends ("progress", fraction), ("note", text) and at last one of ("done", result), ("busy",
    reason), ("failed", traceback), ("again", reason) and ("stopped", ""). A failure ends a process with one pipe, and
    any process whose device is unusable. SIGTERM ends it: idle at once, else after the current steps and checkpoints.
    """
    stop, workers = threading.Event(), []

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()
        if all(worker.steps is None for worker in workers):
            sys.exit()

    signal.signal(signal.SIGTERM, handle)
    for name in ("SIGINT", "SIGHUP"):  # the parent handles these and then sends SIGTERM
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    faulthandler.enable()  # a crash in C code leaves the Python stack in the log
    import_options()
    workers = [Worker(pipe, stop, shared=len(pipes) > 1) for pipe in pipes]
    looked = 0.0
    while workers:
        running = [worker for worker in workers if worker.steps is not None]
        idle = {worker.pipe: worker for worker in workers if worker.steps is None}
        if stop.is_set():
            workers = running
        elif not running or (idle and time.monotonic() - looked > LOOK_SECONDS):
            for pipe in connection.wait(list(idle), timeout=0 if running else None):
                idle[pipe].receive()
            looked = time.monotonic()
        for worker in [worker for worker in running if worker.ready()] or running[:1]:
            worker.advance()
        workers = [worker for worker in workers if not worker.closed]


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # a worker is begun by another process
    connection.wait([parent.sentinel])
    os._exit(1)  # killed without a word: the run is left unfinished, not failed


class Worker:
    """Worker for one run at a time, sent through a pipe.

    shared: other runs live in this process and must survive its failure.
    """

    def __init__(self, pipe: connection.Connection, stop: threading.Event, shared: bool) -> None:
        self.pipe, self._stop, self._shared = pipe, stop, shared
        self.steps: Generator[Progress, None, dict[str, Any]] | None = None
        self.closed = False
        self._stream: DeviceStream | None = None
        self._run: RunSpec | None = None
        self._last = 0.0

    def receive(self) -> None:
        """Begin the run in the pipe, or close where the parent has."""
        try:
            run: RunSpec = self.pipe.recv()
        except (EOFError, OSError):
            self.closed = True
            return
        self._run = run
        self.steps = iterate(run, self._stop, lambda text: self._send("note", text), log=True)

    def ready(self) -> bool:
        """True if the run's next step would not have to wait for the device."""
        return self._stream is None or self._stream.ready()

    def advance(self) -> None:
        """Advance the run by one or more steps, and report its end to the parent."""
        end = self._advance()
        if end is None:
            return
        # no exception holds the run's frames any more, so its memory can be freed; the parent is told only afterwards
        kind, content, lost = end
        assert self.steps is not None
        try:
            self._stream.close(self.steps) if self._stream is not None else self.steps.close()
        except RuntimeError:  # an error that CUDA repeats at every call
            lost = True
        self.steps = None
        self._send(kind, content)
        if lost and self._shared:  # the other runs continue in other processes
            os._exit(DEVICE_LOST)
        self.closed = kind == "stopped" or (kind == "failed" and not self._shared)
        if self.closed:
            self.pipe.close()

    def _advance(self) -> tuple[str, Any, bool] | None:
        """Advance the run; returns its end and whether the process is unusable, or None if it has not ended."""
        assert self._run is not None and self.steps is not None  # those without a run are not asked
        try:
            # a slot's device never changes
            self._stream = self._stream or DeviceStream(execution(self._run.config).device)
            progress = self._stream.advance(self.steps)
        except StopIteration as end:
            return "done", end.value, False
        except Busy as busy:
            return "busy", str(busy), False
        except KeyboardInterrupt:
            return "stopped", "", False
        except CaptureFailed as error:
            no_room = isinstance(error.__cause__, torch.OutOfMemoryError)
            return "again" if self._shared and no_room else "failed", str(error), True
        except UserError as error:
            return "failed", str(error), False
        except torch.OutOfMemoryError:
            return "again" if self._shared else "failed", traceback.format_exc(), False
        except torch.AcceleratorError:  # an error of the device, which any of the runs may have caused
            return "again" if self._shared else "failed", traceback.format_exc(), True
        except BaseException:
            return "failed", traceback.format_exc(), False
        if time.monotonic() - self._last > PROGRESS_SECONDS:
            self._last = time.monotonic()
            self._send("progress", progress.step / progress.steps)
        return None

    def _send(self, kind: str, content: Any) -> None:
        try:
            self.pipe.send((kind, content))
        except OSError:
            os._exit(1)  # the parent is gone: the run stays unfinished, not failed
