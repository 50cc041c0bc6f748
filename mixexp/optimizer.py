"""The optimizer group: torch's optimizers with checked ranges, fused kernels and, on a GPU, the rate in a tensor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

FUSED_ON = ("cpu", "cuda")
RATE_ON_DEVICE = ("cuda",)
"""Devices that read the learning rate from a tensor of their own, so that a captured step follows the schedule."""


def _plain(step: Callable[..., Any]) -> Callable[..., Any]:
    """An optimizer's step without torch's wrappers, whose first call imports torch's compiler, for 1.3 s."""
    wrappers = inspect.getfile(torch.optim.Optimizer)
    return torch.no_grad()(inspect.unwrap(step, stop=lambda one: one.__code__.co_filename != wrappers))


class _SGD(torch.optim.SGD):
    step = _plain(torch.optim.SGD.step)


class _Adam(torch.optim.Adam):
    step = _plain(torch.optim.Adam.step)


def _fused(parameters: list[nn.Parameter]) -> bool:
    return parameters[0].device.type in FUSED_ON


def _rate(lr: float, parameters: list[nn.Parameter]) -> float | Tensor:
    device = parameters[0].device
    return torch.tensor(lr, device=device) if device.type in RATE_ON_DEVICE else lr


def add_parameters(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], factor: float) -> None:
    """Give an optimizer further parameters, whose learning rate is `factor` times that of the others."""
    lr = optimizer.param_groups[0]["lr"]
    own_lr = lr.clone() if isinstance(lr, Tensor) else lr
    optimizer.add_param_group({"params": parameters, "lr": own_lr, "factor": factor})


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of all parameters, in place if it is a tensor."""
    for group in optimizer.param_groups:
        rate = lr * group.get("factor", 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def capturable(optimizer: torch.optim.Optimizer) -> bool:
    """True if an optimizer reads its whole state from the device, so that a captured step stays correct."""
    return all(isinstance(group["lr"], Tensor) and group.get("capturable", True) for group in optimizer.param_groups)


def load_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a saved state except the learning rate, which the loop sets in its own place."""
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
    """Stochastic gradient descent with momentum, plain or Nesterov's.

    Weight decay acts on all parameters, as in the articles' codes. Raises ValueError for Nesterov without momentum.
    """
    if nesterov and momentum == 0:
        raise ValueError("optimizer.nesterov = true needs optimizer.momentum > 0")
    parameters = list(parameters)
    return _SGD(
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

    eps is added to the corrected root of the mean square, as in the paper's Algorithm 1. Keras adds it to the
    uncorrected one: its 1e-7 corresponds to 1e-7 / √(1 − β₂ᵗ) here at step t.
    """
    parameters = list(parameters)
    return _Adam(
        parameters,
        lr=_rate(lr, parameters),
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
        fused=_fused(parameters),
        capturable=parameters[0].device.type in RATE_ON_DEVICE,
    )
