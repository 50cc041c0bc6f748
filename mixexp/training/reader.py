"""A run's folder read back, whatever it holds: the run's settings, progress and measurements. Without torch."""

from __future__ import annotations

import csv
import functools
import io
import itertools
import os
import re
import shlex
import statistics
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mixexp.class_names import up_to_date
from mixexp.errors import UserError, closest, closest_path, meant
from mixexp.files import parse_yaml, read_ends, read_json, read_json_or_nothing, read_text, read_yaml
from mixexp.settings import ADDED, OPTIONAL_KEYS, comparable, flatten, lookup
from mixexp.text import command, in_shell, one_line, shorten

Metrics = dict[str, Sequence[float | None]]
"""Columns of metrics.csv: a value for each evaluation, None where there is none."""
MARKERS = ("config.yaml", "environment.json", "metrics.csv", "result.json", "error.txt")
"""The files of a run's folder; it has one of them at least."""
BY_LABEL = "by-label"
"""The folder of links to the runs next to it."""
SWEEPS = "sweeps"
"""The folder of the sweeps' plans, next to the runs."""


@dataclass(frozen=True)
class State:
    """The progress of a run.

    ``outcome`` is finished, diverged, failed, unfinished or damaged; ``problem`` gives the reason in one line.
    """

    outcome: str
    problem: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """True if the run has ended, finished or diverged, and its measurements can be read."""
        return self.outcome in ("finished", "diverged")


@dataclass(frozen=True, kw_only=True)
class Run(State):
    """One run folder: its progress, configuration and environment."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> dict[str, Any]:
        """The description of the table this run belongs to, empty where it belongs to none."""
        table = self.config.get("table")
        return table if isinstance(table, dict) else {}

    def __repr__(self) -> str:
        """The run in a line: its folder, its label, its outcome, and its accuracy or what went wrong."""
        accuracy = self.last.get("accuracy")
        figure = f"accuracy {accuracy:.4f}" if isinstance(accuracy, int | float) else shorten(self.problem, 60)
        label = self.environment.get("label")
        shown = [shorten(one_line(label), 80) if isinstance(label, str) else "", self.outcome, one_line(figure)]
        return f"<Run {self.folder}: {', '.join(filter(None, shown))}>"

    @property
    def last(self) -> Mapping[str, float]:
        """The figures of the last evaluation, by column of metrics.csv; empty for a run that is not over."""
        last = self.result.get("last")
        return last if isinstance(last, Mapping) else {}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration as dotted keys, with values that are equal where they mean the same."""
        # interned, since thousands of runs have the same keys
        return {sys.intern(key): comparable(value) for key, value in flatten(self.config).items()}

    def series(self, metric: str, where: Mapping[str, Any] | None = None) -> Sequence[float | None]:
        """A metric's values by evaluation; metric: a column of metrics.csv, `error`, or `probe.<file>.<column>`.

        error is 1 − accuracy. A probe's value at a step is the mean of its file's rows that fulfil `where`, a column's
        name → value. Raises UserError where there is no such metric.
        """
        if metric.startswith("probe."):
            if metric.count(".") < 2:
                raise UserError(f"{metric}: a probe's measure is probe.<file>.<column>")
            _, file, column = metric.split(".", 2)
            steps: dict[str, list[float]] = {}
            for row in self.probe(file, [column], where):
                try:
                    steps.setdefault(row["step"], []).append(float(row[column]))
                except ValueError:
                    raise UserError(
                        f"probe_{file}.csv has {row[column]!r} in its column {column}, which is not a number"
                    ) from None
            return [statistics.fmean(values) for values in steps.values()]
        source = "accuracy" if metric == "error" else metric
        if source not in self.metrics:
            raise UserError(f"metrics.csv has no column {source!r}.{closest(source, self.metrics)}")
        values = self.metrics[source]
        return [value if value is None else 1 - value for value in values] if metric == "error" else values

    def probe(self, file: str, columns: Iterable[str], where: Mapping[str, Any] | None = None) -> list[dict[str, str]]:
        """The rows of probe_<file>.csv that fulfil `where`, a column's name → value.

        Raises UserError where the file lacks one of these columns or has no such row.
        """
        path, where = self.folder / f"probe_{file}.csv", where or {}
        try:
            rows = _probe_rows(path, path.stat().st_mtime_ns)
        except FileNotFoundError:
            there = sorted(path.stem.removeprefix("probe_") for path in self.folder.glob("probe_*.csv"))
            raise UserError(f"there is no {path.name}.{closest(file, there)}") from None
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{path.name} cannot be read: {error}") from error
        for name in (*columns, *where):
            if name not in rows[0]:
                raise UserError(f"{path.name} has no column {name!r}.{closest(name, rows[0])}")
        conditions = {name: comparable(value) for name, value in where.items()}
        matching = [row for row in rows if all(comparable(row[name]) == value for name, value in conditions.items())]
        if not matching:
            raise UserError(
                f"{path.name} has no row with {', '.join(f'{name} {value}' for name, value in where.items())}"
            )
        return matching

    @property
    def commit(self) -> str:
        """The git commit of the code that trained it; empty where its environment does not record it."""
        git = self.environment.get("git")
        return " ".join(str(git.get("commit") or "").split()) if isinstance(git, Mapping) else ""

    def code(self, digits: int) -> str:
        """The commit's first digits, with a remark where there were uncommitted changes."""
        return self.commit and self.commit[:digits] + " with uncommitted changes" * bool(
            self.environment["git"].get("dirty")
        )

    def setting(self, key: str) -> Any:
        """The value at a dotted key as it is compared, or the chosen option where the key names a group."""
        return self.settings[key] if key in self.settings else comparable(lookup(self.config, key))


