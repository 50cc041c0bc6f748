"""The optimizer group: torch's own, with ranges checked, the fused kernels where the device has them, and a learning
rate on a GPU."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

FUSED_ON = ("cpu", "cuda")
RATE_ON_DEVICE = ("cuda",)
"""Devices that read the learning rate from a tensor of theirs, so that a captured step follows the schedule."""


def _fused(parameters: list[nn.Parameter]) -> bool:
    return parameters[0].device.type in FUSED_ON


def _rate(lr: float, parameters: list[nn.Parameter]) -> float | Tensor:
    device = parameters[0].device
    return torch.tensor(lr, device=device) if device.type in RATE_ON_DEVICE else lr


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give all parameters a learning rate, where it lies."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def capturable(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer reads all it needs from the device, so that a captured step stays right."""
    return all(isinstance(group["lr"], Tensor) and group.get("capturable", True) for group in optimizer.param_groups)


def load_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take over a saved state, but for the learning rate, which the loop sets, where it lies."""
    rates = [group["lr"] for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, lr in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = lr


def sgd(
    parameters: Iterable[nn.Parameter],
    lr: Annotated[float, Field(gt=0)],
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    nesterov: bool = False,
    weight_decay: Annotated[float, Field(ge=0)] = 0.0,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum, Nesterov's or not; weight decay on all parameters, as the articles'
    codes do.

    Raises ValueError for Nesterov without momentum.
    """
    if nesterov and momentum == 0:
        raise ValueError("optimizer.nesterov = true needs optimizer.momentum > 0")
    parameters = list(parameters)
    return torch.optim.SGD(
        parameters,
        lr=_rate(lr, parameters),
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        fused=_fused(parameters),
    )


def adam(
    parameters: Iterable[nn.Parameter],
    lr: Annotated[float, Field(gt=0)],
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999,
    eps: Annotated[float, Field(gt=0)] = 1e-8,
    weight_decay: Annotated[float, Field(ge=0)] = 0.0,
) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015); weight decay is an L2 term in the gradient.

    eps stands beside the corrected root of the mean square, as in the paper's Algorithm 1; Keras's stands beside the
    uncorrected one, which makes its 1e-7 as large as 1e-7 / √(1 − β₂ᵗ) here at step t.
    """
    parameters = list(parameters)
    return torch.optim.Adam(
        parameters,
        lr=_rate(lr, parameters),
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
        fused=_fused(parameters),
        capturable=parameters[0].device.type in RATE_ON_DEVICE,
    )
