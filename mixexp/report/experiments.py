"""Experiments as their YAML files describe them: the table, the claims and the editions, read without composing anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixexp.errors import UserError
from mixexp.files import parse_yaml, read_text


@dataclass(frozen=True)
class Experiment:
    """What an experiment's file says beside the runs' settings; sweep: the folder of its runs; article: a letter, or none.

    editions: name → its block.
    """

    name: str
    sweep: str
    article: str = ""
    table: Mapping[str, Any] = field(default_factory=dict)
    claims: Any = None
    editions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def experiments(folders: Iterable[Path]) -> dict[str, Experiment]:
    """Every experiment of some folders of options, by name; raises UserError for a file that cannot be read."""
    return {path.stem: experiment(path) for folder in folders for path in sorted(folder.glob("experiment/*.yaml"))}


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
    return Experiment(path.stem, str(found.get("name") or path.stem), letter[1] if letter else "", table, found.get("claims"), named)
