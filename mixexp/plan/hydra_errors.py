"""Hydra's and OmegaConf's errors in mixexp's words."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.errors import OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError, InterpolationResolutionError, MissingMandatoryValue

from mixexp.errors import closest, refusal
from mixexp.plan.options import options
from mixexp.plan.overrides import unreadable
from mixexp.plan.shapes import misshapen
from mixexp.plan.unknown import NoSuchSetting, no_such_setting, partly_there
from mixexp.settings import CONF
from mixexp.text import command

PLUGINS = {
    "joblib": "hydra-joblib-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
    "ray": "hydra-ray-launcher",
}
"""Optional launchers, and the package of each."""

_WORDS = {
    "int is not a ListConfig, list or tuple": "a list is needed",
    "Cannot merge DictConfig with ListConfig": "a mapping stands where a list is needed",
    "Cannot merge ListConfig with DictConfig": "a list stands where a mapping is needed",
}
"""OmegaConf's wording, and mixexp's."""

_SENTENCES = {
    r"Cannot find primary config '([^']+)'": (
        "--config-name {0}: there is no {0}.yaml in the folder of --config-dir or in mixexp's own"
    ),
    r"Could not delete from config\. The value of '(.+)' is (.+) and not (.+)\.": (
        "~{0}={2}: the value is {1}; ~{0} removes it whatever it is"
    ),
    r"Multiple values for (\S+)\. To override a value use 'override \S+: .+'": (
        "{0}: every run has an option of it already; "
        "on the command line {0}=NAME without +, in a defaults list 'override /{0}: NAME'"
    ),
    r"(\S+) appears more than once in the final defaults list": (
        "{0} is chosen twice in the defaults lists; a run has it once"
    ),
    r"An item is already at '([^']+)'": "{0}: it is there already; leave the + out",
    r"Sweeping over Hydra's configuration is not supported : '([^']+)'": (
        "{0}: one value is needed, as a sweep has one launcher and one sweeper"
    ),
}
"""Patterns of Hydra's sentences, and mixexp's, with the matches of the patterns' groups."""

_HYDRAS_OWN = ("hydra", "omegaconf", "antlr4", "yaml")


