"""mixexp runs: which runs it lists and selects, what it removes, and all that it must not touch."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import mixexp
from test_status import everything, held

from mixexp import cli
from mixexp.api import commands
from mixexp.sweeping.links import link_by_label
from mixexp.training.folder import COLUMNS, RunFolder
from mixexp.training.reader import Run

Said = Callable[..., tuple[int, str, str]]
IDS = ("0000000000aa", "1111111111bb", "2222222222cc", "cccccccccc33", "dddddddddd44")


def run(folder: Path, mix: str, seed: int, outcome: str = "finished", **settings: object) -> Path:
    """A run's folder as the program leaves it; an unfinished one has no result."""
    record = RunFolder(folder)
    config = {"seed": seed, "alpha": 1.0, **settings, "choices": {"mix": mix, "model": "mlp"}}
    record.start(config, {"label": f"mix={mix} seed={seed}", "started": "2026-11-29T23:53:01+0000"})
    if outcome == "failed":
        record.fail("Traceback\nRuntimeError: it broke")
        return folder
    record.append({**dict.fromkeys(COLUMNS, 0.5), "step": 10, "accuracy": 0.875, "seconds": 1.0})
    if outcome != "unfinished":
        record.finish(outcome, 12.34, steps=10)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of five runs, of which one has failed and one is not finished, in the working directory."""
    folder = tmp_path / "outputs" / "try"
    made = [
        ("none", 0, "finished"),
        ("mixup", 0, "finished"),
        ("mixup", 1, "diverged"),
        ("none", 1, "failed"),
        ("bc", 1, "unfinished"),
    ]
    for name, (mix, seed, outcome) in zip(IDS, made, strict=True):
        run(folder / name, mix, seed, outcome, model={"hidden": [64, 32]} if mix == "bc" else {"hidden": [64]})
    return folder


@pytest.fixture
def said(monkeypatch, capsys, tmp_path) -> Said:
    """The command in this process: its exit code, its output and its errors."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mixexp", "runs", *words])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


def ids(output: str) -> set[str]:
    return {name for name in IDS if name in output}


def test_runs_are_listed_with_what_differs_and_what_came_of_them(said, place):
    before = everything(place)
    code, output, _ = said("outputs")
    assert code == 0 and output.startswith("outputs/try: 5 runs\n") and ids(output) == {*IDS}
    lines = {line.split()[0]: line for line in output.splitlines()[1:]}
    assert lines[IDS[1]].split("  ")[1:4:2] == ["finished", "mix=mixup seed=0 model.hidden=[64]"]
    assert re.search(r"accuracy 0\.8750 +12\.3 s  2026-11-29 23:53$", lines[IDS[1]])
    assert "diverged" in lines[IDS[2]] and "RuntimeError: it broke" in lines[IDS[3]]
    assert "mix=bc seed=1 model.hidden=[64,32]" in lines[IDS[4]]
    assert [line.index("2026") for line in lines.values()] == [lines[IDS[0]].index("2026")] * 5, (
        "a column below each other"
    )
    assert everything(place) == before


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (["mix=mixup"], {1, 2}),
        (["mix=mixup", "seed=1"], {2}),
        (["seed=0.0", "mix=none,mixup"], {0, 1}),
        (["outcome=failed,diverged"], {2, 3}),
        (["outcome=unfinished"], {4}),
        (["model.hidden=[64,32]"], {4}),
        (["model.hidden=[64],[64,32]", "seed=1"], {2, 3, 4}),
        (["alpha=1"], {0, 1, 2, 3, 4}),
    ],
)
def test_runs_are_selected_by_settings_as_they_are_compared(said, place, conditions, found):
    code, output, errors = said("outputs/try", *conditions)
    assert code == 0, errors
    assert ids(output) == {IDS[number] for number in found} and f": {len(found)} of 5 runs\n" in output


def test_a_run_at_work_is_running(said, place):
    with held(place / IDS[4]):
        code, output, _ = said("outputs/try", "outcome=running")
    assert code == 0 and ids(output) == {IDS[4]}


DIFFER = "they differ in outcome, mix, seed, model.hidden"
WHICH = "runs --remove: say which ones, as in outcome=failed or mix=mixup; without --remove, they are listed"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["outputs/try", "sed=1"],
            f"sed=1: no run here has such a setting. Did you mean 'seed'? {DIFFER.capitalize()}.",
        ),
        (
            ["outputs/try", "mix=mixp"],
            "mix=mixp: no run here has this value. Did you mean 'mix=mixup'? There are none, mixup, bc.",
        ),
        (["outputs/try", "seed=0,7"], "seed=7: no run here has this value; there are 0, 1."),
        (
            ["outputs/try", "mix=bc", "seed=0"],
            "no run here has all of mix=bc seed=0, though some runs have each of them",
        ),
        (["outputs/tru"], "runs: outputs/tru is not a folder. Did you mean 'outputs/try'?"),
        (["mix=none"], "runs: name a folder of runs, such as outputs/quickstart"),
        (["outputs/try", "--remove"], WHICH),
        (["outputs/try", "--remove", "--yes"], WHICH),
        (["outputs/try", "mix=none", "--yes"], "runs --yes: goes with --remove"),
    ],
)
def test_what_is_wrong_gets_one_message_and_changes_nothing(said, place, words, message):
    before = everything(place)
    assert said(*words) == (2, "", f"mixexp: {message}\n")
    assert everything(place) == before


