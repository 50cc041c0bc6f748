"""A sweep from its composed cells to its closing table, or its plan alone; what our launchers call."""

from __future__ import annotations

from collections.abc import Sequence

from mixexp.errors import RunsFailed
from mixexp.sweep.cells import Composed
from mixexp.sweep.pace import past
from mixexp.sweep.plan import Plan, plan
from mixexp.sweep.pool import Outcomes, run_all, slots_for
from mixexp.sweep.survey import Planned, describe, keep_plan, look


def launch(cells: Sequence[Composed], words: Sequence[Sequence[str]]) -> RunsFailed | None:
    """Plan and run a sweep, say what was skipped, collapsed and failed, and return the failure, if any, for Hydra to raise."""
    sweep = plan(cells, words)
    sweep.check()
    if len(sweep.runs) < sweep.cells:
        print(f"{sweep.cells} cells are {len(sweep.runs)} different runs: cells that act alike run once")
    keep_plan(sweep.folder, sweep.cells, _planned(sweep), _slots(sweep))
    outcomes = run_all(sweep.runs, past(sweep.folder))
    diverged = sum(result["outcome"] == "diverged" for result in outcomes.results.values())
    not_begun = len(sweep.runs) - len(outcomes.results) - len(outcomes.failures)
    print(
        f"{sweep.folder}: {len(sweep.runs)} runs, {len(outcomes.results)} done ({outcomes.skipped} of them before), "
        f"{diverged} diverged, {len(outcomes.failures)} failed" + (f", {not_begun} not finished" if not_begun else "")
    )
    return _failure(sweep, outcomes) if outcomes.failures else None


def show_plan(cells: Sequence[Composed], words: Sequence[Sequence[str]]) -> None:
    """Print what a sweep would do, without starting any run; raises UserError for cells that it would refuse."""
    sweep = plan(cells, words)
    if sweep.runs:
        print(describe(sweep.folder, look(sweep.folder, _planned(sweep)), _slots(sweep), None if sweep.refusals else sweep.cells))
    sweep.check()


def _planned(sweep: Plan) -> list[Planned]:
    return [Planned(run.folder.name, run.label, run.task) for run in sweep.runs]


def _slots(sweep: Plan) -> int:
    return len(slots_for([run.config for run in sweep.runs]))


def _failure(sweep: Plan, outcomes: Outcomes) -> RunsFailed:
    """The table of failures."""
    rows = []
    for run in sweep.runs:
        if run.folder.name in outcomes.failures:
            reason = outcomes.failures[run.folder.name].rstrip() or "?"
            rows.append((run.folder.name, run.label, reason.splitlines()[-1]))
    width = max(len(label) for _, label, _ in rows)
    lines = [f"{len(rows)} of {len(sweep.runs)} runs failed; error.txt in a run's folder says more:"]
    lines += [f"  {name}  {label:<{width}}  {reason}" for name, label, reason in rows]
    if outcomes.failed_before:
        lines.append(f"{outcomes.failed_before} of them had failed before and were left so; retry=failed tries them again")
    if outcomes.stopped:
        lines.append("the sweep stopped at the first failure (fail_fast)")
    return RunsFailed("\n".join(lines))
