"""Experiments as their YAML files describe them: the table, the claims and the editions, read without composing anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixexp.errors import UserError
from mixexp.files import parse_yaml, plain_name, read_text
from mixexp.run.reader import Run
from mixexp.settings import lookup
from mixexp.spec.articles import article_of
from mixexp.spec.stated import Stated, stated


@dataclass(frozen=True)
class Experiment:
    """The parts of an experiment's file beside the runs' settings; sweep: the folder of its runs; article: its citation key, or none.

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
        """The settings that the runs of an edition have to have, or those of the experiment itself where no edition has the name."""
        return stated(self.settings, self.editions.get(edition))


def experiments(folders: Sequence[Path]) -> dict[str, Experiment]:
    """Every experiment of some folders of options, by name; raises UserError for a file that cannot be read."""
    return {path.stem: experiment(path, folders) for folder in folders for path in sorted(folder.glob("experiment/*.yaml"))}


def of_runs(runs: Iterable[Run], folders: Sequence[Path]) -> list[Experiment]:
    """The experiments that runs are of: as a file in one of the folders of options has them, else as the newest run does."""
    members: dict[str, list[Run]] = {}
    for run in runs:
        name = lookup(run.config, "experiment")
        if plain_name(name):
            members.setdefault(name, []).append(run)
    chosen = []
    for name, runs_of_it in members.items():
        files = [folder / "experiment" / f"{name}.yaml" for folder in folders]
        chosen.append(next((experiment(path, folders) for path in files if path.is_file()), None) or _as_run(name, runs_of_it))
    return chosen


def _as_run(name: str, runs: Sequence[Run]) -> Experiment:
    """An experiment without a file, as far as its runs' configurations have it; the claims are the newest run's."""
    runs = sorted(runs, key=lambda run: str(run.environment.get("started")))
    editions = {str(run.config["edition"]): {"checks": run.config.get("checks")} for run in runs if run.config.get("edition") is not None}
    return Experiment(name, str(runs[-1].config.get("name")), "", runs[-1].table, runs[-1].config.get("claims"), editions)


def places(chosen: Iterable[Experiment], outputs: Path) -> list[Path]:
    """The folders that are there of the sweeps of some experiments and their editions, kept ones among them."""
    names = [name for item in chosen for name in (item.sweep, *(f"{item.sweep}_{edition}" for edition in item.editions))]
    candidates = [path for name in names for path in (outputs / name, *sorted((outputs / "published").glob(f"*/{name}")))]
    return [path for path in candidates if path.is_dir()]


def experiment(path: Path, folders: Sequence[Path] = ()) -> Experiment:
    """The experiment in a file, with what it takes from those in `folders` that its defaults name; raises UserError where one cannot be read."""
    settings, letter = _read(path, folders, ())
    table, editions = (settings.get(key) if isinstance(settings.get(key), Mapping) else {} for key in ("table", "editions"))
    return Experiment(path.stem, str(settings.get("name") or path.stem), letter, table, settings.get("claims"), _named(editions), settings)


def _named(editions: Mapping[Any, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(name): block for name, block in editions.items() if isinstance(block, Mapping)}


def _read(path: Path, folders: Sequence[Path], above: tuple[Path, ...]) -> tuple[Mapping[str, Any], str]:
    """The settings of a file over those of the experiments that it builds on, and its article's citation key; above: files that led here."""
    try:
        text = read_text(path)
        parsed = parse_yaml(text)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if not isinstance(parsed, Mapping):
        raise UserError(f"{path}: an experiment's file holds a mapping of settings")
    first = re.search(r"^# (\w+)\b", text.removeprefix("# @package _global_"), re.MULTILINE)
    article = article_of(first[1]) if first else ""
    for entry in reversed(parsed.get("defaults") or () if isinstance(parsed.get("defaults"), list) else ()):
        name = entry.removeprefix("/experiment/") if isinstance(entry, str) else ""
        base = next((place for folder in (path.parent.parent, *folders) if (place := folder / "experiment" / f"{name}.yaml").is_file()), None)
        if name and base is not None and base not in (*above, path):
            below, its_article = _read(base, folders, (*above, path))
            parsed, article = _over(below, parsed), article or its_article
    return parsed, article


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Settings over others, as Hydra lays them: mappings are merged, and of defaults all count."""
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping):
            merged[key] = _over(below[key], value)
        elif key == "defaults" and isinstance(value, list) and isinstance(below.get(key), list):
            merged[key] = [*below[key], *value]
        else:
            merged[key] = value
    return merged
