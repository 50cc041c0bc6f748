"""run_ids stay: those of a list made by commit 14dce62, of the published runs and of the frozen ones, whatever their
classes are called now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
from running import composer
from test_experiments import EXPERIMENTS, grid_of

from mixexp.build import locate
from mixexp.class_names import NOW, stable, up_to_date
from mixexp.files import read_yaml
from mixexp.plan.identity import canonical, run_id
from mixexp.plan.options import options
from mixexp.plan.resolved import resolve
from mixexp.settings import CONF
from mixexp.training.reader import load_runs

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "run_ids.json"
FOLDERS = ("data_dir=/data", "output_dir=/outputs")
NEEDED = {
    "image_folder": ["dataset.folder=photos"],
    "sound_folder": ["dataset.folder=sounds"],
    "csv": ["dataset.file=a.csv", "dataset.label=kind"],
}
"""What a data set leaves to its user."""
MADE_UP = {"d00000000001", "f00000000001", "u00000000001"}
"""Frozen runs whose folders are called by hand."""


def cells() -> Iterator[list[str]]:
    """The overrides of the golden list: the first cell of every experiment, and cells that together have every option
    of every group."""
    yield from (grid_of(name)[0] for name in EXPERIMENTS)
    groups = {group: list(names) for group, names in options([CONF]).items() if group != "experiment"}
    for k in range(max(map(len, groups.values()))):
        chosen = {group: names[k % len(names)] for group, names in groups.items() if k < len(names) or group != "gan"}
        yield [*(f"{group}={name}" for group, name in chosen.items()), *NEEDED.get(chosen["dataset"], ())]


def composed_cell(*words: str) -> dict[str, Any]:
    """The canonical configuration of a cell, as a command makes it."""
    words = (*words, *FOLDERS)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return canonical(*resolve(composer()(words), words))


def make_golden() -> None:
    """Write the list; only a commit may do so whose run_ids are those that finished runs have."""
    GOLDEN.write_text(
        json.dumps({" ".join(words): run_id(composed_cell(*words)) for words in cells()}, indent=0) + "\n",
        encoding="utf-8",
    )


@pytest.mark.parametrize(
    "line, expected",
    [
        pytest.param(*pair, marks=() if number % 12 else pytest.mark.fast)
        for number, pair in enumerate(json.loads(GOLDEN.read_text(encoding="utf-8")).items())
    ],
)
def test_a_cell_keeps_the_run_id_that_it_had(line, expected):
    assert run_id(composed_cell(*line.split(" "))) == expected


@pytest.mark.parametrize("folder", ["outputs/published", pytest.param("tests/frozen_runs", marks=pytest.mark.fast)])
def test_a_folder_of_runs_is_called_as_its_configurations_say(folder):
    paths = [path for path in (ROOT / folder).rglob("config.yaml") if path.parent.name not in MADE_UP]
    configs = {path.parent.name: read_yaml(path) for path in paths}
    assert len(configs) >= (600 if folder == "outputs/published" else 20)
    assert {name: run_id(config) for name, config in configs.items()} == {name: name for name in configs}


# --- the names that runs are made from ---


@pytest.mark.fast
def test_every_class_of_an_option_has_one_name_for_ever():
    assert len(set(NOW.values())) == len(NOW)
    for first, now in NOW.items():
        assert locate(f"mixexp.{first}") is locate(f"mixexp.{now}")
        assert stable(f"mixexp.{first}") == stable(f"mixexp.{now}") == f"mixexp.{first}"
        assert first == now or now not in NOW, f"{now} was the first name of another class"


@pytest.mark.fast
def test_a_new_class_is_called_by_its_group_and_one_of_the_users_own_by_its_module():
    assert stable("mixexp.mix.neighbour.Neighbour") == stable("mixexp.mix.elsewhere.Neighbour") == "mix/Neighbour"
    assert [stable(name) for name in ("my_mixes.Neighbour", "torch.optim.SGD", 5)] == [
        "my_mixes.Neighbour",
        "torch.optim.SGD",
        5,
    ]


@pytest.mark.fast
def test_older_records_are_read_with_the_names_of_today():
    runs = load_runs(ROOT / "tests" / "frozen_runs")
    raw = [
        (ROOT / "tests" / "frozen_runs" / run.folder.name / "config.yaml").read_text(encoding="utf-8") for run in runs
    ]
    targets = {target for run in runs for key, target in run.settings.items() if key.endswith("._target_")}
    assert targets and targets <= {f"mixexp.{now}" for now in NOW.values()}
    assert any(f"mixexp.{first}" in text for text in raw for first, now in NOW.items() if first != now), (
        "no record is older than a move"
    )


@pytest.mark.fast
def test_a_class_that_moves_leaves_its_runs_what_they_were(monkeypatch):
    config = composed_cell("mix=mixup", "dataset=digits")
    before = run_id(config)
    monkeypatch.setitem(NOW, "dataset.digits.Digits", "dataset.files.Numerals")
    monkeypatch.setattr("mixexp.class_names._FIRST", {now: first for first, now in NOW.items()})
    assert (
        run_id(up_to_date(config)) == before
        and up_to_date(config)["dataset"]["_target_"] == "mixexp.dataset.files.Numerals"
    )
    monkeypatch.delitem(NOW, "dataset.digits.Digits")
    assert run_id(config) != before
