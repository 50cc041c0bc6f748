"""Settings with default, meaning and allowed values: `mixexp list settings` and `mixexp list GROUP=OPTION`."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mixexp.build import GIVEN, hints_of, locate
from mixexp.build.wording import allowed
from mixexp.errors import UserError, closest, refusal
from mixexp.plan.options import options
from mixexp.settings import CONF, DESCRIPTIONS, OPTIONAL, under
from mixexp.text import in_hydra, one_line
from mixexp.training.spec import hints_of_settings

WIDEST = 40
"""The width up to which settings are padded, so that their meanings align."""


@dataclass(frozen=True)
class Setting:
    """A setting: its dotted key, its value as in a YAML file, its meaning, and its allowed values."""

    key: str
    value: str
    meaning: str
    allowed: str = ""


# --- printed text ---


def settings_reference(folders: Sequence[Path]) -> str:
    """Every setting of a run outside the groups, a line each, and the default options; folders: of options."""
    closing = [
        f"Options by default: {' '.join(f'{group}={option}' for group, option in default_options(folders).items())}",
        "mixexp list shows the others, mixexp list GROUP=OPTION the settings of one.",
    ]
    return "\n".join([*_lines(root_settings().values()), "", *closing])


def default_options(folders: Sequence[Path]) -> dict[str, str]:
    """The option that a run has by default, by its group."""
    return {group: option for group, option in chosen_options(CONF / "config.yaml") if group in options(folders)}


@functools.cache
def root_settings() -> Mapping[str, Setting]:
    """The settings of config.yaml outside the groups, and the optional groups, by their keys."""
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


@dataclass(frozen=True)
class Part:
    """A class of an option and its settings: first those of the file, then those of the signature alone.

    place: dotted, such as mix.ratio. target: the path of the class. made: the class, None where it cannot be imported.
    docstring: of the class, or why it cannot be imported. The part of an experiment has no class and no place, and its
    docstring names the options.
    """

    place: str
    target: str
    made: Callable[..., Any] | None
    docstring: str
    settings: list[Setting]

    @property
    def about(self) -> list[str]:
        """The paragraphs on the class itself, each as one line, or the reason why it cannot be imported."""
        if self.made is None:
            return [one_line(self.docstring)] * bool(self.docstring)
        return [*map(one_line, _description(self.docstring, inspect.signature(self.made).parameters))]


def option_reference(folders: Sequence[Path], group: str, option: str, trusted: Sequence[str] = ()) -> str:
    """The header of an option, its classes and their settings, a line each; arguments as of ``option_parts``."""
    head, parts = option_parts(folders, group, option, trusted)
    texts = ["\n  ".join([f"{group}={option}", *head])]
    for part in parts:
        if part.target:
            texts.append("\n  ".join([f"{part.place}: {part.target}", *part.about, *_lines(part.settings)]))
        else:
            texts += [*part.about, "\n".join(_lines(part.settings))]
    return "\n\n".join(texts)


def option_parts(
    folders: Sequence[Path], group: str, option: str, trusted: Sequence[str] = ()
) -> tuple[list[str], list[Part]]:
    """The header of an option's file, and its classes with their settings.

    folders: of options; trusted: the user's own modules that a `_target_` may name. Raises UserError where there is no
    such option.
    """
    groups = options(folders)
    if option not in groups.get(group, ()):
        there = [f"{name}={member}" for name in ([group] if group in groups else groups) for member in groups[name]]
        missing, known = ("option", groups[group]) if group in groups else ("group", groups)
        near = closest(f"{group}={option}", there) if group else closest(option, groups)
        raise UserError(refusal(f"list {group}={option}: no such {missing}", near, f"there are {', '.join(known)}"))
    files = {path.stem: path for folder in folders for path in sorted(folder.glob(f"{group}/*.yaml"))}
    head = groups[group][option]
    if group == "experiment":
        return head, [_of_experiment(files[option])]
    found = _merged(files, option)
    targets = {
        key.removesuffix("_target_"): setting.value for key, setting in found.items() if _last(key) == "_target_"
    }
    return head, [_part(group, place, targets, found, trusted) for place in targets]


def _of_experiment(path: Path) -> Part:
    """The options and settings that an experiment has in place of the defaults; `plan` shows its grid."""
    chosen = " ".join(f"{group}={option}" for group, option in chosen_options(path))
    return Part("", "", None, f"Options: {chosen}" if chosen else "", experiment_settings(path))


def experiment_settings(path: Path) -> list[Setting]:
    """The settings that an experiment's file has in place of the defaults, with its own comments before the usual
    meanings."""
    root = root_settings()
    own = {key: setting for key, setting in _written(path).items() if not under(key, ("hydra", *DESCRIPTIONS))}
    known = {key: root.get(key, setting) for key, setting in own.items()}
    return [
        Setting(key, own[key].value, own[key].meaning or there.meaning, there.allowed) for key, there in known.items()
    ]


def _part(
    group: str, place: str, targets: Mapping[str, str], found: Mapping[str, Setting], trusted: Sequence[str]
) -> Part:
    """The class at a place of an option; place: what stands before the names of its settings, as in "ratio."."""
    path = f"{group}.{place}"
    made: Callable[..., Any] | None = None
    hints: Mapping[str, Any] = {}
    try:
        made = locate(targets[place], trusted)
        hints, docstring = hints_of(made), inspect.getdoc(made) or ""
    # the module is not trusted or cannot be imported; its file still has settings
    except UserError as error:
        docstring = str(error)
    parameters = {} if made is None else inspect.signature(made).parameters
    meanings, root = _meanings("" if made is None else docstring, parameters), root_settings()
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
        *GIVEN.get(path.partition(".")[0], ()),
        *(key.removeprefix(place).partition(".")[0] for key in found if key.startswith(place)),
    }
    for name, parameter in parameters.items():
        several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if name in hints and name not in elsewhere and not several:
            value = "???" if parameter.default is parameter.empty else in_hydra(parameter.default)
            rows.append(Setting(f"{path}{name}", value, meanings.get(name, ""), allowed(hints[name])))
    return Part(path.rstrip("."), targets[place], made, docstring, rows)


def _lines(settings: Iterable[Setting]) -> list[str]:
    """A line for each setting: the override that gives its default, its meaning, and its allowed values in brackets."""
    rows = [
        (f"{setting.key}={setting.value}", setting.meaning, f"[{setting.allowed}]" * bool(setting.allowed))
        for setting in settings
    ]
    width = max((len(first) for first, _, _ in rows if len(first) <= WIDEST), default=0)
    return ["  ".join([first.ljust(width), *filter(None, rest)]).rstrip() for first, *rest in rows]


# --- settings in files and docstrings ---


def _written(path: Path) -> dict[str, Setting]:
    """The settings of a YAML file by their dotted keys, without its defaults list; empty where it cannot be read."""
    text = path.read_text(encoding="utf-8", errors="replace")
    leaves = dict(_leaves(_root(text)))
    values = {key: " ".join(text[node.start_mark.index : node.end_mark.index].split()) for key, node in leaves.items()}
    return {key: Setting(key, values[key], _comment(text, node)) for key, node in leaves.items()}


@functools.lru_cache(maxsize=1024)  # a file is read for its settings, its defaults list and each option on it
def _root(text: str) -> yaml.MappingNode | None:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:  # a run that uses the file reports the error
        return None
    return root if isinstance(root, yaml.MappingNode) else None


def _leaves(root: yaml.MappingNode | None, prefix: str = "") -> Iterator[tuple[str, yaml.Node]]:
    for key, node in root.value if root is not None else ():
        if isinstance(node, yaml.MappingNode) and node.value:
            yield from _leaves(node, f"{prefix}{key.value}.")
        elif prefix or key.value != "defaults":
            yield f"{prefix}{key.value}", node


def _comment(text: str, node: yaml.Node) -> str:
    """The comment at the end of a value's line, unless another value follows it."""
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


