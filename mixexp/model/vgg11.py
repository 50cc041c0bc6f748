from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from mixexp.model import Body
from mixexp.model.blocks import conv_bn_relu, he_normal


class VGG11(Body):
    """VGG's eight 3×3 convolutions in five groups, each with a 2×2 max-pool, and a dense layer; the head is one more.

    Each convolution has BatchNorm and ReLU and no bias. The groups have 1, 1, 2, 2, 2 convolutions of 1, 2, 4, 8, 8
    times width channels. The pools round sizes up, so that images of any size fit. Input [B, in_channels, H, W]; stages
    layer1 [B, width, H/2, W/2] … layer5 [B, 8 width, H/32, W/32], after their pools, fc [B, hidden]; features [B,
    hidden].

    width: channels of the first group, 64 in VGG; hidden: width of the fully connected layer.

    Source: Simonyan and Zisserman 2015, configuration A; Zhang et al. 2018, Figure 4.
    Differs from the paper: VGG has no BatchNorm, without which it hardly trains from scratch, and two fully connected
    layers of 4096 units with dropout before the head; mixup's paper says "two fully-connected layers" and no sizes, so
    hidden is ours.
    """

    kinds = ("image", "spectrogram")

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        *,
        width: Annotated[int, Field(gt=0)] = 64,
        hidden: Annotated[int, Field(gt=0)] = 512,
    ) -> None:
        super().__init__()
        self.num_features = hidden
        groups = [[width], [2 * width], [4 * width] * 2, [8 * width] * 2, [8 * width] * 2]
        for k, channels in enumerate(groups, start=1):
            self.add_module(
                f"layer{k}", nn.Sequential(conv_bn_relu(in_channels, *channels), nn.MaxPool2d(2, ceil_mode=True))
            )
            in_channels = channels[-1]
        flat = in_channels * math.prod(-(-side // 32) for side in image_size)
        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(inplace=True))
        self.stages = {name: name for name in (*(f"layer{k}" for k in range(1, 6)), "fc")}
        he_normal(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return x
