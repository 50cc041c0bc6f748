"""The parts of a search, as in its file and report: its settings, its space, and its trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mixexp.metrics import RULES, select
from mixexp.spec.grid import as_override

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Range(_Strict):
    """Numbers from low to high, both included, uniform or uniform in the logarithm.

    With a step, integers from low on.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | None = Field(default=None, gt=0)

    def problem(self) -> str:
        """The error of the range as a whole; empty when there is none."""
        if self.low >= self.high:
            return f"low = {self.low:g} has to be below high = {self.high:g}"
        if self.log and self.low <= 0:
            return f"low = {self.low:g} has no logarithm"
        if self.step is not None and (self.log or not isinstance(self.low, int) or not isinstance(self.high, int)):
            return "a step is for whole numbers, low and high among them, and goes without log"
        return ""

    def distribution(self) -> BaseDistribution:
        """The range as a distribution of Optuna."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.step is not None:
            return IntDistribution(int(self.low), int(self.high), step=self.step)
        return FloatDistribution(self.low, self.high, log=self.log)

    def ends(self) -> tuple[Any, ...]:
        """The values that test whether runs accept the range."""
        return (self.low, self.high) if self.step is not None else (float(self.low), float(self.high))

    def holds(self, value: Any) -> bool:
        """True if the value could be drawn."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and (self.step is None or (value - self.low) % self.step == 0)

    def __str__(self) -> str:
        if self.step is None:
            return f"{self.low:g} ... {self.high:g}{', even in its logarithm' if self.log else ''}"
        return f"{self.low} ... {self.high}, whole numbers{f', every {self.step}' if self.step > 1 else ''}"


class Choices(_Strict):
    """A choice among some values."""

    choices: list[bool | int | float | str | None] = Field(min_length=2)

    def problem(self) -> str:
        """The error of the choices as a whole; empty when there is none."""
        return (
            f"{self.choices} has a choice twice"
            if len({repr(choice) for choice in self.choices}) < len(self.choices)
            else ""
        )

    def distribution(self) -> BaseDistribution:
        """The choices as a distribution of Optuna."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.choices)

    def ends(self) -> tuple[Any, ...]:
        """The values that test whether runs accept them: all."""
        return tuple(self.choices)

    def holds(self, value: Any) -> bool:
        """True if the value is one of them."""
        return value in self.choices

    def __str__(self) -> str:
        return " or ".join("null" if choice is None else str(choice) for choice in self.choices)


ENDS = ("complete", "pruned", "diverged", "failed")
"""The final states of a trial."""


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
        """True in a final state."""
        return self.state in ENDS


def best_of(trials: Sequence[Trial], direction: str) -> Trial | None:
    """The best complete trial, the first among equals; None without any."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return (max if direction == "maximize" else min)(complete, key=lambda trial: trial.value or 0.0, default=None)


def overrides(values: Mapping[str, Any]) -> list[str]:
    """The values of settings as overrides."""
    return [f"{key}={as_override(value)}" for key, value in values.items()]


Natural = Annotated[int, Field(ge=0)]


class Pruner(_Strict):
    """The rule that prunes a trial: below the median of earlier trials at the same evaluation.

    The first trials and the first evaluations of each are exempt.
    """

    startup_trials: Natural
    warmup_evaluations: Natural


class Settings(_Strict):
    """The settings of a search in hydra.sweeper."""

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