def chosen_options(path: Path) -> list[tuple[str, str]]:
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


def _description(docstring: str, names: Iterable[str]) -> list[str]:
    """A docstring's paragraphs on the thing itself: the first, and the others that are not elsewhere.

    An argument's meaning stands at its setting, a source in the option's header; errors are left out.
    """
    first, *others = re.split(r"\n\n|(?<=\.)\s+(?=Source: |Differs from the paper: |Raises )", docstring)
    elsewhere = "|".join([*(rf"{re.escape(name)} ?: " for name in names), "Source: ", "Raises ", ".*paper: nothing"])
    return [first, *(paragraph for paragraph in others if not re.match(elsewhere, paragraph))]


def _meanings(docstring: str, names: Iterable[str]) -> dict[str, str]:
    """The descriptions of arguments in a docstring, as in "k: how many neighbours; same_class: of the class alone"."""
    known = "|".join(map(re.escape, names))
    found: dict[str, str] = {}
    for paragraph in re.split(r"\n\n|\.\n(?=[A-Z])", docstring) if known else ():
        # each name, its description
        _, *parts = re.split(rf"(?:^|(?<=[.;:] ))({known}) ?: ", " ".join(paragraph.split()))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            found.setdefault(name, text.strip(" .;"))
    return found


def _last(key: str) -> str:
    return key.rpartition(".")[2]
