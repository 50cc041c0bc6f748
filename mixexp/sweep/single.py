"""One run by itself, in this process: what a command without -m does, and every job of Hydra's own launchers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from mixexp.errors import RunsFailed, show
from mixexp.record import headline
from mixexp.report.load import load_state
from mixexp.sweep.cells import Composed
from mixexp.sweep.execute import Busy, execute, import_options, stop_on_signals
from mixexp.sweep.plan import Run, idle_words, other_classes, plan, stale
from mixexp.text import escaped


def single(cell: Composed, words: Sequence[str], alone: bool) -> dict[str, Any] | None:
    """Train a cell's run, unless it is over, say how it ended and return its result, None where another process is at it.

    alone: it is no part of a sweep; then to ask for it is to ask for another try where it failed before. Raises UserError.
    """
    if not alone:  # its launcher may give this process other jobs, days later
        import_options()
    planned = plan([cell], [words])
    planned.check()
    (run,) = planned.runs
    if alone:
        print("".join(f"{line}\n" for line in [*other_classes([run]), *idle_words(run), *stale([run])]), end="")
    if alone and run.config["table"] is not None:
        print("note: one run of the experiment; mixexp -m runs its grid")
    state = load_state(run.folder)
    if state.outcome == "failed" and not alone and run.config["retry"] != "failed":
        raise RunsFailed(f"{run.folder}: failed before, {state.problem}; retry=failed tries it again")
    try:
        result = state.result if state.over else _train(run, alone)
    except Busy as busy:
        if alone:
            raise RunsFailed(str(busy)) from None
        print(f"{busy}; it is left to that one")
        return None
    before, figures = "already " if state.over else "", headline(result, ("accuracy", "macro_f1"))
    show(
        f"{run.label}: {before}{result['outcome']}, {figures} at the last of {result['steps']} steps, {result['seconds']:.1f} s\n{run.folder}"
    )
    return result


def _train(run: Run, alone: bool) -> dict[str, Any]:
    hidden = None if alone else True  # None: where there is no terminal; the bars of several jobs would overwrite each other
    with stop_on_signals() as stop, tqdm(desc=run.label, unit="step", disable=hidden) as bar:

        def advance(progress: Any) -> None:
            bar.total = progress.steps
            bar.update(progress.step - bar.n)
            if progress.accuracy is not None:
                bar.set_postfix_str(f"accuracy {progress.accuracy:.4f}", refresh=False)

        return execute(run, advance, stop, note=lambda text: bar.write(escaped(f"{run.label}: {text}"), file=sys.stdout))
