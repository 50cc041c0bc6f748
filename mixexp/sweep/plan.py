"""From composed configurations to runs: resolved, validated all together, canonical, each with its folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixexp.errors import UserError, closest
from mixexp.report.load import lookup
from mixexp.report.tables import table_problems
from mixexp.sweep.grid import block_cells, value_of
from mixexp.sweep.identity import ALIASES, canonical, differences, flatten, run_id
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
    if isinstance(own.get("data_dir"), str):  # wherever it was started from, a run means the same folder
        own.data_dir = str(Path(own.data_dir).expanduser().absolute())
    raw = json.dumps(OmegaConf.to_container(own, resolve=False))
    used = frozenset(name for name in ALIASES if f"${{{name}}}" in raw)
    return {**OmegaConf.to_container(own, resolve=True, throw_on_missing=True), "choices": choices}, used


def plan(composed: Sequence[DictConfig], overrides: Sequence[Sequence[str]]) -> list[Run]:
    """The runs of a sweep, equal ones collapsed, or one UserError that names everything wrong with any of its cells."""
    resolved = [resolve(cfg) for cfg in composed]
    refusals: dict[str, list[str]] = {}
    for (config, _), cell in zip(resolved, overrides, strict=True):
        for error in [*validate(config), *_budgets(config, cell)]:
            refusals.setdefault(error, []).append(" ".join(cell) or "this run")
    for problem in _table([config for config, _ in resolved]):
        refusals[problem] = [" ".join(cell) for cell in overrides]
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
        label = " ".join(word for word in cell if word not in common) or config["name"]
        runs.setdefault(str(folder), Run(config, folder, references.differences(cfg, config), label))
    return list(runs.values())


def _budgets(config: Mapping[str, Any], cell: Sequence[str]) -> list[str]:
    """epochs asked for where steps rules: it would do nothing."""
    given = [word for word in cell if word.lstrip("+").startswith("epochs=") and word.partition("=")[2] != "null"]
    if not given or config["steps"] is None:
        return []
    return [f"{given[0]}: the budget here is steps = {config['steps']}, beside which epochs does nothing; give steps, or steps=null"]


def _table(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the table that a report is to make of the runs, found before they are trained."""
    table = configs[0].get("table")
    if not isinstance(table, dict):
        return []
    problems = list(table_problems(table).values())
    for axis in ("rows", "columns"):
        key = (table.get(axis) or {}).get("key")
        if key and all(lookup(config, key) is None for config in configs) and key not in ALIASES:
            problems.append(f"table.{axis}.key = {key}: no run has such a setting.{closest(key, dict(flatten(configs[0])))}")
    return problems


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
    """Experiments as their files have them, composed once for every cell of their grids."""

    def __init__(self) -> None:
        self._composed: dict[tuple[str, ...], dict[str, Any]] = {}

    def differences(self, composed: DictConfig, config: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Where a run departs from the cell of its experiment's grid that it is, or is nearest to; empty without an experiment."""
        experiment = composed.hydra.runtime.choices.get("experiment")
        if experiment is None:
            return {}
        grid = block_cells(OmegaConf.to_container(composed.hydra.sweeper.get("grid") or OmegaConf.create([])))

        def likeness(cell: Mapping[str, str]) -> int:
            return sum(1 if lookup(config, key) == value_of(value) else -1 for key, value in cell.items())

        words = [f"experiment={experiment}", *(f"{k}={v}" for k, v in max(grid, default={}, key=likeness).items())]
        found = differences(config, self._compose(words))
        changed = {group for group in found if group in config["choices"]}
        if changed:
            # inside a group with another option, what departs from that option's own values counts too
            with contextlib.suppress(HydraException, OmegaConfBaseException):  # an option may lack what the experiment sets
                beside = differences(config, self._compose([*words, *(f"{g}={config['choices'][g]}" for g in sorted(changed))]))
                found |= {key: pair for key, pair in beside.items() if key.split(".")[0] in changed}
        return found

    def _compose(self, words: Sequence[str]) -> dict[str, Any]:
        key = tuple(words)
        if key not in self._composed:
            reference, used = resolve(hydra.compose("config", overrides=list(words), return_hydra_config=True))
            self._composed[key] = canonical(reference, used)
        return self._composed[key]
