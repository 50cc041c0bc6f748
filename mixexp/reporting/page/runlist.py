"""The runs of a report for its page: counts, machines, and each run's outcome, scores, curve and error."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import quote

from mixexp.errors import UserError
from mixexp.files import read_ends, timestamp
from mixexp.metrics import RULES
from mixexp.reporting import sheets
from mixexp.reporting.entries import label
from mixexp.reporting.runs import implied_by_group, varying
from mixexp.reporting.tables import Table
from mixexp.settings import CIRCUMSTANCES, REPEATS
from mixexp.spec.table import of_metric, scale, unit
from mixexp.text import sanitize
from mixexp.training.reader import Run

OWN_COLUMNS = 5
"""The most settings with a column each; further ones share the last."""
POINTS = 40
"""The most points of a curve."""
OUTCOMES = ("failed", "diverged", "no number", "damaged", "unfinished", "finished")
"""The outcomes of runs, the most urgent first."""
LEVELS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""Heights of a curve's points, lowest first; a gap is a blank."""
HEAD, TAIL = 400, 3000
"""Bytes kept of an error's beginning and end; the end names the error."""
ERRORS = 2_000_000
"""The most letters of errors in one page; further errors are in the runs' folders, which the page links to."""
MOST_NAMED = 8
"""The most different values of a fact that are listed."""


@dataclass(frozen=True)
class Listed:
    """A run, the index of its table (None where several are possible), and its outcome there."""

    run: Run
    table: int | None
    outcome: str
    problem: str


def listed(tables: Sequence[Table]) -> list[Listed]:
    """The runs of all tables, each once, in the order of OUTCOMES."""
    runs: dict[Path, Listed] = {}
    for place, table in enumerate(tables):
        reasons = {run.folder: (outcome, problem) for run, outcome, problem in table.without_result}
        for run in table.runs:
            outcome, problem = reasons.get(run.folder, (run.outcome, run.problem))
            runs[run.folder] = Listed(run, None if run.folder in runs else place, outcome, problem)
    return sorted(runs.values(), key=lambda entry: OUTCOMES.index(entry.outcome))


def seconds(run: Run) -> float | None:
    """The duration of a run so far."""
    column = run.metrics.get("seconds") or [None]
    value = run.result.get("seconds", column[-1])
    return value if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12 else None


def run_list(tables: Sequence[Table], runs: Sequence[Listed], home: Path) -> dict[str, Any]:
    """The data of the page's list of runs, ready for JSON: texts as shown, indices instead of repetitions.

    keys: every setting, with the value of most runs in `common`. columns: the keys with a column of their own, others:
    those in the shared one. A run is [name, link, table, outcome, problem, seconds, device, started, scores by rule,
    changes, curve, metrics, error]; changes are key and text indices in turn, null where its configuration cannot be
    read; table is null for a run that could belong to several; metrics are those of the last evaluation, in the order
    of the names in `metrics`, empty for a run that is not over.
    """
    known = [entry.run for entry in runs if entry.run.config]
    columns, others = _columns(tables, known)
    different = varying(known)
    usual = {key: Counter(run.settings.get(key) for run in known).most_common(1)[0][0] for key in different}
    common = {**(known[0].settings if known else {}), **usual}
    keys = {key: place for place, key in enumerate(common)}
    texts: dict[str, int] = {}

    def place_of(text: str) -> int:
        """The index of a text among the shared texts, each of which is stored once."""
        return texts.setdefault(sanitize(text), len(texts))

    rules = [rule for rule in RULES if any(rule in table.rules for table in tables)]
    metrics = {name: of_metric(name) for entry in runs for name in entry.run.last}
    parents = {parent: link(parent, home) for parent in {entry.run.folder.parent for entry in runs}}
    room = ERRORS
    rows = []
    for entry in runs:
        run, table = entry.run, tables[entry.table or 0]
        error = _error(run) if entry.outcome == "failed" else ""
        room -= len(error)
        scores = table.scores.get(run.folder, {})
        # to the minute, in its machine's time zone
        started = sanitize(label(run.environment.get("started", ""))).replace("T", " ")[:16]
        changes = [
            (keys[key], place_of(label(run.settings.get(key))))
            for key in different
            if run.settings.get(key) != usual[key]
        ]
        row = [
            sanitize(run.folder.name),
            parents[run.folder.parent] + encoded(f"{run.folder.name}/"),
            entry.table,
            place_of(entry.outcome),
            place_of(entry.problem),
            seconds(run),
            place_of(label(run.environment.get("device_name", ""))),
            started,
            [sheets.number(scores[rule], table.spec) if rule in scores else "" for rule in rules],
            [index for pair in changes for index in pair] if run.config else None,
            _curve(run, table),
            _metrics(run, metrics),
            place_of(error if room >= 0 else ""),
        ]
        rows.append(row)
    return {
        "keys": [sanitize(key) for key in keys],
        "common": [place_of(label(value)) for value in common.values()],
        "columns": [keys[key] for key in columns],
        "others": [keys[key] for key in others],
        "metrics": [sanitize(unit(spec, name)) for name, spec in metrics.items()],
        "rules": rules,
        "words": {rule: RULES[rule] for rule in rules},
        "levels": LEVELS,
        "tables": [
            {
                "title": sanitize(label(table.spec["title"])),
                "unit": sanitize(unit(table.spec, table.spec["metric"])),
                "rule": table.rule,
            }
            for table in tables
        ],
        "runs": rows,
        "texts": list(texts),
    }


