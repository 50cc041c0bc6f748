from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from mixexp.model import Body
from mixexp.model.blocks import AvgPool2x2, conv_bn_relu, global_average, require_size


class MnistCNN(Body):
    """Three 3×3 convolutions, 32, 64 and 128 channels, and a global average pool: the affinity article's MNIST network.

    Each convolution has BatchNorm and ReLU and no bias; a 2×2 average pool follows the first two, a BatchNorm the
    global pool. Input [B, in_channels, H, W]; stages layer1 [B, 32, H/2, W/2] and layer2 [B, 64, H/4, W/4], both after
    their pool, sizes rounded down, layer3 [B, 128, H/4, W/4]; features [B, 128]. Raises ValueError below 4×4 pixels.

    width: channels of the first convolution, 32 in the article; the others have 2 and 4 times as many;
    final_batchnorm: BatchNorm on the features, which in training needs batches of two or more; embedding: units of a
    linear layer between pool and BatchNorm, whose output is then the features, [B, embedding], or null for no such
    layer; 2 for the article's pictures; layer_defaults: framework whose default initial weights and BatchNorm constants
    all layers and the head have, torch or keras (mixexp.model.keras), in which the article's code is written.

    Source: koshian2's article on the affinity loss and koshian2/affinity-loss.
    Differs from the paper: there the convolutions also have a bias, which BatchNorm cancels; with layer_defaults torch,
    PyTorch's initial weights and BatchNorm constants.
    """

    kinds = ("image", "spectrogram")
    added = ("layer_defaults", "width")

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        *,
        width: Annotated[int, Field(gt=0)] = 32,
        final_batchnorm: bool = True,
        embedding: Annotated[int, Field(gt=0)] | None = None,
        layer_defaults: Literal["torch", "keras"] = "torch",
    ) -> None:
        super().__init__()
        self.layer_defaults = layer_defaults
        require_size("mnist_cnn", image_size, halvings=2)
        self.layer1 = nn.Sequential(conv_bn_relu(in_channels, width), AvgPool2x2())
        self.layer2 = nn.Sequential(conv_bn_relu(width, 2 * width), AvgPool2x2())
        self.layer3 = conv_bn_relu(2 * width, 4 * width)
        self.num_features = 4 * width if embedding is None else embedding
        self.embed = nn.Identity() if embedding is None else nn.Linear(4 * width, embedding)
        self.normalise = nn.BatchNorm1d(self.num_features) if final_batchnorm else nn.Identity()
        self.stages = {name: name for name in ("layer1", "layer2", "layer3")}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.normalise(self.embed(global_average(self.layer3(self.layer2(self.layer1(x))))))
