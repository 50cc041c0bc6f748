"""Contract of the model group: networks without their classifier; the loss brings the head, mix_layer hooks the
stages."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn


class Body(nn.Module, abc.ABC):
    """A network from images to features, constructed as ``Class(in_channels, image_size, *, <the options of its
    YAML>)``.

    image_size is (height, width). The constructor raises ValueError, naming the sizes, for images too small for the
    network.

    num_features : length of the feature vector the head will see.
    stages : ordered, from a stage's name to the dotted path of the submodule whose output is that stage's
    representation,
        shallow to deep. Such a submodule is called exactly once a forward pass and returns one tensor [B, ...] through
        which everything downstream passes. Replacing that output by a blend of its rows is then the same as having fed
        blended rows from there on: mixing needs no help from the model, and a model knows nothing of mixing.
    """

    num_features: int
    stages: Mapping[str, str]
    kinds: tuple[str, ...] | None = None
    """The kinds of data its architecture is made for; None: any. On others it can be trained, which the run notes."""
    layer_defaults: Literal["torch", "keras"] = "torch"
    """Whose initial weights and BatchNorm constants its layers have, and those of the head that the loss brings."""

    @abc.abstractmethod
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features, float [B, num_features], from images, float [B, in_channels, H, W]."""
