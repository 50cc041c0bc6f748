"""Run folders to records: what each run was, how it ended and what it measured."""

from __future__ import annotations

import csv
import functools
import io
import itertools
import math
import os
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mixexp.class_names import up_to_date
from mixexp.errors import UserError, closest
from mixexp.files import parse_yaml, read_ends, read_json, read_text, read_yaml
from mixexp.text import one_line

MARKERS = ("config.yaml", "environment.json", "metrics.csv", "result.json", "error.txt")
REPEATS = ("seed", "data_seed")
# Where and under which name a run was made does not change what it measured.
CIRCUMSTANCES = (
    *("name", "experiment", "edition", "device", "speed", "runs_per_device", "data_dir", "output_dir", "trusted_modules"),
    *("checkpoint_seconds", "keep_checkpoint", "retry", "fail_fast", "hang_minutes", "logger"),
    *("dataset.data_dir", "dataset.download"),
)
DESCRIPTIONS = ("table", "claims", "editions", "checks")
"""What a configuration says of the sweep that it is of, and no run does."""
ASIDE = (*CIRCUMSTANCES, "probe", "threads", "channels_last")
"""What makes no other result: circumstances, measurements beside the run, and what changes the last bits of a sum."""
METHOD = ("mix", "mix_layer", "alpha", "loss", "sampling")
"""What an experiment is about more often than not, and what settings are called by first."""
BESIDE_SETTINGS = {"data_contents": "the contents of the data set's files", "bfloat16": "precision"}
"""Facts of environment.json that change what a run measures without being a setting."""
LARGEST = 1e150
"""Magnitude from which on a figure is as good as infinite: squares of larger ones are."""


