"""The schedule group: the factor of the learning rate at each step."""

from __future__ import annotations

import abc
import math
from typing import Annotated, Literal

from pydantic import Field

Warmup = Annotated[float, Field(ge=0)]


class Schedule(abc.ABC):
    """A curve over the budget, after a linear warm-up from 0 over warmup_epochs (Goyal et al. 2017)."""

    warmup_by: Literal["step", "epoch"] = "step"
    """The warm-up rises at every step, or once an epoch, to the value that the last step of the epoch would have."""

    def __init__(self, warmup_epochs: Warmup = 0.0) -> None:
        self.warmup_epochs = warmup_epochs

    def factor(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """The factor for step 0 … total_steps − 1; a warm-up of n steps (or epochs) starts at 1/n of the curve."""
        warmup = self.warmup_epochs * steps_per_epoch
        reached = step + 1 if self.warmup_by == "step" else (step // steps_per_epoch + 1) * steps_per_epoch
        ramp = min(1.0, reached / warmup) if warmup > 0 else 1.0
        return ramp * self.curve(step, steps_per_epoch, total_steps)

    def check_budget(self, steps_per_epoch: int, total_steps: int) -> None:
        """Raise ValueError if a part of the schedule lies beyond the budget and would have no effect."""
        if self.warmup_epochs * steps_per_epoch >= total_steps:
            raise ValueError(
                f"schedule.warmup_epochs = {self.warmup_epochs}: the budget is {total_steps / steps_per_epoch:g} epochs"
            )

    @abc.abstractmethod
    def curve(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """The factor without warm-up."""


class Constant(Schedule):
    """A constant learning rate."""

    def curve(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        return 1.0


class Steps(Schedule):
    """The learning rate multiplied by `drop` at each milestone.

    milestones: rising, in the unit of milestones_in; milestones_in: "epochs", completed epochs, so that milestone 33
    acts from the 34th epoch on; "steps", completed steps; "budget", the completed fraction of the budget, so that a
    shortened run keeps the shape; drop: factor at each milestone; warmup_by: the warm-up rises at every step, or once
    an epoch.
    """

    added = ("warmup_by",)

    def __init__(
        self,
        milestones: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)],
        milestones_in: Literal["epochs", "steps", "budget"],
        drop: Annotated[float, Field(gt=0, lt=1)],
        warmup_epochs: Warmup = 0.0,
        warmup_by: Literal["step", "epoch"] = "step",
    ) -> None:
        super().__init__(warmup_epochs)
        self.warmup_by = warmup_by
        if sorted(set(milestones)) != list(milestones):
            raise ValueError(f"schedule.milestones = {milestones}: must rise")
        if milestones_in == "budget" and milestones[-1] >= 1:
            raise ValueError(f"schedule.milestones = {milestones}: fractions of the budget must be below 1")
        self.milestones, self.milestones_in, self.drop = milestones, milestones_in, drop

    def _boundaries(self, steps_per_epoch: int, total_steps: int) -> list[int]:
        """The first step after each milestone."""
        unit = {"epochs": steps_per_epoch, "steps": 1, "budget": total_steps}[self.milestones_in]
        # rounding undoes binary fractions: 0.33 of 39,100 steps is step 12,903, not the one after
        return [math.ceil(round(milestone * unit, 6)) for milestone in self.milestones]

    def check_budget(self, steps_per_epoch: int, total_steps: int) -> None:
        super().check_budget(steps_per_epoch, total_steps)
        if self.milestones_in != "budget" and self._boundaries(steps_per_epoch, total_steps)[-1] >= total_steps:
            raise ValueError(
                f"schedule.milestones = {self.milestones} {self.milestones_in}: the last lies beyond the budget of"
                f" {total_steps} steps ({total_steps / steps_per_epoch:g} epochs); with schedule.milestones_in=budget"
                " they are fractions of it"
            )

    def curve(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        return self.drop ** sum(step >= boundary for boundary in self._boundaries(steps_per_epoch, total_steps))


class Cosine(Schedule):
    """½·(1 + cos(π·t)), t the fraction of the budget after warm-up (Loshchilov & Hutter 2017, without restarts)."""

    def curve(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        start = min(self.warmup_epochs * steps_per_epoch, total_steps)
        progress = max(0.0, step - start) / max(1.0, total_steps - start)
        return 0.5 * (1 + math.cos(math.pi * progress))
