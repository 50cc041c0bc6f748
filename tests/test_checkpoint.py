"""An interrupted run goes on as if it had not stopped, and what is not a sound checkpoint of its own is left alone."""

from __future__ import annotations

import ast
import contextlib
import csv
import errno
import functools
import hashlib
import importlib
import io
import itertools
import json
import os
import pickle
import resource
import shutil
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from running import config_of, covering, errors_of, resolved

import mixexp
from mixexp.errors import UserError
from mixexp.plan.composer import composed
from mixexp.plan.groups import GROUPS, OPTIONAL_GROUPS
from mixexp.plan.options import options
from mixexp.plan.plan import plan
from mixexp.settings import CONF
from mixexp.sweeping.one import execute, warm_starts
from mixexp.train import train
from mixexp.training import checkpoint as checkpoints
from mixexp.training.checkpoint import COMPUTES, Checkpoint, code_hash
from mixexp.training.folder import LOCK, RunFolder
from mixexp.training.spec import RunConfig
from mixexp.training.weights import read_weights

OPTIONS = options([CONF])

# four steps in two epochs, whose second batch is a partial one; an evaluation after each epoch
SMALL = ("subset=balanced", "subset.n=100", "batch_size=64", "epochs=null", "steps=4", "keep_checkpoint=true")
STEPS = 4
MODELS = {
    "small_cnn": ("model.width=2",),
    "wide_resnet28_10": ("model.depth=10", "model.widen=1"),
    "resnet32": ("model.depth=8", "model.width=2"),
    "densenet_bc190": ("model.depth=10", "model.growth=4"),
    "vgg11": ("model.width=4", "model.hidden=16"),
}
FEW = ("subset.n=40", "batch_size=20", "steps=2", "dataset.test_fraction=0.02")
"""Two steps of an epoch, for networks whose steps and checkpoints take seconds."""
RICH = (
    *(
        "mix=mixup",
        "mix_layer=random",
        "augment=standard",
        "augment.shift=1",
        "schedule=cosine",
        "schedule.warmup_epochs=0.5",
    ),
    *("imbalance=exponential", "imbalance.ratio=3", "sampling=oversample", "label_noise=uniform", "validation=0.1"),
)

BC = ("mix=bc", "mix.step_size=32", "loss=affinity", "optimizer=adam", "precision=bfloat16")


def small(*words: str) -> dict[str, Any]:
    """A configuration of a few steps; of a model in its smallest size, where it has sizes."""
    model = next((word.split("=")[1] for word in words if word.startswith("model=")), "small_cnn")
    return config_of(*([] if model == "small_cnn" else [f"model={model}"]), *MODELS.get(model, ()), *SMALL, *words)


def attempt(folder: Path, config: dict[str, Any], steps: int | None = None, shorter: Sequence[Path] = ()) -> list[str]:
    """Train in a folder, to the end or until it is stopped after so many steps; returns what the user is told."""
    notes: list[str] = []
    with contextlib.closing(train(RunConfig.of(config), RunFolder(folder, notes.append), {}, shorter)) as run:
        for done, _ in enumerate(run, start=1):
            if done == steps:
                break
    return notes


def interrupted(folder: Path, config: dict[str, Any], stops: Sequence[int]) -> list[str]:
    """Train in a folder in several attempts, each stopped after so many steps, and a last one to the end; the last
    one's notes."""
    for steps in stops:
        attempt(folder, config, steps)
        assert not (folder / "result.json").exists(), "a stopped run is not over"
    return attempt(folder, config)


def state_of(folder: Path) -> dict[str, Any]:
    """What the checkpoint holds, but for what a clock says."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    del state["seconds"]
    return state | {"rows": [{key: value for key, value in row.items() if key != "seconds"} for row in state["rows"]]}


def equal(one: Any, two: Any) -> bool:
    """Bit for bit, in the same memory layout."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(equal, one, two))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two) and one.stride() == two.stride() and one.dtype == two.dtype
    return type(one) is type(two) and one == two


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def result_of(folder: Path) -> dict[str, Any]:
    return {key: value for key, value in json.loads((folder / "result.json").read_text()).items() if key != "seconds"}


