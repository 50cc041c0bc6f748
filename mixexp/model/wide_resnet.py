from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from mixexp.model import Body
from mixexp.model.blocks import PreActBlock, conv3x3, global_average, he_normal


class WideResNet(Body):
    """Wide residual network WRN-depth-widen: 3×3 stem, three layers of residual blocks, global average pool.

    A layer has (depth − 4) / 6 blocks. A block is BN, ReLU, 3×3 conv, BN, ReLU, dropout, 3×3 conv, added to its input;
    where the shape changes (the first block of a layer), to a 1×1 conv of the input after BN and ReLU. The first block
    of layer2 and of layer3 has stride 2. BN and ReLU follow the last layer. No convolution has a bias. Input [B,
    in_channels, H, W]; stages stem [B, 16, H, W], layer1 [B, 16k, H, W], layer2 [B, 32k, H/2, W/2], layer3 [B, 64k,
    H/4, W/4] with k = widen, odd sizes rounded up; features [B, 64k].

    depth: number of convolutions on the longest path plus the head, 6 n + 4, ValueError otherwise; widen: factor on
    the channels 16, 32, 64; dropout: probability of dropping a unit after the ReLU between a block's two convolutions.

    Source: Zagoruyko and Komodakis 2016, arXiv:1605.07146, and szagoruyko/wide-residual-networks.
    Differs from the paper: nothing in the network. The initialisation is He-normal as in its PyTorch code, except that
    BatchNorm scales start at 1, where that code draws them from U(0, 1).
    """

    kinds = ("image", "spectrogram")

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        *,
        depth: Annotated[int, Field(ge=10, le=2000)] = 28,
        widen: Annotated[int, Field(gt=0)] = 10,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if rest:
            raise ValueError(f"model.depth = {depth}: must be 6 n + 4; the nearest below is {depth - rest}")

        def layer(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
            first = PreActBlock(in_channels, out_channels, stride, "raw", dropout)
            return nn.Sequential(
                first, *(PreActBlock(out_channels, out_channels, 1, "raw", dropout) for _ in range(blocks - 1))
            )

        self.num_features = 64 * widen
        self.stem = conv3x3(in_channels, 16)
        self.layer1 = layer(16, 16 * widen, 1)
        self.layer2 = layer(16 * widen, 32 * widen, 2)
        self.layer3 = layer(32 * widen, 64 * widen, 2)
        self.activate = nn.Sequential(nn.BatchNorm2d(self.num_features), nn.ReLU(inplace=True))
        self.stages = {name: name for name in ("stem", "layer1", "layer2", "layer3")}
        he_normal(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return global_average(self.activate(self.layer3(self.layer2(self.layer1(self.stem(x))))))
