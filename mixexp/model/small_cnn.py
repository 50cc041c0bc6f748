from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from mixexp.model import Body
from mixexp.model.blocks import AvgPool2x2, conv_bn_relu, global_average


class SmallCNN(Body):
    """Three 3×3 convolutions of width, 2 and 4 width channels, then a global average pool; for images of any size.

    Each convolution has BatchNorm and ReLU and no bias; a 2×2 average pool follows the first two, unless it would make
    the map smaller than 2 in either direction. Input [B, in_channels, H, W]; stages layer1 [B, width, H/2, W/2] and
    layer2 [B, 2 width, H/4, W/4], both after their pool, sizes rounded down, layer3 [B, 4 width, H/4, W/4]; features
    [B, 4 width].

    width: channels of the first convolution; final_batchnorm: BatchNorm on the features, which in training needs
    batches of two or more; dropout: probability of dropping a unit before the second and before the third convolution;
    layer_defaults: framework whose default initial weights and BatchNorm constants all layers and the head have, torch
    or keras (mixexp.model.keras).

    Source: ours, for the digits, the tests and quick sweeps.
    Differs from the paper: nothing.
    """

    kinds = ("image", "spectrogram")
    added = ("dropout", "layer_defaults")

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        *,
        width: Annotated[int, Field(gt=0)] = 16,
        final_batchnorm: bool = False,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        layer_defaults: Literal["torch", "keras"] = "torch",
    ) -> None:
        super().__init__()
        self.layer_defaults = layer_defaults
        side = min(image_size)

        def halve(side: int) -> nn.Module:
            return AvgPool2x2() if side >= 4 else nn.Identity()

        self.num_features = 4 * width
        self.layer1 = nn.Sequential(conv_bn_relu(in_channels, width), halve(side))
        self.layer2 = nn.Sequential(conv_bn_relu(width, 2 * width), halve(side // 2))
        self.layer3 = conv_bn_relu(2 * width, 4 * width)
        self.dropout = nn.Dropout(dropout)
        self.normalise = nn.BatchNorm1d(self.num_features) if final_batchnorm else nn.Identity()
        self.stages = {name: name for name in ("layer1", "layer2", "layer3")}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.normalise(global_average(self.layer3(self.dropout(self.layer2(self.dropout(self.layer1(x)))))))
