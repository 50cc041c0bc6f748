"""A summary of a run before it trains: counts of its data, and shape and operations of its network, without memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from mixexp.build.contracts import undefined
from mixexp.plan.groups import CONTRACTS
from mixexp.second_stage import prepare
from mixexp.training import sizes
from mixexp.training.data import load, missing_classes, select_data
from mixexp.training.network import Network, layers
from mixexp.training.spec import RunConfig, depends_on


def require_complete(group: str, part: Any) -> None:
    """Raise ValueError where an object lacks attributes of its contract."""
    if missing := undefined(part, CONTRACTS[group]):
        raise ValueError(f"{group}: {type(part).__module__}.{type(part).__qualname__} has to set {'; '.join(missing)}")


class DataSummary(NamedTuple):
    """The counts of a run's images: training images per class, their shape and kind, and images of an evaluation.

    evaluated: test and validation images; tested: test images. missing: classes without an image in some part, in
    words.
    """

    counts: tuple[int, ...]
    shape: tuple[int, ...]
    evaluated: int
    tested: int
    kind: str
    missing: tuple[str, ...]


@depends_on("dataset", "subset", "imbalance", "label_noise", "validation", "data_seed", "test")
def data_summary(config: RunConfig) -> DataSummary:
    """The summary of a run's images; raises the errors of the real data."""
    with sizes.bounded(config.dataset, "dataset"):
        dataset, splits = load(config.dataset, config.trusted)
    require_complete("dataset", dataset)
    if len(splits.classes) < 2:
        raise ValueError("dataset: it has one class, and a classifier needs two")
    groups = ("subset", "imbalance", "label_noise")
    with sizes.bounded({group: getattr(config, group) for group in groups}, ""):
        subset, imbalance, label_noise = (config.build(group) for group in groups)
        choice = select_data(splits, subset, imbalance, label_noise, config.validation, config.data_seed, config.test_n)
    counts = np.bincount(choice.train_labels, minlength=len(splits.classes))
    tested = len(choice.test)
    shape, missing = tuple(splits.train_images.shape[1:]), tuple(missing_classes(splits, choice))
    return DataSummary(tuple(counts.tolist()), shape, tested + len(choice.validation), tested, dataset.kind, missing)


@depends_on("optimizer")
def optimizer_states(config: RunConfig) -> int:
    """The number of values that an optimizer stores for each parameter."""
    parameters = [torch.nn.Parameter(torch.zeros(7))]
    optimizer = config.build_optimizer(parameters)
    parameters[0].grad = torch.zeros(7)
    optimizer.step()
    return (
        sum(value.numel() for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value))
        // 7
    )


class NetworkSummary(NamedTuple):
    """A network without its weights: layers to mix at, width of the last layer, a sample's forward operations.

    shapes: of a sample at each of the layers; linear_head: whether the classifier is linear; flops_before: the
    operations before each of the layers. saved_bytes: the bytes that a sample's pass keeps for its gradient;
    penalty_bytes: those that a step's penalty keeps.
    """

    layers: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    features: int
    linear_head: bool
    flops: float
    flops_before: tuple[float, ...]
    parameters: int
    saved_bytes: float
    penalty_bytes: int


@depends_on("model", "loss", "second_stage")
def network_summary(config: RunConfig, counts: tuple[int, ...], shape: tuple[int, ...]) -> NetworkSummary:
    """The network without memory, after a batch of that shape in training mode; raises ValueError where that fails."""
    loss = config.build("loss", class_counts=np.array(counts))
    nodes = {"model": config.model, "loss": config.loss}
    with torch.device("meta"):
        with sizes.bounded(nodes, ""):
            body = config.build("model", in_channels=shape[1], image_size=tuple(shape[2:]))
            require_complete("model", body)
            network = Network(body, loss.head(body.num_features, len(counts)))
            if config.second_stage is not None:
                prepare(network, config.second_stage, len(counts))
        counter = FlopCounterMode(display=False)
        before = dict.fromkeys(layers(body), 0.0)
        shapes = dict.fromkeys(layers(body), tuple(shape[1:]))

        def watch(layer: str, output: torch.Tensor) -> None:
            before[layer], shapes[layer] = counter.get_total_flops() / shape[0], tuple(output.shape[1:])

        for layer in layers(body)[1:]:
            network.module_at(layer).register_forward_hook(lambda *seen, layer=layer: watch(layer, seen[-1]))
        saved, penalty = (sizes.SavedTensors(network.parameters()) for _ in range(2))
        try:
            with sizes.bounded(nodes, ""), counter, saved.counting():
                network(torch.zeros(shape))
            with sizes.bounded(nodes, ""), penalty.counting():
                loss.penalty(network.head)
        except Exception as error:  # a model of the user's own may raise any error
            reason = str(error) if isinstance(error, RuntimeError | ValueError) else f"{type(error).__name__}: {error}"
            raise ValueError(f"model: cannot be trained on batches of shape {shape}: {reason}") from error
    parameters = sum(parameter.numel() for parameter in network.parameters())
    flops = counter.get_total_flops() / shape[0]
    bytes_a_sample = saved.bytes / shape[0]
    return NetworkSummary(
        tuple(before),
        tuple(shapes.values()),
        body.num_features,
        isinstance(network.head, torch.nn.Linear),
        flops,
        tuple(before.values()),
        parameters,
        bytes_a_sample,
        penalty.bytes,
    )
