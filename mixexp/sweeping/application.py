"""The application that Hydra runs: a command line becomes one run or a sweep.

Modules that need torch are imported where they are used, so that a mistyped option is refused at once.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mixexp.errors import RunsFailed, UserError, closest, meant, refusal, say
from mixexp.plan.options import config_dirs, is_multirun, options, user_folders
from mixexp.plan.overrides import of_each_cell, parse, refuse, refuse_several, values
from mixexp.settings import CONF
from mixexp.text import command, in_shell
from mixexp.training.spec import Settings


def application(words: Sequence[str]) -> None:
    """Hand a command line to Hydra, which runs one job or a sweep; raises UserError."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra raises its errors, so that they can be put in mixexp's words
    own_folders, words = user_folders(words)
    folders = config_dirs(own_folders)
    flags, overrides = _flags(words, folders)
    sweep = [flag for flag in flags if is_multirun(flag)]
    # options first: Hydra's parser needs the overrides in one piece
    given = [f"--config-dir={folder}" for folder in own_folders]
    typed = [*(["-m"] if sweep else []), *given, *(flag for flag in flags if flag not in sweep), *overrides]
    command_line = [sys.argv[0], *typed]
    shown = any(flag.startswith("--cfg") or flag == "-c" for flag in flags)
    sys.argv[1:] = [*typed[: len(typed) - len(overrides)], *_checked(overrides, folders, typed, bool(sweep), shown)]

    def job(config: DictConfig) -> dict[str, Any] | None:
        sys.argv[:] = command_line  # a launcher's process has another one, and a run's record shows the user's
        return _job(config, overrides, folders, typed)

    job.__dict__["command_line"] = command_line  # for the sweepers, see mixexp_plugins
    from mixexp.plan.compose import explained, own_options

    with own_options(folders), explained(overrides, folders, typed), _own_words(shown), warnings.catch_warnings():
        # a missing folder
        warnings.filterwarnings("error", message=r"provider=hydra\.searchpath", category=UserWarning)
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)()


def _checked(
    overrides: Sequence[str], folders: Sequence[Path], typed: Sequence[str], sweep: bool, shown: bool
) -> list[str]:
    """The overrides for Hydra: ranges of fractions as values, a search's space in its form; raises UserError."""
    if any(word.startswith("--shell-completion") or word == "-sc" for word in typed):
        return list(overrides)
    groups = options([CONF, *folders])
    from mixexp.plan.space import rewritten

    parsed = parse([rewritten(override) for override in parse(overrides, groups)], groups)
    refuse(parsed, groups, typed)
    if place := [override.input_line for override in parsed if override.key_or_group.startswith("hydra.run.")]:
        # Hydra would make the folder before any check
        raise UserError(
            f"{place[0]}: a run's folder is RUN_ID in OUTPUT_DIR/NAME; output_dir=... and name=... say where that is"
        )
    modes = {_mode(override) for override in parsed if override.key_or_group == "hydra.mode"}
    if sweep and "RUN" in modes:
        raise UserError("hydra.mode=RUN: -m makes it a sweep; leave one of them out")
    if shown and "MULTIRUN" in modes:
        raise UserError("hydra.mode=MULTIRUN: --cfg and --info show one configuration; leave it out")
    sweep = sweep or "MULTIRUN" in modes
    parsed += parse(_name_of_edition(parsed, folders, None if sweep or shown else typed), groups)
    if sweep:
        return [word for override in parsed for word in of_each_cell(override, groups)]
    idle = [str(override.input_line) for override in parsed if override.key_or_group.startswith("hydra.sweeper.")]
    if idle and not shown:
        raise UserError(
            f"{' '.join(idle)}: of a sweep or search, and this is one run: {command(typed, {}, multirun=True)}"
        )
    if shown:
        first = {each.get_key_element(): values(each, groups)[0] for each in parsed if each.is_discrete_sweep()}
        if first:
            raise UserError(
                f"{' '.join(first)}: several values, and --cfg and --info show one configuration:"
                f" {command(typed, first)}"
            )
    refuse_several(parsed, groups, typed)
    return [str(override.input_line) for override in parsed]


