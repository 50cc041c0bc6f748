"""A game of two networks as a kind of run: what it refuses, what it costs, and the loop that plays it."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import torch
import yaml

from mixexp.errors import UserError
from mixexp.gan.play import flops, game_budget, memory_of, play
from mixexp.run import data, sizes
from mixexp.run.device import execution
from mixexp.run.loop import Cost, Loop
from mixexp.run.spec import RunConfig, depends_on
from mixexp.settings import CONF

UNUSED = (
    *("subset", "imbalance", "label_noise", "sampling", "augment", "model", "mix", "mix_layer", "loss", "schedule", "probe"),
    *("drop_last", "validation", "data_seed", "channels_last"),
)
"""Settings without an effect on a run of the group gan, which has to leave them as config.yaml has them."""


def check(config: RunConfig, errors: list[str], here: bool) -> list[str]:
    """The errors of a run of the group gan, beyond its schema, after those already known."""
    values, defaults = config.values, _defaults()
    changed = [word for name in UNUSED for word in _departures(name, values[name], defaults[name], config.choices)]
    lines = [f"{word}: has no effect on a run of the group gan; leave it as config.yaml has it" for word in changed]
    if config.steps is None:
        lines.append("steps: a run of the group gan has its budget in steps, one of which is an update of its generator; give steps")
    if config.precision == "bfloat16":
        lines.append("precision = bfloat16: a run of the group gan is in float32; leave it at auto")
    try:
        mode = config.build("speed").mode(execution(config).device, config.threads, None)
        if mode.compiled or mode.graph:
            lines.append(f"speed = {mode.name}: has no effect on a run of the group gan, which is eager; leave it at auto")
        with sizes.bounded(config.dataset, "dataset"):
            dataset, splits = data.load(config.dataset, config.trusted)
        with sizes.bounded(config.gan, "gan"):
            game = config.build("gan")
            game.check(dataset)
            needed = memory_of(game, splits.train_images[0].numel(), config.batch_size)
        names = sizes.called({"gan": config.gan, "batch_size": config.batch_size}, "")
        sizes.require_memory(names or f"gan = {config.choices.get('gan')}", needed, execution(config).device)
        config.build_optimizer([torch.nn.Parameter(torch.zeros(1))])
    except (UserError, ValueError) as error:
        lines.append(sizes.line(error))
    return errors + list(dict.fromkeys(lines))


def _departures(name: str, value: Any, default: Any, choices: Mapping[str, Any]) -> list[str]:
    """The settings that are not the default, as `key = value`: another option, or settings of the same one."""
    if value == default:
        return []
    if isinstance(value, dict) and isinstance(default, dict) and value["_target_"] == default["_target_"]:
        return [word for key in value for word in _departures(f"{name}.{key}", value[key], default.get(key), choices)]
    return [f"{name} = {choices.get(name) or value}"]


@functools.cache
def _defaults() -> dict[str, Any]:
    """config.yaml with the options that it chooses."""
    root = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    chosen = {group: option for entry in root["defaults"] if isinstance(entry, dict) for group, option in entry.items()}
    files = {group: CONF / group / f"{option}.yaml" for group, option in chosen.items() if group in UNUSED and option is not None}
    return root | {group: yaml.safe_load(path.read_text(encoding="utf-8")) for group, path in files.items()}


@depends_on("gan", "dataset", "batch_size", "steps", "evaluations")
def cost(config: RunConfig) -> Cost:
    """The cost of a game: its steps, and the passes of both networks."""
    points = data.load(config.dataset, config.trusted)[1].train_images
    budget, game = game_budget(config, len(points)), config.build("gan")
    evaluations = math.ceil(budget.steps / budget.interval)
    return Cost(budget.steps, flops(game, points[0].numel(), budget.batch, budget.steps, evaluations))


GAME = Loop("gan", check, cost, play, {"precision": "float32"})
