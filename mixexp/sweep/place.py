"""The training side of a slot: a place in its process, with the run that has its turns there."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Generator
from multiprocessing import connection
from typing import Any

import torch

from mixexp.device import execution
from mixexp.errors import UserError
from mixexp.sweep.execute import Busy, turns
from mixexp.sweep.interleave import Lane
from mixexp.train import Progress

PROGRESS_SECONDS = 0.3
DEVICE_LOST = 70  # exit code of a process whose device answers no more


class Place:
    """One pipe's run in this process; shared: others have places here too, which a failure must not touch."""

    def __init__(self, pipe: connection.Connection, stop: threading.Event, shared: bool) -> None:
        self.pipe, self._stop, self._shared = pipe, stop, shared
        self.steps: Generator[Progress, None, dict[str, Any]] | None = None
        self.closed = False
        self._lane: Lane | None = None
        self._last = 0.0

    def receive(self) -> None:
        """Begin the run that has been sent, or close where the parent has."""
        try:
            run = self.pipe.recv()
        except (EOFError, OSError):
            self.closed = True
            return
        self._lane = self._lane or Lane(execution(run.config).device)  # a slot's device is always the same
        self.steps = turns(run, self._stop, lambda text: self._send("note", text), log=True)

    def turn(self) -> None:
        """Let the run have its turn, and tell the parent what came of it."""
        try:
            progress = self._lane.turn(self.steps)
        except StopIteration as end:
            self._end("done", end.value)
        except Busy as busy:
            self._end("busy", str(busy))
        except KeyboardInterrupt:
            self._end("stopped", "")
        except UserError as error:
            self._end("failed", str(error))
        except torch.OutOfMemoryError:
            self._end("again" if self._shared else "failed", traceback.format_exc())
        except BaseException:
            self._end("failed", traceback.format_exc())
        else:
            if time.monotonic() - self._last > PROGRESS_SECONDS:
                self._last = time.monotonic()
                self._send("progress", progress.step / progress.steps)

    def _end(self, kind: str, content: Any) -> None:
        self._send(kind, content)
        self.closed = kind not in ("done", "busy")
        if self.closed:
            self.pipe.close()
        try:
            self._lane.close(self.steps)
        except RuntimeError:  # an error that CUDA repeats at every call: the others' runs go on in other processes
            os._exit(DEVICE_LOST)
        self.steps = None

    def _send(self, kind: str, content: Any) -> None:
        try:
            self.pipe.send((kind, content))
        except OSError:
            os._exit(1)  # the parent has gone: the run is left unfinished, not failed
