"""What the program says to its user instead of a traceback."""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Iterable

from mixexp.text import escaped, one_line


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
    print(escaped(f"mixexp: {message}"), file=sys.stderr)
    return code


def show(text: str) -> None:
    """Print to standard output what may come from files: a terminal shows it and does not obey it."""
    print(escaped(text), flush=True)


@functools.cache  # once a process: data are read by the check, by the run and by probes
def note(text: str) -> None:
    """Print one line to standard error: what the user may want to know and need not mend."""
    sys.stdout.flush()
    print(f"note: {one_line(text)}", file=sys.stderr)
