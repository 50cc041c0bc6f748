"""Plans whose sweep has ended: what still counts in a folder's status, and when a watch ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_status import begun, ended, held, planned

from mixexp.sweeping import status as statuses
from mixexp.sweeping import watch as watching
from mixexp.sweeping.status import keep_plan, status

IDLE = "{}: stopped: no process works on the 1 run left; this continues with it: mixexp -m mix=none,mixup"


def leave_plan(folder: Path, *names: str, age: float = 0, **facts: Any) -> Path:
    """The plan of a sweep that began so many seconds ago and has ended."""
    before = set((folder / "sweeps").glob("*.json"))
    keep_plan(folder, len(names), [planned(name) for name in names], slots=1)
    (path,) = set((folder / "sweeps").glob("*.json")) - before
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(time.time() - age))
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"started": started, "command": "mixexp -m mix=none,mixup"} | facts)
    )
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.fixture
def watched(monkeypatch, capsys) -> Callable[..., list[str]]:
    """A function that watches a folder and gives what is printed; meanwhile: what happens at each look, after the last
    of which it must end."""

    def watch(folder: Path, *meanwhile: Callable[[], Any]) -> list[str]:
        left = list(meanwhile)

        def sleep(seconds: float) -> None:
            assert left, "it never ends"
            left.pop(0)()

        monkeypatch.setattr(watching, "sleep", sleep)
        watching.watch([folder], 2.0)
        assert not left, "it ended too early"
        return capsys.readouterr().out.splitlines()

    return watch


@contextlib.contextmanager
def another_process_at_work(folder: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    code = (
        "import sys, pathlib; from mixexp.sweeping.status import at_work\nwith at_work(pathlib.Path(sys.argv[1]),"
        " sys.argv[2]):\n    print('at work', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(folder), name]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "at work\n"
        try:
            yield process
        finally:
            process.kill()


def test_an_abandoned_plan_is_a_line_and_no_run(tmp_path, watched):
    leave_plan(tmp_path, "a", "b", "done", age=100)
    leave_plan(tmp_path, "done", "c", age=10)
    ended(tmp_path / "done")
    ended(tmp_path / "c")
    remark = (
        "not counted: 2 runs were planned by an earlier sweep and never begun; this makes them: mixexp -m"
        " mix=none,mixup"
    )
    assert status(tmp_path).splitlines()[-2:] == [f"{tmp_path}: 2 runs: 2 done", remark]
    assert watched(tmp_path)[-2:] == [f"{tmp_path}: 2 runs: 2 done", remark]
    leave_plan(tmp_path, "z", age=50)
    assert status(tmp_path).splitlines()[-1] == "not counted: 3 runs were planned by 2 earlier sweeps and never begun"


def test_what_an_abandoned_sweep_has_begun_is_still_there(tmp_path, watched):
    leave_plan(tmp_path, "a", "b", age=100)
    leave_plan(tmp_path, "c", age=10)
    begun(tmp_path / "a", rows=(20,))
    ended(tmp_path / "c")
    text = status(tmp_path)
    assert (
        f"{tmp_path}: 2 runs: 1 done, 1 interrupted; about 10 s left with 1 at once" in text
        and "not counted: 1 run was planned" in text
    )
    assert watched(tmp_path)[-2] == IDLE.format(tmp_path)


def test_the_last_plan_counts_after_its_sweep_was_stopped_but_is_not_waited_for(tmp_path, watched):
    leave_plan(tmp_path, "a", "b")
    ended(tmp_path / "a")
    assert status(tmp_path).endswith(
        f"2 runs: 1 done, 1 missing; about 10 s left with 1 at once\n{IDLE.format(tmp_path)}"
    )
    assert watched(tmp_path)[-1] == IDLE.format(tmp_path)


def test_a_run_without_a_sweep_is_waited_for(tmp_path, watched):
    leave_plan(tmp_path, "a", "b")
    with contextlib.ExitStack() as lock:
        lock.enter_context(held(tmp_path / "a"))
        begun(tmp_path / "a", rows=(20,))
        watched(tmp_path, lambda: None, lock.close)


def test_a_killed_sweep_is_not_waited_for(tmp_path, watched):
    leave_plan(tmp_path, "a", age=100)
    leave_plan(tmp_path, "b")
    with another_process_at_work(tmp_path, "sweep") as process:

        def kill() -> None:
            process.send_signal(signal.SIGKILL)
            process.wait()

        watched(tmp_path, lambda: None, kill)
    (lock,) = (tmp_path / "sweeps").glob("*.lock")
    os.utime(lock, (time.time() - 100,) * 2)
    with statuses.at_work(tmp_path, "another"):
        assert not lock.exists(), "the next sweep clears it away"
        (own,) = (tmp_path / "sweeps").glob("*.lock")
        os.utime(own, (time.time() - 100,) * 2)
        with statuses.at_work(tmp_path, "a third"):
            assert own.exists(), "not one that is held"
    assert not list((tmp_path / "sweeps").glob("*.lock"))


def test_two_processes_at_one_plan_are_both_waited_for(tmp_path, watched):
    path = leave_plan(tmp_path, "a", "b", age=100)
    leave_plan(tmp_path, "c")
    with another_process_at_work(tmp_path, path.stem) as first, another_process_at_work(tmp_path, path.stem) as second:
        assert "3 runs: 3 missing" in status(tmp_path), "an earlier sweep that is at work counts"

        def end(process: subprocess.Popen[str]) -> None:
            process.stdin.close()
            process.wait()

        watched(tmp_path, lambda: end(first), lambda: end(second))
    assert status(tmp_path).splitlines()[-3].endswith("1 run: 1 missing; no finished run to judge the time by")


def test_a_sweep_that_tries_failed_runs_again_and_a_search_between_two_trials_are_waited_for(tmp_path, watched):
    begun(tmp_path / "a").fail("RuntimeError: it broke\n")
    leave_plan(tmp_path, "a")
    with contextlib.ExitStack() as work:
        work.enter_context(statuses.at_work(tmp_path, "search"))
        watched(tmp_path, lambda: None, work.close)
    assert watched(tmp_path)[-1] == f"{tmp_path}: 1 run: 1 failed"


def test_jobs_in_a_queue_are_waited_for_for_a_week(tmp_path, watched, monkeypatch):
    """Whoever handed them over may have logged out, and no process here knows of them."""
    leave_plan(tmp_path, "a", "b", age=1000, queue="SlurmLauncher")
    leave_plan(tmp_path, "c", age=10)
    ended(tmp_path / "c")
    assert status(tmp_path).splitlines()[-1] == "2 of the runs may wait in the queue of SlurmLauncher"
    watched(tmp_path, lambda: ended(tmp_path / "a"), lambda: ended(tmp_path / "b"))
    leave_plan(tmp_path, "d", "e", age=5, queue="SlurmLauncher")
    watched(
        tmp_path, lambda: None, lambda: leave_plan(tmp_path, "d", "e", "f")
    )  # made anew by a sweep of this machine, which has ended
    leave_plan(tmp_path, "g", queue="SlurmLauncher")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 8 * 86_400)
    watched(tmp_path)


def test_a_plan_of_the_future_is_no_later_than_its_file(tmp_path):
    leave_plan(tmp_path, "a", age=100, started="9999-12-31T23:59:59+0000")
    leave_plan(tmp_path, "b", age=10, started="nonsense")
    assert "1 run: 1 missing" in status(tmp_path) and "b  missing" in status(tmp_path)


def test_a_blank_label_is_filled_by_a_later_plan_or_by_the_run_itself(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("seed: 1\n")
    watched = watching.Watched(tmp_path)
    assert [one.run.label for one in watched.scan()] == ["", ""]
    begun(tmp_path / "a", label="alpha=1")
    keep_plan(tmp_path, 1, [planned("b", "alpha=2")], slots=1)
    assert {one.run.name: one.run.label for one in watched.scan()} == {"a": "alpha=1", "b": "alpha=2"}


def test_the_command_that_goes_on_with_a_plan_is_one_that_a_shell_finds(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/mixexp/__main__.py", "-m", "seed=range(3)"])
    keep_plan(tmp_path, 1, [planned("a")], slots=1)
    assert status(tmp_path).splitlines()[-1].endswith("this continues with it: mixexp -m 'seed=range(3)'")
