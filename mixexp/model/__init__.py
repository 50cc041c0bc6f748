"""Contract of the model group: networks without classifier; the loss brings the head, mix_layer hooks the stages."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn


class Body(nn.Module, abc.ABC):
    """A network from images to features, constructed as ``Class(in_channels, image_size, *, <settings of its YAML>)``.

    image_size is (height, width). The constructor raises ValueError, with the sizes, for images too small for the
    network.

    num_features: length of the feature vector that the head receives.
    stages: ordered mapping, shallow to deep, from a stage's name to the dotted path of the submodule whose output is
    the stage's representation. Such a submodule is called exactly once per forward pass and returns one tensor [B, ...]
    through which everything downstream passes. A blend of that output's rows is therefore the same as blended rows at
    this point of the network: mixing needs no support from the model.
    """

    num_features: int
    stages: Mapping[str, str]
    kinds: tuple[str, ...] | None = None
    """Kinds of data that the architecture is made for; None: any. It can be trained on others; the run notes this."""
    layer_defaults: Literal["torch", "keras", "he"] = "torch"
    """Framework whose default initial weights and BatchNorm constants the layers and the loss's head have.

    he: PyTorch's, but with the weights of convolutions and linear layers from blocks.he_normal.
    """

    @abc.abstractmethod
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features, float [B, num_features], from images, float [B, in_channels, H, W]."""
