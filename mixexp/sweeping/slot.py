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

FORK_SERVER_GONE = (
    255  # multiprocessing's exit code of a process, alive or not, that nobody can be asked about any more
)
FORK_PAUSES = (0.1, 1.0)  # seconds before another try to start a process
LOG_LINES = 40  # of a killed run's output, kept with the reason: a crash leaves its stack, the innermost call first

# A fork server imports torch once and forks a slot in milliseconds, before there are threads or a CUDA context to be
# torn by it.
# Elsewhere than on Linux the system's libraries may not survive a fork, and a slot imports torch for itself.
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
        # it inherits these: a signal to the whole process group is the parent's alone to heed, and the server still has
        # slots to end
        with handled(signal.SIG_IGN, "SIGINT", "SIGTERM", "SIGHUP"):
            forkserver.ensure_running()


def _begin(count: int) -> tuple[list[connection.Connection], BaseProcess]:
    """The parent's ends of pipes to a new process that serves so many, and the process."""
    from mixexp.sweeping.worker import serve  # the fork server imports torch while this process composes cells

    pauses = iter(FORK_PAUSES)
    while True:
        pipes: list[Any] = [_CONTEXT.Pipe() for _ in range(count)]
        process = _CONTEXT.Process(target=serve, args=([theirs for _, theirs in pipes],), daemon=True)
        try:
            process.start()
            return [ours for ours, _ in pipes], process
        except (EOFError, OSError):  # the fork server has died, killed perhaps; the next call starts another one
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
    """The parent's side: the device, the process, and the run it works on.

    together: slots of one device that begin in one process, this one among them.
    """

    device: str
    together: Sequence[Slot] = ()
    run: RunSpec | None = None
    fraction: float = 0.0
    heard: float = 0.0
    """When the process last said something, on the monotonic clock."""
    pipe: connection.Connection | None = None
    _process: BaseProcess | None = None
    _shared: bool = False

    def start(self, run: RunSpec, alone: bool = False) -> None:
        """Send a run to the process, a new one where there is none; alone: to one that no other slot shares."""
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
        """Give up the process, which the others go on with."""
        if self.pipe is not None:
            self.pipe.close()
        self._process, self._shared = None, False

    def receive(self) -> tuple[str, Any]:
        """What the process says, or how it died; to be called when the pipe is ready."""
        assert self.pipe is not None
        self.heard = time.monotonic()
        try:
            kind, content = self.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return self.died()
        if kind == "progress":
            self.fraction = content
        elif kind in ("failed", "stopped") and not self._shared:
            self.close(seconds=0)  # what a failure left in its memory goes with it
        return (kind, content) if kind != "stopped" else self._failure("somebody ended the run's process with SIGTERM")

    def ended(self) -> bool:
        """Whether the process has ended though nothing says so on the pipe, whose other end one that it began may hold
        open."""
        assert self._process is not None and self.pipe is not None
        return self._process.exitcode not in (None, FORK_SERVER_GONE) and not self.pipe.poll()

    def end(self, reason: str) -> tuple[str, str]:
        """Kill the process and keep the reason as its run's failure; where others shared it, nobody knows whose it
        was."""
        self._kill()
        return self._lost(reason)

    def _lost(self, reason: str) -> tuple[str, str]:
        shared = self._shared
        self._leave()
        return ("again", reason) if shared else self._failure(reason)

    def ask_to_end(self) -> None:
        """Let the process end: an idle one at once, a training one after the step it is in and a checkpoint."""
        self._signal(signal.SIGTERM)

    def close(self, seconds: float = 30.0) -> None:
        """Wait until a process that was asked to end has done so; past so many seconds, kill it."""
        if self._process is None:
            return
        if not self._has_ended(seconds):
            self._kill()
        self._leave()

    def _has_ended(self, seconds: float) -> bool:
        """Whether the process ends within so many seconds: its end of the pipe closes, or somebody knows its exit
        code."""
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
        """How the process died; its run may have been over by then."""
        assert self._process is not None and self.run is not None
        self._process.join()
        state = load_state(self.run.folder)
        if state.over:  # it was killed between the end of its run and saying so
            self._leave()
            return "done", state.result
        code = self._process.exitcode
        reason = f"the run's process exited with code {code}"
        if code is not None and code < 0:
            hint = " (the system's, perhaps, for lack of memory)" if -code == signal.SIGKILL else ""
            reason = f"the run's process was killed by {signal.Signals(-code).name}{hint}"
        return self._lost(reason)

    def _failure(self, reason: str) -> tuple[str, str]:
        """Keep the reason, after the end of what the run printed."""
        assert self.run is not None
        self._leave()
        with contextlib.suppress(OSError):
            printed = read_ends(self.run.folder / "log.txt", 0, 20_000).splitlines()
            reason = "\n".join([*printed[-LOG_LINES:], reason])
        try:
            with FileLock(
                self.run.folder / LOCK, timeout=2
            ):  # its process, at its end, lets go of it a moment after the pipe
                RunFolder(self.run.folder).fail(f"{reason}\n")
        except Timeout:  # another sweep has taken the run over
            return "busy", reason
        except OSError:  # a full disk, a folder that is no more
            pass
        return "failed", reason
