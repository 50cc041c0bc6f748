"""A summary of a run before it trains: its data's counts, and its network's shape and operations, without memory."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from mixexp.build import build
from mixexp.build.contracts import undefined
from mixexp.plan.groups import GROUPS, OPTIONAL_GROUPS
from mixexp.run import data, sizes
from mixexp.run.network import Network, layers

DATA = ("dataset", "subset", "imbalance", "label_noise", "validation", "data_seed")
"""What decides which images a run uses."""


def cache_key(config: Mapping[str, Any], *names: str) -> str:
    return json.dumps({name: config[name] for name in names}, sort_keys=True)


def require_complete(group: str, part: Any) -> None:
    """Raise ValueError where an object has not what its contract says that it has."""
    if missing := undefined(part, {**GROUPS, **OPTIONAL_GROUPS}[group]):
        raise ValueError(f"{group}: {type(part).__module__}.{type(part).__qualname__} has to set {'; '.join(missing)}")


class DataSummary(NamedTuple):
    """Training images per class, the shape of an image, how many are evaluated and of these tested on, and what they are.

    missing: what parts of the data have no image of some classes, in words.
    """

    counts: tuple[int, ...]
    shape: tuple[int, ...]
    evaluated: int
    tested: int
    kind: str
    missing: tuple[str, ...]


@functools.lru_cache(maxsize=1024)
def data_summary(key: str, trusted: tuple[str, ...]) -> DataSummary:
    """The summary of a run's images; raises the errors of the real data."""
    config = json.loads(key)
    with sizes.bounded(config["dataset"], "dataset"):
        dataset, splits = data.load(config["dataset"], trusted)
    require_complete("dataset", dataset)
    if len(splits.classes) < 2:
        raise ValueError("dataset: it has one class, and there is nothing to tell apart")
    chosen = {group: config[group] for group in ("subset", "imbalance", "label_noise")}
    with sizes.bounded(chosen, ""):
        subset, imbalance, label_noise = (build(node, trusted) for node in chosen.values())
        choice = data.select_data(splits, subset, imbalance, label_noise, config["validation"], config["data_seed"])
    counts = np.bincount(choice.train_labels, minlength=len(splits.classes))
    tested = len(choice.test)
    shape, missing = tuple(splits.train_images.shape[1:]), tuple(data.missing_classes(splits, choice))
    return DataSummary(tuple(counts.tolist()), shape, tested + len(choice.validation), tested, dataset.kind, missing)


@functools.lru_cache(maxsize=64)
def optimizer_states(key: str, trusted: tuple[str, ...]) -> int:
    """The number of values that an optimizer keeps for each parameter."""
    parameters = [torch.nn.Parameter(torch.zeros(7))]
    optimizer = build(json.loads(key)["optimizer"], trusted, parameters=parameters, params=parameters)
    parameters[0].grad = torch.zeros(7)
    optimizer.step()
    return sum(value.numel() for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)) // 7


class NetworkSummary(NamedTuple):
    """A network without its numbers: the layers to mix at, the width of its last layer, a sample's forward operations.

    flops_before: the operations up to each of the layers. saved_bytes: the bytes that the pass of a sample keeps for its gradient;
    penalty_bytes: those that a step's penalty keeps.
    """

    layers: tuple[str, ...]
    features: int
    flops: float
    flops_before: tuple[float, ...]
    parameters: int
    saved_bytes: float
    penalty_bytes: int


@functools.lru_cache(maxsize=1024)
def network_summary(key: str, counts: tuple[int, ...], shape: tuple[int, ...], trusted: tuple[str, ...]) -> NetworkSummary:
    """The network without memory, after a batch of that shape has passed through it in training mode; raises ValueError."""
    config = json.loads(key)
    loss = build(config["loss"], trusted, class_counts=np.array(counts))
    nodes = {group: config[group] for group in ("model", "loss")}
    with torch.device("meta"):
        with sizes.bounded(nodes, ""):
            body = build(config["model"], trusted, in_channels=shape[1], image_size=tuple(shape[2:]))
            require_complete("model", body)
            network = Network(body, loss.head(body.num_features, len(counts)))
        counter = FlopCounterMode(display=False)
        before = dict.fromkeys(layers(body), 0.0)

        def reached(layer: str) -> Callable[..., None]:
            return lambda *_: before.update({layer: counter.get_total_flops() / shape[0]})

        for layer in layers(body)[1:]:
            network.module_at(layer).register_forward_hook(reached(layer))
        saved, penalty = (sizes.SavedTensors(network.parameters()) for _ in range(2))
        try:
            with sizes.bounded(nodes, ""), counter, saved.counting():
                network(torch.zeros(shape))
            with sizes.bounded(nodes, ""), penalty.counting():
                loss.penalty(network.head)
        except Exception as error:  # whatever a model of the user's own may raise
            reason = str(error) if isinstance(error, RuntimeError | ValueError) else f"{type(error).__name__}: {error}"
            raise ValueError(f"model: cannot be trained on batches of shape {shape}: {reason}") from error
    parameters = sum(parameter.numel() for parameter in network.parameters())
    flops = counter.get_total_flops() / shape[0]
    bytes_a_sample = saved.bytes / shape[0]
    return NetworkSummary(tuple(before), body.num_features, flops, tuple(before.values()), parameters, bytes_a_sample, penalty.bytes)
