"""The commands that show what there is: list, plan, status and runs."""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixexp.command.tree import JSON, Command
from mixexp.errors import UserError, show, show_json
from mixexp.plan.options import config_dirs, describe, is_multirun, options
from mixexp.project import project
from mixexp.settings import CONF

if TYPE_CHECKING:
    from mixexp.plan.reference import Part


def _list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=JSON)


def _list(arguments: argparse.Namespace) -> None:
    own = [word for word in arguments.words if word.startswith("trusted_modules=")]
    asked = [word for word in arguments.words if word not in own]
    if len(asked) > 1:
        raise UserError(f"list takes one group or GROUP=OPTION at most, not {' '.join(asked)}")
    word, places = asked[0] if asked else "", [CONF, *config_dirs(arguments.folders)]
    path = project().path if word in ("", "settings") else None
    if arguments.json:
        show_json("mixexp.list/1", {**_record(places, word, own, arguments.folders), "project_file": path})
        return
    if word == "settings" or "=" in word:
        show(_reference(places, word, own, arguments.folders))
    else:
        print(describe(places, word or None))
    if path is not None:
        print(f"{path} holds here.")


def _reference(places: list[Path], word: str, own: list[str], folders: list[Path]) -> str:
    """The text of `list settings` and `list GROUP=OPTION`; own: the override that names modules of the user's own, if
    any."""
    from mixexp.plan.reference import option_reference, settings_reference

    if word == "settings":
        return settings_reference(places)
    group, _, option = word.partition("=")
    return option_reference(places, group, option, _trusted(own, folders))


def _record(places: list[Path], word: str, own: list[str], folders: list[Path]) -> dict[str, Any]:
    """What `list --json` prints: groups, or parts with settings."""
    if word in ("table", "figure", "figures"):
        from mixexp.spec import reference

        sections = reference.table() if word == "table" else reference.figures()
        names = ("key", "default", "allowed", "meaning")
        parts = [
            {
                "place": one.name,
                "class": "",
                "meaning": one.meaning,
                "settings": [dict(zip(names, key, strict=True)) for key in one.keys],
            }
            for one in sections
        ]
        return {"parts": parts}
    if word == "settings" or "=" in word:
        from mixexp.plan.reference import Part, default_options, option_parts, root_settings

        if word == "settings":
            part = Part("", "", None, "", list(root_settings().values()))
            return {"parts": [_part_record(part)], "default_options": default_options(places)}
        group, _, option = word.partition("=")
        head, parts = option_parts(places, group, option, _trusted(own, folders))
        return {"group": group, "option": option, "header": head, "parts": list(map(_part_record, parts))}
    describe(places, word or None)  # which refuses a group that is not there
    members = options(places)
    chosen = [word if word in members else word.removesuffix("s")] if word else list(members)
    return {
        "groups": {
            group: [
                {"option": name, "description": (lines or [""])[0], "header": lines}
                for name, lines in members[group].items()
            ]
            for group in chosen
        }
    }


def _part_record(part: Part) -> dict[str, Any]:
    settings = [
        {"key": one.key, "default": one.value, "allowed": one.allowed, "meaning": one.meaning} for one in part.settings
    ]
    return {"place": part.place, "class": part.target, "meaning": " ".join(part.about), "settings": settings}


def _trusted(own: list[str], folders: list[Path]) -> list[str]:
    from mixexp.plan.compose import compose

    return compose(own, folders)["trusted_modules"]


def _plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=JSON)


def _plan(arguments: argparse.Namespace) -> None:
    from mixexp.sweeping.application import application
    from mixexp.sweeping.records import plan_as_json

    words = [word for word in arguments.words if not is_multirun(word)]
    pairs = itertools.pairwise(["", *words])
    # a name behind an option is its value
    names = [word for before, word in pairs if re.fullmatch(r"\w+", word) and not re.fullmatch("--[^=]+", before)]
    if len(names) > 1:
        raise UserError(f"plan {' '.join(names)}: one experiment at a time, each has its own grid")
    launchers = ("hydra/launcher", "hydra.launcher")  # a plan starts nothing, whatever launcher is asked for
    rest = [word for word in words if word not in names and not word.lstrip("+~").startswith(launchers)]
    folders = [f"--config-dir={folder}" for folder in arguments.folders]
    with plan_as_json(arguments.json):
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

    folders = [Path(word) for word in arguments.dir]
    if not folders:
        raise UserError("status: name the folder of a sweep, such as outputs/quickstart")
    if arguments.json:
        if arguments.watch is not None:
            raise UserError("status --json: goes without --watch")
        from mixexp.sweeping.records import status_record

        show_json("mixexp.status/1", {"folders": [status_record(folder) for folder in folders]})
        return
    if arguments.watch is not None:
        from mixexp.sweeping.watch import watch

        watch(folders, arguments.watch)
        return
    from mixexp.sweeping.screen import draw_status, on_terminal

    for folder in folders:
        if on_terminal():
            draw_status(folder)
        else:
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
        more=("docs/commands.md", "docs/tables.md"),
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
        more=("docs/sweeps.md", "docs/json.md"),
        overrides=True,
        hydra_options=None,
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
        more=("docs/sweeps.md", "docs/json.md"),
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
