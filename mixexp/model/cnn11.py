from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from mixexp.model import Body
from mixexp.model.blocks import conv_bn_relu, he_normal, require_size


class CNN11(Body):
    """Eight 3×3 convolutions, 2×64, 2×128, 4×256 channels, and two dense layers of 1024 units, with dropout.

    Each convolution has BatchNorm and ReLU and no bias, each group of them a 2×2 max-pool, each dense layer ReLU and
    dropout. With the head these are between-class learning's eleven layers. Input [B, in_channels, H, W]; stages, those
    of the paper's where-to-mix table: pool1 [B, 64, H/2, W/2], pool2 [B, 128, H/4, W/4], pool3 [B, 256, H/8, W/8],
    sizes rounded down; fc4 and fc5 [B, 1024], after their dropout; features [B, 1024]. Raises ValueError below 8×8
    pixels.

    dropout: probability of dropping a unit of fc4 and of fc5.

    Source: Tokozume, Ushiku and Harada 2018, arXiv:1711.10284, and mil-tokyo/bc_learning_image.
    Differs from the paper: nothing.
    """

    kinds = ("image", "spectrogram")
    num_features = 1024

    def __init__(
        self, in_channels: int, image_size: tuple[int, int], *, dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    ) -> None:
        super().__init__()
        require_size("cnn11", image_size, halvings=3)
        height, width = image_size
        self.conv1 = conv_bn_relu(in_channels, 64, 64)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = conv_bn_relu(64, 128, 128)
        self.pool2 = nn.MaxPool2d(2)
        self.conv3 = conv_bn_relu(128, 256, 256, 256, 256)
        self.pool3 = nn.MaxPool2d(2)
        flat = 256 * (height // 8) * (width // 8)
        self.fc4 = nn.Sequential(nn.Flatten(), nn.Linear(flat, 1024), nn.ReLU(inplace=True), nn.Dropout(dropout))
        self.fc5 = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(inplace=True), nn.Dropout(dropout))
        self.stages = {name: name for name in ("pool1", "pool2", "pool3", "fc4", "fc5")}
        he_normal(self)
        # nn.Linear already draws its weight from U(±1/sqrt(fan_in)), as the paper's code does, but its bias too; there
        # it is 0.
        for layer in (*self.fc4, *self.fc5):
            if isinstance(layer, nn.Linear):
                nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool1(self.conv1(x))
        x = self.pool2(self.conv2(x))
        x = self.pool3(self.conv3(x))
        return self.fc5(self.fc4(x))
