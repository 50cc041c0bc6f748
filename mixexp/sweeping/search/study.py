"""Optuna's study of a search, in a file that several processes may write to: claims and outcomes of trials."""

from __future__ import annotations

import contextlib
import os
import stat
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from mixexp.errors import UserError
from mixexp.plan.identity import differences, run_id
from mixexp.spec.search import Choices, Range, Settings, Trial

FILE, NAME = "study.log", "search"
LOCKS = ".search"
DIGITS = 4
"""Significant digits of a drawn number: enough for any setting, and short on a command line."""
AGAIN = "again"
"""A trial's attribute: the number of the trial that it replaces, with the same values."""

_STATES = {state: state.name.lower() for state in TrialState} | {TrialState.FAIL: "failed"}


class Sampler(optuna.samplers.TPESampler):
    """The tree-structured Parzen estimator over all settings together, with numbers rounded for the command line."""

    def __init__(self, seed: int, startup_trials: int) -> None:
        super().__init__(n_startup_trials=startup_trials, seed=seed, multivariate=True, constant_liar=True)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values for the settings of earlier trials."""
        values = super().sample_relative(study, trial, search_space)
        return {name: _rounded(value, search_space[name]) for name, value in values.items()}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value for one setting, at random to begin with."""
        return _rounded(super().sample_independent(study, trial, param_name, param_distribution), param_distribution)


def _rounded(value: Any, distribution: BaseDistribution) -> Any:
    return rounded(value, distribution.low, distribution.high) if isinstance(distribution, FloatDistribution) else value


class Claim:
    """A trial that this process runs, marked by a lock of the operating system, which ends with the process."""

    def __init__(self, trial: optuna.Trial, lock: FileLock) -> None:
        self.trial, self._lock = trial, lock
        self.values = trial.params
        self.reported: list[float] = []

    def report(self, values: Sequence[float | None]) -> None:
        """Report the new values of a run's evaluations so far."""
        for step in range(len(self.reported), len(values)):
            found = values[step]
            value = float("nan") if found is None else found
            self.trial.report(value, step)
            self.reported.append(value)

    def hopeless(self) -> bool:
        """True if the trial is to be pruned after the reported values."""
        return bool(self.reported) and self.trial.should_prune()

    def tell(self, state: TrialState, value: float | None = None, **facts: Any) -> None:
        """Report the end of the trial, with facts to keep about it, and release it."""
        for name, fact in facts.items():
            self.trial.set_user_attr(name, fact)
        self.trial.study.tell(self.trial, value, state)
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def let_go(self) -> None:
        """Release the trial for another process."""
        self._lock.release()


