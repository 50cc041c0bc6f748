"""A sweep from its composed cells to its closing table, or its plan alone: the entry points of the launchers.

The runs are trained by this machine's slots, or handed to another launcher of Hydra; plan and summary are the same.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf

from mixexp.errors import RunsFailed, UserError, show, show_json
from mixexp.plan.changes import stale, to_remake
from mixexp.plan.composer import Composed
from mixexp.plan.loops import loop_of
from mixexp.plan.overrides import for_hydra
from mixexp.plan.plan import Plan, idle_axes, plan
from mixexp.project import project
from mixexp.settings import CONF
from mixexp.sweeping.estimate import GUESS, DurationModel, evaluation_remark, guessed_seconds
from mixexp.sweeping.links import link_by_label
from mixexp.sweeping.one import earlier_end, failures_of, print_notes
from mixexp.sweeping.pool import Outcomes, run_all, slots_for
from mixexp.sweeping.records import AS_JSON, folder_record
from mixexp.sweeping.screen import draw_block, on_terminal
from mixexp.sweeping.status import PlannedRun, RunStatus, State, at_work, describe, keep_plan, plan_name, scan
from mixexp.text import in_shell, one_line
from mixexp.training.folder import headline
from mixexp.training.reader import load_state
from mixexp.training.spec import RunSpec

AT_HOME = ("BasicLauncher", "JoblibLauncher")
"""Launchers whose jobs end with this process; jobs of others, such as a batch system's, may still wait in a queue."""

Train = Callable[[Plan, Sequence[RunSpec], Outcomes], str | None]
"""Trains a sweep's waiting runs and enters their outcomes; returns the reason for an early stop, or None."""

_REPORT_FOLLOWS = contextvars.ContextVar("report_follows", default=False)


@contextlib.contextmanager
def report_follows() -> Iterator[None]:
    """Context in which a sweep does not suggest the report as the next command, since its caller writes the report."""
    token = _REPORT_FOLLOWS.set(True)
    try:
        yield
    finally:
        _REPORT_FOLLOWS.reset(token)


def launch(cells: Sequence[Composed], words: Sequence[Sequence[str]]) -> None:
    """Plan a sweep and train its runs on this machine's slots.

    Raises UserError for cells that cannot run, before any starts, and RunsFailed where runs failed.
    """

    def train(sweep: Plan, waiting: Sequence[RunSpec], outcomes: Outcomes) -> str | None:
        stopped = run_all(waiting, outcomes, DurationModel.from_finished_runs(sweep.folder))
        return "the sweep stopped at the first failure (fail_fast)" if stopped else None

    _run_sweep(cells, words, train)


def launch_with(launcher: Launcher, cells: Sequence[Composed], words: Sequence[Sequence[str]]) -> list[JobReturn]:
    """Plan a sweep and train its runs with a launcher of Hydra, a job for each distinct run.

    Returns Hydra's job returns.
    """
    for cell in cells:  # only the training machine needs the device, and the job looks for it there
        if re.fullmatch(r"mps|cuda(:\d+)?", str(cell.config.device)):
            OmegaConf.update(cell.config, "device", "auto")
    unused = [name for name in ("fail_fast", "hang_minutes") if any(cell.config.get(name) for cell in cells)]
    if unused:
        raise UserError(f"{', '.join(unused)}: only for hydra/launcher=pool; other launchers have limits of their own")
    returns: list[JobReturn] = []

    def train(sweep: Plan, waiting: Sequence[RunSpec], outcomes: Outcomes) -> str | None:
        gave_up = None
        try:
            returns.extend(launcher.launch([list(map(for_hydra, run.words)) for run in waiting], initial_job_idx=0))
        except Exception as error:  # a worker was killed, or there is no cluster: the launcher then reports no job
            gave_up = (
                f"the launcher gave up; the same command continues with what is not finished\n{type(error).__name__}:"
                f" {error}"
            )
        for run, job in itertools.zip_longest(waiting, returns):
            _enter(run, job, outcomes)
        return gave_up

    queue = "" if type(launcher).__name__ in AT_HOME else type(launcher).__name__
    _run_sweep(cells, words, train, slots=1, queue=queue, here=False)
    return returns


