"""Contract of the label_noise group: wrong labels in the training set; test and validation labels stay true."""

from __future__ import annotations

import abc

import numpy as np


class LabelNoise(abc.ABC):
    """Replaces training labels."""

    @abc.abstractmethod
    def corrupt(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        """New labels, int64 [N], from true ones, int64 [N]."""
