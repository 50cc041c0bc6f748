"""Pre-activation residual networks of 18 and 34 layers."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from mixexp.model import Body
from mixexp.model.blocks import PreActBlock, conv3x3, global_average


class PreActResNet18(Body):
    """Pre-activation ResNet-18 for small images: 3×3 stem, four layers of two blocks, global average pool.

    A block is BN, ReLU, 3×3 conv, BN, ReLU, dropout, 3×3 conv, added to its shortcut. Where the shape changes (the
    first block of layer2 to layer4, which has stride 2), the shortcut is a 1×1 conv of the input after BN and ReLU. No
    convolution has a bias. There is no BatchNorm or ReLU after layer4. Initial weights are PyTorch's defaults, as in
    both sources. Input [B, in_channels, H, W]; stages stem and layer1 [B, 64, H, W], layer2 [B, 128, H/2, W/2], layer3
    [B, 256, H/4, W/4], layer4 [B, 512, H/8, W/8], odd sizes rounded up; features [B, 512].

    stem_batchnorm: BatchNorm and ReLU after the stem's convolution; identity_shortcut: input of a shortcut that keeps
    the shape, the block's input (raw) or relu(bn(input)) (activated); dropout: probability of dropping a unit after the
    ReLU between a block's two convolutions.

    Source: He et al. 2016, arXiv:1603.05027; Zhang et al. 2018, arXiv:1710.09412 and facebookresearch/mixup-cifar10
    (true, activated); Verma et al. 2019, arXiv:1806.05236 and vikasverma1077/manifold_mixup (false, raw).
    Differs from the paper: He et al. normalise and activate once more after the last block; neither code does.
    """

    kinds = ("image", "spectrogram")
    num_features = 512
    blocks = (2, 2, 2, 2)

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        *,
        stem_batchnorm: bool,
        identity_shortcut: Literal["raw", "activated"],
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()

        def layer(index: int, in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
            first = PreActBlock(in_channels, out_channels, stride, identity_shortcut, dropout)
            others = (
                PreActBlock(out_channels, out_channels, 1, identity_shortcut, dropout)
                for _ in range(self.blocks[index] - 1)
            )
            return nn.Sequential(first, *others)

        activation = [nn.BatchNorm2d(64), nn.ReLU(inplace=True)] if stem_batchnorm else []
        self.stem = nn.Sequential(conv3x3(in_channels, 64), *activation)
        self.layer1 = layer(0, 64, 64, 1)
        self.layer2 = layer(1, 64, 128, 2)
        self.layer3 = layer(2, 128, 256, 2)
        self.layer4 = layer(3, 256, 512, 2)
        self.stages = {name: name for name in ("stem", "layer1", "layer2", "layer3", "layer4")}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return global_average(self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x))))))


class PreActResNet34(PreActResNet18):
    """Pre-activation ResNet-34 for small images: PreActResNet18 with layers of 3, 4, 6 and 3 blocks.

    Input, stages, features and options are those of PreActResNet18.

    Source: He et al. 2016, arXiv:1603.05027; Verma et al. 2019, arXiv:1806.05236 and vikasverma1077/manifold_mixup
    (false, raw).
    Differs from the paper: He et al. normalise and activate once more after the last block; the code does not.
    """

    blocks = (3, 4, 6, 3)
