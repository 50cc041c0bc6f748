"""The overrides of a command line or of a grid's cell: their values, and errors about those that no run can have."""

from __future__ import annotations

import functools
import math
import random
import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydra._internal.config_repository import IConfigRepository
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep, ValueType
from hydra.errors import HydraException

from mixexp.errors import UserError, closest
from mixexp.files import read_yaml
from mixexp.plan.typed import typed_values
from mixexp.settings import CONF, NOT_SCIENTIFIC, OPTIONAL, leaves
from mixexp.spec.grid import MOST_CELLS, as_override
from mixexp.text import command, in_shell

Groups = Mapping[str, Collection[str]]
"""Group → its options."""

DRAWN = {"mix_layer": ("random", "layers")}
"""Groups with an option that draws one of several others: group → that option, and its setting that lists them."""

TOGETHER = {"logger": "several", "probe": "robustness"}
"""Groups with several options in one run: group → an example of an option that combines several."""


def loaded_groups() -> dict[str, list[str]]:
    """Every group and its options, as Hydra finds them while it runs."""
    loader: Any = GlobalHydra.instance().config_loader()
    return _groups_of(loader.repository)


@functools.lru_cache(maxsize=8)  # reading the files takes half a second; a repository is compared by identity
def _groups_of(repository: IConfigRepository) -> dict[str, list[str]]:
    groups = repository.get_group_options("", ObjectType.GROUP)
    return {group: repository.get_group_options(group, ObjectType.CONFIG) for group in groups if group != "hydra"}


def parse(words: Sequence[str], groups: Groups) -> list[Override]:
    """The overrides as Hydra parses them; raises UserError for one that it cannot read."""
    parser = OverridesParser.create()
    overrides = []
    for word in words:
        try:
            if word.startswith("="):
                raise ValueError(word)
            overrides += parser.parse_overrides([word])
        except RecursionError:
            raise UserError(f"{word[:40]}...: nested too deeply") from None
        except (HydraException, ValueError, TypeError) as error:
            raise UserError(_unreadable(word, str(error), groups)) from error
    return overrides


def _unreadable(word: str, reason: str, groups: Groups) -> str:
    if word.startswith("=") or ("=" not in word and not word.startswith("~")):
        options = [f"{group}={word}" for group, members in groups.items() if word in members]
        near = f" Did you mean {' or '.join(map(in_shell, options))}?" if options else ""
        return f"{word or repr(word)}: an override is KEY=VALUE, without blanks around the =.{near}"
    if called := re.search(r"while evaluating '(.*)': (.*)", reason):
        if "invalid literal" in called[2] or "could not convert" in called[2]:
            return f"{word}: {called[1]} is not a number"
        return f"{word}: {'it is empty, so a sweep has no cells' if 'empty choice' in called[2] else called[2]}"
    value = word.partition("=")[2]
    if value.startswith(",") or value.endswith(",") or ",," in value:
        return f"{word}: a value is missing beside a comma; values have commas and no blanks between them"
    return f"{word}: {unreadable(value)}"


def for_hydra(word: str) -> str:
    """An override as Hydra takes it: no option of an optional group, null in a sweep, is the group's removal."""
    group, _, value = word.partition("=")
    return f"~{group}" if group in OPTIONAL and value == "null" else word


