"""A search: Optuna draws the runs one after the other from a space of settings; its study is a file beside the runs' folders.

Several processes may work on one study. Each trial is an ordinary run in a folder of its own. A trial whose process has died is
begun again with the same values, and its run goes on from its checkpoint; a run that is over is told to the study, not trained.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import optuna
import torch
from optuna.trial import TrialState
from pydantic import BaseModel, ConfigDict, Field
from tqdm import tqdm

from mixexp.build import schema_errors
from mixexp.errors import RunsFailed, UserError, closest, show
from mixexp.metrics import NAMES
from mixexp.record import VALIDATION_COLUMNS
from mixexp.report.load import load_state
from mixexp.report.scores import RULES, select
from mixexp.sweep.cells import Composed
from mixexp.sweep.execute import Busy, execute, import_options, stop_on_signals
from mixexp.sweep.grid import as_override
from mixexp.sweep.pace import duration, past
from mixexp.sweep.plan import Run, plan
from mixexp.sweep.search_report import Trial, best_of, closing, write
from mixexp.sweep.space import Choices, Range, space_of
from mixexp.sweep.study import Claim, Study
from mixexp.sweep.survey import at_work
from mixexp.sweep.unknown import compose_all
from mixexp.text import escaped, in_shell
from mixexp.train import Progress

ELSEWHERE_SECONDS = 2.0  # between two looks at trials that other processes work on

Compose = Callable[[Sequence[str]], Composed]
Natural = Annotated[int, Field(ge=0)]


class Pruner(BaseModel):
    """When a trial is given up: below the median of those before at the same evaluation, but for the first so many of each."""

    model_config = ConfigDict(extra="forbid", strict=True)

    startup_trials: Natural
    warmup_evaluations: Natural


class Settings(BaseModel):
    """What hydra.sweeper holds of a search."""

    model_config = ConfigDict(extra="forbid", strict=True)

    space: Annotated[dict[str, Any], Field(min_length=1)]
    metric: str
    rule: Literal["last", "median_last_10", "best", "best_validation"]
    direction: Literal["maximize", "minimize"]
    trials: Annotated[int, Field(gt=0)]
    seed: Natural
    startup_trials: Natural
    pruner: dict[str, Any] | None

    @property
    def target(self) -> str:
        """The quantity in words."""
        return f"{self.metric}, {RULES[self.rule]}"

    def value(self, metrics: Mapping[str, Sequence[float | None]]) -> float:
        """A run's value, from the columns of its metrics.csv; NaN where it has none."""
        found = [math.nan if value is None else value for value in metrics.get(self.metric, ())]
        if not found or not all(map(math.isfinite, found)):
            return math.nan
        better = "higher" if self.direction == "maximize" else "lower"
        return select(found, self.rule, better, [value or 0.0 for value in metrics.get("val_accuracy", ())])


@dataclasses.dataclass(frozen=True)
class Search:
    """What is searched: the space without what the command line fixes, the overrides of every trial, and a run at its lower end."""

    settings: Settings
    space: Mapping[str, Range | Choices]
    words: tuple[str, ...]
    compose: Compose
    lower: Run

    @property
    def folder(self) -> Path:
        """The folder of the runs."""
        return self.lower.folder.parent

    def run(self, values: Mapping[str, Any]) -> Run:
        """The run with these values; raises UserError where it cannot be."""
        drawn = _assigned(values)
        words = [*self.words, *drawn]
        planned = plan([self.compose(words)], [words])
        planned.check()
        return dataclasses.replace(planned.runs[0], label=" ".join(drawn))

    def about(self) -> dict[str, Any]:
        """What makes two searches the same one, however many trials they have and however they prune."""
        settings = self.settings.model_dump(include={"metric", "rule", "direction", "seed", "startup_trials"})
        space = {key: held.model_dump() for key, held in self.space.items()}
        return {"config": _without(self.lower.config, self.space), "settings": {**settings, "space": space}}

    def describe(self) -> str:
        """What is searched for, in lines."""
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
    """A search from the command line's overrides and what hydra.sweeper holds; raises UserError for all that cannot run."""
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
        raise UserError(f"{', '.join(settings.space)}: given, so there is nothing to search for; without -m, it is one run")
    first = {key: held.ends()[0] for key, held in space.items()}
    tries = [first, {key: held.ends()[-1] for key, held in space.items()}]
    tries += [{**first, key: end} for key, held in space.items() for end in held.ends()[1:-1]]
    cells = [[*words, *_assigned(values)] for values in tries]
    planned = plan(compose_all(compose, cells), cells)
    planned.check()
    errors = _misfits(settings, planned.runs[0].config)
    if errors:
        raise UserError("\n".join(errors))
    return Search(settings, space, tuple(words), compose, planned.runs[0])


