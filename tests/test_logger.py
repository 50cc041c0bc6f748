"""Loggers mirror metrics.csv: what their own readers give back is what is on disk, and a run is none the worse for
them."""

from __future__ import annotations

import atexit
import csv
import functools
import importlib.util
import json
import math
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before MLflow is imported

import hydra
import numpy as np
import pytest
from commands import mixexp
from mlflow import MlflowClient
from running import errors_of, option
from sqlalchemy import URL
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto import wandb_internal_pb2

from mixexp import cli
from mixexp.errors import RunsFailed, UserError
from mixexp.logger import Logger, Outcome, Row, RunInfo, Several
from mixexp.logger.mlflow import MLflow
from mixexp.logger.tensorboard import TensorBoard
from mixexp.logger.wandb import WandB
from mixexp.plan.compose import compose
from mixexp.plan.composer import composed
from mixexp.plan.options import options
from mixexp.plan.plan import plan
from mixexp.reporting.runs import varying
from mixexp.settings import CIRCUMSTANCES, CONF
from mixexp.sweeping import relog
from mixexp.sweeping.one import execute, iterate
from mixexp.training.logging import run_info
from mixexp.training.reader import load_runs
from mixexp.training.spec import RunSpec

NAMES = ("tensorboard", "mlflow", "wandb")
SMALL = ("model.width=2", "subset=head", "subset.n=160", "batch_size=32", "epochs=3", "checkpoint_seconds=0")
GAME = (
    *("dataset=ring", "gan=plain", "optimizer=adam", "steps=6", "evaluations=3", "batch_size=16"),
    *("gan.width=8", "gan.samples=50", "gan.frame_points=10"),
)

Points = dict[str, list[tuple[int, float]]]
"""Column → its values by step, in the order logged."""


