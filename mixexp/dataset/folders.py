"""A user's own files and class folders, whatever the files are."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from mixexp.errors import UserError, note
from mixexp.text import override

SHOWN = 10
"""As many names as an error message lists."""


_EXISTS = {"file": os.path.isfile, "folder": os.path.isdir}  # unlike pathlib's, they answer for names of any kind


def place_name(kind: Literal["file", "folder"], name: str, root: str) -> str:
    """The name under which a run's configuration keeps a user's file or folder, so that it means the same wherever the run goes on.

    A relative name is looked for where the command is typed, then below root. In the first place it is named in full, unless it
    lies below root too; in the second, and where it is in neither, the name stays as it is.
    """
    relative, there = Path(os.path.expanduser(name)), _absolute(root)
    here, below = Path.cwd() / relative, there / relative
    if relative.is_absolute() or not _EXISTS[kind](here):
        return name
    if _EXISTS[kind](below):
        if here.samefile(below):
            return name
        note(f"dataset.{kind}: {here} is used; for the one in data_dir type {override(f'dataset.{kind}', str(below))}")
    here = here.resolve() if ".." in here.parts else here
    return str(here.relative_to(there) if here.is_relative_to(there) else here)


def find_path(kind: Literal["file", "folder"], name: str, root: str) -> Path:
    """A user's file or folder by the name that place_name gave; raises UserError with the places where it was looked for."""
    relative = Path(os.path.expanduser(name))
    path, here = _absolute(root) / relative, Path.cwd() / relative
    if _EXISTS[kind](path):
        return path
    places = [path] if path == here else [here, path]
    near = difflib.get_close_matches(path.name, [p.name for place in places for p in _siblings(place) if _EXISTS[kind](p)], n=1)
    match = f" Did you mean {override(f'dataset.{kind}', str(Path(name).with_name(near[0])))}?" if near else ""
    if path == here:
        raise UserError(f"There is no {kind} {path}: set dataset.{kind}, absolute or relative to data_dir.{match}")
    raise UserError(
        f"There is no {kind} {path} (in data_dir) and none {here} (where the command is typed): "
        f"set dataset.{kind}, absolute or relative to either.{match}"
    )


def _absolute(root: str) -> Path:
    return Path(os.path.expanduser(root)).absolute()


def _siblings(path: Path) -> list[Path]:
    """What lies beside a path, if anything can be seen there."""
    try:
        return visible(path.parent)
    except OSError:
        return []


def visible(folder: Path) -> list[Path]:
    """What is directly in a folder, hidden files aside, by name."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def class_files(root: Path, noun: str, suffixes: Collection[str], without: Collection[str] = ()) -> dict[str, list[Path]]:
    """Class name → its files of the suffixes, at any depth, both sorted; folders named in `without` are no classes.

    Raises UserError if there is no class or an empty one, and warns of other files; noun: what one file is, in the singular.
    """
    folders = [path for path in visible(root) if path.is_dir() and path.name not in without]
    if not folders:
        raise UserError(f"{root} has no class folders; there is {listed(visible(root))}.")
    others = [path for path in visible(root) if not path.is_dir() and path.name not in without]
    found: dict[str, list[Path]] = {}
    for folder in folders:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _hidden(path.relative_to(folder))]
        found[folder.name] = [path for path in files if path.suffix.lower() in suffixes]
        others += [path for path in files if path.suffix.lower() not in suffixes]
    if empty := [name for name, paths in found.items() if not paths]:
        known = " ".join(sorted(suffixes))
        raise UserError(f"{root}: class folders with no {noun} in them: {', '.join(empty)}; {noun}s end in {known}.")
    warn_of_ignored(root, f"that are no {noun}s in a class folder", others)
    return found


def refuse_lonely(root: Path, noun: str, found: dict[str, list[Path]]) -> None:
    """Raise UserError where a class has a single file, which cannot be in the training and in the test part."""
    if lonely := [name for name, paths in found.items() if len(paths) < 2]:
        raise UserError(f"{root}: a class needs 2 {noun}s, one for the test; these have one: {', '.join(lonely)}.")


def flatten(found: dict[str, list[Path]], classes: tuple[str, ...]) -> tuple[list[Path], np.ndarray]:
    """All paths, class by class, and their labels, int64 [N]."""
    numbers = np.array([classes.index(name) for name in found], dtype=np.int64)
    return [path for name in found for path in found[name]], np.repeat(numbers, [len(found[name]) for name in found])


def refuse_faults(noun: str, faults: dict[int, str], count: int) -> None:
    """Raise UserError naming the files of `count` that cannot be read: their place → what is wrong with it."""
    if faults:
        shown = "\n".join(faults[index] for index in sorted(faults)[:SHOWN])
        more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise UserError(f"{len(faults)} of {count} {noun}s cannot be read:\n{shown}{more}\nMend or remove them.")


def warn_of_ignored(root: Path, which: str, paths: list[Path]) -> None:
    """Tell of files that are there and not used, if there are any."""
    if paths:
        note(f"{root}: ignored {len(paths)} files or folders {which}: {listed(paths)}")


def listed(paths: Iterable[Path]) -> str:
    """The first names of paths, or the word nothing."""
    names = [path.name for path in paths]
    return (", ".join(names[:SHOWN]) or "nothing") + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)
