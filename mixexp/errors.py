"""What the program says to its user instead of a traceback."""

from __future__ import annotations

import difflib
import functools
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

from mixexp.text import one_line


class UserError(Exception):
    """Something the user can mend: one message that names the value, what is allowed and the closest match."""

    exit_code = 2


class RunsFailed(UserError):
    """A sweep some of whose runs failed; the message says which and why."""

    exit_code = 1


def closest(value: object, choices: Iterable[object]) -> str:
    """``" Did you mean 'x'?"`` when a choice resembles the value, else an empty string."""
    match = difflib.get_close_matches(str(value), [str(choice) for choice in choices], n=1, cutoff=0.6)
    return f" Did you mean '{match[0]}'?" if match else ""


def say(message: str, code: int = 2) -> int:
    """Print a message to standard error, after what was printed before, and give the exit code back."""
    sys.stdout.flush()
    print(f"mixexp: {message}", file=sys.stderr)
    return code


@functools.cache  # once a process: data are read by the check, by the run and by probes
def note(text: str) -> None:
    """Print one line to standard error: what the user may want to know and need not mend."""
    sys.stdout.flush()
    print(f"note: {one_line(text)}", file=sys.stderr)


def warnings_as_notes() -> None:
    """Let what libraries and modules of the user's own warn of be notes of one line, from now on in this process."""
    warnings.showwarning = _note_warning


def _note_warning(message: Warning | str, category: type[Warning], filename: str, *_: object, **__: object) -> None:
    parts = Path(filename).with_suffix("").parts
    behind = [parts[k + 1] for k, part in enumerate(parts[:-1]) if part in ("site-packages", "dist-packages")]
    source = behind[-1] if behind else parts[-1] if parts else category.__name__
    note(f"{source}: {message}")
