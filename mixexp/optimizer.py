"""The optimizer group: torch's own, with ranges checked and the fused kernels where the device has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

_FUSED_ON = ("cpu", "cuda")


def _fused(parameters: list[nn.Parameter]) -> bool:
    return parameters[0].device.type in _FUSED_ON


def sgd(
    parameters: Iterable[nn.Parameter],
    lr: Annotated[float, Field(gt=0)],
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    nesterov: bool = False,
    weight_decay: Annotated[float, Field(ge=0)] = 0.0,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum, Nesterov's or not; weight decay on all parameters, as the articles' codes do.

    Raises ValueError for Nesterov without momentum.
    """
    if nesterov and momentum == 0:
        raise ValueError("optimizer.nesterov = true needs optimizer.momentum > 0")
    parameters = list(parameters)
    return torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=_fused(parameters)
    )


def adam(
    parameters: Iterable[nn.Parameter],
    lr: Annotated[float, Field(gt=0)],
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999,
    eps: Annotated[float, Field(gt=0)] = 1e-8,
    weight_decay: Annotated[float, Field(ge=0)] = 0.0,
) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015); weight decay is an L2 term in the gradient, as in the original."""
    parameters = list(parameters)
    return torch.optim.Adam(
        parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=_fused(parameters)
    )
