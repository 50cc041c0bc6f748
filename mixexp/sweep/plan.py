"""From composed configurations to runs: resolved, validated all together, canonical, each with its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from mixexp.errors import UserError
from mixexp.sweep.grid import block_cells, value_of
from mixexp.sweep.identity import ALIASES, canonical, differences, run_id
from mixexp.validate import validate


@dataclass(frozen=True)
class Run:
    """One run: what it is, where it goes, where it departs from the experiment it belongs to, and a few words to call it."""

    config: dict[str, Any]
    folder: Path
    differs_from_experiment: dict[str, list[Any]]
    label: str


def resolve(composed: DictConfig) -> tuple[dict[str, Any], frozenset[str]]:
    """Hydra's composed configuration as a plain resolved dict with the groups' choices, and which aliases it refers to."""
    choices = {group: option for group, option in composed.hydra.runtime.choices.items() if not group.startswith("hydra/")}
    own = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
    raw = json.dumps(OmegaConf.to_container(own, resolve=False))
    used = frozenset(name for name in ALIASES if f"${{{name}}}" in raw)
    return {**OmegaConf.to_container(own, resolve=True, throw_on_missing=True), "choices": choices}, used


def plan(composed: Sequence[DictConfig], overrides: Sequence[Sequence[str]]) -> list[Run]:
    """The runs of a sweep, equal ones collapsed, or one UserError that names everything wrong with any of its cells."""
    resolved = [resolve(cfg) for cfg in composed]
    refusals: dict[str, list[str]] = {}
    for (config, _), cell in zip(resolved, overrides, strict=True):
        for error in validate(config):
            refusals.setdefault(error, []).append(" ".join(cell) or "this run")
    if refusals:
        raise UserError("\n".join(_refusal(error, cells, len(resolved)) for error, cells in refusals.items()))
    common = set.intersection(*map(set, overrides)) if len(overrides) > 1 else set()
    runs: dict[str, Run] = {}
    references = _References()
    for (config, used), cfg, cell in zip(resolved, composed, overrides, strict=True):
        config = canonical(config, used)
        if len(resolved) == 1:
            _say_what_is_idle(config, cell)
        folder = Path(config["output_dir"]).absolute() / config["name"] / run_id(config)
        reference = references.of(cfg, cell)
        label = " ".join(word for word in cell if word not in common) or config["name"]
        runs.setdefault(str(folder), Run(config, folder, differences(config, reference) if reference else {}, label))
    return list(runs.values())


def _say_what_is_idle(config: Mapping[str, Any], cell: Sequence[str]) -> None:
    """Tell the user which of their words change nothing in this run; in a sweep such cells collapse, and that is said."""
    given = {word.partition("=")[0] for word in cell}
    idle = {"alpha": config["alpha"] is None, "mix_layer": config["choices"]["mix_layer"] is None}
    for key in sorted(given & {key for key, unused in idle.items() if unused}):
        print(f"note: {key} has no effect here, mix={config['choices']['mix']} does not use it")


def _refusal(error: str, cells: list[str], total: int) -> str:
    if total == 1:
        return error
    return f"{error}\n    in {len(cells)} of {total} cells, first: {cells[0]}"


class _References:
    """The experiment as its file has it, composed once for every cell of its grid."""

    def __init__(self) -> None:
        self._composed: dict[tuple[str, ...], dict[str, Any]] = {}

    def of(self, composed: DictConfig, cell: Sequence[str]) -> Mapping[str, Any] | None:
        experiment = composed.hydra.runtime.choices.get("experiment")
        if experiment is None:
            return None
        grid = block_cells(OmegaConf.to_container(composed.hydra.sweeper.get("grid") or OmegaConf.create([])))
        wanted = {key: value_of(value) for key, _, value in (override.partition("=") for override in cell)}
        # the grid's own cell that this one is, or the one it is nearest to when the command line replaced some of its keys
        nearest = max(grid, default={}, key=lambda c: sum(wanted.get(k) == value_of(v) for k, v in c.items()))
        key = (f"experiment={experiment}", *(f"{k}={v}" for k, v in nearest.items()))
        if key not in self._composed:
            reference, used = resolve(hydra.compose("config", overrides=list(key), return_hydra_config=True))
            self._composed[key] = canonical(reference, used)
        return self._composed[key]
