"""Streams for runs that share a device and a process: on CUDA each run has one, to fill the gaps of the others."""

from __future__ import annotations

import contextlib
import gc
from collections import deque
from collections.abc import Generator
from typing import Any

import torch

from mixexp.training.session import Progress

IN_FLIGHT = 2
"""Steps that the host may be ahead of a run's stream: enough to keep the device busy while it serves the others."""


class DeviceStream:
    """A device's stream for one run at a time; a run's numbers do not depend on the other streams.

    On CUDA it has cuBLAS workspaces of its own, and nothing is chosen by timing; elsewhere it just advances the run.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._behind: deque[torch.cuda.Event] = deque()

    def ready(self) -> bool:
        """True if an advance would not have to wait for the device."""
        return len(self._behind) < IN_FLIGHT or self._behind[0].query()

    def advance(self, steps: Generator[Progress, None, dict[str, Any]]) -> Progress:
        """Take a run's next step or steps.

        Raises StopIteration with its result at its end, and the run's own errors.
        """
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
        """End a run at any point, and free its memory."""
        with torch.cuda.stream(self._stream) if self._stream is not None else contextlib.nullcontext():
            steps.close()
        self._behind.clear()
        if self._stream is not None:
            gc.collect()  # compiled code and its network refer to each other
            # an error of the device appears here, and not in another run
            torch.cuda.synchronize(self._stream.device)
            torch.cuda.empty_cache()
