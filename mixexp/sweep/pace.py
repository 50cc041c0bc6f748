"""What runs took, to say what others will take."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from pathlib import Path

from mixexp.files import quantity, read_json_or_nothing
from mixexp.run.spec import Task
from mixexp.run.reader import read_environment, run_folders

MOST_FLOPS = 1e30
MOST_SECONDS = 1e10
"""What no run needs: centuries."""


class Pace:
    """Seconds per operation, learnt from finished runs: from those of the same kind, else from all on the same device."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], list[float]] = {}
        self._medians: dict[tuple[str, ...], float] = {}

    def observe(self, task: Task, seconds: float) -> None:
        """Learn from a run that took so long."""
        if task.flops > 0 and math.isfinite(seconds / task.flops):
            for key in ((task.kind, task.device), (task.device,)):
                self._found.setdefault(key, []).append(seconds / task.flops)
                self._medians.pop(key, None)

    def expect(self, task: Task) -> float | None:
        """Seconds a run will take, None where nothing is known."""
        key = next((key for key in ((task.kind, task.device), (task.device,)) if key in self._found), None)
        if key is None:
            return None
        if key not in self._medians:  # asked for every waiting run, at every message of a sweep
            self._medians[key] = statistics.median(self._found[key])
        seconds = self._medians[key] * task.flops
        return seconds if seconds <= MOST_SECONDS else None

    def total(self, parts: Iterable[tuple[Task, float]], slots: int) -> float | None:
        """Seconds for what is left of runs, each with the fraction left, on so many slots; None where nothing is known."""
        left = [(self.expect(task), fraction) for task, fraction in parts]
        if any(seconds is None for seconds, _ in left):
            return None
        each = [seconds * fraction for seconds, fraction in left]
        return max(sum(each) / max(slots, 1), max(each, default=0.0))


def past(folder: Path) -> Pace:
    """The pace of the finished runs under a folder."""
    pace = Pace()
    for run in run_folders(folder):
        result = read_json_or_nothing(run / "result.json")
        task = read_environment(run).get("task")
        if result.get("outcome") == "finished" and isinstance(task, dict):  # else not finished, damaged, or of an older version
            kind, device = task.get("kind"), task.get("device")
            if isinstance(kind, str) and isinstance(device, str):
                pace.observe(Task(kind, device, quantity(task.get("flops"), MOST_FLOPS)), quantity(result.get("seconds"), MOST_SECONDS))
    return pace


def duration(seconds: float) -> str:
    """A time in words short enough for a status line."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