def assert_same(one: Path, two: Path) -> None:
    """Two folders hold the same run: its rows, its confusion matrix, its figures and, where it is kept, its final
    state."""
    assert rows_of(one) == rows_of(two)
    assert (one / "confusion.csv").read_bytes() == (two / "confusion.csv").read_bytes()
    assert result_of(one) == result_of(two)
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
    if (one / "checkpoint.pt").exists():
        assert equal(state_of(one), state_of(two))


def assert_resumes(config: dict[str, Any], folder: Path, *patterns: Sequence[int]) -> None:
    """Stopped in any of these ways, the run is the one that was not stopped."""
    attempt(folder / "whole", config)
    for stops in patterns:
        path = folder / "-".join(map(str, stops))
        notes = interrupted(path, config, stops)
        assert notes == (
            [f"goes on at step {sum(stops)} of {config['steps']}"] if sum(stops) < config["steps"] else notes
        )
        assert_same(folder / "whole", path)
        shutil.rmtree(path)  # the large networks' states would fill a small disk
    shutil.rmtree(folder / "whole")


ONE_BY_ONE = (1, 1, 1)


# --- every option, bit for bit ---


@pytest.mark.parametrize("words", covering("loss", "optimizer", "schedule", "augment"), ids=" ".join)
def test_every_mix_loss_optimizer_schedule_and_augmentation_goes_on_as_if_it_had_not_stopped(words, tmp_path):
    assert_resumes(small(*words), tmp_path, ONE_BY_ONE, (3,))


@pytest.mark.parametrize("sampling", sorted(OPTIONS["sampling"]))
def test_every_sampling_does(sampling, tmp_path):
    config = small(f"sampling={sampling}", "imbalance=exponential", "imbalance.ratio=3", "batch_size=30")
    assert_resumes(config, tmp_path, ONE_BY_ONE, (3,))


def test_a_mix_that_stops_halfway_does(tmp_path):
    assert_resumes(small("mix=cmo", "mix.after=0", "mix.until=0.5", "augment=standard"), tmp_path, ONE_BY_ONE, (2,))


@functools.cache
def _with_layers(option: str) -> tuple[str, ...]:
    """The smallest model that has the layers an option names."""
    for model in ("small_cnn", "wide_resnet28_10", *OPTIONS["model"]):
        words = (f"model={model}", *MODELS.get(model, ()), "mix=mixup", f"mix_layer={option}")
        if errors_of(resolved(*words)) == []:
            return words
    raise AssertionError(f"no model has the layers of mix_layer={option}")


@pytest.mark.parametrize("option", sorted(OPTIONS["mix_layer"]))
def test_every_mix_layer_does(option, tmp_path):
    words = _with_layers(option)
    few = () if words[0].endswith("small_cnn") else FEW
    assert_resumes(small(*words, *few), tmp_path, (1,) if few else ONE_BY_ONE)


@pytest.mark.parametrize("model", sorted(OPTIONS["model"]))
def test_every_model_does(model, tmp_path):
    """With all that it draws and counts: dropout, BatchNorm's averages; some have a hundred megabytes of state."""
    assert_resumes(small(f"model={model}", *FEW), tmp_path, (1,))


