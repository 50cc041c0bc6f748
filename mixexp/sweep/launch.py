"""A sweep from composed cells to its closing table; what the pool launcher calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from mixexp.errors import RunsFailed
from mixexp.sweep.plan import plan
from mixexp.sweep.pool import run_all


def launch(composed: Sequence[DictConfig], overrides: Sequence[Sequence[str]]) -> RunsFailed | None:
    """Plan and run a sweep, say what was skipped, collapsed and failed, and return the failure, if any, for Hydra to raise."""
    runs = plan(composed, overrides)
    folder = runs[0].folder.parent
    if len(runs) < len(composed):
        print(f"{len(composed)} cells are {len(runs)} different runs: cells that act alike run once")
    outcomes = run_all(runs)
    diverged = sum(result["outcome"] == "diverged" for result in outcomes.results.values())
    print(
        f"{folder}: {len(runs)} runs, {len(outcomes.results)} done ({outcomes.skipped} of them before), "
        f"{diverged} diverged, {len(outcomes.failures)} failed"
    )
    if not outcomes.failures:
        return None
    lines = [f"  {Path(name).name}  {reason.rstrip().splitlines()[-1]}" for name, reason in outcomes.failures.items()]
    return RunsFailed("\n".join([f"{len(outcomes.failures)} of {len(runs)} runs failed; error.txt in a run's folder says more:", *lines]))
