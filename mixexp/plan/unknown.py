"""Messages about settings that a configuration lacks: its own settings, the nearest match, options that have it."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from mixexp.errors import meant, refusal
from mixexp.plan.composer import Composed
from mixexp.plan.options import commented, options, settings
from mixexp.settings import leaves
from mixexp.text import command, in_shell, resembling

REPORT_WORDS = {
    "rows.key": "--rows",
    "columns.key": "--columns",
    **{name: f"--{name}" for name in ("metric", "rule", "baseline", "title")},
}
"""Keys of a table for which `mixexp report` has an option."""


@dataclass
class NoSuchSetting(Exception):
    """Some of a sweep's cells lack a setting; cells: these, composed without it; others: those that have it."""

    key: str
    cells: list[Composed]
    others: list[Composed]


@dataclass
class NoSuchSettings(Exception):
    """Several settings of one group that some of a sweep's options lack; lacking: option → those that it lacks."""

    group: str
    lacking: dict[str, list[str]]


def compose_all(compose: Callable[[Sequence[str]], Composed], jobs: Sequence[Sequence[str]]) -> list[Composed]:
    """All cells of a sweep; raises NoSuchSetting or NoSuchSettings where some cells lack a setting."""
    cells = [_without_missing(compose, words) for words in jobs]
    whole = [cell for cell, missing in cells if not missing]
    first = [missing[0] for _, missing in cells if missing]
    if not first:
        return whole
    group = first[0].partition(".")[0]
    if all(key.partition(".")[0] == group for key in first):
        lacking: dict[str, list[str]] = {}
        for cell, missing in cells:
            of_option = lacking.setdefault(str(cell.choices.get(group)), [])
            of_option += [key for key in missing if key.startswith(f"{group}.") and key not in of_option]
        if len(set(itertools.chain(*lacking.values()))) > 1:
            raise NoSuchSettings(group, lacking)
    raise NoSuchSetting(first[0], [cell for cell, missing in cells if missing == [first[0]]], whole)


def _without_missing(compose: Callable[[Sequence[str]], Composed], words: Sequence[str]) -> tuple[Composed, list[str]]:
    """A cell without the settings that it lacks, and those settings."""
    left, missing = list(words), []
    while True:
        try:
            return compose(left), missing
        except ConfigCompositionException as error:
            key = missing_key(error)
            if key is None or key in missing:
                raise
            missing.append(key)
            parser = OverridesParser.create()
            left = [word for word in left if not _sets(parser, word, key)]


def _sets(parser: OverridesParser, word: str, key: str) -> bool:
    override = parser.parse_override(word)
    # a mapping sets the keys below its own
    above = key.startswith(f"{override.key_or_group}.") and isinstance(override.value(), dict)
    return override.key_or_group == key or above


def missing_key(error: BaseException) -> str | None:
    """The unknown setting that an override addresses, where the error is about one."""
    text = str(error)
    named = re.search(
        r"Could not override '([^']+)'\.\nTo append|Could not delete from config\. '([^']+)' does not exist", text
    )
    if named is None:
        return None
    # the cause names the setting inside a mapping
    inside = getattr(error.__cause__, "full_key", None)
    key = named[1] or named[2]
    return inside if inside and inside.startswith(f"{key}.") else key


def partly_there(missing: NoSuchSetting, typed: Sequence[str]) -> str:
    """The message about a setting that only some of a sweep's cells have, with commands that split the sweep."""
    key, total = missing.key, len(missing.cells) + len(missing.others)
    group = key.partition(".")[0]
    lacking = _options(missing.cells, group)
    having = _options(missing.others, group)
    where = " ".join(f"{group}={'null' if option is None else option}" for option in lacking)
    head = (
        f"{key}: no such setting in {len(missing.cells)} of {total} cells, those with {where},"
        f" {_have(missing.cells, key)}"
    )
    words = [word for word in typed if _key(word) == key]
    if not words or set(lacking) & set(having) or None in (*lacking, *having):
        return head
    apart = [
        command(typed, {group: ",".join(map(str, having))}),
        command(typed, {group: ",".join(map(str, lacking)), key: None}),
    ]
    return head + "; sweep them apart:" + "".join(f"\n    {line}" for line in apart)


def options_apart(missing: NoSuchSettings, typed: Sequence[str]) -> str:
    """The message about settings that options of one group lack: the missing ones and a command for each option."""
    group = missing.group
    lacks = [f"{group}={option} has no {', '.join(keys)}" for option, keys in missing.lacking.items() if keys]
    keys = dict.fromkeys(itertools.chain(*missing.lacking.values()))
    head = f"{', '.join(keys)}: no such settings in all cells; {'; '.join(lacks)}; sweep them apart:"
    lines = [command(typed, {group: option, **dict.fromkeys(lacked)}) for option, lacked in missing.lacking.items()]
    return head + "".join(f"\n    {line}" for line in lines)


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+")


def _options(cells: Sequence[Composed], group: str) -> list[str | None]:
    return list(dict.fromkeys(cell.choices.get(group) for cell in cells))


def _names(cell: Composed) -> list[str]:
    """Every setting of a cell, including its groups and sections."""
    config: Any = OmegaConf.to_container(cell.config, resolve=False)
    return list(dict.fromkeys([*config, *leaves(config)]))


def _siblings(cell: Composed, key: str) -> list[str]:
    parent = key.rpartition(".")[0]
    return [name for name in _names(cell) if name.rpartition(".")[0] == parent and not name.endswith("_target_")]


