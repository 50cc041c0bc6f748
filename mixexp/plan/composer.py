"""From a sweep's cells to configurations: Hydra composes each choice of options once; values are set on a copy."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from mixexp.errors import UserError
from mixexp.files import parse_yaml
from mixexp.plan.editions import chosen
from mixexp.plan.overrides import DRAWN, Groups, chosen_groups, for_hydra, loaded_groups, parse, refuse
from mixexp.plan.repository import read_once
from mixexp.settings import OPTIONAL
from mixexp.spec.grid import Cell


@dataclass(frozen=True)
class Composed:
    """A cell's configuration without Hydra's own part, references unresolved, with the choices that made it.

    grid, space: those of the chosen experiment. folders: of options, in the order of the search. edition: the cells of
    the chosen edition, empty without one. params: the axes outside the grid.
    """

    config: DictConfig
    choices: Mapping[str, Any]
    grid: Sequence[Mapping[str, Any]] = ()
    space: Mapping[str, Any] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    edition: Sequence[Cell] = ()
    params: Mapping[str, Any] = field(default_factory=dict)


def composed(hydra_config: DictConfig) -> Composed:
    """The parts of a configuration that Hydra composed; raises UserError where a group has several options or none."""
    choices = {
        group: option for group, option in hydra_config.hydra.runtime.choices.items() if not group.startswith("hydra/")
    }
    config = OmegaConf.masked_copy(hydra_config, [str(key) for key in hydra_config if key != "hydra"])
    OmegaConf.set_struct(config, True)
    sweeper = hydra_config.hydra.sweeper
    if not isinstance(sweeper, DictConfig):
        raise UserError(
            f"hydra.sweeper = {sweeper}: it holds the settings of a sweeper; to choose one, type hydra/sweeper=NAME"
        )
    _one_option_each(choices, config, hydra_config)
    grid, space, params = (sweeper.get(name) for name in ("grid", "space", "params"))
    blocks: Any = OmegaConf.to_container(grid) if grid is not None else ()
    edition: Sequence[Cell] = ()
    if (named := chosen(hydra_config)) is not None:
        if grid is None:
            searcher = hydra_config.hydra.runtime.choices["hydra/sweeper"]
            raise UserError(
                f"edition={hydra_config.edition}: its cells are a grid's; leave hydra/sweeper={searcher} out"
            )
        edition = named.cells(blocks, params or {}, set(map(str, config)), loaded_groups())
        config.checks = named.checks
    # a run belongs to one edition, so the others are left out
    if isinstance(config.get("editions"), DictConfig):
        config.editions = None
    searched: Any = OmegaConf.to_container(space) if space is not None else {}
    return Composed(config, choices, blocks, searched, _folders(hydra_config), edition, dict(params or {}))


def _one_option_each(choices: dict[str, Any], config: DictConfig, hydra_config: DictConfig) -> None:
    """Complete the choices to one option per group, null for an optional group that was removed.

    Raises UserError where a defaults list chooses several options of a group.
    """
    experiment = choices.get("experiment")
    entries = _defaults(experiment, _folders(hydra_config)) if experiment is not None else []
    for group in chosen_groups():
        taken_away = (group in OPTIONAL or group == "experiment") and config.get(group) is None
        if group not in choices and taken_away:
            choices[group] = None
        elif group not in choices:
            raise UserError(_several_in_a_file(group, experiment, entries))
    if "experiment" in config:
        raise UserError(
            f"experiment={experiment}: its file has to open with the line '# @package _global_', or it sets nothing"
        )
    groups = [group for group, _ in entries]
    if twice := [group for group in groups if groups.count(group) > 1]:
        raise UserError(f"experiment={experiment}: its defaults list has '{twice[0]}' twice, and a run has one option")
    for choice in choices:
        group, _, place = choice.partition("@")
        if place in chosen_groups():
            raise UserError(f"{choice}: an option of {group} has its place at {group}, and one of {place} at {place}")


def _folders(hydra_config: DictConfig) -> tuple[str, ...]:
    return tuple(source.path for source in hydra_config.hydra.runtime.config_sources)


@functools.cache
def _defaults(experiment: str, folders: Sequence[str]) -> list[tuple[str, Any]]:
    """The (group, option) pairs in the defaults list of an experiment's file, groups as written there."""
    files = [Path(folder) / "experiment" / f"{experiment}.yaml" for folder in folders]
    loaded = [parse_yaml(path.read_text(encoding="utf-8")) for path in files if path.is_file()]
    entries = (loaded[0].get("defaults") or []) if loaded and isinstance(loaded[0], dict) else []
    return [choice for entry in entries if isinstance(entry, dict) for choice in entry.items()]


