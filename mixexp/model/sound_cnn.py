from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from mixexp.model import Body
from mixexp.model.blocks import global_average


class SoundCNN(Body):
    """Four convolutions along time on a waveform, each with BatchNorm, ReLU and a max-pool of 4; global average pool.

    The first is 80 samples wide at stride 4, the others 3 at stride 1, all without bias; their channels are width,
    width, 2 width and 4 width. The image's width axis is time. A waveform has one row; several rows are treated alike.
    Input [B, in_channels, H, T]; stages layer1 [B, width, H, T/16], layer2 [B, width, H, T/64], layer3 [B, 2 width, H,
    T/256] and layer4 [B, 4 width, H, T/1024], after their pools, which round up; features [B, 4 width]. Raises
    ValueError below 4 samples.

    width: channels of the first convolution; 128 in the paper.

    Source: Dai et al. 2017, "Very deep convolutional neural networks for raw waveforms", M5, made for sounds at 8 kHz.
    Differs from the paper: PyTorch's initial weights.
    """

    kinds = ("sound",)

    def __init__(
        self, in_channels: int, image_size: tuple[int, int], *, width: Annotated[int, Field(gt=0)] = 32
    ) -> None:
        super().__init__()
        if image_size[1] < 4:
            raise ValueError(f"sound_cnn: a sound needs at least 4 samples; these have {image_size[1]}")

        def layer(inward: int, outward: int, size: int, stride: int) -> nn.Sequential:
            conv = nn.Conv2d(inward, outward, (1, size), (1, stride), padding=(0, (size - stride + 1) // 2), bias=False)
            # ceil_mode, so that a short sound is not pooled to nothing
            return nn.Sequential(
                conv, nn.BatchNorm2d(outward), nn.ReLU(inplace=True), nn.MaxPool2d((1, 4), ceil_mode=True)
            )

        self.num_features = 4 * width
        self.layer1 = layer(in_channels, width, 80, 4)
        self.layer2 = layer(width, width, 3, 1)
        self.layer3 = layer(width, 2 * width, 3, 1)
        self.layer4 = layer(2 * width, 4 * width, 3, 1)
        self.stages = {name: name for name in ("layer1", "layer2", "layer3", "layer4")}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return global_average(self.layer4(self.layer3(self.layer2(self.layer1(x)))))
