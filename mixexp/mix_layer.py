"""Contract and options of the mix_layer group: the layer of the network at which samples are blended."""

from __future__ import annotations

import abc
from typing import Annotated

import numpy as np
from pydantic import Field


class MixLayer(abc.ABC):
    """A choice of layers: "input", "final" (before the classifier) or a stage's name."""

    layers: list[str]
    """All layers that can be chosen."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, steps: int) -> list[str]:
        """The layer of every batch of an epoch."""


class RandomLayer(MixLayer):
    """A layer drawn uniformly from a set for every batch (Verma et al. 2019, section 2), fixed for a set of one."""

    def __init__(self, layers: Annotated[list[str], Field(min_length=1)]) -> None:
        if len(set(layers)) < len(layers):
            raise ValueError(f"mix_layer.layers = {layers}: a layer is named twice")
        self.layers = layers

    def draw(self, rng: np.random.Generator, steps: int) -> list[str]:
        return [self.layers[i] for i in rng.integers(len(self.layers), size=steps)]
