"""Class folders of a user's own files, whatever the files are."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from mixexp.errors import UserError, note

SHOWN = 10
"""As many names as an error message lists."""


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
