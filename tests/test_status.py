"""What `mixexp plan` and `mixexp status` say, and that looking at runs starts and changes nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commands import mixexp
from hypothesis import given, settings
from hypothesis import strategies as st
from running import config_of, trained

from mixexp import cli
from mixexp.errors import UserError
from mixexp.plan.identity import run_id
from mixexp.sweeping import launch, slot
from mixexp.sweeping import status as statuses
from mixexp.sweeping.estimate import DurationModel, duration
from mixexp.sweeping.status import PlannedRun, RunStatus, State, describe, keep_plan, scan, status
from mixexp.training.folder import COLUMNS, LOCK, RunFolder
from mixexp.training.task import Task

SMALL = ("model.width=2", "epochs=1")
TASK = Task("digits small_cnn batch 128 threads 1", "cpu", 1e9)
NOW = settings(max_examples=100, deadline=None)


def planned(name: str, label: str = "", task: Task = TASK) -> PlannedRun:
    return PlannedRun(name, label or f"seed={name}", task)


def row(step: int, **changed: float) -> dict[str, float]:
    return {**dict.fromkeys(COLUMNS, 0.5), "step": step, "seconds": 1.0, **changed}


def begun(folder: Path, steps: int = 100, rows: tuple[int, ...] = (), task: Task = TASK, **facts: Any) -> RunFolder:
    """A run as its process leaves it when it is killed."""
    run = RunFolder(folder)
    about = {"label": f"seed={folder.name}", "task": task.record(), "steps": steps, "process": 4711, "host": "there"}
    run.start({"seed": 1, "choices": {}}, {**about, "continued_at_step": 0, **facts})
    for step in rows:
        run.append(row(step))
    return run


def ended(
    folder: Path, seconds: float = 10.0, outcome: str = "finished", task: Task = TASK, accuracy: float = 0.875
) -> RunFolder:
    run = begun(folder, task=task)
    run.append(row(100, accuracy=accuracy))
    run.finish(outcome, seconds, steps=100)
    return run


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Inside, a process of its own works on the run in a folder, as far as anybody can see."""
    folder.mkdir(parents=True, exist_ok=True)
    code = (
        "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True);"
        " sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(folder / LOCK)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield
        finally:
            process.stdin.close()


def everything(root: Path) -> dict[str, tuple[int, ...]]:
    """Every file and folder with what changes when somebody writes to it."""
    found = {}
    for path in (root, *root.rglob("*")):
        about = path.lstat()
        found[str(path)] = (about.st_mtime_ns, about.st_size, about.st_mode, about.st_ino)
    return found


def files(root: Path) -> dict[str, tuple[int, ...]]:
    """The same without the folders' own times: a plan finds out whether its folder can be written to, by writing to
    it."""
    return {name: about if stat.S_ISREG(about[2]) else about[2:] for name, about in everything(root).items()}


def one_of_each(root: Path) -> dict[str, str]:
    """A folder with a run in every state: the run's name → what is said of it."""
    ended(root / "done")
    ended(root / "diverged", outcome="diverged", accuracy=0.1)
    begun(root / "early", rows=(20,))
    begun(root / "late", rows=(20, 40), continued_at_step=55)
    (root / "late" / "checkpoint.pt").touch()
    begun(root / "failed", rows=(20,)).fail("Traceback ...\nRuntimeError: it broke\n")
    (ended(root / "damaged").path / "result.json").write_text("{")
    begun(root / "running", rows=(20,), process=12, host="here")
    return {
        "done": "accuracy 0.8750",
        "diverged": "accuracy 0.1000",
        "early": "interrupted at step 20 of 100, no checkpoint",
        "late": "interrupted at step 40 of 100, checkpoint",
        "failed": "RuntimeError: it broke",
        "damaged": "result.json cannot be read",
        "running": "step 20 of 100, process 12 on here",
        "missing": "",
    }


# --- the state of a run ---


def test_every_state_is_seen_as_it_is(tmp_path):
    names = one_of_each(tmp_path)
    with held(tmp_path / "running"):
        seen = {one.run.name: one for one in scan(tmp_path, [planned(name) for name in names])}
    states = {name: one.state for name, one in seen.items()}
    assert states == {
        **{name: name for name in names if name in list(State)},
        "early": "interrupted",
        "late": "interrupted",
    }
    assert seen["done"].detail == "accuracy 0.8750" and seen["done"].fraction == 1
    assert seen["diverged"].detail == "accuracy 0.1000"
    assert (
        "step 20 of 100" in seen["early"].detail
        and "no checkpoint" in seen["early"].detail
        and seen["early"].fraction == 0
    )
    assert "step 40 of 100" in seen["late"].detail and "continues from its checkpoint" in seen["late"].detail
    assert seen["late"].fraction == 0.55, (
        "what was done before it stopped last, which is later than its last evaluation"
    )
    assert seen["failed"].detail == "RuntimeError: it broke"
    assert "result.json cannot be read" in seen["damaged"].detail
    assert "step 20 of 100" in seen["running"].detail and seen["running"].detail.endswith("process 12 on here")
    assert seen["running"].fraction == 0.2
    (after,) = scan(tmp_path, [planned("running")])
    assert after.state == "interrupted", "the lock ends with its process"


def test_a_run_without_an_evaluation_was_at_no_step(tmp_path):
    begun(tmp_path / "new")
    begun(tmp_path / "again", continued_at_step=55)
    (tmp_path / "again" / "checkpoint.pt").touch()
    new, again = scan(tmp_path, [planned("new"), planned("again")])
    assert new.detail == "not evaluated yet, 100 steps in all; no checkpoint yet"
    assert again.detail == "continued at step 55 of 100, not evaluated yet; continues from its checkpoint"
    assert (new.fraction, again.fraction) == (0, 0.55)


def test_a_claim_counts_before_what_an_earlier_attempt_left(tmp_path):
    for name in ("failed", "damaged", "fresh"):
        if name != "fresh":
            ended(tmp_path / name)
        if name == "failed":
            (tmp_path / name / "result.json").unlink()
            (tmp_path / name / "error.txt").write_text("it broke")
        if name == "damaged":
            (tmp_path / name / "metrics.csv").unlink()
        with held(tmp_path / name):
            (seen,) = scan(tmp_path, [planned(name)])
        assert seen.state == "running", name
        assert "None" not in seen.detail, "what is not known yet is not said"
    ended(tmp_path / "done")
    with held(tmp_path / "done"):
        assert scan(tmp_path, [planned("done")])[0].state == "done"


def test_what_is_not_known_is_left_out(tmp_path):
    run = begun(tmp_path / "early")
    (run.path / "environment.json").unlink()
    (seen,) = scan(tmp_path, [planned("early")])
    assert (seen.state, seen.detail) == ("interrupted", "no checkpoint yet")


def test_an_empty_folder_and_one_with_a_lock_alone_are_missing_runs(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / LOCK).touch()
    assert [one.state for one in scan(tmp_path, [planned("empty"), planned("locked"), planned("nowhere")])] == [
        "missing"
    ] * 3
    assert not (tmp_path / "nowhere").exists()


def test_a_failure_before_anything_was_written_is_a_failure(tmp_path):
    RunFolder(tmp_path / "a").fail("the run's process was killed by SIGKILL\n")
    (seen,) = scan(tmp_path, [planned("a")])
    assert (seen.state, seen.detail) == ("failed", "the run's process was killed by SIGKILL")


# --- a whole folder ---


def test_status_counts_every_state_and_the_runs_planned_but_not_begun(tmp_path):
    names = one_of_each(tmp_path)
    keep_plan(tmp_path, 11, [planned(name) for name in names], slots=2)
    with held(tmp_path / "running"):
        before = everything(tmp_path)
        *lines, total, hint = status(tmp_path).splitlines()
        assert everything(tmp_path) == before, "looking changes nothing"
    assert [line.split()[0] for line in lines] == list(names)
    assert total.startswith(
        f"{tmp_path}: 8 runs: 1 done, 1 diverged, 1 running, 2 interrupted, 1 failed, 1 damaged, 1 missing; about "
    )
    assert total.endswith(" left with 2 at once") and "retry=failed" in hint
    # running 0.8, early 1, late 0.45, damaged 1 and missing 1 times the 10 s that the finished one took, two at once
    assert "; about 21 s left" in total
    (missing,) = [line for line in lines if line.startswith("missing")]
    assert missing.split(None, 3)[1:] == ["missing", "seed=missing", "about 10 s"]


def test_status_knows_runs_that_no_plan_names(tmp_path):
    ended(tmp_path / "a")
    begun(tmp_path / "b")
    text = status(tmp_path)
    assert f"{tmp_path}: 2 runs: 1 done, 1 interrupted; about 10 s left with 1 at once" in text
    assert "seed=a" in text and "seed=b" in text


def test_several_sweeps_share_a_folder(tmp_path):
    keep_plan(tmp_path, 2, [planned("a"), planned("b")], slots=1)
    keep_plan(tmp_path, 2, [planned("b"), planned("c")], slots=4)
    keep_plan(tmp_path, 2, [planned("b"), planned("a")], slots=1)  # the same again
    assert len(list((tmp_path / "sweeps").iterdir())) == 2
    ended(tmp_path / "b")
    with statuses.at_work(tmp_path, statuses.plan_name([planned("b"), planned("c")])):
        *lines, total = status(tmp_path).splitlines()
    assert sorted(line.split()[0] for line in lines) == ["a", "b", "c"]
    assert total.endswith("3 runs: 1 done, 2 missing; about 10 s left with 4 at once")


def test_a_folder_without_a_run_begun_has_a_status(tmp_path):
    keep_plan(tmp_path, 3, [planned("a"), planned("b")], slots=1)
    _, _, total, remark = status(tmp_path).splitlines()
    assert total.endswith("2 runs: 2 missing; no finished run to judge the time by")
    assert f"{tmp_path}: stopped: no process works on the 2 runs left; " in remark


def test_when_all_is_over_nothing_is_said_of_time(tmp_path):
    ended(tmp_path / "a")
    begun(tmp_path / "b").fail("it broke")
    assert f"{tmp_path}: 2 runs: 1 done, 1 failed\n" in status(tmp_path)


def test_a_folder_of_an_older_version_is_read_as_far_as_it_says(tmp_path):
    """Without the keys that environment.json and result.json have since."""
    for name, run in (("over", ended(tmp_path / "over")), ("cut", begun(tmp_path / "cut", rows=(20,)))):
        about = json.loads((run.path / "environment.json").read_text())
        for key in ("task", "label", "process", "host", "continued_at_step", "steps"):
            del about[key]
        (run.path / "environment.json").write_text(json.dumps(about))
        if name == "over":
            result = json.loads((run.path / "result.json").read_text())
            del result["evaluations"]
            (run.path / "result.json").write_text(json.dumps(result))
    first, second, total, remark = status(tmp_path).splitlines()
    assert remark.endswith("stopped: no process works on the 1 run left; its command continues with it")
    assert first.split() == ["cut", "interrupted", "no", "checkpoint", "yet"]
    assert second.split() == ["over", "done", "accuracy", "0.8750"]
    assert total.endswith("2 runs: 1 done, 1 interrupted; no finished run to judge the time by")


def test_an_older_run_that_is_over_is_over_for_a_new_sweep(tmp_path):
    """What a run is called does not depend on settings that came later and change no number."""
    config = config_of(*SMALL)
    old = {
        key: value
        for key, value in config.items()
        if key not in ("checkpoint_seconds", "keep_checkpoint", "retry", "hang_minutes")
    }
    assert run_id(old) == run_id(config)
    trained(tmp_path / run_id(config), *SMALL)
    about = json.loads((tmp_path / run_id(config) / "environment.json").read_text())
    assert "task" not in about and "label" not in about, "no sweep has made it"
    (seen,) = scan(tmp_path, [planned(run_id(config))])
    assert seen.state == "done"


NONSENSE = [None, 3, "x", [], {}, [3], {"a": 1}, -1, True, [[]]]


@pytest.mark.parametrize(
    "name", ["environment.json", "result.json", "metrics.csv", "config.yaml", "error.txt", LOCK, "checkpoint.pt"]
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{", b"null", b"[1]", b"3", None], ids=repr)
def test_garbage_in_a_runs_folder_is_a_state_of_it(name, content, tmp_path):
    """None: a folder of that name."""
    for run in (ended(tmp_path / "over"), begun(tmp_path / "cut", rows=(20,))):
        (run.path / name).unlink(missing_ok=True)
        (run.path / name).mkdir() if content is None else (run.path / name).write_bytes(content)
    text = status(tmp_path)
    assert f"{tmp_path}: 2 runs: " in text
    assert len(text.splitlines()) <= 4 and "Traceback" not in text


@pytest.mark.parametrize(
    "name, key",
    [("environment.json", k) for k in ("steps", "continued_at_step", "task", "label", "process", "host")]
    + [("result.json", k) for k in ("outcome", "last", "seconds", "evaluations")],
)
def test_nonsense_under_a_key_is_no_traceback(name, key, tmp_path):
    for number, value in enumerate(NONSENSE):
        run = (ended if name == "result.json" else begun)(tmp_path / f"{number}")
        found = json.loads((run.path / name).read_text())
        (run.path / name).write_text(json.dumps({**found, key: value}))
    assert f"{tmp_path}: {len(NONSENSE)} runs: " in status(tmp_path)


def test_nonsense_in_the_figures_is_no_traceback(tmp_path):
    for number, value in enumerate(NONSENSE):
        run = ended(tmp_path / f"{number}")
        found = json.loads((run.path / "result.json").read_text())
        (run.path / "result.json").write_text(json.dumps({**found, "last": {"accuracy": value}}))
    assert f"{tmp_path}: {len(NONSENSE)} runs: " in status(tmp_path)


@pytest.mark.parametrize("key", ["", "runs", "slots", "name", "label", "task", "kind", "device", "flops", "more"])
def test_nonsense_in_a_sweeps_plan_is_no_traceback(key, tmp_path):
    """Damaged, or written by another version; the runs in the folder are there to be seen all the same."""
    ended(tmp_path / "done")
    (tmp_path / "sweeps").mkdir()
    for number, value in enumerate(NONSENSE):
        task: dict[str, Any] = {**TASK.record(), **({key: value} if key in ("kind", "device", "flops", "more") else {})}
        run = {
            "name": f"run{number}",
            "label": "x",
            "task": task,
            **({key: value} if key in ("name", "label", "task", "more") else {}),
        }
        found = {"runs": [run], "slots": 1, **({key: value} if key in ("runs", "slots") else {})} if key else value
        (tmp_path / "sweeps" / f"{number}.json").write_text(json.dumps(found))
    assert "done " in status(tmp_path) and f"{tmp_path}: " in status(tmp_path)


def test_files_and_folders_of_others_are_no_runs(tmp_path):
    ended(tmp_path / "done")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "table.md").touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "config.yaml").touch()
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "notes.txt").touch()
    (tmp_path / "sweeps" / "bad.json").write_bytes(b"\xff")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert status(tmp_path).endswith(f"{tmp_path}: 1 run: 1 done")


