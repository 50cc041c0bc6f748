"""Sweeps through Hydra's own launchers and its plugins', which leave what single runs leave."""

from __future__ import annotations

import contextlib
import csv
import json
import shlex
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from commands import mixexp
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import MissingConfigException

from mixexp.errors import RunsFailed, UserError
from mixexp.plan.compose import explained
from mixexp.plan.composer import Composed, Composer
from mixexp.plan.hydra_errors import PLUGINS
from mixexp.plan.overrides import loaded_groups
from mixexp.settings import CONF
from mixexp.sweeping.launch import launch_with
from mixexp.sweeping.one import single

LAUNCHERS = {
    "basic": (),
    "joblib": ("hydra.launcher.n_jobs=2",),
    "submitit_local": (),
    "ray": ("+hydra.launcher.ray.init.num_cpus=1", "+hydra.launcher.ray.init.include_dashboard=false"),
}
MODULES = {"joblib": "hydra_joblib_launcher", "submitit_local": "hydra_submitit_launcher", "ray": "hydra_ray_launcher"}

OWN = ("--config-dir", "conf", "loss=fragile", "trusted_modules=[my_losses]")
CELL = ("experiment=quickstart", "mix=mixup", "mix_layer=final", "model.width=4", "steps=30", "seed=0")


def write_own(folder: Path) -> None:
    """A loss of the user's own that breaks on demand, with an exception that does not survive pickling."""
    (folder / "my_losses.py").write_text(
        "from mixexp.loss.cross_entropy import CrossEntropy\n\n\n"
        "class Broken(Exception):\n    def __init__(self, what, why):\n        super().__init__(f'{what}: {why}')\n\n\n"
        "class Fragile(CrossEntropy):\n    def __init__(self, class_counts, breaks: bool):\n"
        "        super().__init__(class_counts)\n        self.breaks = breaks\n\n"
        "    def forward(self, outputs, labels):\n"
        "        if self.breaks and outputs.device.type != 'meta':\n            raise Broken('it broke', 'on demand')\n"
        "        return super().forward(outputs, labels)\n"
    )
    (folder / "conf" / "loss").mkdir(parents=True)
    (folder / "conf" / "loss" / "fragile.yaml").write_text("# Breaks.\n_target_: my_losses.Fragile\nbreaks: false\n")


def rows(run: Path) -> list[list[str]]:
    """The CSV's rows without the last column, a clock's."""
    with (run / "metrics.csv").open() as file:
        return [row[:-1] for row in csv.reader(file)]


def config(run: Path) -> dict[str, Any]:
    """What the run is, without where it was put."""
    return {
        key: value
        for key, value in yaml.safe_load((run / "config.yaml").read_text()).items()
        if key not in ("data_dir", "output_dir")
    }


