"""The commands that show what there is: list, plan, status and runs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixexp.command.tree import JSON, Command
from mixexp.errors import UserError, show
from mixexp.plan.options import config_dirs, describe
from mixexp.project import project
from mixexp.settings import CONF


def _list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=JSON)


def _list(arguments: argparse.Namespace) -> None:
    own = [word for word in arguments.words if word.startswith("trusted_modules=")]
    asked = [word for word in arguments.words if word not in own]
    if len(asked) > 1:
        raise UserError(f"list takes one group or GROUP=OPTION at most, not {' '.join(asked)}")
    if asked and (asked[0] == "settings" or "=" in asked[0]):
        show(_reference(arguments.folders, asked[0], own))
    else:
        print(describe([CONF, *config_dirs(arguments.folders)], asked[0] if asked else None))
    if asked in ([], ["settings"]) and (path := project().path) is not None:
        print(f"{path} holds here.")


def _reference(folders: list[Path], word: str, own: list[str]) -> str:
    """What `list settings` and `list GROUP=OPTION` print; own: the override that names modules of the user's own, if
    any."""
    from mixexp.plan.reference import option_reference, settings_reference

    places = [CONF, *config_dirs(folders)]
    if word == "settings":
        return settings_reference(places)
    from mixexp.plan.compose import compose

    group, _, option = word.partition("=")
    return option_reference(places, group, option, compose(own, folders)["trusted_modules"])


def _plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=JSON)


def _plan(arguments: argparse.Namespace) -> None:
    from mixexp.sweeping.application import application

    names = [word for word in arguments.words if re.fullmatch(r"\w+", word)]
    if len(names) > 1:
        raise UserError(f"plan {' '.join(names)}: one experiment at a time, each has its own grid")
    launchers = ("hydra/launcher", "hydra.launcher")  # a plan starts nothing, whatever launcher is asked for
    rest = [
        word
        for word in arguments.words
        if word not in (*names, "-m", "--multirun") and not word.lstrip("+~").startswith(launchers)
    ]
    folders = [f"--config-dir={folder}" for folder in arguments.folders]
    application(["-m", *folders, *(f"experiment={name}" for name in names), *rest, "hydra/launcher=plan"])


def _status_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--watch", metavar="SECONDS", nargs="?", help="show it again every so many seconds (default: 2)"
    )
    parser.add_argument("--json", action="store_true", help=JSON)


def _watch_seconds(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What follows --watch: argparse would take a folder for the number of seconds."""
    from mixexp.sweeping.watch import seconds_between

    seconds, rest = seconds_between(words)
    return {"watch": seconds}, rest


def _status(arguments: argparse.Namespace) -> None:
    from mixexp.sweeping.status import status
    from mixexp.sweeping.watch import watch

    folders = [Path(word) for word in arguments.dir]
    if not folders:
        raise UserError("status: name the folder of a sweep, such as outputs/quickstart")
    if arguments.watch is not None:
        watch(folders, arguments.watch)
        return
    for folder in folders:
        show(status(folder))


def _runs_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--links", action="store_true", help="make by-label/SETTINGS a link to each of these runs")
    parser.add_argument("--remove", action="store_true", help="remove these runs for good, after a question")
    parser.add_argument("--yes", action="store_true", help="remove without the question")
    parser.add_argument("--json", action="store_true", help=JSON)


def _runs(arguments: argparse.Namespace) -> None:
    from mixexp.api.commands import runs_command

    runs_command(arguments)


COMMANDS = (
    Command(
        name="list",
        group="Look",
        summary="options, settings, and what a report can show",
        description=(
            "Every option of every group with its description. A GROUP shows its options in full, GROUP=OPTION an"
            " option's settings, settings those of a run, table and figures what a report can show."
        ),
        positionals=(("WORD", "?", "GROUP, GROUP=OPTION, settings, table or figures (default: every group)"),),
        options=_list_options,
        examples=(
            ("mixexp list", "every option of every group, a line each"),
            ("mixexp list mix=mixup", "the settings of one option: default, meaning, allowed values"),
        ),
        more=("docs/tables.md", "docs/own_code.md"),
        overrides=True,  # trusted_modules=[...] names the modules of an option of one's own
        own_options=True,
        run=_list,
    ),
    Command(
        name="plan",
        group="Look",
        summary="the runs of a sweep and the time that they take; starts none",
        description="The runs of a sweep: done, failed, missing, and the time that is left. No run is started.",
        positionals=(
            ("NAME", "?", "an experiment; mixexp list experiment names them"),
            ("KEY=VALUE", "*", "settings, as after mixexp -m"),
        ),
        options=_plan_options,
        examples=(
            ("mixexp plan quickstart", "the 27 runs of an experiment"),
            ("mixexp plan mix=none,mixup seed=0,1,2", "the six runs of a sweep"),
        ),
        more=("docs/experiments.md", "docs/json.md"),
        overrides=True,
        own_options=True,
        run=_plan,
    ),
    Command(
        name="status",
        group="Look",
        summary="the runs of a folder: done, running, failed, missing; --watch",
        description=(
            "The runs of a folder, those of its last sweep that are not begun among them, and the time that is left."
            " With --watch the screen is drawn again and again, until nothing runs and nothing waits."
        ),
        positionals=(("DIR", "*", "folders of runs, such as outputs/quickstart"),),
        options=_status_options,
        examples=(
            ("mixexp status outputs/quickstart", "each run and its state, once"),
            ("mixexp status outputs/quickstart --watch 10", "the same every 10 seconds, until all is over"),
        ),
        more=("README.md", "docs/json.md"),
        abbreviations=False,
        prepare=_watch_seconds,
        run=_status,
    ),
    Command(
        name="runs",
        group="Look",
        summary="runs selected by their settings; links to them, removal of them",
        description=(
            "The runs in folders: the outcome of each, and the settings in which they differ. A KEY=VALUE leaves those"
            " that have it; outcome=failed is one too."
        ),
        positionals=(("DIR | KEY=VALUE", "+", "folders of runs, and what a run has to have: mix=mixup, seed=0,1"),),
        options=_runs_options,
        examples=(
            ("mixexp runs outputs/quickstart mix=mixup alpha=0.2", "three of its 27 runs"),
            ("mixexp runs outputs/quickstart outcome=failed --remove", "failed runs removed, after a question"),
        ),
        more=("docs/python.md", "docs/json.md"),
        run=_runs,
    ),
)
