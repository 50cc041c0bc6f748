"""The kill test in short, and that it sees what it is there to see; `python tests/chaos/kill_sweeps.py` is the long
form."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from running import trained

CHAOS = Path(__file__).parent / "chaos"
SHORT = ("mix=none,mixup", "seed=0", "epochs=15,30")
KILLS, SEED = 4, 174  # as a rule, each kind of victim once, the parent last, in one attempt

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(CHAOS)
    import kill_sweeps

    return kill_sweeps


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs."""
    folder = tmp_path_factory.mktemp("original")
    for name in ("one", "two"):
        trained(folder / name, "keep_checkpoint=true", f"mix={'none' if name == 'one' else 'mixup'}")
    return folder


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    """The same once more, to be altered."""
    return Path(shutil.copytree(original, tmp_path / "copy"))


@pytest.mark.kills
def test_a_sweep_killed_and_rerun_until_finished_equals_an_undisturbed_one(script: ModuleType, tmp_path: Path) -> None:
    rounds, problems = script.kill_sweeps(tmp_path, SHORT, KILLS, SEED)
    assert problems == []
    assert sum(len(one.kills) for one in rounds) == KILLS
    for number, one in enumerate(rounds, start=1):
        assert one.ends["done"] == 1 and len(one.watch.finished) == 4
        assert len(list(tmp_path.glob(f"round_{number:02d}/runs/*/result.json"))) == 4


@pytest.mark.kills
def test_a_fork_server_that_dies_while_it_is_asked_for_a_slot_costs_no_run(script: ModuleType, tmp_path: Path) -> None:
    problems: list[str] = []
    folder = tmp_path / "runs"
    with script.started(folder, ("seed=0,1", "epochs=2"), tmp_path / "log") as attempt:
        dead: list[int] = []
        while len(dead) < 2 and not attempt.over():
            servers = [
                pid
                for pid, kind in script.alive(attempt.process.pid).items()
                if kind == "fork server" and pid not in dead
            ]
            for pid in servers:
                if dead:  # a sweep starts the second one when it needs a slot, and waits for it while it imports torch
                    time.sleep(0.3)
                os.kill(pid, signal.SIGKILL)
                dead.append(pid)
            time.sleep(script.LOOK_SECONDS)
        assert script.end(attempt, problems) == 0
    assert problems == [] and len(list(folder.glob("*/result.json"))) == 2


# --- the comparison can fail ---


def cell(name: str, column: str) -> Callable[[Path], None]:
    """Alter the last digit of one figure in a CSV's last row."""

    def alter(run: Path) -> None:
        with (run / name).open(newline="") as file:
            rows = list(csv.reader(file))
        place = rows[0].index(column)
        figure = rows[-1][place]
        rows[-1][place] = figure[:-1] + str((int(figure[-1]) + 1) % 10)
        with (run / name).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)

    return alter


def result(key: str) -> Callable[[Path], None]:
    """Alter one of the facts in result.json."""

    def alter(run: Path) -> None:
        found = json.loads((run / "result.json").read_text())
        (run / "result.json").write_text(json.dumps(found | {key: found[key] + 1}))

    return alter


def weight(run: Path) -> None:
    """Alter one weight by as little as there is."""
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    values = next(value for value in state["network"].values() if value.dim() == 1)
    values[0] = torch.nextafter(values[0], torch.tensor(torch.inf))
    torch.save(state, run / "checkpoint.pt")


def cut(run: Path) -> None:
    """Leave the last evaluation out."""
    lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
    (run / "metrics.csv").write_text("".join(lines[:-1]))


