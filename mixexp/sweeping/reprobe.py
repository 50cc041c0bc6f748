"""Probes of finished runs, whose networks are rebuilt from their folders: the work of `mixexp probe`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mixexp.build import build, check
from mixexp.class_names import up_to_date
from mixexp.errors import UserError
from mixexp.files import read_yaml, write_atomically
from mixexp.plan.checks import Refused, validate
from mixexp.probe import Probe, Several, measuring
from mixexp.training.folder import csv_rows
from mixexp.training.reader import trained_config
from mixexp.training.setup import restored
from mixexp.training.spec import RunConfig

SETTABLE = ("probe", "device", "threads", "data_dir", "trusted_modules")
"""Settings that a measurement may have of its own; all others are the run's."""


@dataclass(frozen=True)
class Measurement:
    """A measurement in a run's folder: the run's configuration with the probe, and the files to write."""

    folder: Path
    config: RunConfig
    settings: Mapping[str, Mapping[str, Any]]
    """File → the settings of the probe that makes it."""
    missing: tuple[str, ...]


def plan(folders: Sequence[Path], chosen: Mapping[str, Any], data_dir: str | None, again: bool) -> list[Measurement]:
    """A measurement for every run; a folder of runs stands for all of them.

    chosen: a configuration whose SETTABLE keys count; data_dir: the data's place, None for that of the run. A file that
    a folder already has with the same settings is not measured again; one with other settings is replaced only with
    `again`. Raises UserError with all errors before any measurement starts.
    """
    measurements, wrong = [], []
    for folder in _runs(folders):
        try:
            measurements.append(_measurement(folder, chosen, data_dir, again))
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise UserError("\n".join(dict.fromkeys(wrong)))
    return measurements


def measure(measurement: Measurement) -> list[Path]:
    """Measure, and write probe_<name>.csv with its settings in probe_<name>.yaml for each missing file.

    Returns the CSVs.
    """
    if not measurement.missing:
        return []
    folder, config = measurement.folder, measurement.config
    subject = restored(folder, config)
    with measuring(subject):
        tables = config.build("probe").measure(subject)
    written = []
    for name in measurement.missing:
        path = folder / f"probe_{name}.csv"
        path.unlink(missing_ok=True)  # the settings are written first, but never next to rows made with others
        write_atomically(path.with_suffix(".yaml"), yaml.safe_dump(dict(measurement.settings[name]), sort_keys=False))
        write_atomically(path, csv_rows(subject.step, tables[name], header=True))
        written.append(path)
    return written


def _runs(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        inside = sorted(path.parent for path in folder.glob("*/config.yaml"))
        yield from [folder] if (folder / "config.yaml").exists() or not inside else inside


def _measurement(folder: Path, chosen: Mapping[str, Any], data_dir: str | None, again: bool) -> Measurement:
    run = trained_config(folder)
    values = {**run, **{key: chosen[key] for key in SETTABLE if key != "data_dir"}}
    values["choices"] = {**run["choices"], "probe": chosen["choices"]["probe"]}
    # the run may come from another machine
    values |= {"output_dir": str(folder.parent), "table": None, "logger": None}
    if data_dir is not None and isinstance(run["dataset"], Mapping) and "data_dir" in run["dataset"]:
        values["dataset"] = {**run["dataset"], "data_dir": data_dir}
    try:
        config = validate(values)
    except Refused as refused:
        raise UserError("\n".join(f"{folder}: {line}" for line in refused.lines)) from None
    for source in config.build("probe").others:
        if Path(source).resolve() == folder.resolve():
            raise UserError(
                f"{folder}: probe.source is this run itself, on which an attack is white box; name another run's"
                " folder, or probe.source=null"
            )
    settings = dict(_settings(config.probe or {}, config.trusted))
    there = {name for name in settings if (folder / f"probe_{name}.csv").exists()}
    made = {name: _made_with(folder, name, run, config.trusted) for name in there}
    others = [name for name in there if made[name] != settings[name]]
    if others and not again:
        lines = (
            f"probe_{name}.csv is there, made with {_changes(made[name], settings[name])}; --again replaces it"
            for name in sorted(others)
        )
        raise UserError("\n".join(f"{folder}: {line}" for line in lines))
    return Measurement(folder, config, settings, tuple(name for name in settings if again or name not in there))


def _settings(node: Mapping[str, Any], trusted: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The settings of every file that a probe makes; those of its parts where it is composed of probes."""
    probe = build(node, trusted)
    if not isinstance(probe, Several):
        yield from ((name, node) for name in probe.files)
        return
    for name in probe.probes:
        yield from _settings(node[name], trusted)


def _made_with(folder: Path, name: str, run: Mapping[str, Any], trusted: Sequence[str]) -> Mapping[str, Any]:
    """The known settings of a file in a run's folder: those in the YAML file with it, or the run's own."""
    beside = folder / f"probe_{name}.yaml"
    try:
        if beside.exists():
            return up_to_date(read_yaml(beside))
        # a record may name anything
        sound = run["probe"] is not None and not check(run["probe"], "probe", Probe, trusted)
        return dict(_settings(run["probe"] or {}, trusted)).get(name, {}) if sound else {}
    except (OSError, ValueError, UserError):
        return {}


def _changes(made: Any, probe: Mapping[str, Any]) -> str:
    """The departures of a file's settings from those of the probe, in words."""
    if not isinstance(made, Mapping) or not made:
        return "unknown settings"
    return ", ".join(f"{key} = {made.get(key)}" for key in {**probe, **made} if made.get(key) != probe.get(key))
