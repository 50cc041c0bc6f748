"""A search: Optuna draws runs one after the other from a space of settings; its study is a file next to the runs.

Several processes may work on one study. Each trial is an ordinary run in a folder of its own. A trial of a dead process
starts again with the same values, and its run continues from its checkpoint. A run that is over is reported to the
study without training.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.trial import TrialState

from mixexp.build import schema_errors
from mixexp.errors import UserError, closest, show
from mixexp.metrics import NAMES
from mixexp.plan.composer import Composed
from mixexp.plan.groups import import_options
from mixexp.plan.plan import plan
from mixexp.plan.space import space_of
from mixexp.plan.unknown import compose_all
from mixexp.spec.search import ENDS, Choices, Pruner, Range, Settings, Trial, best_of, overrides
from mixexp.sweeping.estimate import DurationModel, duration
from mixexp.sweeping.one import Busy, earlier_end, execute_with_bar, planned_run
from mixexp.sweeping.search.study import FILE, Claim, Study
from mixexp.sweeping.search.summary import print_summary
from mixexp.sweeping.signals import stop_on_signals
from mixexp.sweeping.status import at_work
from mixexp.text import in_shell
from mixexp.training.folder import VALIDATION_COLUMNS
from mixexp.training.reader import load_state
from mixexp.training.session import Progress
from mixexp.training.spec import RunConfig, RunSpec

ELSEWHERE_SECONDS = 2.0  # between two checks of trials that other processes work on

Compose = Callable[[Sequence[str]], Composed]
WriteReport = Callable[
    [Path, Sequence[Trial], Mapping[str, float], Settings, Mapping[str, Range | Choices]], list[Path]
]
"""Writes a report of a search into a folder; returns the files' paths.

Arguments: folder, trials, the settings' importances, the search's settings, its space.
"""


@dataclasses.dataclass(frozen=True)
class Search:
    """A search: its space without fixed settings, the overrides of all trials, and a run at the space's lower end."""

    settings: Settings
    space: Mapping[str, Range | Choices]
    words: tuple[str, ...]
    compose: Compose
    lower: RunSpec

    @property
    def folder(self) -> Path:
        """The folder of the runs."""
        return self.lower.folder.parent

    def run(self, values: Mapping[str, Any]) -> RunSpec:
        """The run with these values; raises UserError where it is not valid."""
        drawn = overrides(values)
        words = [*self.words, *drawn]
        return dataclasses.replace(planned_run(self.compose(words), words), label=" ".join(drawn))

    def about(self) -> dict[str, Any]:
        """The facts that identify a search; the number of trials and the pruning are not among them."""
        settings = self.settings.model_dump(include={"metric", "rule", "direction", "seed", "startup_trials"})
        space = {key: held.model_dump() for key, held in self.space.items()}
        return {"config": _without(self.lower.config.values, self.space), "settings": {**settings, "space": space}}

    def describe(self) -> str:
        """A description of the search, in lines."""
        settings, pruner = self.settings, self.settings.pruner
        width = max(map(len, self.space))
        prunes = (
            f"pruned below the median from {pruner['startup_trials']} complete trials and "
            f"{pruner['warmup_evaluations'] + 1} evaluations on"
            if pruner is not None
            else "none is pruned"
        )
        return "\n".join(
            [
                f"search: {settings.trials} trials, {settings.direction} {settings.target}; {prunes}",
                *(f"  {key:<{width}}  {held}" for key, held in self.space.items()),
                f"  every trial: {' '.join(self.words)}",
            ]
        )


def begin(compose: Compose, words: Sequence[str], given: Mapping[str, Any]) -> Search:
    """The search of a command line's overrides and of hydra.sweeper; raises UserError with all errors."""
    if given["space"] == {}:
        example = in_shell("hydra.sweeper.space.optimizer.lr={low:0.001,high:0.1,log:true}")
        raise UserError(f"hydra.sweeper.space: it is empty, so there is nothing to search for; such as {example}")
    errors = schema_errors(Settings, given, "hydra.sweeper")
    if not errors and given["pruner"] is not None:
        errors = schema_errors(Pruner, given["pruner"], "hydra.sweeper.pruner")
    if errors:
        raise UserError("\n".join(errors))
    settings = Settings(**given)
    fixed = {word.lstrip("+~").partition("=")[0] for word in words}
    space = {key: held for key, held in space_of(settings.space).items() if key not in fixed}
    if not space:
        raise UserError(
            f"{', '.join(settings.space)}: given, so there is nothing to search for; without -m, it is one run"
        )
    first = {key: held.ends()[0] for key, held in space.items()}
    tries = [first, {key: held.ends()[-1] for key, held in space.items()}]
    tries += [{**first, key: end} for key, held in space.items() for end in held.ends()[1:-1]]
    cells = [[*words, *overrides(values)] for values in tries]
    planned = plan(compose_all(compose, cells), cells)
    planned.check()
    if planned.runs[0].first is not None or planned.first_stages:
        raise UserError("second_stage: a search has runs of one stage; its best settings can then have a second one")
    errors = _misfits(settings, planned.runs[0].config)
    if errors:
        raise UserError("\n".join(errors))
    return Search(settings, space, tuple(words), compose, planned.runs[0])


