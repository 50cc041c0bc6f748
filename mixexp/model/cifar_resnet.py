from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from mixexp.model import Body
from mixexp.model.blocks import conv3x3, global_average


class Block(nn.Module):
    """Basic residual block with a shortcut without parameters (option A): 3×3 conv, BN, ReLU, 3×3 conv, BN, add, ReLU.

    Where the shape changes, the shortcut takes every second pixel and puts half of the new channels, which are zero,
    before the old ones and half after.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv3x3(in_channels, out_channels, stride),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            conv3x3(out_channels, out_channels),
            nn.BatchNorm2d(out_channels),
        )
        self.stride = stride
        new = out_channels - in_channels
        self.padding = (0, 0, 0, 0, new // 2, new - new // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], self.padding) if self.stride > 1 else x
        return F.relu(self.residual(x) + shortcut)


class CifarResNet(Body):
    """Residual network of 6 n + 2 layers for CIFAR: 3×3 stem, three layers of n blocks, global average pool.

    The stem is conv, BatchNorm, ReLU. The first block of layer2 and of layer3 has stride 2; no shortcut has parameters,
    and no convolution a bias. Input [B, in_channels, H, W]; stages stem and layer1 [B, w, H, W], layer2 [B, 2w, H/2,
    W/2], layer3 [B, 4w, H/4, W/4] with w = width, odd sizes rounded up; features [B, 4w].

    depth: convolutions on the longest path plus the head, 6 n + 2, ValueError otherwise; width: channels of the stem.

    Source: He et al. 2016, arXiv:1512.03385, section 4.2, with option A; kaidic/LDAM-DRW, whose initialisation it has:
    He-normal weights of all convolutions and of a linear head.
    Differs from the paper: He et al. do not say where the new channels of a shortcut are; here they lie on both sides
    of the old ones, as in LDAM-DRW.
    """

    kinds = ("image", "spectrogram")
    layer_defaults = "he"

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        *,
        depth: Annotated[int, Field(ge=8, le=2000)] = 32,
        width: Annotated[int, Field(gt=0)] = 16,
    ) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest:
            raise ValueError(f"model.depth = {depth}: must be 6 n + 2; the nearest below is {depth - rest}")

        def layer(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
            others = (Block(out_channels, out_channels, 1) for _ in range(blocks - 1))
            return nn.Sequential(Block(in_channels, out_channels, stride), *others)

        self.num_features = 4 * width
        self.stem = nn.Sequential(conv3x3(in_channels, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.layer1 = layer(width, width, 1)
        self.layer2 = layer(width, 2 * width, 2)
        self.layer3 = layer(2 * width, 4 * width, 2)
        self.stages = {name: name for name in ("stem", "layer1", "layer2", "layer3")}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return global_average(self.layer3(self.layer2(self.layer1(self.stem(x)))))