def search(compose: Compose, words: Sequence[str], given: Mapping[str, Any]) -> RunsFailed | None:
    """Make a search's trials until there are as many as wanted, write its report, and return the failure, if any, to raise."""
    _quiet()
    import_options()
    wanted = begin(compose, words, given)
    with stop_on_signals() as stop:
        study = _study(wanted)
        print(wanted.describe())
        if wanted.lower.config["retry"] == "failed":
            study.try_failed_again()
        before = study.trials()
        if before:
            print(_standing(wanted, before))
        with at_work(wanted.folder, "search"):
            why_stopped = _Worker(study, wanted, stop).work()
    trials = study.trials()
    with study.lock:  # two processes may end at the same time
        written = write(wanted.folder / "report", trials, study.importances(), wanted.settings, wanted.space)
    print("\n".join(map(str, written)))
    best = best_of(trials, wanted.settings.direction)
    command = wanted.run(best.values).words if best is not None else ()
    return closing(wanted.folder, trials, before, wanted.settings, command, why_stopped)


def show_plan(compose: Compose, words: Sequence[str], given: Mapping[str, Any]) -> None:
    """Print what a search would do and how far it is, without starting any trial; raises UserError where it would be refused."""
    _quiet()
    wanted = begin(compose, words, given)
    trials = _study(wanted).trials() if Study.exists(wanted.folder) else []
    print(f"{wanted.describe()}\n{_standing(wanted, trials)}")
    best = best_of(trials, wanted.settings.direction)
    if best is not None:
        print(f"best so far: {best.value:.4f} with {' '.join(_assigned(best.values))}  {best.folder}")


def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def _assigned(values: Mapping[str, Any]) -> list[str]:
    return [f"{key}={as_override(value)}" for key, value in values.items()]


def _misfits(settings: Settings, config: Mapping[str, Any]) -> list[str]:
    """What does not go together in a search and its runs."""
    held_out = VALIDATION_COLUMNS if config["validation"] else ()
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
    idle = [name for name, unset in (("hang_minutes", None), ("runs_per_device", "auto")) if config[name] != unset]
    if idle:
        errors.append(f"{', '.join(idle)}: of sweeps alone; a search trains one trial at a time in each process that works on it")
    return errors


