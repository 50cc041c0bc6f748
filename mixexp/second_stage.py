"""A second stage: a run that trains the classifier of another run's network again, on frozen features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from mixexp.errors import UserError
from mixexp.loss import Loss
from mixexp.mix import Mix
from mixexp.optimizer import add_parameters
from mixexp.sampling import Sampling
from mixexp.schedule import Schedule
from mixexp.training.network import Network
from mixexp.training.reader import read_environment
from mixexp.training.spec import Positive, RunConfig
from mixexp.training.weights import read_weights


class SecondStage:
    """The settings in which a second stage differs from its first (Kang et al. 2020, decoupled training).

    The body keeps the weights of the first stage and is not trained. All other settings are those of the first stage.
    epochs, lr, sampling, mix, schedule: of the second stage; loss: null for that of the first.
    head: new, drawn anew; kept, that of the first stage; scaled, that of the first stage with a factor per class on its
    outputs (ScaledHead). head_lr: with scaled, the rate of the head itself as a multiple of lr, which is that of the
    factors; 0 freezes it. Otherwise 1.
    batch_norm: frozen, the body's BatchNorm uses the statistics of the first stage; moving, it goes on to estimate
    them, and uses those of each batch while it trains.
    """

    def __init__(
        self,
        epochs: Positive,
        lr: Annotated[float, Field(gt=0)],
        head: Literal["new", "kept", "scaled"],
        head_lr: Annotated[float, Field(ge=0)],
        batch_norm: Literal["frozen", "moving"],
        sampling: Sampling,
        mix: Mix,
        schedule: Schedule,
        loss: Loss | None,
    ) -> None:
        self.epochs, self.lr, self.head, self.head_lr, self.batch_norm = epochs, lr, head, head_lr, batch_norm
        self.sampling, self.mix, self.schedule, self.loss = sampling, mix, schedule, loss


class ScaledHead(nn.Module):
    """s_c times a head's output for class c: learnable weight scaling (Kang et al. 2020, section 4.2).

    features: float [B, h] → [B, C]. scale: s, float32 [C], initially 1.
    Differs from the paper: a bias of the head is scaled too, as in its code.
    """

    def __init__(self, head: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.head = head
        self.scale = nn.Parameter(torch.ones(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        return self.head(features) * self.scale


def effective(config: RunConfig) -> RunConfig:
    """The settings that a run trains with: those of its second stage, if it has one."""
    stage = config.second_stage
    if stage is None:
        return config
    changed = {name: stage[name] for name in ("epochs", "sampling", "mix", "schedule")}
    loss, optimizer = stage["loss"] or config.loss, {**config.optimizer, "lr": stage["lr"]}
    return config.replace(**changed, steps=None, loss=loss, optimizer=optimizer)


def first_of(config: RunConfig) -> RunConfig:
    """The settings of a run's first stage, a run of its own that keeps its last weights."""
    return config.replace(second_stage=None, keep="last", choices={**config.choices, "second_stage": None})


def prepare(network: Network, stage: Mapping[str, Any], num_classes: int) -> None:
    """Make the head of a second stage and freeze what it does not train; stage: the option's node."""
    trained, kind = network.head, stage["head"]
    if kind == "scaled":
        network.head = ScaledHead(network.head, num_classes)
        trained = network.head if stage["head_lr"] > 0 else None
    network.requires_grad_(False)
    if trained is not None:
        trained.requires_grad_(True)
    elif isinstance(network.head, ScaledHead):
        network.head.scale.requires_grad_(True)
    network.fixed_norms = stage["batch_norm"] == "frozen"


def take_weights(network: Network, stage: Mapping[str, Any], folder: Path, contents: str) -> None:
    """Put the weights of the first stage into the network of a second one, but for a new head.

    stage: the option's node; folder: the first stage's; contents: hash of the data set's files. Raises UserError where
    there are none, and for those of other data.
    """
    if (trained_on := read_environment(folder).get("data_contents", contents)) != contents:
        raise UserError(
            f"{folder}: the first stage was trained on other contents of the data set's files ({trained_on} then,"
            f" {contents} now); retry=changed makes it again"
        )
    weights = read_weights(folder)["network"]
    head = network.head.head if isinstance(network.head, ScaledHead) else network.head
    parts: list[tuple[str, nn.Module]] = [("body", network.body), ("head", head)]
    kind = stage["head"]
    try:
        for name, part in parts[:1] if kind == "new" else parts:
            prefix = f"{name}."
            part.load_state_dict(
                {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
            )
    except RuntimeError as error:
        raise UserError(f"{folder}: the weights of the first stage are those of another network ({error})") from error


def optimizer_of(config: RunConfig, network: Network) -> Optimizer:
    """The optimizer of the parameters that a run trains; config: the effective one."""
    stage, head = config.second_stage, network.head
    if stage is None or not isinstance(head, ScaledHead) or stage["head_lr"] in (0, 1):
        return config.build_optimizer([parameter for parameter in network.parameters() if parameter.requires_grad])
    optimizer = config.build_optimizer([head.scale])
    add_parameters(optimizer, list(head.head.parameters()), stage["head_lr"])
    return optimizer