def test_a_folder_without_runs_is_named_with_those_that_have_some(tmp_path):
    ended(tmp_path / "outputs" / "quickstart" / "abc")
    for name, expected in (
        ("outputs/quickstrat", f"Did you mean '{tmp_path}/outputs/quickstart'?"),
        ("outputs", f"Did you mean '{tmp_path}/outputs/quickstart'?"),
        ("outputs/quickstart/abc", str(tmp_path / "outputs" / "quickstart")),
        ("outputs/quickstart/abc/config.yaml", "is not a folder"),
    ):
        with pytest.raises(UserError) as raised:
            status(tmp_path / name)
        assert expected in str(raised.value) and raised.value.exit_code == 2
    ended(tmp_path / "outputs" / "other" / "abc")
    with pytest.raises(UserError, match="Folders in it with runs: other, quickstart"):
        status(tmp_path / "outputs")


# --- how long it will take ---


def test_time_goes_with_the_operations_within_a_kind():
    pace = DurationModel()
    for flops, seconds in ((1e9, 10.0), (2e9, 20.0), (1e9, 90.0)):
        pace.observe(TASK._replace(flops=flops), seconds)
    assert pace.expect(TASK) == pytest.approx(10), "the median, which one slow run does not change"
    assert pace.expect(TASK._replace(flops=5e9)) == pytest.approx(50)