def leaked(error: Exception) -> bool:
    """True if a Python error comes from Hydra itself, which passes many on, and not from a run."""
    modules = [
        frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    # functions of the standard library are called by all of them
    callers = [module for module in modules if module in (*_HYDRAS_OWN, "mixexp", "hydra_plugins", "torch", "optuna")]
    return bool(callers) and callers[-1] in _HYDRAS_OWN


def setting_missing(missing: NoSuchSetting, folders: Sequence[Path], typed: Sequence[str]) -> str:
    """The message about a setting that all or some cells lack."""
    if missing.key.startswith("hydra."):
        return _hydras_setting(missing.key, typed)
    if missing.others and missing.cells:
        return partly_there(missing, typed)
    for cell in missing.cells:
        if OmegaConf.select(cell.config, missing.key, default=0) is None:
            return f"~{missing.key}: it is null, so there is nothing to remove; {missing.key}=VALUE changes it"
    return no_such_setting(missing.key, missing.cells, [CONF, *folders], typed)


def _hydras_setting(key: str, typed: Sequence[str]) -> str:
    """The message about an unknown setting of Hydra; one of a sweeper or launcher exists only once that is chosen."""
    store = ConfigStore.instance()
    parent = key.rpartition(".")[0]
    _, group, *names = key.split(".")
    if group in ("sweeper", "launcher") and names:
        by_option = {}
        for file in store.list(f"hydra/{group}"):
            by_option[file.removesuffix(".yaml")] = [
                name for name in store.load(f"hydra/{group}/{file}").node if name != "_target_"
            ]
        having = [option for option, settings in by_option.items() if names[0] in settings]
        if having:
            line = command(typed, {f"hydra/{group}": having[0]}, multirun=True)
            return (
                f"{key}: a setting of {' or '.join(f'hydra/{group}={option}' for option in having)}, which is not"
                f" chosen: {line}"
            )
        known = sorted({name for settings in by_option.values() for name in settings})
    else:
        above = OmegaConf.select(store.load("hydra/config.yaml").node, parent.removeprefix("hydra").removeprefix("."))
        known = sorted(map(str, above)) if OmegaConf.is_dict(above) else []
    near = closest(key, [f"{parent}.{name}" for name in known])
    problem = f"{key}: no such setting of Hydra's"
    return refusal(problem, near, f"{parent} has {', '.join(known)}") if known else f"{problem}.{near}"


def explain(error: Exception, words: Sequence[str], folders: Sequence[Path]) -> str:
    """One message for an error that is not about a missing setting."""
    text = str(error)
    cause = error.__cause__
    groups = options(folders)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: {unreadable(str(error.override).partition('=')[2])}"
    for failure in (error, cause):
        if isinstance(failure, MissingMandatoryValue):
            return f"{failure.full_key or failure}: needs a value, {failure.full_key or 'key'}=..."
        if isinstance(failure, InterpolationResolutionError):
            where = failure.full_key or " ".join(word for word in words if "${" in word) or "a YAML file"
            reason = " ".join(str(failure).splitlines()[0].split())
            if variable := re.search(r"Environment variable '([^']+)' not found", str(failure)):
                reason = f"there is no environment variable {variable[1]}"
            elif key := re.match(r"Interpolation key '([^']+)' not found", reason):
                reason = f"there is no setting {key[1]} to refer to"
            return f"{where}: {reason}"
        if isinstance(failure, GrammarParseError):
            return f"a YAML file has a reference ${{...}} that cannot be read: {str(failure).splitlines()[0]}"
    if isinstance(error, UnicodeDecodeError):
        return f"{_no_text(folders)} is not text in UTF-8: {error.reason} at byte {error.start}"
    if isinstance(error, KeyError) and "env_copy" in " ".join(words) and error.args[0] not in os.environ:
        return f"hydra.job.env_copy: no environment variable {error.args[0]} is set"
    if strange := re.search(r"Key '[^']+' not in '\w+'\s+full_key: (hydra\.\S+)", f"{text}\n{cause or ''}"):
        key, place = strange[1], re.match(r"In '([^']+)': ", text)
        return f"{place[1]}.yaml: {_hydras_setting(key, ())}" if place else _hydras_setting(key, ())
    if strange := re.search(r"target '\S*\.(\w+)'.*unexpected keyword argument '(\w+)'", text.replace("\n", " ")):
        part = "sweeper" if "Sweeper" in strange[1] else "launcher"
        return _hydras_setting(f"hydra.{part}.{strange[2]}", ())
    if refused := _missing_option(text, groups, [folder for folder in folders if folder != CONF]) or _defaults_list(
        text, groups
    ):
        return refused
    if wrong := _misshapen(text, groups, folders):
        return wrong
    text = re.sub(r"In '([^']+)': \w+ raised while composing config:\s*", r"\1.yaml: ", text)
    lines = [" ".join(line.split()) for line in f"{text}\n{cause or ''}".splitlines() if line.strip()]
    if lines and (merging := re.fullmatch(r"Error merging override (.*)", lines[0])):
        lines = [f"{merging[1]}: {lines[1] if len(lines) > 1 else 'it cannot be set'}"]
    for theirs, ours in _WORDS.items():
        lines = [line.replace(theirs, ours) for line in lines]
    aside = r"full_key:|object_type=|reference_type=|Config search path|provider="
    useful = [line for line in dict.fromkeys(lines) if not re.match(aside, line)]
    if isinstance(error, ValueError | TypeError | KeyError | AttributeError | AssertionError):
        of_hydra = [word for word in words if word.lstrip("+~").startswith("hydra")]
        return f"{' '.join(of_hydra or words) or 'config.yaml'}: Hydra cannot take this ({'; '.join(useful)})"
    return "; ".join(useful)


def _misshapen(text: str, groups: Mapping[str, Collection[str]], folders: Sequence[Path]) -> str:
    """The message about lists in place of mappings in an experiment's file, or the reverse; empty for other errors."""
    place = re.match(r"In '(experiment/[^']+)': ", text)
    if place is None or "Cannot merge DictConfig with ListConfig" not in text:
        return ""
    files = [file for folder in folders if (file := folder / f"{place[1]}.yaml").is_file()]
    return "\n".join(f"{place[1]}.yaml: {line}" for file in files[:1] for line in misshapen(file, groups))


def _no_text(folders: Sequence[Path]) -> str:
    for path in (path for folder in folders for path in sorted(folder.glob("*/*.yaml"))):
        try:
            path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return str(path)
    return "a YAML file"


def _missing_option(text: str, groups: Mapping[str, Collection[str]], own: Sequence[Path]) -> str | None:
    """The message about a missing option, or a missing file in a defaults list; None for other errors.

    own: the user's folders of options.
    """
    place = re.match(r"In '([^']+)': ", text)
    where = "" if place is None or place[1] in ("config", "hydra/config") else f", which {place[1]}.yaml names"
    if missing := re.search(r"Could not find '((?:.*/)?[^/']+)/([^/']+)'", text):
        group, option = missing.groups()
        if group == "hydra/launcher" and option in PLUGINS:
            return f"hydra/launcher = {option}: not installed; pip install {PLUGINS[option]}"
        if place is not None and place[1].startswith("experiment/") and group.startswith("experiment/"):
            known = group.rpartition("/")[2]
            return f"{place[1]}.yaml: a defaults list chooses another group's option with 'override /{known}: {option}'"
        choices = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE) or list(groups.get(group, ()))
        if not choices:
            there = f"there are {', '.join(groups)}"
            return refusal(f"{group} = {option}{where}: no such group", closest(group, groups), there)
        return _no_option(group, option, where, choices, own)
    if missing := re.search(r"Could not load '(?:.*/)?([^/']+)/([^/']+)'", text):
        group, option = missing.groups()
        return _no_option(group, option, where, list(groups.get(group, ())), own)
    return None


