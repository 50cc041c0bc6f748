"""What libraries warn of while files are read, as one note that names the files."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixexp.errors import note

SHOWN = 3
"""As many files as a note names."""


class FileWarnings:
    """The first warning for each file; a file is named by the thread that reads it."""

    def __init__(self) -> None:
        self.first: dict[Path, str] = {}
        self._reading = threading.local()

    def reading(self, path: Path) -> None:
        """Say which file this thread reads from now on."""
        self._reading.path = path

    def show(self, message: Warning | str, *_: object, **__: object) -> None:
        """Take the place of warnings.showwarning."""
        if (path := getattr(self._reading, "path", None)) is not None:
            self.first.setdefault(path, str(message))


@contextmanager
def noted(root: Path, noun: str) -> Iterator[FileWarnings]:
    """Collect the warnings of all threads, and note them at the end; noun: what one file is, in the singular."""
    collected = FileWarnings()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)  # for the program's authors
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        warnings.showwarning = collected.show
        yield collected
    if collected.first:
        files = sorted(collected.first)
        shown = ", ".join(f"{path.relative_to(root)} ({collected.first[path].rstrip('. ')})" for path in files[:SHOWN])
        more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        note(f"{root}: {len(files)} {noun}s were read with a warning: {shown}{more}")
