from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from mixexp.model import Body
from mixexp.model.blocks import AvgPool2x2, conv3x3, global_average, require_size


class _DenseLayer(nn.Module):
    """BN, ReLU, 1×1 conv to 4·growth channels, BN, ReLU, 3×3 conv to growth channels, appended to the input's."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.new = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(inplace=True),
            conv3x3(4 * growth, growth),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.new(x)], 1)


class DenseNetBC(Body):
    """DenseNet-BC for small images: 3×3 stem of 2·growth channels, three dense blocks, BN, ReLU, global average pool.

    A block has (depth − 4) / 6 layers: BN, ReLU, 1×1 conv of 4·growth channels, BN, ReLU, 3×3 conv of growth channels,
    which are appended to the layer's input. No convolution has a bias. A transition after the first two blocks (BN,
    ReLU, 1×1 conv, 2×2 average pool) halves channels and map. Input [B, in_channels, H, W]; stages stem [B, 2k, H, W],
    layer1 [B, ·, H/2, W/2] and layer2 [B, ·, H/4, W/4], each after its transition, layer3 [B, num_features, H/4, W/4],
    with k = growth, sizes rounded down. Raises ValueError below 4×4 pixels.

    depth: number of convolutions on the longest path plus the head, 6 n + 4, ValueError otherwise; growth: channels
    that a layer adds, k.

    Source: Huang, Liu, van der Maaten and Weinberger 2017, arXiv:1608.06993, as in andreasveit/densenet-pytorch, which
    Zhang et al. 2018 used; its initial convolutions: N(0, 2 / fan_out).
    Differs from the paper: nothing.
    """

    kinds = ("image", "spectrogram")

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        *,
        depth: Annotated[int, Field(ge=10, le=2000)] = 190,
        growth: Annotated[int, Field(gt=0)] = 40,
    ) -> None:
        super().__init__()
        require_size("densenet_bc190", image_size, halvings=2)
        count, rest = divmod(depth - 4, 6)
        if rest:
            raise ValueError(f"model.depth = {depth}: must be 6 n + 4; the nearest below is {depth - rest}")

        def block(channels: int) -> nn.Sequential:
            return nn.Sequential(*(_DenseLayer(channels + i * growth, growth) for i in range(count)))

        def transition(channels: int) -> nn.Sequential:
            conv = nn.Conv2d(channels, channels // 2, 1, bias=False)
            return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True), conv, AvgPool2x2())

        channels = 2 * growth
        self.stem = conv3x3(in_channels, channels)
        layers = []
        for _ in range(2):
            grown = channels + count * growth
            layers.append(nn.Sequential(*block(channels), *transition(grown)))
            channels = grown // 2
        self.layer1, self.layer2 = layers
        self.layer3 = block(channels)
        self.num_features = channels + count * growth
        self.activate = nn.Sequential(nn.BatchNorm2d(self.num_features), nn.ReLU(inplace=True))
        self.stages = {name: name for name in ("stem", "layer1", "layer2", "layer3")}
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return global_average(self.activate(self.layer3(self.layer2(self.layer1(self.stem(x))))))