def _several_in_a_file(group: str, experiment: str | None, entries: Sequence[tuple[str, Any]]) -> str:
    """The message about a list of options in a defaults list: Hydra merges all of them and records none."""
    lists = [options for name, options in entries if name.split("/")[-1] == group and isinstance(options, list)]
    names = list(map(str, lists[0])) if lists else []
    where = "a defaults list" if experiment is None else f"the defaults list of experiment={experiment}"
    listed = ", ".join(names or ["A", "B"])
    text = f"{group}: {where} has a list, [{listed}], and a run has one option"
    text += f"\n    a run of each: {group}: [{listed}] in a block of hydra.sweeper.grid"
    if group in DRAWN:
        option, setting = DRAWN[group]
        text += (
            f"\n    one of these, drawn for every batch: override /{group}: {option} there, and {group}: {{{setting}:"
            f" [{listed}]}}"
        )
    return text


def _packed(base: Composed) -> tuple[Composed, bytes]:
    """A cell, and its configuration pickled: to unpickle it takes a ninth of the time of a deep copy."""
    return base, pickle.dumps(base.config, pickle.HIGHEST_PROTOCOL)


class Composer:
    """Composition of cells, a hundred times faster than Hydra's own where they differ in values and not in options.

    load: Hydra's composition of overrides; groups: every group and its options. The result is the same, since Hydra too
    sets values only after it has merged the options.
    """

    def __init__(self, load: Callable[[list[str]], DictConfig], groups: Groups) -> None:
        self._load = functools.cache(lambda words: _packed(composed(load(list(words)))))
        self._groups = groups
        self._parse = functools.cache(self._read)

    def __call__(self, words: Sequence[str]) -> Composed:
        overrides = [self._parse(word) for word in words]
        base, packed = self._load(
            tuple(for_hydra(word) for word, override in zip(words, overrides, strict=True) if self._chooses(override))
        )
        config = pickle.loads(packed)
        ConfigLoaderImpl._apply_overrides_to_config(
            [override for override in overrides if not self._chooses(override)], config
        )
        return replace(base, config=config)

    def _read(self, word: str) -> Override:
        (override,) = parse([word], self._groups)
        refuse([override], self._groups, grid=True)
        if override.is_sweep_override():
            key = override.key_or_group
            raise UserError(
                f"{word}: a cell has one value; in a grid, {key}: [A, B] is an axis, and a text with commas has quotes"
                " in it"
            )
        return override

    def _chooses(self, override: Override) -> bool:
        """True for an override that chooses an option or is for Hydra alone, False for one that sets a value."""
        key = override.key_or_group
        if (
            override.package is not None
            or override.is_sweep_override()
            or "/" in key
            or key.split(".")[0] in ("hydra", "edition")
        ):
            return True
        # a mapping sets values of the group's option
        return key in self._groups and not isinstance(override.value(), dict)


def composer(loader: ConfigLoader, config: DictConfig) -> Composer:
    """The composer of a sweep's cells, from the objects that Hydra gives to a launcher or sweeper."""
    read_once(loader)
    return Composer(lambda words: loader.load_sweep_config(config, words), loaded_groups())
