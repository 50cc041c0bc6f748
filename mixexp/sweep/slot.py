"""A place for one run at a time: a process of its own, reused from run to run until one fails in it."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from mixexp.errors import UserError
from mixexp.record import LOCK, RunFolder
from mixexp.report.load import load_state
from mixexp.sweep.plan import Run
from mixexp.sweep.signals import handled

PROGRESS_SECONDS = 0.3
FORK_SERVER_GONE = 255  # multiprocessing's exit code of a process, alive or not, that nobody can be asked about any more
FORK_PAUSES = (0.1, 1.0)  # seconds before another try to start a process
LOG_LINES = 20  # of a killed run's output, kept with the reason

# A fork server imports torch once and forks a slot in milliseconds, before there are threads or a CUDA context to be torn by it.
# Elsewhere than on Linux the system's libraries may not survive a fork, and a slot imports torch for itself.
_CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")


def warm_up(threads: int) -> None:
    """Begin to import torch for the slots while the parent still composes cells; threads: of a run."""
    # numerical libraries read this when they are loaded: a run's threads never depend on its neighbours
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if sys.platform == "linux":
        from multiprocessing import forkserver

        # torch imports _dynamo, and with it sympy, when the first optimizer is made: seconds, that each slot would take again
        _CONTEXT.set_forkserver_preload(["mixexp.sweep.execute", "torch._dynamo"])
        # it inherits these: a signal to the whole process group is the parent's alone to heed, and the server still has slots to end
        with handled(signal.SIG_IGN, "SIGINT", "SIGTERM", "SIGHUP"):
            forkserver.ensure_running()


def serve(pipe: connection.Connection) -> None:
    """The process: trains the runs it is sent, one after another, until the pipe closes or a run fails.

    It sends ("progress", fraction), ("note", text) and at last one of ("done", result), ("busy", reason), ("failed", traceback) and
    ("stopped", ""). SIGTERM ends it: idle at once, else after the step it is in and a checkpoint.
    """
    stop, idle = threading.Event(), True

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()
        if idle:
            sys.exit()

    signal.signal(signal.SIGTERM, handle)
    for name in ("SIGINT", "SIGHUP"):  # the parent's to handle, which then sends SIGTERM
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    faulthandler.enable()  # a crash in C code leaves the Python stack in the log
    from mixexp.sweep.execute import Busy, execute

    last = 0.0

    def send(kind: str, content: Any) -> None:
        try:
            pipe.send((kind, content))
        except OSError:
            os._exit(1)  # the parent has gone: the run is left unfinished, not failed

    def report(progress: Any) -> None:
        nonlocal last
        if time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            send("progress", progress.step / progress.steps)

    kind = "done"
    while kind in ("done", "busy") and not stop.is_set():
        idle = True
        try:
            run = pipe.recv()
        except (EOFError, OSError):  # the parent has closed the pipe
            return
        idle = False
        try:
            kind, content = "done", execute(run, report, stop, lambda text: send("note", text), log=True)
        except Busy as busy:
            kind, content = "busy", str(busy)
        except KeyboardInterrupt:
            kind, content = "stopped", ""
        except UserError as error:
            kind, content = "failed", str(error)
        except BaseException:
            kind, content = "failed", traceback.format_exc()
        send(kind, content)  # after a failure the process ends, and with it what the failure left in its memory


def _die_with_parent() -> None:
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)  # killed without a word: the run is left unfinished, not failed


def _begin() -> tuple[connection.Connection, BaseProcess]:
    """The parent's end of a pipe to a new process that serves, and the process."""
    pauses = iter(FORK_PAUSES)
    while True:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=serve, args=(theirs,), daemon=True)
        try:
            process.start()
            return ours, process
        except (EOFError, OSError):  # the fork server has died, killed perhaps; the next call starts another one
            ours.close()
            pause = next(pauses, None)
            if pause is None:
                raise
            time.sleep(pause)
        finally:
            theirs.close()


@dataclasses.dataclass
class Slot:
    """The parent's side: the device, the process, and the run it works on."""

    device: str
    run: Run | None = None
    fraction: float = 0.0
    heard: float = 0.0
    """When the process last said something, on the monotonic clock."""
    pipe: connection.Connection | None = None
    _process: BaseProcess | None = None

    def start(self, run: Run) -> None:
        """Send a run to the process, a new one where there is none."""
        if self._process is None or not self._process.is_alive():
            self.pipe, self._process = _begin()
        self.run, self.fraction, self.heard = run, 0.0, time.monotonic()
        with contextlib.suppress(OSError):  # it has just died, which reading will show
            self.pipe.send(dataclasses.replace(run, config={**run.config, "device": self.device}))

    def receive(self) -> tuple[str, Any]:
        """What the process says, or how it died; to be called when the pipe is ready."""
        self.heard = time.monotonic()
        try:
            kind, content = self.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return self.died()
        if kind == "progress":
            self.fraction = content
        elif kind in ("failed", "stopped"):
            self.close(seconds=0)  # what a failure left in its memory goes with it
        return (kind, content) if kind != "stopped" else self._failure("somebody ended the run's process with SIGTERM")

    def ended(self) -> bool:
        """Whether the process has ended though nothing says so on the pipe, whose other end one that it began may hold open."""
        return self._process.exitcode not in (None, FORK_SERVER_GONE) and not self.pipe.poll()

    def end(self, reason: str) -> tuple[str, str]:
        """Kill the process and keep the reason as its run's failure."""
        self._kill()
        return self._failure(reason)

    def ask_to_end(self) -> None:
        """Let the process end: an idle one at once, a training one after the step it is in and a checkpoint."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)

    def close(self, seconds: float = 30.0) -> None:
        """Wait until a process that was asked to end has done so; past so many seconds, kill it."""
        if self._process is None:
            return
        if not self._has_ended(seconds):
            self._kill()
        self.pipe.close()
        self._process = None

    def _has_ended(self, seconds: float) -> bool:
        """Whether the process ends within so many seconds: its end of the pipe closes, or somebody knows its exit code."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while time.monotonic() < deadline:
                if self._process.exitcode not in (None, FORK_SERVER_GONE):
                    return True
                if self.pipe.poll(0.1):
                    self.pipe.recv()
            return False
        return True

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)  # Process.kill does nothing once the fork server has gone
        self._has_ended(5.0)

    def died(self) -> tuple[str, str]:
        """How the process died; its run may have been over by then."""
        self._process.join()
        state = load_state(self.run.folder)
        if state.over:  # it was killed between the end of its run and saying so
            self.pipe.close()
            self._process = None
            return "done", state.result
        code = self._process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = " (the system's, perhaps, for lack of memory)" if -code == signal.SIGKILL else ""
            return self._failure(f"the run's process was killed by {name}{hint}")
        return self._failure(f"the run's process exited with code {code}")

    def _failure(self, reason: str) -> tuple[str, str]:
        """Keep the reason, after the end of what the run printed."""
        self.pipe.close()
        self._process = None
        with contextlib.suppress(OSError):
            printed = (self.run.folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
            reason = "\n".join([*printed[-LOG_LINES:], reason])
        try:
            with FileLock(self.run.folder / LOCK, timeout=2):  # its process, at its end, lets go of it a moment after the pipe
                RunFolder(self.run.folder).fail(f"{reason}\n")
        except Timeout:  # another sweep has taken the run over
            return "busy", reason
        except OSError:  # a full disk, a folder that is no more
            pass
        return "failed", reason
