"""The loops that train runs, and the cost of a run."""

from __future__ import annotations

from mixexp.gan.loop import GAME
from mixexp.plan.classification import CLASSIFICATION
from mixexp.plan.second_stage import SECOND_STAGE
from mixexp.training.device import execution
from mixexp.training.loop import Loop
from mixexp.training.spec import RunConfig
from mixexp.training.task import Task

LOOPS = {"gan": GAME, "second_stage": SECOND_STAGE}
"""Groups whose options have a training loop of their own."""


def loop_of(config: RunConfig) -> Loop:
    """The loop that trains a configuration."""
    return next((LOOPS[group] for group in _chosen(config)), CLASSIFICATION)


def conflicts(config: RunConfig) -> list[str]:
    """The error of a configuration with several loops."""
    chosen = _chosen(config)
    return [f"{', '.join(chosen)}: each trains a run in its own way; keep one"] if len(chosen) > 1 else []


def _chosen(config: RunConfig) -> list[str]:
    """The groups with an option and a loop of their own."""
    return [group for group in LOOPS if getattr(config, group) is not None]


def task(config: RunConfig) -> Task:
    """The operations of a run, and the cost class within which runs compute at the same pace."""
    choices, loop = config.choices, loop_of(config)
    kind = f"{choices['dataset']} {choices[loop.network]} batch {config.batch_size} threads {config.threads}"
    return Task(kind, execution(config).device.type, loop.work(config).flops)