def run_search(compose: Compose, words: Sequence[str], given: Mapping[str, Any], write: WriteReport) -> None:
    """Run a search's trials until there are enough, and write its report.

    write: writes the report; the command passes it, so that the search does not depend on figures. Raises UserError,
    and RunsFailed where trials failed.
    """
    import_options()
    search = begin(compose, words, given)
    with stop_on_signals() as stop:
        study = Study(search.folder, search.about(), search.settings)
        print(search.describe())
        if search.lower.config.retry == "failed":
            study.try_failed_again()
        before = study.trials()
        if before:
            print(_standing(search, before))
        with at_work(search.folder, "search"):
            why_stopped = _TrialRunner(study, search, stop).work()
    trials = study.trials()
    with study.lock:  # two processes may end at the same time
        written = write(search.folder / "report", trials, study.importances(), search.settings, search.space)
    print("\n".join(map(str, written)))
    best = best_of(trials, search.settings.direction)
    command = search.run(best.values).words if best is not None else ()
    print_summary(search.folder, trials, before, search.settings, command, why_stopped)


def show_plan(compose: Compose, words: Sequence[str], given: Mapping[str, Any]) -> None:
    """Print the plan and progress of a search, without starting any trial.

    Raises UserError where it would be refused.
    """
    search = begin(compose, words, given)
    trials = Study(search.folder, search.about(), search.settings).trials() if (search.folder / FILE).exists() else []
    print(f"{search.describe()}\n{_standing(search, trials)}")
    best = best_of(trials, search.settings.direction)
    if best is not None:
        print(f"best so far: {best.value:.4f} with {' '.join(overrides(best.values))}  {best.folder}")


def _misfits(settings: Settings, config: RunConfig) -> list[str]:
    """The conflicts between a search and its runs."""
    held_out = VALIDATION_COLUMNS if config.validation else ()
    measured = ("train_loss", "test_loss", *NAMES, *held_out)
    errors = []
    if settings.metric not in measured:
        near = closest(settings.metric, (*measured, *VALIDATION_COLUMNS))
        more = "" if held_out else f"; with validation above 0 also {', '.join(VALIDATION_COLUMNS)}"
        errors.append(f"hydra.sweeper.metric = {settings.metric}: runs measure {', '.join(measured)}{more}.{near}")
    elif (settings.direction == "minimize") != settings.metric.endswith("loss"):
        better = "lower" if settings.metric.endswith("loss") else "higher"
        errors.append(f"hydra.sweeper.direction = {settings.direction}: {settings.metric} is better the {better} it is")
    if settings.rule == "best_validation" and not held_out:
        errors.append("hydra.sweeper.rule = best_validation: no part is held out; it needs validation above 0")
    unused = [
        name for name, unset in (("hang_minutes", None), ("runs_per_device", "auto")) if getattr(config, name) != unset
    ]
    if config.retry == "changed":
        errors.append(
            "retry = changed: for sweeps only; a search keeps what its trials gave, and one under another name=..."
            " makes them anew"
        )
    if unused:
        errors.append(
            f"{', '.join(unused)}: for sweeps only; a search trains one trial at a time in each process that works"
            " on it"
        )
    return errors


