"""The state of an unfinished run on disk, from which it continues as if it had not stopped."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from mixexp.files import atomically, opened, read_bytes
from mixexp.text import one_line

State = dict[str, Any]
ZIP, ZIP_END, ZIP_END_BYTES = b"PK\x03\x04", b"PK\x05\x06", 22
"""The first bytes of the archive that torch writes, the first bytes of its last record, and that record's size."""

COMPUTES = (
    *(
        "train",
        "evaluate",
        "training",
        "gan",
        "second_stage",
        "probe",
        "build",
        "metrics",
        "labels",
        "phases",
        "streams",
        "optimizer",
        "schedule",
        "speed",
    ),
    *("dataset", "subset", "imbalance", "label_noise", "sampling", "augment", "model", "mix", "mix_layer", "loss"),
)
"""The modules and packages of mixexp that compute a run's numbers; the others compose, plan, write, draw or report."""
RECORDS = ("training/folder.py", "training/logging.py", "training/reader.py", "training/spec.py", "training/weights.py")
"""Files in them that write and read records and compute nothing."""


class Checkpoint:
    """One run's checkpoint.pt, written periodically by atomic rename and read with weights_only=True.

    made_by: the facts that must be the same for the continued run to give the numbers of an uninterrupted one; a
    checkpoint with other facts is not used. seconds: the least time between two periodic checkpoints, which bounds
    their cost.
    """

    def __init__(self, path: Path, made_by: Mapping[str, Any], seconds: float) -> None:
        self.path = path
        self._made_by = dict(made_by)
        self._least = self._seconds = seconds
        self._cost: float | None = None
        self._last = time.monotonic()  # a clock that cannot be set

    def due(self) -> bool:
        """True if the time since the last checkpoint is up."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, state: State) -> None:
        """Replace the checkpoint; after a crash at any moment the old or the new one is there, whole."""
        started = time.monotonic()
        self.write(self.path, state)
        self._last = time.monotonic()
        # On a slow disk, checkpoints become rarer: they take at most a twentieth of the run's time. The lesser of two
        # costs counts, since one slow write does not mean a slow disk.
        cost, before = self._last - started, self._cost
        self._cost = cost
        self._seconds = max(self._least, 20 * (cost if before is None else min(cost, before))) if self._least else 0

    def write(self, path: Path, state: State) -> None:
        """Replace a file by a state of the run and the facts of `made_by`."""
        content = io.BytesIO()
        torch.save({"made_by": self._made_by, **state}, content)
        with atomically(path) as partial, partial.open("wb") as file:
            file.write(content.getbuffer())
            # torch's reader neither checks a sum nor minds what follows
            file.write(hashlib.sha256(content.getbuffer()).digest())

    def load(self, path: Path, note: Callable[[str], None]) -> State | None:
        """The state in a file, of this or another run, on the CPU; None where it cannot be used.

        note: takes the reason as a line for the user.
        """
        if not path.exists():
            return None
        try:
            made_by, state = read(path)
        except Exception as error:  # whatever a cut or damaged file makes the reader raise
            note(f"checkpoint.pt cannot be read ({reason_of(error)}); the run starts afresh")
            return None
        changed = [name for name in self._made_by if made_by.get(name) != self._made_by[name]]
        if changed:
            words = ", ".join(f"{name} {made_by.get(name)} instead of {self._made_by[name]}" for name in changed)
            note(f"checkpoint.pt was made with {words}, which could change the numbers; the run starts afresh")
            return None
        return state


def read(path: Path) -> tuple[dict[str, Any], State]:
    """The facts of `made_by` in a checkpoint, and its state on the CPU.

    Raises OSError, MemoryError or ValueError for a cut, damaged or foreign file.
    """
    with opened(path) as file:
        begins = file.read(len(ZIP))
        size = os.fstat(file.fileno()).st_size
        file.seek(max(size - 32 - ZIP_END_BYTES, 0))
        # checked first, since a foreign file may be of any size
        if begins != ZIP or file.read(len(ZIP_END)) != ZIP_END:
            raise ValueError("it is cut or damaged")
    content = memoryview(read_bytes(path, most=sys.maxsize))
    if hashlib.sha256(content[:-32]).digest() != content[-32:]:
        raise ValueError("it is cut or damaged")
    try:
        state = torch.load(io.BytesIO(content[:-32]), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's own message advises to load the file unsafely
        raise ValueError("it holds other things than the state of a run") from error
    if not isinstance(state, dict) or not isinstance(state.get("made_by"), dict):
        raise ValueError("it is not the state of a run")
    return state.pop("made_by"), state


def reason_of(error: Exception) -> str:
    """The reason why a file cannot be read, on one line."""
    return one_line(str(error) or type(error).__name__)[:200]


def code_hash(own_code: Mapping[str, str]) -> str:
    """The hash of the source that a run's numbers depend on: COMPUTES, and the user's own modules.

    own_code: the modules' hashes by name.
    """
    digest = hashlib.sha256(_program())
    for name, module_hash in sorted(own_code.items()):
        digest.update(f"{name} {module_hash}\n".encode())
    return digest.hexdigest()[:16]


@functools.cache
def _program() -> bytes:
    package = Path(__file__).parent.parent
    files = [
        path for name in sorted(COMPUTES) for path in (package / f"{name}.py", *sorted((package / name).rglob("*.py")))
    ]
    return b"".join(
        path.read_bytes() for path in files if path.is_file() and str(path.relative_to(package)) not in RECORDS
    )


# Read at import: the fork server imports this when a sweep begins, and its last slot may start days later.
_program()
