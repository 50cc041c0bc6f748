"""What there is to choose from, read from the YAML files alone: every option of every group with its opening comment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from mixexp.errors import UserError, closest
from mixexp.text import in_hydra


def header(path: Path) -> list[str]:
    """The lines of a YAML file's opening comment, without their #; Hydra's own "@package" line is not part of it."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.removeprefix("#").removeprefix(" "))
    return lines


def options(folders: Iterable[Path]) -> dict[str, dict[str, list[str]]]:
    """Group → option → header lines, over the program's folder and those a user adds; groups in alphabetical order."""
    found: dict[str, dict[str, list[str]]] = {}
    for folder in folders:
        for path in sorted(folder.glob("*/*.yaml")):
            found.setdefault(path.parent.name, {})[path.stem] = header(path)
    return dict(sorted(found.items()))


def describe(folders: Iterable[Path], group: str | None) -> str:
    """All groups with one line an option, or one group with its options' whole headers; raises UserError for an unknown group."""
    found = options(folders)
    if group is None:
        blocks = []
        for name, members in found.items():
            width = max(map(len, members))
            lines = [f"  {option:<{width}}  {(lines or ['(no description)'])[0]}" for option, lines in members.items()]
            blocks.append("\n".join([name, *lines]))
        return "\n\n".join([*blocks, "mixexp list GROUP shows a group in full."])
    name = group if group in found else group.removesuffix("s")
    if name not in found:
        raise UserError(f"list {group}: no such group; there are {', '.join(found)}.{closest(group, found)}")
    return "\n\n".join("\n  ".join([option, *lines]) for option, lines in found[name].items())


def expand_home(word: str) -> str:
    """An override whose paths that begin with ~ are written in full, as a shell does in other words; Hydra cannot read a ~."""
    key, equals, value = word.partition("=")
    return key + equals + re.sub(r"(?:^|(?<=[,\[]))~[^,\[\]'\"]*", lambda path: in_hydra(os.path.expanduser(path[0])), value)


def own_folders(words: Iterable[str]) -> tuple[list[Path], list[str]]:
    """The user's own folders of options, which --config-dir names, and the other words."""
    folders, rest, waiting = [], [], list(words)
    while waiting:
        word = waiting.pop(0)
        if word in ("--config-dir", "-cd") and waiting:
            folders.append(Path(waiting.pop(0)))
        elif word.startswith("--config-dir="):
            folders.append(Path(word.split("=", 1)[1]))
        else:
            rest.append(word)
    return folders, rest
