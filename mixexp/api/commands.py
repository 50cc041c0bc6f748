"""The command that lists runs, selects some of them by their settings, and removes or links these: mixexp runs."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mixexp.api.runs import Runs, runs
from mixexp.errors import RunsFailed, UserError, closest, refusal, show, show_json
from mixexp.files import held, parse_yaml, quantity, timestamp
from mixexp.reporting.runs import grouped
from mixexp.settings import CIRCUMSTANCES, comparable, flatten, lookup
from mixexp.sweeping.links import link_by_label
from mixexp.text import in_hydra, listed, one_line, shorten, width
from mixexp.training.folder import LOCK, headline
from mixexp.training.reader import BY_LABEL, Run, load_run, nothing_there

OUTCOME = "outcome"
"""What a run can be selected by beside its settings: finished, diverged, failed, unfinished, damaged, or running."""
LONGEST = 120
"""Columns of a run's settings, and of the reason why it has no result."""
RUN_ID = re.compile(r"[0-9a-f]{12}")


def runs_command(arguments: Namespace) -> None:
    """List the runs in folders, or those of them that have some settings; link or remove these where that is asked
    for."""
    conditions = [word for word in arguments.dir if re.match(r"[^/=]+=", word)]
    folders = [Path(word).expanduser() for word in arguments.dir if word not in conditions]
    if not folders:
        raise UserError("runs: name a folder of runs, such as outputs/quickstart")
    if arguments.yes and not arguments.remove:
        raise UserError("runs --yes: goes with --remove")
    if arguments.remove and not conditions:
        raise UserError(
            f"runs --remove: say which ones, as in {OUTCOME}=failed or mix=mixup; without --remove, they are listed"
        )
    if arguments.json and (arguments.remove or arguments.links):
        raise UserError("runs --json: goes without --remove and --links")
    found = runs(*folders)
    if not found:
        raise UserError(nothing_there(folders[0]))
    chosen = {run.folder: run for run in select(found, conditions)}
    if arguments.json:
        show_json("mixexp.runs/1", {"found": len(found), "runs": [_record(run) for run in chosen.values()]})
        return
    for folder, there in grouped(found, lambda run: run.folder.parent).items():
        told = {path: text for path, text in _told(there).items() if path in chosen}
        if not told:
            continue
        count = f"{len(told)} of {len(there)}" if conditions else f"{len(there)}"
        show(f"{folder}: {count} run{'s' * (len(there) != 1)}")
        show("\n".join(_lines([(chosen[path], text) for path, text in told.items()])))
        if arguments.links:
            if not link_by_label(folder, {path.name: text for path, text in told.items()}):
                raise UserError(f"{folder}: its file system has no links, or lets nobody make them")
            show(f"links to them: {folder / BY_LABEL}")
    if arguments.remove:
        remove(list(chosen.values()), folders, arguments.yes)


# --- selecting ---


def select(found: Sequence[Run], conditions: Sequence[str]) -> list[Run]:
    """The runs that fulfil all conditions, each KEY=VALUE, or KEY=VALUE,VALUE for any of these.

    Raises UserError for a key or a value that no run has, and where no run has all of them.
    """
    known = dict.fromkeys([OUTCOME, *(key for run in found for key in run.settings)])
    left = list(found)
    for word in conditions:
        key, _, text = word.partition("=")
        if key not in known:
            differ = listed([OUTCOME, *Runs(found).varying()])
            problem = f"{word}: no run here has such a setting"
            raise UserError(refusal(problem, closest(key, known), f"they differ in {differ}"))
        # of a record that cannot be read nobody knows the settings
        values = {run.folder: _value(run, key) for run in found if run.config or key == OUTCOME}
        wanted = _wanted(key, text, values.values())
        left = [run for run in left if run.folder in values and comparable(values[run.folder]) in wanted]
    if not left:
        raise UserError(f"no run here has all of {' '.join(conditions)}, though some runs have each of them")
    return left


def _value(run: Run, key: str) -> Any:
    """The value of a setting as its record has it, or how the run ended."""
    if key != OUTCOME:
        return lookup(run.config, key)
    return run.outcome if run.over or not held(run.folder / LOCK) else "running"


def _wanted(key: str, text: str, values: Iterable[Any]) -> set[Any]:
    """The values that a condition allows, as they are compared; raises UserError for one that no run has."""
    there = {comparable(value): in_hydra(value) for value in values}
    if (whole := _typed(text)) in there:  # a text with a comma in it, or one list
        return {whole}
    parts = re.split(r",(?![^\[{]*[\]}])", text)
    for part in parts:
        if _typed(part) not in there:
            near = closest(part, there.values(), key)
            names = listed(there.values(), part)
            raise UserError(refusal(f"{key}={part}: no run here has this value", near, f"there are {names}"))
    return {_typed(part) for part in parts}


