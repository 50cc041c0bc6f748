"""How the runs of a sweep stand: sorted out before it, told after it, whoever trains them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from mixexp.errors import RunsFailed, show
from mixexp.plan.plan import Plan
from mixexp.run.reader import load_state
from mixexp.run.spec import RunSpec
from mixexp.text import one_line


@dataclasses.dataclass
class Outcomes:
    """Each run's result or its failure's reason, by the name of its folder; how many were over or had failed before."""

    results: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    failures: dict[str, str] = dataclasses.field(default_factory=dict)
    skipped: int = 0
    failed_before: int = 0


def sort_out(runs: Sequence[RunSpec]) -> tuple[Outcomes, list[RunSpec]]:
    """What is over or has failed for good, and the runs to do, the longest first."""
    outcomes, waiting = Outcomes(), []
    for run in runs:
        state = load_state(run.folder)
        if state.over:
            outcomes.results[run.folder.name] = state.result
        elif state.outcome == "failed" and run.config["retry"] != "failed":
            outcomes.failures[run.folder.name] = state.problem
        else:
            waiting.append(run)
    outcomes.skipped, outcomes.failed_before = len(outcomes.results), len(outcomes.failures)
    return outcomes, sorted(waiting, key=lambda run: run.task.flops, reverse=True)


def tell(sweep: Plan, outcomes: Outcomes, why_stopped: str | None = None) -> RunsFailed | None:
    """Print a sweep's closing line; what to raise where runs failed or the sweep was stopped, with the table of failures."""
    diverged = sum(result["outcome"] == "diverged" for result in outcomes.results.values())
    missing = len(sweep.runs) - len(outcomes.results) - len(outcomes.failures)
    show(
        f"{sweep.folder}: {len(sweep.runs)} runs, {len(outcomes.results)} done ({outcomes.skipped} of them before), "
        f"{diverged} diverged, {len(outcomes.failures)} failed" + (f", {missing} not finished" if missing else "")
    )
    lines = [f"left out: {line}" for line in sweep.left_out()]
    if outcomes.failures:
        reasons = {run: outcomes.failures[run.folder.name].rstrip() for run in sweep.runs if run.folder.name in outcomes.failures}
        width = max(len(run.label) for run in reasons)
        lines.append(f"{len(reasons)} of {len(sweep.runs)} runs failed; error.txt in a run's folder says more:")
        lines += [f"  {run.folder.name}  {run.label:<{width}}  {one_line((why or '?').splitlines()[-1])}" for run, why in reasons.items()]
    if outcomes.failed_before:
        lines.append(f"{outcomes.failed_before} of them had failed before and were left so; retry=failed tries them again")
    if why_stopped is not None:
        lines.append(why_stopped)
    elif missing:
        lines.append(f"{missing} of {len(sweep.runs)} runs not finished, and another process was at work on them; the same command looks again")
    return RunsFailed("\n".join(lines)) if lines else None
