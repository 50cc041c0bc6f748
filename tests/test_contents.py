"""A data set whose files are edited in place: no result passes for one of the new contents, none is lost."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from running import config_of

from mixexp.dataset import Splits
from mixexp.errors import UserError
from mixexp.plan.changes import stale
from mixexp.reporting.tables import build_table
from mixexp.train import train
from mixexp.training import data
from mixexp.training.folder import RunFolder
from mixexp.training.reader import load_runs
from mixexp.training.setup import restored
from mixexp.training.spec import RunConfig


def write(path, shift=0.0):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 2))
    rows = [f"{x:.4f},{y:.4f},{'in' if x * x + y * y < 1 else 'out'}" for x, y in points]
    rows[0] = f"{points[0][0] + shift:.4f},{rows[0].partition(',')[2]}"
    path.write_text("\n".join(["x,y,label", *rows]) + "\n")


def trained_until(folder, config, steps=None):
    notes = []
    run = train(RunConfig.of(config), RunFolder(folder, notes.append), {})
    for progress in run:
        if steps is not None and progress.step >= steps:
            run.close()
    return notes


@pytest.fixture
def config(tmp_path):
    write(tmp_path / "points.csv")
    data._load.cache_clear()
    words = (
        "dataset=csv",
        f"dataset.file={tmp_path / 'points.csv'}",
        "dataset.label=label",
        "model=mlp",
        "epochs=2",
        "batch_size=64",
    )
    return config_of(*words, "keep_checkpoint=true", "evaluations=2")


def edit(tmp_path):
    write(tmp_path / "points.csv", shift=0.001)
    data._load.cache_clear()  # as in the next command


def planned(folder, config):
    return [SimpleNamespace(folder=folder, config=RunConfig.of(config), first=None)]


def test_a_finished_run_of_edited_files_is_said_to_be_old(tmp_path, config):
    trained_until(tmp_path / "runs" / "one", config)
    assert stale(planned(tmp_path / "runs" / "one", config)) == []
    edit(tmp_path)
    (note,) = stale(planned(tmp_path / "runs" / "one", config))
    assert "1 finished run was made with other contents" in note and "one" in note
    with pytest.raises(UserError, match="files have changed since it was trained"):
        restored(tmp_path / "runs" / "one", RunConfig.of(config))
    assert stale(planned(tmp_path / "runs" / "never", config)) == []


def test_an_interrupted_run_of_edited_files_starts_afresh(tmp_path, config):
    trained_until(tmp_path / "one", config, steps=2)
    assert (tmp_path / "one" / "checkpoint.pt").exists()
    edit(tmp_path)
    notes = trained_until(tmp_path / "one", config)
    assert any("data" in note and "instead of" in note for note in notes) and not any(
        "goes on" in note for note in notes
    )


def test_a_report_warns_of_runs_of_different_contents(tmp_path, config):
    trained_until(tmp_path / "runs" / "one", config)
    assert not any("contents" in remark for remark in build_table(load_runs(tmp_path / "runs")).remarks)
    edit(tmp_path)
    trained_until(tmp_path / "runs" / "two", {**config, "seed": 1})
    table = build_table(load_runs(tmp_path / "runs"))
    assert "The runs were made with 2 different contents of the same data set's files." in table.remarks
    assert set(table.cells) == {
        ("all runs", "accuracy"),
        ("all runs", "balanced accuracy"),
    }  # the table's classes are unequal
    assert table.unlike.keys() == set(table.cells), "no mean of old and new data"


def test_records_without_a_digest_are_of_any_contents(tmp_path, config):
    trained_until(tmp_path / "one", config)
    record = tmp_path / "one" / "environment.json"
    record.write_text(
        json.dumps({key: value for key, value in json.loads(record.read_text()).items() if key != "data_contents"})
    )
    edit(tmp_path)
    assert stale(planned(tmp_path / "one", config)) == []
    restored(tmp_path / "one", RunConfig.of(config))


@given(st.integers(0, 4), st.integers(0, 2**31))
def test_whatever_changes_the_digest_does(part, seed):
    rng = np.random.default_rng(seed)
    images = [torch.from_numpy(rng.integers(0, 255, (n, 3, 4, 5), dtype=np.uint8)) for n in (6, 4)]
    splits = Splits(images[0], torch.arange(6) % 2, images[1], torch.arange(4) % 2, ("a", "b"))
    place = int(rng.integers(images[0].numel() // 2))

    def bumped(values):
        found = values.clone()
        found.view(-1)[place % found.numel()] ^= 1
        return found

    fields = ["train_images", "train_labels", "test_images", "test_labels"]
    change = {fields[part]: bumped(getattr(splits, fields[part]))} if part < 4 else {"classes": ("a", "c")}
    assert dataclasses.replace(splits, **change).digest != splits.digest
    last = {
        name: getattr(splits, name).contiguous(memory_format=torch.channels_last)
        for name in ("train_images", "test_images")
    }
    assert dataclasses.replace(splits, **last).digest == splits.digest, "however it lies in memory"