def _have(cells: Sequence[Composed], key: str) -> str:
    """The settings next to a key, for each option of its group."""
    group = key.partition(".")[0]
    by_option = {cell.choices.get(group): _siblings(cell, key) for cell in cells}
    if len(by_option) == 1:
        (names,) = by_option.values()
        return f"which {'has ' + ', '.join(names) if names else 'has no settings'}"
    return "; ".join(f"{group}={option} has {', '.join(names) or 'no settings'}" for option, names in by_option.items())


def no_such_setting(key: str, cells: Sequence[Composed], folders: Sequence[Path], typed: Sequence[str]) -> str:
    """The message about a setting that no cell has, with the nearest match among their settings and other options'."""
    siblings = list(dict.fromkeys(name for cell in cells for name in _siblings(cell, key)))
    if key.startswith("table.") and not siblings and cells and all(cell.config.get("table") is None for cell in cells):
        return _no_table(key, cells[0], typed)
    if "." not in key:
        siblings = list(dict.fromkeys([*siblings, *options(folders)]))
    known = list(dict.fromkeys([*siblings, *(name for cell in cells for name in _names(cell))]))
    there = f"there are {', '.join(siblings)}"
    group, last = key.partition(".")[0], key.rpartition(".")[2]
    same = [name for name in known if name.rpartition(".")[2] == last and not name.endswith("_target_") and name != key]
    value = next((word.removeprefix(word.partition("=")[0]) for word in typed if _key(word) == key), "")
    if "." not in key and same:
        return refusal(f"{key}: no such setting", meant(*(in_shell(name + value) for name in same)), there)
    # a shared beginning would make every sibling look alike, so only the last part is compared among them
    lasts = {name.rpartition(".")[2]: name for name in siblings}
    alike = difflib.get_close_matches(last, lasts, n=1)
    if alike:
        return refusal(f"{key}: no such setting", meant(in_shell(lasts[alike[0]] + value)), there)
    if deeper := [name for name in same if name == last or name.startswith(f"{group}.")]:  # alpha or mix.ratio.alpha
        near = meant(in_shell(deeper[0] + value))
        return refusal(f"{key}: no such setting", near, there) if siblings else f"{key}: no such setting.{near}"
    others_known = [name for name in known if not key.startswith(f"{name}.")]
    nearest = meant(*(in_shell(name + value) for name in resembling(key, others_known)))
    if others := _of_others(key, group, folders, typed):  # with a command, which stands last so that it can be copied
        return f"{key}: no such setting{f'; {there}' if '.' in key and siblings else ''}.{others}"
    return refusal(f"{key}: no such setting", nearest, there) if siblings else f"{key}: no such setting.{nearest}"


def _no_table(key: str, cell: Composed, typed: Sequence[str]) -> str:
    """The message about a key of the table for runs without a table, with the report's option for it."""
    name = key.removeprefix("table.")
    value = next((word.partition("=")[2] for word in typed if _key(word) == key), "...")
    flag = REPORT_WORDS.get(name)
    folder = in_shell(f"{cell.config.output_dir}/{cell.config.name}")
    word = (
        f"{flag} {in_shell(value)}"
        if flag
        else f"--table FILE, which has {name.partition('.')[0]} as docs/tables.md describes it"
    )
    return f"{key}: only an experiment has a table; without one, tell the report: mixexp report {folder} {word}"


def _of_others(key: str, group: str, folders: Sequence[Path], typed: Sequence[str]) -> str:
    """The options that have a setting of this or a similar name, with the command that chooses one.

    The text is empty where no option has it.
    """
    if any(word.startswith(f"~{key}") for word in typed):  # an option is not chosen only to remove a setting from it
        return ""
    whole, _, rest = key.partition(".")
    groups = [group] if rest else list(options(folders))
    elsewhere = {name: _having(folders, name) for name in groups if name != "experiment"}
    setting_name = rest or whole
    for name, members in elsewhere.items():
        if setting_name in members:
            return " " + _choose(key, f"{name}.{setting_name}", name, members[setting_name], typed)
    for name, members in elsewhere.items() if rest else ():
        if near := difflib.get_close_matches(setting_name, members, n=1):
            match = f"{name}.{near[0]}"
            return f" Did you mean '{match}'? {_choose(key, match, name, members[near[0]], typed)}"
        for option, setting in commented(folders, name, setting_name):
            return (
                f" {setting_name} is {name}.{setting} here: {_choose(key, f'{name}.{setting}', name, [option], typed)}"
            )
    return ""


def _having(folders: Sequence[Path], group: str) -> Mapping[str, list[str]]:
    """Setting → the options of a group that have it."""
    by_setting: dict[str, list[str]] = {}
    for option, names in settings(folders, group).items():
        for name in names:
            by_setting.setdefault(name, []).append(option)
    return by_setting


def _choose(key: str, match: str, group: str, having: Sequence[str], typed: Sequence[str]) -> str:
    words = [word for word in typed if _key(word) == key]
    value = words[0].partition("=")[2] if words else "..."
    line = (
        command(typed, {group: having[0], key: None, match: value})
        if match != key
        else command(typed, {group: having[0]})
    )
    where = " or ".join(f"{group}={option}" for option in having[:3]) + (" and others" if len(having) > 3 else "")
    return f"{match} is a setting of {where}: {line}"