def show_plan(cells: Sequence[Composed], words: Sequence[Sequence[str]]) -> None:
    """Print the plan of a sweep, without starting any run; raises UserError for cells that it would refuse."""
    sweep = plan(cells, words)
    again = {folder.name for folder in to_remake(sweep.runs)}
    runs = [
        RunStatus(status.run, State.CHANGED, "made again") if status.run.name in again else status
        for status in scan(sweep.folder, _planned(sweep))
    ]
    to_do = [run for run, status in zip(sweep.runs, runs, strict=True) if status.state.to_do]
    durations = _durations(sweep.folder, to_do)
    notes = [*idle_axes(sweep.runs), *stale(sweep.runs)] if sweep.runs else []
    rule = (sweep.runs[0].config.table or {}).get("rule", "") if sweep.runs else ""
    evaluation = evaluation_remark((loop_of(run.config).work(run.config) for run in to_do), rule)
    remarks = [*[GUESS] * bool(to_do and durations.guessed), *filter(None, [evaluation])]
    if AS_JSON.get():
        about = folder_record(sweep.folder, runs, durations, _slots(sweep) if runs else 1)
        cells_of_plan = {"cells": sweep.cells, "refused": sweep.refused, "left_out": sweep.left_out()}
        show_json("mixexp.plan/1", {**about, **cells_of_plan, "notes": notes, "remarks": remarks})
    elif runs:
        print("".join(f"{line}\n" for line in notes), end="")
        show(describe(sweep.folder, runs, _slots(sweep), [] if sweep.refusals else sweep.counted, durations))
        for remark in remarks:
            show(remark)
    sweep.check()
    if sweep.too_large:
        raise RunsFailed("\n".join(["left out, and the others can run:", *sweep.left_out()]))


def _durations(folder: Path, to_do: Sequence[RunSpec]) -> DurationModel:
    """The durations of a folder's finished runs, or guesses for a processor where these do not cover the runs to do."""
    durations = DurationModel.from_finished_runs(folder)
    if durations.total(((run.task, 1.0) for run in to_do), 1) is not None or any(
        run.task.device != "cpu" for run in to_do
    ):
        return durations
    guesses = DurationModel(guessed=True)
    for run in to_do:
        guesses.observe(run.task, guessed_seconds(loop_of(run.config).work(run.config), run.config.threads))
    return guesses


def _run_sweep(
    cells: Sequence[Composed],
    words: Sequence[Sequence[str]],
    train: Train,
    slots: int | None = None,
    queue: str = "",
    here: bool = True,
) -> None:
    """Plan a sweep, record its plan, train the runs to do, and print the summary.

    slots: by default the pool's; queue: the launcher whose jobs may outlive this process. here: whether this machine is
    to train the runs.
    """
    sweep = plan(cells, words, here)
    sweep.check()
    print("".join(f"{line}\n" for line in sweep.counted), end="")
    print_notes(sweep.runs, alone=sweep.cells == 1)
    runs = _planned(sweep)
    with at_work(sweep.folder, plan_name(runs)):
        keep_plan(sweep.folder, sweep.cells, runs, slots or _slots(sweep), queue)
        outcomes, waiting = partition_runs(sweep.runs)
        why_stopped = train(sweep, waiting, outcomes) if waiting else None
    link_by_label(sweep.folder, {run.name: run.label for run in runs})
    _print_summary(sweep, outcomes, why_stopped)
    if not _REPORT_FOLLOWS.get():
        show(f"tables, figures and a page of them: {report_command(sweep.folder, cells[0])}")


def report_command(folder: Path, cell: Composed) -> str:
    """The command that reports a sweep of such cells.

    It names the folder of their experiment unless the program or mixexp.yaml has it.
    """
    experiment, known = f"experiment/{cell.choices.get('experiment')}.yaml", (CONF, *project().config_dirs)
    places = [path for path in map(Path, cell.folders) if path.is_absolute() and (path / experiment).is_file()]
    own_folders = [path for path in places[:1] if path not in known]
    here = Path.cwd()
    names = [str(path.relative_to(here)) if path.is_relative_to(here) else str(path) for path in (folder, *own_folders)]
    return " ".join(map(in_shell, ["mixexp", "report", names[0], *(f"--config-dir={name}" for name in names[1:])]))