def test_another_kind_is_judged_by_the_device_and_another_device_not_at_all():
    pace = DurationModel()
    pace.observe(TASK, 10.0)
    pace.observe(TASK._replace(cost_class="other", flops=1e9), 30.0)
    assert pace.expect(TASK) == pytest.approx(10) and pace.expect(TASK._replace(cost_class="other")) == pytest.approx(
        30
    )
    assert pace.expect(TASK._replace(cost_class="new")) == pytest.approx(20)
    assert pace.expect(TASK._replace(device="cuda")) is None
    assert DurationModel().expect(TASK) is None


def test_a_task_without_operations_teaches_nothing():
    pace = DurationModel()
    pace.observe(Task("", "cpu", 0.0), 10.0)
    assert pace.expect(TASK) is None


def test_what_is_left_is_shared_by_the_slots_but_no_run_is():
    pace = DurationModel()
    pace.observe(TASK, 10.0)
    assert pace.total([(TASK, 1.0)] * 4, 2) == pytest.approx(20)
    assert pace.total([(TASK, 0.5), (TASK, 0.25)], 1) == pytest.approx(7.5)
    assert pace.total([(TASK, 1.0)] * 2, 8) == pytest.approx(10)
    assert pace.total([(TASK._replace(flops=9e9), 1.0), (TASK, 1.0)], 2) == pytest.approx(90), (
        "one long run is not halved"
    )
    assert pace.total([], 2) == 0
    assert pace.total([(TASK, 1.0), (TASK._replace(device="cuda"), 1.0)], 2) is None