class Study:
    """The study in a sweep's folder; raises UserError where the folder holds another search or an unreadable file.

    about: the facts that identify a search. The next values depend only on the seed, the number of trials and their
    outcomes, so that an interrupted search continues as it would have.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], settings: Settings) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._settings, pruner = settings, optuna.pruners.NopPruner()
        if settings.pruner is not None:
            pruner = optuna.pruners.MedianPruner(
                settings.pruner["startup_trials"], settings.pruner["warmup_evaluations"]
            )
        self._locks = folder / LOCKS
        self._locks.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self._locks / "study.lock")
        # Optuna's own locks outlive a process that was killed, for half a minute
        journal: Any = FileLock(self._locks / "journal.lock")
        with self.lock:
            with journal:
                _cut_unfinished_line(folder / FILE)
            try:
                storage = JournalStorage(JournalFileBackend(str(folder / FILE), lock_obj=journal))
                if NAME not in optuna.get_all_study_names(storage):
                    optuna.create_study(storage=storage, study_name=NAME, direction=settings.direction)
                self._study = optuna.load_study(storage=storage, study_name=NAME, pruner=pruner)
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{folder / FILE}: cannot be read ({error}); without it, the same command makes the same trials,"
                    " from the runs that are there"
                ) from error
            theirs = self._study.user_attrs.get("about")
            if theirs is None:
                self._study.set_user_attr("about", dict(about))
            elif other := _departures(about, theirs):
                raise UserError(
                    f"{folder}: holds another search ({'; '.join(other)}); give this one a folder of its own, name=..."
                )

    def trials(self) -> list[Trial]:
        """The trials so far, without replaced ones."""
        return [_trial(number, trial) for number, trial in enumerate(self._counted(), start=1)]

    def _counted(self) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False)
        replaced = {trial.user_attrs.get(AGAIN) for trial in trials}
        return [trial for trial in trials if trial.number not in replaced]

    def claim(self, count: int, space: Mapping[str, Range | Choices]) -> Claim | None:
        """The next trial to run: one of a dead process, or a new one while there are fewer than `count`.

        None without any.
        """
        with self.lock:
            self._requeue_the_dead()
            trials = self._counted()
            begun = [trial for trial in trials if trial.state != TrialState.WAITING]
            if len(begun) == len(trials) >= count:
                return None
            place = np.random.SeedSequence([self._settings.seed, len(begun)]).generate_state(1)[0]
            self._study.sampler = Sampler(int(place), self._settings.startup_trials)
            trial = self._study.ask({key: held.distribution() for key, held in space.items()})
            lock = FileLock(self._lock_of(trial.number))
            lock.acquire()
        return Claim(trial, lock)

    def _lock_of(self, number: int) -> Path:
        return self._locks / f"{number}.lock"

    def _requeue_the_dead(self) -> None:
        """Requeue trials of dead processes, with the same values."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            with contextlib.suppress(Timeout), FileLock(self._lock_of(trial.number), timeout=0):
                trials = self._study.get_trials(deepcopy=False)  # it may have ended while its lock was still held
                if trials[trial.number].state != TrialState.RUNNING:
                    continue
                if all(other.user_attrs.get(AGAIN) != trial.number for other in trials):
                    self._study.enqueue_trial(trials[trial.number].params, user_attrs={AGAIN: trial.number})
                self._study.tell(trial.number, state=TrialState.FAIL)
                self._lock_of(trial.number).unlink(missing_ok=True)

    def try_failed_again(self) -> None:
        """Requeue failed trials, with the same values."""
        with self.lock:
            for trial in self._counted():
                if trial.state == TrialState.FAIL:
                    self._study.enqueue_trial(trial.params, user_attrs={AGAIN: trial.number})

    def others(self) -> bool:
        """True if any trial is running."""
        return any(trial.state == TrialState.RUNNING for trial in self._counted())

    def importances(self) -> dict[str, float]:
        """The share of each setting, with its interactions, in the variance of the complete trials' values (fANOVA).

        The largest first; empty where there are fewer than two complete trials, or all have the same value.
        """
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len({trial.value for trial in complete}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        with contextlib.suppress(RuntimeError):  # no tree has split
            return optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {}


def _trial(number: int, trial: FrozenTrial) -> Trial:
    attributes = trial.user_attrs
    diverged = attributes.get("diverged", False)
    return Trial(
        number=number,
        state="diverged" if diverged else _STATES[trial.state],
        value=None if diverged else trial.value,  # for a pruned trial, the value of its last evaluation
        values=trial.params,
        evaluations=len(trial.intermediate_values),
        seconds=attributes.get("seconds"),
        folder=attributes.get("run", ""),
        problem=attributes.get("problem", ""),
    )


def _departures(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """The departures of a search from the one in a folder, in words; empty where they are the same."""
    settings = {key: [value, theirs["settings"].get(key)] for key, value in ours["settings"].items()}
    pairs = {f"hydra.sweeper.{key}": pair for key, pair in settings.items() if pair[0] != pair[1]}
    here, there = ours["config"], theirs["config"]
    if run_id(here) != run_id(there):
        pairs |= differences(here, there)
        pairs |= {key: [here[key], there[key]] for key in ("seed", "data_seed") if here[key] != there[key]}
    return [f"{key} {pair[1]} there and {pair[0]} here" for key, pair in pairs.items()]


def _cut_unfinished_line(path: Path) -> None:
    """Remove an incomplete last line, left by a full disk or a process that died while writing."""
    if not os.path.lexists(path):
        return
    if not stat.S_ISREG(path.lstat().st_mode):  # a pipe would block, and a link would be written through
        raise UserError(
            f"{path}: is not a file; without it, the same command makes the same trials, from the runs that are there"
        )
    with path.open("rb+") as file:
        text = file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            file.truncate(whole)


def rounded(value: float, low: float, high: float) -> float:
    """A number in a range with DIGITS significant digits, clipped to the range."""
    return min(max(float(f"{value:.{DIGITS}g}"), low), high)