def _without(config: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the settings of the search space."""
    left = copy.deepcopy(dict(config))
    for key in keys:
        *parents, name = key.split(".")
        node = left
        for parent in parents:
            node = node[parent]
        node[name] = None
        if key in left["choices"]:
            left["choices"][key] = None
    return left


def _standing(search: Search, trials: Sequence[Trial]) -> str:
    """The number of trials of each kind, and an upper bound of the time left."""
    counts = {name: sum(trial.state == name for trial in trials) for name in (*ENDS, "running")}
    over = [trial for trial in trials if trial.over]
    left = max(search.settings.trials - len(over), 0)
    seconds = DurationModel.from_finished_runs(search.folder).expect(search.lower.task)
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    text = f"{search.folder}: {len(over)} of {search.settings.trials} trials over" + (
        f" ({', '.join(parts)})" if parts else ""
    )
    if left and seconds is not None:
        text += f"; at most about {duration(seconds * left)} left in one process"
    return text


class _Stopped(Exception):
    """The end of a search before its last trial; the message gives the reason."""


class _TrialRunner:
    """This process's part of a search: one trial after the other."""

    def __init__(self, study: Study, search: Search, stop: threading.Event) -> None:
        self._study, self._search, self._stop = study, search, stop
        self._busy: list[Claim] = []

    def work(self) -> str | None:
        """Run trials until all of the search's are over, in other processes too.

        Returns the reason for an early stop.
        """
        try:
            while True:
                if self._stop.is_set():
                    raise KeyboardInterrupt
                claim = self._study.claim(self._search.settings.trials, self._search.space)
                if claim is not None:
                    self._make(claim)
                elif self._busy or self._study.others():
                    self._stop.wait(ELSEWHERE_SECONDS)
                    again, self._busy = self._busy, []
                    for claim in again:
                        self._make(claim)
                else:
                    return None
        except _Stopped as stopped:
            return str(stopped)

    def _make(self, claim: Claim) -> None:
        """Train a trial's run unless it is over, and report its end to the study and, in a line, to the user."""
        try:
            run = self._search.run(claim.values)
        except UserError as error:
            return self._fail(claim, " ".join(overrides(claim.values)), str(error))
        claim.trial.set_user_attr("run", run.folder.name)
        before = earlier_end(run, again=())
        if before is not None and not before.over:
            return self._fail(claim, run.label, f"failed before, {before.problem}", run)
        try:
            result = self._train(claim, run, over=before is not None)
        except Busy:
            self._busy.append(claim)
            return None
        except optuna.TrialPruned:
            at = len(claim.reported)
            claim.tell(TrialState.PRUNED)
            return self._say(
                run.label, f"pruned at evaluation {at}, {self._search.settings.metric} {claim.reported[-1]:.4f}", run
            )
        except KeyboardInterrupt:
            claim.let_go()
            raise
        except Exception as error:
            self._fail(claim, run.label, traceback.format_exception_only(error)[-1].strip(), run)
            if isinstance(error, torch.AcceleratorError):
                raise _Stopped("the device no longer answers; the same command goes on in a new process") from None
            return None
        value = self._search.settings.value(load_state(run.folder).metrics)
        if result["outcome"] != "finished" or not math.isfinite(value):
            claim.tell(TrialState.PRUNED, seconds=result["seconds"], diverged=True)
            return self._say(run.label, "diverged", run)
        claim.tell(TrialState.COMPLETE, value, seconds=result["seconds"])
        best = best_of(self._study.trials(), self._search.settings.direction)
        assert best is not None  # this trial is complete
        return self._say(
            run.label,
            f"{self._search.settings.metric} {value:.4f} (best {best.value:.4f}) {result['seconds']:.1f} s",
            run,
        )

    def _fail(self, claim: Claim, label: str, problem: str, run: RunSpec | None = None) -> None:
        claim.tell(TrialState.FAIL, problem=problem)
        self._say(label, f"FAILED {problem.splitlines()[-1]}", run)
        if self._search.lower.config.fail_fast:
            raise _Stopped("the search stopped at the first failure (fail_fast)")

    def _train(self, claim: Claim, run: RunSpec, over: bool) -> dict[str, Any]:
        """The run's result; raises TrialPruned where the study prunes it, which leaves its checkpoint.

        over: True if the run is already over.
        """
        metrics, size = run.folder / "metrics.csv", -1

        def look(last: bool) -> None:
            claim.report(load_state(run.folder).metrics.get(self._search.settings.metric, ()))
            if not last and claim.hopeless():
                raise optuna.TrialPruned

        def advance(progress: Progress) -> None:
            nonlocal size
            if size != (size := metrics.stat().st_size):
                look(progress.step == progress.steps)

        if not over:
            look(last=False)
        result = execute_with_bar(run, self._stop, advance, disable=None, leave=False)
        look(last=True)
        return result

    def _say(self, label: str, text: str, run: RunSpec | None) -> None:
        over = sum(trial.over for trial in self._study.trials())
        name = "" if run is None else run.folder.name
        show(f"[{over}/{self._search.settings.trials}] {label}: {text}  {name}".rstrip())
