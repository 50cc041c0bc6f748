"""The duration of runs, estimated from those that are finished."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from pathlib import Path

from mixexp.files import quantity, read_json_or_nothing
from mixexp.training.reader import read_environment, run_folders
from mixexp.training.task import Task

MOST_SECONDS = 1e10
"""What no run needs: centuries."""


class DurationModel:
    """Seconds per operation, learnt from finished runs: from those of the same cost class, else from all on the same device."""

    def __init__(self) -> None:
        self._rates: dict[tuple[str, ...], list[float]] = {}  # in rising order

    @classmethod
    def from_finished_runs(cls, folder: Path) -> DurationModel:
        """The model of the runs under a folder."""
        model = cls()
        for run in run_folders(folder):
            result = read_json_or_nothing(run / "result.json")
            task = Task.of_record(read_environment(run).get("task"))
            if result.get("outcome") == "finished" and task is not None:
                model.observe(task, quantity(result.get("seconds"), MOST_SECONDS))
        return model

    def observe(self, task: Task, seconds: float) -> None:
        """Learn from a run that took so long."""
        if task.flops > 0 and math.isfinite(seconds / task.flops):
            for key in ((task.cost_class, task.device), (task.device,)):
                bisect.insort(self._rates.setdefault(key, []), seconds / task.flops)

    def expect(self, task: Task) -> float | None:
        """Seconds a run will take, None where nothing is known."""
        key = next((key for key in ((task.cost_class, task.device), (task.device,)) if key in self._rates), None)
        if key is None:
            return None
        rates = self._rates[key]  # asked for every waiting run, at every message of a sweep
        seconds = (rates[(len(rates) - 1) // 2] + rates[len(rates) // 2]) / 2 * task.flops  # by their median
        return seconds if seconds <= MOST_SECONDS else None

    def total(self, parts: Iterable[tuple[Task, float]], slots: int) -> float | None:
        """Seconds for what is left of runs, each with the fraction left, on so many slots; None where nothing is known."""
        left = [(self.expect(task), fraction) for task, fraction in parts]
        if any(seconds is None for seconds, _ in left):
            return None
        each = [seconds * fraction for seconds, fraction in left]
        return max(sum(each) / max(slots, 1), max(each, default=0.0))


def duration(seconds: float) -> str:
    """A time in words short enough for a status line."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
