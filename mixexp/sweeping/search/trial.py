"""The trials of a search, and the quantity by which they are judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mixexp.metrics import RULES, select
from mixexp.spec.grid import as_override

ENDS = ("complete", "pruned", "diverged", "failed")
"""The states in which nothing more will come of a trial."""


@dataclass(frozen=True)
class Trial:
    """A trial: its state, its value where it has one, its settings, and the folder of its run."""

    number: int
    state: str
    value: float | None
    values: Mapping[str, Any]
    evaluations: int
    seconds: float | None
    folder: str
    problem: str

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ENDS


def best_of(trials: Sequence[Trial], direction: str) -> Trial | None:
    """The best complete trial, of equal ones the first; None without any."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return (max if direction == "maximize" else min)(complete, key=lambda trial: trial.value, default=None)


def overrides(values: Mapping[str, Any]) -> list[str]:
    """The values of settings as the command line has them."""
    return [f"{key}={as_override(value)}" for key, value in values.items()]


Natural = Annotated[int, Field(ge=0)]


class Pruner(BaseModel):
    """When a trial is given up: below the median of those before at the same evaluation, but for the first so many of each."""

    model_config = ConfigDict(extra="forbid", strict=True)

    startup_trials: Natural
    warmup_evaluations: Natural


class Settings(BaseModel):
    """What hydra.sweeper holds of a search."""

    model_config = ConfigDict(extra="forbid", strict=True)

    space: Annotated[dict[str, Any], Field(min_length=1)]
    metric: str
    rule: Literal["last", "median_last_10", "best", "best_validation"]
    direction: Literal["maximize", "minimize"]
    trials: Annotated[int, Field(gt=0)]
    seed: Natural
    startup_trials: Natural
    pruner: dict[str, Any] | None

    @property
    def target(self) -> str:
        """The quantity in words."""
        return f"{self.metric}, {RULES[self.rule]}"

    def value(self, metrics: Mapping[str, Sequence[float | None]]) -> float:
        """A run's value, from the columns of its metrics.csv; NaN where it has none."""
        values = [math.nan if value is None else value for value in metrics.get(self.metric, ())]
        if not values or not all(map(math.isfinite, values)):
            return math.nan
        better = "higher" if self.direction == "maximize" else "lower"
        return select(values, self.rule, better, [value or 0.0 for value in metrics.get("val_accuracy", ())])
