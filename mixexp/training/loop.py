"""The interface of a loop that trains a run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mixexp.spec.measured import Measured
from mixexp.training.session import Progress
from mixexp.training.spec import RunConfig
from mixexp.training.task import Work


@dataclass(frozen=True)
class Loop:
    """A way to train a run.

    network: the group whose option names the trained network. check(config, errors, here): the lines about faults of a
    configuration, after the errors so far; here: whether this machine is to train it. work(config): the operations of a
    run whose configuration has no errors. run(config, folder, metadata, warm_starts, flops): the training, step by
    step. writes(config): the measures of its runs, for tables. fixed: settings that it fixes.
    """

    network: str
    check: Callable[[RunConfig, list[str], bool], list[str]]
    work: Callable[[RunConfig], Work]
    run: Callable[..., Generator[Progress]]
    writes: Callable[[RunConfig], Measured]
    fixed: Mapping[str, Any] = field(default_factory=dict)
