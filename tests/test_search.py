"""Searches: ordinary runs drawn by Optuna, that go on after any interruption, by several processes, and what they
leave."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import shlex
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hydra
import numpy as np
import optuna
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from hypothesis import given, settings
from hypothesis import strategies as st
from test_faults import MY_FAULTS, STOPPED, WORDS, begin, end, mixexp, stamps, table, until

from mixexp.errors import RunsFailed, UserError
from mixexp.plan.compose import explained
from mixexp.plan.composer import Composer
from mixexp.plan.overrides import loaded_groups
from mixexp.plan.space import space_of
from mixexp.reporting.search import history, importance, slices, write_search
from mixexp.reporting.write import write_report
from mixexp.settings import CONF
from mixexp.spec.search import Range, Settings, Trial, best_of
from mixexp.sweeping.one import single
from mixexp.sweeping.search import search as searching
from mixexp.sweeping.search.search import run_search, show_plan
from mixexp.sweeping.search.study import DIGITS, Study, rounded
from mixexp.sweeping.status import status
from mixexp.training.reader import load_runs

SPACE = {"optimizer.lr": {"low": 1e-3, "high": 0.5, "log": True}, "batch_size": {"low": 32, "high": 64, "step": 16}}
SEARCH = {
    **{"space": SPACE, "metric": "val_accuracy", "rule": "last", "direction": "maximize", "trials": 4, "seed": 0},
    **{"startup_trials": 3, "pruner": None},
}
BASE = ("model.width=4", "epochs=3", "validation=0.3", "subset=head", "subset.n=300")
SLOW = (
    *(
        "-m",
        *WORDS,
        "loss.way=slow",
        "validation=0.2",
        "checkpoint_seconds=0",
        "hydra/sweeper=search",
        "hydra.sweeper.trials=4",
    ),
    *("hydra.sweeper.metric=val_accuracy", "++hydra.sweeper.space={optimizer.lr: {low: 0.001, high: 0.5, log: true}}"),
)
STEPS = 20  # of a run of these, on 153 of 192 images


def settled(folder: Path) -> Path:
    """A working directory with a user's own data set and loss, which breaks on demand and counts its steps."""
    (folder / "my_faults.py").write_text(MY_FAULTS)
    options = {
        "dataset/patches": "_target_: my_faults.Patches\n",
        "loss/fragile": "_target_: my_faults.Fragile\nway: fine\n",
    }
    for name, text in options.items():
        path = folder / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(f"# One's own.\n{text}")
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return settled(tmp_path)


@contextlib.contextmanager
def composing() -> Iterator[Composer]:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        groups = loaded_groups()
        yield Composer(lambda words: hydra.compose("config", overrides=words, return_hydra_config=True), groups)


def searched(folder: Path, *words: str, figures: bool = False, **changes: Any) -> RunsFailed | None:
    """How a search on the digits fails, None where it does not; figures: whether they are saved."""
    with composing() as compose, pytest.MonkeyPatch.context() as patch:
        if not figures:
            patch.setattr("mixexp.reporting.search.save", lambda figure, path: [])
        try:
            return run_search(compose, [*BASE, f"output_dir={folder}", *words], {**SEARCH, **changes}, write_search)
        except RunsFailed as failure:
            return failure


def planned(folder: Path, *words: str, **changes: Any) -> None:
    with composing() as compose:
        show_plan(compose, [*BASE, f"output_dir={folder}", *words], {**SEARCH, **changes})