@pytest.mark.parametrize("stops", [(1,), (2,), (3,), (4,), (1, 1), (2, 1), (3, 1), (1, 1, 1), (1, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("words", [RICH, BC], ids=["rich", "bc"])
def test_it_does_wherever_and_how_often_it_is_stopped(words, stops, tmp_path):
    assert_resumes(small(*words), tmp_path, stops)


@pytest.mark.parametrize("words", [(), ("evaluations=1",)], ids=["at the first evaluation", "long after"])
def test_a_run_that_diverges_does_so_all_the_same(words, tmp_path):
    config = small("optimizer.lr=1e30", "steps=6", *words)
    attempt(tmp_path / "whole", config)
    over_at = result_of(tmp_path / "whole")["steps"]
    assert result_of(tmp_path / "whole")["outcome"] == "diverged" and over_at == (6 if words else 2)
    assert not (tmp_path / "whole" / "checkpoint.pt").exists(), "nobody can go on from there"
    for stops in ((1,), (1, 1, 1, 1, 1), (3, 2)):
        path = tmp_path / "-".join(map(str, stops))
        interrupted(path, config, stops if sum(stops) < over_at else stops[:1] if stops[0] < over_at else ())
        assert_same(tmp_path / "whole", path)


def test_without_keep_checkpoint_none_is_left(tmp_path):
    config = small("keep_checkpoint=false")
    attempt(tmp_path, config, 2)
    assert (tmp_path / "checkpoint.pt").exists()
    attempt(tmp_path, config)
    assert not (tmp_path / "checkpoint.pt").exists() and result_of(tmp_path)["outcome"] == "finished"


# --- what is on disk meanwhile ---


def test_after_a_stop_the_rows_stay_as_they_are_and_the_rest_follows(tmp_path):
    config = small(*RICH, "steps=8")
    before = ""
    for number in range(8):
        notes = attempt(tmp_path, config, 1 if number < 7 else None)
        assert notes == ([f"goes on at step {number} of 8"] if number else [])
        assert json.loads((tmp_path / "environment.json").read_text())["continued_at_step"] == number
        text = (tmp_path / "metrics.csv").read_text()
        assert text.startswith(before), "with their seconds"
        before = text
    seconds = [float(line.rpartition(",")[2]) for line in before.splitlines()[1:]]
    assert seconds == sorted(seconds), "training time adds up over the attempts"
    assert json.loads((tmp_path / "result.json").read_text())["seconds"] >= seconds[-1]


def test_killed_after_any_step_it_goes_on_from_the_last_checkpoint(tmp_path):
    """A kill is the folder as it is at that moment, also with rows that the checkpoint does not have yet."""
    config = small(*RICH, "checkpoint_seconds=0")
    for done, _ in enumerate(train(RunConfig.of(config), RunFolder(tmp_path / "whole"), {}), start=1):
        if done < STEPS:
            assert torch.load(tmp_path / "whole" / "checkpoint.pt", weights_only=True)["step"] == done, (
                "0 seconds: after every step"
            )
        shutil.copytree(tmp_path / "whole", tmp_path / f"killed after {done}")
    shutil.copytree(tmp_path / "killed after 3", tmp_path / "killed with an old one")
    shutil.copy(tmp_path / "killed after 1" / "checkpoint.pt", tmp_path / "killed with an old one")
    assert rows_of(tmp_path / "killed with an old one"), "more than its checkpoint has"
    shutil.copytree(tmp_path / "killed after 2", tmp_path / "killed while writing")
    (tmp_path / "killed while writing" / "checkpoint.pt.123.part").write_bytes(b"half of")
    shutil.copytree(tmp_path / "killed after 2", tmp_path / "killed while adding a row")
    with (tmp_path / "killed while adding a row" / "metrics.csv").open("a") as file:
        file.write("4,2.0,0.0")
    expected = {f"after {done}": min(done, STEPS - 1) for done in range(1, STEPS + 1)}
    for name, step in {**expected, "with an old one": 1, "while writing": 2, "while adding a row": 2}.items():
        assert attempt(tmp_path / f"killed {name}", config) == [f"goes on at step {step} of 4"]
        assert_same(tmp_path / "whole", tmp_path / f"killed {name}")


def test_killed_before_its_first_checkpoint_it_starts_afresh(tmp_path):
    config = small()
    attempt(tmp_path / "whole", config)
    with contextlib.closing(train(RunConfig.of(config), RunFolder(tmp_path / "killed"), {})) as run:
        next(run), next(run), next(run)
        shutil.copytree(tmp_path / "killed", tmp_path / "copy")
    assert attempt(tmp_path / "copy", config) == []
    assert_same(tmp_path / "whole", tmp_path / "copy")


def planned(*words: str) -> Any:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cell = composed(hydra.compose("config", overrides=list(words), return_hydra_config=True))
        (run,) = plan([cell], [words]).runs
    return run


@pytest.mark.parametrize("at", range(1, STEPS + 1))
def test_a_stop_loses_no_step_not_even_in_the_last_one(at, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, stop, notes = planned("model.width=2", *SMALL), threading.Event(), []

    def stop_there(progress: Any) -> None:
        if progress.step == at:
            stop.set()

    try:
        result = execute(run, stop_there, stop, notes.append)
    except KeyboardInterrupt:  # not to end the tests' own process
        result = None
    if at < STEPS:
        assert result is None and torch.load(run.folder / "checkpoint.pt", weights_only=True)["step"] == at
        execute(run, lambda progress: None, threading.Event(), notes.append)
        assert notes == [f"goes on at step {at} of 4"]
    else:
        assert result is not None and notes == [], "nothing but its result was left to write"


def test_a_failed_run_is_let_go_of_though_its_error_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = planned("model.width=2", *SMALL)

    def break_it(progress: Any) -> None:
        raise RuntimeError("broken")

    with pytest.raises(
        RuntimeError, match="broken"
    ) as kept:  # its traceback keeps the frames alive, as a launcher's results do
        execute(run, break_it, threading.Event())
    with FileLock(run.folder / LOCK, timeout=0):
        assert kept.value.__traceback__ is not None


# --- from where a shorter run ended ---


@pytest.mark.parametrize(
    "words, before, after, starts_at",
    [
        ((), 2, 6, 2),
        (("mix=mixup", "mix_layer=random", "optimizer=adam", "validation=0.1"), 4, 5, 4),
        (("schedule=steps", "schedule.milestones=[1,2]", "schedule.milestones_in=epochs"), 6, 8, 6),
        (("schedule.warmup_epochs=1.5",), 4, 6, 4),
        # another learning rate, an evaluation more, evaluations at other steps
        (("schedule=cosine",), 2, 6, 0),
        (("schedule=steps",), 4, 8, 0),
        ((), 3, 6, 0),
        (("evaluations=2",), 4, 8, 0),
        (("evaluations=2",), 4, 4, 0),
        ((), 6, 2, 0),
    ],
)
def test_a_longer_run_is_the_same_from_where_a_shorter_one_ended(words, before, after, starts_at, tmp_path):
    attempt(tmp_path / "shorter", small(*words, f"steps={before}"))
    config = small(*words, f"steps={after}")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "shorter").iterdir()}
    attempt(tmp_path / "alone", config)
    notes = attempt(tmp_path / "longer", config, shorter=[tmp_path / "nowhere", tmp_path / "shorter"])
    assert notes == ([f"goes on at step {starts_at} of {after}, where shorter ended"] if starts_at else [])
    assert_same(tmp_path / "alone", tmp_path / "longer")
    assert kept == {path.name: path.read_bytes() for path in (tmp_path / "shorter").iterdir()}, (
        "the shorter one stays as it is"
    )


def test_a_longer_run_prefers_its_own_checkpoint_and_can_be_stopped_too(tmp_path):
    attempt(tmp_path / "shorter", small("steps=2"))
    config = small("steps=8")
    attempt(tmp_path / "alone", config)
    attempt(tmp_path / "longer", config, 3, shorter=[tmp_path / "shorter"])
    assert attempt(tmp_path / "longer", config, shorter=[tmp_path / "shorter"]) == ["goes on at step 5 of 8"]
    assert_same(tmp_path / "alone", tmp_path / "longer")


def test_shorter_runs_are_found_without_looking_at_all_runs_again_for_every_run(tmp_path, monkeypatch):
    def finished_run(name: str, family: str, steps: int) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "environment.json").write_text(json.dumps({"family": family, "steps": steps}))
        (tmp_path / name / "checkpoint.pt").touch()
        (tmp_path / name / "metrics.csv").write_text("step,accuracy\n2,0.5\n")
        result = {"outcome": "finished", "steps": steps, "seconds": 1.0, "last": {"step": steps, "accuracy": 0.5}}
        (tmp_path / name / "result.json").write_text(json.dumps(result))

    for n in range(20):
        finished_run(f"other_{n}", f"family_{n}", 2)
    for steps in (2, 10, 4):
        finished_run(f"shorter_{steps}", "ours", steps)
    run = types.SimpleNamespace(folder=tmp_path / "run", family="ours", first=None)
    run.folder.mkdir()
    longest_first = [tmp_path / f"shorter_{steps}" for steps in (10, 4, 2)]
    assert warm_starts(run) == longest_first

    looked_at: list[str] = []
    stat = os.stat
    monkeypatch.setattr(
        os, "stat", lambda path, *args, **kwargs: looked_at.append(str(path)) or stat(path, *args, **kwargs)
    )
    finished_run("shorter_6", "ours", 6)
    looked_at.clear()
    assert warm_starts(run) == [longest_first[0], tmp_path / "shorter_6", *longest_first[1:]]
    assert not [path for path in looked_at if "other_" in path] and [path for path in looked_at if "shorter_" in path]


# --- writing ---


STATE = {"step": 1, "network": {"weight": torch.arange(3.0)}}


@contextlib.contextmanager
def small_files(most: int) -> Iterator[None]:
    """Inside, no file of this process can become larger, as on a disk that fills up while it is written."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY if hard == resource.RLIM_INFINITY else hard, hard)
        )


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_checkpoint_that_can_be_written_in_part_only_leaves_the_old_one(part, tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", {"code": "x"}, 60)
    checkpoint.save(STATE)
    before = checkpoint.path.read_bytes()
    with small_files(int(part * len(before))), pytest.raises((OSError, RuntimeError)):
        checkpoint.save(STATE | {"step": 2})
    assert checkpoint.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"], "half a file takes the room of the next one"
    assert checkpoint.load(checkpoint.path, pytest.fail)["step"] == 1


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), KeyboardInterrupt(), MemoryError()], ids=repr)
@pytest.mark.parametrize("place, name", [(torch, "save"), (os, "fsync")], ids=["torch.save", "fsync"])
def test_a_checkpoint_interrupted_at_any_moment_leaves_the_old_one(place, name, error, tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", {"code": "x"}, 60)
    checkpoint.save(STATE)
    before = checkpoint.path.read_bytes()

    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as broken, pytest.raises(type(error)):
        broken.setattr(place, name, fail)
        checkpoint.save(STATE | {"step": 2})
    assert checkpoint.path.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_run_whose_checkpoint_could_not_be_written_goes_on_from_the_one_before(tmp_path, monkeypatch):
    config = small(*RICH, "checkpoint_seconds=0")
    attempt(tmp_path / "whole", config)
    real, calls = torch.save, itertools.count(1)

    def full_at_the_third(*arguments: Any) -> None:
        if next(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(torch, "save", full_at_the_third)
    with pytest.raises(OSError, match="No space"):
        attempt(tmp_path / "full", config)
    assert attempt(tmp_path / "full", config) == ["goes on at step 2 of 4"]
    assert_same(tmp_path / "whole", tmp_path / "full")


class Clock:
    """A time that a test sets; saving takes `cost` of it."""

    def __init__(self) -> None:
        self.now, self.cost = 100.0, 0.0

    def monotonic(self) -> float:
        return self.now

    def save(self, state: Any, file: Any) -> None:
        self.now += self.cost
        (file.write_bytes if isinstance(file, Path) else file.write)(b"the state")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(checkpoints, "time", found)
    monkeypatch.setattr(torch, "save", found.save)
    return found


def test_checkpoints_are_as_far_apart_as_asked_for_and_further_where_they_are_slow(clock, tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", {}, 60)
    assert not checkpoint.due(), "at its start a run has nothing to lose"
    clock.now += 59
    assert not checkpoint.due()
    clock.now += 1
    assert checkpoint.due()
    clock.cost = 10
    checkpoint.save({})
    clock.now += 199
    assert not checkpoint.due()
    clock.now += 1
    assert checkpoint.due(), "20 times what one takes"


def test_one_stall_does_not_keep_checkpoints_apart(clock, tmp_path):
    """A network disk that hangs for a minute once; a disk that is always slow is asked for less; and one that recovers
    is asked as before."""

    def seconds_until_due(cost: float) -> float:
        clock.cost = cost
        checkpoint.save({})
        saved = clock.now
        while not checkpoint.due():
            clock.now += 1
        return clock.now - saved

    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", {}, 60)
    assert [seconds_until_due(cost) for cost in (1, 60, 1, 1)] == [60, 60, 60, 60]
    assert [seconds_until_due(cost) for cost in (10, 10, 30, 10, 1, 1)] == [60, 200, 200, 200, 60, 60]
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", {}, 60)
    assert [seconds_until_due(cost) for cost in (30, 1, 1)] == [600, 60, 60], "of a first one nothing is known"


def test_zero_seconds_are_after_every_step_whatever_one_costs(clock, tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", {}, 0)
    clock.cost = 10
    for _ in range(3):
        assert checkpoint.due()
        checkpoint.save({})
    assert checkpoint.due()


# --- reading ---


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped after two of its four steps."""
    folder = tmp_path_factory.mktemp("stopped")
    attempt(folder, small(), 2)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same run, never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    attempt(folder, small())
    return folder


MADE_BY = {
    "torch": "0.1",
    "numpy": "0.2",
    "code": "another",
    "device": "mps",
    "bfloat16": True,
    "speed": "graph",
    "data": "0123",
}


def test_a_checkpoint_says_all_that_can_change_the_numbers(stopped):
    assert torch.load(stopped / "checkpoint.pt", weights_only=True)["made_by"].keys() == MADE_BY.keys()


@pytest.mark.parametrize("names", [*((name,) for name in MADE_BY), ("torch", "code")], ids=" ".join)
def test_a_checkpoint_made_by_something_else_is_named_and_left(names, stopped, whole, tmp_path):
    shutil.copytree(stopped, tmp_path / "run")
    _, state, ours = _bytes_and_state(stopped)
    Checkpoint(tmp_path / "run" / "checkpoint.pt", ours | {name: MADE_BY[name] for name in names}, 60).save(state)
    (note,) = attempt(tmp_path / "run", small())
    assert all(f"{name} {MADE_BY[name]} instead of {ours[name]}" in note for name in names)
    assert not any(name in note.split("which")[0] for name in MADE_BY.keys() - set(names)) and "starts afresh" in note
    assert_same(whole, tmp_path / "run")


def test_a_checkpoint_of_another_precision_is_left(stopped, tmp_path):
    config = small("precision=bfloat16")
    attempt(tmp_path / "whole", config)
    shutil.copytree(stopped, tmp_path / "run")
    (note,) = attempt(tmp_path / "run", config)
    assert "bfloat16 False instead of True" in note
    assert_same(tmp_path / "whole", tmp_path / "run")


def load(content: bytes, folder: Path, made_by: dict[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
    """What is read from a file of that content, and what the user is told."""
    notes: list[str] = []
    path = folder / "some.pt"
    path.write_bytes(content)
    return Checkpoint(folder / "checkpoint.pt", made_by, 60).load(path, notes.append), notes


def _bytes_and_state(folder: Path) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    content = (folder / "checkpoint.pt").read_bytes()
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    return content, state, state.pop("made_by")


def test_a_whole_checkpoint_is_read_as_it_was_written(stopped, tmp_path):
    content, state, made_by = _bytes_and_state(stopped)
    found, notes = load(content, tmp_path, made_by)
    assert equal(found, state) and notes == [] and state["step"] == 2


@settings(max_examples=150, deadline=None)
@given(part=st.floats(0, 1, exclude_max=True))
def test_a_checkpoint_cut_anywhere_is_left(part, stopped, tmp_path_factory):
    content, _, made_by = _bytes_and_state(stopped)
    found, notes = load(content[: int(part * len(content))], tmp_path_factory.getbasetemp(), made_by)
    assert found is None
    assert (
        len(notes) == 1
        and notes[0].startswith("checkpoint.pt cannot be read (")
        and notes[0].endswith("; the run starts afresh")
    )
    assert "\n" not in notes[0]


@settings(max_examples=150, deadline=None)
@given(part=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_flipped_byte_is_noticed_or_changes_nothing(part, flip, stopped, tmp_path_factory):
    """A bit lost on a disk must not become a figure in a table."""
    content, state, made_by = _bytes_and_state(stopped)
    place = int(part * len(content))
    changed = content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :]
    found, notes = load(changed, tmp_path_factory.getbasetemp(), made_by)
    assert (len(notes) == 1) if found is None else (equal(found, state) and notes == [])


@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=200))
def test_what_is_no_checkpoint_at_all_is_left(content, tmp_path_factory):
    found, notes = load(content, tmp_path_factory.getbasetemp(), {})
    assert found is None and len(notes) == 1


@pytest.mark.parametrize(
    "content", [3, [1], {}, {"step": 1}, {"made_by": None}, {"made_by": 3}, {"made_by": {}}, torch.zeros(2)], ids=repr
)
def test_what_holds_something_else_is_left(content, tmp_path):
    torch.save(content, tmp_path / "other.pt")
    found, notes = load((tmp_path / "other.pt").read_bytes(), tmp_path, {"code": "ours"})
    assert found is None and len(notes) == 1


def test_no_file_is_no_checkpoint_and_no_matter_for_a_note(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", {}, 60)
    assert checkpoint.load(checkpoint.path, pytest.fail) is None
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert checkpoint.load(tmp_path / "link", pytest.fail) is None
    notes: list[str] = []
    assert checkpoint.load(tmp_path, notes.append) is None and len(notes) == 1, "a folder"


class Malicious:
    """Unpickled in full, makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("way", ["as ours", "torch", "pickle"])
def test_code_in_a_checkpoint_is_not_run(way, stopped, whole, tmp_path):
    shutil.copytree(stopped, tmp_path / "run")
    path, victim = tmp_path / "run" / "checkpoint.pt", tmp_path / "victim"
    _, state, made_by = _bytes_and_state(stopped)
    state["network"] = Malicious(victim)
    if way == "as ours":
        Checkpoint(path, made_by, 60).save(state)
    elif way == "torch":
        torch.save({"made_by": made_by, **state}, path)
    else:
        path.write_bytes(pickle.dumps({"made_by": made_by, **state}))
    (note,) = attempt(tmp_path / "run", small())
    assert "cannot be read" in note and "starts afresh" in note and not victim.exists()
    assert_same(whole, tmp_path / "run")
    pickle.loads(pickle.dumps(Malicious(victim)))
    assert victim.exists(), "run, it would have been seen"


class Foreign:
    """Something that torch does not unpickle with weights_only=True."""


FOREIGN = {
    "an object": ({"made_by": {"code": "x"}, "network": Foreign()}, "it holds other things than the state of a run"),
    "a function": ({"made_by": {"code": "x"}, "network": os.mkdir}, "it holds other things than the state of a run"),
    "a list": ([1, 2], "it is not the state of a run"),
    "weights alone": ({"weight": torch.zeros(2)}, "it is not the state of a run"),
    "no maker": ({"made_by": 3}, "it is not the state of a run"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_checkpoint_is_refused_in_our_own_words(what, tmp_path):
    """torch's advise to load it in an unsafe way."""
    content, words = FOREIGN[what]
    file = io.BytesIO()
    torch.save(content, file)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(file.getvalue() + hashlib.sha256(file.getvalue()).digest())
    notes: list[str] = []
    assert Checkpoint(path, {"code": "x"}, 60).load(path, notes.append) is None
    assert notes == [f"checkpoint.pt cannot be read ({words}); the run starts afresh"]
    with pytest.raises(UserError) as raised:
        read_weights(tmp_path)
    assert str(raised.value) == f"{path}: cannot be read ({words})"


@pytest.mark.parametrize("kind", ["pipe", "device", "socketless link", "huge"])
def test_a_checkpoint_that_is_no_file_is_not_waited_for(kind, tmp_path):
    path = tmp_path / "checkpoint.pt"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(2**42)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path.name)
    notes: list[str] = []
    assert Checkpoint(path, {}, 60).load(path, notes.append) is None
    words = {"pipe": "it is a pipe, not a file", "device": "it is a device, not a file", "huge": "it is cut or damaged"}
    assert notes == ([f"checkpoint.pt cannot be read ({words[kind]}); the run starts afresh"] if kind in words else [])


def test_a_damaged_checkpoint_costs_a_note_and_the_run_is_made_from_its_start(stopped, whole, tmp_path):
    shutil.copytree(stopped, tmp_path / "run")
    content = (stopped / "checkpoint.pt").read_bytes()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(content[: len(content) // 2])
    (note,) = attempt(tmp_path / "run", small())
    assert "cannot be read" in note
    assert_same(whole, tmp_path / "run")


# --- the code that a run's numbers come from ---


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the program's source, which counts as the program's own meanwhile."""
    root = Path(mixexp.__file__).parent
    copy = shutil.copytree(root, tmp_path / "mixexp", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(checkpoints, "__file__", str(copy / "run" / "checkpoint.py"))
    checkpoints._program.cache_clear()
    yield copy
    checkpoints._program.cache_clear()


def fresh_hash() -> str:
    """As another process would find it."""
    checkpoints._program.cache_clear()
    return code_hash({})


@pytest.mark.parametrize(
    "name",
    [
        "train.py",
        "streams.py",
        "mix/mixes.py",
        "mix/new.py",
        "model/blocks.py",
        "gan/play.py",
        "training/session.py",
        "training/new.py",
    ],
)
def test_a_change_of_the_programs_code_is_seen(name, package):
    before = fresh_hash()
    assert fresh_hash() == before
    with (package / name).open("a") as file:
        file.write("# changed\n")
    assert fresh_hash() != before


@pytest.mark.parametrize(
    "name",
    [
        *(
            "cli.py",
            "plan/compose.py",
            "sweeping/one.py",
            "sweeping/watch.py",
            "training/reader.py",
            "logger/mlflow.py",
            "reporting/tables.py",
            "reporting/new.py",
        ),
        *("new.py", "notes.txt", "__pycache__/train.cpython-311.pyc"),
    ],
)
def test_what_computes_nothing_may_change(name, package):
    before = fresh_hash()
    (package / name).parent.mkdir(exist_ok=True)
    with (package / name).open("a") as file:
        file.write("# changed\n")
    assert fresh_hash() == before


def imported_by(path: Path, package: Path) -> set[Path]:
    """The package's modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    places = [package.joinpath(*name.split(".")[1:]) for name in names if name.startswith("mixexp.")]
    return {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}


def test_all_that_the_loops_import_counts_but_for_what_says_or_writes():
    package = Path(mixexp.__file__).parent
    says = {"__init__.py", "class_names.py", "errors.py", "files.py", "settings.py", "text.py", "training/reader.py"}
    says |= {"training/folder.py", "training/weights.py", "project.py", "eager.py"}
    reached, todo = set(), {package / "train.py", package / "gan" / "play.py"}
    while todo:
        reached.add(path := todo.pop())
        todo |= imported_by(path, package) - reached
    assert len(reached) > 30
    parts = {
        str(path.relative_to(package)) for path in reached if "spec" not in path.parts
    } - says  # spec: what is measured, in words
    assert {name.partition("/")[0].removesuffix(".py") for name in parts} <= set(COMPUTES)


def test_every_group_that_computes_counts():
    assert {*GROUPS, *OPTIONAL_GROUPS} - set(COMPUTES) == {"logger"}
    package = Path(mixexp.__file__).parent
    assert [name for name in COMPUTES if not (package / name).exists() and not (package / f"{name}.py").exists()] == []


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which modules can be imported, and forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.split(".")[0].startswith("ck_"):
            del sys.modules[name]


def imported(name: str) -> None:
    """Import a module anew, as another process would."""
    for known in [known for known in sys.modules if known.split(".")[0] == name.split(".")[0]]:
        del sys.modules[known]
    importlib.invalidate_caches()
    importlib.import_module(name)


def test_the_users_own_modules_count_with_their_names():
    hashes = [code_hash(own) for own in ({}, {"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "1"})]
    assert len(set(hashes)) == len(hashes) and code_hash({"b": "1", "a": "1"}) == hashes[-1]


def test_a_run_with_a_loss_of_the_users_own_starts_afresh_once_it_has_changed(own_modules):
    source = "from mixexp.loss.cross_entropy import CrossEntropy\n\n\nclass Mine(CrossEntropy):\n    pass\n"
    (own_modules / "ck_loss.py").write_text(source)
    config = small("trusted_modules=[ck_loss]") | {"loss": {"_target_": "ck_loss.Mine"}}
    assert attempt(own_modules / "run", config, 1) == []
    imported("ck_loss")
    assert attempt(own_modules / "run", config, 1) == ["goes on at step 1 of 4"]
    (own_modules / "ck_loss.py").write_text(source + "# changed\n")
    imported("ck_loss")
    (note,) = attempt(own_modules / "run", config)
    assert "was made with code " in note and "starts afresh" in note
