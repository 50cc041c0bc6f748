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
from mixexp.speed import CaptureFailed
from mixexp.sweep.execute import Busy, import_options, turns
from mixexp.sweep.interleave import Lane
from mixexp.sweep.plan import Run
from mixexp.train import Progress

PROGRESS_SECONDS = 0.3
DEVICE_LOST = 70  # exit code of a process whose device answers no more

import_options()  # as this is imported: the fork server does so when a sweep begins, and its last slot may start days later


class Place:
    """One pipe's run in this process; shared: others have places here too, which a failure must not touch."""

    def __init__(self, pipe: connection.Connection, stop: threading.Event, shared: bool) -> None:
        self.pipe, self._stop, self._shared = pipe, stop, shared
        self.steps: Generator[Progress, None, dict[str, Any]] | None = None
        self.closed = False
        self._lane: Lane | None = None
        self._run: Run | None = None
        self._last = 0.0

    def receive(self) -> None:
        """Begin the run that has been sent, or close where the parent has."""
        try:
            self._run = self.pipe.recv()
        except (EOFError, OSError):
            self.closed = True
            return
        self.steps = turns(self._run, self._stop, lambda text: self._send("note", text), log=True)

    def ready(self) -> bool:
        """Whether the run's turn would not have to wait for the device."""
        return self._lane is None or self._lane.ready()

    def turn(self) -> None:
        """Let the run have its turn, and tell the parent what came of it."""
        end = self._turn()
        if end is None:
            return
        # now that no exception holds the run's frames, its memory can be given back, and only then is it told
        kind, content, lost = end
        try:
            self._lane.close(self.steps) if self._lane is not None else self.steps.close()
        except RuntimeError:  # an error that CUDA repeats at every call
            lost = True
        self.steps = None
        self._send(kind, content)
        if lost and self._shared:  # the others' runs go on in other processes
            os._exit(DEVICE_LOST)
        self.closed = kind == "stopped" or (kind == "failed" and not self._shared)
        if self.closed:
            self.pipe.close()

    def _turn(self) -> tuple[str, Any, bool] | None:
        """How the run has ended with this turn, None where it has not, and whether the process is past use for others."""
        try:
            self._lane = self._lane or Lane(execution(self._run.config).device)  # a slot's device is always the same
            progress = self._lane.turn(self.steps)
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
        except torch.AcceleratorError:  # the device's, and nobody knows whose step it was
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
            os._exit(1)  # the parent has gone: the run is left unfinished, not failed
