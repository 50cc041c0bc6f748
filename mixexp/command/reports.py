"""The commands that compare runs: report, compare, leaderboard and claims."""

from __future__ import annotations

import argparse
from pathlib import Path

from mixexp.command.tree import JSON, Command
from mixexp.plan.options import code_now, config_dirs, known
from mixexp.settings import CONF

RULES = ("last", "median_last_10", "best", "best_validation")
"""Selection rules: the keys of `mixexp.metrics.RULES`, whose module takes long to import."""
METRIC = "a column of metrics.csv, error or probe.<file>.<column>"


def _report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rule", choices=RULES, help="the selection rule of the headline table")
    parser.add_argument("--baseline", metavar="LABEL", help="the row or column that the others are compared with")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="a YAML file with keys of a table, in place of the runs' own"
    )
    parser.add_argument("--metric", help=f"what is shown: {METRIC}")
    parser.add_argument("--rows", metavar="KEY", help="the setting whose values are the rows")
    parser.add_argument("--columns", metavar="KEY", help="the setting whose values are the columns")
    parser.add_argument("--swap", action="store_true", help="rows as columns and columns as rows")
    parser.add_argument("--title", metavar="TEXT", help="the title of the table")
    for flag, form, meaning in (
        ("--order", "KEY=V1,V2,...", "the order of rows or columns; those left out follow"),
        ("--where", "KEY=V1,V2,...", "only runs with one of these values"),
        ("--figure", "KIND:OPTION=VALUE,...", "one more figure (mixexp list figures)"),
        ("--note", "TEXT", "a sentence below the title and among the notes"),
    ):
        parser.add_argument(flag, action="append", default=[], metavar=form, help=f"{meaning}; may be given again")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="the folder of the report (default: report in the folder of runs)"
    )
    parser.add_argument("--json", action="store_true", help=JSON)


def _report(arguments: argparse.Namespace) -> None:
    from mixexp.reporting.commands import report

    folders = config_dirs(arguments.folders)
    report(arguments, [CONF, *folders], code_now(folders))


def _compare_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--in", dest="places", nargs="+", type=Path, metavar="DIR", help="the folders of runs (default: outputs)"
    )
    parser.add_argument("--metric", help=f"{METRIC} (default: that of the runs' tables)")
    parser.add_argument("--rule", choices=RULES, default="last", help="the selection rule (default: last)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write compare.md and compare.csv there")
    parser.add_argument("--json", action="store_true", help=JSON)


def _compare(arguments: argparse.Namespace) -> None:
    from mixexp.reporting.commands import compare

    compare(arguments)


def _leaderboard_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--metric", default="accuracy", help=f"{METRIC} (default: accuracy)")
    parser.add_argument("--rule", choices=RULES, default="last", help="the selection rule (default: last)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write leaderboard.md and leaderboard.csv there")
    parser.add_argument("--json", action="store_true", help=JSON)


def _leaderboard(arguments: argparse.Namespace) -> None:
    from mixexp.reporting.commands import leaderboard

    leaderboard(arguments)


def _claims_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="the folders of runs (default: the experiments' folders in outputs and outputs/published)",
    )
    parser.add_argument("--json", action="store_true", help=JSON)


def _claims(arguments: argparse.Namespace) -> None:
    from mixexp.reporting.commands import claims

    folders = [CONF, *config_dirs(arguments.folders)]
    claims(arguments, folders, lambda groups: known(folders, groups))


COMMANDS = (
    Command(
        name="report",
        group="Report",
        summary="tables, figures and a page of the runs in a folder",
        description="Tables, figures and a page of the runs in folders; options change the table, and no run.",
        positionals=(("DIR", "+", "folders of runs; several make one report"),),
        options=_report_options,
        examples=(
            ("mixexp report outputs/quickstart", "the experiment's own table and figures"),
            (
                "mixexp report outputs/quickstart --metric accuracy --rows mix_layer --columns alpha",
                "another table of the same runs",
            ),
        ),
        more=("docs/reports.md", "docs/tables.md", "docs/json.md"),
        own_options=True,
        run=_report,
    ),
    Command(
        name="compare",
        group="Report",
        summary="the differences between two folders of runs, or two commits of the code",
        description=(
            "The differences between two folders of runs, or the runs of two git commits, and whether they are larger"
            " than the noise of the seeds."
        ),
        positionals=(("FIRST", None, "a folder of runs, or a git commit"), ("SECOND", None, "another one")),
        options=_compare_options,
        examples=(
            ("mixexp compare outputs/before outputs/after", "two folders, run by run of the same seed"),
            ("mixexp compare HEAD~1 HEAD --in outputs", "two commits that made runs in outputs"),
        ),
        more=("docs/reports.md", "docs/json.md"),
        run=_compare,
    ),
    Command(
        name="leaderboard",
        group="Report",
        summary="methods ranked under each protocol, over all runs",
        description="Methods ranked under each protocol, over all runs in folders and in the folders below them.",
        positionals=(("DIR", "*", "folders of runs (default: outputs)"),),
        options=_leaderboard_options,
        examples=(
            ("mixexp leaderboard", "all runs below outputs, by their last accuracy"),
            ("mixexp leaderboard outputs/quickstart --metric error", "the runs of one folder, by their error"),
        ),
        more=("docs/reports.md", "docs/json.md"),
        run=_leaderboard,
    ),
    Command(
        name="claims",
        group="Report",
        summary="the articles' claims: supported, contradicted, undecided or not run",
        description="The claims of the articles, and the verdict of the runs on each.",
        positionals=(("NAME", "*", "experiments, or single claims as EXPERIMENT.CLAIM (default: all)"),),
        options=_claims_options,
        examples=(
            ("mixexp claims", "every claim of every experiment"),
            ("mixexp claims final_layer_mixup --runs outputs", "the claims of one experiment, on runs of yours"),
        ),
        more=("docs/claims.md", "docs/json.md"),
        own_options=True,
        run=_claims,
    ),
)