def _no_option(group: str, option: str, where: str, known: Collection[str], own: Sequence[Path]) -> str:
    """The message about an option that is not there: the nearest one, the known ones, and, but for a group of Hydra's,
    where an option of the user's own would lie."""
    there = f"there are {', '.join(known)}"
    message = refusal(f"{group} = {option}{where}: no such option", closest(option, known), there)
    if "/" in group:
        return message
    if own:
        return f"{message} One of your own would be {own[0] / group / option}.yaml."
    return (
        f"{message} One of your own would be DIR/{group}/{option}.yaml, with --config-dir DIR or config_dirs: [DIR] in"
        " a mixexp.yaml."
    )


def _defaults_list(text: str, groups: Mapping[str, Collection[str]]) -> str | None:
    """The message about a faulty list of defaults; None for other errors."""
    place = re.match(r"In '?([^':]+)'?: ", text)
    where = f"{place[1]}.yaml: " if place else ""
    if match := re.search(r"Could not delete '(\w+)(?:=(\w+))?'\. No match", text):
        group, option = match.groups()
        word = f"{group}={option}" if option else group
        return f"~{word}: this run has no {word if option else f'option of {group}'} to take away"
    if match := re.search(r"Could not override '([^']+)'\.\s+(?:No match in the defaults list|Did you mean)", text):
        there = f"there are {', '.join(groups)}"
        return refusal(f"{where}override {match[1]}: no such group", closest(match[1], groups), there)
    matches = ((re.search(pattern, text), sentence) for pattern, sentence in _SENTENCES.items())
    return next((sentence.format(*match.groups()) for match, sentence in matches if match), None)