@dataclass(frozen=True)
class Run:
    """One run folder; ``outcome`` is finished, diverged, failed, unfinished or damaged, ``problem`` says why in one line."""

    folder: Path
    outcome: str
    problem: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, list[float | None]] = field(default_factory=dict)

    @property
    def table(self) -> dict[str, Any]:
        """The description of the table this run belongs to, empty where it belongs to none."""
        table = self.config.get("table")
        return table if isinstance(table, dict) else {}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What its configuration says, as dotted keys with values that are equal where they mean the same."""
        return {key: canonical(value) for key, value in flatten(self.config).items()}

    def series(self, metric: str, where: Mapping[str, Any] | None = None) -> list[float | None]:
        """A metric's values in the order of the evaluations: a column of metrics.csv, `error`, or `probe.<file>.<column>`.

        error is 1 − accuracy. A probe's value at a step is the mean of its file's rows that fulfil `where`, a column's name → value.
        Raises UserError where there is no such metric.
        """
        if metric.startswith("probe."):
            if metric.count(".") < 2:
                raise UserError(f"{metric}: a probe's measure is probe.<file>.<column>")
            return self._probed(metric, where or {})
        source = "accuracy" if metric == "error" else metric
        if source not in self.metrics:
            raise UserError(f"metrics.csv has no column {source!r}.{closest(source, self.metrics)}")
        values = self.metrics[source]
        return [value if value is None else 1 - value for value in values] if metric == "error" else values

    def probe(self, file: str) -> list[dict[str, str]]:
        """The rows of probe_<file>.csv; raises UserError where there is none that can be read."""
        path = self.folder / f"probe_{file}.csv"
        try:
            return _probe_rows(path, path.stat().st_mtime_ns)
        except FileNotFoundError:
            there = sorted(path.stem.removeprefix("probe_") for path in self.folder.glob("probe_*.csv"))
            raise UserError(f"there is no {path.name}.{closest(file, there)}") from None
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{path.name} cannot be read: {error}") from error

    def _probed(self, metric: str, where: Mapping[str, Any]) -> list[float | None]:
        _, file, column = metric.split(".", 2)
        rows = self.probe(file)
        for name in (column, *where):
            if name not in rows[0]:
                raise UserError(f"probe_{file}.csv has no column {name!r}.{closest(name, rows[0])}")
        wanted = {name: canonical(value) for name, value in where.items()}
        steps: dict[str, list[float]] = {}
        for row in rows:
            if all(canonical(row[name]) == value for name, value in wanted.items()):
                steps.setdefault(row["step"], []).append(_number(row[column], f"probe_{file}.csv", column))
        if not steps:
            raise UserError(f"probe_{file}.csv has no row with {', '.join(f'{name} {value}' for name, value in where.items())}")
        return [statistics.fmean(values) for values in steps.values()]

    def setting(self, key: str) -> Any:
        """The value at a dotted key as it is compared, or the chosen option where the key names a group."""
        return self.settings[key] if key in self.settings else canonical(lookup(self.config, key))


def load_runs(directory: Path) -> list[Run]:
    """Every run folder directly under ``directory``, in the order of their names.

    Raises UserError where there is none.
    """
    folders = run_folders(directory)
    if not folders:
        raise UserError(nothing_there(directory))
    return [load_run(folder) for folder in folders]


def gather(directories: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """The runs of several folders, each once, and a remark where there are copies; raises UserError for a folder without runs."""
    found = [run for directory in {path.resolve(): path for path in directories}.values() for run in load_runs(directory)]
    kept = once(found, CIRCUMSTANCES, of_table=lambda run: run.table.get("title"))
    copies = len(found) - len(kept)
    remark = f"{copies} run{'s are copies' if copies > 1 else ' is a copy'} of another one, the same settings and seeds on the same data; each counts once."
    return kept, [remark] * bool(copies)


def once(runs: Iterable[Run], ignore: Sequence[str], of_table: Callable[[Run], Any] = lambda run: None) -> list[Run]:
    """The runs without copies: of those with the same settings, seeds and data a finished one, and of several that started last.

    ignore: keys that do not count, with all that is under them; of_table: what tells apart runs of several tables. A run whose configuration cannot be read is nobody's copy.
    """
    kept: dict[Any, Run] = {}
    for run in runs:
        settings = frozenset((key, value) for key, value in run.settings.items() if value is not None and not under(key, ignore))
        identity = (settings, str(run.environment.get("data_contents")), str(of_table(run))) if settings else run.folder
        other = kept.setdefault(identity, run)
        if _standing(run) > _standing(other):
            kept[identity] = run
    return list(kept.values())


def _standing(run: Run) -> tuple[bool, str]:
    return run.outcome == "finished", str(run.environment.get("started") or "")


def unlike(runs: Sequence[Run]) -> list[str]:
    """What differs between runs though no setting says it, in words; a record that does not say it differs from none."""
    values = {fact: {str(run.environment[fact]) for run in runs if run.environment.get(fact) is not None} for fact in BESIDE_SETTINGS}
    return [words for fact, words in BESIDE_SETTINGS.items() if len(values[fact]) > 1]


def other_data(first: Run, second: Run) -> bool:
    """Whether two runs with the same data set were made on different contents of its files."""
    contents = [run.environment.get("data_contents") for run in (first, second)]
    return None not in contents and str(contents[0]) != str(contents[1]) and data_settings(first) == data_settings(second)


def data_settings(run: Run) -> frozenset:
    """A run's settings of its data set, without those that change no image."""
    return frozenset((key, value) for key, value in run.settings.items() if under(key, ("dataset",)) and key not in CIRCUMSTANCES)


def under(key: str, keys: Iterable[str]) -> bool:
    """Whether a dotted key is one of some keys, or below one of them."""
    return key in keys or key.partition(".")[0] in keys


def everywhere(directories: Iterable[Path]) -> list[Run]:
    """The runs in some folders and in all folders in them, in the order of their paths; a folder that links lead to again counts once."""
    found, seen = [], set()
    for directory in directories:
        for place, folders, files in os.walk(directory, followlinks=True, onerror=_unreadable(found)):
            real = os.path.realpath(place)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if any(marker in files for marker in MARKERS):
                folders.clear()  # what lies in a run is the run's
                found.append(load_run(Path(place)))
    return found


def _unreadable(found: list[Run]) -> Callable[[OSError], None]:
    """A function that lists a folder that cannot be looked into: it may be a run."""
    return lambda error: found.append(Run(Path(error.filename), "damaged", f"the folder cannot be read: {error.strerror}"))


