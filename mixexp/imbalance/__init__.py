"""Contract of the imbalance group: how many images of each class stay."""

from __future__ import annotations

import abc

import numpy as np


class Imbalance(abc.ABC):
    """Cuts classes to fewer images; which ones stay is drawn by data_seed unless in_order says otherwise."""

    in_order: bool = False
    """Whether a class keeps its first images, whatever the data_seed."""

    @abc.abstractmethod
    def keep_counts(self, train_counts: np.ndarray, test_counts: np.ndarray, train_per_test: float) -> tuple[np.ndarray, np.ndarray]:
        """Images to keep of each class in the training and the test set, int64 [C] each.

        train_per_test is the ratio of the data set's official sizes (6 for MNIST, 5 for CIFAR-10). Raises ValueError.
        """


def cut(labels: np.ndarray, keep: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sorted indices, int64, of keep[c] images of every class c drawn without replacement from labels, int64 [N]."""
    chosen = [rng.choice(np.flatnonzero(labels == c), k, replace=False) for c, k in enumerate(keep)]
    return np.sort(np.concatenate(chosen))


def first(labels: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Sorted indices, int64, of the first keep[c] images of every class c in labels, int64 [N]."""
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:k] for c, k in enumerate(keep)]))
