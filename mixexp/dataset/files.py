"""The user's own files and class folders, of any file type, including links."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from mixexp.dataset import Splits
from mixexp.dataset.split import shuffled, stratified_split
from mixexp.errors import UserError, note
from mixexp.text import override, resembling, sanitize

SHOWN = 10
"""Number of names that an error message lists."""
_EXISTS = {"file": os.path.isfile, "folder": os.path.isdir}  # unlike pathlib's, they accept any name


class Part(NamedTuple):
    """Files of a data set and their labels, int64."""

    paths: list[Path]
    labels: np.ndarray

    def take(self, places: Sequence[int] | np.ndarray) -> Part:
        """Files at these places."""
        return Part([self.paths[place] for place in places], self.labels[places])


class Files(NamedTuple):
    """Files of both parts, and the names of the classes."""

    train: Part
    test: Part
    classes: tuple[str, ...]

    def splits(self, seed: int, read: Callable[[list[Path]], torch.Tensor]) -> Splits:
        """Images made by `read`; seed shuffles the training files, so that the first N are of all classes."""
        train = self.train.take(shuffled(len(self.train.paths), np.random.Philox(key=seed)))
        images, count = read(train.paths + self.test.paths), len(train.paths)
        labels, test_labels = torch.from_numpy(train.labels), torch.from_numpy(self.test.labels)
        return Splits(images[:count], labels, images[count:], test_labels, self.classes)


class FileTree:
    """Content of a class folder without hidden names; every folder and file counts once, whatever links lead to it.

    files: paths, sorted, each with its real path; folders: real paths of the folders that contain them; repeated: links
    to files that are already listed; loops: links to a folder that contains them; broken: links without a target.
    Raises UserError for a folder that cannot be read.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.files: dict[Path, str] = {}
        self.folders: set[str] = set()
        self.repeated: list[Path] = []
        self.loops: list[Path] = []
        self.broken: list[Path] = []
        around = _with_parents(os.path.realpath(root))
        waiting, folder_links, file_links = [folder], list[Path](), list[Path]()
        while waiting or folder_links:
            if not waiting:  # folders before links, so that a file keeps its name without links if it has several
                waiting, folder_links = sorted(folder_links, reverse=True), []
            here = waiting.pop()
            real = os.path.realpath(here)
            if real in self.folders:
                continue
            self.folders.add(real)
            for entry in _entries(here):
                path = here / entry.name
                if not entry.is_symlink():
                    if entry.is_dir():
                        waiting.append(path)
                    elif entry.is_file():
                        self.files[path] = os.path.join(real, entry.name)
                elif not path.exists():
                    self.broken.append(path)
                elif path.is_file():
                    file_links.append(path)
                elif path.is_dir():
                    loop = os.path.realpath(path) in around | _with_parents(real)
                    (self.loops if loop else folder_links).append(path)
        known = set(self.files.values())
        for path in sorted(file_links):
            if (real := os.path.realpath(path)) in known:
                self.repeated.append(path)
            else:
                self.files[path] = real
                known.add(real)
        self.files = dict(sorted(self.files.items()))


def _with_parents(folder: str) -> set[str]:
    return {folder, *map(str, Path(folder).parents)}


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}).") from error


def place_name(kind: Literal["file", "folder"], name: str, root: str) -> str:
    """Name of a user's file or folder in a run's configuration, valid wherever the run continues.

    A relative name is looked up in the working directory, then below root. A match in the working directory becomes
    absolute, or relative to root if it lies below root. A match below root, or none, leaves the name unchanged.
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
    """A user's file or folder, from the name that place_name gave; raises UserError with the places searched."""
    relative = Path(os.path.expanduser(name))
    path, here = _absolute(root) / relative, Path.cwd() / relative
    if _EXISTS[kind](path):
        return path
    places = [path] if path == here else [here, path]
    near = resembling(path.name, [p.name for place in places for p in _siblings(place) if _EXISTS[kind](p)])
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
    """Content of the folder of a path; empty if it cannot be read."""
    try:
        return visible(path.parent)
    except OSError:
        return []