def test_a_folder_without_runs_says_so(said, tmp_path):
    (tmp_path / "empty").mkdir()
    assert said("empty")[2].startswith("mixexp: empty holds no run; ")


def test_the_selected_runs_are_removed_and_nothing_else(said, place):
    (place / "notes.txt").write_text("mine")
    kept = {
        path: state for path, state in everything(place).items() if not any(name in path for name in (IDS[1], IDS[2]))
    }
    code, output, errors = said("outputs/try", "mix=mixup", "--remove", "--yes")
    assert code == 0 and output.splitlines()[-1] == "removed 2 runs" and ids(output) == {IDS[1], IDS[2]}, errors
    left = everything(place)
    own = str(place.name) if str(place.name) in left else str(place)
    assert {path: state for path, state in left.items() if path != own} == {
        path: state for path, state in kept.items() if path != own
    }


def test_links_to_removed_runs_go_and_other_links_stay(said, place):
    assert said("outputs/try", "--links")[0] == 0
    links = place / "by-label"
    (links / "mine").symlink_to(place.parent)
    before = {path.name: os.readlink(path) for path in links.iterdir()}
    assert sum(target.endswith((IDS[1], IDS[2])) for target in before.values()) == 2
    assert said("outputs/try", "mix=mixup", "--remove", "--yes")[0] == 0
    assert {path.name: os.readlink(path) for path in links.iterdir()} == {
        name: target for name, target in before.items() if not target.endswith((IDS[1], IDS[2]))
    }
    assert said("outputs/try", "seed=0,1", "--remove", "--yes")[0] == 0
    assert [path.name for path in links.iterdir()] == ["mine"]


