"""The loops that train runs, and what a run costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixexp.gan.loop import GAME
from mixexp.plan.classification import CLASSIFICATION
from mixexp.run.device import execution
from mixexp.run.loop import Loop
from mixexp.run.spec import Task

LOOPS = {"gan": GAME}
"""Groups whose options are trained by a loop of their own."""


def loop_of(config: Mapping[str, Any]) -> Loop:
    """The loop that trains a configuration."""
    return next((loop for group, loop in LOOPS.items() if config[group] is not None), CLASSIFICATION)


def task(config: Mapping[str, Any]) -> Task:
    """The operations of a run, and the cost class within which runs compute at the same pace; config has passed validate."""
    choices, loop = config["choices"], loop_of(config)
    kind = f"{choices['dataset']} {choices[loop.network]} batch {config['batch_size']} threads {config['threads']}"
    return Task(kind, execution(config).device.type, loop.cost(config).flops)
