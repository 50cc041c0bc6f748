"""What the program says to its user instead of a traceback."""

from __future__ import annotations

import argparse
import functools
import re
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from mixexp.text import escaped, in_shell, override, resembling, unbroken


class UserError(Exception):
    """Something the user can mend: one message that names the value, what is allowed and the closest match."""

    exit_code = 2


class RunsFailed(UserError):
    """A sweep some of whose runs failed; the message says which and why."""

    exit_code = 1


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are UserErrors; prog: "mixexp COMMAND"."""

    def error(self, message: str) -> NoReturn:
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        strange = re.search(r"unrecognized arguments: ([^ ]*)", message)
        near = closest(choice[1], re.findall(r"[^\s,']+", choice[2])) if choice else ""
        near = closest(strange[1], self._option_string_actions) if strange else near
        raise UserError(f"{self.prog.removeprefix('mixexp ')}: {message}; {self.prog} --help says more.{near}")


def closest(value: object, choices: Iterable[object], key: str = "") -> str:
    """``" Did you mean 'x'?"`` when a choice resembles the value, else an empty string; what is in quotes can be typed
    in a shell.

    key: the setting that has the value; the answer is then a whole override, for a list that has it one of a list:
    "key[]".
    """
    match = next(iter(resembling(value, choices)), None)
    if match is None:
        return ""
    word = in_shell(match)
    if key:
        word = override(key.removesuffix("[]"), [match] if key.endswith("[]") else match)
    return f" Did you mean {unbroken(word if word.endswith(chr(39)) else f'{chr(39)}{word}{chr(39)}')}?"


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
    print(f"note: {unbroken(text)}", file=sys.stderr)


def warnings_as_notes() -> None:
    """Let what libraries and modules of the user's own warn of be notes of one line, from now on in this process."""
    warnings.showwarning = _note_warning


def _note_warning(message: Warning | str, category: type[Warning], filename: str, *_: object, **__: object) -> None:
    parts = Path(filename).with_suffix("").parts
    behind = [parts[k + 1] for k, part in enumerate(parts[:-1]) if part in ("site-packages", "dist-packages")]
    source = behind[-1] if behind else parts[-1] if parts else category.__name__
    note(f"{source}: {message}")
