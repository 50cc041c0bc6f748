"""How a folder of sounds tells its classes and which of its files are for the test."""

from __future__ import annotations

import abc
import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from mixexp.dataset.folders import SHOWN, class_files, flatten, listed, refuse_broken_links, refuse_lonely, visible, warn_of_ignored
from mixexp.dataset.split import stratified_split
from mixexp.errors import UserError

SUFFIXES = frozenset({".wav"})


class Files(NamedTuple):
    """The files of both parts, with their labels, int64, and the classes' names."""

    train: list[Path]
    train_labels: np.ndarray
    test: list[Path]
    test_labels: np.ndarray
    classes: tuple[str, ...]


class Layout(abc.ABC):
    """A way in which WAV files lie in a folder."""

    @abc.abstractmethod
    def find(self, root: Path) -> Files:
        """The files below a folder that exists, in the same order every time; raises UserError where they do not lie so."""


class ClassFolders(Layout):
    """``FOLDER/CLASS/…``, of which a part of each class, drawn once by split_seed, is held out for the test."""

    def __init__(
        self, test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2, split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    ) -> None:
        self.test_fraction, self.split_seed = test_fraction, split_seed

    def find(self, root: Path) -> Files:
        found = class_files(root, "sound", SUFFIXES)
        refuse_lonely(root, "sound", found)
        classes = tuple(found)
        paths, labels = flatten(found, classes)
        train, test = stratified_split(labels, self.test_fraction, self.split_seed)
        return Files([paths[i] for i in train], labels[train], [paths[i] for i in test], labels[test], classes)


class ListedTest(Layout):
    """``FOLDER/CLASS/…`` with testing_list.txt and validation_list.txt, which name files as CLASS/FILE: the speech-commands layout.

    The folder ``_background_noise_`` is no class. validation: whether the files of the validation list are trained on or left out.
    """

    def __init__(self, validation: Literal["train", "left_out"]) -> None:
        self.validation = validation

    def find(self, root: Path) -> Files:
        own = ("_background_noise_", "testing_list.txt", "validation_list.txt", "README.md", "LICENSE")
        found = class_files(root, "sound", SUFFIXES, without=own)
        paths, labels = flatten(found, tuple(found))
        places = {path.relative_to(root).as_posix(): place for place, path in enumerate(paths)}
        test, validation = (self._listed(root / f"{name}_list.txt", places) for name in ("testing", "validation"))
        if both := sorted(test & validation):
            raise UserError(f"{root}: {len(both)} files are in both lists, such as {paths[both[0]].name}.")
        train = sorted(set(range(len(paths))) - test - (validation if self.validation == "left_out" else set()))
        if silent := sorted(set(found) - {tuple(found)[label] for label in labels[train]}):
            raise UserError(f"{root}: classes of which the lists leave nothing to train on: {', '.join(silent)}.")
        held_out = sorted(test)
        return Files([paths[i] for i in train], labels[train], [paths[i] for i in held_out], labels[held_out], tuple(found))

    @staticmethod
    def _listed(path: Path, places: dict[str, int]) -> set[int]:
        """The places of the files that a list names; raises UserError where it, or a file that it names, is not there."""
        if not path.is_file():
            raise UserError(f"There is no {path}, which names files of this layout, one CLASS/FILE a line.")
        names = path.read_text(encoding="utf-8").split()
        if strangers := [name for name in names if name not in places]:
            raise UserError(f"{path} names {len(strangers)} files that are not there: {', '.join(strangers[:SHOWN])}.")
        return {places[name] for name in names}


class NumberedNames(Layout):
    """``FOLDER/CLASS_SPEAKER_INDEX.wav``, as the Free Spoken Digit Dataset names its files; some INDEX of every speaker are the test."""

    def __init__(self, test_indices: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]) -> None:
        self.test_indices = list(test_indices)

    def find(self, root: Path) -> Files:
        refuse_broken_links(root, visible(root))
        named = {path: re.fullmatch(r"(.+?)_.+_(\d+)", path.stem) for path in visible(root) if path.suffix.lower() in SUFFIXES}
        if strangers := [path for path, name in named.items() if name is None]:
            raise UserError(f"{root}: sounds that are not named CLASS_SPEAKER_INDEX.wav: {listed(strangers)}.")
        if not named:
            raise UserError(f"{root} has no files named CLASS_SPEAKER_INDEX.wav; there is {listed(visible(root))}.")
        warn_of_ignored(root, "that are no sounds", [path for path in visible(root) if path not in named])
        classes = tuple(sorted({name[1] for name in named.values()}))
        parts: tuple[list[Path], list[Path]] = ([], [])
        for path, name in named.items():
            parts[int(name[2]) in self.test_indices].append(path)
        train, test = (np.array([classes.index(named[path][1]) for path in part], dtype=np.int64) for part in parts)
        if missing := [classes[label] for label in range(len(classes)) if label not in train]:
            raise UserError(f"{root}: classes of which test_indices leaves nothing to train on: {', '.join(missing)}.")
        if not len(test):
            raise UserError(f"{root}: no file has an INDEX among dataset.layout.test_indices = {self.test_indices}.")
        return Files(parts[0], train, parts[1], test, classes)
