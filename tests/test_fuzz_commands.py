"""Random command lines through the real entry point: a message, or the run that was asked for;
tests/chaos/fuzz_commands.py has more."""

from __future__ import annotations

import collections
import os
import sys
from pathlib import Path
from types import ModuleType

import commands
import pytest

SEED = os.environ.get("MIXEXP_FUZZ_SEED", "13")
"""Of the commands; "random" for others each time."""
COUNT = int(os.environ.get("MIXEXP_FUZZ_COUNT", "150" if SEED == "random" else "50"))
"""Of few commands of a random seed, too few might be of one outcome."""


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module; the limits that it sets commands end with the test."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "chaos")
    monkeypatch.setattr(commands, "SECONDS", commands.SECONDS)
    monkeypatch.setattr(commands, "MEMORY", commands.MEMORY)
    import fuzz_commands

    return fuzz_commands


@pytest.mark.skipif(sys.platform != "linux", reason="a process for each command would take minutes")
def test_every_command_is_refused_in_one_message_or_makes_the_run_that_was_asked_for(
    fuzz: ModuleType, tmp_path: Path
) -> None:
    seed = int.from_bytes(os.urandom(4), "big") if SEED == "random" else int(SEED)
    print(f"seed {seed}")  # shown where the test fails
    outcomes, faults = collections.Counter(), []
    for number, command, _, verdict in fuzz.fuzz(seed, COUNT, tmp_path):
        outcomes[verdict.outcome] += 1
        faults += [f"{number}: {fuzz.line_of(command)}\n    {'; '.join(verdict.faults)}"] * bool(verdict.faults)
    assert not faults, f"seed {seed}:\n" + "\n".join(faults)
    assert outcomes["done"] > COUNT / 5 and outcomes["refused"] > COUNT / 5, outcomes


def test_another_configuration_than_the_one_asked_for_is_a_fault(fuzz: ModuleType, tmp_path: Path) -> None:
    words = [
        fuzz.Word("", "choose", "mix", "mixup"),
        fuzz.Word("", "set", "alpha", 0.5),
        fuzz.Word("", "set", "steps", 2),
    ]
    asked = fuzz.asked_for(words, tmp_path)
    assert (asked["mix"]["ratio"]["alpha"], asked["epochs"], asked["choices"]["mix"]) == (0.5, None, "mixup")
    assert fuzz.differing(asked, {**asked, "seed": 0.0}) == []
    assert fuzz.differing(asked, {**asked, "drop_last": 0}) == ["drop_last: asked for False, is 0"]
    other = {**asked, "mix": {**asked["mix"], "step_size": 4}}
    assert fuzz.differing(asked, other) == ["mix.step_size: asked for None, is 4"]
    assert fuzz.differing(asked, {**asked, "choices": {**asked["choices"], "mix": "none"}}) == [
        "choices.mix: asked for 'mixup', is 'none'"
    ]


@pytest.mark.parametrize(
    ("code", "output", "errors", "fault"),
    [
        (2, "", "mixexp: seed = -1: should be greater than or equal to 0\n", None),
        (0, "done\n", "note: something\n", None),
        (2, "", "", "0 messages"),
        (2, "", "mixexp: a\nmixexp: b\n", "2 messages"),
        (1, "", "Traceback (most recent call last):\nKeyError: 'x'\n", "the language of a library: Traceback"),
        (2, "", "mixexp: ValueError: bad\n", "the language of a library: ValueError"),
        (0, "", "", "silence"),
        (-11, "", "", "exit code -11"),
        (-14, "", "", "no end after"),
        (0, "done\n", "x.py:3: UserWarning: hm\n", "on stderr: x.py"),
    ],
)
def test_how_a_command_may_end(
    fuzz: ModuleType, tmp_path: Path, code: int, output: str, errors: str, fault: str | None
) -> None:
    ended = fuzz.subprocess.CompletedProcess((), code, output, errors)
    faults = fuzz.judge(fuzz.Command(()), ended, set(), tmp_path).faults
    assert any(fault in line for line in faults) if fault else faults == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("report", "x", "--rule", "bset"), "report: argument --rule: invalid choice: 'bset'"),
        (("compare", "x"), "compare: the following arguments are required: SECOND"),
        (("leaderboard", "--out"), "leaderboard: argument --out: expected one argument"),
    ],
)
def test_a_wrong_word_of_a_reading_command_is_one_message(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    done = commands.mixexp(*words, cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "") and line.startswith(f"mixexp: {says}")
    assert f"mixexp {words[0]} --help says more." in line and ("Did you mean 'best'?" in line) == ("bset" in words)


def test_a_refused_command_that_leaves_a_file_is_a_fault(fuzz: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "left.txt").touch()
    ended = fuzz.subprocess.CompletedProcess((), 2, "", "mixexp: no\n")
    assert fuzz.judge(fuzz.Command(()), ended, set(), tmp_path).faults == ["refused, and left left.txt"]