class Terminal(io.StringIO):
    """What somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "left"), [("y\n", 3), ("YES\n", 3), ("n\n", 5), ("\n", 5), ("", 5)])
def test_on_a_terminal_a_question_comes_first(said, place, monkeypatch, answer, left):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    code, output, _ = said("outputs/try", "mix=mixup", "--remove")
    assert code == 0 and "remove 2 runs for good? [y/N] " in output and len(list(place.glob("*/config.yaml"))) == left
    assert output.endswith("removed 2 runs\n" if left == 3 else "nothing is removed\n")


def test_without_a_terminal_yes_is_needed(said, place, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    before = everything(place)
    code, _, errors = said("outputs/try", "mix=mixup", "--remove")
    assert (
        code == 2
        and "2 runs, listed above, would be removed for good" in errors
        and "--yes" in errors
        and everything(place) == before
    )


def test_a_run_at_work_keeps_all_that_were_selected(said, place):
    with held(place / IDS[4]):
        before = everything(place)
        code, _, errors = said("outputs/try", "seed=1", "--remove", "--yes")
        assert code == 2 and f"outputs/try/{IDS[4]}: a process works on it\nnothing is removed" in errors
        assert everything(place) == before


def test_a_run_that_a_process_begins_meanwhile_is_kept(said, place, monkeypatch):
    monkeypatch.setattr(commands, "held", lambda lock: False)
    with held(place / IDS[4]):
        code, _, errors = said("outputs/try", "mix=bc", "--remove", "--yes")
    assert (
        code == 1 and "another process is or was at work on it" in errors and (place / IDS[4] / "metrics.csv").is_file()
    )


def test_a_run_that_was_finished_while_the_question_waited_is_kept(said, place, monkeypatch):
    class Slow(Terminal):
        def readline(self, *_: int) -> str:
            run(place / IDS[4], "bc", 1)
            return "y\n"

    monkeypatch.setattr(sys, "stdin", Slow())
    code, _, errors = said("outputs/try", "mix=bc", "--remove")
    assert code == 1 and "it is kept" in errors and (place / IDS[4] / "result.json").is_file()


def test_no_setting_selects_a_run_whose_record_cannot_be_read(said, place):
    (place / IDS[0] / "config.yaml").write_text("{")
    code, output, errors = said("outputs/try", "gan=null")
    assert (code, output) == (2, "") and "no run here has such a setting" in errors
    run(place / IDS[1], "mixup", 0, gan=None)
    assert ids(said("outputs/try", "gan=null")[1]) == {*IDS[1:]}


def test_no_link_is_followed_and_what_a_run_links_to_stays(said, place, tmp_path):
    far = run(tmp_path / "far" / "eeeeeeeeeeee", "mixup", 5)
    (place / "eeeeeeeeeeee").symlink_to(far)
    (place / "others").symlink_to(tmp_path / "far")
    (place / IDS[1] / "data").symlink_to(tmp_path / "far")
    before = everything(tmp_path / "far")
    code, _, errors = said("outputs", "mix=mixup", "--remove", "--yes")
    assert code == 2 and "a link leads there; name the folder in which it lies" in errors and (place / IDS[1]).is_dir()
    assert said("outputs", "mix=mixup", "seed=0", "--remove", "--yes")[0] == 0
    assert not (place / IDS[1]).exists() and everything(tmp_path / "far") == before


def test_a_folder_that_is_named_may_be_a_link_but_not_a_run_that_is(said, place, tmp_path):
    (tmp_path / "here").symlink_to(place)
    link_by_label(place, {IDS[0]: "a", IDS[1]: "b"})
    for named in (place / "by-label", place / "by-label" / "b"):
        code, _, errors = said(str(named), "mix=mixup", "--remove", "--yes")
        assert code == 2 and "nothing is removed" in errors and (place / IDS[1]).is_dir()
    assert said("here", "mix=mixup", "seed=0", "--remove", "--yes")[0] == 0 and not (place / IDS[1]).exists()
    assert said(f"outputs/try/{IDS[0]}", "mix=none", "--remove", "--yes")[0] == 0 and not (place / IDS[0]).exists()


def test_what_looks_like_a_run_and_has_no_run_id_stays(said, place):
    mine = run(place / "my notes", "mixup", 7)
    code, _, errors = said("outputs/try", "seed=7", "--remove", "--yes")
    assert code == 2 and "twelve hexadecimal digits" in errors and (mine / "config.yaml").is_file()


def test_links_are_made_for_the_selected_runs(said, place):
    code, output, errors = said("outputs", "mix=mixup", "--links")
    assert code == 0 and output.endswith("links to them: outputs/try/by-label\n"), errors
    found = {path.name: os.readlink(path) for path in (place / "by-label").iterdir()}
    assert found == {
        "mix=mixup,seed=0,model.hidden=_64": f"../{IDS[1]}",
        "mix=mixup,seed=1,model.hidden=_64": f"../{IDS[2]}",
    }
    assert ids(said("outputs")[1]) == {*IDS} and "outputs/try: 5 runs\n" in said("outputs")[1]


def test_a_damaged_run_is_listed_by_its_label_and_can_be_removed(said, place):
    (place / IDS[0] / "config.yaml").write_text("{")
    assert "damaged" in next(line for line in said("outputs")[1].splitlines() if "mix=none seed=0" in line)
    assert said("outputs", "outcome=damaged", "--remove", "--yes")[0] == 0 and not (place / IDS[0]).exists()


def test_runs_of_a_sweep_are_found_by_the_words_that_made_them(tmp_path):
    assert mixexp("-m", "mix=none,mixup", "alpha=0.2,1", "model.width=2", "epochs=1", cwd=tmp_path).returncode == 0
    done = mixexp("runs", "outputs/runs", "mix=mixup", "alpha=0.20", cwd=tmp_path)
    assert done.stdout.startswith("outputs/runs: 1 of 3 runs\n") and "mix=mixup alpha=0.2  accuracy " in done.stdout
    done = mixexp("runs", "outputs/runs", "mix=mixup", "--remove", "--yes", cwd=tmp_path)
    assert done.returncode == 0 and "removed 2 runs" in done.stdout
    assert "1 done, 2 missing" in mixexp("status", "outputs/runs", cwd=tmp_path).stdout


def test_a_run_prints_as_one_short_line(tmp_path):
    for number, (outcome, problem) in enumerate((("finished", ""), ("failed", "RuntimeError: " + "x" * 500))):
        run = Run(
            outcome=outcome,
            problem=problem,
            folder=tmp_path / str(number),
            environment={"label": "mix=mixup\x1b[2J seed=0"},
            result={"last": {"accuracy": 0.875}} if outcome == "finished" else {},
            config={"many": list(range(1000))},
        )
        text = repr(run)
        assert str(run) == text and "\n" not in text and "\x1b" not in text
        assert len(text) < len(str(run.folder)) + 160 and f"<Run {run.folder}: mix=mixup" in text
        assert ("accuracy 0.8750" if outcome == "finished" else "failed, RuntimeError") in text
    assert repr(Run(outcome="damaged", folder=Path("a"), result={"last": [1]})) == "<Run a: damaged>"
