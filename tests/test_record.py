"""A run's folder: what is in it at every moment of the run's life, and the figures selected at its end."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from running import result_of

from mixexp.files import write_atomically
from mixexp.training import folder as record
from mixexp.training.folder import COLUMNS, VALIDATION_COLUMNS, RunFolder, environment, metric_columns, select

CONFIG = {"seed": 3, "optimizer": {"lr": 0.1}, "choices": {"mix": "none", "experiment": None}, "name": "größe"}


def row(step: int, **changed: float) -> dict[str, float]:
    """An evaluation's row, with a figure of its own in every column."""
    values = {name: float(step + i) for i, name in enumerate(COLUMNS)} | {"step": step, "seconds": step / 10}
    return {**values, **changed}


def started(folder: Path, validation: bool = False) -> RunFolder:
    run = RunFolder(folder)
    run.start(CONFIG, {"device": "cpu"}, metric_columns(validation))
    return run


def finished(folder: Path) -> RunFolder:
    run = started(folder)
    run.append(row(1))
    run.confusion(np.eye(2, dtype=int), ("a", "b"))
    run.finish("finished", 1.23456, steps=1)
    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where this machine lets us have one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


# --- the life of a folder ---


def test_a_folder_that_is_not_there_is_unfinished(tmp_path: Path) -> None:
    assert result_of(tmp_path / "nowhere") is None
    assert result_of(tmp_path) is None


def test_start_says_what_runs_and_where(tmp_path: Path) -> None:
    run = started(tmp_path / "a" / "b")
    assert names(run.path) == {"config.yaml", "environment.json", "metrics.csv"}
    assert yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8")) == CONFIG
    assert list(yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8"))) == list(CONFIG)
    assert json.loads((run.path / "environment.json").read_text()) == {"device": "cpu"}
    assert (run.path / "metrics.csv").read_text() == ",".join([*COLUMNS, "seconds"]) + "\n"
    assert result_of(run.path) is None


def test_validation_columns_are_there_when_a_part_is_held_out(tmp_path: Path) -> None:
    started(tmp_path, validation=True)
    assert (tmp_path / "metrics.csv").read_text().strip().split(",") == [*COLUMNS, *VALIDATION_COLUMNS, "seconds"]


def test_rows_are_on_disk_at_once(tmp_path: Path) -> None:
    run = started(tmp_path)
    for step in (1, 2, 3):
        run.append(row(step))
        assert [float(line["step"]) for line in rows_of(tmp_path)] == list(range(1, step + 1))
        assert {key: float(value) for key, value in rows_of(tmp_path)[-1].items()} == row(step)
    assert result_of(run.path) is None


def test_a_row_with_an_unknown_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="extra"):
        started(tmp_path).append(row(1, extra=1.0))


def test_not_a_number_survives_the_csv(tmp_path: Path) -> None:
    started(tmp_path).append(row(1, train_loss=math.nan, test_loss=math.inf))
    assert math.isnan(float(rows_of(tmp_path)[0]["train_loss"])) and math.isinf(
        float(rows_of(tmp_path)[0]["test_loss"])
    )


def test_the_confusion_matrix_names_its_classes(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.confusion(np.ones((2, 2), dtype=int), ("old", "older"))
    run.confusion(np.array([[5, 1], [2, 7]]), ("cat, tame", "dog"))
    with (tmp_path / "confusion.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["true \\ predicted", "cat, tame", "dog"],
            ["cat, tame", "5", "1"],
            ["dog", "2", "7"],
        ]
    assert names(tmp_path) == {"config.yaml", "environment.json", "metrics.csv", "confusion.csv"}


def test_finish_writes_the_result_and_gives_it_back(tmp_path: Path) -> None:
    run = finished(tmp_path)
    result = result_of(run.path)
    assert {key: result[key] for key in ("outcome", "seconds", "steps")} == {
        "outcome": "finished",
        "seconds": 1.235,
        "steps": 1,
    }
    assert set(result) == {"outcome", "seconds", "steps", "evaluations", "last", "median_last_10", "best"}
    assert result_of(tmp_path) == result
    assert names(tmp_path) == {"config.yaml", "environment.json", "metrics.csv", "confusion.csv", "result.json"}


def test_a_new_start_clears_what_an_earlier_attempt_left(tmp_path: Path) -> None:
    finished(tmp_path).fail("Traceback: …")
    again = started(tmp_path)
    assert names(tmp_path) == {"config.yaml", "environment.json", "metrics.csv"}
    assert rows_of(tmp_path) == [] and result_of(again.path) is None


def test_a_failure_keeps_its_traceback_and_is_unfinished(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "new")
    run.fail("Traceback: größe")
    assert (run.path / "error.txt").read_text(encoding="utf-8") == "Traceback: größe"
    assert result_of(run.path) is None


@pytest.mark.parametrize("length", [0, 1, 40, -2])
def test_a_truncated_result_is_unfinished(tmp_path: Path, length: int) -> None:
    run = finished(tmp_path)
    whole = (tmp_path / "result.json").read_bytes()
    (tmp_path / "result.json").write_bytes(whole[:length])
    assert result_of(run.path) is None


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"null", b"[]", b"{}", b'"outcome"', b"\0" * 30])
def test_an_unreadable_result_is_unfinished(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "result.json").write_bytes(content)
    assert result_of(tmp_path) is None


