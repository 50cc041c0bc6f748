"""What a run has to compute."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mixexp import data
from mixexp.build import build
from mixexp.device import execution
from mixexp.gan.play import flops
from mixexp.plan.dry_run import DATA, cache_key, data_summary, network_summary
from mixexp.run.spec import Task
from mixexp.train import evaluation_interval, steps_per_epoch, total_steps


class Cost(NamedTuple):
    """What a run has to compute: its steps, and all samples' forward passes together in floating-point operations."""

    steps: int
    flops: float


def cost(config: Mapping[str, Any]) -> Cost:
    """The cost of a configuration that validate has passed; evaluations count too, a backward pass as two forward ones.

    Batches are as large as the images of an epoch let them be. Up to the layer that is mixed at, images pass, and partners from
    outside the batch; from there on, samples.
    """
    trusted = tuple(config["trusted_modules"])
    if config["gan"] is not None:
        return _cost_of_game(cache_key(config, "gan", "dataset", "batch_size", "steps", "evaluations"), trusted)
    found = data_summary(cache_key(config, *DATA), trusted)
    mix, mix_layer, sampling = (build(config[group], trusted) for group in ("mix", "mix_layer", "sampling"))
    rows, batch = sampling.epoch_size(np.array(found.counts)), mix.source_images(config["batch_size"])
    per_epoch = steps_per_epoch(rows, batch, config["drop_last"])
    steps = total_steps(config, per_epoch)
    shape = network_summary(cache_key(config, "model", "loss"), found.counts, (min(rows, batch, 2), *found.shape), trusted)
    evaluations = math.ceil(steps / evaluation_interval(config, per_epoch, steps))
    epochs, rest = divmod(steps, per_epoch)
    used = min(rows, per_epoch * batch)
    images = epochs * used + min(rest * batch, used)
    samples = images * (config["batch_size"] // batch)
    mixed_at = mix_layer.layers if mix.blend is not None else ("input",)
    before = np.mean([shape.flops_before[shape.layers.index(layer)] for layer in mixed_at])
    forward = before * images * (2 if mix.external else 1) + (shape.flops - before) * samples
    return Cost(steps, float(3 * forward + shape.flops * evaluations * found.evaluated))


@functools.lru_cache(maxsize=1024)
def _cost_of_game(key: str, trusted: tuple[str, ...]) -> Cost:
    config = json.loads(key)
    _, splits = data.load(config["dataset"], trusted)
    evaluations = math.ceil(config["steps"] / evaluation_interval(config, 1, config["steps"]))
    game = build(config["gan"], trusted)
    return Cost(config["steps"], flops(game, splits.train_images[0].numel(), config["batch_size"], config["steps"], evaluations))


def task(config: Mapping[str, Any]) -> Task:
    """How much a run has to compute, and what has to be alike for two runs to compute at the same pace."""
    choices = config["choices"]
    kind = f"{choices['dataset']} {choices['gan'] or choices['model']} batch {config['batch_size']} threads {config['threads']}"
    return Task(kind, execution(config).device.type, cost(config).flops)