def unreadable(value: str) -> str:
    """The reason why Hydra cannot read a value."""
    plain = re.sub(r"""\\.|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", "", value)
    for opening, closing in ("()", "[]", "{}"):
        if plain.count(opening) > plain.count(closing):
            return f"cannot be read; its {opening} is not closed by a {closing}"
    return "cannot be read; a value with special characters needs quotes, as in 'key=\"value\"'"


def values(override: Override, groups: Groups) -> list[str]:
    """The values of an axis as they are typed, or the single value of an override that is not an axis.

    Numbers of a range have the decimals of its start and step. Raises UserError for an axis without values.
    """
    if not override.is_sweep_override():
        return typed_values(override)
    word = str(override.input_line)
    if override.is_interval_sweep():
        key = override.get_key_element()
        raise UserError(
            f"{word}: an interval is for a search (hydra/sweeper=search); a sweep takes values, {key}=VALUE,VALUE,..."
        )
    if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
        return _matching(override, groups)
    if isinstance(override._value, RangeSweep):
        texts = [str(number) for number in _numbers(word, override._value)]
        if override._value.shuffle:
            random.shuffle(texts)
        return texts
    texts = typed_values(override)
    if not texts:
        raise UserError(f"{word}: it is empty, so a sweep has no cells")
    return texts


def axes_of(params: Mapping[str, Any], groups: Groups) -> dict[str, list[str]]:
    """The axes of a sweep's `params`: key → its values as they are typed.

    Raises UserError for a value that is not an axis.
    """
    overrides = parse([f"{key}={as_override(value)}" for key, value in params.items()], groups)
    refuse(overrides, groups)
    return {override.get_key_element(): values(override, groups) for override in overrides}


def _matching(override: Override, groups: Groups) -> list[str]:
    """The options that a glob matches."""
    group, word = override.key_or_group, override.input_line
    if group not in groups:
        raise UserError(
            f"{word}: glob chooses among a group's options, and {group} is not a group; there are {', '.join(groups)}"
        )
    glob: Any = override._value
    matching = glob.filter(sorted(groups[group]))
    if not matching:
        near = closest(" ".join(glob.include), groups[group])
        raise UserError(
            f"{word}: it matches no option, so a sweep has no cells; there are {', '.join(groups[group])}.{near}"
        )
    return matching


def _numbers(word: str, sweep: RangeSweep) -> Sequence[int | float]:
    """The numbers of a range: integers where all of it is whole, else with the decimals of start and step alone."""
    ends = (sweep.start, sweep.stop, sweep.step)
    if not all(isinstance(end, int | float) and math.isfinite(end) for end in ends):
        raise UserError(f"{word}: a range is from a number to a number by a number")
    # a float keeps 15 digits of a decimal number; more would be noise of its binary form
    start, stop, step = (Decimal(end) if isinstance(end, int) else Decimal(f"{end:.15g}") for end in ends)
    if step == 0:
        raise UserError(f"{word}: a step of 0 never ends")
    count = math.ceil((stop - start) / step)
    if count <= 0:
        key, _, other = word.partition("=")[0], step, f"{-step:f}"
        there = f"{start:f} is not {'below' if step > 0 else 'above'} {stop:f}"
        raise UserError(
            f"{word}: it is empty, so a sweep has no cells; {there}, and a range leaves its end out."
            + (f" Did you mean {in_shell(f'{key}=range({start:f},{stop:f},{other})')}?" if start != stop else "")
        )
    if count > MOST_CELLS:
        raise UserError(f"{word}: {count:,} values; {MOST_CELLS:,} is the most")
    numbers = [start + index * step for index in range(count)]
    return (
        [int(number) for number in numbers]
        if all(isinstance(end, int) for end in ends)
        else [float(number) for number in numbers]
    )


def spelled_out(override: Override, groups: Groups) -> str:
    """An override that every sweeper reads alike: a range of fractions as its values, a single value as that value.

    Raises UserError for an axis without values.
    """
    if not override.is_discrete_sweep() or override.is_hydra_override():
        return str(override.input_line)
    texts, sweep = values(override, groups), override._value
    whole = not isinstance(sweep, RangeSweep) or all(
        isinstance(end, int) for end in (sweep.start, sweep.stop, sweep.step)
    )
    return str(override.input_line) if whole and len(texts) > 1 else f"{override.get_key_element()}={','.join(texts)}"


def of_each_cell(override: Override, groups: Groups) -> list[str]:
    """A sweep's override for Hydra: a value of a group's option becomes an axis, so that it is set in the cells alone.

    Before it sweeps, Hydra composes a configuration with the groups' default options, which may lack the setting. A
    mapping for a group becomes a word for each of its settings; otherwise it would replace an axis over the group's
    options.
    """
    group, _, rest = override.key_or_group.partition(".")
    if group not in groups or override.package is not None or override.is_delete() or override.is_interval_sweep():
        return [spelled_out(override, groups)]
    prefix = override.get_key_element()
    if not rest:
        named = leaves({prefix: value}) if isinstance(value := override.value(), dict) and value else {}
        axes = [_axis_of_one(key, Override._get_value_element_as_str(value)) for key, value in named.items()]
        return axes or [spelled_out(override, groups)]
    texts = values(override, groups)
    return [_axis_of_one(prefix, texts[0])] if len(texts) == 1 else [spelled_out(override, groups)]


def _axis_of_one(key: str, text: str) -> str:
    """A setting's only value as an axis; null stays, since Hydra's choice does not accept it."""
    return f"{key}=null" if text == "null" else f"{key}=choice({text})"


@functools.cache
def chosen_groups() -> dict[str, str | None]:
    """Every group of a run, and the option that config.yaml chooses."""
    entries = [entry for entry in _config()["defaults"] if isinstance(entry, dict)]
    return {group: option for entry in entries for group, option in entry.items() if " " not in group}


@functools.cache
def _config() -> dict[str, Any]:
    return read_yaml(CONF / "config.yaml")


def root_settings() -> dict[str, Any]:
    """The settings of config.yaml, and the options that it chooses."""
    return {key: value for key, value in {**_config(), **chosen_groups()}.items() if key not in ("hydra", "defaults")}


# --- overrides that no run can have, refused before composition ---


def refuse(overrides: Sequence[Override], groups: Groups, typed: Sequence[str] = (), grid: bool = False) -> None:
    """Raise UserError for overrides that no run can have: unknown or nameless options, removal of required parts.

    typed: the words of the whole command line, for the commands that messages suggest; empty where they are of another
    kind. grid: the overrides come from the grid of a file.
    """
    for override in overrides:
        key = override.key_or_group
        if override.is_delete():
            _refuse_deletion(override, groups)
        elif override.package is not None and key in groups:
            # an option in such a place would leave no trace in the run's choices
            if override.package in (*groups, "", "_global_", "_group_"):
                raise UserError(
                    f"{override.input_line}: an option of {key} has its place at {key};"
                    f" {key}={override.get_value_string()}"
                )
        elif key in groups and override.value_type in (
            ValueType.ELEMENT,
            ValueType.CHOICE_SWEEP,
            ValueType.SIMPLE_CHOICE_SWEEP,
        ):
            sweep: Any = override.value()
            for value in sweep.list if isinstance(sweep, ChoiceSweep) else [sweep]:
                _refuse_option(override, Override._convert_value(value), groups, typed, grid)
        elif key in groups and override.is_range_sweep():
            raise UserError(f"{override.input_line}: {_a_name(key, groups)}")


def _a_name(group: str, groups: Groups) -> str:
    return f"an option of {group} is a name; there are {', '.join(groups[group])}"


def _refuse_option(override: Override, value: Any, groups: Groups, typed: Sequence[str], grid: bool) -> None:
    """Check one value of a group: an option's name, or a mapping, which sets values of the group's option."""
    group, word = override.key_or_group, str(override.input_line)
    if value is None and group == "experiment":
        raise UserError(f"{word}: leave it out for a run without an experiment")
    if value is None and group in OPTIONAL:
        if override.is_sweep_override() or grid:
            return
        raise UserError(f"{word}: leave it out for a run without; ~{group} removes what an experiment has chosen")
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
    if not unknown and group not in NOT_SCIENTIFIC:  # these runs would be one
        several = len(names) > 1
        lines.append(
            ("a run of each: " if several else "this one: ") + command(typed, {group: ",".join(names)}, several)
        )
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
        lines.append(
            f"all at once in one run: an option that is made of them, as {group}={example} is"
            f" (conf/{group}/{example}.yaml)"
        )
    return "".join(f"\n    {line}" for line in lines)


def _refuse_deletion(override: Override, groups: Groups) -> None:
    key, word = override.key_or_group, override.input_line
    default = root_settings().get(key)
    if key.split(".")[0].split("/")[0] == "hydra":
        raise UserError(
            f"{word}: a part of Hydra's own configuration, which every run has; only its value can be changed"
        )
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
        raise UserError(f"{word}: it says what {key.removesuffix('._target_')} is, and cannot be removed")


def refuse_several(overrides: Sequence[Override], groups: Groups, typed: Sequence[str]) -> None:
    """Raise UserError for an override with several values where there is one run.

    typed: the words of the whole command line.
    """
    several = [override for override in overrides if override.is_sweep_override()]
    if not several:
        return
    word, key = several[0].input_line, several[0].get_key_element()
    if several[0].is_interval_sweep():
        values(several[0], groups)  # raises the message about intervals
    if not typed:
        raise UserError(f"{word}: one value is needed here")
    lines = [f"a run of each is a sweep: {command(typed, {}, multirun=True)}"]
    if several[0].value_type == ValueType.SIMPLE_CHOICE_SWEEP and key not in {**groups, **root_settings()}:
        listed = f"[{several[0].get_value_string()}]"
        lines.append(f"one list: {command(typed, {key: listed})}")
    raise UserError(f"{word}: several values, and this is one run" + "".join(f"\n    {line}" for line in lines))
