"""The duration of runs, estimated from finished ones."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable
from pathlib import Path

from mixexp.files import quantity, read_json_or_nothing
from mixexp.training.reader import read_environment, run_folders
from mixexp.training.task import Task, Work

MOST_SECONDS = 1e10
"""More seconds than any run needs: centuries."""


RATE, STEP, FACTOR = 15e9, 0.01, 3.0
"""A guess: operations a second on a processor thread, seconds a step in addition, and the factor of uncertainty.

Of 872 runs on processors, published ones or others of this project, 73 % took a time in that range: 86 % of those on
pictures and sounds, 53 % of the others, on points and tables.
"""
GUESS = (
    f"the time is a guess from operations, at {RATE / FACTOR / 1e9:.0f} to {RATE * FACTOR / 1e9:.0f} billion a second"
    f" on a thread and {1e3 * STEP / FACTOR:.0f} to {1e3 * STEP * FACTOR:.0f} ms a step beside; finished runs will say"
    " better"
)


class DurationModel:
    """Seconds per operation, learnt from finished runs: of the same cost class, else of the same device."""

    def __init__(self, guessed: bool = False) -> None:
        """guessed: whether it learns from guesses, not from finished runs."""
        self.guessed = guessed
        self._rates: dict[tuple[str, ...], list[float]] = {}  # in rising order

    @classmethod
    def from_finished_runs(cls, folder: Path) -> DurationModel:
        """The model learnt from the runs under a folder."""
        model = cls()
        for run in run_folders(folder):
            result = read_json_or_nothing(run / "result.json")
            task = Task.of_record(read_environment(run).get("task"))
            if result.get("outcome") == "finished" and task is not None:
                model.observe(task, quantity(result.get("seconds"), MOST_SECONDS))
        return model

    def observe(self, task: Task, seconds: float) -> None:
        """Learn from a run and its duration."""
        if task.flops > 0 and math.isfinite(seconds / task.flops):
            for key in ((task.cost_class, task.device), (task.device,)):
                bisect.insort(self._rates.setdefault(key, []), seconds / task.flops)

    def expect(self, task: Task) -> float | None:
        """The expected seconds of a run; None where nothing is known."""
        key = next((key for key in ((task.cost_class, task.device), (task.device,)) if key in self._rates), None)
        if key is None:
            return None
        # evaluated for every waiting run, at every message of a sweep
        rates = self._rates[key]
        # the median
        seconds = (rates[(len(rates) - 1) // 2] + rates[len(rates) // 2]) / 2 * task.flops
        return seconds if seconds <= MOST_SECONDS else None

    def words(self, seconds: float) -> str:
        """Its expected seconds in words: a range where they are guessed."""
        ends = dict.fromkeys(map(duration, (seconds / FACTOR, FACTOR * seconds) if self.guessed else (seconds,)))
        return " to ".join(ends)

    def total(self, parts: Iterable[tuple[Task, float]], slots: int) -> float | None:
        """The seconds left for runs with their remaining fractions, on a number of slots.

        None where nothing is known.
        """
        left = [(self.expect(task), fraction) for task, fraction in parts]
        each = [seconds * fraction for seconds, fraction in left if seconds is not None]
        if len(each) < len(left):
            return None
        return max(sum(each) / max(slots, 1), max(each, default=0.0))


def guessed_seconds(work: Work, threads: int) -> float:
    """The guessed seconds of a run on a processor, from its operations and steps alone."""
    return work.flops / (RATE * threads) + STEP * work.steps


def evaluation_remark(works: Iterable[Work], rule: str) -> str:
    """The remark on runs that spend more than half of their work on evaluations, with advice; empty for other runs.

    rule: the selection rule of their table.
    """
    works = list(works)
    most, tested = max((work.evaluations for work in works), default=0), max((work.tested for work in works), default=0)
    part, total = sum(work.evaluation for work in works), sum(work.flops for work in works)
    if not tested or part <= total / 2:
        return ""

    def share(of_evaluations: Callable[[Work], float]) -> str:
        left = sum(work.evaluation * of_evaluations(work) for work in works)
        return f"{100 * left / (left + total - part):.0f} %"

    least = 10 if rule == "median_last_10" else 1
    fewer = max(least, round(most / 5))
    images = 1000 if tested >= 2000 else tested // 50 * 10
    ways = [f"evaluations={fewer} would make that {share(lambda work: min(1, fewer / work.evaluations))}"] * (
        fewer < most
    )
    if images:
        of_part = share(lambda work: (min(images, work.tested) + work.held_out) / (work.tested + work.held_out))
        ways.append(f"test.n={images} {'would make that ' * (not ways)}{of_part}")
    counted = {name: _range(getattr(work, name) for work in works) for name in ("evaluations", "tested", "trained")}
    what = (
        f"{counted['evaluations']} evaluations a run of {counted['tested']} test images, {counted['trained']} training"
        " images"
    )
    return "; ".join(
        [f"evaluation is {100 * part / total:.0f} % of the work: {what}", *([" and ".join(ways)] if ways else [])]
    )


def _range(numbers: Iterable[int]) -> str:
    there = sorted(set(numbers))
    return f"{there[0]:,}" if len(there) == 1 else f"{there[0]:,} to {there[-1]:,}"


def duration(seconds: float) -> str:
    """A time in words short enough for a status line."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