@functools.cache
def _tables() -> Path:
    """A store without runs, which takes MLflow seconds to make."""
    folder = Path(tempfile.mkdtemp(prefix="mixexp-mlflow-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()
    return folder / "mlflow.db"


def run_of(output: Path, *words: str) -> RunSpec:
    """A run on the digits, unless words say otherwise."""
    output.mkdir(exist_ok=True)
    if not (output / "mlflow.db").exists():
        shutil.copy(_tables(), output)
    words = (*(SMALL if not any(word.startswith("gan=") for word in words) else ()), f"output_dir='{output}'", *words)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        made = plan([composed(hydra.compose("config", overrides=list(words), return_hydra_config=True))], [words])
    made.check()
    return made.runs[0]


def trained(run: RunSpec, stop_after: int | None = None) -> list[str]:
    """Train a run, to its end or to a stop after so many steps; what the user is told."""
    notes: list[str] = []
    stop = threading.Event()

    def show(progress: Any) -> None:
        if progress.step == stop_after:
            stop.set()

    if stop_after is None:
        execute(run, show, stop, notes.append)
    else:
        with pytest.raises(KeyboardInterrupt):
            execute(run, show, stop, notes.append)
    return notes


def on_disk(folder: Path) -> Points:
    """What metrics.csv says."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [(int(row["step"]), float(row[name])) for row in rows] for name in rows[0] if name != "step"}


def tensorboard_points(folder: Path) -> Points:
    found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def mlflow_runs(folder: Path) -> tuple[Any, list[Any]]:
    client = MlflowClient(f"sqlite:///{folder.parent.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(folder.parent.name)
    return client, client.search_runs([experiment.experiment_id], f"tags.run_id = '{folder.name}'")


def mlflow_points(folder: Path) -> Points:
    client, (run,) = mlflow_runs(folder)
    found = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    return {
        name: [(point.step, point.value) for point in sorted(points, key=lambda p: p.step)]
        for name, points in found.items()
    }


def wandb_records(folder: Path) -> list[Any]:
    """The records of a run's only .wandb file, whose process writes the last of them a moment after the run's end."""
    (path,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    for _ in range(100):
        found = list(records_in(path.read_bytes()))
        if found[-1:] and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.1)
    raise AssertionError(f"{path} has no end")


def records_in(content: bytes) -> Iterator[Any]:
    """What a .wandb file holds: behind a header of 7 bytes, blocks of 32 KiB in the format of LevelDB's log."""
    assert content[:4] in (b"", b":W&B")
    place, whole = 7, b""
    while place < len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4) and len(content) >= place:  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def wandb_points(folder: Path) -> Points:
    found: Points = {}
    for record in wandb_records(folder):
        if record.WhichOneof("record_type") == "history":
            items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            for name in items.keys() - {"_step", "_timestamp", "_runtime"}:
                found.setdefault(name, []).append((int(items["_step"]), float(items[name])))
    return found


READ: dict[str, Callable[[Path], Points]] = {
    "tensorboard": tensorboard_points,
    "mlflow": mlflow_points,
    "wandb": wandb_points,
}


def same(name: str, folder: Path) -> None:
    """What a logger's own reader gives is metrics.csv, value for value and in its order; TensorBoard's values are
    float32."""
    kept = np.float32 if name == "tensorboard" else np.float64
    wanted = {column: [(step, kept(value)) for step, value in points] for column, points in on_disk(folder).items()}
    found = {column: [(step, kept(value)) for step, value in points] for column, points in READ[name](folder).items()}
    assert found.keys() == wanted.keys()
    for column, points in wanted.items():
        np.testing.assert_array_equal(found[column], points, err_msg=column)


class Broken(Logger):
    """Raises at one of its calls; how often each was called is counted."""

    def __init__(self, at: str = "start") -> None:
        self.at, self.calls = at, []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.at:
            raise OSError(28, "No space left on device")

    def start(self, info: RunInfo, rows: Sequence[Row]) -> None:
        self._call("start")

    def row(self, row: Row) -> None:
        self._call("row")

    def end(self, outcome: Outcome) -> None:
        self._call(outcome)


# --- what is logged ---


@pytest.mark.parametrize("name", NAMES)
def test_what_is_logged_is_the_csv(tmp_path, name):
    run = run_of(tmp_path, f"logger={name}", "validation=0.1")
    assert trained(run) == []
    same(name, run.folder)
    assert len(on_disk(run.folder)["accuracy"]) == 3 and "val_accuracy" in on_disk(run.folder)


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_and_resumed_run_has_one_curve_without_a_point_twice(tmp_path, name):
    run = run_of(tmp_path, f"logger={name}")
    trained(run, stop_after=6)  # after the first of three evaluations
    same(name, run.folder)
    assert len(on_disk(run.folder)["accuracy"]) == 1
    assert any("goes on at step 6" in note for note in trained(run))
    same(name, run.folder)
    assert len(on_disk(run.folder)["accuracy"]) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_logger_that_comes_later_has_what_was_before(tmp_path, name):
    trained(run_of(tmp_path), stop_after=11)
    run = run_of(tmp_path, f"logger={name}")
    trained(run)
    same(name, run.folder)


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_a_crash_has_cost_do_not_stay_logged(tmp_path, name):
    """A killed process had logged more than its checkpoint knows, and on another device the numbers were others."""
    run = run_of(tmp_path, f"logger={name}")
    facts = {"started": "2026-01-01T00:00:00+0000", "continued_at_step": 0}
    run.folder.mkdir(parents=True)
    lost = run_info(run.folder, {"name": "runs"}, facts, [], print)
    killed = MLflow() if name == "mlflow" else WandB() if name == "wandb" else TensorBoard()
    killed.start(lost, [{"step": 5, "accuracy": 0.123, "seconds": 1.0}, {"step": 7, "accuracy": 0.5, "seconds": 2.0}])
    killed.end("interrupted")
    trained(run)
    same(name, run.folder)


def test_two_folders_with_the_same_run_share_a_server_and_not_a_run(tmp_path):
    """Colleagues with the same configuration, on machines of another speed."""
    store = f"sqlite:///{shutil.copy(_tables(), tmp_path / 'shared.db')}"
    runs = [run_of(tmp_path / who, "logger=mlflow", f"logger.tracking_uri={store}") for who in ("one", "two")]
    for run in runs:
        trained(run)
    client = MlflowClient(store)
    found = client.search_runs([client.get_experiment_by_name("runs").experiment_id])
    assert {one.data.tags["folder"] for one in found} == {str(run.folder) for run in runs}
    assert {one.data.tags["run_id"] for one in found} == {runs[0].folder.name}


@pytest.mark.parametrize("name", NAMES)
def test_a_game_of_two_networks_is_logged_too(tmp_path, name):
    run = run_of(tmp_path, *GAME, f"logger={name}")
    trained(run)
    same(name, run.folder)
    assert "modes" in on_disk(run.folder)


def test_several_runs_in_one_process_do_not_mix(tmp_path):
    """Dealt turns as on one device, with all loggers at once."""
    words = [*("logger=several", "+logger.wandb._target_=mixexp.logger.wandb.WandB"), "checkpoint_seconds=60"]
    runs = [run_of(tmp_path, *words, f"seed={seed}") for seed in range(3)]
    going = [iterate(run, threading.Event(), pytest.fail) for run in runs]
    while going:
        for steps in list(going):
            if next(steps, None) is None:
                going.remove(steps)
    for run in runs:
        for name in NAMES:
            same(name, run.folder)
    assert len({tuple(on_disk(run.folder)["test_loss"]) for run in runs}) == 3


def test_a_sweep_of_processes_logs_every_run(tmp_path):
    words = (
        "-m",
        *SMALL,
        "seed=0,1",
        "logger=several",
        "+logger.wandb._target_=mixexp.logger.wandb.WandB",
        "runs_per_device=2",
    )
    (tmp_path / "outputs").mkdir()
    shutil.copy(_tables(), tmp_path / "outputs")
    done = mixexp(*words, cwd=tmp_path)
    assert done.returncode == 0 and "2 done" in done.stdout and "logger" not in done.stdout, done.stdout + done.stderr
    folders = sorted(path.parent for path in tmp_path.glob("outputs/runs/*/result.json"))
    assert len(folders) == 2
    for folder in folders:
        for name in NAMES:
            same(name, folder)


# --- what is told beside the curves ---


def test_settings_tags_and_the_end_are_told(tmp_path):
    run = run_of(
        tmp_path, "logger=several", "+logger.wandb._target_=mixexp.logger.wandb.WandB", "mix=mixup", "alpha=0.3"
    )
    trained(run)
    _, (found,) = mlflow_runs(run.folder)
    assert found.info.status == "FINISHED" and found.info.run_name == run.label
    assert {"mix": "mixup", "mix.ratio.alpha": "0.3", "batch_size": "32"}.items() <= found.data.params.items()
    assert not any(key.startswith("logger") for key in found.data.params)
    assert (
        found.data.tags["run_id"] == run.folder.name
        and found.data.tags["outcome"] == "finished"
        and found.data.tags["device"] == "cpu"
    )
    last = on_disk(run.folder)["seconds"][-1][1]
    assert found.info.end_time - found.info.start_time == pytest.approx(1000 * last, abs=1)

    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    (text,) = events.Tensors("settings/text_summary")
    assert "| mix.ratio.alpha | 0.3 |" in text.tensor_proto.string_val[0].decode()
    assert {"_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"} <= set(
        events.summary_metadata
    )
    times = [event.wall_time for event in events.Scalars("seconds")]
    assert np.diff(times) == pytest.approx(np.diff([value for _, value in on_disk(run.folder)["seconds"]]), abs=1e-3)

    records = {record.WhichOneof("record_type"): record for record in wandb_records(run.folder)}
    assert records["exit"].exit.exit_code == 0
    begun = next(record.run for record in wandb_records(run.folder) if record.WhichOneof("record_type") == "run")
    assert (begun.run_id, begun.project) == (run.folder.name, "runs")
    assert {"mix": '"mixup"', "mix.ratio.alpha": "0.3"}.items() <= {
        item.key: item.value_json for item in begun.config.update
    }.items()


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "KILLED"), (RuntimeError, "FAILED")])
def test_a_run_that_does_not_finish_is_told_as_such(tmp_path, monkeypatch, error, status):
    run = run_of(tmp_path, "logger=mlflow")
    if error is KeyboardInterrupt:
        trained(run, stop_after=7)
    else:
        from mixexp import evaluate

        monkeypatch.setattr(evaluate, "scores", lambda confusion: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            execute(run, lambda progress: None, threading.Event(), pytest.fail)
    _, (found,) = mlflow_runs(run.folder)
    assert found.info.status == status


def test_numbers_that_are_none_and_odd_folders(tmp_path):
    """A diverged run's values, and a path with spaces and signs that addresses give a meaning to."""
    folder = tmp_path / "実験 1%20?a=b#c" / "runs" / "0123456789ab"
    folder.mkdir(parents=True)
    shutil.copy(_tables(), folder.parent.parent)
    rows = [{"step": 1, "loss": math.inf, "seconds": 1.0}, {"step": 2, "loss": math.nan, "seconds": 2.0}]
    about = run_info(folder, {"name": "runs"}, {"started": "2026-01-01T00:00:00+0000"}, rows, print)
    for _ in range(2):
        logger = MLflow()
        logger.start(about, rows)
        logger.end("diverged")
    client = MlflowClient(URL.create("sqlite", database=str(folder.parent.parent / "mlflow.db")).render_as_string())
    (found,) = client.search_runs([client.get_experiment_by_name("runs").experiment_id])
    values = [point.value for point in client.get_metric_history(found.info.run_id, "loss")]
    assert values[0] == sys.float_info.max and math.isnan(values[1]) and len(values) == 2
    board = TensorBoard()
    board.start(about, rows)
    board.end("diverged")
    assert repr(tensorboard_points(folder)["loss"]) == "[(1, inf), (2, nan)]"


# --- what a run is does not change ---


@pytest.mark.parametrize("name", sorted(options([CONF])["logger"]))
def test_a_logger_changes_neither_the_run_nor_its_numbers(tmp_path, name):
    plain, logged = run_of(tmp_path / "plain"), run_of(tmp_path / "logged", f"logger={name}")
    assert plain.folder.name == logged.folder.name and plain.family == logged.family
    assert logged.differs_from_experiment == {}
    if name == "several":  # its parts are trained with below
        return
    for run in (plain, logged):
        trained(run)
    ours, theirs = (on_disk(run.folder) for run in (plain, logged))
    assert {key: points for key, points in ours.items() if key != "seconds"} == {
        k: points for k, points in theirs.items() if k != "seconds"
    }
    found = [*load_runs(plain.folder.parent), *load_runs(logged.folder.parent)]
    assert varying(found, CIRCUMSTANCES) == []


def test_a_finished_run_stays_finished_when_a_logger_is_added(tmp_path):
    run = run_of(tmp_path)
    trained(run)
    before = (run.folder / "metrics.csv").stat().st_mtime_ns
    trained(run_of(tmp_path, "logger=tensorboard"))
    assert (run.folder / "metrics.csv").stat().st_mtime_ns == before and not (run.folder / "tensorboard").exists()


# --- what a logger costs ---


@pytest.mark.parametrize("at", ["start", "row", "finished"])
def test_a_logger_that_raises_is_said_once_and_costs_nothing(tmp_path, monkeypatch, at):
    made = []
    monkeypatch.setattr(TensorBoard, "__new__", lambda cls: made.append(Broken(at)) or made[-1])
    run = run_of(tmp_path, "logger=tensorboard")
    made.clear()
    notes = trained(run)
    assert notes == [
        "logger: OSError: [Errno 28] No space left on device; the run goes on without, and 'mixexp log' logs it when it"
        " is over"
    ]
    assert len(on_disk(run.folder)["accuracy"]) == 3 and (run.folder / "result.json").exists()
    (broken,) = made
    assert broken.calls[-1] == "interrupted", "what it holds open is let go"
    assert (
        broken.calls[:-1]
        == {"start": ["start"], "row": ["start", "row"], "finished": ["start", "row", "row", "row", "finished"]}[at]
    )


def test_what_is_wrong_with_one_of_several_touches_no_other(tmp_path):
    broken, sound, notes = Broken("start"), Broken("never"), []
    both = Several(both=Several(broken=broken, sound=sound))
    about = run_info(tmp_path, {}, {"started": "2026-01-01T00:00:00+0000"}, [], notes.append)
    both.start(about, [])
    both.row({"step": 1})
    both.end("finished")
    assert sound.calls == ["start", "row", "finished"] and broken.calls == ["start", "interrupted"] and len(notes) == 1


def test_a_server_that_is_away_does_not_cost_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # unset, the logger makes it 2, some seconds
    run = run_of(tmp_path, "logger=mlflow", "logger.tracking_uri=http://127.0.0.1:9")
    (note,) = trained(run)
    assert note.startswith("logger: MlflowException") and (run.folder / "result.json").exists()


# --- bad input ---


@pytest.mark.parametrize("name", sorted(options([CONF])["logger"]))
def test_every_option_is_valid_and_says_what_is_missing(tmp_path, monkeypatch, name):
    assert errors_of(compose([f"logger={name}", *SMALL, f"output_dir={tmp_path}"])) == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    (error,) = errors_of(compose([f"logger={name}", *SMALL, f"output_dir={tmp_path}"]))
    extra = "tensorboard" if name == "several" else name
    assert error.startswith("logger: it needs ") and error.endswith(
        f"not installed here; pip install 'mixexp[{extra}]'"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["+logger.tracking_url=x"],
            "logger.tracking_url: no such setting; there are tracking_uri. Did you mean 'logger.tracking_uri=x'?",
        ),
        (["logger.tracking_uri=[3]"], "logger.tracking_uri = [3]: needs a text that is not empty, or null"),
        (
            ["logger.tracking_uri=''"],
            "logger.tracking_uri=: the value is left empty; it needs a text that is not empty, or null",
        ),
        (["logger._target_=mixexp.mix.mixes.NoMix"], "logger: _target_ mixexp.mix.mixes.NoMix makes no Logger"),
    ],
)
def test_wrong_settings_are_refused_with_a_hint(words, said):
    (error,) = errors_of(compose(["logger=mlflow", *SMALL, *words]))
    assert error.startswith(said)