def _without(config: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the settings that are searched for."""
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


def _study(wanted: Search) -> Study:
    settings = wanted.settings
    pruner = optuna.pruners.NopPruner()
    if settings.pruner is not None:
        pruner = optuna.pruners.MedianPruner(settings.pruner["startup_trials"], settings.pruner["warmup_evaluations"])
    return Study(wanted.folder, wanted.about(), settings.direction, settings.seed, settings.startup_trials, pruner)


def _standing(wanted: Search, trials: Sequence[Trial]) -> str:
    """How many trials there are of each kind, and the time that the rest will take at most."""
    counts = {name: sum(trial.state == name for trial in trials) for name in ("complete", "pruned", "diverged", "failed", "running")}
    over = [trial for trial in trials if trial.over]
    left = max(wanted.settings.trials - len(over), 0)
    seconds = past(wanted.folder).expect(wanted.lower.task)
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    text = f"{wanted.folder}: {len(over)} of {wanted.settings.trials} trials over" + (f" ({', '.join(parts)})" if parts else "")
    if left and seconds is not None:
        text += f"; at most about {duration(seconds * left)} left in one process"
    return text


class _Stopped(Exception):
    """The search ends before its last trial; the message says why."""


class _Worker:
    """This process's part of a search: one trial after the other."""

    def __init__(self, study: Study, wanted: Search, stop: threading.Event) -> None:
        self._study, self._wanted, self._stop = study, wanted, stop
        self._busy: list[Claim] = []

    def work(self) -> str | None:
        """Make trials until there are as many as wanted and all are over, those of other processes too; why it stopped before."""
        try:
            while True:
                if self._stop.is_set():
                    raise KeyboardInterrupt
                claim = self._study.claim(self._wanted.settings.trials, self._wanted.space)
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
        """Train a trial's run unless it is over, and tell the study what came of it, and the user in a line."""
        try:
            run = self._wanted.run(claim.values)
        except UserError as error:
            return self._fail(claim, " ".join(_assigned(claim.values)), str(error))
        claim.note("run", run.folder.name)
        state = load_state(run.folder)
        if state.outcome == "failed" and run.config["retry"] != "failed":
            return self._fail(claim, run.label, f"failed before, {state.problem}", run)
        try:
            result = self._train(claim, run)
        except Busy:
            self._busy.append(claim)
            return None
        except optuna.TrialPruned:
            at = len(claim.reported)
            claim.tell(TrialState.PRUNED)
            return self._say(run.label, f"pruned at evaluation {at}, {self._wanted.settings.metric} {claim.reported[-1]:.4f}", run)
        except KeyboardInterrupt:
            claim.let_go()
            raise
        except Exception as error:
            self._fail(claim, run.label, traceback.format_exception_only(error)[-1].strip(), run)
            if isinstance(error, torch.AcceleratorError):
                raise _Stopped("the device answers no more; the same command goes on in a new process") from None
            return None
        value = self._wanted.settings.value(load_state(run.folder).metrics)
        claim.note("seconds", result["seconds"])
        if result["outcome"] != "finished" or not math.isfinite(value):
            claim.note("diverged", True)
            claim.tell(TrialState.PRUNED)
            return self._say(run.label, "diverged", run)
        claim.tell(TrialState.COMPLETE, value)
        best = best_of(self._study.trials(), self._wanted.settings.direction)
        return self._say(run.label, f"{self._wanted.settings.metric} {value:.4f} (best {best.value:.4f}) {result['seconds']:.1f} s", run)

    def _fail(self, claim: Claim, label: str, problem: str, run: Run | None = None) -> None:
        claim.note("problem", problem)
        claim.tell(TrialState.FAIL)
        self._say(label, f"FAILED {problem.splitlines()[-1]}", run)
        if self._wanted.lower.config["fail_fast"]:
            raise _Stopped("the search stopped at the first failure (fail_fast)")

    def _train(self, claim: Claim, run: Run) -> dict[str, Any]:
        """The run's result; raises TrialPruned where the study gives it up, which leaves its checkpoint."""
        metrics, size = run.folder / "metrics.csv", -1

        def look(last: bool) -> None:
            claim.report(load_state(run.folder).metrics.get(self._wanted.settings.metric, ()))
            if not last and claim.hopeless():
                raise optuna.TrialPruned

        with tqdm(desc=run.label, unit="step", disable=None, leave=False) as bar:

            def advance(progress: Progress) -> None:
                nonlocal size
                bar.total = progress.steps
                bar.update(progress.step - bar.n)
                if size != (size := metrics.stat().st_size):
                    look(progress.step == progress.steps)

            if not load_state(run.folder).over:
                look(last=False)
            result = execute(run, advance, self._stop, note=lambda text: bar.write(escaped(f"{run.label}: {text}"), file=sys.stdout))
        look(last=True)
        return result

    def _say(self, label: str, text: str, run: Run | None) -> None:
        over = sum(trial.over for trial in self._study.trials())
        show(f"[{over}/{self._wanted.settings.trials}] {label}: {text}  {run.folder.name if run is not None else ''}".rstrip())
