"""What the tests of probes share: a network to measure, and what was measured."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from running import config_of, errors_of, resolved

from mixexp.build import build
from mixexp.probe import Probe, Rows, Subject, measuring
from mixexp.train import train
from mixexp.training.folder import RunFolder
from mixexp.training.setup import setup
from mixexp.training.spec import RunConfig


def subject_of(*words: str) -> Subject:
    """An untrained network and its data."""
    return setup(RunConfig.of(config_of(*words)))


def trained_subject(folder: Path, *words: str) -> tuple[Path, Subject]:
    """A finished run's folder and its network with the weights it kept."""
    config = config_of("keep_checkpoint=true", *words)
    for _ in train(RunConfig.of(config), RunFolder(folder), {}):
        pass
    return folder, setup(RunConfig.of(config)).other(str(folder))


def measured(probe: Probe, subject: Subject) -> dict[str, Rows]:
    """What a probe finds."""
    with measuring(subject):
        return probe.measure(subject)


def probe_of(*words: str) -> Probe:
    """A probe as the command line makes it."""
    return build(resolved(*words)["probe"])


def refusals(*words: str) -> list[str]:
    """What is wrong with a configuration on the digits, unless it has another data set."""
    small = [] if any(word.startswith("model=") for word in words) else ["model.width=4"]
    return errors_of(resolved(*small, *words))


def csv_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a probe's file, numbers as numbers."""

    def value(text: str) -> Any:
        try:
            return float(text)
        except ValueError:
            return text

    with path.open(encoding="utf-8") as file:
        return [{key: value(text) for key, text in row.items()} for row in csv.DictReader(file)]
