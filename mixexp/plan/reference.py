"""Settings with their defaults, their meaning and the values that they may have: `mixexp list settings` and `mixexp
list GROUP=OPTION`."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mixexp.build import GIVEN, hints_of, locate
from mixexp.build.wording import allowed
from mixexp.errors import UserError, closest, refusal
from mixexp.plan.options import options
from mixexp.settings import CONF, DESCRIPTIONS, OPTIONAL, under
from mixexp.text import in_hydra, one_line
from mixexp.training.spec import hints_of_settings

WIDEST = 40
"""Columns of settings whose meanings stand below each other."""


class Part(NamedTuple):
    """Settings that stand together: those of an option's class at a place such as "mix.ratio", or of an experiment.

    target: the class, empty of an experiment; meaning: its docstring's first line, or the experiment's options.
    """

    place: str
    target: str
    meaning: str
    settings: list[Setting]


@dataclass(frozen=True)
class Setting:
    """A setting: its dotted key, its value as a YAML file has it, what it means, and which values it may have."""

    key: str
    value: str
    meaning: str
    allowed: str = ""


# --- what is printed ---


def settings_reference(folders: Sequence[Path]) -> str:
    """Every setting of a run outside the groups, a line each, and the options that a run has by default; folders: of
    options."""
    closing = [
        f"Options by default: {' '.join(f'{group}={option}' for group, option in default_options(folders).items())}",
        "mixexp list shows the others, mixexp list GROUP=OPTION the settings of one.",
    ]
    return "\n".join([*_lines(root_settings().values()), "", *closing])


def default_options(folders: Sequence[Path]) -> dict[str, str]:
    """The option that a run has by default, by its group."""
    return {group: option for group, option in _chosen(CONF / "config.yaml") if group in options(folders)}


@functools.cache
def root_settings() -> Mapping[str, Setting]:
    """The settings of config.yaml that are no group's options, and the groups that a run can be without, by their
    keys."""
    hints = hints_of_settings()
    found = _written(CONF / "config.yaml")
    return {
        key: Setting(
            key,
            setting.value,
            setting.meaning,
            "an option of the group, or null" if key in OPTIONAL else allowed(hints[key]),
        )
        for key, setting in found.items()
        if not under(key, ("hydra",))
    }


def option_reference(folders: Sequence[Path], group: str, option: str, trusted: Sequence[str] = ()) -> str:
    """What an option is, the classes that it is made of, and their settings, a line each; arguments as of
    `option_parts`."""
    head, parts = option_parts(folders, group, option, trusted)
    texts = ["\n  ".join([f"{group}={option}", *head])]
    for part in parts:
        if part.target:
            texts.append("\n  ".join([f"{part.place}: {part.target}", part.meaning, *_lines(part.settings)]))
        else:
            texts += [*filter(None, [part.meaning]), "\n".join(_lines(part.settings))]
    return "\n\n".join(texts)


def option_parts(
    folders: Sequence[Path], group: str, option: str, trusted: Sequence[str] = ()
) -> tuple[list[str], list[Part]]:
    """The header of an option's file, and the classes that it is made of with their settings.

    folders: of options; trusted: modules of the user's own that a `_target_` may name. Raises UserError where there is
    no such option.
    """
    groups = options(folders)
    if option not in groups.get(group, ()):
        there = [f"{name}={member}" for name in ([group] if group in groups else groups) for member in groups[name]]
        missing, known = ("option", groups[group]) if group in groups else ("group", groups)
        near = closest(f"{group}={option}", there)
        raise UserError(refusal(f"list {group}={option}: no such {missing}", near, f"there are {', '.join(known)}"))
    files = {path.stem: path for folder in folders for path in sorted(folder.glob(f"{group}/*.yaml"))}
    head = groups[group][option]
    if group == "experiment":
        return head, [_of_experiment(files[option])]
    found = _merged(files, option)
    targets = {
        key.removesuffix("_target_"): setting.value for key, setting in found.items() if _last(key) == "_target_"
    }
    return head, [_of_class(group, place, targets, found, trusted) for place in targets]


def _of_experiment(path: Path) -> Part:
    """The options and the settings that an experiment has in place of the defaults; its grid is what `plan` shows."""
    chosen = " ".join(f"{group}={option}" for group, option in _chosen(path))
    root = root_settings()
    own = {key: setting for key, setting in _written(path).items() if not under(key, ("hydra", *DESCRIPTIONS))}
    known = {key: root.get(key, setting) for key, setting in own.items()}
    rows = [
        Setting(key, own[key].value, own[key].meaning or there.meaning, there.allowed) for key, there in known.items()
    ]
    return Part("", "", f"Options: {chosen}" if chosen else "", rows)


def _of_class(
    group: str, place: str, targets: Mapping[str, str], found: Mapping[str, Setting], trusted: Sequence[str]
) -> Part:
    """The class at a place of an option and its settings, those of the file first, then those that the signature alone
    has.

    place: what stands before the names of the settings, as in "ratio.".
    """
    path = f"{group}.{place}"
    made: Callable[..., Any] | None = None
    hints: Mapping[str, Any] = {}
    try:
        made = locate(targets[place], trusted)
        hints, said = hints_of(made), (inspect.getdoc(made) or "").partition("\n")[0]
    except (
        UserError
    ) as error:  # a module that is not trusted or cannot be imported: its file tells something all the same
        said = str(error)
    parameters = {} if made is None else inspect.signature(made).parameters
    meanings, root = _meanings(inspect.getdoc(made) or "", parameters), root_settings()
    rows = []
    for key, setting in found.items():
        if _last(key) != "_target_" and max((other for other in targets if key.startswith(other)), key=len) == place:
            name = key.removeprefix(place)
            meaning = setting.meaning or meanings.get(name.partition(".")[0], "")
            if not meaning and (referred := root.get(setting.value.strip("${}"))):
                meaning = referred.meaning
            rows.append(
                Setting(f"{group}.{key}", setting.value, meaning, allowed(hints[name]) if name in hints else "")
            )
    elsewhere = {
        *GIVEN.get(path.rstrip("."), ()),
        *(key.removeprefix(place).partition(".")[0] for key in found if key.startswith(place)),
    }
    for name, parameter in parameters.items():
        several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if name in hints and name not in elsewhere and not several:
            value = "???" if parameter.default is parameter.empty else in_hydra(parameter.default)
            rows.append(Setting(f"{path}{name}", value, meanings.get(name, ""), allowed(hints[name])))
    return Part(path.rstrip("."), targets[place], one_line(said), rows)


def _lines(settings: Iterable[Setting]) -> list[str]:
    """A line for each setting: the override that gives its default, its meaning, and in brackets which values it may
    have."""
    rows = [
        (f"{setting.key}={setting.value}", setting.meaning, f"[{setting.allowed}]" * bool(setting.allowed))
        for setting in settings
    ]
    width = max((len(first) for first, _, _ in rows if len(first) <= WIDEST), default=0)
    return ["  ".join([first.ljust(width), *filter(None, rest)]).rstrip() for first, *rest in rows]


# --- what files and docstrings say ---


def _written(path: Path) -> dict[str, Setting]:
    """The settings of a YAML file by their dotted keys, without its defaults list; empty where it cannot be read."""
    text = path.read_text(encoding="utf-8", errors="replace")
    leaves = dict(_leaves(_root(text)))
    values = {key: " ".join(text[node.start_mark.index : node.end_mark.index].split()) for key, node in leaves.items()}
    return {key: Setting(key, values[key], _comment(text, node)) for key, node in leaves.items()}


def _root(text: str) -> yaml.MappingNode | None:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:  # which a run that uses the file says
        return None
    return root if isinstance(root, yaml.MappingNode) else None


def _leaves(root: yaml.MappingNode | None, prefix: str = "") -> Iterator[tuple[str, yaml.Node]]:
    for key, node in root.value if root is not None else ():
        if isinstance(node, yaml.MappingNode) and node.value:
            yield from _leaves(node, f"{prefix}{key.value}.")
        elif prefix or key.value != "defaults":
            yield f"{prefix}{key.value}", node


def _comment(text: str, node: yaml.Node) -> str:
    """The comment at the end of a value's line, unless another value follows there."""
    behind = re.match(r"[\]}\s]*\s#\s*(.*)", text[node.end_mark.index :].partition("\n")[0])
    return behind[1].strip() if behind else ""