def _name_of_edition(parsed: Sequence[Override], folders: Sequence[Path], alone: Sequence[str] | None) -> list[str]:
    """The override for the name of an edition's sweep; empty where no edition is chosen or a name is typed.

    alone: the words of the command line of a single run. Raises UserError for an unknown edition, and for one of a
    single run.
    """
    words = {
        override.key_or_group: override
        for override in parsed
        if override.key_or_group in ("edition", "experiment", "name")
    }
    chosen = words.get("edition")
    if chosen is None or chosen.is_delete() or (not chosen.is_sweep_override() and not isinstance(chosen.value(), str)):
        return []
    if chosen.is_sweep_override():
        raise UserError(f"{chosen.input_line}: one edition at a time, each has its own grid")
    if "experiment" in words and words["experiment"].is_sweep_override():
        return []  # the sweep refuses this
    from mixexp.plan.compose import compose

    name = compose([str(override.input_line) for key, override in words.items() if key != "name"], folders)["name"]
    if alone is not None:
        raise UserError(
            f"{chosen.input_line}: an edition is a sweep, and this is one run: {command(alone, {}, multirun=True)}"
        )
    return [] if "name" in words else [f"name={name}"]


def _mode(override: Override) -> str:
    """The value of hydra.mode; raises UserError for a value other than RUN and MULTIRUN."""
    if str(override.value()) not in ("RUN", "MULTIRUN"):
        raise UserError(f"{override.input_line}: needs RUN or MULTIRUN, which -m stands for")
    return str(override.value())


