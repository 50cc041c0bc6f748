from __future__ import annotations

import numpy as np

from mixexp.imbalance import Imbalance


class NoImbalance(Imbalance):
    """Classes as the data set and the subset have them."""

    def keep_counts(self, train_counts: np.ndarray, test_counts: np.ndarray, train_per_test: float) -> tuple[np.ndarray, np.ndarray]:
        return train_counts, test_counts
