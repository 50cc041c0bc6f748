from __future__ import annotations

import torch
import torchvision
from torch import nn

from mixexp.model import Body
from mixexp.model.blocks import conv3x3, global_average


class ResNet18(Body):
    """ResNet-18 for small images: 3×3 stem of stride 1, torchvision's four layers, global average pool.

    The stem is conv, BatchNorm, ReLU, without max-pool. A layer is two blocks: 3×3 conv, BN, ReLU, 3×3 conv, BN, added
    to the shortcut, ReLU. The first block of layer2 to layer4 has stride 2 and a shortcut of 1×1 conv and BN. No
    convolution has a bias. Input [B, in_channels, H, W]; stages stem and layer1 [B, 64, H, W], layer2 [B, 128, H/2,
    W/2], layer3 [B, 256, H/4, W/4], layer4 [B, 512, H/8, W/8], odd sizes rounded up; features [B, 512].

    Source: He et al. 2016, arXiv:1512.03385; torchvision.models.resnet18; the small-image stem is
    kuangliu/pytorch-cifar's.
    Differs from the paper: the stem, and projections instead of zero-padding where the shape changes.
    """

    kinds = ("image", "spectrogram")
    num_features = 512

    def __init__(self, in_channels: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        network = torchvision.models.resnet18(weights=None)
        conv = conv3x3(in_channels, 64)
        # the initialisation of torchvision's stem, which it replaces
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        self.stem = nn.Sequential(conv, network.bn1, network.relu)
        self.layer1 = network.layer1
        self.layer2 = network.layer2
        self.layer3 = network.layer3
        self.layer4 = network.layer4
        self.stages = {name: name for name in ("stem", "layer1", "layer2", "layer3", "layer4")}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return global_average(self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x))))))