def load_run(folder: Path) -> Run:
    """The run in ``folder``; a file that cannot be read makes it damaged, never an exception."""
    state = load_state(folder)
    damage: list[str] = []
    config = _attempt(_read_config, folder / "config.yaml", damage)
    if not damage and not isinstance(config.get("choices"), Mapping):  # which a run writes last
        damage.append("config.yaml is no configuration of a run")
    environment = _attempt(read_json, folder / "environment.json", damage if state.over else [])
    if damage and state.outcome != "failed":
        problem = "; ".join([*damage, *([state.problem] if state.outcome == "damaged" else [])])
        state = State("damaged", problem, state.result, state.metrics)
    return Run(folder, state.outcome, state.problem, config, environment, state.result, state.metrics)


@dataclass(frozen=True)
class State:
    """How far a run is, without what it is: the outcome and problem of a ``Run``, its result and its metrics."""

    outcome: str
    problem: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, list[float | None]] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether the run came to its end: finished or diverged, and what it measured can be read."""
        return self.outcome in ("finished", "diverged")


def load_state(folder: Path) -> State:
    """The state of the run in ``folder``, from result.json, error.txt and metrics.csv alone."""
    try:
        ended = (folder / "result.json").exists()
    except OSError as error:
        return State("damaged", f"the folder cannot be read: {error.strerror}")
    damage: list[str] = []
    # until result.json is there, a CSV that is missing or cut short is what an interrupted run looks like
    metrics = _attempt(_read_csv, folder / "metrics.csv", damage if ended else [])
    result = _attempt(read_json, folder / "result.json", damage) if ended else {}
    outcome, problem = _outcome(folder, ended, result, metrics)
    rows = len(next(iter(metrics.values()), ()))
    if rows and result.get("evaluations", rows) != rows:
        damage.append(f"metrics.csv has {rows} of {result['evaluations']} evaluations")
    return State("damaged", "; ".join(damage), result, metrics) if damage else State(outcome, problem, result, metrics)


def lookup(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, or the chosen option where the key names a group; None where there is neither."""
    choices = config.get("choices")
    if isinstance(choices, Mapping) and key in choices:
        return choices[key]
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def flatten(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as dotted keys, the chosen option of a group under the group's name, without the descriptions."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if key == "choices" and isinstance(value, Mapping):
            flat.update({str(group): option for group, option in value.items()})
        elif key not in DESCRIPTIONS:
            flat.update(_leaves(str(key), value))
    return flat


def canonical(value: Any) -> Any:
    """What decides whether two values are the same: ``1``, ``1.0`` and ``'1'`` are; None stays None."""
    if value is None or isinstance(value, bool):
        return value if value is None else str(value).lower()
    return _canonical(str(value))


@functools.lru_cache(maxsize=65536)  # a sweep's runs have the same few values again and again
def _canonical(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def varying(runs: Iterable[Run], ignore: Iterable[str] = ()) -> list[str]:
    """The dotted keys whose values are not the same in all runs, groups first, in the order of the configuration.

    ignore: keys that do not count, with all that is under them.
    """
    first, *others = [run.settings for run in runs if run.config] or [{}]
    keys = dict.fromkeys([*first, *(key for settings in others if settings.keys() != first.keys() for key in settings)])
    ignored = set(ignore)
    counted = [key for key in keys if key not in ignored and key.partition(".")[0] not in ignored]
    found = [key for key in counted if any(settings.get(key) != first.get(key) for settings in others)]
    groups = {str(group) for run in runs if isinstance(run.config.get("choices"), Mapping) for group in run.config["choices"]}
    return sorted(found, key=lambda key: key not in groups)


def run_folders(directory: Path) -> list[Path]:
    """The run folders directly under a directory, in the order of their names; none where there is no such directory."""
    if not directory.is_dir():
        return []
    return sorted(child for child in directory.iterdir() if child.is_dir() and is_run(child))


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, finished or not."""
    try:
        return not folder.name.startswith(".") and any((folder / marker).exists() for marker in MARKERS)
    except PermissionError:  # what cannot be looked into may be one, and is listed
        return True


def nothing_there(directory: Path) -> str:
    """What to tell somebody who names a directory without runs."""
    expected = f"expected run folders in it, {directory}/<run_id>/config.yaml, as a run of mixexp leaves them."
    if not directory.is_dir():
        parent = directory.parent
        siblings = sorted(child.name for child in parent.iterdir() if run_folders(child)) if parent.is_dir() else []
        there = f" Folders with runs beside it: {', '.join(siblings)}." if siblings else ""
        return f"{directory} is not a folder; {expected}{closest(directory.name, siblings)}{there}"
    if is_run(directory):
        return f"{directory} is one run; a report is made of the folder that holds the runs: {directory.resolve().parent}"
    inside = sorted(child.name for child in directory.iterdir() if run_folders(child))
    beside = sorted(child.name for child in directory.resolve().parent.iterdir() if run_folders(child))
    if inside:
        return f"{directory} holds no run; {expected} Folders in it with runs: {', '.join(inside)}."
    there = f" Folders with runs beside it: {', '.join(beside)}." if beside else ""
    return f"{directory} holds no run; {expected}{there}"


def _attempt(read: Any, path: Path, damage: list[str]) -> dict[str, Any]:
    try:
        return read(path)
    except FileNotFoundError:
        damage.append(f"{path.name} is missing")
    except (OSError, ValueError, csv.Error) as error:
        damage.append(f"{path.name} cannot be read: {one_line(str(error))[:200]}")
    return {}


def _read_config(path: Path) -> dict[str, Any]:
    """A YAML mapping; its top-level entries are parsed one by one, and alike ones, of which a sweep has many, once."""
    text = read_text(path)
    entries = re.split(r"^(?=[A-Za-z_]\w*:)", text, flags=re.MULTILINE)
    try:
        parsed = [_entry(entry) for entry in entries[1:]]
    except ValueError:  # one refers to another, perhaps
        parsed = []
    # what is not one entry after another, each with its own key, is read as the whole it is
    if not parsed or entries[0] or any(len(entry) != 1 for entry in parsed) or len({*itertools.chain(*parsed)}) < len(parsed):
        return up_to_date(read_yaml(path))
    return {key: value for entry in parsed for key, value in entry.items()}


@functools.lru_cache(maxsize=4096)
def _entry(text: str) -> dict[str, Any]:
    found = up_to_date(parse_yaml(text))
    return found if isinstance(found, dict) else {}


def _read_csv(path: Path) -> dict[str, list[float | None]]:
    text = read_text(path)
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


def _outcome(folder: Path, over: bool, result: Mapping[str, Any], metrics: Mapping[str, list]) -> tuple[str, str]:
    steps = [step for step in metrics.get("step", []) if step is not None]
    reached = f"last evaluation at step {steps[-1]:g}" if steps else "no evaluation"
    if not over:
        error = folder / "error.txt"
        return ("failed", _last_line(error)) if error.exists() else ("unfinished", f"no result.json; {reached}")
    outcome = result.get("outcome")
    if outcome in ("finished", "diverged") and not _has_figures(result):
        return "damaged", "result.json lacks figures of its run"
    if outcome == "finished":
        return "finished", ""
    if outcome == "diverged":
        return "diverged", str(result.get("reason") or reached)
    return "damaged", f"result.json has the outcome {outcome!r}; finished or diverged was expected"


def _has_figures(result: Mapping[str, Any]) -> bool:
    """Whether a result has what is told of a run that is over."""
    last = result.get("last")
    sound = isinstance(last, Mapping) and len(last) > 0 and "steps" in result
    seconds = result.get("seconds")
    return sound and isinstance(seconds, int | float) and 0 <= seconds < 1e12


def _last_line(path: Path) -> str:
    # The last line of a traceback is the exception itself.
    try:
        lines = [line for line in read_ends(path, 0, 20_000).splitlines() if line.strip()]
    except OSError as error:
        return f"error.txt cannot be read: {error}"
    return one_line(lines[-1])[:300] if lines else "error.txt is empty, which is all that a full disk takes"


def _number(text: str, file: str, column: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{file} has {text!r} in its column {column}, which is no number") from None


@functools.lru_cache(maxsize=256)  # a table asks for the same file once a cell; a changed file has another time
def _probe_rows(path: Path, changed: int) -> list[dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    if not rows:
        raise ValueError("no row in it")
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a line has more or fewer values than there are columns")
    return rows


def _leaves(prefix: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        return {prefix: value}
    return {key: leaf for name, part in value.items() for key, leaf in _leaves(f"{prefix}.{name}", part).items()}
