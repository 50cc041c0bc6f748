from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from mixexp.model import Body
from mixexp.model.blocks import AvgPool2x2, conv_bn_relu, global_average, require_size


class CNN10(Body):
    """Nine 3×3 convolutions in three groups of 64, 128 and 256 channels, then a global average pool.

    Each convolution has BatchNorm and ReLU and no bias; a 2×2 pool follows the first two groups. Input [B, in_channels,
    H, W]; stages layer1 [B, 64, H/2, W/2] and layer2 [B, 128, H/4, W/4], both after their pool, sizes rounded down,
    layer3 [B, 256, H/4, W/4]; features [B, 256]. Raises ValueError below 4×4 pixels.

    pool: kind of pool after layer1 and layer2; final_batchnorm: BatchNorm on the features, which in training needs
    batches of two or more; layer_defaults: framework whose default initial weights and BatchNorm constants all layers
    and the head have, torch or keras (mixexp.model.keras), in which the article's code is written.

    Source: koshian2's articles on between-class learning and (with final_batchnorm) on the affinity loss.
    Differs from the paper: there the convolutions also have a bias, which BatchNorm cancels; with layer_defaults torch,
    PyTorch's initial weights and BatchNorm constants.
    """

    kinds = ("image", "spectrogram")
    added = ("layer_defaults",)
    num_features = 256

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        *,
        pool: Literal["avg", "max"] = "avg",
        final_batchnorm: bool = False,
        layer_defaults: Literal["torch", "keras"] = "torch",
    ) -> None:
        super().__init__()
        self.layer_defaults = layer_defaults
        require_size("cnn10", image_size, halvings=2)
        halve = {"avg": AvgPool2x2, "max": lambda: nn.MaxPool2d(2)}[pool]
        self.layer1 = nn.Sequential(conv_bn_relu(in_channels, 64, 64, 64), halve())
        self.layer2 = nn.Sequential(conv_bn_relu(64, 128, 128, 128), halve())
        self.layer3 = conv_bn_relu(128, 256, 256, 256)
        self.normalise = nn.BatchNorm1d(256) if final_batchnorm else nn.Identity()
        self.stages = {name: name for name in ("layer1", "layer2", "layer3")}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.normalise(global_average(self.layer3(self.layer2(self.layer1(x)))))
