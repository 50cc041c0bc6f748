"""Addresses of files on a report's page: no link but a file's."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def link(path: Path, home: Path) -> str:
    """The address of a file, or of a folder with a slash at its end, relative to the folder that the page is in."""
    return encoded(Path(os.path.relpath(path.absolute(), home.resolve())).as_posix()) + "/" * path.is_dir()


def encoded(path: str) -> str:
    """A path as an address has it: no first part can be taken for a scheme, since a colon is encoded too."""
    return quote(os.fsencode(path), safe="/")