def test_wrong_words_are_refused_with_a_hint():
    with pytest.raises(UserError, match="Did you mean 'tensorboard'"):
        compose(["logger=tensorbord"])
    with pytest.raises(UserError, match="leave it out"):
        compose(["logger=null"])
    assert option("logger", "wandb")["mode"] == "offline"


# --- afterwards ---


@pytest.mark.parametrize("name", NAMES)
def test_runs_that_are_over_are_logged_afterwards_and_once(tmp_path, name, capsys):
    run, other = run_of(tmp_path), run_of(tmp_path, "seed=1")
    trained(run)
    trained(other, stop_after=6)
    for _ in range(2):
        cli.COMMANDS["log"]([str(run.folder.parent), f"logger={name}"])
        assert capsys.readouterr().out.splitlines() == [
            f"{folder}: {'3 evaluations' if folder == run.folder else 'unfinished, left out'}"
            for folder in sorted([run.folder, other.folder])
        ]
        same(name, run.folder)
    cli.COMMANDS["log"]([str(run.folder), f"logger={name}"])
    same(name, run.folder)


def test_a_run_logged_while_it_trained_is_logged_afterwards_without_a_change(tmp_path):
    run = run_of(tmp_path, "logger=mlflow")
    trained(run)
    _, (before,) = mlflow_runs(run.folder)
    list(relog.log([run.folder], run.config.logger, ()))
    _, (after,) = mlflow_runs(run.folder)
    assert before.to_dictionary() == after.to_dictionary()
    same("mlflow", run.folder)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a folder of runs"),
        (["there"], "say where, logger=NAME; there are mlflow, several, tensorboard, wandb"),
        (["there", "logger=wandb"], "there is not a folder"),
        (["there", "logger=wandb", "seed=1"], "seed=1: a logger leaves the run as it is"),
        (["there", "logger=wandb", "logger.mode=on"], "logger.mode = on: needs offline or online"),
    ],
)
def test_what_is_wrong_with_the_command_is_said(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        cli.COMMANDS["log"](words)


def test_a_folder_without_a_run_that_is_over_is_refused_and_a_logger_that_raises_is_said(tmp_path, monkeypatch):
    run = run_of(tmp_path)
    trained(run, stop_after=6)
    with pytest.raises(UserError, match="no run in it is over; 1 unfinished"):
        cli.COMMANDS["log"]([str(run.folder.parent), "logger=tensorboard"])
    trained(run)
    monkeypatch.setattr(TensorBoard, "start", lambda *_: 1 / 0)
    with pytest.raises(RunsFailed, match="logger: ZeroDivisionError"):
        cli.COMMANDS["log"]([str(run.folder.parent), "logger=tensorboard"])