def _metrics(run: Run, specs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A run's metrics at its last evaluation, in displayed units."""
    values = [(run.last.get(name), spec) for name, spec in specs.items()] if run.last else []
    return [
        sheets.number(scale(spec, spec["metric"]) * value, spec) if _finite(value) else "" for value, spec in values
    ]


def _finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _columns(tables: Iterable[Table], known: Sequence[Run]) -> tuple[list[str], list[str]]:
    """The settings that distinguish runs: first those of the tables' rows and columns, OWN_COLUMNS of them separate."""
    axes = list(
        dict.fromkeys(key for table in tables for entry in (*table.rows, *table.columns) for key in entry.conditions)
    )
    keys = [key for key in varying(known, (*CIRCUMSTANCES, *REPEATS)) if not implied_by_group(key, known)]
    repeats = [key for key in REPEATS if len({run.settings.get(key) for run in known}) > 1]
    repeats = repeats or [key for key in REPEATS[:1] if any(key in run.settings for run in known)]
    ranked = [
        *(key for key in axes if key in keys),
        *sorted((key for key in keys if key not in axes), key=lambda key: key.count(".")),
    ]
    # a setting that refers to another one, as a ratio's alpha does to the run's, would repeat its column
    distinct = {tuple(run.settings.get(key) for run in known): key for key in reversed(ranked)}
    ordered = [*repeats, *(key for key in ranked if key in distinct.values())]
    most = len(repeats) + OWN_COLUMNS
    return (ordered, []) if len(ordered) <= most + 1 else (ordered[:most], ordered[most:])


def _curve(run: Run, table: Table) -> list[str] | None:
    """The table's metric by evaluation as at most POINTS letters of LEVELS, with its lowest and highest value."""
    metric = table.spec["metric"]
    try:
        values = [] if metric.startswith("probe.") else run.series(metric)
    except UserError:
        return None
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if len(finite) < 2:
        return None
    step = max((len(values) - 1) / (POINTS - 1), 1)
    picked = [values[round(place * step)] for place in range(min(len(values), POINTS))]
    low, high = min(finite), max(finite)
    reach = (len(LEVELS) - 1) / (high - low) if high > low else 0
    levels = "".join(
        " " if value is None or not math.isfinite(value) else LEVELS[round((value - low) * reach)] for value in picked
    )
    return [levels, *(sheets.number(scale(table.spec, metric) * value, table.spec) for value in (low, high))]


def _error(run: Run) -> str:
    """The text of error.txt, cut in its middle; empty where there is none."""
    try:
        return read_ends(run.folder / "error.txt", HEAD, TAIL).replace("\r\n", "\n").strip()
    except OSError:
        return ""


# --- addresses: no link but a file's ---


def link(path: Path, home: Path) -> str:
    """The address of a file, or of a folder with a slash at its end, relative to the page's folder."""
    return encoded(Path(os.path.relpath(path.absolute(), home.resolve())).as_posix()) + "/" * path.is_dir()


def encoded(path: str) -> str:
    """A path as an address: a colon is encoded too, so that no first part looks like a scheme."""
    return quote(os.fsencode(path), safe="/")


# --- the top of the page ---


def outcomes(runs: Iterable[Listed]) -> dict[str, int]:
    """Outcome → number of runs, in the order of OUTCOMES."""
    counts = Counter(entry.outcome for entry in runs)
    return {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]}


def facts(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The facts of the runs together, name → words, one text per value; facts that no run has are left out.

    Times are those that the runs themselves have recorded, so that the same runs give the same words.
    """
    times = [time for time in map(seconds, runs) if time is not None]
    moments = {str(start): timestamp(start) for run in runs if (start := run.environment.get("started"))}
    # machines may be in several time zones
    known = (text for text, moment in moments.items() if moment is not None)
    started = sorted(known, key=lambda text: moments[text] or 0.0)
    named = {
        "Training time": [f"{duration(sum(times))} in {len(times)} run{'s' * (len(times) != 1)}"] if times else [],
        "Started": [_span(started[0], started[-1])] if started else [],
        "Commit": _named([run.code(12) for run in runs]),
        "Versions": _named([_versions(run) for run in runs]),
        "Device": _named([label(run.environment.get("device_name") or "") for run in runs]),
        "Command": _named([label(run.environment.get("command") or "") for run in runs]),
    }
    return {name: words for name, words in named.items() if words}


def duration(seconds: float) -> str:
    """Seconds in the two largest units that they fill."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    left = round(seconds)
    parts = []
    for name, size in units:
        count, left = divmod(left, size)
        parts += [f"{count} {name}"] if count or (name == "s" and not parts) else []
    return " ".join(parts[:2])


def _span(first: str, last: str) -> str:
    """A range from one moment to another, with the day once where both have the same."""
    day, time = first[:10], last[11:] if first[:10] == last[:10] else last.replace("T", " ")
    return f"{day} {first[11:]}" + f" to {time}" * (last != first)


def _named(values: Sequence[str]) -> list[str]:
    """The different values, the most common first, with the number of runs where there are several."""
    counts = Counter(value for value in values if value)
    if len(counts) == 1 and sum(counts.values()) == len(values):
        return list(counts)
    words = [f"{value} ({count} {'run' if count == 1 else 'runs'})" for value, count in counts.most_common(MOST_NAMED)]
    return words + [f"{len(counts) - MOST_NAMED} others"] * (len(counts) > MOST_NAMED)


def _versions(run: Run) -> str:
    versions = run.environment.get("versions")
    named = {"python": run.environment.get("python"), **(versions if isinstance(versions, dict) else {})}
    return ", ".join(f"{name} {label(version)}" for name, version in named.items() if version)