def about(run: Path) -> dict[str, Any]:
    return json.loads((run / "environment.json").read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The folder of a single run."""
    folder = tmp_path_factory.mktemp("alone")
    write_own(folder)
    done = mixexp(*OWN, *CELL, "alpha=1", cwd=folder)
    assert done.returncode == 0, done.stderr
    return next((folder / "outputs" / "quickstart").iterdir())


@pytest.fixture
def quiet_ray() -> Iterator[dict[str, str]]:
    """Variables with which Ray reports nothing, writes no token to the home folder, and puts its session into a folder
    that goes."""
    with tempfile.TemporaryDirectory(
        prefix="ray"
    ) as folder:  # its sockets' paths may not be long, as a test's folder is
        yield {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": uuid.uuid4().hex,
            "RAY_TMPDIR": folder,
        }


@pytest.mark.launchers
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_sweep_through_a_launcher_leaves_what_single_runs_leave_and_a_failure_costs_its_own_run(
    launcher, alone, quiet_ray, tmp_path
):
    if launcher in MODULES:
        pytest.importorskip(f"hydra_plugins.{MODULES[launcher]}")
    write_own(tmp_path)
    alphas = ("1",) if launcher == "submitit_local" else ("0.2", "1")  # where each job is a new process, a pair of them
    count = len(alphas)
    alpha = f"alpha={','.join(alphas)}"
    words = ("-m", *CELL, "loss.breaks=true,false", alpha, f"hydra/launcher={launcher}", *LAUNCHERS[launcher])
    done = mixexp(*OWN, *words, cwd=tmp_path, **quiet_ray)

    assert done.returncode == 1, done.stderr
    assert f"{2 * count} runs, {count} done (0 of them before), 0 diverged, {count} failed" in done.stdout
    assert (
        f"{count} of {2 * count} runs failed" in done.stderr
        and "Broken: it broke: on demand" in done.stderr
        and "Traceback" not in done.stderr
    )
    sweep = tmp_path / "outputs" / "quickstart"
    errors = [path.read_text() for path in sweep.glob("*/error.txt")]
    assert len(errors) == count and all("in forward" in text and "it broke: on demand" in text for text in errors)

    assert len(list(sweep.glob("*/result.json"))) == count
    run = sweep / alone.name  # the last cell, trained where there was a failure before
    assert rows(run) == rows(alone) and len(rows(run)) > 2
    assert config(run) == config(alone)
    assert {path.name for path in run.iterdir()} == {path.name for path in alone.iterdir()}
    assert about(run)["differs_from_experiment"] == about(alone)["differs_from_experiment"] != {}
    assert shlex.split(about(run)["command"])[-len(words) + 1 :] == [*words[1:]], (
        "what was typed, not what started a launcher's process"
    )
    assert {path.name for path in tmp_path.iterdir()} <= {"outputs", "conf", "my_losses.py", "__pycache__"}


class Recorder:
    """A launcher that trains nothing: it notes the jobs and returns what it was given, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.jobs: list[list[str]] = []

    def launch(self, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        self.jobs = [list(job) for job in jobs]
        if isinstance(self.answer, Exception):
            raise self.answer
        return [JobReturn(status=JobStatus.COMPLETED, _return_value=self.answer) for _ in jobs]


@contextlib.contextmanager
def composing(cells: Sequence[str]) -> Iterator[tuple[list[Composed], list[list[str]]]]:
    """Cells and their words, as the sweeper gives them."""
    words = [cell.split() for cell in cells]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        groups = loaded_groups()
        composer = Composer(lambda given: hydra.compose("config", overrides=given, return_hydra_config=True), groups)
        yield [composer(cell) for cell in words], words


def hand(launcher: Recorder, *cells: str) -> list[JobReturn]:
    with composing(cells) as (composed, words):
        return launch_with(launcher, composed, words)


def train_here(cell: str) -> None:
    with composing([cell]) as ((composed,), (words,)):
        single(composed, words, alone=True)


def test_cells_that_act_alike_are_one_job_and_what_is_over_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train_here("mix=mixup model.width=4 epochs=1")
    launcher = Recorder({"outcome": "diverged"})
    hand(
        launcher,
        *(f"mix={mix} alpha={alpha} model.width=4 epochs=1" for mix in ("none", "mixup") for alpha in ("1", "2")),
    )
    assert [job[:2] for job in launcher.jobs] == [["mix=none", "alpha=1"], ["mix=mixup", "alpha=2"]]
    said = capsys.readouterr().out
    assert "4 cells are 3 different runs" in said and "3 runs, 3 done (1 of them before), 2 diverged, 0 failed" in said


def test_a_launcher_that_gives_up_costs_no_finished_run_and_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train_here("model.width=4 epochs=1")
    with pytest.raises(RunsFailed, match=r"gave up.*\nRuntimeError: no cluster here"):
        hand(
            Recorder(RuntimeError("no cluster here")), "seed=0 model.width=4 epochs=1", "seed=1 model.width=4 epochs=1"
        )
    assert "2 runs, 1 done (1 of them before), 0 diverged, 0 failed, 1 not finished" in capsys.readouterr().out


def test_what_cannot_run_is_refused_before_any_job_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    launcher = Recorder(None)
    with pytest.raises(UserError, match="alpha = 0"):
        hand(launcher, "mix=mixup alpha=1", "mix=mixup alpha=0")
    assert launcher.jobs == []


def test_a_device_that_only_the_cluster_has_is_no_reason_to_refuse(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    launcher = Recorder({"outcome": "finished"})
    hand(launcher, "device=cuda:77")
    assert launcher.jobs == [["device=cuda:77"]]


@pytest.mark.parametrize("launcher", PLUGINS)
def test_a_launcher_that_is_not_installed_is_told_how_to_get(launcher):
    with (
        pytest.raises(UserError, match=rf"hydra/launcher = {launcher}: not installed; pip install hydra-\w+-launcher"),
        explained([f"hydra/launcher={launcher}"], ()),
    ):
        raise MissingConfigException(
            f"In 'config': Could not find 'hydra/launcher/{launcher}'\n\nAvailable options:\n\tbasic", "x"
        )