def visible(folder: Path) -> list[Path]:
    """Direct content of a folder without hidden files, sorted by name."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def class_files(
    root: Path, noun: str, suffixes: Collection[str], without: Collection[str] = ()
) -> dict[str, list[Path]]:
    """Class name → its files with the suffixes, at any depth, both sorted; folders named in `without` are not classes.

    Links to folders and files are followed. A folder or file with several names in one class counts once; links to an
    enclosing folder are loops and are not followed. Other files are noted. noun: the kind of a file, in the singular.
    Raises UserError if there is no class, an empty class or a broken link, or if two classes share a folder.
    """
    entries = [path for path in visible(root) if path.name not in without]
    refuse_broken_links(root, entries)
    folders = [path for path in entries if path.is_dir()]
    if not folders:
        raise UserError(f"{root} has no class folders; there is {listed(visible(root))}.")
    trees = {folder.name: FileTree(folder, root) for folder in folders}
    refuse_broken_links(root, [path for tree in trees.values() for path in tree.broken])
    _refuse_shared_folders(root, trees)
    files = {name: [path for path in tree.files if path.suffix.lower() in suffixes] for name, tree in trees.items()}
    if empty := [name for name, paths in files.items() if not paths]:
        known = " ".join(sorted(suffixes))
        raise UserError(
            f"{root}: class folders with no {noun} in them: {', '.join(map(sanitize, empty))}; {noun}s end in {known}."
        )
    others = [path for path in entries if not path.is_dir()]
    others += [path for tree in trees.values() for path in tree.files if path.suffix.lower() not in suffixes]
    warn_of_ignored(root, f"that are not {noun}s in a class folder", others)
    if loops := [path for tree in trees.values() for path in tree.loops]:
        note(f"{root}: did not follow {len(loops)} links to a folder that they lie in: {listed(loops, root)}")
    if repeated := [path for tree in trees.values() for path in tree.repeated if path.suffix.lower() in suffixes]:
        note(
            f"{root}: left out {len(repeated)} links to {noun}s that their class has already: {listed(repeated, root)}"
        )
    _note_shared_files(root, noun, trees, files)
    return files


def refuse_broken_links(root: Path, paths: Iterable[Path]) -> None:
    """Raise UserError for broken links, whose files would be missing silently."""
    if broken := [path for path in paths if path.is_symlink() and not path.exists()]:
        raise UserError(f"{root}: {len(broken)} links lead nowhere: {listed(broken, root)}. Mend or remove them.")


def note_shared_parts(root: Path, noun: str, train: Iterable[Path], test: Iterable[Path]) -> None:
    """Note files that are in the training part and, by a link, also in the test part."""
    trained_on = {os.path.realpath(path) for path in train}
    if both := [path for path in test if os.path.realpath(path) in trained_on]:
        note(f"{root}: {len(both)} {noun}s are in the training and, by links, in the test part: {listed(both, root)}")


def held_out(root: Path, noun: str, suffixes: Collection[str], test_fraction: float, split_seed: int) -> Files:
    """Files of class folders, with a part of each class held out; raises UserError for a class of one file."""
    paths_of = class_files(root, noun, suffixes)
    if lonely := [name for name, paths in paths_of.items() if len(paths) < 2]:
        raise UserError(f"{root}: a class needs 2 {noun}s, one for the test; these have one: {', '.join(lonely)}.")
    whole = labelled(paths_of, tuple(paths_of))
    train, test = stratified_split(whole.labels, test_fraction, split_seed)
    return Files(whole.take(train), whole.take(test), tuple(paths_of))


def labelled(paths_of: dict[str, list[Path]], classes: tuple[str, ...]) -> Part:
    """All files with their labels, class by class."""
    numbers = np.array([classes.index(name) for name in paths_of], dtype=np.int64)
    return Part(
        [path for paths in paths_of.values() for path in paths], np.repeat(numbers, list(map(len, paths_of.values())))
    )


def refuse_faults(noun: str, faults: dict[int, str], count: int) -> None:
    """Raise UserError with the unreadable ones of `count` files; faults: place → fault."""
    if faults:
        shown = "\n".join(sanitize(faults[index]) for index in sorted(faults)[:SHOWN])
        more = f"\n {and_more(faults)}" if len(faults) > SHOWN else ""
        raise UserError(f"{len(faults)} of {count} {noun}s cannot be read:\n{shown}{more}\nMend or remove them.")


def warn_of_ignored(root: Path, which: str, paths: list[Path]) -> None:
    """Note files that are not used, if there are any."""
    if paths:
        note(f"{root}: ignored {len(paths)} files or folders {which}: {listed(paths)}")


def listed(paths: Iterable[Path], root: Path | None = None) -> str:
    """First names of paths, or the word nothing; with a root, their paths relative to it."""
    names = [sanitize(path.name if root is None else str(path.relative_to(root))) for path in paths]
    return (", ".join(names[:SHOWN]) or "nothing") + and_more(names)


def within(path: Path, root: Path) -> Path:
    """Path relative to a folder; unchanged if it lies elsewhere."""
    return path.relative_to(root) if path.is_relative_to(root) else path


def and_more(names: Sized, shown: int = SHOWN) -> str:
    """Number of the names that are not shown, in words; "" if all are."""
    return f" and {len(names) - shown} more" if len(names) > shown else ""


def _refuse_shared_folders(root: Path, trees: Mapping[str, FileTree]) -> None:
    """Raise UserError if links make one folder a part of two classes."""
    owners: dict[str, str] = {}
    for name, tree in trees.items():
        for folder in sorted(tree.folders):
            if (other := owners.setdefault(folder, name)) != name:
                raise UserError(
                    f"{root}: the classes {sanitize(other)} and {sanitize(name)} have a folder in common, by links:"
                    f" {sanitize(folder)}. What is in it would have two labels; remove one of the links."
                )


def _note_shared_files(root: Path, noun: str, trees: Mapping[str, FileTree], files: Mapping[str, list[Path]]) -> None:
    """Note files that links put in two classes."""
    owners: dict[str, str] = {}
    shared = [
        path
        for name, paths in files.items()
        for path in paths
        if owners.setdefault(trees[name].files[path], name) != name
    ]
    if shared:
        note(f"{root}: {len(shared)} {noun}s are in two classes, by links, and have two labels: {listed(shared, root)}")
