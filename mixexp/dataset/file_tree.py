"""The files below a folder, through its links too."""

from __future__ import annotations

import os
from pathlib import Path

from mixexp.errors import UserError


class FileTree:
    """What is below a class folder, hidden names aside; every folder and file counts once, whichever links lead to it.

    files: paths, sorted, each with its real one. folders: real paths of the folders they lie in. repeated: links to files that are
    there already. loops: links to a folder that they lie in. broken: links that lead nowhere. Raises UserError for a folder that
    cannot be read.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.files: dict[Path, str] = {}
        self.folders: set[str] = set()
        self.repeated: list[Path] = []
        self.loops: list[Path] = []
        self.broken: list[Path] = []
        self._around = _with_parents(os.path.realpath(root))
        file_links: list[Path] = []
        waiting = [folder]
        while waiting:  # what lies here comes first, so that a name without links stands for what has several
            folder_links: list[Path] = []
            for path in waiting:
                self._walk(path, folder_links, file_links)
            waiting = sorted(folder_links)
        known = set(self.files.values())
        for path in sorted(file_links):
            if (real := os.path.realpath(path)) in known:
                self.repeated.append(path)
            else:
                self.files[path] = real
                known.add(real)
        self.files = dict(sorted(self.files.items()))

    def _walk(self, folder: Path, folder_links: list[Path], file_links: list[Path]) -> None:
        """Collect the files of a folder and of those below it; links are for later."""
        waiting = [(folder, os.path.realpath(folder))]
        while waiting:
            folder, real = waiting.pop()
            if real in self.folders:
                continue
            self.folders.add(real)
            for entry in _entries(folder):
                path, inside = folder / entry.name, os.path.join(real, entry.name)
                if entry.is_symlink():
                    self._follow(path, real, folder_links, file_links)
                elif entry.is_dir():
                    waiting.append((path, inside))
                elif entry.is_file():
                    self.files[path] = inside

    def _follow(self, link: Path, real: str, folder_links: list[Path], file_links: list[Path]) -> None:
        """Sort a link out that lies in a folder of this real path."""
        if not link.exists():
            self.broken.append(link)
        elif link.is_file():
            file_links.append(link)
        elif link.is_dir():
            loop = os.path.realpath(link) in self._around | _with_parents(real)
            (self.loops if loop else folder_links).append(link)


def _with_parents(folder: str) -> set[str]:
    return {folder, *map(str, Path(folder).parents)}


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}).") from error