def rows_of(folder: Path) -> list[dict[str, str]]:
    """trials.csv, without the column that a clock fills."""
    with (folder / "report" / "trials.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def column(run: Path, name: str) -> list[float]:
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


# --- what a search makes ---


def test_trials_are_ordinary_runs_and_a_search_goes_on_as_if_it_had_not_ended(tmp_path, capsys):
    sweep = tmp_path / "runs"
    assert searched(tmp_path, trials=3) is None
    first, before = rows_of(sweep), {row["folder"]: stamps(sweep / row["folder"]) for row in rows_of(sweep)}
    assert searched(tmp_path, trials=6) is None
    rows = rows_of(sweep)
    assert [row["number"] for row in rows] == [str(number) for number in range(1, 7)] and rows[:3] == first
    assert {name: stamps(sweep / name) for name in before} == before, "no finished run is touched"
    for row in rows:
        run = sweep / row["folder"]
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert (config["optimizer"]["lr"], config["batch_size"]) == (float(row["optimizer.lr"]), int(row["batch_size"]))
        assert config["epochs"] == 3 and config["validation"] == 0.3
        assert row["state"] == "complete" and float(row["value"]) == column(run, "val_accuracy")[-1]
        assert int(row["evaluations"]) == len(column(run, "step"))
        assert len(row["optimizer.lr"].replace("0.", "").lstrip("0")) <= DIGITS
    assert len({row["folder"] for row in rows}) == 6

    # the command that it closes with names the best run
    output = capsys.readouterr().out
    best = max(rows, key=lambda row: float(row["value"]))
    command = shlex.split(output.splitlines()[-1])
    assert command[0] == "mixexp"
    with composing() as compose:
        again = single(compose(command[1:]), command[1:], alone=True)
    assert again == json.loads((sweep / best["folder"] / "result.json").read_text())
    assert "already finished" in capsys.readouterr().out

    # another search in one go draws the same
    other = tmp_path / "other"
    searched(other, trials=6)
    assert rows_of(other / "runs") == rows


def test_a_lost_study_is_made_again_from_the_runs_that_are_there(tmp_path, capsys):
    searched(tmp_path, trials=4)
    rows, sweep = rows_of(tmp_path / "runs"), tmp_path / "runs"
    before = {row["folder"]: stamps(sweep / row["folder"]) for row in rows}
    (sweep / "study.log").write_text("no study\n")
    with pytest.raises(
        UserError, match=r"study\.log: cannot be read .* without it, the same command makes the same trials"
    ):
        searched(tmp_path, trials=4)
    (sweep / "study.log").unlink()
    searched(tmp_path, trials=4)
    assert rows_of(sweep) == rows and {name: stamps(sweep / name) for name in before} == before


def test_a_line_that_was_not_finished_is_no_loss(tmp_path):
    searched(tmp_path, trials=2)
    before = rows_of(tmp_path / "runs")
    with (tmp_path / "runs" / "study.log").open("ab") as file:
        file.write(b'{"op_code":5,"worker')
    searched(tmp_path, trials=3)
    assert rows_of(tmp_path / "runs")[:2] == before and len(rows_of(tmp_path / "runs")) == 3


def test_what_a_command_line_fixes_is_not_searched(tmp_path):
    searched(tmp_path, "batch_size=48", trials=3)
    rows = rows_of(tmp_path / "runs")
    assert "batch_size" not in rows[0] and "optimizer.lr" in rows[0]
    assert {run.config["batch_size"] for run in load_runs(tmp_path / "runs")} == {48}
    with pytest.raises(UserError, match=r"optimizer\.lr, batch_size: given, so there is nothing to search for"):
        searched(tmp_path, "batch_size=48", "optimizer.lr=0.1")


@pytest.fixture(scope="module")
def one_trial(tmp_path_factory) -> Path:
    """The folder of a search with one trial."""
    folder = tmp_path_factory.mktemp("one")
    searched(folder, trials=1)
    return folder


@pytest.mark.parametrize(
    "words, changes, there",
    [
        (("epochs=2",), {}, "epochs 3 there and 2 here"),
        (("seed=1",), {}, "seed 0 there and 1 here"),
        (("mix=mixup",), {}, "mix none there and mixup here"),
        (("batch_size=32",), {}, "hydra.sweeper.space .* there and .* here"),
        ((), {"seed": 1}, "hydra.sweeper.seed 0 there and 1 here"),
        (
            (),
            {"metric": "val_loss", "direction": "minimize"},
            "hydra.sweeper.metric val_accuracy there and val_loss here",
        ),
    ],
)
def test_values_that_cannot_be_compared_are_never_in_one_study(words, changes, there, one_trial):
    with pytest.raises(UserError, match=rf"holds another search \(.*{there}.*name=\.\.\."):
        searched(one_trial, *words, trials=1, **changes)


# --- interruptions ---


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[list[dict[str, str]], dict[str, list[list[str]]]]:
    """trials.csv and the runs' metrics of a search that nothing has disturbed."""
    folder = settled(tmp_path_factory.mktemp("undisturbed"))
    code, output, errors = mixexp(folder, *SLOW)
    assert code == 0, errors
    sweep = folder / "outputs" / "runs"
    assert "4 trials, 4 complete, 0 pruned, 0 diverged, 0 failed (0 of them before)" in output
    assert len((folder / "steps.slow").read_bytes()) == 4 * STEPS
    return rows_of(sweep), {row["folder"]: table(sweep / row["folder"]) for row in rows_of(sweep)}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_a_search_that_was_stopped_in_mid_trial_goes_on_where_it_was(number, undisturbed, place):
    sweep = place / "outputs" / "runs"
    process = begin(place, *SLOW, faults=True)  # slowly
    until(
        lambda: len(list(sweep.glob("*/result.json"))) == 1 and len((place / "steps.slow").read_bytes()) > STEPS + 7,
        process,
    )
    os.kill(process.pid, number)
    code, _, errors = end(process)
    assert (code, errors) == ((-number, "") if number == signal.SIGKILL else (130, STOPPED))
    (finished,) = (path.parent for path in sweep.glob("*/result.json"))
    before = stamps(finished)

    code, output, errors = mixexp(place, *SLOW)
    assert code == 0, errors
    assert "4 trials, 4 complete, 0 pruned, 0 diverged, 0 failed (1 of them before)" in output
    assert "goes on at step" in output
    assert stamps(finished) == before
    rows, tables = undisturbed
    assert rows_of(sweep) == rows, "the same trials with the same values"
    assert {row["folder"]: table(sweep / row["folder"]) for row in rows} == tables
    assert 4 * STEPS <= len((place / "steps.slow").read_bytes()) <= 4 * STEPS + 1, (
        "but the step it died in, none is made twice"
    )


def test_two_processes_share_a_search(undisturbed, place):
    both = [begin(place, *SLOW, faults=True) for _ in range(2)]
    ends = [end(process) for process in both]
    assert [code for code, _, _ in ends] == [0, 0], ends
    sweep = place / "outputs" / "runs"
    rows = rows_of(sweep)
    assert len(rows) == 4 and {row["state"] for row in rows} == {"complete"}
    assert len((place / "steps.slow").read_bytes()) == STEPS * len({row["folder"] for row in rows}), (
        "no run is trained twice"
    )
    told = [line for _, output, _ in ends for line in output.splitlines() if line.startswith("[")]
    assert len(told) == 4, "each trial by one of them"
    assert all("4 trials, 4 complete" in output for _, output, _ in ends), "who is done first waits for the other"


def test_a_run_that_another_process_works_on_is_left_to_it_and_told_when_it_is_over(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(searching, "ELSEWHERE_SECONDS", 0.01)
    train, asked = searching.execute_with_bar, []

    def busy_twice(run: Any, *arguments: Any, **more: Any) -> Any:
        asked.append(run.folder.name)
        if asked[0] == run.folder.name and asked.count(run.folder.name) < 3:
            raise searching.Busy
        return train(run, *arguments, **more)

    monkeypatch.setattr(searching, "execute_with_bar", busy_twice)
    assert searched(tmp_path, trials=3) is None
    rows = rows_of(tmp_path / "runs")
    assert [row["state"] for row in rows] == ["complete"] * 3 and rows[0]["folder"] == asked[0]
    assert asked[:3] == [row["folder"] for row in rows], "another trial is asked for meanwhile"
    assert asked[3:] == [asked[0]] * 2


# --- trials that do not end well ---


def test_a_failing_trial_costs_itself_alone_and_is_mended_by_retry(place):
    words = [word for word in SLOW if "loss.way" not in word and "trials" not in word]
    words[-1] = words[-1].removesuffix("}") + ", loss.way: {choices: [fine, raise]}}"
    words += ["hydra.sweeper.trials=5", "hydra.sweeper.seed=1"]
    sweep = place / "outputs" / "runs"

    code, output, errors = mixexp(place, *words, faults=True)
    rows = rows_of(sweep)
    failed = [row for row in rows if row["loss.way"] == "raise"]
    assert 0 < len(failed) < 5 == len(rows), "choose another seed"
    assert all(row["state"] == ("failed" if row in failed else "complete") for row in rows)
    assert code == 1 and f"{len(failed)} of 5 trials failed" in errors and "Traceback" not in errors
    assert (
        f"5 trials, {5 - len(failed)} complete, 0 pruned, 0 diverged, {len(failed)} failed (0 of them before)" in output
    )
    for row in failed:
        assert row["problem"] == "RuntimeError: it broke"
        assert any(row["folder"] in line and "RuntimeError: it broke" in line for line in errors.splitlines())
        assert any(row["folder"] in line and "FAILED RuntimeError: it broke" in line for line in output.splitlines()), (
            "said at once"
        )
        assert "it broke" in (sweep / row["folder"] / "error.txt").read_text()

    before = {row["folder"]: stamps(sweep / row["folder"]) for row in rows}
    code, output, errors = mixexp(place, *words)
    assert code == 1 and "(5 of them before)" in output and f"{len(failed)} of 5 trials failed" in errors, (
        "left as they are"
    )
    assert {name: stamps(sweep / name) for name in before} == before

    code, output, errors = mixexp(place, *words, "retry=failed")
    assert code == 0 and "5 trials, 5 complete, 0 pruned, 0 diverged, 0 failed" in output, errors
    assert {row["folder"] for row in rows_of(sweep)} == {row["folder"] for row in rows}
    kept = [row["folder"] for row in rows if row not in failed]
    assert {name: stamps(sweep / name) for name in kept} == {name: before[name] for name in kept}


def test_fail_fast_ends_a_search_and_a_trial_that_cannot_be_is_a_failure(tmp_path, monkeypatch):
    def breaks(*_: Any, **__: Any) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setattr(searching, "execute_with_bar", breaks)
    failure = searched(tmp_path, "fail_fast=true")
    assert "the search stopped at the first failure" in str(failure) and len(rows_of(tmp_path / "runs")) == 1
    failure = searched(tmp_path / "all", trials=3)
    assert str(failure).startswith("3 of 3 trials failed"), "a search of nothing but failures ends too"
    monkeypatch.undo()

    # each choice is tried beside the first of the others, and not with all of them
    space = {
        "sampling": {"choices": ["oversample", "natural"]},
        "loss.class_weights": {"choices": ["none", "balanced"]},
    }
    failure = searched(tmp_path / "refused", trials=8, space=space, startup_trials=8)
    rows = rows_of(tmp_path / "refused" / "runs")
    both = [row for row in rows if (row["sampling"], row["loss.class_weights"]) == ("oversample", "balanced")]
    assert [row for row in rows if row["state"] == "failed"] == both != []
    assert all("both correct for class sizes" in row["problem"] for row in both)
    assert f"{len(both)} of 8 trials failed" in str(failure) and len(both) < 8


def test_a_run_that_diverged_is_told_so_and_is_never_the_best(tmp_path):
    assert (
        searched(tmp_path, trials=4, space={"optimizer.lr": {"choices": [1e18, 0.05]}}, startup_trials=4, seed=3)
        is None
    )
    rows = rows_of(tmp_path / "runs")
    states = {row["optimizer.lr"]: row["state"] for row in rows}
    assert states == {"1e+18": "diverged", "0.05": "complete"}
    assert all((row["value"] == "") == (row["state"] == "diverged") for row in rows)


def test_hopeless_trials_are_pruned_and_their_runs_can_be_finished(tmp_path, capsys):
    space = {"optimizer.lr": {"choices": [1e-7, 0.05, 0.06, 0.07, 0.08]}}
    words = ("epochs=6", "batch_size=16", "checkpoint_seconds=1000")
    pruner = {"startup_trials": 2, "warmup_evaluations": 2}
    searched(tmp_path, *words, space=space, trials=9, startup_trials=9, pruner=pruner)
    sweep = tmp_path / "runs"
    rows = rows_of(sweep)
    output = capsys.readouterr().out
    hopeless = [row for number, row in enumerate(rows) if row["optimizer.lr"] == "1e-07" and number >= 2]
    assert hopeless and all(row["state"] == "pruned" for row in hopeless), "choose another seed"
    courses: list[list[float]] = []  # of the complete trials so far
    told: set[str] = set()
    for row in rows:
        course = column(sweep / row["folder"], "val_accuracy")
        if row["state"] == "complete":
            assert len(course) == 6
            trained = row["folder"] not in told  # else it is told what is there
            for at in range(2, 6 - 1):
                assert (
                    not trained
                    or len(courses) < 2
                    or max(course[: at + 1]) >= statistics.median(other[at] for other in courses)
                )
            courses.append(course)
            told.add(row["folder"])
        else:
            at = int(row["evaluations"]) - 1
            assert 2 <= at == len(course) - 1 < 5 and float(row["value"]) == course[-1]
            assert max(course) < statistics.median(other[at] for other in courses)
            for before in range(2, at):
                assert max(course[: before + 1]) >= statistics.median(other[before] for other in courses), (
                    "at the first chance"
                )
            assert f"pruned at evaluation {at + 1}, val_accuracy {course[-1]:.4f}  {row['folder']}" in output
            assert (sweep / row["folder"] / "checkpoint.pt").exists() and not (
                sweep / row["folder"] / "result.json"
            ).exists()

    # an unfinished run to all that looks at it, and one that can be finished
    name = hopeless[0]["folder"]
    (line,) = [line for line in status(sweep).splitlines() if line.startswith(name)]
    assert "interrupted" in line and "continues from its checkpoint" in line
    write_report([sweep])
    assert f"| unfinished | {name} |" in (sweep / "report" / "table.md").read_text()
    before = column(sweep / name, "val_accuracy")
    words = [*BASE, *words, "optimizer.lr=1e-7", f"output_dir={tmp_path}"]
    with composing() as compose:
        single(compose(words), words, alone=True)
    assert (
        column(sweep / name, "val_accuracy")[: len(before)] == before and len(column(sweep / name, "val_accuracy")) == 6
    )
    assert "goes on at step" in capsys.readouterr().out


# --- the study, without training ---


def study_of(folder: Path, seed: int = 0, startup_trials: int = 5, about: Mapping[str, Any] | None = None) -> Study:
    about = {"config": {}, "settings": {"space": {}}} if about is None else about
    return Study(folder, about, Settings(**{**SEARCH, "seed": seed, "startup_trials": startup_trials}))


PARABOLA = space_of(
    {
        "x": {"low": -1.0, "high": 1.0},
        "idle": {"low": 0.001, "high": 1.0, "log": True},
        "n": {"low": 1, "high": 9, "step": 2},
    }
)


def played(study: Study, count: int) -> list[Trial]:
    """The trials after a search for the top of a parabola in x, on which nothing else acts."""
    while (claim := study.claim(count, PARABOLA)) is not None:
        claim.tell(optuna.trial.TrialState.COMPLETE, 1 - claim.values["x"] ** 2)
    return study.trials()


@pytest.fixture
def no_departures(monkeypatch):
    monkeypatch.setattr("mixexp.sweeping.search.study._departures", lambda ours, theirs: [])


def test_what_is_drawn_depends_on_seed_and_course_alone(tmp_path, no_departures):
    whole = played(study_of(tmp_path / "whole"), 20)
    played(study_of(tmp_path / "parts"), 7)
    assert played(study_of(tmp_path / "parts"), 20) == whole
    assert played(study_of(tmp_path / "other", seed=1), 20)[0].values != whole[0].values
    assert len({tuple(trial.values.items()) for trial in whole}) == 20, "nothing is drawn twice"
    assert all(PARABOLA[key].holds(value) for trial in whole for key, value in trial.values.items())
    assert all(
        float(f"{trial.values[key]:.{DIGITS}g}") == trial.values[key] for trial in whole for key in ("x", "idle")
    )


def test_a_search_learns_where_the_top_is(tmp_path, no_departures):
    found = [abs(trial.values["x"]) for trial in played(study_of(tmp_path, seed=1), 40)]
    assert statistics.median(found[20:]) < 0.25, "0.5 at random"


def test_a_trial_whose_process_died_is_made_again_with_its_values_in_its_place(tmp_path, no_departures):
    whole = played(study_of(tmp_path / "whole"), 12)
    folder = tmp_path / "died"
    code = (
        "import os, pathlib, sys\nsys.path[:0] = sys.argv[2:]\nimport test_search as t, mixexp.sweeping.search.study as"
        " s\ns._departures = lambda *_: []\nstudy = t.study_of(pathlib.Path(sys.argv[1]))\nt.played(study,"
        " 3)\nprint(study.claim(12, t.PARABOLA).values['x'], flush=True)\nos.kill(os.getpid(), 9)"
    )
    tests = str(Path(__file__).parent)
    command = [sys.executable, "-c", code, str(folder), tests, str(Path(tests).parent)]
    died = subprocess.run(command, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    study = study_of(folder)
    assert [trial.state for trial in study.trials()] == ["complete"] * 3 + ["running"]
    claim = study.claim(12, PARABOLA)
    assert claim.values["x"] == float(died.stdout) == whole[3].values["x"]
    assert study_of(folder).claim(4, PARABOLA) is None, "it is one process's to make"
    assert [trial.state for trial in study.trials()] == ["complete"] * 3 + ["running"], "and has one place"
    claim.tell(optuna.trial.TrialState.COMPLETE, 1 - claim.values["x"] ** 2)
    assert played(study, 12) == whole
    assert sorted(path.name for path in (folder / ".search").iterdir()) == ["journal.lock", "study.lock"]


def test_a_death_while_a_trial_is_put_back_gives_it_one_place(tmp_path, no_departures):
    study = study_of(tmp_path)
    played(study, 2)
    claim = study.claim(3, PARABOLA)
    claim.let_go()
    study._study.enqueue_trial(claim.values, user_attrs={"again": 2})  # what comes first, without what comes second
    assert [trial.state for trial in study.trials()] == ["complete", "complete", "waiting"]
    again = study.claim(3, PARABOLA)
    assert again.values == claim.values and [trial.state for trial in study.trials()] == [
        "complete",
        "complete",
        "running",
    ]
    assert study.claim(3, PARABOLA) is None


def test_importance_is_with_the_setting_that_acts(tmp_path, no_departures):
    study = study_of(tmp_path, startup_trials=30)
    assert study.importances() == {}
    played(study, 30)
    found = study.importances()
    assert next(iter(found)) == "x" and found["x"] > 0.8 and sum(found.values()) == pytest.approx(1)
    assert study.importances() == found
    level = study_of(tmp_path / "level")
    for _ in range(3):
        level.claim(3, PARABOLA).tell(optuna.trial.TrialState.COMPLETE, 0.5)
    assert level.importances() == {}


# --- figures ---


TRIALS = [
    Trial(1, "complete", 0.4, {"a": 0.01, "b": "x"}, 6, 1.0, "r1", ""),
    Trial(2, "pruned", 0.1, {"a": 0.1, "b": "y"}, 3, None, "r2", ""),
    Trial(3, "complete", 0.7, {"a": 0.2, "b": None}, 6, 1.0, "r3", ""),
    Trial(4, "failed", None, {"a": 0.3, "b": "x"}, 0, None, "r4", "it broke"),
    Trial(5, "complete", 0.6, {"a": 1.0, "b": "y"}, 6, 1.0, "r5", ""),
    Trial(6, "running", None, {}, 1, None, "", ""),
]
DRAWN = Settings(**{**SEARCH, "space": {"a": {}}})
SPACE_OF = space_of({"a": {"low": 0.01, "high": 1.0, "log": True}, "b": {"choices": ["x", "y", None]}})


def lines(panel: Any) -> dict[str, tuple[list[float], list[float]]]:
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in panel.get_lines()}


@pytest.mark.parametrize("direction, best", [("maximize", [0.4, 0.7, 0.7, 0.7]), ("minimize", [0.4, 0.4, 0.4, 0.4])])
def test_the_history_shows_each_trial_and_the_best_so_far(direction, best):
    (panel,) = history(TRIALS, DRAWN.model_copy(update={"direction": direction})).axes
    assert lines(panel) == {
        "complete": ([1, 3, 5], [0.4, 0.7, 0.6]),
        "pruned, at its last evaluation": ([2], [0.1]),
        "best so far": ([1, 3, 5, 6], best),
    }
    assert panel.get_ylabel() == "validation accuracy" and panel.get_xlabel() == "trial"


def test_the_slices_show_values_against_each_setting():
    first, second = slices(TRIALS, DRAWN, SPACE_OF).axes
    assert lines(first)["complete"] == ([0.01, 0.2, 1.0], [0.4, 0.7, 0.6]) and lines(first)["best"] == ([0.2], [0.7])
    assert lines(second)["complete"] == ([0, 2, 1], [0.4, 0.7, 0.6]) and lines(second)[
        "pruned, at its last evaluation"
    ] == ([1], [0.1])
    assert first.get_xscale() == "log" and second.get_xscale() == "linear"
    assert [label.get_text() for label in second.get_xticklabels()] == ["x", "y", "null"]


def test_the_importances_are_bars():
    (panel,) = importance({"b": 0.75, "a": 0.25}, 12).axes
    assert [bar.get_width() for bar in panel.patches] == [0.75, 0.25]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["b", "a"] and "12 complete" in panel.get_xlabel()


def test_a_search_writes_its_figures(tmp_path, capsys):
    searched(tmp_path, figures=True, trials=1)
    report = tmp_path / "runs" / "report"
    figures = {f"search_{name}.{ending}" for name in ("history", "slices") for ending in ("png", "svg", "pdf")}
    assert {path.name for path in report.iterdir()} == {"trials.csv", *figures}, "one trial has no importances"
    searched(tmp_path, figures=True, trials=3)
    output = capsys.readouterr().out
    for name in ("history", "slices", "importance"):
        assert (report / f"search_{name}.png").read_bytes().startswith(b"\x89PNG") and str(
            report / f"search_{name}.png"
        ) in output
    write_report([tmp_path / "runs"])
    assert (report / "trials.csv").exists() and (report / "table.md").exists()


# --- what is refused, and the plan ---


@pytest.mark.parametrize(
    "words, changes, reason",
    [
        (
            (),
            {"metric": "val_acuracy"},
            r"metric = val_acuracy: runs measure .*val_macro_f1.* Did you mean 'val_accuracy'",
        ),
        (("validation=0",), {}, "metric = val_accuracy: .* with validation above 0 also val_loss"),
        ((), {"direction": "minimize"}, "direction = minimize: val_accuracy is better the higher it is"),
        ((), {"metric": "test_loss"}, "direction = maximize: test_loss is better the lower it is"),
        ((), {"rule": "lst"}, "hydra.sweeper.rule = lst: .*Did you mean 'hydra.sweeper.rule=last'"),
        (
            ("validation=0",),
            {"rule": "best_validation", "metric": "accuracy"},
            "rule = best_validation: no part is held out",
        ),
        ((), {"trials": 0}, "hydra.sweeper.trials = 0"),
        ((), {"pruner": {"startup_trials": 1}}, "hydra.sweeper.pruner.warmup_evaluations: needs a value"),
        (
            (),
            {"pruner": {"startup_trials": 1, "warmup": 3, "warmup_evaluations": 1}},
            "hydra.sweeper.pruner.warmup: no such setting",
        ),
        ((), {"space": {}}, "hydra.sweeper.space"),
        ((), {"space": {"optimizer.lr": 3}}, "space: optimizer.lr = 3: needs low and high"),
        (
            (),
            {"space": {"optimizer.lr": {"low": 1, "hihg": 2}}},
            "optimizer.lr.high: needs a value(.|\n)*Did you mean 'high'",
        ),
        ((), {"space": {"optimizer.lr": {"low": 1, "high": 1}}}, "low = 1 has to be below high = 1"),
        ((), {"space": {"optimizer.lr": {"low": 0, "high": 1, "log": True}}}, "low = 0 has no logarithm"),
        ((), {"space": {"batch_size": {"low": 1, "high": 2.5, "step": 1}}}, "a step is for whole numbers"),
        ((), {"space": {"mix": {"choices": ["none", "none"]}}}, "has a choice twice"),
        ((), {"space": {"device": {"choices": ["cpu", "cuda"]}}}, "device: it changes no number of a run"),
        ((), {"space": {"optimizer.lr": {"low": -1.0, "high": 1.0}}}, r"optimizer.lr = -1.0(.|\n)*1 of 2 cells"),
        (
            (),
            {"space": {"mix": {"choices": ["none", "bc", "mixup"]}}, "metric": "val_macro"},
            "Did you mean 'val_macro_f1'",
        ),
        (("hang_minutes=3", "runs_per_device=2"), {}, "hang_minutes, runs_per_device: for sweeps only"),
        (("retry=changed",), {}, "retry = changed: for sweeps only"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(words, changes, reason, tmp_path):
    with pytest.raises(UserError, match=reason):
        searched(tmp_path, *words, **changes)
    assert not list(tmp_path.iterdir())


def test_a_setting_that_is_not_there_is_refused_with_the_closest(tmp_path):
    with (
        pytest.raises(UserError, match=r"optimizer\.lrr: no such setting\. Did you mean 'optimizer\.lr'"),
        explained([], ()),
    ):
        searched(tmp_path, space={"optimizer.lrr": SPACE["optimizer.lr"]})
    with pytest.raises(UserError, match=r"mixx: no such setting.* Did you mean 'mix'"), explained([], ()):
        searched(tmp_path, space={"mixx": {"choices": ["none", "bc"]}})
    with pytest.raises(UserError, match=r"mix = mixpu: no such option.* Did you mean 'mixup'"), explained([], ()):
        searched(tmp_path, space={"mix": {"choices": ["none", "bc", "mixpu"]}})


def test_a_plan_starts_nothing_and_shows_the_space_and_how_far_it_is(tmp_path, capsys):
    planned(tmp_path)
    output = capsys.readouterr().out
    assert "search: 4 trials, maximize val_accuracy, last evaluation; none is pruned" in output
    assert (
        "optimizer.lr  0.001 ... 0.5, even in its logarithm" in output
        and "batch_size    32 ... 64, whole numbers, every 16" in output
    )
    assert "0 of 4 trials over" in output and not list(tmp_path.iterdir())
    searched(tmp_path, trials=2)
    before = (tmp_path / "runs" / "study.log").read_bytes()
    capsys.readouterr()
    planned(tmp_path, pruner={"startup_trials": 4, "warmup_evaluations": 9})
    output = capsys.readouterr().out
    assert "2 of 4 trials over (2 complete); at most about" in output and "best so far: " in output
    assert "pruned below the median from 4 complete trials and 10 evaluations on" in output
    assert (tmp_path / "runs" / "study.log").read_bytes() == before
    with pytest.raises(UserError, match="holds another search"):
        planned(tmp_path, "epochs=2")


def sweeper(launcher: Any, **found: Any) -> Any:
    from hydra_plugins.mixexp_plugins import SearchSweeper

    made = SearchSweeper(**{**SEARCH, **found})
    made.hydra_context = SimpleNamespace(config_loader=GlobalHydra.instance().config_loader())
    made.config, made.launcher = None, launcher
    return made


def test_other_launchers_and_axes_are_refused():
    with composing():
        from hydra_plugins.mixexp_plugins import (
            PlanLauncher,
        )  # Hydra loads plugins when it starts: imported before, it would be another

        with pytest.raises(UserError, match="hydra/launcher: a search trains its trials one after the other"):
            sweeper(object()).sweep([])
        with pytest.raises(
            UserError, match="seed=0,1 mix=none,bc: a search has one value for all that is not in its space"
        ):
            sweeper(PlanLauncher()).sweep(["seed=0,1", "epochs=3", "mix=none,bc"])


def test_without_optuna_it_is_said_how_to_get_it_and_everything_else_works(place):
    (place / "optuna").mkdir()  # in the working directory, where Python looks first
    (place / "optuna" / "__init__.py").write_text(
        "raise ModuleNotFoundError('No module named optuna', name='optuna')\n"
    )
    code, output, errors = mixexp(place, *SLOW)
    assert (code, output, errors) == (
        2,
        "",
        "mixexp: hydra/sweeper = search: Optuna is not installed; pip install 'mixexp[search]'\n",
    )
    words = [word for word in SLOW if "hydra" not in word]
    code, output, errors = mixexp(place, *words)
    assert code == 0 and "1 run, 1 done" in output, errors


# --- the space ---


@settings(max_examples=200, deadline=None)
@given(value=st.floats(1e-6, 1e6), low=st.floats(1e-6, 1e6), width=st.floats(1e-3, 1e6))
def test_a_rounded_number_stays_in_its_range_and_near(value, low, width):
    high = low + width
    value = min(max(value, low), high)
    found = rounded(value, low, high)
    assert low <= found <= high and math.isclose(found, value, rel_tol=0.5 * 10 ** (1 - DIGITS) * 1.001)
    assert found in (low, high) or float(f"{found:.{DIGITS}g}") == found


def test_a_range_holds_what_can_be_drawn_from_it():
    odd = Range(low=1, high=9, step=2)
    assert (
        [n for n in range(12) if odd.holds(n)] == [1, 3, 5, 7, 9]
        and not odd.holds(3.5)
        and not odd.holds(True)
        and not odd.holds(None)
    )
    assert (
        Range(low=0.1, high=1).holds(1)
        and not Range(low=0.1, high=1).holds(1.01)
        and not Range(low=0.1, high=1).holds("0.5")
    )
    found = {odd.distribution()._contains(n) for n in (1, 9)} | {not odd.distribution()._contains(n) for n in (2, 11)}
    assert found == {True}
    assert np.isclose(Range(low=0.1, high=1, log=True).distribution().low, 0.1)


def test_the_best_of_equal_ones_is_the_first():
    equal = [Trial(n, "complete", 0.5, {}, 1, None, str(n), "") for n in (1, 2)]
    assert (
        best_of(equal, "maximize").number == best_of(equal, "minimize").number == 1
        and best_of([TRIALS[1]], "maximize") is None
    )
