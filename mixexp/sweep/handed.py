"""A sweep handed to a launcher of Hydra's or of a plugin: planned here, trained there, told as the pool tells its own."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf

from mixexp.errors import UserError
from mixexp.plan.composer import Composed
from mixexp.run.reader import load_state
from mixexp.run.spec import RunSpec
from mixexp.sweep.launch import begun
from mixexp.sweep.outcomes import Outcomes, sort_out, tell

AT_HOME = ("BasicLauncher", "JoblibLauncher")
"""Launchers whose jobs end with this process; those of others, such as a batch system's, may still wait in a queue."""


def hand_over(launcher: Launcher, cells: Sequence[Composed], words: Sequence[Sequence[str]]) -> list[JobReturn]:
    """Plan a sweep, let the launcher make a job of every different run that is to do, and say how it ended.

    Raises UserError for cells that cannot run, before any starts, and RunsFailed where runs failed.
    """
    for cell in cells:
        _wherever_it_runs(cell)
    idle = [name for name in ("fail_fast", "hang_minutes") if any(cell.config.get(name) for cell in cells)]
    if idle:
        raise UserError(f"{', '.join(idle)}: of hydra/launcher=pool alone; another launcher has limits of its own, if any")
    queue = "" if type(launcher).__name__ in AT_HOME else type(launcher).__name__
    with begun(cells, words, slots=1, queue=queue, here=False) as sweep:
        outcomes, waiting = sort_out(sweep.runs)
        returns: list[JobReturn] = []
        gave_up = None
        if waiting:
            try:
                returns = list(launcher.launch([list(run.words) for run in waiting], initial_job_idx=0))
            except Exception as error:  # a worker was killed, or there is no cluster: it then tells nothing of any job
                gave_up = f"the launcher gave up; the same command goes on with what is not finished\n{type(error).__name__}: {error}"
    for run, job in itertools.zip_longest(waiting, returns):
        _enter(run, job, outcomes)
    failure = tell(sweep, outcomes, gave_up)
    if failure is not None:
        raise failure
    return returns


def _wherever_it_runs(cell: Composed) -> None:
    """Take out a device that only the machine which trains needs to have; the job looks for it there."""
    if re.fullmatch(r"mps|cuda(:\d+)?", str(cell.config.device)):
        OmegaConf.update(cell.config, "device", "auto")


def _enter(run: RunSpec, job: JobReturn | None, outcomes: Outcomes) -> None:
    """Enter how a job ended: what it returned or raised, else, without a word from it, what its folder says."""
    name = run.folder.name
    returned = job._return_value if job is not None else None  # its property would print a line of Hydra's before raising
    if job is not None and job.status == JobStatus.FAILED:
        outcomes.failures[name] = next(iter(str(returned).splitlines()), "")  # what kind of error it is; error.txt has all of it
    elif returned is not None:
        outcomes.results[name] = returned
    else:
        state = load_state(run.folder)
        if state.over:
            outcomes.results[name] = state.result
        elif state.outcome == "failed":
            outcomes.failures[name] = state.problem
