"""A game of two networks as a kind of run: its checks, its cost and its training loop."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from mixexp import streams
from mixexp.errors import UserError
from mixexp.gan.minimax import Minimax
from mixexp.gan.play import COLUMNS, FRAMES, discriminator_loss, draw, game_budget, generator_loss, play
from mixexp.settings import CONF
from mixexp.spec.measured import Measured
from mixexp.training import sizes
from mixexp.training.data import load
from mixexp.training.device import execution
from mixexp.training.loop import Loop
from mixexp.training.spec import RunConfig, depends_on
from mixexp.training.task import Work

UNUSED = (
    *(
        "subset",
        "imbalance",
        "label_noise",
        "sampling",
        "augment",
        "model",
        "mix",
        "mix_layer",
        "loss",
        "schedule",
        "probe",
    ),
    *("drop_last", "validation", "test", "data_seed", "channels_last", "keep"),
)
"""Settings without effect on a run of the group gan, which must keep their values in config.yaml."""


def check(config: RunConfig, errors: list[str], here: bool) -> list[str]:
    """Errors of a run of the group gan beyond its schema, after those already known."""
    values, defaults = config.values, _defaults()
    changed = [word for name in UNUSED for word in _departures(name, values[name], defaults[name], config.choices)]
    lines = [f"{word}: has no effect on a run of the group gan; leave it as config.yaml has it" for word in changed]
    if config.steps is None:
        lines.append(
            "steps: a run of the group gan has its budget in steps, one of which is an update of its generator; give"
            " steps"
        )
    if config.precision == "bfloat16":
        lines.append("precision = bfloat16: a run of the group gan is in float32; leave it at auto")
    try:
        mode = config.build("speed").mode(execution(config).device, config.threads, None)
        if mode.compiled or mode.graph:
            lines.append(
                f"speed = {mode.name}: has no effect on a run of the group gan, which is eager; leave it at auto"
            )
        with sizes.bounded(config.dataset, "dataset"):
            dataset, splits = load(config.dataset, config.trusted)
        with sizes.bounded(config.gan or {}, "gan"):
            game = config.build("gan")
            game.check(dataset)
            needed = memory_of(game, splits.train_images[0].numel(), config.batch_size)
        setting = sizes.largest({"gan": config.gan, "batch_size": config.batch_size}, "")
        sizes.require_memory(setting or f"gan = {config.choices.get('gan')}", needed, execution(config).device)
        config.build_optimizer([torch.nn.Parameter(torch.zeros(1))])
    except (UserError, ValueError) as error:
        lines.append(sizes.line(error))
    return errors + list(dict.fromkeys(lines))


def _departures(name: str, value: Any, default: Any, choices: Mapping[str, Any]) -> list[str]:
    """Settings that differ from the default, as `key = value`: another option, or settings of the same one."""
    if value == default:
        return []
    if isinstance(value, dict) and isinstance(default, dict) and value.get("_target_") == default.get("_target_"):
        return [word for key in value for word in _departures(f"{name}.{key}", value[key], default.get(key), choices)]
    return [f"{name} = {choices.get(name) or value}"]


@functools.cache
def _defaults() -> dict[str, Any]:
    """config.yaml with the options that it chooses."""
    root = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    chosen = {group: option for entry in root["defaults"] if isinstance(entry, dict) for group, option in entry.items()}
    files = {
        group: CONF / group / f"{option}.yaml"
        for group, option in chosen.items()
        if group in UNUSED and option is not None
    }
    return root | {group: yaml.safe_load(path.read_text(encoding="utf-8")) for group, path in files.items()}


def memory_of(game: Minimax, features: int, batch: int) -> float:
    """Lower bound of a game's memory in bytes: networks, gradients, one batch's activations, evaluation samples."""
    parameters = game.parameters(game.z_dim, features) + game.parameters(features, 1)
    activations = batch * (game.z_dim + features + game.width * game.hidden_layers)
    return 4.0 * (2 * parameters + activations + game.samples * (game.z_dim + features))


@depends_on("gan", "dataset", "batch_size", "steps", "evaluations")
def work(config: RunConfig) -> Work:
    """Work of a game, whose evaluations use no images; only matrix products count, on networks on the meta device."""
    images = load(config.dataset, config.trusted)[1].train_images
    budget, game, features = game_budget(config, len(images)), config.build("gan"), images[0].numel()
    rng, meta = streams.generator(0, "flops"), torch.device("meta")
    with meta:
        generator, discriminator = game.networks(features)
        points = torch.zeros(1, features)
        counted = []
        for loss, objective, trained in (
            (discriminator_loss, game.discriminator, discriminator),
            (generator_loss, game.generator, generator),
        ):
            with FlopCounterMode(display=False) as counter:
                minimised = loss(
                    game, generator, discriminator, points, draw(objective, rng, 1, budget.batch, game.z_dim, meta)
                )
                minimised.backward(inputs=list(trained.parameters()))
            counted.append(counter.get_total_flops())
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            generator(torch.zeros(game.samples, game.z_dim))
    evaluations = math.ceil(budget.steps / budget.interval)
    training = float(budget.steps * (game.discriminator_steps * counted[0] + counted[1]))
    return Work(training, float(evaluations * counter.get_total_flops()), budget.steps, evaluations, 0, 0, len(images))


def measured(config: RunConfig) -> Measured:
    """Columns and files of a game that tables can show."""
    return Measured((*COLUMNS, "seconds"), FRAMES, matrices=False)


GAME = Loop("gan", check, work, play, measured, {"precision": "float32"})
