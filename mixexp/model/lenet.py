from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from mixexp.model import Body
from mixexp.model.blocks import require_size


class LeNet(Body):
    """LeNet: two 5×5 convolutions, each with ReLU and a 2×2 max-pool, and a dense layer; the head is the second one.

    The convolutions keep the map's size. Input [B, in_channels, H, W]; stages layer1 [B, channels[0], H/2, W/2] and
    layer2 [B, channels[1], H/4, W/4], sizes rounded down, fc [B, hidden]; features [B, hidden]. Raises ValueError below
    4×4 pixels.

    channels: of the two convolutions; hidden: width of the fully connected layer; layer_defaults: framework whose
    default initial weights all layers and the head have, torch or keras (mixexp.model.keras).

    Source: LeCun et al. 1998, with the sizes of Caffe's LeNet (20 and 50 channels, 500 units); Zhang et al. 2018,
    Figure 4, which states only "two convolutional and two fully-connected layers".
    Differs from the paper: its sizes are not stated there, so all of them are ours.
    """

    kinds = ("image", "spectrogram")
    added = ("layer_defaults",)

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        *,
        channels: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2, max_length=2)],
        hidden: Annotated[int, Field(gt=0)] = 500,
        layer_defaults: Literal["torch", "keras"] = "torch",
    ) -> None:
        super().__init__()
        self.layer_defaults = layer_defaults
        require_size("lenet", image_size, halvings=2)

        def layer(inward: int, outward: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(inward, outward, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2))

        height, width = image_size
        self.num_features = hidden
        self.layer1 = layer(in_channels, channels[0])
        self.layer2 = layer(channels[0], channels[1])
        flat = channels[1] * (height // 4) * (width // 4)
        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(inplace=True))
        self.stages = {name: name for name in ("layer1", "layer2", "fc")}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layer2(self.layer1(x)))
