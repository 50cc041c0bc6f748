from __future__ import annotations

import numpy as np

from mixexp.label_noise import LabelNoise


class NoNoise(LabelNoise):
    """Labels as they are."""

    def corrupt(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        return labels
