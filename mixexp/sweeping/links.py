"""Readable links: `by-label/LABEL` in a sweep's folder leads to the run with this label."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mixexp.training.reader import BY_LABEL, MARKERS

LONGEST = 180
"""The most bytes of a label in a link's name; with a run_id after it, the name is valid on every file system."""


def link_by_label(folder: Path, labels: Mapping[str, str]) -> bool:
    """Make `folder/by-label/LABEL` a relative link to each existing run; returns False if the file system has no links.

    labels: by the names of the runs' folders. Earlier links to these runs, and broken ones, are removed; nothing else
    is touched. Where labels are equal or a name is taken, the run's name follows the label.
    """
    place = folder / BY_LABEL
    if place.is_symlink():  # the user's own link, perhaps to another folder
        return True
    try:
        place.mkdir(exist_ok=True)
        before = {name: target for name in os.listdir(place) if (target := _run_at(place / name)) is not None}
        stale = [name for name, target in before.items() if target in labels or not (folder / target).exists()]
        taken = {name.casefold() for name in {*os.listdir(place)} - {*stale}} | {*MARKERS}
        names = {name: file_name(label) for name, label in labels.items() if (folder / name).is_dir()}
        times = Counter(label.casefold() for label in names.values())
        alone = {
            name for name, label in names.items() if times[label.casefold()] == 1 and label.casefold() not in taken
        }
        links = {label if name in alone else f"{label}_{name}": name for name, label in names.items()}
        for name in stale:
            if links.get(name) != before[name]:
                (place / name).unlink(missing_ok=True)
        for label, name in links.items():
            with contextlib.suppress(FileExistsError):  # it exists, or another process was faster
                os.symlink(os.path.join("..", name), place / label, target_is_directory=True)
        return True
    except (OSError, NotImplementedError):
        return False
    finally:
        with contextlib.suppress(OSError):  # empty where there are no links
            place.rmdir()


def file_name(label: str) -> str:
    """A label as a file name that needs no quotes in a shell: blanks become commas, other signs underscores."""
    safe = re.sub(r"[^\w=.,+-]+", "_", label.replace(" ", ",")).strip("_").lstrip(".-")
    return safe.encode()[:LONGEST].decode(errors="ignore") or "run"


def _run_at(path: Path) -> str | None:
    """The name of the run that a link of mixexp leads to; None for everything else."""
    try:
        above, _, name = os.readlink(path).replace(os.sep, "/").partition("/")
    except OSError:  # not a link
        return None
    return name if above == ".." and name and "/" not in name else None
