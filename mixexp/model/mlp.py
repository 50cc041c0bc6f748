from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from mixexp.model import Body


class MLP(Body):
    """Fully connected layers with ReLU on the flattened input; the head is one more layer.

    Input [B, in_channels, H, W]; stages layer1, layer2, … [B, hidden[0]], [B, hidden[1]], …; features [B, hidden[-1]].

    hidden: widths of the hidden layers.

    Source: Zhang et al. 2018, section 3.6 (UCI tables): two hidden layers of 128 units.
    Differs from the paper: nothing.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        *,
        hidden: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=1)],
    ) -> None:
        super().__init__()
        height, width = image_size
        widths = [in_channels * height * width, *hidden]
        self.num_features = widths[-1]
        self.stages = {f"layer{k}": f"layer{k}" for k in range(1, len(widths))}
        for stage, fan_in, fan_out in zip(self.stages, widths, widths[1:], strict=False):
            self.add_module(stage, nn.Sequential(nn.Flatten(), nn.Linear(fan_in, fan_out), nn.ReLU(inplace=True)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return x