def test_only_finished_runs_teach_a_pace(tmp_path):
    assert DurationModel.from_finished_runs(tmp_path / "nowhere").expect(TASK) is None
    ended(tmp_path / "diverged", seconds=1.0, outcome="diverged")
    begun(tmp_path / "cut", rows=(20,))
    (ended(tmp_path / "damaged", seconds=1.0).path / "result.json").write_text("{")
    (ended(tmp_path / "old", seconds=1.0).path / "environment.json").write_text("{}")
    assert DurationModel.from_finished_runs(tmp_path).expect(TASK) is None
    ended(tmp_path / "good", seconds=7.0)
    assert DurationModel.from_finished_runs(tmp_path).expect(TASK) == pytest.approx(7)


@NOW
@given(
    states=st.lists(st.tuples(st.sampled_from(State), st.floats(0, 1)), max_size=12),
    slots=st.integers(1, 4),
    notes=st.lists(st.just("5 cells are 4 different runs"), max_size=2),
)
def test_a_description_has_a_line_a_run_and_counts_that_add_up(states, slots, notes, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "paced"
    if not folder.exists():
        ended(folder / "one")
    seen = [
        RunStatus(planned(f"{i}", "x" * i), state, "why" * (i % 2), fraction)
        for i, (state, fraction) in enumerate(states)
    ]
    lines = describe(folder, seen, slots, notes).splitlines()
    total = next(line for line in lines if line.startswith(f"{folder}: "))
    assert f": {len(seen)} run" in total
    counts = re.findall(rf"(\d+) ({'|'.join(State)})", total)
    assert sum(int(count) for count, _ in counts) == len(seen)
    assert [name for _, name in counts] == [name for name in State if name in {state for state, _ in states}]
    assert [line.split()[:2] for line in lines[: len(seen)]] == [[one.run.name, one.state] for one in seen]
    assert lines[len(seen) : len(seen) + len(notes)] == notes
    assert (" left with " in total) == any(
        one.state in ("running", "interrupted", "damaged", "changed", "missing") for one in seen
    )


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0, "1 s"),
        (0.4, "1 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (3600, "60 min"),
        (5400, "1 h 30 min"),
        (360000, "100 h 00 min"),
    ],
)
def test_a_duration_is_short(seconds, words):
    assert duration(seconds) == words