def partition_runs(runs: Sequence[RunSpec]) -> tuple[Outcomes, list[RunSpec]]:
    """The outcomes of runs that are over or have finally failed, and the runs to do, the longest first.

    Second stages come after all others, among which their first stages are.
    """
    outcomes, waiting = Outcomes(), []
    again = to_remake(runs)
    for run in runs:
        state = earlier_end(run, again)
        if state is None:
            waiting.append(run)
        elif state.over:
            outcomes.results[run.folder.name] = state.result
        else:
            outcomes.failures[run.folder.name] = state.problem
    outcomes.skipped, outcomes.failed_before = len(outcomes.results), len(outcomes.failures)
    return outcomes, sorted(waiting, key=lambda run: (run.first is not None, -run.task.flops))


def _print_summary(sweep: Plan, outcomes: Outcomes, why_stopped: str | None) -> None:
    """Print a sweep's closing line.

    Raises RunsFailed with the table of failures if runs failed or the sweep stopped.
    """
    diverged = sum(result["outcome"] == "diverged" for result in outcomes.results.values())
    missing = len(sweep.runs) - len(outcomes.results) - len(outcomes.failures)
    total = (
        f"{sweep.folder}: {len(sweep.runs)} run{'s' * (len(sweep.runs) != 1)}, {len(outcomes.results)} done"
        f" ({outcomes.skipped} of them before), {diverged} diverged, {len(outcomes.failures)} failed"
        + (f", {missing} not finished" if missing else "")
    )
    if on_terminal():
        draw_block(total, _ended(sweep, outcomes))
    else:
        show(total)
    lines = [f"left out: {line}" for line in sweep.left_out()]
    if outcomes.failures:
        failed = [(run.folder.name, run.label) for run in sweep.runs if run.folder.name in outcomes.failures]
        lines += failures_of(
            "runs", len(sweep.runs), [(name, label, outcomes.failures[name].rstrip()) for name, label in failed]
        )
        before = (
            f"{outcomes.failed_before} of them had failed before and were left so; " if outcomes.failed_before else ""
        )
        lines.append(f"{before}retry=failed tries them again")
    if why_stopped is not None:
        lines.append(why_stopped)
    elif missing:
        lines.append(
            f"{missing} of {len(sweep.runs)} runs not finished, and another process was at work on them; the same"
            " command checks again"
        )
    if lines:
        raise RunsFailed("\n".join(lines))


def _ended(sweep: Plan, outcomes: Outcomes) -> list[RunStatus]:
    """The state of each run at the end of a sweep."""
    statuses = []
    for run in _planned(sweep):
        result, failure = outcomes.results.get(run.name), outcomes.failures.get(run.name)
        if result is not None:
            state, detail = State.DIVERGED if result["outcome"] == "diverged" else State.DONE, headline(result)
        elif failure is not None:
            state, detail = State.FAILED, one_line(failure.rstrip().rpartition("\n")[2])
        else:
            state, detail = State.MISSING, "not finished"
        statuses.append(RunStatus(run, state, detail))
    return statuses


def _enter(run: RunSpec, job: JobReturn | None, outcomes: Outcomes) -> None:
    """Enter the end of a job: its return value or error, else the record in its folder."""
    name = run.folder.name
    # the property of Hydra would print a line before raising
    returned = job._return_value if job is not None else None
    if job is not None and job.status == JobStatus.FAILED:
        # the kind of error; error.txt has all of it
        outcomes.failures[name] = next(iter(str(returned).splitlines()), "")
    elif returned is not None:
        outcomes.results[name] = returned
    else:
        state = load_state(run.folder)
        if state.over:
            outcomes.results[name] = state.result
        elif state.outcome == "failed":
            outcomes.failures[name] = state.problem


def _planned(sweep: Plan) -> list[PlannedRun]:
    return [PlannedRun(run.folder.name, run.label, run.task) for run in sweep.runs]


def _slots(sweep: Plan) -> int:
    return len(slots_for([run.config for run in sweep.runs]))
