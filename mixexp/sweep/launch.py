"""A sweep from its composed cells to its closing table, or its plan alone: what launchers call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from mixexp.errors import RunsFailed, show
from mixexp.plan.composer import Composed
from mixexp.plan.plan import Plan, idle_words, other_classes, plan, stale
from mixexp.sweep.outcomes import sort_out, tell
from mixexp.sweep.pace import past
from mixexp.sweep.pool import run_all, slots_for
from mixexp.sweep.survey import Planned, announced, describe, look


@contextlib.contextmanager
def begun(
    cells: Sequence[Composed], words: Sequence[Sequence[str]], slots: int | None = None, queue: str = "", here: bool = True
) -> Iterator[Plan]:
    """A sweep's plan, written down for others, who can see inside that this process is at work on it.

    slots: by default as many as the pool has; queue: the launcher whose jobs may outlive this process. here: whether this
    machine is to train the runs. Raises UserError for cells that cannot run.
    """
    sweep = plan(cells, words, here)
    sweep.check()
    if len(sweep.runs) < sweep.kept:
        print(f"{sweep.kept} cells are {len(sweep.runs)} different runs: cells that act alike run once")
    print("".join(f"{line}\n" for line in [*other_classes(sweep.runs), *stale(sweep.runs)]), end="")
    if sweep.cells == 1:
        print("".join(f"{line}\n" for line in idle_words(sweep.runs[0])), end="")
    with announced(sweep.folder, sweep.cells, _planned(sweep), slots or _slots(sweep), queue):
        yield sweep


def launch(cells: Sequence[Composed], words: Sequence[Sequence[str]]) -> RunsFailed | None:
    """Plan and run a sweep, say what was skipped, collapsed and failed, and return the failure, if any, for Hydra to raise."""
    with begun(cells, words) as sweep:
        outcomes, waiting = sort_out(sweep.runs)
        stopped = bool(waiting) and run_all(waiting, outcomes, past(sweep.folder))
    return tell(sweep, outcomes, "the sweep stopped at the first failure (fail_fast)" if stopped else None)


def show_plan(cells: Sequence[Composed], words: Sequence[Sequence[str]]) -> None:
    """Print what a sweep would do, without starting any run; raises UserError for cells that it would refuse."""
    sweep = plan(cells, words)
    if sweep.runs:
        print("".join(f"{line}\n" for line in stale(sweep.runs)), end="")
        show(describe(sweep.folder, look(sweep.folder, _planned(sweep)), _slots(sweep), None if sweep.refusals else sweep.kept))
    sweep.check()
    if sweep.too_large:
        raise RunsFailed("\n".join(["left out, and the others can run:", *sweep.left_out()]))


def _planned(sweep: Plan) -> list[Planned]:
    return [Planned(run.folder.name, run.label, run.task) for run in sweep.runs]


def _slots(sweep: Plan) -> int:
    return len(slots_for([run.config for run in sweep.runs]))
