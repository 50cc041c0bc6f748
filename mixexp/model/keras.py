"""Keras's default initial weights and BatchNorm constants, for sources that are written in Keras."""

from __future__ import annotations

from torch import nn

MOMENTUM = 0.99
"""Weight of the old value in BatchNorm's running mean and variance; torch's `momentum` weighs the new one."""
EPSILON = 1e-3
"""Constant that BatchNorm adds to a variance."""


def take_keras_defaults(network: nn.Module) -> None:
    """Set a network's layers to Keras's defaults: initial weights and BatchNorm constants.

    Weights of convolutions and linear layers: U(±√(6 / (fan_in + fan_out))) (Glorot and Bengio 2010, eq. 16), biases 0.
    BatchNorm: momentum 0.99 and epsilon 1e-3; its initial scale 1 and shift 0 are torch's too. Parameters of other
    modules do not change.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum, module.eps = 1 - MOMENTUM, EPSILON