def _defaults(path: Path) -> list[yaml.Node]:
    """The entries of a file's defaults list."""
    root = _root(path.read_text(encoding="utf-8", errors="replace"))
    lists = {
        key.value: node.value
        for key, node in (root.value if root is not None else ())
        if isinstance(node, yaml.SequenceNode)
    }
    return lists.get("defaults", [])


def _chosen(path: Path) -> list[tuple[str, str]]:
    """(group, option) of each entry of a file's defaults list that chooses one."""
    choices = [choice for entry in _defaults(path) if isinstance(entry, yaml.MappingNode) for choice in entry.value]
    pairs = [(key.value.split()[-1].lstrip("/"), node.value) for key, node in choices]
    return [(group, option) for group, option in pairs if isinstance(option, str) and option != "null"]


def _merged(files: Mapping[str, Path], option: str, above: tuple[str, ...] = ()) -> dict[str, Setting]:
    """An option's settings over those of the options that its defaults list names, as Hydra merges them."""
    if option not in files or option in above:
        return {}
    merged: dict[str, Setting] = {}
    for entry in _defaults(files[option]):
        if isinstance(entry, yaml.ScalarNode) and entry.value != "_self_":
            name, _, place = entry.value.partition("@")
            merged |= {
                f"{place}.{key}" if place else key: setting
                for key, setting in _merged(files, name, (*above, option)).items()
            }
    return merged | _written(files[option])


def _meanings(docstring: str, names: Iterable[str]) -> dict[str, str]:
    """What a docstring says of arguments, as in "k: how many neighbours; same_class: of the sample's class alone"."""
    known = "|".join(map(re.escape, names))
    found: dict[str, str] = {}
    for paragraph in re.split(r"\n\n|\.\n(?=[A-Z])", docstring) if known else ():
        _, *parts = re.split(
            rf"(?:^|(?<=[.;:] ))({known}): ", " ".join(paragraph.split())
        )  # each name, what is said of it
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            found.setdefault(name, text.strip(" .;"))
    return found


def _last(key: str) -> str:
    return key.rpartition(".")[2]