def _typed(text: str) -> Any:
    """A value as it is typed, in the form in which values are compared."""
    if text.startswith(("[", "{")):
        try:
            return comparable(parse_yaml(text))
        except ValueError:
            return text
    return None if text == "null" else comparable(text)


# --- telling ---


def _told(there: Sequence[Run]) -> dict[Path, str]:
    """What tells the runs of a folder apart, by their folders: the settings that vary, else a run's label; in the order
    of these texts."""
    columns = {
        key: [lookup(run.config, key) for run in there] for key in Runs(there).varying() if not key.endswith("_target_")
    }
    root = [column for key, column in columns.items() if "." not in key]
    # a setting that refers to alpha says nothing beside it
    columns = {key: column for key, column in columns.items() if "." not in key or column not in root}
    texts = {}
    for number, run in enumerate(there):
        settings = " ".join(
            f"{key}={in_hydra(column[number])}" for key, column in columns.items() if column[number] is not None
        )
        texts[run.folder] = shorten(one_line(settings or str(run.environment.get("label") or "")), LONGEST)
    return dict(sorted(texts.items(), key=lambda item: (item[1], item[0])))


def _lines(told: Sequence[tuple[Run, str]]) -> list[str]:
    """A line for each run: its id, how it ended, its settings, its last accuracy or what went wrong, its seconds, when
    it was started."""
    rows = []
    for run, text in told:
        seconds, started = quantity(run.result.get("seconds")), run.environment.get("started")
        when = str(started)[:16].replace("T", " ") if timestamp(started) is not None else ""
        figure = headline(run.result) if run.over else shorten(one_line(run.problem), LONGEST)
        rows.append(
            [run.folder.name, _value(run, OUTCOME), text, figure, f"{seconds:,.1f} s" if run.over else "", when]
        )
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell + " " * (most - width(cell)) for cell, most in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _record(run: Run) -> dict[str, Any]:
    """A run for `mixexp runs --json`."""
    return {
        "run_id": run.folder.name,
        "folder": run.folder,
        "outcome": _value(run, OUTCOME),
        "problem": run.problem,
        "label": run.environment.get("label") or None,
        "settings": {key: value for key, value in flatten(run.config).items() if key not in CIRCUMSTANCES},
        "last": dict(run.last),
        "seconds": run.result.get("seconds") if run.over else None,
        "started": run.environment.get("started"),
    }


# --- removing ---


def remove(selected: Sequence[Run], named: Sequence[Path], yes: bool) -> None:
    """Remove runs with all that is in their folders, after a question on the terminal unless yes says so already.

    named: the folders that they were found in. Raises UserError, before any is removed, where one is not a run's,
    is at work or lies elsewhere, and where there is no terminal to ask on; RunsFailed for one that is no more what was
    selected.
    """
    if reasons := [f"{run.folder}: {reason}" for run in selected if (reason := _kept(run.folder, named))]:
        raise UserError("\n".join([*reasons, "nothing is removed"]))
    what = f"{len(selected)} run{'s' * (len(selected) != 1)}"
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(
                f"runs --remove: {what}, listed above, would be removed for good; there is no terminal to ask on, so"
                " --yes has to confirm it"
            )
        print(f"remove {what} for good? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            show("nothing is removed")
            return
    try:
        for run in selected:
            _remove(run)
    finally:
        for folder in {run.folder.parent for run in selected}:
            if (folder / BY_LABEL).is_dir():
                link_by_label(folder, {})  # what leads nowhere goes
    show(f"removed {what}")


def _kept(folder: Path, named: Sequence[Path]) -> str:
    """Why a folder is not to be removed; empty where it may be."""
    if not RUN_ID.fullmatch(folder.name):
        return "a run's folder has its run_id for a name, twelve hexadecimal digits"
    # what is named may be a link, and nothing below it
    straight = [
        Path(os.path.realpath(place)) / folder.relative_to(place) for place in named if folder.is_relative_to(place)
    ]
    if folder.is_symlink() or Path(os.path.realpath(folder)) not in straight:
        return "a link leads there; name the folder in which it lies"
    return "a process works on it" if held(folder / LOCK) else ""


def _remove(run: Run) -> None:
    """Remove a run's folder; a process that begins to work on it meanwhile is there first, or makes it anew."""
    lock = run.folder / LOCK
    aside = run.folder.with_name(
        f".{run.folder.name}.{secrets.token_hex(4)}.removed"
    )  # no run to any reader, if this ends halfway
    with contextlib.ExitStack() as after:
        try:
            if not os.path.lexists(lock) or stat.S_ISREG(lock.lstat().st_mode):
                after.enter_context(FileLock(lock).acquire(timeout=0))
            changed = load_run(run.folder).outcome != run.outcome
        except Timeout:
            changed = True
        if changed:
            raise RunsFailed(
                f"{run.folder}: another process is or was at work on it meanwhile; it is kept, and so is what"
                " follows it"
            )
        run.folder.rename(aside)
    shutil.rmtree(aside)