@NOW
@given(seconds=st.floats(0, 1e7))
def test_a_duration_is_right_to_its_last_unit(seconds):
    words = duration(seconds)
    numbers = dict(zip(("s", "min", "h"), (0, 0, 0), strict=True)) | {
        unit: int(n) for n, unit in re.findall(r"(\d+) (s|min|h)\b", words)
    }
    assert numbers["min"] < 90 and (numbers["h"] == 0 or numbers["min"] < 60)
    given_seconds = numbers["s"] + 60 * numbers["min"] + 3600 * numbers["h"]
    assert abs(given_seconds - seconds) <= (1 if numbers["s"] else 30)


# --- the commands ---


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """`mixexp` in this process, which has imported torch already: (exit code, output, errors) of some words."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mixexp", *words])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        return (code, *capsys.readouterr())

    return call


def states_in(text: str) -> dict[str, str]:
    """Every run's state in the output of plan or status."""
    return {name: state for name, state in re.findall(r"^([0-9a-f]{12})  (\w+)", text, flags=re.MULTILINE)}


def test_a_plan_a_sweep_and_a_status_agree(command, tmp_path, monkeypatch):
    """First nothing is there, then a part of what is planned, then another sweep that has been stopped at once."""
    words = ("quickstart", "mix=mixup", "alpha=0.2,1", *SMALL)
    first = mixexp("plan", *words, "seed=0,1", cwd=tmp_path)
    assert first.returncode == 0 and first.stderr == ""
    assert set(states_in(first.stdout).values()) == {"missing"} and len(states_in(first.stdout)) == 8
    assert re.search(
        r"8 runs: 8 missing; about .* to .* left with \d at once\nthe time is a guess from operations, ", first.stdout
    )
    assert list(tmp_path.iterdir()) == [], "a plan leaves not even the folder"
    assert mixexp("status", "outputs/quickstart", cwd=tmp_path).returncode == 2

    done = mixexp("-m", f"experiment={words[0]}", *words[1:], "seed=0", cwd=tmp_path)
    assert done.returncode == 0 and "4 runs, 4 done" in done.stdout, done.stderr
    before = files(tmp_path)
    code, out, _ = command("plan", *words, "seed=0,1")
    assert code == 0 and files(tmp_path) == before, "a plan changes nothing"
    finished = {path.parent.name for path in tmp_path.glob("outputs/quickstart/*/result.json")}
    assert states_in(out) == {name: "done" if name in finished else "missing" for name in states_in(first.stdout)}
    assert re.search(r"8 runs: 4 done, 4 missing; about \d+ s left with \d+ at once\n$", out)
    for line in out.splitlines()[:8]:
        assert re.search(r"accuracy 0\.\d{4}$" if "  done  " in line else r"about \d+ s$", line), line

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(slot, "warm_up", lambda threads: None)
    monkeypatch.setattr(launch, "run_all", stop)
    assert command("-m", "experiment=quickstart", "mix=none", *SMALL)[0] == 130
    before = everything(tmp_path)
    found = mixexp("status", "outputs/quickstart", cwd=tmp_path)
    assert found.returncode == 0 and everything(tmp_path) == before
    seen = states_in(found.stdout)
    assert {name for name, state in seen.items() if state == "done"} == finished
    missing = {name for name, state in seen.items() if state == "missing"}
    assert len(missing) == 3 and len(seen) == 7, "what the sweeps were to make, not what a plan has looked at"
    assert states_in(command("plan", "quickstart", "mix=none", *SMALL)[1]).keys() == missing


