"""Contract of the subset group: which training images there are to begin with."""

from __future__ import annotations

import abc

import numpy as np


class Subset(abc.ABC):
    """A choice of training images; it never touches the test set."""

    @abc.abstractmethod
    def select(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        """Indices, int64 [n], into labels, int64 [N]; raises ValueError when the data cannot give them."""
