"""Streams for runs that share a device and a process: on CUDA each has one of its own, so that one fills what others
leave idle."""

from __future__ import annotations

import contextlib
import gc
from collections import deque
from collections.abc import Generator
from typing import Any

import torch

from mixexp.training.session import Progress

IN_FLIGHT = 2
"""Steps that the host may be ahead of a run's stream: enough to keep the device busy while it sees to the others."""


class DeviceStream:
    """A device's stream for one run at a time; a run's numbers do not depend on what goes on in other streams.

    On CUDA it has cuBLAS workspaces of its own, and nothing is chosen by timing; elsewhere a run is advanced as it is.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._behind: deque[torch.cuda.Event] = deque()

    def ready(self) -> bool:
        """Whether an advance would not have to wait for the device."""
        return len(self._behind) < IN_FLIGHT or self._behind[0].query()

    def advance(self, steps: Generator[Progress, None, dict[str, Any]]) -> Progress:
        """A run's next step or steps; raises StopIteration with its result at its end, and what the run raises."""
        if self._stream is None:
            return next(steps)
        if len(self._behind) == IN_FLIGHT:
            self._behind.popleft().synchronize()
        with torch.cuda.stream(self._stream):
            progress = next(steps)
            done = torch.cuda.Event()
            done.record()
        self._behind.append(done)
        return progress

    def close(self, steps: Generator[Progress, None, dict[str, Any]]) -> None:
        """End a run, wherever it is, and give its memory back."""
        with torch.cuda.stream(self._stream) if self._stream is not None else contextlib.nullcontext():
            steps.close()
        self._behind.clear()
        if self._stream is not None:
            gc.collect()  # compiled code and its network refer to each other
            torch.cuda.synchronize(
                self._stream.device
            )  # an error of the device is to show here, and not in another's run
            torch.cuda.empty_cache()