def test_status_imports_no_torch(tmp_path):
    one_of_each(tmp_path / "sweep")
    keep_plan(tmp_path / "sweep", 1, [planned("missing")], slots=1)
    code = (
        "import sys, mixexp.cli as c; sys.argv = ['mixexp', 'status', 'sweep']; c.main(); sys.exit('torch' in"
        " sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "8 runs: 1 done" in done.stdout, done.stderr


def test_a_plan_collapses_what_acts_alike(command):
    code, out, _ = command("plan", "mix=none,mixup", "alpha=0.2,1", "mix_layer=input,final", *SMALL)
    assert (
        code == 0
        and "8 cells are 5 different runs: cells that act alike run once" in out
        and "5 runs: 5 missing" in out
    )
    code, out, _ = command("plan", *SMALL)
    assert code == 0 and "1 run: 1 missing" in out


def test_a_plan_with_refused_cells_shows_the_good_ones_and_the_reasons(command, tmp_path):
    code, out, errors = command("plan", "mix=mixup", "mix_layer=input,layer4", "alpha=0.5,-1", *SMALL)
    assert code == 2 and len(states_in(out)) == 1 and "1 run: 1 missing" in out
    assert errors.startswith("mixexp: ") and "Traceback" not in errors
    for part in (
        "alpha = -1: needs a number above 0\n    in 2 of 4 cells, first: ",
        "no layer 'layer4'",
        "in 1 of 4 cells, first: ",
    ):
        assert part in errors
    code, out, errors = command("plan", "alpha=-1", "mix=mixup,bc")
    assert code == 2 and out == "" and "in 2 of 2 cells" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "extra", [(), ("-m",), ("--multirun",), ("hydra/launcher=pool",), ("-m", "hydra/launcher=basic")], ids=" ".join
)
def test_a_plan_starts_nothing_however_it_is_asked_for(extra, command, tmp_path):
    code, out, errors = command("plan", "quickstart", *extra, "seed=0", "alpha=0.2", *SMALL)
    assert (code, errors) == (0, "") and "2 runs: 2 missing" in out
    assert list(tmp_path.iterdir()) == []


