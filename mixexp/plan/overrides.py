"""The overrides of a command line or of a grid's cell, and what their values are."""

from __future__ import annotations

import functools
import math
import random
import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import yaml
from hydra._internal.config_repository import IConfigRepository
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep, ValueType
from hydra.errors import HydraException

from mixexp.errors import UserError, closest
from mixexp.plan.typed import typed_values
from mixexp.settings import CONF, leaves
from mixexp.spec.grid import MOST_CELLS
from mixexp.text import in_shell

Groups = Mapping[str, Collection[str]]
"""Group → its options."""


def loaded_groups() -> dict[str, list[str]]:
    """Every group and its options, as Hydra finds them while it is at work."""
    return _groups_of(GlobalHydra.instance().config_loader().repository)


@functools.lru_cache(maxsize=8)  # half a second of reading files; a repository is compared by identity
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
            return f"{word}: {called[1]} is no number"
        return f"{word}: {'it is empty, so a sweep has no cells' if 'empty choice' in called[2] else called[2]}"
    value = word.partition("=")[2]
    if value.startswith(",") or value.endswith(",") or ",," in value:
        return f"{word}: a value is missing beside a comma; values have commas and no blanks between them"
    return f"{word}: cannot be read; a value with special characters needs quotes, as in 'key=\"value\"'"


def values(override: Override, groups: Groups) -> list[str]:
    """The values of an axis as they are typed, the only one of an override that is no axis.

    Numbers of a range have the decimals of its start and step. Raises UserError for an axis without values.
    """
    if not override.is_sweep_override():
        return typed_values(override)
    word = override.input_line
    if override.is_interval_sweep():
        key = override.get_key_element()
        raise UserError(f"{word}: an interval is for a search (hydra/sweeper=search); a sweep takes values, {key}=VALUE,VALUE,...")
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


def _matching(override: Override, groups: Groups) -> list[str]:
    """The options that a glob matches."""
    group, word = override.key_or_group, override.input_line
    if group not in groups:
        raise UserError(f"{word}: glob chooses among a group's options, and {group} is no group; there are {', '.join(groups)}")
    matching = override._value.filter(sorted(groups[group]))
    if not matching:
        near = closest(" ".join(override._value.include), groups[group])
        raise UserError(f"{word}: it matches no option, so a sweep has no cells; there are {', '.join(groups[group])}.{near}")
    return matching


def _numbers(word: str, sweep: RangeSweep) -> Sequence[int | float]:
    """The numbers of a range: whole ones where all of it is whole, else with the decimals of start and step and no others."""
    ends = (sweep.start, sweep.stop, sweep.step)
    if not all(isinstance(end, int | float) and math.isfinite(end) for end in ends):
        raise UserError(f"{word}: a range is from a number to a number by a number")
    # 15 digits are what every float keeps of a decimal number; more would be the noise of its binary form
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
    return [int(number) for number in numbers] if all(isinstance(end, int) for end in ends) else [float(number) for number in numbers]


def spelled_out(override: Override, groups: Groups) -> str:
    """An override as every sweeper reads it alike: a range of fractions as its values, an axis of one value as that one.

    Raises UserError for an axis without values.
    """
    if not override.is_discrete_sweep() or override.is_hydra_override():
        return override.input_line
    texts, sweep = values(override, groups), override._value
    whole = not isinstance(sweep, RangeSweep) or all(isinstance(end, int) for end in (sweep.start, sweep.stop, sweep.step))
    return override.input_line if whole and len(texts) > 1 else f"{override.get_key_element()}={','.join(texts)}"


def of_each_cell(override: Override, groups: Groups) -> list[str]:
    """An override of a sweep as Hydra has to read it: what sets a value of a group's option is applied in the cells alone.

    Hydra composes a configuration before it sweeps, which has the groups' default options and may lack the setting. A mapping for a
    group is a word for each of its settings, as it would take the place of an axis over the group's options.
    """
    group, _, rest = override.key_or_group.partition(".")
    if group not in groups or override.package is not None or override.is_delete() or override.is_interval_sweep():
        return [spelled_out(override, groups)]
    prefix = override.get_key_element()
    if not rest:
        named = leaves(value, f"{prefix}.") if isinstance(value := override.value(), dict) else {}
        axes = [_axis_of_one(key, Override._get_value_element_as_str(value)) for key, value in named.items()]
        return axes or [spelled_out(override, groups)]
    texts = values(override, groups)
    return [_axis_of_one(prefix, texts[0])] if len(texts) == 1 else [spelled_out(override, groups)]


def _axis_of_one(key: str, text: str) -> str:
    """A setting's only value as an axis; null as it is, since Hydra's choice takes none."""
    return f"{key}=null" if text == "null" else f"{key}=choice({text})"


@functools.cache
def chosen_groups() -> dict[str, str | None]:
    """Every group of a run, and the option that config.yaml chooses."""
    entries = [entry for entry in _config()["defaults"] if isinstance(entry, dict)]
    return {group: option for entry in entries for group, option in entry.items() if " " not in group}


@functools.cache
def _config() -> dict[str, Any]:
    return yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))


def root_settings() -> dict[str, Any]:
    """The settings of config.yaml, and the options that it chooses."""
    return {key: value for key, value in {**_config(), **chosen_groups()}.items() if key not in ("hydra", "defaults")}
