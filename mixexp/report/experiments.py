"""Experiments as their YAML files describe them: the table, the claims and the editions, read without composing anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixexp.errors import UserError
from mixexp.files import parse_yaml, plain_name, read_text
from mixexp.report.load import Run, lookup
from mixexp.report.stated import Stated, stated


@dataclass(frozen=True)
class Experiment:
    """What an experiment's file says beside the runs' settings; sweep: the folder of its runs; article: a letter, or none.

    editions: name → its block. settings: all that the file says, empty where there is none.
    """

    name: str
    sweep: str
    article: str = ""
    table: Mapping[str, Any] = field(default_factory=dict)
    claims: Any = None
    editions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def stated(self, edition: str) -> Stated:
        """What the runs of an edition have to be, or of the experiment itself where no edition is called so."""
        return stated(self.settings, self.editions.get(edition))


def experiments(folders: Iterable[Path]) -> dict[str, Experiment]:
    """Every experiment of some folders of options, by name; raises UserError for a file that cannot be read."""
    return {path.stem: experiment(path) for folder in folders for path in sorted(folder.glob("experiment/*.yaml"))}


def of_runs(runs: Iterable[Run], folders: Iterable[Path]) -> list[Experiment]:
    """The experiments that runs are of: as a file in one of the folders of options has them, else as the newest run does."""
    newest: dict[str, Run] = {}
    for run in runs:
        name = lookup(run.config, "experiment")
        if plain_name(name) and str(run.environment.get("started")) >= str(newest.get(name, run).environment.get("started")):
            newest[name] = run
    found = []
    for name, run in newest.items():
        files = [folder / "experiment" / f"{name}.yaml" for folder in folders]
        found.append(next((experiment(path) for path in files if path.is_file()), None) or _as_run(name, run))
    return found


def _as_run(name: str, run: Run) -> Experiment:
    """An experiment as far as a run's configuration says what it is."""
    edition, checks = run.config.get("edition"), run.config.get("checks")
    editions = {str(edition): {"checks": checks}} if edition is not None else {}
    return Experiment(name, str(run.config.get("name")), "", run.table, run.config.get("claims"), editions)


def places(found: Iterable[Experiment], outputs: Path) -> list[Path]:
    """The folders that are there of the sweeps of some experiments and their editions, kept ones among them."""
    names = [name for one in found for name in (one.sweep, *(f"{one.sweep}_{edition}" for edition in one.editions))]
    candidates = [path for name in names for path in (outputs / name, *sorted((outputs / "published").glob(f"*/{name}")))]
    return [path for path in candidates if path.is_dir()]


def experiment(path: Path) -> Experiment:
    """The experiment in a file; raises UserError where it cannot be read."""
    try:
        text = read_text(path)
        found = parse_yaml(text)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if not isinstance(found, Mapping):
        raise UserError(f"{path}: an experiment's file holds a mapping of settings")
    letter = re.search(r"^# Article ([a-z])\b", text, re.MULTILINE)
    table, editions = (found.get(key) if isinstance(found.get(key), Mapping) else {} for key in ("table", "editions"))
    named = {str(name): block for name, block in editions.items() if isinstance(block, Mapping)}
    return Experiment(path.stem, str(found.get("name") or path.stem), letter[1] if letter else "", table, found.get("claims"), named, found)
