"""A running sweep's status: a line that stays at the bottom of a terminal, or one a minute in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence

from tqdm import tqdm

from mixexp.run.spec import Task
from mixexp.sweep.pace import Pace, duration
from mixexp.sweep.slot import Slot
from mixexp.text import escaped

LOG_SECONDS = 60.0


class Live:
    """Says what happens, and how far a sweep of `total` runs on the slots is."""

    def __init__(self, total: int, slots: Sequence[Slot], pace: Pace) -> None:
        self.total = total
        self.pace = pace
        self._slots = slots
        self._bar = tqdm(total=total, disable=None, bar_format="{percentage:3.0f}% |{bar:20}| {desc}", leave=False)
        self._last = time.monotonic()

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._bar.write(escaped(text), file=sys.stdout)
        sys.stdout.flush()

    def refresh(self, done: int, failed: int, waiting: Iterable[Task], elsewhere: int) -> None:
        """Show the status; waiting: the runs nobody works on, elsewhere: how many other processes work on."""
        running = [(slot.run.task, 1 - slot.fraction) for slot in self._slots if slot.run is not None]
        left = self.pace.total([*running, *((task, 1.0) for task in waiting)], len(self._slots))
        waits = self.total - done - failed - len(running) - elsewhere
        parts = [f"{done} done"]
        if running:
            parts.append(f"{len(running)} running ({', '.join(f'{1 - fraction:.0%}' for _, fraction in running)})")
        parts += [f"{count} {name}" for count, name in ((elsewhere, "elsewhere"), (failed, "failed"), (waits, "waiting")) if count]
        text = ", ".join(parts) + (f"; about {duration(left)} left" if left is not None else "")
        self._bar.n = done + failed + sum(1 - fraction for _, fraction in running)
        self._bar.set_description_str(text)
        if self._bar.disable and time.monotonic() - self._last > LOG_SECONDS:
            self._last = time.monotonic()
            self.say(text)
