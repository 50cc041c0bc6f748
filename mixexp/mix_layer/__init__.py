"""Contract of the mix_layer group: where in the network the blend happens."""

from __future__ import annotations

import abc

import numpy as np


class MixLayer(abc.ABC):
    """A choice of layers: "input", "final" (before the classifier) or a stage's name."""

    layers: list[str]
    """Every layer that can be chosen."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, steps: int) -> list[str]:
        """The layer of each of an epoch's batches."""
