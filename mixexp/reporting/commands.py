"""The commands that read runs and show them: mixexp report, compare, leaderboard and claims."""

from __future__ import annotations

import gc
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixexp.errors import UserError, closest, show, show_json
from mixexp.project import outputs
from mixexp.reporting import claim_sheets, claim_text
from mixexp.reporting import compare as comparison
from mixexp.reporting import leaderboard as board
from mixexp.reporting.changes import read
from mixexp.reporting.claims import decide, family, only, problems_of
from mixexp.reporting.csv_files import as_csv, table_record
from mixexp.reporting.tables import Table
from mixexp.reporting.write import write_files, write_report
from mixexp.spec.claims import groups_in
from mixexp.spec.experiments import Experiment, experiments, places
from mixexp.spec.table import of_metric
from mixexp.text import listed
from mixexp.training.reader import everywhere


def report(
    arguments: Namespace, options: Sequence[Path], code_now: Callable[[str], str | None] = lambda module: None
) -> None:
    """Write the report of some folders; its tables are printed before its figures are drawn.

    options: folders of options. code_now: the hash that a module of the user's own has now, by its name.
    """
    changes = read(arguments.table, vars(arguments))
    gc.disable()  # it would look through ten thousand runs again and again
    try:
        tables: list[tuple[Table, Path]] = []
        written = write_report(
            [Path(name) for name in arguments.dir],
            arguments.rule,
            arguments.baseline,
            arguments.out,
            (lambda path: None) if arguments.json else show_table(),
            options,
            changes,
            code_now=code_now,
            made=lambda table, folder: tables.append((table, folder)),
        )
        if arguments.json:
            shown = [table_record(table, folder) for table, folder in tables]
            show_json("mixexp.report/1", {"tables": shown, "files": written})
        else:
            show_files(written)
    finally:
        gc.enable()


def show_files(written: Sequence[Path]) -> None:
    """Print the files of a report, and the page, which is the last of them, as the one to open."""
    show("\n".join([*map(str, written), f"open in a browser: {written[-1]}"]))


def compare(arguments: Namespace) -> None:
    """Print what changed between two folders or commits."""
    names = arguments.first, arguments.second
    sides = comparison.sides(names, arguments.places or [outputs()])
    spec = of_metric(arguments.metric or comparison.metric_of([*sides[0], *sides[1]]))
    differences = comparison.compare(names, sides, spec, arguments.rule)
    text = comparison.document(differences, spec, arguments.rule)
    records = comparison.records(differences, spec, arguments.rule)
    written = []
    if not arguments.json:
        show(text)
    if arguments.out:
        written = write_files(arguments.out, {"compare.md": text, "compare.csv": as_csv(records)})
    if arguments.json:
        about = comparison.about(differences)
        show_json("mixexp.compare/1", {**about, "changes": records, "files": written})
    elif written:
        show("\n".join(map(str, written)))


def leaderboard(arguments: Namespace) -> None:
    """Print the methods ranked under each protocol."""
    folders = [Path(name) for name in arguments.dir] or [outputs()]
    missing = [str(path) for path in folders if not path.is_dir()]
    if missing:
        raise UserError(f"leaderboard: {', '.join(missing)} is not a folder")
    runs = everywhere(folders)
    if not runs:
        raise UserError(f"leaderboard: there is no run in {', '.join(map(str, folders))}")
    rows = board.leaderboard(runs, arguments.metric, arguments.rule)
    ranked = {run.folder for row in rows for run in row.runs}
    lost = [run for run in runs if run.folder not in ranked]
    text, records = (
        board.document(rows, arguments.metric, arguments.rule, lost),
        board.records(rows, arguments.metric, arguments.rule),
    )
    written = []
    if not arguments.json:
        show(text)
    if arguments.out:
        written = write_files(arguments.out, {"leaderboard.md": text, "leaderboard.csv": as_csv(records)})
    if arguments.json:
        not_ranked = board.not_ranked(lost, arguments.metric)
        methods = [
            {**record, "folders": [run.folder for run in row.runs]} for record, row in zip(records, rows, strict=True)
        ]
        show_json("mixexp.leaderboard/1", {"methods": methods, "not_ranked": not_ranked, "files": written})
    elif written:
        show("\n".join(map(str, written)))


def claims(arguments: Namespace, folders: Sequence[Path], known: Callable[[set[str]], Mapping[str, Any]]) -> None:
    """Print what runs say of the claims that experiments make; folders: of options; known: the settings there are, of
    some groups in full."""
    if missing := [str(path) for path in arguments.runs or () if not path.is_dir()]:
        raise UserError(f"claims: {', '.join(missing)} is not a folder")
    stated = {name: experiment for name, experiment in experiments(folders).items() if experiment.claims is not None}
    settings = {name: known(groups_in([experiment.claims, experiment.editions])) for name, experiment in stated.items()}
    if problems := [
        problem for name, experiment in stated.items() for problem in problems_of(experiment, settings[name])
    ]:
        raise UserError("\n".join(problems))
    asked = _asked(stated, arguments.name)
    relatives = family([stated[name.partition(".")[0]] for name in asked or stated], stated.values())
    decided = decide(relatives, everywhere(arguments.runs or places(relatives, outputs())))
    if asked:  # the correction is over all claims of an article, whichever are shown
        decided = only(decided, asked)
    if arguments.json:
        claimed, checked = claim_sheets.records(decided), claim_sheets.check_records(decided.checks)
        show_json("mixexp.claims/1", {"claims": claimed, "checks": checked, "left_out": decided.left_out})
    else:
        show(claim_text.as_text(decided, asked))


def _asked(stated: Mapping[str, Experiment], names: Sequence[str]) -> list[str]:
    """The names of experiments and claims that were typed; raises UserError for one that is not there."""
    if not stated:
        raise UserError("claims: no experiment makes any")
    there = [*stated, *(f"{name}.{claim}" for name, experiment in stated.items() for claim in experiment.claims)]
    for name in names:
        if name not in there:
            raise UserError(
                f"claims {name}: no such experiment with claims, and no such claim.{closest(name, there)} There are"
                f" {listed(stated, name)}."
            )
    return list(names)


def show_table() -> Callable[[Path], None]:
    """A function that prints a table at its first call with it; later calls are for the table written again with its
    figures."""
    shown: set[Path] = set()

    def show_once(path: Path) -> None:
        if path.name == "table.md" and path not in shown:
            shown.add(path)
            try:
                show(path.read_text(encoding="utf-8"))
            except BrokenPipeError:  # whoever reads along has seen enough, and the files are for others as well
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return show_once