def plans(folder: Path) -> list[tuple[str, list[str]]]:
    """The plans of a folder's sweeps, the oldest first: when each was started, and the names of its runs in the order
    of its grid; a plan that is damaged is left out."""
    read = [read_json_or_nothing(path) for path in sorted((folder / SWEEPS).glob("*.json"))]
    listed = [(str(plan.get("started") or ""), plan["runs"]) for plan in read if isinstance(plan.get("runs"), list)]
    named = [
        (started, [str(run["name"]) for run in runs if isinstance(run, Mapping) and "name" in run])
        for started, runs in listed
    ]
    return sorted(named, key=lambda plan: plan[0])


def load_run(folder: Path) -> Run:
    """The run in ``folder``; a file that cannot be read makes it damaged and raises nothing."""
    state = load_state(folder)
    damage: list[str] = []
    config = _attempt(_read_config, folder / "config.yaml", damage)
    # a run writes `choices` last
    if not damage and not isinstance(config.get("choices"), Mapping):
        damage.append("config.yaml is not a configuration of a run")
    environment = read_environment(folder, damage if state.over else [])
    if damage and state.outcome != "failed":
        problem = "; ".join([*damage, *([state.problem] if state.outcome == "damaged" else [])])
        state = State("damaged", problem, state.result, state.metrics)
    return Run(**vars(state), folder=folder, config=config, environment=environment)


def load_state(folder: Path) -> State:
    """The state of the run in ``folder``, from result.json, error.txt and metrics.csv alone."""
    try:
        ended = (folder / "result.json").exists()
    except OSError as error:
        return State("damaged", f"the folder cannot be read: {error.strerror}")
    damage: list[str] = []
    # until result.json is there, a missing or truncated CSV is normal: the run was interrupted
    metrics = _attempt(_read_csv, folder / "metrics.csv", damage if ended else [])
    steps = [step for step in metrics.get("step", []) if step is not None]
    reached = f"last evaluation at step {steps[-1]:g}" if steps else "no evaluation"
    if not ended:
        error = folder / "error.txt"
        outcome, problem = (
            ("failed", _last_line(error)) if error.exists() else ("unfinished", f"no result.json; {reached}")
        )
        return State(outcome, problem, {}, metrics)
    result = _attempt(read_json, folder / "result.json", damage)
    rows = len(next(iter(metrics.values()), ()))
    if rows and result.get("evaluations", rows) != rows:
        damage.append(f"metrics.csv has {rows} of {result['evaluations']} evaluations")
    outcome, problem = _outcome(result, reached)
    return State("damaged", "; ".join(damage), result, metrics) if damage else State(outcome, problem, result, metrics)


def _runs_of(folder: Path) -> str:
    """The advice for a folder that holds runs, where one of them is needed: first those that kept their weights."""
    there = run_folders(folder) or [run for child in _with_runs(folder) for run in run_folders(folder / child)]
    runs = sorted(there, key=lambda run: not (run / "weights.pt").exists())
    return f"; name one of the runs in it, such as {in_shell(str(runs[0]))}" if runs else ""


def _nearest(folder: Path) -> str:
    """The advice for a folder that is not there, in the end of a sentence: the run beside it whose name is nearest."""
    near = closest_path(folder, [run.name for run in run_folders(folder.parent)] if folder.parent.is_dir() else [])
    return near and f".{near}"


def read_environment(folder: Path, damage: list[str] | None = None) -> dict[str, Any]:
    """The environment.json of a run; empty where it cannot be read, in which case the reason is added to `damage`."""
    return _attempt(read_json, folder / "environment.json", [] if damage is None else damage)


