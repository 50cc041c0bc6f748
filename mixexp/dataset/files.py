"""A user's own files and class folders, whatever the files are, and through links too."""

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
"""As many names as an error message lists."""
_EXISTS = {"file": os.path.isfile, "folder": os.path.isdir}  # unlike pathlib's, they answer for names of any kind


class Part(NamedTuple):
    """Files of a data set and their labels, int64."""

    paths: list[Path]
    labels: np.ndarray

    def take(self, places: Sequence[int] | np.ndarray) -> Part:
        """The files at these places."""
        return Part([self.paths[place] for place in places], self.labels[places])


class Files(NamedTuple):
    """The files of both parts, and the classes' names."""

    train: Part
    test: Part
    classes: tuple[str, ...]

    def splits(self, seed: int, read: Callable[[list[Path]], torch.Tensor]) -> Splits:
        """The images that `read` makes of all files, with the training files shuffled by a seed, so that the first N
        are of all classes."""
        train = self.train.take(shuffled(len(self.train.paths), np.random.Philox(key=seed)))
        images, count = read(train.paths + self.test.paths), len(train.paths)
        labels, test_labels = torch.from_numpy(train.labels), torch.from_numpy(self.test.labels)
        return Splits(images[:count], labels, images[count:], test_labels, self.classes)


class FileTree:
    """What is below a class folder, hidden names aside; every folder and file counts once, whichever links lead to it.

    files: paths, sorted, each with its real one. folders: real paths of the folders they lie in. repeated: links to
    files that are there already. loops: links to a folder that they lie in. broken: links that lead nowhere. Raises
    UserError for a folder that cannot be read.
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
            if not waiting:  # what lies here came first, so that a name without links stands for what has several
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
    """The name under which a run's configuration keeps a user's file or folder, so that it means the same wherever the
    run goes on.

    A relative name is looked for where the command is typed, then below root. In the first place it is named in full,
    unless it lies below root too; in the second, and where it is in neither, the name stays as it is.
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
    """A user's file or folder by the name that place_name gave; raises UserError with the places where it was looked
    for."""
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
    """What lies beside a path, if anything can be seen there."""
    try:
        return visible(path.parent)
    except OSError:
        return []


def visible(folder: Path) -> list[Path]:
    """What is directly in a folder, hidden files aside, by name."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def class_files(
    root: Path, noun: str, suffixes: Collection[str], without: Collection[str] = ()
) -> dict[str, list[Path]]:
    """Class name → its files of the suffixes, at any depth, both sorted; folders named in `without` are no classes.

    Links to folders and files are followed. A folder or file that several names in one class lead to counts once, and
    links to a folder around them are loops, which are not followed. Raises UserError if there is no class or an empty
    one, if a link is broken or if two classes have a folder in common, and notes other files; noun: what one file is,
    in the singular.
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
    warn_of_ignored(root, f"that are no {noun}s in a class folder", others)
    if loops := [path for tree in trees.values() for path in tree.loops]:
        note(f"{root}: did not follow {len(loops)} links to a folder that they lie in: {listed(loops, root)}")
    if repeated := [path for tree in trees.values() for path in tree.repeated if path.suffix.lower() in suffixes]:
        note(
            f"{root}: left out {len(repeated)} links to {noun}s that their class has already: {listed(repeated, root)}"
        )
    _note_shared_files(root, noun, trees, files)
    return files


def refuse_broken_links(root: Path, paths: Iterable[Path]) -> None:
    """Raise UserError where paths are links that lead nowhere: the files behind them would be missing without a
    word."""
    if broken := [path for path in paths if path.is_symlink() and not path.exists()]:
        raise UserError(f"{root}: {len(broken)} links lead nowhere: {listed(broken, root)}. Mend or remove them.")


def note_shared_parts(root: Path, noun: str, train: Iterable[Path], test: Iterable[Path]) -> None:
    """Note files that are in the training part and, by a link, in the test part too."""
    trained_on = {os.path.realpath(path) for path in train}
    if both := [path for path in test if os.path.realpath(path) in trained_on]:
        note(f"{root}: {len(both)} {noun}s are in the training and, by links, in the test part: {listed(both, root)}")


def held_out(root: Path, noun: str, suffixes: Collection[str], test_fraction: float, split_seed: int) -> Files:
    """The files of class folders, of which a part of each class is held out for the test; raises UserError for a class
    of one file."""
    paths_of = class_files(root, noun, suffixes)
    if lonely := [name for name, paths in paths_of.items() if len(paths) < 2]:
        raise UserError(f"{root}: a class needs 2 {noun}s, one for the test; these have one: {', '.join(lonely)}.")
    whole = labelled(paths_of, tuple(paths_of))
    train, test = stratified_split(whole.labels, test_fraction, split_seed)
    return Files(whole.take(train), whole.take(test), tuple(paths_of))


def labelled(paths_of: dict[str, list[Path]], classes: tuple[str, ...]) -> Part:
    """All files, class by class."""
    numbers = np.array([classes.index(name) for name in paths_of], dtype=np.int64)
    return Part(
        [path for paths in paths_of.values() for path in paths], np.repeat(numbers, list(map(len, paths_of.values())))
    )


def refuse_faults(noun: str, faults: dict[int, str], count: int) -> None:
    """Raise UserError naming the files of `count` that cannot be read: their place → what is wrong with it."""
    if faults:
        shown = "\n".join(sanitize(faults[index]) for index in sorted(faults)[:SHOWN])
        more = f"\n {and_more(faults)}" if len(faults) > SHOWN else ""
        raise UserError(f"{len(faults)} of {count} {noun}s cannot be read:\n{shown}{more}\nMend or remove them.")


def warn_of_ignored(root: Path, which: str, paths: list[Path]) -> None:
    """Tell of files that are there and not used, if there are any."""
    if paths:
        note(f"{root}: ignored {len(paths)} files or folders {which}: {listed(paths)}")


def listed(paths: Iterable[Path], root: Path | None = None) -> str:
    """The first names of paths, or the word nothing; with a root, the ways from there."""
    names = [sanitize(path.name if root is None else str(path.relative_to(root))) for path in paths]
    return (", ".join(names[:SHOWN]) or "nothing") + and_more(names)


def within(path: Path, root: Path) -> Path:
    """The path below a folder, whole where it lies elsewhere."""
    return path.relative_to(root) if path.is_relative_to(root) else path


def and_more(names: Sized, shown: int = SHOWN) -> str:
    """How many of the names are not among those shown, in words; "" where all are."""
    return f" and {len(names) - shown} more" if len(names) > shown else ""


def _refuse_shared_folders(root: Path, trees: Mapping[str, FileTree]) -> None:
    """Raise UserError where links make one folder a part of two classes."""
    owners: dict[str, str] = {}
    for name, tree in trees.items():
        for folder in sorted(tree.folders):
            if (other := owners.setdefault(folder, name)) != name:
                raise UserError(
                    f"{root}: the classes {sanitize(other)} and {sanitize(name)} have a folder in common, by links:"
                    f" {sanitize(folder)}. What is in it would have two labels; remove one of the links."
                )


def _note_shared_files(root: Path, noun: str, trees: Mapping[str, FileTree], files: Mapping[str, list[Path]]) -> None:
    """Note files that are in two classes by links."""
    owners: dict[str, str] = {}
    shared = [
        path
        for name, paths in files.items()
        for path in paths
        if owners.setdefault(trees[name].files[path], name) != name
    ]
    if shared:
        note(f"{root}: {len(shared)} {noun}s are in two classes, by links, and have two labels: {listed(shared, root)}")
