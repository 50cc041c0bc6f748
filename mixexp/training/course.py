"""The settings of a run's steps that change on its way: learning rate, sampling, mix and phase of the loss."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from torch.optim import Optimizer

from mixexp.loss import Loss
from mixexp.mix import Mix
from mixexp.optimizer import set_rate
from mixexp.sampling import Sampling
from mixexp.schedule import Schedule
from mixexp.training.budget import Budget


class Settings(NamedTuple):
    """The settings of a step."""

    rate: float
    phase: int


@dataclass
class Course:
    """The course of a run; rate: the learning rate that the schedule multiplies."""

    rate: float
    schedule: Schedule
    sampling: Sampling
    mix: Mix
    loss: Loss
    budget: Budget
    _entered: Settings | None = field(default=None, init=False)

    def at(self, step: int) -> Settings:
        """The settings of a step, counted from 0."""
        budget = self.budget
        factor = self.schedule.factor(step, budget.steps_per_epoch, budget.steps)
        return Settings(self.rate * factor, self.loss.phase(step // budget.steps_per_epoch, budget.epochs))

    def same_until(self, step: int, most: int) -> int:
        """The end of the steps from `step` on that have its settings; at most `most`."""
        return next((later for later in range(step + 1, most) if self.at(later) != self.at(step)), most)

    def enter(self, step: int, optimizer: Optimizer) -> float:
        """Set what the steps from `step` on need, in place, where it is new, and return their learning rate."""
        settings = self.at(step)
        if settings != self._entered:
            set_rate(optimizer, settings.rate)
            self.loss.enter(settings.phase)
            self._entered = settings
        return settings.rate

    def same_so_far(self, other_steps: int, step: int) -> bool:
        """True if a run of other_steps has done the same as this one in its first `step` steps.

        The comparison is of learning rates, samplings, mixes, phases of the loss and evaluations.
        """

        def past(course: Course) -> list[tuple[Settings, Sampling, Mix, bool]]:
            budget = course.budget
            epochs = ((i // budget.steps_per_epoch, budget.epochs) for i in range(step))
            return [
                (course.at(i), self.sampling.at(*epoch), self.mix.at(*epoch), budget.evaluates(i + 1))
                for i, epoch in enumerate(epochs)
            ]

        other = replace(self, budget=replace(self.budget, steps=other_steps))
        return step < self.budget.steps and (self.budget == other.budget or past(self) == past(other))
