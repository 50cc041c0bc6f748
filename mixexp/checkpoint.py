"""The state of an unfinished run on disk, from which it goes on as if it had not stopped."""

from __future__ import annotations

import functools
import hashlib
import io
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from mixexp.record import atomically

State = dict[str, Any]


class Checkpoint:
    """One run's checkpoint.pt: written now and then by atomic rename, read with weights_only=True.

    made_by: what must be the same for the continued run to give the numbers of an uninterrupted one; a checkpoint made by anything
    else is not used. seconds: the least time between two periodic ones, so that their cost stays small.
    """

    def __init__(self, path: Path, made_by: Mapping[str, Any], seconds: float) -> None:
        self.path = path
        self._made_by = dict(made_by)
        self._seconds = seconds
        self._last = time.monotonic()  # a clock that nobody sets

    def due(self) -> bool:
        """Whether the time since the last one is up."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, state: State) -> None:
        """Replace the checkpoint: after a crash at any moment, the old or the new one is there, whole."""
        started = time.monotonic()
        content = io.BytesIO()
        torch.save({"made_by": self._made_by, **state}, content)
        with atomically(self.path) as partial, partial.open("wb") as file:
            file.write(content.getbuffer())
            file.write(hashlib.sha256(content.getbuffer()).digest())  # torch's reader neither checks a sum nor minds what follows
        self._last = time.monotonic()
        # on a slow disk rather fewer checkpoints than more than a twentieth of the run's time
        self._seconds = max(self._seconds, 20 * (self._last - started)) if self._seconds else 0

    def load(self, path: Path, note: Callable[[str], None]) -> State | None:
        """The state in a file, its own or another run's, on the CPU; None where none can be used, and note is told why one cannot."""
        if not path.exists():
            return None
        try:
            made_by, state = read(path)
        except Exception as error:  # whatever a cut or damaged file makes the reader raise
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            note(f"checkpoint.pt cannot be read ({reason[:200]}); the run starts afresh")
            return None
        changed = [name for name in self._made_by if made_by.get(name) != self._made_by[name]]
        if changed:
            words = ", ".join(f"{name} {made_by.get(name)} instead of {self._made_by[name]}" for name in changed)
            note(f"checkpoint.pt was made with {words}, which could change the numbers; the run starts afresh")
            return None
        return state


def read(path: Path) -> tuple[dict[str, Any], State]:
    """What made a checkpoint, and its state on the CPU; raises whatever a cut or damaged file makes the reader raise."""
    content = memoryview(path.read_bytes())
    if hashlib.sha256(content[:-32]).digest() != content[-32:]:
        raise ValueError("it is cut or damaged")
    state = torch.load(io.BytesIO(content[:-32]), map_location="cpu", weights_only=True)
    return state.pop("made_by"), state


def code_hash(trusted: Iterable[str]) -> str:
    """Hash of the source that a run's numbers come from: mixexp's without its report, and the modules in use that a user trusts."""
    digest = hashlib.sha256(_own_code())
    for name in sorted(trusted):
        if name in sys.modules:
            digest.update(_source(sys.modules[name]))
    return digest.hexdigest()[:16]


# What a process has imported does not change when the files do, which a sweep of days has to reckon with.
@functools.cache
def _source(module: ModuleType) -> bytes:
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    if not folders and getattr(module, "__file__", None):
        files = [Path(module.__file__)]
    return b"".join(path.read_bytes() for path in files)


@functools.cache
def _own_code() -> bytes:
    package = Path(__file__).parent
    files = [path for path in sorted(package.rglob("*.py")) if path.relative_to(package).parts[0] != "report"]
    return b"".join(path.read_bytes() for path in files)


_own_code()  # as it is imported: the fork server does so when a sweep begins, and its last slot may start days later