def test_a_plan_makes_no_folder_not_even_for_a_moment(command, monkeypatch):
    """A folder that is made to see whether it can be made is in the way of a sweep that starts at the same time."""
    made = []
    real = os.mkdir
    monkeypatch.setattr(
        os, "mkdir", lambda path, *arguments, **keywords: (made.append(path), real(path, *arguments, **keywords))
    )
    code, out, _ = command("plan", "output_dir=a/b", *SMALL)
    assert code == 0 and "1 run: 1 missing" in out and made == []


def test_a_plan_says_what_became_of_the_runs(command, tmp_path):
    names = list(states_in(command("plan", "seed=range(8)", *SMALL)[1]))
    root = tmp_path / "outputs" / "runs"
    for name, fake in zip(names, one_of_each(tmp_path / "model"), strict=True):
        if fake != "missing":
            shutil.copytree(tmp_path / "model" / fake, root / name)
    with held(root / names[6]):
        before = files(tmp_path)
        code, out, _ = command("plan", "seed=range(8)", *SMALL)
        assert files(tmp_path) == before
        assert states_in(command("status", "outputs/runs")[1]) == {
            k: v for k, v in states_in(out).items() if v != "missing"
        }
    assert code == 0
    expected = ("done", "diverged", "interrupted", "interrupted", "failed", "damaged", "running", "missing")
    assert tuple(states_in(out).values()) == expected
    assert "8 runs: 1 done, 1 diverged, 1 running, 2 interrupted, 1 failed, 1 damaged, 1 missing; about " in out


