"""A slot for one run at a time: a process of its own, reused from run to run until one fails in it."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

from filelock import FileLock, Timeout

from mixexp.files import read_ends
from mixexp.sweeping.signals import handled
from mixexp.training.folder import LOCK, RunFolder
from mixexp.training.reader import load_state
from mixexp.training.spec import RunSpec

# multiprocessing's exit code of a process whose state is unknown, since the fork server is gone
FORK_SERVER_GONE = 255
FORK_PAUSES = (0.1, 1.0)  # seconds before another try to start a process
# lines of a killed run's output kept with the reason; a crash leaves its stack, the innermost call first
LOG_LINES = 40

# A fork server imports torch once and forks a slot in milliseconds, before any thread or CUDA context that a fork would
# break. Outside Linux the system's libraries may not survive a fork, and each slot imports torch itself.
_CONTEXT = (
    multiprocessing.get_context("forkserver") if sys.platform == "linux" else multiprocessing.get_context("spawn")
)


def warm_up(threads: int) -> None:
    """Begin to import torch for the slots while the parent still composes cells; threads: of a run."""
    # numerical libraries read this when they are loaded: a run's threads never depend on its neighbours
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if sys.platform == "linux":
        from multiprocessing import forkserver

        _CONTEXT.set_forkserver_preload(["mixexp.sweeping.preload"])
        # The server inherits these: a signal to the process group is handled by the parent alone,
        # and the server still has slots to end.
        with handled(signal.SIG_IGN, "SIGINT", "SIGTERM", "SIGHUP"):
            forkserver.ensure_running()


def _begin(count: int) -> tuple[list[connection.Connection], BaseProcess]:
    """Pipes to a new process that serves `count` slots, at the parent's ends, and the process."""
    from mixexp.sweeping.worker import serve  # the fork server imports torch while this process composes cells

    pauses = iter(FORK_PAUSES)
    while True:
        pipes: list[Any] = [_CONTEXT.Pipe() for _ in range(count)]
        process = _CONTEXT.Process(target=serve, args=([theirs for _, theirs in pipes],), daemon=True)
        try:
            process.start()
            return [ours for ours, _ in pipes], process
        except (EOFError, OSError):  # the fork server has died, perhaps killed; the next call starts another one
            for ours, _ in pipes:
                ours.close()
            pause = next(pauses, None)
            if pause is None:
                raise
            time.sleep(pause)
        finally:
            for _, theirs in pipes:
                theirs.close()


@dataclasses.dataclass(eq=False)
class Slot:
    """The parent's side of a slot: device, process, and current run.

    together: slots of one device that share a first process, including this one.
    """

    device: str
    together: Sequence[Slot] = ()
    run: RunSpec | None = None
    fraction: float = 0.0
    heard: float = 0.0
    """The time of the process's last message, on the monotonic clock."""
    pipe: connection.Connection | None = None
    _process: BaseProcess | None = None
    _shared: bool = False

    def start(self, run: RunSpec, alone: bool = False) -> None:
        """Send a run to the process, a new one where there is none; alone: one that no other slot shares."""
        if alone and self._shared:
            self._leave()
        if self._process is None or not self._process.is_alive():
            members = [self] if alone or not self.together else list(self.together)
            pipes, process = _begin(len(members))
            for slot, pipe in zip(members, pipes, strict=True):
                slot.pipe, slot._process, slot._shared, slot.together = pipe, process, len(members) > 1, ()
        self.run, self.fraction, self.heard = run, 0.0, time.monotonic()
        assert self.pipe is not None
        with contextlib.suppress(OSError):  # it has just died, which reading will show
            self.pipe.send(dataclasses.replace(run, config=run.config.replace(device=self.device)))

    def _leave(self) -> None:
        """Leave the process to the other slots."""
        if self.pipe is not None:
            self.pipe.close()
        self._process, self._shared = None, False

    def receive(self) -> tuple[str, Any]:
        """The next message of the process, or the report of its death; called when the pipe is ready."""
        assert self.pipe is not None
        self.heard = time.monotonic()
        try:
            kind, content = self.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return self.died()
        if kind == "progress":
            self.fraction = content
        elif kind in ("failed", "stopped") and not self._shared:
            self.close(seconds=0)  # the memory of a failed run ends with the process
        return (kind, content) if kind != "stopped" else self._failure("the run's process was ended by SIGTERM")

    def ended(self) -> bool:
        """True if the process has ended without a message; a child of it may hold the pipe open."""
        assert self._process is not None and self.pipe is not None
        return self._process.exitcode not in (None, FORK_SERVER_GONE) and not self.pipe.poll()

    def end(self, reason: str) -> tuple[str, str]:
        """Kill the process and record the reason as its run's failure.

        In a shared process, the run is tried again alone.
        """
        self._kill()
        return self._lost(reason)

    def _lost(self, reason: str) -> tuple[str, str]:
        shared = self._shared
        self._leave()
        return ("again", reason) if shared else self._failure(reason)

    def ask_to_end(self) -> None:
        """Ask the process to end: an idle one at once, a training one after its current step and a checkpoint."""
        self._signal(signal.SIGTERM)

    def close(self, seconds: float = 30.0) -> None:
        """Wait for the end of a process that was asked to end; kill it after `seconds`."""
        if self._process is None:
            return
        if not self._has_ended(seconds):
            self._kill()
        self._leave()

    def _has_ended(self, seconds: float) -> bool:
        """True if the process ends within `seconds`: its end of the pipe closes, or its exit code is known."""
        assert self._process is not None and self.pipe is not None
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
        self._signal(signal.SIGKILL)  # Process.kill does nothing once the fork server has gone
        self._has_ended(5.0)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def died(self) -> tuple[str, Any]:
        """The report of the process's death; its run may have been over by then."""
        assert self._process is not None and self.run is not None
        self._process.join()
        state = load_state(self.run.folder)
        if state.over:  # killed between the end of its run and its message
            self._leave()
            return "done", state.result
        code = self._process.exitcode
        reason = f"the run's process exited with code {code}"
        if code is not None and code < 0:
            hint = " (perhaps by the system, for lack of memory)" if -code == signal.SIGKILL else ""
            reason = f"the run's process was killed by {signal.Signals(-code).name}{hint}"
        return self._lost(reason)

    def _failure(self, reason: str) -> tuple[str, str]:
        """Record the reason, after the last lines of the run's output."""
        assert self.run is not None
        self._leave()
        with contextlib.suppress(OSError):
            printed = read_ends(self.run.folder / "log.txt", 0, 20_000).splitlines()
            reason = "\n".join([*printed[-LOG_LINES:], reason])
        try:
            # at its end, the process releases the lock a moment after the pipe
            with FileLock(self.run.folder / LOCK, timeout=2):
                RunFolder(self.run.folder).fail(f"{reason}\n")
        except Timeout:  # another sweep has taken the run over
            return "busy", reason
        except OSError:  # a full disk, or a removed folder
            pass
        return "failed", reason
