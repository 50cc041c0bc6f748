"""From a sweep's cells to configurations: Hydra composes each choice of options once, and sets a cell's values on a copy."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf


@dataclass(frozen=True)
class Composed:
    """A cell's configuration without Hydra's own part, references unresolved; the chosen options; its experiment's grid or space.

    folders: where options come from, the first first.
    """

    config: DictConfig
    choices: Mapping[str, Any]
    grid: Sequence[Mapping[str, Any]] = ()
    space: Mapping[str, Any] = field(default_factory=dict)
    folders: tuple[str, ...] = ()


def composed(found: DictConfig) -> Composed:
    """What Hydra composed, taken apart."""
    choices = {group: option for group, option in found.hydra.runtime.choices.items() if not group.startswith("hydra/")}
    config = OmegaConf.masked_copy(found, [key for key in found if key != "hydra"])
    OmegaConf.set_struct(config, True)
    grid, space = (found.hydra.sweeper.get(name) for name in ("grid", "space"))
    return Composed(
        config,
        choices,
        OmegaConf.to_container(grid) if grid is not None else (),
        OmegaConf.to_container(space) if space is not None else {},
        tuple(source.path for source in found.hydra.runtime.config_sources),
    )


class Composer:
    """Composes cells, a hundred times faster than Hydra's own composition where they differ in values and not in options.

    load: Hydra's composition of overrides. The result is the same, as Hydra too sets values only after it has merged the options.
    """

    def __init__(self, load: Callable[[list[str]], DictConfig], groups: Sequence[str]) -> None:
        self._load = functools.cache(lambda words: composed(load(list(words))))
        self._groups = frozenset(groups)
        parser = OverridesParser.create()
        self._parse = functools.cache(lambda word: parser.parse_overrides([word])[0])

    def __call__(self, words: Sequence[str]) -> Composed:
        overrides = [self._parse(word) for word in words]
        base = self._load(tuple(word for word, override in zip(words, overrides, strict=True) if self._chooses(override)))
        config = copy.deepcopy(base.config)
        ConfigLoaderImpl._apply_overrides_to_config([override for override in overrides if not self._chooses(override)], config)
        return Composed(config, base.choices, base.grid, base.space, base.folders)

    def _chooses(self, override: Override) -> bool:
        """Whether an override chooses an option, or is Hydra's own to deal with, rather than to set a value."""
        key = override.key_or_group
        if override.package is not None or override.is_sweep_override() or "/" in key or key.split(".")[0] == "hydra":
            return True
        return key in self._groups and not isinstance(override.value(), dict)  # a mapping sets values of the group's option


def composer(loader: ConfigLoader, config: DictConfig) -> Composer:
    """The composer of a sweep's cells, from what Hydra gives a launcher or sweeper."""
    return Composer(lambda words: loader.load_sweep_config(config, words), loader.list_groups(""))
