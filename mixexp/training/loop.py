"""What the program asks of a loop that trains a run, whichever it is."""

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

    network: the group whose option names what is trained. check(config, errors, here): the lines about what is wrong
    with a configuration, behind the errors found so far; here: whether this machine is to train it. work(config): what
    a run of a configuration without errors does. run(config, folder, metadata, warm_starts, flops): the training, step
    by step. writes(config): what its runs measure, of which a table can be. fixed: settings that it leaves no choice
    of.
    """

    network: str
    check: Callable[[RunConfig, list[str], bool], list[str]]
    work: Callable[[RunConfig], Work]
    run: Callable[..., Generator[Progress]]
    writes: Callable[[RunConfig], Measured]
    fixed: Mapping[str, Any] = field(default_factory=dict)