@pytest.mark.parametrize(
    "alter, expected",
    [
        (cell("metrics.csv", "test_loss"), "two: metrics.csv differs: 1 test_loss: "),
        (cell("metrics.csv", "accuracy"), "two: metrics.csv differs: 1 accuracy: "),
        (cell("confusion.csv", "7"), "two: confusion.csv differs: 9 7: "),
        (result("steps"), "two: result.json differs: steps: "),
        (weight, "two: checkpoint.pt differs: network "),
        (cut, "two: damaged: metrics.csv has 1 of 2 evaluations"),
        (lambda run: (run / "result.json").unlink(), "two: unfinished: no result.json"),
        (lambda run: (run / "checkpoint.pt").unlink(), "two: checkpoint.pt cannot be read"),
        (lambda run: (run / "checkpoint.pt.7.part").touch(), "two: checkpoint.pt.7.part is left behind"),
        (lambda run: (run / "metrics.csv.damaged").touch(), "two: metrics.csv.damaged is left behind"),
        (lambda run: (run / "error.txt").touch(), "two: error.txt is left behind"),
        (shutil.rmtree, "two: the run is lost"),
        (lambda run: shutil.copytree(run, run.with_name("three")), "three: no such run in the undisturbed sweep"),
    ],
)
def test_the_comparison_names_each_difference(
    script: ModuleType, original: Path, copy: Path, alter: Callable[[Path], None], expected: str
) -> None:
    alter(copy / "two")
    (problem,) = script.compare(original, copy)
    assert problem.startswith(expected)


def test_a_file_that_differs_in_many_places_is_named_once(script: ModuleType, original: Path, copy: Path) -> None:
    shutil.copyfile(copy / "one" / "metrics.csv", copy / "two" / "metrics.csv")
    (problem,) = script.compare(original, copy)
    assert problem.startswith("two: metrics.csv differs: 0 accuracy: ") and problem.endswith("more places")


@pytest.mark.parametrize("alter", [lambda run: None, cell("metrics.csv", "seconds"), result("seconds")])
def test_clocks_are_no_difference(
    script: ModuleType, original: Path, copy: Path, alter: Callable[[Path], None]
) -> None:
    alter(copy / "two")
    assert script.compare(original, copy) == []


def written_again(path: Path) -> None:
    """The same bytes in a new file, as a run trained again would leave it."""
    shutil.copyfile(path, path.with_name("again"))
    os.replace(path.with_name("again"), path)


@pytest.mark.parametrize("name", ["result.json", "metrics.csv"])
def test_a_finished_run_is_watched(script: ModuleType, copy: Path, name: str) -> None:
    watch = script.Watch(copy)
    watch.look()
    watch.look()
    assert watch.finished.keys() == {"one", "two"} and watch.problems == []
    written_again(copy / "one" / name)
    (copy / "two" / name).unlink()
    watch.look()
    assert watch.problems == [
        f"one: {name} of the finished run has changed",
        f"two: {name} of the finished run is gone",
    ]


def test_what_a_killed_slot_did_is_read_off_its_run(script: ModuleType, copy: Path) -> None:
    run = copy / "one"
    pid = json.loads((run / "environment.json").read_text())["process"]
    assert script.state_of(pid, copy) == script.LOADING  # its run is finished
    shutil.rmtree(copy / "two")  # the same process made both
    (run / "result.json").unlink()
    assert script.state_of(pid, copy) == script.FINISHING
    (run / "confusion.csv").unlink()
    assert script.state_of(pid, copy) == script.KEPT
    (run / "checkpoint.pt").unlink()
    assert script.state_of(pid, copy) == script.AFRESH
    for name, expected in (("checkpoint.pt", script.CHECKPOINT), ("result.json", script.OTHER_FILE)):
        (run / f"{name}.{pid}.part").touch()
        assert script.state_of(pid, copy) == expected
        (run / f"{name}.{pid}.part").unlink()
    assert script.state_of(pid + 1, copy) == script.LOADING


@pytest.mark.parametrize("problems", [[], ["round_01: two: the run is lost"]])
def test_the_exit_code_and_the_last_lines_tell(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
    problems: list[str],
) -> None:
    one = script.Round(script.Watch(tmp_path), [script.Kill("slot", (script.KEPT,))])
    monkeypatch.setattr(script, "kill_sweeps", lambda *_: ([one], problems))
    assert script.main(["--kills", "1"]) == len(problems)
    shown = capsys.readouterr().out
    assert "1 kills" in shown and (problems[0] if problems else "no difference") in shown.splitlines()[-1]
