"""The experiment and the edition of a sweep, from their files: the measures of their runs, a run's departures."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from mixexp.plan.composer import Composed, Composer
from mixexp.plan.identity import UNCOUNTED, canonical, differences
from mixexp.plan.overrides import axes_of, loaded_groups
from mixexp.plan.repository import read_once
from mixexp.plan.resolved import resolve
from mixexp.plan.space import space_of
from mixexp.settings import lookup, under
from mixexp.spec.grid import as_override, combined, override_of, value_of
from mixexp.training.spec import RunConfig

MEASURING = ("probe", "gan", "validation", "keep_checkpoint")
"""Settings that decide what a run measures."""


class References:
    """A sweep's experiment as its file has it, and its edition, composed once for every cell of their grids.

    cell: one of the sweep's, all of which have the same experiment and edition.
    """

    def __init__(self, cell: Composed) -> None:
        read_once(GlobalHydra.instance().config_loader())
        compose = Composer(
            lambda words: hydra.compose("config", overrides=words, return_hydra_config=True), loaded_groups()
        )
        self._reference = functools.cache(lambda *words: canonical(*resolve(compose(words), words)))

        axes = {key: texts for key, texts in axes_of(cell.params, loaded_groups()).items() if key not in UNCOUNTED}
        inner = {
            key: texts
            for key, texts in axes.items()
            if any(isinstance(block, Mapping) and key.lstrip("+") in block for block in cell.grid)
        }
        self._axes = {key: texts for key, texts in axes.items() if key not in inner}

        def grid(edition: bool) -> list[dict[str, tuple[str, Any]]]:
            cells = cell.edition if edition else combined(cell.grid, inner, set(cell.config))
            return [{key: (text, value_of(text)) for key, text in values.items()} for values in cells]

        self._grid = functools.cache(grid)
        self._cell = cell

    def measuring(self) -> list[RunConfig]:
        """Runs of the experiment and of its edition, one for each choice of options and of what is measured; none
        without an experiment."""
        experiment = self._cell.choices.get("experiment")
        if experiment is None:
            return []
        counts = {key: key in self._cell.choices or under(key.lstrip("+"), MEASURING) for key in self._axes}
        axes = [[(key, text) for text in texts[: None if counts[key] else 1]] for key, texts in self._axes.items()]
        own = [[*common, *_texts(cell)] for cell in self._grid(False) for common in itertools.product(*axes)]
        chosen: dict[tuple[str, ...], list[str]] = {}
        for cell in [*own, *(map(_texts, self._grid(True)) if self._cell.edition else ())]:
            words = [override_of(key, text) for key, text in cell]
            choice = (
                word
                for word, (key, _) in zip(words, cell, strict=True)
                if key in self._cell.choices or under(key, MEASURING)
            )
            chosen.setdefault(tuple(choice), words)
        return [RunConfig.of(self._reference(f"experiment={experiment}", *words)) for words in chosen.values()]

    def differences(self, cell: Composed, config: Mapping[str, Any], edition: bool = False) -> dict[str, list[Any]]:
        """The departures of a run from its cell of its experiment's grid, or the nearest one; empty without an
        experiment.

        edition: from a cell of the chosen edition. A setting that the experiment searches for departs where it is
        outside the space.
        """
        experiment = cell.choices.get("experiment")
        if experiment is None:
            return {}
        grid = self._grid(edition)
        has = {key: lookup(config, key) for values in grid for key in values}
        nearest = max(
            grid, default={}, key=lambda values: sum(1 if has[key] in pair else -1 for key, pair in values.items())
        )
        texts = [*(() if edition else self._near(config)), *_texts(nearest)]
        words = [f"experiment={experiment}", *(override_of(key, text) for key, text in texts)]
        drawn = {key: lookup(config, key) for key in cell.space}
        words += [
            f"{key}={as_override(drawn[key])}" for key, held in space_of(cell.space).items() if held.holds(drawn[key])
        ]
        departures = differences(config, self._reference(*words))
        changed = {group for group in departures if group in config["choices"]}
        if changed:
            # inside a group with another option, what departs from that option's own values counts too
            with contextlib.suppress(
                HydraException, OmegaConfBaseException
            ):  # an option may lack what the experiment sets
                beside = differences(
                    config, self._reference(*words, *(f"{g}={config['choices'][g]}" for g in sorted(changed)))
                )
                departures |= {key: pair for key, pair in beside.items() if key.split(".")[0] in changed}
        return departures

    def _near(self, config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """A run's value of every axis beside the grid, the axis's first where it is none of the axis's."""
        for key, texts in self._axes.items():
            has = lookup(config, key.lstrip("+"))
            yield key, next((text for text in texts if has in (text, value_of(text))), texts[0])


def _texts(cell: Mapping[str, tuple[str, Any]]) -> list[tuple[str, str]]:
    """A cell's keys and the texts of their values."""
    return [(key, text) for key, (text, _) in cell.items()]
