"""The files in a run's folder; result.json is written last, by atomic rename: only it means "finished"."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mixexp import metrics
from mixexp.files import put_aside, write_atomically
from mixexp.project import project_file
from mixexp.text import one_line, shorten

COLUMNS = ("step", "epoch", "lr", "train_loss", "test_loss", *metrics.NAMES)
"""The columns of metrics.csv, computed in mixexp.train and mixexp.evaluate; Session.record adds `seconds`."""
MOST_FIGURES = 8
"""The most figures of a run on one line."""
VALIDATION_COLUMNS = ("val_loss", "val_accuracy", "val_macro_f1")
"""The columns between the test columns and `seconds`, when a part of the training set is held out."""
_PROGRAM = Path(__file__).parent
LOCK = ".lock"
"""The file in a run's folder that its process holds locked while it trains."""
FILES = (
    "config.yaml",
    "environment.json",
    "metrics.csv",
    "confusion.csv",
    "result.json",
    "error.txt",
    "log.txt",
    "checkpoint.pt",
    "weights.pt",
    LOCK,
)
"""The files of a run, apart from those of its probes."""


def metric_columns(validation: bool) -> tuple[str, ...]:
    """The columns of metrics.csv before `seconds`; validation: a part of the training set is held out."""
    return (*COLUMNS, *VALIDATION_COLUMNS) if validation else COLUMNS