def test_a_folder_in_the_place_of_the_result_is_unfinished(tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    assert result_of(tmp_path) is None


# --- atomic writes and full disks ---


def test_the_result_is_written_last_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment of the rename everything else is there and the new file is complete."""
    seen: list[tuple[set[str], dict[str, Any]]] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        if Path(target).name == "result.json":
            seen.append((names(tmp_path) - {self.name}, json.loads(self.read_text())))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    run = finished(tmp_path)
    ((others, content),) = seen
    assert others == {"config.yaml", "environment.json", "metrics.csv", "confusion.csv"}
    assert content == result_of(run.path)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    write_atomically(target, "old")

    def interrupted(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(record.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, "new and longer")
    assert target.read_text() == "old"


def test_a_write_is_on_disk_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(record.os, "fsync", lambda descriptor: (events.append("fsync"), fsync(descriptor)))
    monkeypatch.setattr(Path, "replace", lambda self, target: (events.append("replace"), replace(self, target))[1])
    write_atomically(tmp_path / "file", "text")
    assert events == ["fsync", "replace"]


def test_writers_in_two_processes_do_not_share_a_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partials: list[str] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: (partials.append(self.name), replace(self, target))[1])
    for pid in (1, 2):
        monkeypatch.setattr(record.os, "getpid", lambda pid=pid: pid)
        write_atomically(tmp_path / "file", "text")
    assert len(set(partials)) == 2


@pytest.mark.parametrize("operation", ["write", "fsync", "rename"])
def test_a_full_disk_leaves_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    run = started(tmp_path)
    run.append(row(1))

    def full(*_arguments: object, **_more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    calls = {"write": (Path, "write_text"), "fsync": (record.os, "fsync"), "rename": (Path, "replace")}
    monkeypatch.setattr(*calls[operation], full)
    with pytest.raises(OSError, match="No space left"):
        run.finish("finished", 1.0)
    assert not (tmp_path / "result.json").exists() and not list(tmp_path.glob("*.part"))
    assert result_of(run.path) is None


def test_a_really_full_disk_leaves_no_result(small_disk: Path) -> None:
    run = started(small_disk / "run")
    run.append(row(1))
    with pytest.raises(OSError, match="No space left"):
        run.finish("finished", 1.0, facts="x" * 100_000)
    assert result_of(run.path) is None
    assert not (run.path / "result.json").exists()
    assert float(rows_of(run.path)[0]["step"]) == 1


# --- the three selections ---


def test_a_worked_example_of_the_three_selections() -> None:
    accuracy = [0.1, 0.9, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.35, 0.45, 0.55]
    rows = [row(i, accuracy=value, test_loss=1 - value, train_loss=2 + value) for i, value in enumerate(accuracy)]
    found = select(rows)
    assert {way: found[way]["accuracy"] for way in found} == {
        "last": 0.55,
        "median_last_10": pytest.approx(0.475),
        "best": 0.9,
    }
    assert found["best"]["test_loss"] == pytest.approx(0.1), "the best loss is the least"
    assert found["best"]["train_loss"] == pytest.approx(2.1)
    assert found["median_last_10"]["test_loss"] == pytest.approx(0.525)


def test_the_selections_hold_figures_and_no_counters() -> None:
    held_out = dict.fromkeys(VALIDATION_COLUMNS, 0.5)
    for figures in select([row(1, **held_out)]).values():
        assert set(figures) == {*COLUMNS, *VALIDATION_COLUMNS} - {"step", "epoch", "lr"}


def test_the_best_validation_figures() -> None:
    rows = [row(i, **dict.fromkeys(VALIDATION_COLUMNS, value)) for i, value in enumerate((0.5, 0.2, 0.7))]
    found = select(rows)["best"]
    assert (found["val_loss"], found["val_accuracy"], found["val_macro_f1"]) == (0.2, 0.7, 0.7)


def test_without_evaluations_there_is_nothing_to_select() -> None:
    assert select([]) == {"last": {}, "median_last_10": {}, "best": {}}


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_selections_follow_their_names(values: list[float]) -> None:
    found = select([row(i, accuracy=value, test_loss=value) for i, value in enumerate(values)])
    assert found["last"]["accuracy"] == values[-1]
    assert found["median_last_10"]["accuracy"] == statistics.median(values[-10:])
    assert (found["best"]["accuracy"], found["best"]["test_loss"]) == (max(values), min(values))


def test_the_result_has_the_selections_of_the_appended_rows(tmp_path: Path) -> None:
    run = started(tmp_path)
    rows = [row(i, accuracy=1 / i) for i in range(1, 14)]
    for one in rows:
        run.append(one)
    run.finish("finished", 1.0, steps=13)
    result = result_of(run.path)
    assert {way: result[way] for way in ("last", "median_last_10", "best")} == select(rows)


# --- the environment ---


def test_the_environment_says_what_a_reader_needs_to_repeat_the_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.start(CONFIG, environment(device="cpu", threads=1, label="mix=none"))
    found = json.loads((tmp_path / "environment.json").read_text())
    assert (found["device"], found["threads"], found["label"]) == ("cpu", 1, "mix=none")
    assert {"started", "command", "host", "process", "git", "python", "versions", "platform", "processor_count"} <= set(
        found
    )
    assert found["versions"]["numpy"] == np.__version__


def test_outside_a_checkout_the_commit_is_unknown_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "_PROGRAM", Path("/proc/nowhere"))
    assert environment()["git"] is None
