"""What a folder says is shown and not obeyed: names, control characters, numbers, depth and kinds of files."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_status import TASK, begun, ended, everything, held, keep_plan, planned
from test_watch import looked

from mixexp.errors import UserError, say
from mixexp.sweeping.estimate import DurationModel
from mixexp.sweeping.status import scan, status
from mixexp.sweeping.watch import Watched
from mixexp.training import folder as record
from mixexp.training.reader import load_run, trained_config


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """A test that waits for a pipe fails instead."""

    def late(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def write_plan(folder: Path, *runs: Any, **facts: Any) -> None:
    (folder / "sweeps").mkdir(parents=True, exist_ok=True)
    (folder / "sweeps" / "plan.json").write_text(json.dumps({"runs": runs, "slots": 1, **facts}))


def change(path: Path, **facts: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


OUTSIDE = (
    "../outside",
    "{root}/outside",
    "../../x/../outside",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    "C:x",
    "x" * 300,
    "é" * 200,
    "a\x1bb",
    "a\nb",
    ".hidden",
    3,
    None,
    ["a"],
)


@pytest.mark.parametrize("name", OUTSIDE, ids=lambda name: repr(name)[:20])
def test_a_plan_names_no_folder_but_its_own(name, tmp_path):
    name = name.format(root=tmp_path) if isinstance(name, str) else name
    ended(tmp_path / "outside")
    (tmp_path / "outside" / record.LOCK).touch()
    ended(tmp_path / "sweep" / "a")
    write_plan(
        tmp_path / "sweep",
        {"name": name, "label": "evil", "task": TASK.record()},
        {"name": "b", "label": "good", "task": TASK.record()},
    )
    before = everything(tmp_path)
    folder = tmp_path / "sweep"
    assert status(folder).splitlines() == [
        "b  missing  good    about 10 s",
        "a  done     seed=a  accuracy 0.8750",
        f"{folder}: 2 runs: 1 done, 1 missing; about 10 s left with 1 at once",
        f"{folder}: stopped: no process works on the 1 run left; its command continues with it",
    ]
    assert len(Watched(tmp_path / "sweep").scan()) == 2 and everything(tmp_path) == before


def test_controls_in_any_text_of_a_record_are_escapes(tmp_path):
    evil = "\x1b[2J\x07\u202eevil\nsecond\tline\x9b"
    shown = "\\u001b[2J\\u0007\\u202eevil second line\\u009b"
    begun(tmp_path / "failed", label=evil).fail(f"Traceback\nRuntimeError: {evil.replace(chr(10), ' ')}\n")
    begun(tmp_path / "running", label="x", rows=(20,), host=evil)
    run = ended(tmp_path / "done")
    change(run.path / "result.json", last={evil: 0.5, "b": 1})
    (ended(tmp_path / "damaged").path / "result.json").write_text(
        json.dumps({"outcome": evil, "seconds": 1, "steps": 1, "last": {"a": 1}})
    )
    write_plan(tmp_path, {"name": "done", "label": evil, "task": TASK.record()})
    with held(tmp_path / "running"):
        lines = {line.split()[0]: line for line in status(tmp_path).splitlines()}
        picture = looked(Watched(tmp_path), 300, 20)
    assert lines["failed"].endswith(f"RuntimeError: {shown}") and shown in lines["failed"].partition("RuntimeError")[0]
    assert lines["running"].endswith(f"process 4711 on {shown}"[:90])
    assert lines["done"].startswith("done     done     " + shown[:20]) and lines["done"].endswith(", b 1")
    assert all(line.isprintable() for line in [*lines.values(), *picture])


def test_a_message_shows_controls_that_it_quotes(capsys):
    assert say("no such metric. Did you mean '\x1b[2J\ud800'?\nsecond line") == 2
    assert capsys.readouterr().err == "mixexp: no such metric. Did you mean '\\u001b[2J\\ud800'?\nsecond line\n"


HUGE = (10**400, 1e308, 1e400, -1, float("nan"), 10**19, True, "x", [1], {"a": 1})


@pytest.mark.parametrize("value", HUGE, ids=lambda value: str(type(value).__name__) + str(value)[:6])
def test_numbers_that_no_run_has_are_not_printed(value, tmp_path):
    run = begun(tmp_path / "a", rows=(20,))
    change(
        run.path / "environment.json",
        steps=value,
        continued_at_step=value,
        process=value,
        task={**TASK.record(), "flops": value},
    )
    change(ended(tmp_path / "b").path / "result.json", last={"accuracy": 0.5, "loss": value}, seconds=value)
    write_plan(tmp_path, slots=value)
    with held(tmp_path / "a"):
        lines = status(tmp_path).splitlines()
    assert all(len(line) < 150 + len(str(tmp_path)) for line in lines) and f"{tmp_path}: 2 runs: " in lines[2]
    assert lines[0].split()[:2] == ["a", "running"]
    assert (
        DurationModel.from_finished_runs(tmp_path).expect(TASK) is None
        or DurationModel.from_finished_runs(tmp_path).expect(TASK) < 1e10
    )


def test_a_figure_takes_no_more_room_than_its_size():
    figures = {"accuracy": 1e300, "macro_f1": 10**19, "a": -1e-320, "b": True, "c": float("nan"), "x" * 1000: 1}
    assert record.headline({"last": figures}, ("a",)) == "a -0.0000"
    assert (
        record.headline({"last": figures}, ("nothing",))
        == f"accuracy 1e+300, macro F1 1e+19, a -0.0000, b True, c nan, {'x' * 39}… 1"
    )


DEEP = {
    "lists": "[" * 100_000,
    "mappings": '{"a":' * 100_000,
    "closed": "[" * 5000 + "]" * 5000,
    "twice": '{"a": 1, "a": 2}',
    "a list": "[1]",
    "text": '"x"',
}


@pytest.mark.parametrize("what", DEEP)
@pytest.mark.parametrize("name", ["environment.json", "result.json", "sweeps/plan.json"])
def test_a_text_that_is_no_record_costs_its_own_row(name, what, tmp_path):
    ended(tmp_path / "a")
    ended(tmp_path / "b")
    keep_plan(tmp_path, 1, [planned("a")], slots=1)
    path = tmp_path / name if "/" in name else tmp_path / "a" / name
    path.write_text(DEEP[what])
    text = status(tmp_path)
    assert f"{tmp_path}: 2 runs: {'1 done, 1 damaged' if name == 'result.json' else '2 done'}" in text
    run = load_run(tmp_path / "a")
    assert run.outcome == ("finished" if "/" in name else "damaged")
    assert "/" in name or run.problem.startswith(f"{name} cannot be read: ")


@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "folder", "huge"])
@pytest.mark.parametrize(
    "name", ["environment.json", "result.json", "metrics.csv", "error.txt", "sweeps/plan.json", record.LOCK]
)
def test_only_files_are_read_and_nothing_is_waited_for(name, kind, tmp_path):
    ended(tmp_path / "a")
    ended(tmp_path / "b")
    (tmp_path / "sweeps").mkdir()
    path = tmp_path / name if "/" in name else tmp_path / "a" / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(2**40)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path.name)
    text = status(tmp_path)
    assert f"{tmp_path}: 2 runs: 1 done" in text or f"{tmp_path}: 2 runs: 2 done" in text
    if name == "metrics.csv" and kind in ("pipe", "folder"):
        seen, _ = scan(tmp_path, [planned("a"), planned("b")])
        assert (seen.state, seen.detail) == ("damaged", f"metrics.csv cannot be read: it is a {kind}, not a file")


def test_a_run_kept_in_a_full_disk_is_a_failure(tmp_path, monkeypatch):
    """Where nothing can be written any more, an empty file still can."""

    def full(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    for name in ("a", "b"):
        record.RunFolder(tmp_path / name).fail("Traceback\nOSError: [Errno 28] No space left on device\n")
    assert [one.state for one in scan(tmp_path, [planned("a"), planned("b")])] == ["failed", "failed"]
    assert scan(tmp_path, [planned("a")])[0].detail == "error.txt is empty, which is all that a full disk takes"


def test_a_file_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    from mixexp.reporting.write import write_files

    with monkeypatch.context() as broken, pytest.raises(OSError) as raised:
        broken.setattr(Path, "write_text", full)
        write_files(tmp_path, {"table.md": "text"})
    assert raised.value.filename == str(tmp_path / "table.md")
    (tmp_path / "table.md").mkdir()
    with pytest.raises(OSError) as raised:
        write_files(tmp_path, {"table.md": "text"})
    assert raised.value.filename == str(tmp_path / "table.md") and not list(tmp_path.glob("*.part"))
    with monkeypatch.context() as broken, pytest.raises(OSError) as raised:
        broken.setattr(os, "fsync", full)
        write_files(tmp_path, {"table.csv": "text"})
    assert raised.value.filename == str(tmp_path / "table.csv")


def test_the_version_of_a_checkout_that_is_not_installed_is_unknown(monkeypatch):
    def version(name: str) -> str:
        if name == "mixexp":
            raise record.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(record.metadata, "version", version)
    assert record.environment()["versions"]["mixexp"] is None and record.environment()["versions"]["torch"] == "1"


def test_a_folder_of_a_run_whose_config_bursts_has_no_weights(tmp_path):
    run = ended(tmp_path / "a")
    for text, words in (
        ("a: " + "[" * 100_000, "nested too deeply"),
        ("choices: 3\ntrusted_modules: []\nalpha: 1\n", "not a configuration of a run"),
    ):
        (run.path / "config.yaml").write_text(text)
        with pytest.raises(UserError, match=words):
            trained_config(run.path)
