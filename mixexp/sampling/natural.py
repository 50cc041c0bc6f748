from __future__ import annotations

import numpy as np

from mixexp.sampling import Sampling


class Natural(Sampling):
    """Every image once an epoch, in a fresh random order."""

    def epoch_size(self, counts: np.ndarray) -> int:
        return int(counts.sum())

    def order(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(len(labels))