class _Flags(argparse.ArgumentParser):
    """A parser that raises its errors, for the caller to put in mixexp's words."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def _setting(flag: str, flags: Sequence[str]) -> str:
    """The setting that an unknown flag is nearer to than to any flag; empty without one."""
    first, dot, rest = flag.lstrip("-").partition(".")

    def likeness(name: str) -> float:
        return SequenceMatcher(None, first, name).ratio()

    nearest = max({*Settings.model_fields, *options([CONF])}, key=likeness)
    least = max(0.6, *(likeness(name.lstrip("-")) for name in flags))  # as errors.closest
    return f"{nearest}{dot}{rest}" if likeness(nearest) > least else ""


def _flags(words: Sequence[str], folders: Sequence[Path]) -> tuple[list[str], list[str]]:
    """The options of a command line, in Hydra's meaning, and its overrides.

    Raises UserError for conflicting options.
    """
    parser = get_args_parser()
    parser.__class__ = _Flags  # Hydra makes the parser
    known = [name for action in parser._actions for name in action.option_strings]
    try:
        arguments, unknown = parser.parse_known_intermixed_args(list(words))
    except UserError as error:
        strange = [word for word in words if re.match(r"-[^-].", word) and word.partition("=")[0] not in known]
        if not strange:
            raise UserError(str(error).removeprefix("argument ")) from None
        unknown = strange[:1]
    if unknown:
        name = unknown[0].partition("=")[0]
        long = [option for option in known if option.startswith("--")]
        near, key = closest(name.lower(), long), _setting(name, long)
        if "=" in unknown[0] and (key or not near):
            override = (key or name.lstrip("-")) + unknown[0].removeprefix(name)
            raise UserError(f"{unknown[0]}: settings have no dashes.{meant(in_shell(override))}")
        value = words[words.index(unknown[0]) + 1 :][:1]
        if key and value and re.fullmatch(r"[\w.,]+", value[0]):
            near = meant(in_shell(f"{key}={value[0]}"))
        raise UserError(refusal(f"{unknown[0]}: no such option", near, f"there are -m, {', '.join(sorted(long))}"))
    flags, left = [], list(arguments.overrides)
    for word in reversed(words):  # an option's value may look like an override before it
        if left and word == left[-1]:
            left.pop()
        else:
            flags.insert(0, word)
    _refuse_flags(arguments, list(arguments.overrides), flags)
    if arguments.config_name not in (None, "config") and not folders:
        raise UserError(f"--config-name {arguments.config_name}: mixexp has one, config; {_OWN}")
    return flags, arguments.overrides


def _refuse_flags(arguments: argparse.Namespace, overrides: Sequence[str], flags: Sequence[str]) -> None:
    once = [name for name in ("cfg", "info") if getattr(arguments, name) is not None]
    if once and (arguments.multirun or arguments.run):
        rest = [flag for flag in flags if not is_multirun(flag) and flag not in ("-r", "--run")]
        groups = options([CONF])
        parsed = parse(overrides, groups)
        first = {each.key_or_group: values(each, groups)[0] for each in parsed if each.is_discrete_sweep()}
        line, extra = command([*rest, *overrides], first), "-m" if arguments.multirun else "--run"
        raise UserError(f"--{once[0]} shows one configuration and runs nothing; leave {extra} out: {line}")
    if arguments.run + arguments.multirun + arguments.shell_completion + len(once) > 1:
        raise UserError(f"{' '.join(flags)}: one of --run, --multirun, --cfg, --info and --shell-completion at a time")
    for name in ("resolve", "package"):
        if getattr(arguments, name) and not arguments.cfg and not arguments.help:
            raise UserError(f"--{name} goes with --cfg: {command(['--cfg', 'job', *flags, *overrides], {})}")
    if arguments.shell_completion:
        ways = [f"{way}={shell}" for way in ("install", "uninstall", "query") for shell in ("bash", "fish", "zsh")]
        if (
            len(overrides) != 1
            or overrides[0] not in ways
            or (overrides[0].startswith("query") and "COMP_LINE" not in os.environ)
        ):
            raise UserError(
                f'--shell-completion takes one of {", ".join(ways[:6])}, in eval "$(mixexp --shell-completion'
                ' install=bash)"'
            )
    for name, instead in (
        ("experimental_rerun", "the same command again continues with what is missing"),
        ("config_path", _OWN),
    ):
        if getattr(arguments, name) is not None:
            raise UserError(f"--{name.replace('_', '-')}: not for mixexp; {instead}")


_OWN = (
    "options and experiments of your own lie in a folder that --config-dir or mixexp.yaml names, as"
    " DIR/experiment/NAME.yaml for experiment=NAME"
)


@contextlib.contextmanager
def _own_words(shown: bool) -> Iterator[None]:
    """Turns the line that Hydra prints before it exits, where --cfg finds no such package, into a UserError."""
    if not shown:
        yield
        return
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            yield
    except SystemExit as end:
        if end.code in (None, 0):
            raise
        text = " ".join(printed.getvalue().split())
        name = re.search(r"package '(.*)' not found", text)
        near = closest(name[1], options([CONF])) if name else ""
        raise UserError(f"--package {name[1]}: the configuration has no such part.{near}" if name else text) from None


def _job(
    config: DictConfig, words: Sequence[str], folders: Sequence[Path], typed: Sequence[str]
) -> dict[str, Any] | None:
    """One run in this process: its result, None where another process has the run.

    Hydra calls it for a single run, and for each job of launchers other than mixexp's; words, folders, typed as in
    `explained`.
    """
    from mixexp.plan.compose import explained, own_options
    from mixexp.plan.composer import composed
    from mixexp.sweeping.one import single

    job = HydraConfig.get()
    alone = job.mode == RunMode.RUN
    os.chdir(job.runtime.cwd)  # relative paths start here, wherever a launcher has started this process
    try:
        with own_options(folders), explained(words, folders, typed):
            whole: Any = OmegaConf.merge({"hydra": job}, config)
            return single(composed(whole), list(job.overrides.task), alone)
    except UserError as error:
        if alone:  # past Hydra, which would print a line of its own before the message
            sys.exit(say(str(error), error.exit_code))
        raise
    except Exception as error:
        if alone:
            raise
        # the user's own exception may not survive the way back to the sweep's process; error.txt has all of it
        raise RunsFailed(f"{type(error).__name__}: {error}") from None
