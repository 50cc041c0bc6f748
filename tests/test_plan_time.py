"""A plan before any run has finished: the time guessed from operations, and whether evaluations are most of the
work."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from running import command, config_of

from mixexp.plan.loops import loop_of
from mixexp.sweeping import launch
from mixexp.sweeping.estimate import RATE, STEP, DurationModel, evaluation_remark, guessed_seconds
from mixexp.training.spec import RunConfig
from mixexp.training.task import Task, Work

MOSTLY_EVALUATION = Work(17e9, 83e9, 60, 20, 10_000, 0, 300)


def test_mostly_evaluation_is_said_with_what_would_cut_it():
    assert (
        evaluation_remark([MOSTLY_EVALUATION] * 3, "last")
        == "evaluation is 83 % of the work: 20 evaluations a run of 10,000 test images, 300 training images; "
        "evaluations=4 would make that 49 % and test.n=1000 33 %"
    )


@pytest.mark.parametrize(
    ("works", "rule", "said"),
    [
        ([MOSTLY_EVALUATION._replace(training=84e9)], "last", ""),
        ([], "last", ""),
        ([MOSTLY_EVALUATION._replace(tested=0)], "last", ""),
        ([MOSTLY_EVALUATION], "median_last_10", "; evaluations=10 would make that 71 % and"),
        ([MOSTLY_EVALUATION._replace(evaluations=1)], "last", " training images; test.n=1000 would make that 33 %"),
        ([MOSTLY_EVALUATION._replace(tested=359)], "last", "evaluations=4 would make that 49 % and test.n=70 49 %"),
        ([MOSTLY_EVALUATION._replace(tested=30)], "last", "evaluations=4 would make that 49 %"),
        ([MOSTLY_EVALUATION, MOSTLY_EVALUATION._replace(trained=50_000)], "last", "300 to 50,000 training images; "),
        ([MOSTLY_EVALUATION._replace(held_out=10_000)], "last", "test.n=1000 73 %"),
    ],
    ids=str,
)  # fmt: skip
def test_the_numbers_of_the_remark_are_the_plans(works, rule, said):
    remark = evaluation_remark(works, rule)
    assert remark.endswith(said) if works and said and "to 50" not in said and "median" not in rule else said in remark
    assert bool(remark) == bool(said)


def test_the_work_of_a_run_is_its_training_and_its_evaluations():
    few, many = (RunConfig.of(config_of("epochs=4", f"evaluations={count}")) for count in (1, 4))
    one, four = (loop_of(config).work(config) for config in (few, many))
    assert (one.evaluations, four.evaluations, four.tested, four.held_out, four.steps) == (
        1,
        4,
        359,
        0,
        4 * -(-1438 // 64),
    )
    assert one.training == four.training and four.evaluation == 4 * one.evaluation
    part = RunConfig.of(config_of("epochs=4", "evaluations=4", "test.n=100"))
    assert loop_of(part).work(part).evaluation == pytest.approx(four.evaluation * 100 / 359)


def test_a_guess_is_by_operations_and_steps():
    assert guessed_seconds(MOSTLY_EVALUATION, 2) == 100e9 / (2 * RATE) + 60 * STEP


def test_what_is_guessed_is_a_range():
    assert DurationModel().words(600) == "10 min"
    assert DurationModel(guessed=True).words(600) == "3 min to 30 min"
    assert DurationModel(guessed=True).words(0.1) == "1 s", "both ends are the same"


def test_a_plan_says_both_until_a_run_has_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ("subset=balanced", "subset.n=20", "epochs=20", "model.width=4", "batch_size=64", "device=cpu")
    _, said = command(capsys, "plan", *words, "seed=0,1")
    assert re.search(r"2 runs: 2 missing; about \d+ s(?: to \d+ s)? left with \d at once\n", said)
    assert (
        "\nthe time is a guess from operations, at 5 to 45 billion a second on a thread and 3 to 30 ms a step beside;"
        " finished" in said
    )
    assert said.endswith(
        "\nevaluation is 86 % of the work: 20 evaluations a run of 359 test images, 20 training images; "
        "evaluations=4 would make that 54 % and test.n=70 54 %\n"
    )
    assert not list(tmp_path.iterdir()), "a plan leaves nothing"
    code, said = command(capsys, *words, "seed=0")
    assert code == 0, said
    _, said = command(capsys, "plan", *words, "seed=0,1")
    assert (
        re.search(r"2 runs: 1 done, 1 missing|2 runs: 1 missing, 1 done|1 done", said)
        and "guess" not in said
        and "evaluation is 86 %" in said
    )
    _, said = command(capsys, "plan", *words, "seed=0")
    assert "evaluation is" not in said, "nothing is left to do"


def test_a_gpu_is_not_guessed(tmp_path: Path):
    run = SimpleNamespace(task=Task("kind", "cuda", 1e9), config=None)
    assert not launch._durations(tmp_path, [run]).guessed
