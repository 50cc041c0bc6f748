"""Building blocks shared by several models."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """3×3 convolution that keeps the map's size at stride 1; without bias, which a BatchNorm would cancel."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


def conv_bn_relu(in_channels: int, *channels: int) -> nn.Sequential:
    """3×3 convolution, BatchNorm and ReLU for each entry of channels."""
    layers: list[nn.Module] = []
    for out_channels in channels:
        layers += [conv3x3(in_channels, out_channels), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
        in_channels = out_channels
    return nn.Sequential(*layers)


class PreActBlock(nn.Module):
    """Basic pre-activation residual block: BN, ReLU, conv, BN, ReLU, dropout, conv, plus a shortcut.

    A projection shortcut (1×1 conv, no BN; only where the shape changes) takes the activated input relu(bn(x)). An
    identity shortcut takes the raw x (He et al. 2016b) or also the activated input (the mixup paper's code).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        identity_shortcut: Literal["raw", "activated"],
        dropout: float,
    ) -> None:
        super().__init__()
        self.activate = nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True))
        self.residual = nn.Sequential(
            conv3x3(in_channels, out_channels, stride),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            conv3x3(out_channels, out_channels),
        )
        projects = stride != 1 or in_channels != out_channels
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False) if projects else nn.Identity()
        self.shortcut_takes_raw = not projects and identity_shortcut == "raw"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        activated = self.activate(x)
        return self.residual(activated) + self.shortcut(x if self.shortcut_takes_raw else activated)


class AvgPool2x2(nn.Module):
    """Mean of every 2×2 square, [B, C, H, W] to [B, C, H/2, W/2], sizes rounded down."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_compiling():
            return F.avg_pool2d(x, 2)
        # compiled, avg_pool2d would find each pixel's square by integer divisions
        count, channels, height, width = x.shape
        squares = x[:, :, : height // 2 * 2, : width // 2 * 2].reshape(count, channels, height // 2, 2, width // 2, 2)
        return squares.mean((3, 5))


def global_average(x: torch.Tensor) -> torch.Tensor:
    """Mean over all positions, [B, C, H, W] to [B, C]."""
    # not mean(): its gradient has another memory layout, which slows the ReLU before it four times (channels_last)
    return x.sum(dim=(2, 3)) / (x.shape[2] * x.shape[3])


def he_normal(network: nn.Module, linear: bool = False) -> None:
    """Draw the weights of every convolution, and with `linear` of every linear layer, from N(0, 2 / fan_in).

    He et al. 2015.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) or (linear and isinstance(module, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def require_size(model: str, image_size: tuple[int, int], halvings: int) -> None:
    """Raise ValueError if this number of halvings leaves no pixel of the image."""
    least = 2**halvings
    if min(image_size) < least:
        height, width = image_size
        raise ValueError(
            f"{model} halves the image {halvings} times, so it needs at least {least}x{least} pixels; these are"
            f" {height}x{width}"
        )