@pytest.mark.parametrize(
    "words, expected",
    [
        (("plan", "quickstrat"), ["quickstrat", "Did you mean 'quickstart'?"]),
        (("plan", "quickstart", "alhpa=1"), ["alhpa", "Did you mean 'alpha=1'?"]),
        (("plan", "quickstart", "mix=mixpu"), ["mixpu", "Did you mean 'mixup'?"]),
        (("plan", "quickstart", "mix_layer=final", "mix=none"), ["no cell of the experiment's grid"]),
        (("plan", "quickstart", "name=a,b"), ["one folder"]),
        (("plan", "experiment=quickstart,small_data"), ["one experiment at a time"]),
        (("plan", "quickstart", "small_data"), ["one experiment at a time"]),
        (("plan", "quickstart", "output_dir=afile/x"), ["cannot write", "27 of 27 cells"]),
        (("plan", "seed=0,"), ["seed=0,", "a value is missing beside a comma"]),
        (("plan", "--config-dir", "nowhere", "quickstart"), ["nowhere"]),
        (("pln", "quickstart"), ["pln", "Did you mean 'plan'?"]),
        (("status",), ["outputs/quickstart"]),
        (("status", "nowhere"), ["nowhere is not a folder"]),
        (("status", "afile"), ["afile is not a folder"]),
        (("status", "."), ["holds no run"]),
        (("stauts", "outputs"), ["Did you mean 'status'?"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_slip_gets_one_clear_message(words, expected, command, tmp_path):
    (tmp_path / "afile").touch()
    code, _, errors = command(*words)
    assert code == 2 and errors.startswith("mixexp: ") and "Traceback" not in errors
    for part in expected:
        assert part in errors
    assert [path.name for path in tmp_path.iterdir()] == ["afile"]


def test_a_plan_takes_options_from_a_users_folder(command, tmp_path):
    for name, text in {
        "mix/mine.yaml": "# Mine: mixup, wide.\ndefaults: [mixup]\nratio: {alpha: 7}\n",
        "preset/short.yaml": "# @package _global_\n# A group of my own.\nepochs: 1\nbatch_size: 32\n",
    }.items():
        (tmp_path / "my_conf" / name).parent.mkdir(parents=True)
        (tmp_path / "my_conf" / name).write_text(text)
    found = []
    for words in (("--config-dir", "my_conf"), ("--config-dir=my_conf",)):
        code, out, errors = command("plan", *words, "mix=none,mine", "+preset=short", "model.width=2")
        assert (code, errors) == (0, "") and "2 runs: 2 missing" in out
        found.append(states_in(out))
    same = states_in(command("plan", "--config-dir", "my_conf", "mix=none,mine", "batch_size=32", *SMALL)[1])
    assert found == [same, same]


def test_status_of_several_folders(command, tmp_path):
    ended(tmp_path / "one" / "a")
    ended(tmp_path / "two" / "b")
    code, out, _ = command("status", "one", "two")
    assert code == 0 and "one: 1 run: 1 done" in out and "two: 1 run: 1 done" in out
    code, out, errors = command("status", "one", "three")
    assert code == 2 and "one: 1 run: 1 done" in out and "three is not a folder" in errors
