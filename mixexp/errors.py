"""Messages to the user in place of tracebacks."""

from __future__ import annotations

import argparse
import functools
import json
import math
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from mixexp.text import escaped, in_shell, override, resembling, unbroken


class UserError(Exception):
    """An error that the user can fix: one message with the value, the allowed values and the closest match."""

    exit_code = 2


class RunsFailed(UserError):
    """A sweep with failed runs; the message lists them with the reasons."""

    exit_code = 1


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are UserErrors; prog: "mixexp COMMAND"."""

    def flags(self) -> list[str]:
        """Its options, as --json."""
        return [name for name in self._option_string_actions if name.startswith("--")]

    def error(self, message: str) -> NoReturn:
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        strange = re.search(r"unrecognized arguments: ([^ ]*)", message)
        near = closest(choice[1], re.findall(r"[^\s,']+", choice[2])) if choice else ""
        near = closest(strange[1], self.flags()) if strange else near
        raise UserError(f"{self.prog.removeprefix('mixexp ')}: {message}; {self.prog} --help says more.{near}")


def closest(value: object, choices: Iterable[object], key: str = "") -> str:
    """``" Did you mean 'x'?"`` if a choice resembles the value, else an empty string; the quoted part fits a shell.

    key: the setting that has the value; the answer is then a whole override. For a list, "key[]": the override has a
    list of one.
    """
    match = next(iter(resembling(value, choices)), None)
    if match is None:
        return ""
    return meant(override(key.removesuffix("[]"), [match] if key.endswith("[]") else match) if key else in_shell(match))


def closest_path(path: Path, names: Iterable[str]) -> str:
    """`closest` of a path's name among those beside it; the answer is a whole path, as the path itself was typed."""
    match = next(iter(resembling(path.name, names)), None)
    return "" if match is None else meant(in_shell(str(path.parent / match)))


def meant(*words: str) -> str:
    """``" Did you mean 'a' or 'b'?"`` for words as a shell takes them; empty without any."""
    quoted = [unbroken(word if word.endswith("'") else f"'{word}'") for word in words]
    return f" Did you mean {' or '.join(quoted)}?" if quoted else ""


def refusal(problem: str, near: str, choices: str) -> str:
    """A message whose suggestion stands before a long list of choices.

    near: as `closest` gives it. choices: such as "there are a, b".
    """
    if not near:
        return f"{problem}; {choices}."
    if choices.startswith(("there ", "they ")):  # and not the name of a part, as in "hydra.job has a, b"
        choices = choices[0].upper() + choices[1:]
    return f"{problem}.{near} {choices}."


def say(message: str, code: int = 2) -> int:
    """Print a message to standard error, after pending standard output, and return the exit code."""
    sys.stdout.flush()
    print(escaped(f"mixexp: {message}"), file=sys.stderr)
    return code


def show(text: str) -> None:
    """Print text that may come from files to standard output, with a terminal's control characters escaped."""
    print(escaped(text), flush=True)


def show_json(schema: str, record: Mapping[str, Any]) -> None:
    """Print a record as JSON, with the name and the version of its form under "schema": "mixexp.plan/1"."""
    print(json.dumps(plain_json({"schema": schema, **record}), indent=1, allow_nan=False), flush=True)


def plain_json(value: Any) -> Any:
    """The value in the types of JSON: a number that is not finite is null, and what JSON has no type for is a text."""
    if isinstance(value, Mapping):
        return {str(key): plain_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int) else str(value)


@functools.cache  # once per process: the check, the run and the probes all read the data
def note(text: str) -> None:
    """Print one line to standard error: information that needs no action."""
    sys.stdout.flush()
    print(f"note: {unbroken(text)}", file=sys.stderr)


def warnings_as_notes() -> None:
    """Turn warnings of libraries and of the user's modules into notes of one line, from now on in this process."""
    warnings.showwarning = _note_warning


def _note_warning(message: Warning | str, category: type[Warning], filename: str, *_: object, **__: object) -> None:
    parts = Path(filename).with_suffix("").parts
    behind = [parts[k + 1] for k, part in enumerate(parts[:-1]) if part in ("site-packages", "dist-packages")]
    source = behind[-1] if behind else parts[-1] if parts else category.__name__
    note(f"{source}: {message}")
