"""Overrides that no run can mean, refused before anything is composed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override, ValueType

from mixexp.errors import UserError, closest
from mixexp.plan.overrides import Groups, root_settings, values
from mixexp.settings import NOT_SCIENTIFIC, OPTIONAL
from mixexp.spec.grid import as_override
from mixexp.text import command, in_shell

DRAWN = {"mix_layer": ("random", "layers")}
"""Groups with an option that draws one of several others: group → that option, and its setting that lists them."""

TOGETHER = {"logger": "several", "probe": "robustness"}
"""Groups with several options in one run: group → an option that shows how."""


def refuse(overrides: Sequence[Override], groups: Groups, typed: Sequence[str] = (), grid: bool = False) -> None:
    """Raise UserError for what no run can mean: an option that is no name, no option, a part that every run has taken away.

    typed: the words of the whole command line, for the commands that messages suggest; none where they are of another
    kind. grid: the overrides come from the grid of a file.
    """
    for override in overrides:
        key = override.key_or_group
        if override.is_delete():
            _refuse_deletion(override, groups)
        elif override.package is not None and key in groups:
            _refuse_package(override, groups)
        elif key in groups and override.value_type in (ValueType.ELEMENT, ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP):
            sweep = override.value()
            for value in sweep.list if isinstance(sweep, ChoiceSweep) else [sweep]:
                _refuse_option(override, Override._convert_value(value), groups, typed, grid)
        elif key in groups and override.is_range_sweep():
            raise UserError(f"{override.input_line}: {_a_name(key, groups)}")


def _a_name(group: str, groups: Groups) -> str:
    return f"an option of {group} is a name; there are {', '.join(groups[group])}"


def _refuse_option(override: Override, value: Any, groups: Groups, typed: Sequence[str], grid: bool) -> None:
    """One value given for a group: the name of an option passes, and a mapping, which sets values of the group's option."""
    group, word = override.key_or_group, override.input_line
    if value is None and group == "experiment":
        raise UserError(f"{word}: leave it out for a run without an experiment")
    if value is None and group in OPTIONAL:
        raise UserError(f"{word}: leave it out for a run without; ~{group} takes away what an experiment has chosen")
    if value is None or value in ("", []):
        raise UserError(f"{word}: an option is needed; there are {', '.join(groups[group])}")
    if isinstance(value, list):
        raise UserError(f"{word}: a run has one option of {group}{_meant(group, value, groups, typed, grid)}")
    if isinstance(value, bool | int | float) or (isinstance(value, dict) and group == "experiment"):
        text = override.get_value_string()
        quoted = f"""; as a name: {in_shell(f"{group}='{text}'")}""" if text in groups[group] else ""
        raise UserError(f"{word}: {_a_name(group, groups)}{quoted}")
    if override.is_force_add() and isinstance(value, str):
        raise UserError(f"{word}: leave the ++ out, {in_shell(word.lstrip('+'))}")


def _meant(group: str, names: Sequence[Any], groups: Groups, typed: Sequence[str], grid: bool) -> str:
    """The possible meanings of a list for a group, each as it has to be typed."""
    if not all(isinstance(name, str) for name in names):
        return f", and its name is one of {', '.join(groups[group])}"
    lines = []
    unknown = [name for name in names if name not in groups[group]]
    if not unknown and group not in NOT_SCIENTIFIC:  # such runs would be one run
        several = len(names) > 1
        lines.append(("a run of each: " if several else "this one: ") + command(typed, {group: ",".join(names)}, several))
        if grid and several:
            lines.append(f"in the grid of a file: {group}: [{', '.join(names)}]")
    if group in DRAWN and DRAWN[group][0] not in names:
        option, setting = DRAWN[group]
        layers = command(typed, {group: option, f"{group}.{setting}": f"[{','.join(names)}]"})
        lines.append(f"one of these, drawn for every batch: {layers}")
    elif unknown:
        lines.append(f"{unknown[0]} is none of {', '.join(groups[group])}.{closest(unknown[0], groups[group])}")
    if group in TOGETHER and len(names) > 1:
        example = TOGETHER[group]
        lines.append(f"all at once in one run: an option that is made of them, as {group}={example} is (conf/{group}/{example}.yaml)")
    return "".join(f"\n    {line}" for line in lines)


def _refuse_package(override: Override, groups: Groups) -> None:
    """An option put in another group's place, or over the whole configuration, would leave no trace in the run's choices."""
    place = override.package.split(".")
    if len(place) == 1 and (place[0] in groups or place[0] in ("", "_global_", "_group_")):
        group = override.key_or_group
        raise UserError(f"{override.input_line}: an option of {group} has its place at {group}; {group}={override.get_value_string()}")


def _refuse_deletion(override: Override, groups: Groups) -> None:
    key, word = override.key_or_group, override.input_line
    default = root_settings().get(key)
    if key.split(".")[0].split("/")[0] == "hydra":
        raise UserError(f"{word}: a part of Hydra's own configuration, which every run has; only its value can be changed")
    if key in OPTIONAL or key == "experiment":
        return
    if key in groups:
        others = f"'mixexp list {key}' names the others"
        raise UserError(f"{word}: every run has an option of {key}; {key}={default} is the default, {others}")
    if key in root_settings():
        plain = isinstance(default, str) and "${" in default
        instead = "leave it out" if plain else f"its default is {in_shell(f'{key}={as_override(default)}')}"
        raise UserError(f"{word}: every run has this setting; {instead}")
    if key.endswith("._target_"):
        raise UserError(f"{word}: it says what {key.removesuffix('._target_')} is, and cannot be taken away")


def refuse_several(overrides: Sequence[Override], groups: Groups, typed: Sequence[str]) -> None:
    """Raise UserError for an override with several values, where there is one run. typed: the words of the whole command line."""
    several = [override for override in overrides if override.is_sweep_override()]
    if not several:
        return
    word, key = several[0].input_line, several[0].get_key_element()
    if several[0].is_interval_sweep():
        values(several[0], groups)  # says what an interval is for
    if not typed:
        raise UserError(f"{word}: one value is needed here")
    lines = [f"a run of each is a sweep: {command(typed, {}, multirun=True)}"]
    if several[0].value_type == ValueType.SIMPLE_CHOICE_SWEEP and key not in {**groups, **root_settings()}:
        listed = f"[{several[0].get_value_string()}]"
        lines.append(f"one list: {command(typed, {key: listed})}")
    raise UserError(f"{word}: several values, and this is one run" + "".join(f"\n    {line}" for line in lines))
