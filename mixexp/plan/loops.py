"""The loops that train runs, and the cost of a run."""

from __future__ import annotations

from mixexp.gan.loop import GAME
from mixexp.plan.classification import CLASSIFICATION
from mixexp.training.device import execution
from mixexp.training.loop import Loop
from mixexp.training.spec import RunConfig
from mixexp.training.task import Task

LOOPS = {"gan": GAME}
"""Groups whose options have a training loop of their own."""


def loop_of(config: RunConfig) -> Loop:
    """The loop that trains a configuration."""
    return next((loop for group, loop in LOOPS.items() if getattr(config, group) is not None), CLASSIFICATION)


def task(config: RunConfig) -> Task:
    """The operations of a run, and the cost class within which runs compute at the same pace."""
    choices, loop = config.choices, loop_of(config)
    kind = f"{choices['dataset']} {choices[loop.network]} batch {config.batch_size} threads {config.threads}"
    return Task(kind, execution(config).device.type, loop.work(config).flops)