def trained_config(folder: Path) -> dict[str, Any]:
    """The configuration of a finished run that has kept its weights; raises UserError for any other folder."""
    if not (folder / "config.yaml").is_file():
        advice = _runs_of(folder) if folder.is_dir() else _nearest(folder)
        raise UserError(f"{folder}: no folder of a run, in which there is a config.yaml{advice}")
    try:
        config = up_to_date(read_yaml(folder / "config.yaml"))
        ended = (folder / "result.json").exists()
        outcome = read_json(folder / "result.json")["outcome"] if ended else None
        if not {"trusted_modules", "choices", "alpha"} <= config.keys() or not isinstance(config["choices"], dict):
            raise ValueError("config.yaml is not a configuration of a run")
        trusted = config["trusted_modules"]
        if not isinstance(trusted, list) or not all(isinstance(name, str) for name in trusted):
            raise ValueError("config.yaml has trusted_modules that are not a list of names")
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: cannot be read ({one_line(str(error))[:200]})") from error
    if outcome != "finished":
        failed = (folder / "error.txt").exists()
        state = f"has the outcome {one_line(str(outcome))[:40]}" if ended else "failed" if failed else "is not finished"
        raise UserError(f"{folder}: its run {state}, and only a finished one has weights to look at")
    holders = ("weights.pt",) if config.get("keep") == "best" else ("weights.pt", "checkpoint.pt")
    if not any((folder / name).is_file() for name in holders):
        again = _with_weights(read_environment(folder), "best" if config.get("keep") == "best" else "last")
        raise UserError(f"{folder}: its run kept no weights; {again}")
    # a record holds null where nothing refers to alpha, and lacks settings that are newer than it
    return {
        **dict.fromkeys(OPTIONAL_KEYS),
        **ADDED,
        "keep": "none",
        **config,
        "alpha": 1.0 if config["alpha"] is None else config["alpha"],
    }


def _with_weights(environment: Mapping[str, Any], keep: str) -> str:
    """The advice to make a run again with its weights: the recorded command, unless a script or a search made it."""
    options = {"keep": keep, "retry": "changed"}
    try:
        program, *words = shlex.split(str(environment.get("command", "")))
    except ValueError:  # no closing quotation, or no word
        program, words = "", []
    if program != "mixexp" or not words or words[0] == "search":
        return f"the same command with {command((), options)} makes it again with them"
    several = words[0] == "reproduce" or not {"-m", "--multirun"}.isdisjoint(words)
    what = "it and the other runs of its sweep" if several else "it"
    return f"this makes {what} again with them: {command(words, options)}"


def lacks_weights(folder: Path, keep: str) -> bool:
    """True where a finished run has not left the weights that ``keep`` names; no run that diverged has any."""
    if keep == "none" or not (folder / "result.json").exists():
        return False
    if not (folder / "weights.pt").exists():
        # a kept checkpoint has the last weights too
        there = keep == "last" and (folder / "checkpoint.pt").exists()
        return not there and _attempt(read_json, folder / "result.json", []).get("outcome") == "finished"
    return _attempt(_read_config, folder / "config.yaml", []).get("keep", keep) != keep


def load_runs(directory: Path) -> list[Run]:
    """Every run folder directly under ``directory``, in the order of their names.

    Raises UserError where there is none.
    """
    folders = run_folders(directory)
    if not folders:
        raise UserError(nothing_there(directory))
    return [load_run(folder) for folder in folders]


def everywhere(directories: Iterable[Path]) -> list[Run]:
    """The runs in some folders and all their subfolders, in the order of their paths; links give no duplicates."""
    runs, seen = [], set()

    # it may be a run, so it is listed
    def unreadable(error: OSError) -> None:
        runs.append(Run("damaged", f"the folder cannot be read: {error.strerror}", folder=Path(error.filename)))

    for directory in directories:
        for place, folders, files in os.walk(directory, followlinks=True, onerror=unreadable):
            real = os.path.realpath(place)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            # links by label last: a run is listed by its real path
            folders[:] = sorted(
                (name for name in folders if not name.startswith(".")), key=lambda name: (name == BY_LABEL, name)
            )
            if any(marker in files for marker in MARKERS):
                folders.clear()  # files in a run's folder are the run's
                runs.append(load_run(Path(place)))
    return runs


def run_folders(directory: Path) -> list[Path]:
    """The run folders directly under a directory, in the order of their names; empty where it does not exist."""
    if not directory.is_dir():
        return []
    return sorted(child for child in directory.iterdir() if child.is_dir() and is_run(child))


def is_run(folder: Path) -> bool:
    """True if a folder holds a run, finished or not."""
    try:
        return not folder.name.startswith(".") and any((folder / marker).exists() for marker in MARKERS)
    except PermissionError:  # an unreadable folder may be a run, so it is listed
        return True