def csv_rows(step: int, rows: Sequence[Mapping[str, Any]], header: bool) -> str:
    """Lines of a probe's CSV: rows with the same columns; the first column is the step of the measurement."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ("step", *rows[0]), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows({"step": step, **row} for row in rows)
    return text.getvalue()


class RunFolder:
    """One run's files; rows are appended as they are measured, so an interrupted run still shows its progress.

    note: takes a line for the user, such as why a checkpoint was not used.
    """

    def __init__(self, path: Path, note: Callable[[str], None] = print) -> None:
        self.path = path
        self.note = note
        self.rows: list[dict[str, float]] = []
        self.probed: dict[str, str] = {}

    def start(
        self,
        config: Mapping[str, Any],
        environment: Mapping[str, Any],
        columns: Sequence[str] = COLUMNS,
        rows: Iterable[Mapping[str, float]] = (),
        probed: Mapping[str, str] | None = None,
    ) -> None:
        """Write the configuration, the environment and the CSVs as far as they are continued; remove other old files.

        columns: of metrics.csv, before `seconds`; rows: of it, so far; probed: the text of each probe's file so far.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for leftover in (
            *self.path.glob("*.part"),
            *self.path.glob("probe_*"),
            *(self.path / n for n in ("result.json", "error.txt", "confusion.csv")),
        ):
            put_aside(leftover, self.note)
            leftover.unlink(missing_ok=True)
        write_atomically(self.path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
        write_atomically(self.path / "environment.json", json.dumps(environment, indent=1, default=str))
        self._columns = (*columns, "seconds")
        self.rows = [dict(row) for row in rows]
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.path / "metrics.csv", text.getvalue())
        self.probed = dict(probed or {})
        for name, lines in self.probed.items():
            write_atomically(self.path / f"probe_{name}.csv", lines)

    def append_probe_rows(self, step: int, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Append a probe's rows after a step to each of its files; all rows of a file have the same columns."""
        for name, rows in tables.items():
            text = csv_rows(step, rows, header=name not in self.probed)
            self.probed[name] = self.probed.get(name, "") + text
            with (self.path / f"probe_{name}.csv").open("a", newline="", encoding="utf-8") as file:
                file.write(text)

    def append(self, row: Mapping[str, float]) -> None:
        """Append one evaluation's row, on disk before training continues."""
        self.rows.append(dict(row))
        with (self.path / "metrics.csv").open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns, lineterminator="\n").writerow(row)

    def confusion(self, matrix: np.ndarray, classes: Sequence[str]) -> None:
        """Write the last evaluation's confusion matrix, int [C, C]: rows are true classes, columns predicted ones."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["true \\ predicted", *classes])
        writer.writerows([name, *counts] for name, counts in zip(classes, matrix.tolist(), strict=True))
        write_atomically(self.path / "confusion.csv", text.getvalue())

    def finish(self, outcome: str, seconds: float, **facts: Any) -> dict[str, Any]:
        """Write result.json: the outcome, the figures selected in three ways, and facts about the run."""
        # a metrics.csv with fewer rows is cut short
        evaluations = {"evaluations": len(self.rows)}
        result = {"outcome": outcome, "seconds": round(seconds, 3), **facts, **evaluations, **select(self.rows)}
        write_atomically(self.path / "result.json", json.dumps(_without_nan(result), indent=1))
        return result

    def fail(self, reason: str) -> None:
        """Write the reason why a run did not finish.

        On a full disk at least an empty error.txt, which needs no space.
        """
        error = self.path / "error.txt"
        with contextlib.suppress(OSError):
            self.path.mkdir(parents=True, exist_ok=True)
            put_aside(error, self.note)
            try:
                write_atomically(error, reason)
            except OSError:
                error.touch()


def _without_nan(value: Any) -> Any:
    """The value with null for numbers that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def select(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Every figure in three selections: the last one, the median of the last 10 evaluations, the best on the test set.

    "best" takes each figure's own best evaluation; it is optimistic, since the test set does the choosing. Where a part
    is held out, "best_validation" is the first evaluation with the highest accuracy on it, which is an unbiased choice.
    """
    names = [name for name in rows[-1] if name not in ("step", "epoch", "lr", "seconds")] if rows else []

    def best(name: str) -> float:
        finite = [row[name] for row in rows if math.isfinite(row[name])]
        return (min if name.endswith("loss") else max)(finite, default=math.nan)

    chosen = max(rows, key=lambda row: row["val_accuracy"]) if "val_accuracy" in names else {}
    return {
        **({"best_validation": {name: chosen[name] for name in names}} if chosen else {}),
        "last": {name: rows[-1][name] for name in names},
        "median_last_10": {name: statistics.median(row[name] for row in rows[-10:]) for name in names},
        "best": {name: best(name) for name in names},
    }


def headline(result: Mapping[str, Any], names: Sequence[str] = ("accuracy",)) -> str:
    """A result's last figures in words: the named ones where it has them, else all of its figures."""
    last = result["last"]
    shown = names if set(names) <= last.keys() else list(last)[:MOST_FIGURES]
    # a diverged run may lack a figure
    numbers = {name: last[name] for name in shown if isinstance(last[name], int | float)}
    return ", ".join(f"{shorten(one_line(_in_words(name)), 40)} {_figure(value)}" for name, value in numbers.items())


def _in_words(name: str) -> str:
    return name.replace("_", " ").replace("f1", "F1")


def _figure(value: float) -> str:
    """A figure as a line shows it; a figure beyond any plausible value takes no more room than the others."""
    if isinstance(value, int) and abs(value) < 1e15:
        return str(value)
    return f"{value:.4f}" if abs(value) < 1e9 else f"{value:.4g}"


def environment(**facts: Any) -> dict[str, Any]:
    """The place of a run: commit, versions, machine, process, command line, start time, and facts of the caller."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": command_line(),
        "host": platform.node(),
        "process": os.getpid(),
        **facts,
        "git": _git(_PROGRAM),
        **({} if (project := project_file()) is None else {"project_file": os.path.relpath(project)}),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "processor_count": os.cpu_count(),
        "versions": {name: _version(name) for name in ("mixexp", "torch", "torchvision", "numpy", "hydra-core")},
    }


def _version(name: str) -> str | None:
    """A package's version; None for one that is used without being installed, such as mixexp from a checkout."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def command_line() -> str:
    """The command as the user typed it, for a shell; `python -m mixexp` is mixexp there."""
    program = Path(sys.argv[0])
    named = program.name != "__main__.py" or program.parent.name != "mixexp"
    return shlex.join([program.name if named else "mixexp", *sys.argv[1:]])


def processor() -> str:
    """The processor's model name where the system reports it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def own_git(files: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """Commit and state of the user's own checkouts, by the names of the modules in them; mixexp's own is left out.

    files: of each module, its own first.
    """
    own_files = {
        name: tuple(paths) for name, paths in files.items() if paths and _top(paths[0].parent) != _top(_PROGRAM)
    }
    states = {name: _git(paths[0].parent, paths) for name, paths in own_files.items()}
    return {name: state for name, state in states.items() if state is not None}


@functools.cache  # a worker asks once, not once a run
def _git(folder: Path, files: Sequence[Path] = ()) -> dict[str, Any] | None:
    """The commit of a folder's checkout, and whether it has uncommitted changes; None outside a checkout.

    A file that the checkout does not track counts as a change.
    """
    commit, changes = (
        _ask_git(folder, "rev-parse", "HEAD"),
        _ask_git(folder, "status", "--porcelain", "--untracked-files=no"),
    )
    unknown = _ask_git(folder, "ls-files", "--others", "--", *map(str, files)) if files else ""
    return None if commit is None or changes is None else {"commit": commit, "dirty": bool(changes or unknown)}


@functools.cache
def _top(folder: Path) -> str | None:
    """The topmost folder of a folder's checkout; None outside one."""
    return _ask_git(folder, "rev-parse", "--show-toplevel")


def _ask_git(folder: Path, *arguments: str) -> str | None:
    """The output of git in a folder; None where git fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
