"""The budget of a run: its epochs, its steps, and when it is evaluated."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from mixexp.training.spec import RunConfig


@dataclass(frozen=True)
class Budget:
    """The length of a run.

    rows: images of an epoch; batch: images of a step; steps: of the whole run; evaluations: the most there are.
    """

    rows: int
    batch: int
    steps_per_epoch: int
    steps: int
    evaluations: int

    @property
    def epochs(self) -> float:
        """The number of epochs; the last may be a part of one."""
        return self.steps / self.steps_per_epoch

    @functools.cached_property
    def interval(self) -> int:
        """Steps from one evaluation to the next: the budget divided by `evaluations`, but at least an epoch."""
        return max(self.steps_per_epoch, math.ceil(self.steps / self.evaluations))

    @functools.cached_property
    def used(self) -> int:
        """Images of an epoch that are used, without those of a last batch that is left out."""
        return min(self.rows, self.steps_per_epoch * self.batch)

    def images(self, steps: int) -> int:
        """Images in the first `steps` steps."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        return epochs * self.used + min(rest * self.batch, self.used)

    def evaluates(self, step: int) -> bool:
        """True if an evaluation follows the first `step` steps."""
        return step % self.interval == 0 or step == self.steps

    def next_evaluation(self, step: int) -> int:
        """The number of steps after which the next evaluation follows, once `step` are done."""
        return min(step - step % self.interval + self.interval, self.steps)


def steps_per_epoch(rows: int, batch: int, drop_last: bool) -> int:
    """Batches in an epoch of `rows` images, `batch` at a time.

    The last, partial batch is used unless drop_last. A batch of a single image never is, since BatchNorm has no
    variance of one value.
    """
    whole, rest = divmod(rows, batch)
    return whole + (not drop_last and rest > 0 and not (rest == 1 and whole > 0))


def budget_of(config: RunConfig, rows: int, batch: int) -> Budget:
    """The budget of a configuration: `steps` where they are given, else `epochs`."""
    per_epoch = steps_per_epoch(rows, batch, config.drop_last)
    steps = config.steps if config.steps is not None else (config.epochs or 0) * per_epoch
    return Budget(rows, batch, per_epoch, steps, config.evaluations)