def nothing_there(directory: Path) -> str:
    """The message about a directory without runs."""
    expected = f"expected run folders in it, {directory}/<run_id>/config.yaml, as a run of mixexp leaves them."
    parent = directory.resolve().parent
    if directory.is_dir() and is_run(directory):
        return f"{directory} is one run; name the folder that holds the runs: {parent}"
    if inside := _with_runs(directory):
        near = meant(in_shell(str(directory / inside[0]))) if len(inside) == 1 else ""
        there = near or f" Folders in it with runs: {', '.join(inside)}."
        return f"{directory} holds no run; {expected}{there}"
    beside = _with_runs(parent)
    there = f" Folders with runs beside it: {', '.join(beside)}." if beside else ""
    if directory.is_dir():
        return f"{directory} holds no run; {expected}{there}"
    return f"{directory} is not a folder; {expected}{closest_path(directory, beside)}{there}"


def _with_runs(directory: Path) -> list[str]:
    """The names of the folders in a directory that hold runs; empty where there is no such directory."""
    return (
        sorted(child.name for child in directory.iterdir() if child.name != BY_LABEL and run_folders(child))
        if directory.is_dir()
        else []
    )


def _attempt(read: Any, path: Path, damage: list[str]) -> dict[str, Any]:
    try:
        return read(path)
    except FileNotFoundError:
        damage.append(f"{path.name} is missing")
    except (OSError, ValueError, csv.Error) as error:
        damage.append(f"{path.name} cannot be read: {one_line(str(error))[:200]}")
    return {}


def _read_config(path: Path) -> dict[str, Any]:
    """A YAML mapping, whose top-level entries are parsed one by one.

    Equal entries, frequent in a sweep, are parsed once.
    """
    text = read_text(path)
    entries = re.split(r"^(?=[A-Za-z_]\w*:)", text, flags=re.MULTILINE)
    try:
        parsed = [_entry(entry) for entry in entries[1:]]
    except ValueError:  # an entry may refer to another
        parsed = []
    # a file that is not a series of entries, each with its own key, is read as a whole
    if (
        not parsed
        or entries[0]
        or any(len(entry) != 1 for entry in parsed)
        or len({*itertools.chain(*parsed)}) < len(parsed)
    ):
        return up_to_date(read_yaml(path))
    return {key: value for entry in parsed for key, value in entry.items()}


@functools.lru_cache(maxsize=4096)
def _entry(text: str) -> dict[str, Any]:
    entry = up_to_date(parse_yaml(text))
    return entry if isinstance(entry, dict) else {}


def _read_csv(path: Path) -> Metrics:
    text = read_text(path)
    if (columns := _columns_of_numbers(text)) is not None:
        return columns
    lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
    if len(lines) < 2:
        raise ValueError("no evaluation in it")
    if not text.endswith("\n"):
        raise ValueError("its last line has been cut")
    header, *rows = lines
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"line {number} has {len(row)} values for {len(header)} columns")
    return {name: [float(row[place]) if row[place] else None for row in rows] for place, name in enumerate(header)}


def _columns_of_numbers(text: str) -> Metrics | None:
    """The columns of a CSV of numbers without gaps or quotes, as arrays of eight bytes each; None for any other text.

    Arrays save memory, since thousands of runs are read.
    """
    header, *lines = text.removesuffix("\n").split("\n")
    names = header.split(",")
    if (
        not text.endswith("\n")
        or '"' in header
        or "\r" in header
        or any(line.count(",") != len(names) - 1 for line in lines)
    ):
        return None
    try:
        values = array("d", map(float, ",".join(lines).split(",")))
    except ValueError:
        return None
    return {name: values[place :: len(names)] for place, name in enumerate(names)}


def _outcome(result: Mapping[str, Any], reached: str) -> tuple[str, str]:
    outcome, last, seconds = (result.get(key) for key in ("outcome", "last", "seconds"))
    if outcome not in ("finished", "diverged"):
        return "damaged", f"result.json has the outcome {outcome!r}; finished or diverged was expected"
    if not (
        isinstance(last, Mapping)
        and last
        and "steps" in result
        and isinstance(seconds, int | float)
        and 0 <= seconds < 1e12
    ):
        # a table shows these of a run that is over
        return "damaged", "result.json lacks figures of its run"
    return outcome, "" if outcome == "finished" else str(result.get("reason") or reached)


def _last_line(path: Path) -> str:
    # The last line of a traceback is the exception itself.
    try:
        lines = [line for line in read_ends(path, 0, 20_000).splitlines() if line.strip()]
    except OSError as error:
        return f"error.txt cannot be read: {error}"
    return one_line(lines[-1])[:300] if lines else "error.txt is empty, which is all that a full disk takes"


# a table reads the same file once a cell; a changed file has another time
@functools.lru_cache(maxsize=256)
def _probe_rows(path: Path, changed: int) -> list[dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    if not rows:
        raise ValueError("no row in it")
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a line has more or fewer values than there are columns")
    return rows
