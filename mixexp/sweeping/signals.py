"""Handlers of signals, for the length of a block."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

Handler = Callable[[int, FrameType | None], None] | signal.Handlers


@contextlib.contextmanager
def handled(handler: Handler, *names: str) -> Iterator[None]:
    """Context in which a handler receives the named signals; without effect outside the main thread.

    Signals that the system lacks are left out.
    """
    main = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in names if main and hasattr(signal, name)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second signal interrupts at once. It works in the main thread alone."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    with handled(handle, "SIGINT", "SIGTERM"):
        yield stop
