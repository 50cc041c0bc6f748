"""Editions of an experiment: other sweeps for the same questions, such as one that two cores train in half an hour."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, Field

from mixexp.build import schema_errors
from mixexp.errors import UserError, closest
from mixexp.plan.options import editions
from mixexp.plan.overrides import Groups, axes_of
from mixexp.spec.claims import edition_problems
from mixexp.spec.grid import Cell, combined
from mixexp.text import listed


class Edition(BaseModel):
    """An edition in an experiment's file: its axes and grid, which replace the experiment's, and its checks."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    why: Annotated[str, Field(min_length=1)]
    params: dict[str, Any] = {}
    grid: list[dict[str, Any]] | None = None
    checks: dict[str, Any] | None = None

    def cells(
        self, blocks: Sequence[Mapping[str, Any]], params: Mapping[str, str], root: Collection[str], groups: Groups
    ) -> list[Cell]:
        """The cells of the edition, with the experiment's blocks and params where it has none of its own.

        root: the settings that every run has.
        """
        return combined(blocks if self.grid is None else self.grid, axes_of({**params, **self.params}, groups), root)


def chosen(hydra_config: DictConfig) -> Edition | None:
    """The edition that a configuration of Hydra names, None without one; raises UserError for an unknown edition."""
    name = hydra_config.get("edition")
    if not isinstance(name, str):
        return None
    experiment = hydra_config.hydra.runtime.choices.get("experiment")
    if experiment is None:
        raise UserError(
            f"edition={name}: it is one of an experiment's, and no experiment is chosen; {_there_are(hydra_config)}"
        )
    described = hydra_config.get("editions")
    if not described:
        raise UserError(f"edition={name}: experiment={experiment} has no editions; {_there_are(hydra_config)}")
    if not isinstance(described, DictConfig):
        raise UserError(
            f"editions: in experiment={experiment} it is not a mapping of names to editions, as in {{laptop: {{why:"
            " ..., params: ...}}"
        )
    if name not in described:
        near = closest(name, described, "edition")
        raise UserError(
            f"edition={name}: experiment={experiment} has no such edition; there are {listed(described)}.{near}"
        )
    # a reference such as ${seed} is an override's, to be resolved in its run
    blocks: Any = OmegaConf.to_container(described, resolve=False)
    block = blocks[name]
    problem = edition_problems({name: block}).get(name)
    errors = [problem] if problem else schema_errors(Edition, block, f"editions.{name}")
    if errors:
        raise UserError("\n".join(errors))
    return Edition.model_validate(block)


def _there_are(hydra_config: DictConfig) -> str:
    """The experiments that have editions, in words."""
    folders = [Path(source.path) for source in hydra_config.hydra.runtime.config_sources if source.path]
    named = [f"{experiment} ({listed(names)})" for experiment, names in editions(folders).items()]
    return f"these have: {listed(named)}" if named else "no experiment has any"
