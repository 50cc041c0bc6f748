"""What tests share: composing a small run and training it in a folder of the test's own."""

from __future__ import annotations

import copy
import csv
import functools
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from mixexp.compose import compose
from mixexp.conf_dir import CONF
from mixexp.record import RunFolder
from mixexp.report.load import load_state
from mixexp.sweep.identity import canonical
from mixexp.train import train
from mixexp.validate import validate

TINY = ("model.width=4", "epochs=2", "batch_size=64")


@functools.cache
def _composed(group: str, name: str) -> DictConfig:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", overrides=[f"{group}={name}"])


def composed(group: str, name: str) -> DictConfig:
    """The default configuration with an option of a group, references unresolved; the option may build on another one."""
    config = copy.deepcopy(_composed(group, name))
    OmegaConf.set_struct(config, False)
    return config


def option(group: str, name: str) -> dict[str, Any]:
    """An option as the program sees it."""
    return OmegaConf.to_container(composed(group, name)[group], resolve=True)


def needs(*overrides: str) -> list[str]:
    """What options among the overrides need beside them to be trained on the digits."""
    words = []
    for name in (word.removeprefix("mix=") for word in overrides if word.startswith("mix=")):
        mix = option("mix", name)
        words += ["sampling=oversample"] if mix.get("only_repeats") else []
        words += ["mix.pairing.k=3"] if "k" in mix.get("pairing", {}) else []
    keys = {word.partition("=")[0] for word in overrides}
    return [word for word in words if word.partition("=")[0] not in keys]


def config_of(*overrides: str) -> dict[str, Any]:
    """A valid canonical configuration on the digits with a tiny network, unless overrides say otherwise."""
    small = [word for word in TINY if not any(o.startswith("model=") for o in overrides) or not word.startswith("model.")]
    config = compose([*small, *overrides, *needs(*overrides)])
    assert validate(config) == []
    return canonical(config, frozenset({"alpha"}))


def result_of(folder: Path) -> dict[str, Any] | None:
    """The result of a run that is over, else None."""
    state = load_state(folder)
    return state.result if state.over else None


def trained(folder: Path, *overrides: str) -> RunFolder:
    """The folder of a run trained to its end."""
    record = RunFolder(folder)
    for _ in train(config_of(*overrides), record, {}):
        pass
    return record


def rows_of(record: RunFolder, without: tuple[str, ...] = ("seconds",)) -> list[dict[str, str]]:
    """The CSV's rows as written, without the columns that a clock fills."""
    with (record.path / "metrics.csv").open() as file:
        return [{key: value for key, value in row.items() if key not in without} for row in csv.DictReader(file)]
